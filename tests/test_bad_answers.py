"""Answers that are wrong, late, cut off or nobody's fault: nothing is lost, nothing is paid twice, and it is said."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from identifai_watch.core.model import AccountState, AnalysisState, FileState, Label, Media, PauseReason
from identifai_watch.core.polling import Outlook
from identifai_watch.daemon import Daemon
from identifai_watch.errors import Exit
from identifai_watch.ledger import Ledger, desk, views
from identifai_watch.simulator import Endpoint, Fault, FaultKind, Script, Scripted, Simulator
from tests.harness import KEY, House, house, wait_for
from tests.watching import account, content, folders, line, lines, order, picture, quiet, says, sha256


@contextmanager
def watched(home: House) -> Iterator[Daemon]:
    """Run the daemon of a house; verdicts are expected at once, and what is repeated is so as soon as may be."""
    home.folder.setdefault("settle_seconds", 0.1)
    with home.daemon() as daemon:
        wait_for(lambda: daemon._intakes, "the daemon has begun")
        daemon.shift.chance = lambda: 0.0
        soon = Outlook(early=timedelta(milliseconds=50), late=timedelta(milliseconds=50))
        daemon.shift.learnt = {(media, None): soon for media in Media}
        yield daemon


def events(daemon: Daemon, path: str) -> list[str]:
    """Return what history says of a file, in order."""
    found = line(daemon, path)
    assert found is not None
    with daemon.shift.ledger.read() as tx:
        return [happening.event for happening in views.history_of(tx, found.file)]


def asked(home: House, endpoint: Endpoint) -> list[int]:
    """Return how many identifiers each GET of this kind named, in the order in which they ended."""
    return [
        request.query.count("identifiers") if endpoint is Endpoint.RESULTS else 1
        for request in home.simulator.state.requests
        if request.endpoint is endpoint
    ]


def outcome(home: House, name: str) -> str:
    """Wait for the sidecar of a picture, and return its outcome."""
    found: str = home.sidecar(home.drop / name)["outcome"]
    return found


# The result.


def test_a_verdict_about_other_bytes_is_never_delivered(tmp_path: Path) -> None:
    """A hash that is not ours is asked for once more by a new submission, then refused with both hashes."""
    other = "00" * 32
    with (
        house(tmp_path, Script(verdicts=(Scripted(fields={"hash": other}),))) as home,
        watched(home) as daemon,
    ):
        sidecar = home.sidecar(picture(home.drop / "a.png"))
        found = line(daemon, "a.png")
        state = home.simulator.state

    assert "rejected" == sidecar["outcome"]
    assert sidecar["verdict"] is None
    assert other in sidecar["reason"]
    assert sha256("a.png").hex() in sidecar["reason"]
    assert 2 == state.count(Endpoint.UPLOAD)
    assert 1 == len(state.charged)
    assert found is not None
    assert found.analysis is not None
    assert AnalysisState.REFUSED is found.analysis.state


def test_a_verdict_about_other_bytes_may_come_right(tmp_path: Path) -> None:
    """After a hash that is not ours, the new submission's own verdict is delivered like any other."""
    wrong = Scripted(fields={"hash": "00" * 32})
    with house(tmp_path, Script(verdicts=(wrong,))) as home, watched(home) as daemon:
        path = picture(home.drop / "a.png")
        assert home.simulator.state.wait_for(lambda state: state.arrived(Endpoint.UPLOAD) == 2)
        home.simulator.change(verdicts=(says("a.png", Label.HUMAN),))
        sidecar = home.sidecar(path)
        told = events(daemon, "a.png")

    assert "human" == sidecar["outcome"]
    assert "mismatched" in told
    assert 1 == len(home.simulator.state.charged)


def test_a_result_that_cannot_be_read_is_asked_for_again(tmp_path: Path) -> None:
    """An answer that is not JSON, or is none of results, costs another GET and nothing else."""
    kinds: list[dict[str, Any]] = [
        {"kind": FaultKind.GARBAGE},
        {"kind": FaultKind.HTML, "status": 200},
        {"kind": FaultKind.STATUS, "status": 200, "body": [1, "two", None]},
        {"kind": FaultKind.TRUNCATE},
        {"kind": FaultKind.STATUS, "status": 500, "body": {"error": "trouble"}},
    ]
    with house(tmp_path) as home, watched(home):
        for number, kind in enumerate(kinds):
            home.simulator.change(faults=(Fault(match=Endpoint.RESULT, **kind),))
            sidecar = home.sidecar(picture(home.drop / f"{number}.png"))
            assert sidecar["verdict"] is not None
    assert len(kinds) == home.simulator.state.count(Endpoint.UPLOAD)
    assert 2 * len(kinds) == len(asked(home, Endpoint.RESULT))


def test_a_status_that_nobody_documented_is_waited_for(tmp_path: Path) -> None:
    """An unknown ``status`` is no verdict and no failure: it is asked for until it is one."""
    pondering = Scripted(fields={"status": "pondering"})
    with house(tmp_path, Script(verdicts=(pondering,))) as home, watched(home) as daemon:
        path = picture(home.drop / "a.png")
        state = home.simulator.state
        assert state.wait_for(lambda state: state.count(Endpoint.RESULT, Endpoint.RESULTS) >= 2)
        found = line(daemon, "a.png")
        home.simulator.change(verdicts=(says("a.png", Label.ARTIFICIAL),))
        sidecar = home.sidecar(path)

    assert found is not None
    assert found.analysis is not None
    assert AnalysisState.AWAITING is found.analysis.state
    assert "artificial" == sidecar["outcome"]
    assert 1 == state.count(Endpoint.UPLOAD)


def test_what_is_never_done_is_stuck_at_its_deadline_and_goes_on_where_it_stood(tmp_path: Path) -> None:
    """A verdict that does not come within the deadline is given up; ``retry`` asks again and pays nothing."""
    script = Script(delay=3600)
    with house(tmp_path, script, api={"analysis_deadline_minutes": 0.02}) as home, watched(home) as daemon:
        path = picture(home.drop / "a.png")

        def stuck() -> bool:
            found = line(daemon, "a.png")
            return found is not None and found.analysis is not None and found.analysis.stuck_at is not None

        wait_for(stuck, "it is given up")
        home.simulator.change(delay=0)
        order(daemon, "retry", stuck=True)
        sidecar = home.sidecar(path)

    assert sidecar["verdict"] is not None
    assert 1 == home.simulator.state.count(Endpoint.UPLOAD)


def test_done_without_a_verdict_is_asked_thrice_then_refused(tmp_path: Path) -> None:
    """``done`` without a verdict that can be read is waited for three times more, then it is refused."""
    script = Script(verdicts=(Scripted(without=("verdict",)),))
    with house(tmp_path, script) as home, watched(home):
        sidecar = home.sidecar(picture(home.drop / "a.png"))

    assert "rejected" == sidecar["outcome"]
    assert "no verdict can be read" in sidecar["reason"]
    assert 4 == len(asked(home, Endpoint.RESULT) + asked(home, Endpoint.RESULTS))
    assert 1 == home.simulator.state.count(Endpoint.UPLOAD)


def test_a_nested_field_of_another_shape_does_not_lose_the_verdict(tmp_path: Path) -> None:
    """Whatever stands in the fields around it, a verdict that can be read is delivered, the answer with it."""
    names = ("results", "verdicts", "details", "c2pa", "is_nsfw", "result_url", "api_version", "ref_id")
    shapes: list[object] = ["a word", 17, [1, [2]], {"unheard": {"of": None}}, None, True]
    odd = {f"{number}.png": dict.fromkeys(names, shape) for number, shape in enumerate(shapes)}
    verdicts = (says(name, Label.HUMAN, confidence=0.9, fields=fields) for name, fields in odd.items())
    with house(tmp_path, Script(verdicts=tuple(verdicts))) as home, watched(home):
        sidecars = [home.sidecar(path) for path in [picture(home.drop / name) for name in odd]]

    assert [("human", 0.9)] * len(shapes) == [
        (sidecar["outcome"], sidecar["verdict"]["confidence"]) for sidecar in sidecars
    ]
    assert shapes == [sidecar["response"]["details"] for sidecar in sidecars]


def test_an_analysis_that_failed_is_rejected_in_the_api_s_own_words(tmp_path: Path) -> None:
    """``errored`` is this file's matter: rejected with the reason, and the others go on."""
    failed = Scripted(sha256=sha256("bad.png").hex(), errors="Could not decode.")
    script = Script(verdicts=(failed, says("good.png", Label.HUMAN)))
    with house(tmp_path, script) as home, watched(home):
        bad = home.sidecar(picture(home.drop / "bad.png"))
        picture(home.drop / "good.png")
        assert "human" == outcome(home, "good.png")
    assert ("rejected", "Could not decode.") == (bad["outcome"], bad["reason"])


# The upload.


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.STATUS, match=Endpoint.UPLOAD, status=500, times=2, carried_out=True),
        Fault(kind=FaultKind.GARBAGE, match=Endpoint.UPLOAD, carried_out=True),
        Fault(kind=FaultKind.RESET_AFTER, match=Endpoint.UPLOAD),
    ],
    ids=["500 twice", "half JSON", "reset"],
)
def test_an_upload_whose_answer_is_lost_is_in_doubt_and_paid_once(tmp_path: Path, fault: Fault) -> None:
    """The doubt is written down, the content sent again, and the API's own cache keeps it from being paid twice."""
    script = Script(faults=(fault,), verdicts=(says("a.png", Label.HUMAN),))
    with house(tmp_path, script) as home, watched(home) as daemon:
        picture(home.drop / "a.png")
        assert "human" == outcome(home, "a.png")
        told = events(daemon, "a.png")
        found = line(daemon, "a.png")
    assert 1 + (fault.times or 0) == home.simulator.state.count(Endpoint.UPLOAD)
    assert 1 == len(home.simulator.state.charged)
    assert fault.times == told.count("deferred")
    assert found is not None
    assert found.analysis is not None
    assert not found.analysis.doubt


def test_a_rejudging_in_doubt_is_never_paid_anew(tmp_path: Path) -> None:
    """An upload with ``no_cache`` whose answer is lost is sent again without it, or it would be paid a third time."""
    with house(tmp_path, Script(verdicts=(says("a.png", Label.HUMAN),))) as home, watched(home) as daemon:
        home.sidecar(picture(home.drop / "a.png"))
        quiet(daemon)
        found = line(daemon, "a.png")
        assert found is not None
        lost = Fault(kind=FaultKind.STATUS, match=Endpoint.UPLOAD, status=500, carried_out=True)
        home.simulator.change(faults=(lost,), verdicts=(says("a.png", Label.ARTIFICIAL),))
        assert {"rejudged": 1} == order(daemon, "rejudge", files=[found.file.id])
        wait_for(lambda: "artificial" == outcome(home, "a.png"), "the new verdict is delivered")
        charged = home.simulator.state.charged

    assert [False, True] == [submission.no_cache for submission in charged]
    assert 3 == home.simulator.state.count(Endpoint.UPLOAD)


def test_an_identifier_in_plain_text_is_taken(tmp_path: Path) -> None:
    """A bare identifier under ``text/plain`` is as good as one in JSON."""
    with house(tmp_path, Script(verdicts=(says("a.png", Label.HUMAN),))) as home:
        answer = requests.post(
            f"{home.simulator.url}/api/classification",
            headers={"X-Api-Key": KEY, "Accept": "text/plain"},
            files={"image": ("a.png", content("a.png"), "image/png")},
            data={"prevent_c2pa_forces": "true"},
            timeout=10,
        )
        assert "text/plain" in answer.headers["content-type"]
        plain = {"content-type": "text/plain; charset=utf-8"}
        bare = Fault(
            kind=FaultKind.STATUS, match=Endpoint.UPLOAD, status=200, body=f"{answer.text}\n", headers=plain
        )
        home.simulator.change(faults=(bare,))
        with watched(home) as daemon:
            sidecar = home.sidecar(picture(home.drop / "a.png"))
            told = events(daemon, "a.png")

    assert answer.text == sidecar["analysis"]["identifier"]
    assert "human" == sidecar["outcome"]
    assert "deferred" not in told


# The account and the network: everybody waits, nothing fails.


@pytest.mark.parametrize("status", [502, 503])
def test_a_gateway_in_trouble_holds_everybody_and_heals(tmp_path: Path, status: int) -> None:
    """502 to 504 are nobody's failure: all wait, one at a time finds out, and in the end each is paid once."""
    names = [f"{number}.png" for number in range(4)]
    fault = Fault(kind=FaultKind.STATUS, match=Endpoint.UPLOAD, status=status, times=3)
    with house(tmp_path, Script(faults=(fault,)), api={"uploads": 1}) as home, watched(home) as daemon:
        for name in names:
            picture(home.drop / name)
        for name in names:
            home.sidecar(home.drop / name)
        found = lines(daemon)
    assert [0] * 4 == [one.analysis.failures for one in found if one.analysis is not None]
    assert 3 == home.simulator.state.count(Endpoint.UPLOAD, status=status)
    assert 4 == len(home.simulator.state.charged)


def test_a_connection_that_is_refused_holds_everybody_and_heals(tmp_path: Path) -> None:
    """While nothing listens nothing fails or is in doubt, and when the API is back all is judged."""
    with house(tmp_path) as home:
        port = urlsplit(home.simulator.url).port
        assert port is not None
        home.simulator.stop()
        with watched(home) as daemon:
            paths = [picture(home.drop / f"{number}.png") for number in range(3)]
            wait_for(lambda: account(daemon).holds >= 2, "identifAI holds us")
            waiting = lines(daemon)
            assert {(AnalysisState.QUEUED, False, 0)} >= {
                (one.analysis.state, one.analysis.doubt, one.analysis.failures)
                for one in waiting
                if one.analysis is not None and one.analysis.state is AnalysisState.QUEUED
            }
            with Simulator(Script(key=KEY), port=port) as again:
                for path in paths:
                    home.sidecar(path)
                assert 3 == len(again.state.charged)
            assert 0 == sum(one.analysis.failures for one in lines(daemon) if one.analysis is not None)


def _in_seconds() -> str:
    return "1"


def _as_a_date() -> str:
    """Return the whole second that is one to two seconds away: a date has no fractions."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)


@pytest.mark.parametrize("written", [_in_seconds, _as_a_date])
def test_retry_after_is_kept_to(tmp_path: Path, written: Callable[[], str]) -> None:
    """After 429 nothing is sent for as long as the API asked, whether it gave seconds or a date."""
    with house(tmp_path) as home, watched(home) as daemon:
        slow_down = Fault(
            kind=FaultKind.STATUS, match=Endpoint.UPLOAD, status=429, headers={"Retry-After": written()}
        )
        home.simulator.change(faults=(slow_down,))
        until = datetime.now(UTC) + timedelta(seconds=1)
        path = picture(home.drop / "a.png")
        assert home.simulator.state.wait_for(lambda state: state.throttled == 1)
        wait_for(lambda: account(daemon).hold_until, "identifAI holds us")
        held_until = account(daemon).hold_until
        home.sidecar(path)
        told = events(daemon, "a.png")
    first, second = [one.at for one in home.simulator.state.requests if one.endpoint is Endpoint.UPLOAD]
    assert held_until is not None
    assert held_until >= until
    assert second - first >= (1.0 if written is _in_seconds else 0.0)
    assert "deferred" not in told
    assert 1 == len(home.simulator.state.charged)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((401, {"error": "Unauthorized"}), PauseReason.KEY),
        ((403, {"error": "Forbidden"}), PauseReason.TERMS),
        ((400, {"error": "Not enough credits."}), PauseReason.CREDITS),
    ],
    ids=["key", "terms", "credits"],
)
def test_a_refused_account_pauses_everything_and_fails_nothing(
    tmp_path: Path, answer: tuple[int, dict[str, str]], why: PauseReason
) -> None:
    """401, 403 on a POST and exhausted credits pause the account; a reload has it looked at, and all goes on."""
    status, body = answer
    fault = Fault(kind=FaultKind.STATUS, match=Endpoint.UPLOAD, status=status, body=body)
    with house(tmp_path, Script(faults=(fault,)), api={"uploads": 1}) as home, watched(home) as daemon:
        paths = [picture(home.drop / f"{number}.png") for number in range(3)]
        wait_for(lambda: account(daemon).state is AccountState.PAUSED, "the account is paused")
        wait_for(lambda: len(lines(daemon)) == 3, "all are admitted")
        paused = account(daemon)
        waiting = lines(daemon)
        daemon.ask_reload()
        for path in paths:
            home.sidecar(path)

    assert why is paused.reason
    assert {FileState.WAITING} == {one.file.state for one in waiting}
    assert {(AnalysisState.QUEUED, False, 0)} == {
        (one.analysis.state, one.analysis.doubt, one.analysis.failures) for one in waiting if one.analysis
    }
    assert 3 == len(home.simulator.state.charged)


# Identifiers.


def test_an_identifier_that_is_lost_is_submitted_once_more(tmp_path: Path) -> None:
    """403 for one identifier while the account answers: it is queued once more, and judged."""
    with house(tmp_path, Script(delay=3600)) as home, watched(home) as daemon:
        path = picture(home.drop / "a.png")

        def awaits() -> bool:
            found = line(daemon, "a.png")
            return found is not None and found.analysis is not None and found.analysis.identifier is not None

        wait_for(awaits, "the verdict is awaited")
        home.simulator.restart(Script(key=KEY, verdicts=(says("a.png", Label.HUMAN),)))
        sidecar = home.sidecar(path)
        told = events(daemon, "a.png")

    assert "human" == sidecar["outcome"]
    assert 1 == told.count("lost")
    assert 1 == home.simulator.state.count(Endpoint.UPLOAD)


def test_an_identifier_that_is_lost_twice_is_refused(tmp_path: Path) -> None:
    """An identifier that is refused again after the new submission ends as rejected, not as an endless loop."""
    fault = Fault(kind=FaultKind.STATUS, match=Endpoint.RESULT, status=403, times=None)
    with house(tmp_path, Script(faults=(fault,))) as home, watched(home):
        sidecar = home.sidecar(picture(home.drop / "a.png"))
    assert "rejected" == sidecar["outcome"]
    assert "no longer knows" in sidecar["reason"]
    assert 2 == home.simulator.state.count(Endpoint.UPLOAD)
    assert 1 == len(home.simulator.state.charged)


@pytest.mark.parametrize("status", [403, 414])
def test_a_batch_that_is_refused_as_a_whole_is_halved(tmp_path: Path, status: int) -> None:
    """A GET of several that is refused is asked for in halves, and nobody's verdict is lost."""
    names = [f"{number}.png" for number in range(4)]
    refused = Fault(kind=FaultKind.STATUS, match=Endpoint.RESULTS, status=status)
    with house(tmp_path, Script(delay=3600)) as home, watched(home) as daemon:
        for name in names:
            picture(home.drop / name)
        assert home.simulator.state.wait_for(lambda state: len(state.charged) == 4)
        wait_for(
            lambda: all(one.analysis and one.analysis.identifier for one in lines(daemon)), "all are awaited"
        )
        before = len(asked(home, Endpoint.RESULTS))
        home.simulator.change(delay=0, faults=(refused,))
        for name in names:
            home.sidecar(home.drop / name)
        sizes = asked(home, Endpoint.RESULTS)[before:]
    whole = next(size for size in sizes if size > 1)
    assert 4 == home.simulator.state.count(Endpoint.UPLOAD)
    assert 1 == home.simulator.state.count(Endpoint.RESULTS, status=status)
    assert whole >= 2
    assert all(size < whole for size in sizes[sizes.index(whole) + 1 :][:2])


# What is wrong here, not there.


def test_a_ledger_from_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    """A ledger that a newer version wrote ends the start with 78, and not a byte of it is changed."""
    with house(tmp_path) as home:
        Ledger(home.ledger_url, node="here").close()
        ledger = tmp_path / "state" / "ledger.db"
        with closing(sqlite3.connect(ledger)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
            connection.commit()
        before = ledger.read_bytes()
        ended = home.command("run")
        after = ledger.read_bytes()
    assert Exit.CONFIG == ended.returncode
    assert "newer version" in ended.stderr
    assert "9999" in ended.stderr
    assert before == after


def test_without_a_key_the_start_names_the_three_places(tmp_path: Path) -> None:
    """No key: the three places it is looked for in, and 77."""
    with house(tmp_path, api={"key_file": str(tmp_path / "nowhere")}) as home:
        ended = home.command("run", environ={"IDENTIFAI_API_KEY": ""})
    assert Exit.ACCOUNT == ended.returncode
    for place in ("IDENTIFAI_API_KEY", "systemd credential", str(tmp_path / "nowhere")):
        assert place in ended.stderr
    assert "Traceback" not in ended.stderr


def test_five_mistakes_give_five_messages(tmp_path: Path) -> None:
    """A configuration with five mistakes is refused with five lines, each with its dotted name, and 78."""
    mistakes = {
        "api": {"uploads": 0, "post_per_second": 1},
        "folder": [{"path": str(tmp_path), "name": "drop", "settle_secnds": 1, "action": "throw"}],
        "limits": {"image": "much"},
    }
    with house(tmp_path, more=mistakes) as home:
        ended = home.command("run")
    problems = [text.strip() for text in ended.stderr.splitlines()[1:]]
    named = sorted(text.partition(":")[0] for text in problems)
    assert Exit.CONFIG == ended.returncode
    assert [
        "api.post_per_second",
        "api.uploads",
        "folder.drop.action",
        "folder.drop.settle_secnds",
        "limits.image",
    ] == named
    assert any("settle_seconds" in text for text in problems)
    assert any("posts_per_second" in text for text in problems)


def test_a_destination_inside_another_folder_is_refused_at_the_start(tmp_path: Path) -> None:
    """A folder whose results would land in another watched folder is refused before anything is touched."""
    with house(tmp_path) as home:
        pair = folders(home, one={"action": "move", "human": str(tmp_path / "two" / "in")}, two={})
        home.more = {"folder": pair}
        ended = home.command("run")
    assert Exit.CONFIG == ended.returncode
    assert "folder.one.human" in ended.stderr
    assert "two" in ended.stderr
    assert not (tmp_path / "state").exists()


def report(daemon: Daemon, name: str) -> dict[str, Any]:
    """Return what other processes are told of a folder."""
    with daemon.shift.ledger.read() as tx:
        found = desk.node_report(tx, "here")
    told = [] if found is None else found[1]["folders"]
    return next((one for one in told if one["name"] == name), {})


def test_a_folder_that_does_not_exist_stops_only_itself(tmp_path: Path) -> None:
    """A folder that is not there is unavailable with the reason, the others work, and it heals when it appears."""
    with house(tmp_path) as home:
        home.more = {"folder": folders(home, one={}, two={})}
        (tmp_path / "two").rmdir()
        with watched(home) as daemon:
            wait_for(lambda: report(daemon, "two").get("health") == "unavailable", "it is unavailable")
            reason = report(daemon, "two")["reason"]
            home.sidecar(picture(tmp_path / "one" / "a.png"))
            home.sidecar(picture(tmp_path / "two" / "b.png"))
            wait_for(lambda: report(daemon, "two").get("health") == "ok", "it is healed")
    assert str(tmp_path / "two") in reason or "no such" in reason.lower()
    assert 2 == len(home.simulator.state.charged)
