"""When a file counts as whole, in a pretended time of seconds after noon."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core import settling
from identifai_watch.core.model import Fingerprint
from identifai_watch.core.settling import Candidate, Policy, Sample, Wait, Whole

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LOCAL = Policy(settle=timedelta(seconds=5), network=False)
NETWORK = Policy(settle=timedelta(seconds=5), network=True)


def at(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def version(number: int, size: int = 100) -> Fingerprint:
    """One version of a file."""
    return Fingerprint(size=size, mtime_ns=number, ctime_ns=number, inode=1)


def sample(
    number: int = 1, *, size: int = 100, writer: bool | None = False, shortfall: str | None = None
) -> Sample:
    """A look at such a version."""
    return Sample(fingerprint=version(number, size), writer=writer, shortfall=shortfall)


def noticed(seconds: float = 0, *, renamed: bool = False) -> Candidate:
    """A path that is noticed for the first time."""
    return settling.notice(None, at(seconds), renamed=renamed)


@dataclass
class Change:
    """From this second on the file looks so; ``event`` is whether somebody tells."""

    second: float
    sample: Sample
    event: bool = True


@dataclass
class Play:
    """Lets the daemon's part be played: it samples when it is told to, and hears of events as they come."""

    changes: list[Change]
    policy: Policy = LOCAL
    renamed: bool = False
    waits: list[Wait] = field(default_factory=list)

    def run(self) -> float:
        """Give the second at which the file counts as whole."""
        pending = list(self.changes)
        first = pending.pop(0)
        candidate, shown, now = noticed(first.second, renamed=self.renamed), first.sample, at(first.second)
        for _ in range(2000):
            decision = settling.decide(candidate, now, self.policy)
            if isinstance(decision, Whole):
                assert shown.fingerprint.is_like(decision.fingerprint, self.policy.granularity)
                return (now - NOON).total_seconds()
            assert decision.until >= now
            self.waits.append(decision)
            if pending and at(pending[0].second) <= decision.until:
                change = pending.pop(0)
                shown, now = change.sample, at(change.second)
                if change.event:
                    candidate = settling.notice(candidate, now, renamed=False)
            else:
                now = decision.until
                candidate = settling.sampled(candidate, shown, now, self.policy.granularity)
        raise AssertionError("never whole")


def test_a_quiet_file_is_whole_after_the_settle_time_and_three_samples() -> None:
    """A file that was written at once is whole at 5 s, looked at three times on the way."""
    play = Play([Change(0, sample())])
    assert 5 == play.run()
    thirds = [at(5 / 3), at(10 / 3), at(5)]
    assert thirds == [wait.until for wait in play.waits]


def test_each_event_begins_the_wait_anew() -> None:
    """Quiet is counted since the last event."""
    assert 7 == Play([Change(0, sample()), Change(1, sample(2)), Change(2, sample(3))]).run()


def test_a_change_that_no_event_told_begins_the_wait_anew() -> None:
    """On a mount without events the samples alone tell; the change counts from when it was seen."""
    assert Play([Change(0, sample()), Change(2, sample(2), event=False)]).run() > 7


def test_a_change_back_to_the_same_size_counts() -> None:
    """Size is nothing alone; another ctime is another version."""
    assert Play([Change(0, sample(1)), Change(3, sample(2), event=False)]).run() > 8


def test_times_that_jitter_within_the_granularity_are_no_change() -> None:
    """Where the nodes of a cluster tell different times, samples that differ by no more than that agree."""
    changes = [Change(second / 2, sample(second % 2 * 2_000_000), event=False) for second in range(30)]
    policy = Policy(settle=timedelta(seconds=5), network=False, granularity=timedelta(milliseconds=2))
    assert 5 == Play(list(changes), policy=policy).run()
    assert Play(list(changes), policy=replace(policy, granularity=timedelta(milliseconds=1))).run() > 5


def test_times_that_creep_are_a_change_in_the_end() -> None:
    """A writer in place, whose looks differ by less than the granularity each, is not taken before it is done."""
    changes = [Change(second, sample(second * 1_000_000_000), event=False) for second in range(20)]
    policy = Policy(settle=timedelta(seconds=5), network=False, granularity=timedelta(seconds=2))
    assert Play(changes, policy=policy).run() > 20


def test_old_and_future_timestamps_mean_nothing() -> None:
    """Cp -p and a wrong clock: fingerprints are compared for equality only."""
    for mtime in (0, -(10**18), 4 * 10**18):
        assert 5 == Play([Change(0, sample(mtime))]).run()


def test_a_network_file_waits_ten_seconds_at_least() -> None:
    """Nobody can tell whether there is a writer, so the time is longer."""
    assert 10 == Play([Change(0, sample(writer=None))], policy=NETWORK).run()


def test_a_longer_settle_time_holds_on_the_network_too() -> None:
    """Ten seconds are the least, not the most."""
    policy = Policy(settle=timedelta(seconds=60), network=True)
    assert 60 == Play([Change(0, sample(writer=None))], policy=policy).run()


def test_a_file_that_was_renamed_in_is_whole_at_once() -> None:
    """By convention it is complete: one sample and no writer."""
    play = Play([Change(0, sample())], renamed=True)
    assert 0 == play.run()
    assert 1 == len(play.waits)


def test_a_rename_without_a_probe_is_believed() -> None:
    """Where nobody can tell of a writer, the convention holds."""
    assert 0 == Play([Change(0, sample(writer=None))], renamed=True).run()


def test_a_renamed_file_with_a_writer_settles_like_any_other() -> None:
    """The convention was broken: somebody has it open."""
    play = Play([Change(0, sample(writer=True)), Change(3, sample(1), event=False)], renamed=True)
    assert play.run() >= 5


def test_an_event_after_the_rename_ends_the_convention() -> None:
    """Who writes to a file under its final name is not done with it."""
    assert 6 == Play([Change(0, sample(writer=True)), Change(1, sample(2))], renamed=True).run()


def test_a_rename_over_a_candidate_drops_what_was_known() -> None:
    """Another file has the name now: its samples and gaps are its own."""
    candidate = settling.sampled(settling.notice(noticed(), at(100), renamed=False), sample(), at(101))
    renamed = settling.notice(candidate, at(110), renamed=True)
    assert Candidate(noticed_at=at(0), changed_at=at(110), renamed=True) == renamed


def test_a_preallocated_file_waits_as_long_as_it_is_open() -> None:
    """Size and times are constant, and still somebody will write."""
    play = Play([Change(0, sample(writer=True)), Change(300, sample(2))])
    assert 300 < play.run() <= 300 + 600
    reasons = [wait.why for wait in play.waits if wait.until < at(300)]
    assert {"it was just noticed", "somebody is writing to it"} == set(reasons)


def test_a_file_held_open_is_looked_at_more_and_more_seldom() -> None:
    """At most every 30 s once it has lasted: a recording of a day is not looked at 50,000 times."""
    play = Play([Change(0, sample(writer=True)), Change(3600, sample(2))])
    play.run()
    assert len(play.waits) < 300


@pytest.mark.parametrize(("pause", "whole"), [(1, 1 + 5), (4, 4 + 8), (100, 100 + 200), (400, 400 + 600)])
def test_the_wait_grows_with_the_longest_gap(pause: float, whole: float) -> None:
    """Who paused may pause so again; twice the gap is waited, at most ten minutes."""
    candidate = settling.notice(noticed(), at(pause), renamed=False)
    for second in (whole - 3, whole - 2, whole - 1):
        candidate = settling.sampled(candidate, sample(), at(second))
    assert isinstance(settling.decide(candidate, at(whole - 1), LOCAL), Wait)
    candidate = settling.sampled(candidate, sample(), at(whole))
    assert Whole(fingerprint=version(1)) == settling.decide(candidate, at(whole), LOCAL)


def test_a_short_container_is_waited_for_a_minute_and_then_taken() -> None:
    """A broken file is never refused for being broken."""
    play = Play([Change(0, sample(shortfall="no moov"))])
    assert 60 == pytest.approx(play.run(), abs=1)
    assert "its container says there is more to come (no moov)" == play.waits[-1].why


def test_a_short_container_waits_four_times_the_longest_gap() -> None:
    """A writer that paused 40 s gets 160 s."""
    play = Play([Change(0, sample(1, writer=True)), Change(40, sample(2, shortfall="no IEND"))])
    assert 200 == pytest.approx(play.run(), abs=1)


def test_a_short_container_waits_ten_minutes_at_most() -> None:
    """A gap of ten minutes does not make it forty."""
    play = Play([Change(0, sample(1, writer=True)), Change(600, sample(2, shortfall="no IEND"))])
    assert 1200 == pytest.approx(play.run(), abs=1)


def test_a_container_that_becomes_whole_is_taken_after_the_settle_time() -> None:
    """Once there is nothing missing, the minute is of no matter."""
    assert 15 == Play([Change(0, sample(shortfall="no moov")), Change(5, sample(2))]).run()


def test_a_renamed_short_container_waits() -> None:
    """The convention does not outweigh what the container says of itself."""
    assert 60 == pytest.approx(Play([Change(0, sample(shortfall="no moov"))], renamed=True).run(), abs=1)


def test_an_empty_file_is_a_placeholder_for_ten_minutes() -> None:
    """Finder makes one first and fills it later."""
    play = Play([Change(0, sample(size=0))])
    assert 600 <= play.run() <= 640
    assert "it is empty" == play.waits[1].why


def test_a_placeholder_that_is_filled_settles_in_the_usual_time() -> None:
    """The time before the first byte is no pause between writes."""
    assert 125 == pytest.approx(Play([Change(0, sample(size=0)), Change(120, sample(2))]).run(), abs=0.1)


def test_late_samples_are_not_taken_all_at_once() -> None:
    """If the first look comes after the settle time, two more follow, and not in the same instant."""
    candidate = settling.sampled(noticed(), sample(), at(30))
    decision = settling.decide(candidate, at(30), LOCAL)
    assert isinstance(decision, Wait)
    assert timedelta(seconds=5 / 6) == decision.until - at(30)


def test_a_sample_older_than_the_last_event_proves_nothing() -> None:
    """A look that was under way when the event came may have seen the old file."""
    renamed = settling.notice(noticed(), at(10), renamed=True)
    stale = settling.sampled(renamed, sample(1), at(9.9))
    assert isinstance(settling.decide(stale, at(10), LOCAL), Wait)
    fresh = settling.sampled(stale, sample(2), at(10.1))
    assert Whole(fingerprint=version(2)) == settling.decide(fresh, at(10.1), LOCAL)


def test_a_clock_that_was_set_back_delays_nothing_by_more_than_the_wait() -> None:
    """After a step of an hour the next sample is due within the settle time."""
    decision = settling.decide(noticed(3600), at(0), LOCAL)
    assert isinstance(decision, Wait)
    assert decision.until <= at(5)
    candidate = settling.sampled(noticed(3600), sample(), at(1))
    assert at(1) == candidate.changed_at


def test_no_settle_time_still_asks_for_three_equal_samples() -> None:
    """``settle_seconds = 0`` is allowed and asks for no time, but three looks."""
    play = Play([Change(0, sample())], policy=Policy(settle=timedelta(0), network=False))
    assert 0 == play.run()
    assert 3 == len(play.waits)


CHANGES = st.lists(
    st.tuples(
        st.floats(min_value=0.01, max_value=200),
        st.sampled_from([0, 10, 100]),
        st.sampled_from([True, False, None]),
        st.sampled_from([None, "no moov"]),
        st.booleans(),
    ),
    max_size=8,
)


@given(steps=CHANGES, renamed=st.booleans(), network=st.booleans())
def test_whatever_happens_it_is_whole_in_the_end_and_never_while_written(
    *, steps: list[tuple[float, int, bool | None, str | None, bool]], renamed: bool, network: bool
) -> None:
    """A file that stops changing is whole within the longest waits, after its last change, with no writer."""
    second, changes = 0.0, [Change(0, sample(0))]
    for number, (pause, size, writer, shortfall, event) in enumerate(steps, 1):
        second += pause
        changes.append(Change(second, sample(number, size=size, writer=writer, shortfall=shortfall), event))
    second += 100
    changes.append(Change(second, sample(99)))
    play = Play(changes, policy=NETWORK if network else LOCAL, renamed=renamed)
    assert play.run() <= second + 600 + 40


@given(st.floats(min_value=0, max_value=4.99), st.integers(min_value=0, max_value=10))
def test_nothing_is_whole_before_the_settle_time(second: float, samples: int) -> None:
    """However often one looks, before 5 s of quiet nothing is decided."""
    candidate = noticed()
    for number in range(samples):
        candidate = settling.sampled(candidate, sample(), at(second * number / samples))
    assert isinstance(settling.decide(candidate, at(second), LOCAL), Wait)
