"""What is wrong for too long is told once, and once when it is over."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from identifai_watch.core import alarms
from identifai_watch.core.alarms import AWAY_AFTER, DAY, STUCK_AFTER, Alarm, Stuck, Trouble, Watch
from identifai_watch.core.health import Health
from identifai_watch.core.model import Account, AccountState, PauseReason
from identifai_watch.core.notices import Kind

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FINE = Watch(name="w", healed="it is over")
WRONG = replace(FINE, trouble=Trouble(said="it is wrong\nTo do: mend it"))


class Ledger:
    """What is known, look after look."""

    def __init__(self) -> None:
        self.known: dict[str, Alarm] = {}

    def look(self, now: datetime, *watches: Watch) -> list[tuple[Kind, str]]:
        """Look once, keep what is to be kept, and return what people are told."""
        changes = alarms.after(self.known, watches, now)
        self.known = {name: one for name, one in self.known.items() if name not in changes.over}
        self.known |= {one.name: one for one in changes.kept}
        return [(notice.kind, notice.title) for notice in changes.notices]


def test_an_alarm_is_told_once_and_healed_once() -> None:
    """However often it is looked at."""
    ledger = Ledger()
    assert [(Kind.ALARM, "it is wrong")] == ledger.look(NOW, WRONG)
    assert [] == ledger.look(NOW, WRONG)
    assert [] == ledger.look(NOW + 5 * DAY, WRONG)
    assert [(Kind.HEALED, "it is over")] == ledger.look(NOW + 5 * DAY, FINE)
    assert [] == ledger.look(NOW + 6 * DAY, FINE)
    assert {} == ledger.known
    assert [(Kind.ALARM, "it is wrong")] == ledger.look(NOW + 7 * DAY, WRONG)


def test_what_does_not_last_is_told_to_nobody() -> None:
    """An alarm waits for its patience, counted from when the trouble began; what is over before is no news."""
    ledger, patient = Ledger(), replace(WRONG, patience=HOUR)
    assert [] == ledger.look(NOW, patient)
    assert [] == ledger.look(NOW + HOUR / 2, FINE)
    assert [] == ledger.look(NOW + HOUR, patient)
    assert [] == ledger.look(NOW + HOUR * 1.9, patient)
    assert [(Kind.ALARM, "it is wrong")] == ledger.look(NOW + HOUR * 2, patient)
    since = replace(patient, name="other", trouble=Trouble(said="it is old", since=NOW - HOUR))
    assert [(Kind.ALARM, "it is old")] == Ledger().look(NOW, since)


def test_what_nobody_can_tell_changes_nothing() -> None:
    """An alarm neither heals nor is told while it is unknown how things are; what is watched no more is forgotten."""
    ledger = Ledger()
    ledger.look(NOW, WRONG)
    assert [] == ledger.look(NOW + HOUR, replace(FINE, is_unknown=True))
    assert [] == ledger.look(NOW + HOUR, WRONG)
    assert [] == ledger.look(NOW + HOUR)
    assert {} == ledger.known


def test_more_of_the_same_is_told_too_but_not_at_once() -> None:
    """Each thing that is stuck is in one alarm; what comes later is told together, after a while."""
    ledger = Ledger()

    def stuck(*at: datetime) -> Watch:
        found = Stuck(number=len(at), named=("a",), oldest=min(at), latest=max(at))
        return alarms.of_stuck(found, is_any=True)

    first, second = NOW - HOUR, NOW - HOUR / 2
    assert [(Kind.ALARM, "1 file is stuck")] == ledger.look(NOW, stuck(first))
    assert [] == ledger.look(NOW + STUCK_AFTER / 2, stuck(first, second))
    assert [(Kind.ALARM, "2 files are stuck")] == ledger.look(NOW + STUCK_AFTER, stuck(first, second))
    assert [] == ledger.look(NOW + HOUR, stuck(first, second))
    assert [] == ledger.look(NOW + HOUR, alarms.of_stuck(None, is_any=True))
    assert [(Kind.HEALED, "Nothing is stuck any more")] == ledger.look(
        NOW + HOUR, alarms.of_stuck(None, is_any=False)
    )


@pytest.mark.parametrize("reason", PauseReason)
def test_each_pause_of_the_account_is_an_alarm(reason: PauseReason) -> None:
    """It says why, and what can be done; another reason is another alarm."""
    ledger = Ledger()
    paused = Account(state=AccountState.PAUSED, reason=reason, detail="so it says")
    [(kind, title)] = ledger.look(NOW, *alarms.of_account(paused))
    assert Kind.ALARM is kind
    assert "so it says" in title
    [(kind, title)] = ledger.look(NOW, *alarms.of_account(Account()))
    assert Kind.HEALED is kind
    assert title.startswith("This is over: ")


def test_an_api_that_is_silent_for_a_quarter_of_an_hour_is_an_alarm() -> None:
    """A request that fails now and then is none."""
    ledger, silent = Ledger(), alarms.of_account(Account(holds=3))
    assert [] == ledger.look(NOW, *silent)
    assert [] == ledger.look(NOW + STUCK_AFTER / 2, *alarms.of_account(Account()))
    assert [] == ledger.look(NOW + STUCK_AFTER, *silent)
    assert [Kind.ALARM] == [kind for kind, _ in ledger.look(NOW + 2 * STUCK_AFTER, *silent)]
    assert [(Kind.HEALED, "identifAI answers again")] == ledger.look(
        NOW + HOUR, *alarms.of_account(Account())
    )


def test_a_folder_that_is_away_for_a_while_is_an_alarm() -> None:
    """After a start nobody knows how it is until its root was looked at, so that an alarm is neither over nor told again."""
    ledger = Ledger()

    def folder(health: Health, *, is_looked_at: bool = True) -> Watch:
        return alarms.of_folder("drop", health, "no answer", NOW, is_looked_at=is_looked_at)

    away = folder(Health.UNAVAILABLE)
    assert [] == ledger.look(NOW + AWAY_AFTER / 2, away)
    assert [(Kind.ALARM, "The folder drop is unavailable")] == ledger.look(NOW + AWAY_AFTER, away)
    assert [] == ledger.look(NOW + HOUR, folder(Health.OK, is_looked_at=False))
    assert [] == ledger.look(NOW + HOUR, away)
    assert [(Kind.HEALED, "The folder drop is available again")] == ledger.look(
        NOW + HOUR, folder(Health.DEGRADED)
    )


# The credits.


def steady(days: float, per_day: float, left: float) -> list[tuple[datetime, float]]:
    """Return balances every six hours until now, at an even pace, with ``left`` in the end."""
    number = round(days * 4)
    return [(NOW - timedelta(hours=6 * back), left + per_day * back / 4) for back in range(number, -1, -1)]


def days_left(balances: list[tuple[datetime, float]], floor: float = 0) -> float | None:
    """Return how many days the credits last."""
    end = alarms.credits_end(balances, NOW, floor=floor)
    return None if end is None else round((end - NOW) / DAY, 3)


def test_credits_end_at_the_pace_at_which_they_went() -> None:
    """The floor is no credit to spend; where nothing is spent, or known, there is no end."""
    assert 10.0 == days_left(steady(7, 12, 120))
    assert 5.0 == days_left(steady(7, 12, 120), floor=60)
    assert 0.0 == days_left(steady(7, 12, 40), floor=60)
    assert days_left(steady(7, 0, 120)) is None
    assert days_left([(NOW, 120.0)]) is None
    assert days_left([]) is None


def test_what_was_bought_is_no_pace() -> None:
    """Only what went is reckoned."""
    bought = [(NOW - DAY * 2, 20.0), (NOW - DAY, 8.0), (NOW - DAY + HOUR, 1008.0), (NOW, 996.0)]
    assert 83.0 == days_left(bought)


def test_a_busy_hour_is_a_busy_day_and_no_more() -> None:
    """The first hour's pace is not taken for that of all days; a day that is busier than the week counts."""
    assert 9.0 == days_left([(NOW - HOUR, 100.0), (NOW, 90.0)])
    quiet_week = [(NOW - DAY * day, 100.0) for day in range(7, 0, -1)]
    assert 1.0 == days_left([*quiet_week, (NOW, 50.0)])


def test_credits_are_warned_of_once_and_are_enough_only_with_a_margin() -> None:
    """Between the two nothing is said."""
    ledger, warn = Ledger(), timedelta(days=7)

    def look(left: float) -> list[Kind]:
        told = "credits" in ledger.known
        watch = alarms.of_credits(steady(7, 10, left), NOW, floor=0, warn=warn, is_raised=told)
        assert watch is not None
        return [kind for kind, _ in ledger.look(NOW, watch)]

    assert [] == look(71)
    assert [Kind.ALARM] == look(69)
    assert [] == look(80)
    assert [Kind.HEALED] == look(106)
    assert alarms.of_credits(steady(7, 10, 1), NOW, floor=0, warn=timedelta(0), is_raised=False) is None
