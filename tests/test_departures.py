"""Where requests wait for their instants: the windows hold for when they really leave."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from identifai_watch import config
from identifai_watch.api import Cancelled
from identifai_watch.core import gate
from identifai_watch.dispatch.departures import Departures
from identifai_watch.ledger import Ledger, budget
from identifai_watch.shift import Shift

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATE = timedelta(milliseconds=40)


class Clock:
    """A clock that is set, and goes on when somebody waits for it."""

    def __init__(self) -> None:
        self.now = NOW
        self.step = timedelta(0)

    def __call__(self) -> datetime:
        """Tell the time, which goes on by ``step`` with each look."""
        self.now += self.step
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands."""
    return Clock()


@pytest.fixture
def shift(tmp_path: Path, clock: Clock) -> Iterator[Shift]:
    """Return a shift with the account's documented limits."""
    path = tmp_path / "identifai-watch.toml"
    (tmp_path / "drop").mkdir()
    path.write_text(config.dump({"folder": [{"path": str(tmp_path / "drop")}]}), encoding="utf-8")
    with Ledger(f"sqlite:///{tmp_path}/ledger.db", node="here") as ledger:
        yield Shift(config=config.load(path, {}), ledger=ledger, clock=clock)


def test_a_request_keeps_its_distance_from_one_that_left_late(shift: Shift, clock: Clock) -> None:
    """A thread that woke 40 ms after its instant was as far from the next one as the account wants, all the same."""
    departures = Departures(shift)
    clock.step = LATE / 2  # one look for its instant, one for how long to wait, one as it leaves
    departures("POST")
    (left,) = departures._left["POST"]
    assert NOW + LATE < left
    clock.now, clock.step = left - LATE + gate.SECOND, timedelta(milliseconds=10)
    departures("POST")
    assert left + gate.SECOND <= departures._left["POST"][-1] < left + gate.SECOND + LATE
    with shift.ledger.read() as tx:
        assert 2 == len(budget.sent(tx, "POST", clock.now))


def test_a_clock_that_was_set_back_keeps_nobody_waiting(shift: Shift, clock: Clock) -> None:
    """What left at an instant that is still to come says nothing."""
    departures = Departures(shift)
    departures("GET")
    clock.now -= timedelta(hours=2)
    departures("GET")
    assert [NOW, NOW - timedelta(hours=2)] == list(departures._left["GET"])


def test_no_more_is_kept_than_the_widest_window_asks_for(shift: Shift, clock: Clock) -> None:
    """Sixty GETs a minute: sixty instants."""
    departures = Departures(shift)
    for _ in range(70):
        departures("GET")
        clock.now += timedelta(seconds=2)
    assert 60 == len(departures._left["GET"])


def test_nothing_leaves_once_the_daemon_stops(shift: Shift) -> None:
    """Neither what has yet to take its instant nor what waits for it."""
    departures = Departures(shift)
    departures("POST")
    shift.stopping.set()
    with pytest.raises(Cancelled):
        departures("POST")
    assert 1 == len(departures._left["POST"])
