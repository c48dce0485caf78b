"""Who may come to the simulator and when, and what goes wrong when the script says so."""

from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core.model import Media
from identifai_watch.simulator import (
    Check,
    Endpoint,
    Fault,
    FaultKind,
    Limits,
    RetryAfter,
    Simulator,
)
from identifai_watch.simulator.limiter import Admissions
from tests.checked_client import Client


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """One simulator for the module; each test finds it as new."""
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def client(simulator: Simulator) -> Iterator[Client]:
    """A client of the simulator."""
    simulator.restart()
    with requests.Session() as session:
        yield Client(simulator, session)


# Who may come, and when.


def test_the_key_is_checked_on_every_endpoint(client: Client) -> None:
    """No key or a wrong one is a 401; without a scripted key any will do."""
    assert client.get("/api/user/credits").status_code == 200
    client.simulator.change(key="right")
    assert client.submit(b"x").status_code == 401
    client.session.headers["X-Api-Key"] = "right"
    assert client.submit(b"x").status_code == 200
    client.simulator.change(key=None)
    del client.session.headers["X-Api-Key"]
    assert client.get("/api/user/credits").status_code == 401


@pytest.mark.parametrize(
    ("order", "expected"),
    [(tuple(Check), 401), ((Check.TERMS, Check.KEY), 403), ((Check.LIMITS, Check.TERMS), 429)],
)
def test_the_order_of_the_checks_is_a_switch(client: Client, order: tuple[Check, ...], expected: int) -> None:
    """Which of 401, 403 and 429 comes first is not documented."""
    client.get("/api/user/credits")
    client.simulator.change(key="right", terms_accepted=False, limits=Limits(gets_per_minute=1), order=order)
    assert expected == client.get("/api/user/credits").status_code


@pytest.mark.parametrize("retry_after", RetryAfter)
def test_more_than_the_limit_is_a_429(client: Client, retry_after: RetryAfter) -> None:
    """GETs and POSTs have windows of their own; Retry-After is as scripted; the body is read all the same."""
    client.simulator.change(limits=Limits(posts_per_minute=2), retry_after=retry_after)
    assert [client.submit(b"%d" % number).status_code for number in range(3)] == [200, 200, 429]
    assert client.get("/api/user/credits").status_code == 200
    refused = client.submit(b"3")
    assert refused.json() == {"message": "Too Many Attempts."}
    match retry_after:
        case RetryAfter.NONE:
            assert "Retry-After" not in refused.headers
        case RetryAfter.SECONDS:
            assert 50 < int(refused.headers["Retry-After"]) <= 60
        case RetryAfter.DATE:
            wait = parsedate_to_datetime(refused.headers["Retry-After"]) - parsedate_to_datetime(
                refused.headers["Date"]
            )
            assert 50 < wait.total_seconds() <= 62
    assert client.simulator.state.throttled == 2
    assert len(client.simulator.state.charged) == 2


@given(st.lists(st.floats(0, 30), max_size=200), st.integers(0, 4), st.integers(0, 9))
def test_no_window_ever_holds_more_than_its_limit(
    gaps: list[float], per_second: int, per_minute: int
) -> None:
    """Whatever the arrivals, what is admitted keeps both windows, and a refused one is told the exact wait."""
    admissions, admitted, now = Admissions(), [], 0.0
    for gap in gaps:
        now += gap
        wait = admissions.wait(now, per_second=per_second, per_minute=per_minute)
        if wait == 0:
            admissions.admit(now)
            admitted.append(now)
        else:
            assert admissions.wait(now + wait + 1e-6, per_second=per_second, per_minute=per_minute) == 0
    for limit, window in ((per_second, 1.0), (per_minute, 60.0)):
        if limit:
            assert all(
                later - first >= window - 1e-6
                for first, later in zip(admitted, admitted[limit:], strict=False)
            )


# Faults.


@pytest.mark.parametrize(
    ("kind", "is_charged"),
    [
        (FaultKind.RESET_BEFORE, False),
        (FaultKind.RESET_AFTER, True),
        (FaultKind.STALL_BODY, False),
        (FaultKind.STALL, True),
    ],
)
def test_a_cut_connection_is_charged_only_if_the_body_had_arrived(
    client: Client, kind: FaultKind, *, is_charged: bool
) -> None:
    """The client sees the same reset; whether it was paid for is what it cannot know."""
    client.simulator.change(faults=(Fault(kind=kind, match=Endpoint.UPLOAD, seconds=0.05),))
    with pytest.raises(requests.ConnectionError):
        client.submit(b"cut")
    assert client.simulator.state.wait_for(lambda state: len(state.requests) == 1)
    assert is_charged == bool(client.simulator.state.charged)
    assert client.submit(b"cut").status_code == 200


def test_a_slow_body_is_taken_all_the_same(client: Client) -> None:
    """The head has come and the rest is read later: it counts as arrived from the head on, and is charged once."""
    client.simulator.change(faults=(Fault(kind=FaultKind.SLOW_BODY, match=Endpoint.UPLOAD, seconds=0.05),))
    assert client.submit(b"slow").status_code == 200
    assert len(client.simulator.state.charged) == 1 == client.simulator.state.arrived(Endpoint.UPLOAD)


def test_a_truncated_answer_breaks_off(client: Client) -> None:
    """The length is promised, half of the body comes."""
    client.simulator.change(faults=(Fault(kind=FaultKind.TRUNCATE),))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.submit(b"half")
    assert len(client.simulator.state.charged) == 1


@pytest.mark.parametrize("carried_out", [False, True])
def test_a_false_status_may_hide_a_charge(client: Client, *, carried_out: bool) -> None:
    """A 503 may come before or after the upload took effect."""
    client.is_checked = False
    fault = Fault(kind=FaultKind.HTML, status=502, headers={"Retry-After": "7"}, carried_out=carried_out)
    client.simulator.change(faults=(fault,))
    answer = client.submit(b"hidden")
    assert (answer.status_code, answer.headers["Retry-After"]) == (502, "7")
    assert "<html>" in answer.text
    assert carried_out == bool(client.simulator.state.charged)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (
            Fault(kind=FaultKind.STATUS, status=500, body={"message": "Server Error"}),
            (500, '{"message":"Server Error"}'),
        ),
        (Fault(kind=FaultKind.STATUS, status=504, body="late"), (504, "late")),
        (Fault(kind=FaultKind.GARBAGE), (200, '{"identifier": "')),
        (Fault(kind=FaultKind.SLOW, seconds=0.01), (200, '{"available_credits":1000000.0,"total_spent":0}')),
    ],
)
def test_an_answer_can_be_anything(client: Client, fault: Fault, expected: tuple[int, str]) -> None:
    """Statuses and bodies are the script's."""
    client.is_checked = False
    client.simulator.change(faults=(fault,))
    answer = client.get("/api/user/credits")
    assert expected == (answer.status_code, answer.text)


def test_a_fault_strikes_whom_it_means_as_often_as_it_says(client: Client) -> None:
    """It passes over other endpoints and media, skips the first, and ends; None goes on for ever."""
    client.is_checked = False
    upload = Fault(kind=FaultKind.STATUS, match=Endpoint.UPLOAD, media=Media.AUDIO, skip=1, times=2)
    client.simulator.change(faults=(upload, Fault(kind=FaultKind.STATUS, match=Endpoint.CREDITS, times=None)))
    assert client.submit(b"x").status_code == 200
    assert [client.submit(b"x", Media.AUDIO).status_code for _ in range(4)] == [200, 503, 503, 200]
    assert [client.get("/api/user/credits").status_code for _ in range(3)] == [503] * 3
