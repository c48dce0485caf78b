"""How a folder is, as a table; and the scan as the proof of the events."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest

from identifai_watch.core import health
from identifai_watch.core.health import (
    DISTRUST,
    FEW,
    HEALTH,
    REMEMBERED,
    Condition,
    Health,
    HealthEvent,
    Reached,
    Unheard,
    Unreachable,
    Unwatched,
)
from identifai_watch.core.model import Fingerprint
from identifai_watch.witness import GRACE, Witness
from tests.harness import house, wait_for
from tests.watching import intake, picture, scan

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def then(condition: Condition, *events: HealthEvent, at: datetime = NOW) -> Condition:
    """Return how a folder is after events, all of them at one instant."""
    for event in events:
        condition = health.after(condition, event, at)
    return condition


def test_every_event_is_known_in_every_state() -> None:
    """Whatever happens to a folder, the table says what follows."""
    assert set(Health) == set(HEALTH)
    assert [set(get_args(HealthEvent))] * len(HEALTH) == [set(row) for row in HEALTH.values()]


@pytest.mark.parametrize("before", Health)
def test_a_root_that_answers_heals(before: Health) -> None:
    """What it was before does not matter once it is reached and noticed as configured."""
    after = then(Condition(health=before, reason="before"), Reached())
    assert (Health.OK, None) == (after.health, after.reason)


def test_a_remark_is_no_illness() -> None:
    """That a network share is scanned is as configured; it is said all the same."""
    after = then(Condition(), Reached("no events on nfs4"))
    assert (Health.OK, "no events on nfs4") == (after.health, after.reason)


def test_the_reason_is_that_of_the_last_event_and_since_that_of_the_state() -> None:
    """A reason may change while the state goes on."""
    first = then(Condition(since=NOW), Unreachable("stale"), at=NOW + timedelta(seconds=1))
    second = then(first, Unreachable("not there"), at=NOW + timedelta(seconds=9))
    assert ("not there", first.since) == (second.reason, second.since)
    assert NOW + timedelta(seconds=1) == first.since


def test_a_few_files_that_no_event_named_are_no_illness() -> None:
    """One may slip through when a directory is made; one more than a few, and events are done without."""
    few = then(Condition(), Unheard(FEW))
    assert Health.OK is few.health
    many = then(few, Unheard(1))
    assert Health.DEGRADED is many.health
    assert many.reason is not None
    assert f"{FEW + 1} files that no event had named" in many.reason
    assert many.distrust(NOW + DISTRUST / 2) == many.reason
    assert many.distrust(NOW + DISTRUST) is None


def test_what_no_event_named_long_ago_is_forgotten() -> None:
    """A file in a month makes no folder ill."""
    condition = Condition()
    for days in range(20):
        condition = then(condition, Unheard(1), at=NOW + days * timedelta(days=30))
    assert Health.OK is condition.health
    assert REMEMBERED < timedelta(days=30)


def test_a_folder_out_of_reach_is_not_healed_by_a_scan_that_ends() -> None:
    """A scan that hung and then ended says nothing of how the root is now."""
    assert Health.UNAVAILABLE is then(Condition(), Unreachable("it hangs"), Unheard(100)).health


def test_an_unwatched_folder_is_degraded_until_it_is_watched() -> None:
    """Where events were wanted and there are none the scan serves, and that is said."""
    after = then(Condition(), Unwatched("the limit of inotify watches is reached"))
    assert (Health.DEGRADED, "the limit of inotify watches is reached") == (after.health, after.reason)
    assert Health.OK is then(after, Reached()).health


# The witness.


class Clock:
    """A clock that a test winds by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        """Return what it shows."""
        return self.now

    def wind(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


def shape(at: datetime) -> Fingerprint:
    """Return a file that was written at an instant."""
    nanoseconds = int(at.timestamp()) * 1_000_000_000
    return Fingerprint(size=1, mtime_ns=nanoseconds, ctime_ns=nanoseconds, inode=1)


def listening(clock: Clock) -> Witness:
    """Return a witness that has listened for a minute."""
    witness = Witness(clock)
    witness.armed()
    clock.wind(60)
    return witness


def found(witness: Witness, clock: Clock, *paths: bytes, ago: float = 20) -> int:
    """Have a whole scan find files that were written ``ago`` seconds before it began; return how many count."""
    witness.begin()
    for path in paths:
        witness.saw(path, shape(clock.now - timedelta(seconds=ago)))
    clock.wind(1)
    return witness.end()


def test_a_file_that_no_event_named_counts() -> None:
    """It was written while events were listened to, and long enough ago for one to have come."""
    clock = Clock()
    witness = listening(clock)
    assert 2 == found(witness, clock, b"a.jpg", b"b.jpg")
    assert 1 == found(witness, clock, b"c.jpg")
    assert 3 == witness.total


@pytest.mark.parametrize("ago", [0, GRACE.total_seconds() - 1, 59, 90])
def test_a_file_that_an_event_may_still_name_does_not_count(ago: float) -> None:
    """Neither one that was just written, nor one from before the watch was armed."""
    clock = Clock()
    witness = listening(clock)
    assert 0 == found(witness, clock, b"a.jpg", ago=ago)


def test_what_is_below_a_named_directory_does_not_count() -> None:
    """An event names a directory that is moved in, and none what is in it: once the scan was there that is over."""
    clock = Clock()
    witness = listening(clock)
    witness.named(b"moved")
    clock.wind(1)
    assert 1 == found(witness, clock, b"moved/a.jpg", b"moved/b/c.jpg", b"moved-not/a.jpg")
    assert 1 == found(witness, clock, b"moved/later.jpg")


def test_events_that_were_lost_with_a_word_do_not_count() -> None:
    """The kernel said that its queue ran over: the scan that begins after that finds what was lost."""
    clock = Clock()
    witness = listening(clock)
    witness.begin()
    clock.wind(1)
    witness.overflowed()
    witness.saw(b"a.jpg", shape(clock.now - timedelta(seconds=20)))
    assert 0 == witness.end()
    clock.wind(1)
    assert 0 == found(witness, clock, b"b.jpg")
    assert 1 == found(witness, clock, b"c.jpg")
    assert 1 == witness.overflows


def test_without_a_watch_nothing_counts() -> None:
    """Where only scans look there is no event that could have named it."""
    clock = Clock()
    witness = listening(clock)
    witness.disarmed()
    assert 0 == found(witness, clock, b"a.jpg")


# The folder.


def test_a_folder_whose_events_tell_too_little_is_scanned_only_until_they_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its watch is put down and its reason said; after the distrust it is watched again."""
    with house(tmp_path, folder={"rescan_seconds": 600.0}) as home, home.daemon() as daemon:
        scan(daemon)
        one = intake(daemon)
        assert (Health.OK, "events") == (one.patrol.health, one.patrol.mode)
        monkeypatch.setattr(health, "DISTRUST", timedelta(seconds=3))
        one.patrol._become(Unheard(FEW + 1))
        scan(daemon)
        assert (Health.DEGRADED, "scan") == (one.patrol.health, one.patrol.mode)
        assert "no event had named" in str(one.patrol.report()["reason"])
        path = picture(home.drop / "a.png")
        scan(daemon)
        home.sidecar(path)

        def is_watched() -> bool:
            scan(daemon)
            return one.patrol.health is Health.OK and one.patrol.mode == "events"

        wait_for(is_watched, "it is watched again")
