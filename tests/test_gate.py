"""When requests may go: the account's windows, its pauses, and what holds everybody."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from identifai_watch.core import gate, standing
from identifai_watch.core.events import (
    AccountEvent,
    Barred,
    Cleared,
    Credited,
    Healthy,
    Resumed,
    Throttled,
    Unreachable,
)
from identifai_watch.core.gate import Limits, Window
from identifai_watch.core.model import Account, AccountState, PauseReason

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
BACKLOG = 300


def most_within(sent: Sequence[datetime], span: timedelta) -> int:
    """Return the most requests that any window of ``span`` (its end excluded) holds."""
    return max((bisect_left(sent, one + span) - n for n, one in enumerate(sent)), default=0)


def paused(why: PauseReason, probes: int = 1) -> Account:
    """Build a paused account whose next probe is due at NOW."""
    return Account(
        state=AccountState.PAUSED, reason=why, detail="as the API says", probes=probes, next_probe_at=NOW
    )


# The windows.


def test_there_are_two_windows_for_each_method() -> None:
    """Each method has its own second and its own minute, a little wider than the account's."""
    limits = Limits(posts_per_second=1, posts_per_minute=30, gets_per_second=2, gets_per_minute=60)
    assert (Window(count=1, span=gate.SECOND), Window(count=30, span=gate.MINUTE)) == limits.windows("POST")
    assert (Window(count=2, span=gate.SECOND), Window(count=60, span=gate.MINUTE)) == limits.windows("GET")
    assert gate.SECOND > SECOND
    assert gate.MINUTE > MINUTE


def test_nought_is_no_limit() -> None:
    """A limit of 0 makes no window, and without windows every instant is free."""
    limits = Limits(posts_per_second=0, posts_per_minute=0, gets_per_second=0)
    assert () == limits.windows("POST")
    assert [60] == [window.count for window in limits.windows("GET")]
    assert NOW == gate.next_instant([NOW + MINUTE], (), NOW)


def test_the_first_request_goes_at_once() -> None:
    """Nothing was sent: the next instant is now."""
    assert NOW == gate.next_instant([], Limits().windows("POST"), NOW)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([-0.5], 0.52),  # the second's window, with its guard
        ([-1.02], 0),
        ([2.0], 3.02),  # one that waits for its instant already
        ([-60.5 + n * 2 for n in range(30)], 0),
        ([-60 + n * 2 for n in range(30)], 0.5),  # the minute's window, with its guard
    ],
)
def test_the_next_instant_is_the_first_that_every_window_leaves_free(
    sent: list[float], expected: float
) -> None:
    """The wider of the two waits counts, and what waits already counts as sent."""
    instants = [NOW + at * SECOND for at in sent]
    assert NOW + expected * SECOND == gate.next_instant(instants, Limits().windows("POST"), NOW)


def test_several_instants_are_those_of_one_after_another() -> None:
    """A batch is told its instants as if each request had asked alone."""
    windows = Limits(posts_per_second=2, posts_per_minute=3).windows("POST")
    made: list[datetime] = []
    for _ in range(7):
        made.append(gate.next_instant(made, windows, NOW))
    assert made == gate.instants([], windows, NOW, 7)


@given(
    gaps=st.lists(st.floats(min_value=0, max_value=20), min_size=1, max_size=200),
    per_second=st.integers(min_value=0, max_value=5),
    per_minute=st.integers(min_value=0, max_value=60),
)
@example(gaps=[0.0] * 200, per_second=1, per_minute=30)
@example(gaps=[59.9, *([0.0] * 100)], per_second=2, per_minute=60)
@settings(deadline=None)
def test_no_window_of_the_account_is_ever_exceeded(
    gaps: list[float], per_second: int, per_minute: int
) -> None:
    """However requests arrive, each counted at its instant, the account's own windows hold."""
    windows = Limits(posts_per_second=per_second, posts_per_minute=per_minute).windows("POST")
    sent: list[datetime] = []
    now = NOW
    for gap in gaps:
        now += gap * SECOND
        instant = gate.next_instant(sent, windows, now)
        assert instant >= now
        sent.append(instant)
    assert sorted(sent) == sent
    assert per_second == 0 or most_within(sent, SECOND) <= per_second
    assert per_minute == 0 or most_within(sent, MINUTE) <= per_minute


@given(
    jitters=st.lists(st.floats(min_value=0, max_value=0.019), min_size=60, max_size=60),
    per_second=st.integers(min_value=1, max_value=5),
)
@settings(deadline=None)
def test_a_request_that_leaves_a_little_late_harms_no_window(jitters: list[float], per_second: int) -> None:
    """A thread wakes some milliseconds after its instant; the guard is wider than that."""
    windows = Limits(posts_per_second=per_second, posts_per_minute=0).windows("POST")
    instants = gate.instants([], windows, NOW, len(jitters))
    left = sorted(instant + jitter * SECOND for instant, jitter in zip(instants, jitters, strict=True))
    assert most_within(left, SECOND) <= per_second


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_backlog_uses_nearly_all_of_the_rate(method: str) -> None:
    """What the guards cost is under one per cent of what the account may do."""
    per_minute = 30 if method == "POST" else 60
    instants = gate.instants([], Limits().windows(method), NOW, BACKLOG)
    allowed = BACKLOG / per_minute * MINUTE
    assert instants[-1] - instants[0] + per_minute / BACKLOG * MINUTE < allowed + 0.01 * allowed + MINUTE
    full = instants[per_minute * (BACKLOG // per_minute - 1)] - instants[0]
    assert (BACKLOG // per_minute - 1) * MINUTE / full >= 0.99


# The purse.


def test_the_purse_is_a_sliding_day() -> None:
    """The purse is a window of a day; the backlog has a share of it."""
    limits = Limits(posts_per_day=101, backlog_share=0.8)
    assert Window(count=101, span=gate.DAY) == limits.purse(backlog=False)
    assert Window(count=80, span=gate.DAY) == limits.purse(backlog=True)


def test_a_share_of_a_small_purse_is_not_rounded_to_nothing() -> None:
    """One post a day with a share for the backlog is one for the backlog too; no share is none."""
    small = Limits(posts_per_day=1, backlog_share=0.8)
    none = Limits(posts_per_day=1, backlog_share=0.0)
    counts = [window.count for limits in (small, none) if (window := limits.purse(backlog=True)) is not None]
    assert [1, 0] == counts


def test_without_a_purse_there_is_no_window() -> None:
    """0 posts a day are no limit."""
    assert (None, None) == (Limits().purse(backlog=False), Limits().purse(backlog=True))


# What holds everybody.


def test_a_429_holds_everybody_for_as_long_as_it_asks() -> None:
    """Retry-After is the least; until then nothing goes, neither POST nor GET."""
    held = standing.after(Account(), Throttled(20 * SECOND), NOW, chance=0)
    before, at = NOW + 19.9 * SECOND, NOW + 20 * SECOND
    assert (at, 1) == (held.hold_until, held.holds)
    assert [False, True] == [gate.may_submit(held, now, in_flight=0) for now in (before, at)]
    assert [False, True] == [gate.may_poll(held, now, in_flight=0) for now in (before, at)]


def test_a_hold_is_never_shortened() -> None:
    """Of several answers at a time the one that asks for the longest wait counts."""
    held = standing.after(Account(), Throttled(60 * SECOND), NOW, chance=0)
    assert NOW + MINUTE == standing.after(held, Throttled(SECOND), NOW, chance=0).hold_until


def test_after_a_failure_one_request_at_a_time_probes() -> None:
    """When the hold is over the others wait until the first one got through."""
    held = standing.after(Account(), Unreachable("no route"), NOW, chance=0)
    assert [True, False] == [gate.may_submit(held, NOW, in_flight=n) for n in (0, 1)]
    assert [True, False] == [gate.may_poll(held, NOW, in_flight=n) for n in (0, 1)]
    well = standing.after(held, Healthy(), NOW)
    assert (None, 0, NOW) == (well.hold_until, well.holds, well.succeeded_at)
    assert gate.may_submit(well, NOW, in_flight=3)


def test_an_api_that_cannot_be_reached_is_probed_at_least_once_a_minute() -> None:
    """The wait doubles from 1 s to 60 s, without an end."""
    account, waits = Account(), []
    for _ in range(9):
        now = account.hold_until or NOW
        account = standing.after(account, Unreachable("no route"), now, chance=0.999999)
        assert account.hold_until is not None
        waits.append(round((account.hold_until - now).total_seconds()))
    assert [1, 2, 4, 8, 16, 32, 60, 60, 60] == waits
    assert AccountState.OK is account.state


# Pauses.


@pytest.mark.parametrize("why", [why for why in PauseReason if why is not PauseReason.OPERATOR])
def test_a_pause_is_probed_after_30_seconds_doubling_to_10_minutes(why: PauseReason) -> None:
    """A pause that goes on is looked at ever more rarely."""
    account, waits, now = Account(), [], NOW
    for _ in range(7):
        account = standing.after(account, Barred(why, "403"), now)
        assert account.next_probe_at is not None
        waits.append((account.next_probe_at - now).total_seconds())
        now = account.next_probe_at
    assert [30, 60, 120, 240, 480, 600, 600] == waits
    assert (AccountState.PAUSED, why, "403") == (account.state, account.reason, account.detail)


def test_what_was_under_way_when_a_pause_began_is_no_probe_of_it() -> None:
    """Four uploads that are refused together put the first probe off no longer than one does."""
    account = standing.after(Account(), Barred(PauseReason.KEY, "401"), NOW)
    assert account == standing.after(account, Barred(PauseReason.KEY, "401"), NOW + SECOND)


def test_a_pause_for_another_reason_begins_its_probes_anew() -> None:
    """A key that was put right and then has no credits is a new pause."""
    account = standing.after(paused(PauseReason.KEY, probes=6), Barred(PauseReason.CREDITS, "402"), NOW)
    assert (PauseReason.CREDITS, 1, NOW + 30 * SECOND) == (
        account.reason,
        account.probes,
        account.next_probe_at,
    )


def test_a_pause_ends_what_the_network_held() -> None:
    """What probes a pause does not wait for the network's hold as well."""
    held = standing.after(Account(), Unreachable("no route"), NOW, chance=1)
    account = standing.after(held, Barred(PauseReason.KEY, "401"), NOW)
    assert (None, 0) == (account.hold_until, account.holds)


@pytest.mark.parametrize(
    ("why", "submits", "polls", "balance"),
    [
        (PauseReason.KEY, False, False, True),
        (PauseReason.TERMS, True, False, False),
        (PauseReason.CREDITS, False, True, True),
        (PauseReason.FLOOR, False, True, True),
        (PauseReason.OPERATOR, False, True, False),
    ],
)
def test_what_goes_on_in_a_pause(why: PauseReason, *, submits: bool, polls: bool, balance: bool) -> None:
    """What was paid for is read while only money or the operator bars; one request of the right kind probes."""
    account = paused(why)
    assert submits is gate.may_submit(account, NOW, in_flight=0)
    assert polls is gate.may_poll(account, NOW, in_flight=0)
    assert balance is gate.wants_probe(account, NOW)


@pytest.mark.parametrize("why", [PauseReason.KEY, PauseReason.TERMS, PauseReason.CREDITS])
def test_a_pause_is_not_probed_before_its_time(why: PauseReason) -> None:
    """Until the next probe is due nothing is sent at all."""
    account = replace(paused(why), next_probe_at=NOW + SECOND)
    assert not gate.may_submit(account, NOW, in_flight=0)
    assert not gate.wants_probe(account, NOW)


def test_one_upload_at_a_time_probes_whether_the_terms_are_accepted() -> None:
    """Only a POST shows whether the terms hold; it goes alone."""
    assert not gate.may_submit(paused(PauseReason.TERMS), NOW, in_flight=1)


@pytest.mark.parametrize("why", PauseReason)
def test_an_account_that_is_all_right_wants_no_probe(why: PauseReason) -> None:
    """A pause that was cleared leaves nothing behind."""
    account = standing.after(paused(why), Resumed() if why is PauseReason.OPERATOR else Cleared(), NOW)
    assert Account() == account
    assert not gate.wants_probe(account, NOW + timedelta(days=1))


@pytest.mark.parametrize("why", [why for why in PauseReason if why is not PauseReason.OPERATOR])
def test_a_start_a_reload_or_a_retry_probes_a_pause_now(why: PauseReason) -> None:
    """It is not taken for lifted: one request finds out."""
    account = standing.after(replace(paused(why), next_probe_at=NOW + MINUTE), Resumed(), NOW)
    assert (AccountState.PAUSED, why, NOW) == (account.state, account.reason, account.next_probe_at)


def test_a_start_ends_the_network_s_wait() -> None:
    """A restarted daemon tries at once, with one request."""
    held = standing.after(Account(), Unreachable("no route"), NOW, chance=0.9)
    account = standing.after(held, Resumed(), NOW)
    assert (None, 1, None) == (account.hold_until, account.holds, account.next_probe_at)
    assert gate.may_submit(account, NOW, in_flight=0)


@pytest.mark.parametrize(
    "event",
    [
        Barred(PauseReason.KEY, "401"),
        Credited(100),
        Credited(0),
        Credited(3, floor=5),
        Cleared(),
        Healthy(),
        Throttled(),
        Unreachable("no route"),
    ],
    ids=repr,
)
def test_only_the_operator_ends_the_operator_s_pause(event: AccountEvent) -> None:
    """Whatever the API says meanwhile, what was paused by hand stays paused."""
    account = standing.after(Account(), Barred(PauseReason.OPERATOR, "by hand"), NOW)
    assert account.next_probe_at is None
    after = standing.after(account, event, NOW)
    assert (PauseReason.OPERATOR, "by hand", None) == (after.reason, after.detail, after.next_probe_at)
    assert Account() == replace(standing.after(account, Resumed(), NOW), succeeded_at=None)


# The balance.


@pytest.mark.parametrize("why", [PauseReason.KEY, PauseReason.CREDITS, PauseReason.FLOOR])
def test_a_balance_above_the_floor_lifts_what_it_was_the_reason_of(why: PauseReason) -> None:
    """Credits that can be read and suffice are an account that is all right."""
    account = standing.after(paused(why), Credited(5, floor=5), NOW)
    assert Account(credits=5, credits_at=NOW) == account


def test_a_balance_does_not_lift_terms_that_were_not_accepted() -> None:
    """The credits say nothing about the terms."""
    account = standing.after(paused(PauseReason.TERMS), Credited(5), NOW)
    assert (PauseReason.TERMS, 5) == (account.reason, account.credits)


def test_a_balance_that_is_only_asked_for_pauses_nothing() -> None:
    """Without a floor an account that works goes on with no credits at all; one that is paused for them stays so."""
    account = standing.after(Account(), Credited(0, floor=None), NOW)
    assert (AccountState.OK, 0, NOW) == (account.state, account.credits, account.credits_at)
    still = standing.after(paused(PauseReason.CREDITS), Credited(0, floor=None), NOW)
    assert PauseReason.CREDITS is still.reason
    assert AccountState.OK is standing.after(still, Credited(5, floor=None), NOW).state


@pytest.mark.parametrize(
    ("credits_left", "floor", "why", "detail"),
    [
        (0, 0, PauseReason.CREDITS, "no credits are left"),
        (-1, 0, PauseReason.CREDITS, "no credits are left"),
        (0, 10, PauseReason.CREDITS, "no credits are left"),
        (9.5, 10, PauseReason.FLOOR, "9.5 credits are left, below credits_floor = 10"),
    ],
)
def test_a_balance_pauses_at_nothing_and_below_the_floor(
    credits_left: float, floor: float, why: PauseReason, detail: str
) -> None:
    """The pause says how much there is, and what it was held against."""
    account = standing.after(Account(), Credited(credits_left, floor=floor), NOW)
    assert (why, detail, credits_left) == (account.reason, account.detail, account.credits)


EVENTS = st.sampled_from(
    [
        Healthy(),
        Throttled(),
        Throttled(30 * SECOND),
        Unreachable("no route"),
        *(Barred(why, "403") for why in PauseReason),
        Resumed(),
        Credited(0),
        Credited(3, floor=5),
        Credited(100, floor=5),
        Cleared(),
    ]
)


def test_the_events_of_these_tests_are_all_there_are() -> None:
    """Nothing that may happen to the account is left out of the walk below."""
    walked = {Healthy, Throttled, Unreachable, Barred, Resumed, Credited, Cleared}
    assert walked == set(get_args(AccountEvent))


@given(events=st.lists(EVENTS, max_size=40))
def test_an_account_is_never_paused_without_a_reason_and_a_way_out(events: list[AccountEvent]) -> None:
    """Whatever happens, a pause says why and is looked at again, unless it is the operator's."""
    account, now = Account(), NOW
    for event in events:
        now += SECOND
        account = standing.after(account, event, now)
        is_paused = account.state is AccountState.PAUSED
        assert is_paused == (account.reason is not None)
        if is_paused and account.reason is not PauseReason.OPERATOR:
            assert account.next_probe_at is not None
            assert account.next_probe_at <= now + timedelta(minutes=10)
        else:
            assert account.next_probe_at is None
        late = now + timedelta(hours=1)
        assert account.reason is PauseReason.OPERATOR or (
            gate.wants_probe(account, late) or gate.may_submit(account, late, in_flight=0)
        )
