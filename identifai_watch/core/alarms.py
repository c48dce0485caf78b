"""What is wrong for so long that somebody should hear of it: each trouble is told once, and once when it is over."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from identifai_watch.core.explaining import PAUSES, REMEDIES
from identifai_watch.core.health import Health
from identifai_watch.core.model import Account, PauseReason
from identifai_watch.core.notices import Kind, Notice
from identifai_watch.core.sidecar import timestamp

STUCK_AFTER = timedelta(minutes=15)
"""How long something is stuck, or identifAI does not answer, before anybody is told; and how long until more of it is."""

AWAY_AFTER = timedelta(minutes=5)
"""How long a folder is unavailable before anybody is told: a server that is started anew is back by then."""

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
LATEST_END = timedelta(days=3650)
"""An end of the credits that is further away is none."""

CREDITS = "credits"
"""The name of the alarm for credits that end."""

ENOUGH = 1.5
"""Credits that last so many times ``credits_warn_days`` are enough again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that is wrong; ``said`` is a line, and what can be done. ``since`` is when it began, if that is known.

    ``upto`` is the latest of several things that are wrong: one that is later is told too.
    """

    said: str
    since: datetime | None = None
    upto: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Something that may be wrong: its ``trouble``, None if it is all right; ``healed`` is what is said then.

    What is wrong for less than ``patience`` is told to nobody. Of what ``is_unknown`` nobody can tell now.
    """

    name: str
    healed: str
    trouble: Trouble | None = None
    patience: timedelta = timedelta(0)
    is_unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """What is known to be wrong since ``began_at``, as it was said; people were told of it at ``told_at``, if they were."""

    name: str
    began_at: datetime
    said: str
    told_at: datetime | None = None
    upto: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a look came to: alarms to keep, the names of those that are over, and what people are told."""

    kept: tuple[Alarm, ...] = ()
    over: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()


def after(known: Mapping[str, Alarm], watches: Iterable[Watch], now: datetime) -> Changes:
    """Return what changes by a look at all that is watched; an alarm of what is watched no more is dropped in silence."""
    kept: list[Alarm] = []
    over: list[str] = []
    notices: list[Notice] = []
    watched = {watch.name: watch for watch in watches}
    for name, alarm in known.items():
        watch = watched.get(name)
        if watch is None or (watch.trouble is None and not watch.is_unknown):
            over.append(name)
        if watch is not None and watch.trouble is None and not watch.is_unknown and alarm.told_at is not None:
            notices.append(_healed(alarm, watch, now))
    for watch in watched.values():
        if watch.trouble is None or watch.is_unknown:
            continue
        before = known.get(watch.name)
        alarm = _raised(before, watch, watch.trouble, now)
        if alarm.told_at == now and (before is None or before.told_at != now):
            notices.append(_alarm(alarm))
        if alarm != before:
            kept.append(alarm)
    return Changes(kept=tuple(kept), over=tuple(over), notices=tuple(notices))


def _raised(before: Alarm | None, watch: Watch, trouble: Trouble, now: datetime) -> Alarm:
    """Return the alarm of a trouble: told if that is due, and told again if there is more of it."""
    alarm = before or Alarm(name=watch.name, began_at=trouble.since or now, said=trouble.said)
    if alarm.told_at is None:
        is_due = now - alarm.began_at >= watch.patience
    else:
        is_more = trouble.upto is not None and (alarm.upto is None or trouble.upto > alarm.upto)
        is_due = is_more and now - alarm.told_at >= STUCK_AFTER
    return replace(alarm, said=trouble.said, told_at=now, upto=trouble.upto) if is_due else alarm


def _alarm(alarm: Alarm) -> Notice:
    return _notice(Kind.ALARM, alarm, alarm.said, {})


def _healed(alarm: Alarm, watch: Watch, now: datetime) -> Notice:
    return _notice(Kind.HEALED, alarm, watch.healed, {"healed_at": timestamp(now)})


def _notice(kind: Kind, alarm: Alarm, said: str, more: Mapping[str, object]) -> Notice:
    title, _, text = said.partition("\n")
    fields = {"alarm": alarm.name, "since": timestamp(alarm.began_at), **more}
    return Notice(kind=kind, title=title, text=text, fields=fields)


# What is watched.


def of_account(account: Account) -> list[Watch]:
    """Watch over the account's pauses, and over an identifAI that does not answer."""
    watches = []
    for reason in PauseReason:
        trouble = None
        if account.reason is reason:
            detail = f" ({account.detail})" if account.detail else ""
            said = f"Nothing is sent to identifAI: {PAUSES[reason]}{detail}\nTo do: {REMEDIES[reason]}"
            trouble = Trouble(said=said)
        healed = f"This is over: {PAUSES[reason]}"
        watches.append(Watch(name=f"account/{reason}", healed=healed, trouble=trouble))
    silence = Trouble(
        said="identifAI has not answered for 15 minutes, or asks us to wait\nNothing is lost; it is tried again by itself."
    )
    watches.append(
        Watch(
            name="silence",
            healed="identifAI answers again",
            trouble=silence if account.holds else None,
            patience=STUCK_AFTER,
        )
    )
    return watches


def of_folder(
    name: str, health: Health, reason: str | None, since: datetime | None, *, is_looked_at: bool
) -> Watch:
    """Watch over a folder; until its root was looked at nobody can tell how it is."""
    trouble = None
    if health is Health.UNAVAILABLE:
        why = reason or "its root does not answer"
        trouble = Trouble(
            said=f"The folder {name} is unavailable\n{why}\nNothing in it counts as gone, and it is tried again by itself.",
            since=since,
        )
    return Watch(
        name=f"folder/{name}",
        healed=f"The folder {name} is available again",
        trouble=trouble,
        patience=AWAY_AFTER,
        is_unknown=trouble is None and not is_looked_at,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """What is stuck for long enough: how many files, the first few of them in words, and when the latest was given up."""

    number: int
    named: tuple[str, ...]
    oldest: datetime
    latest: datetime


def of_stuck(found: Stuck | None, *, is_any: bool) -> Watch:
    """Watch over what waits for a person; while ``is_any`` is stuck, if not for long, an alarm is not over."""
    trouble = None
    if found is not None:
        what = "1 file is stuck" if found.number == 1 else f"{found.number:,} files are stuck"
        more = found.number - len(found.named)
        lines = [*found.named, *([f"and {more:,} more"] if more else [])]
        said = "\n".join([what, *lines, "To do: identifai-watch list --stuck, then retry"])
        trouble = Trouble(said=said, since=found.oldest, upto=found.latest)
    healed = "Nothing is stuck any more"
    return Watch(name="stuck", healed=healed, trouble=trouble, is_unknown=found is None and is_any)


def of_credits(
    balances: Sequence[tuple[datetime, float]],
    now: datetime,
    *,
    floor: float,
    warn: timedelta,
    is_raised: bool,
) -> Watch | None:
    """Watch over the end of the credits, where there is a warning to it; an alarm is over when they last long enough."""
    if not warn:
        return None
    ends_at = credits_end(balances, now, floor=floor)
    trouble = None
    if ends_at is not None and ends_at - now < warn * (ENOUGH if is_raised else 1):
        days = max(ends_at - now, timedelta(0)) / DAY
        left = balances[-1][1]
        said = (
            f"At this pace the credits last {days:.1f} days: {left:,.15g} are left\n"
            f"They end about {ends_at:%Y-%m-%d %H:%M} UTC. To do: buy credits"
        )
        trouble = Trouble(said=said)
    healed = "The credits last long enough again"
    return Watch(name=CREDITS, healed=healed, trouble=trouble, is_unknown=not balances)


def credits_end(
    balances: Sequence[tuple[datetime, float]], now: datetime, *, floor: float
) -> datetime | None:
    """Return when the credits above ``floor`` end at the pace at which they went: that of the last day or week, the faster.

    ``balances`` are ascending. What was bought meanwhile is left out. None if nothing was spent, or nothing is known.
    """
    pace = credits_pace(balances, now)
    if not balances or pace <= 0:
        return None
    at, left = balances[-1]
    days = max(0.0, left - floor) / pace
    return at + timedelta(days=days) if days < LATEST_END / DAY else None


def credits_pace(balances: Sequence[tuple[datetime, float]], now: datetime) -> float:
    """Return how many credits a day went, in the last day or week, whichever is the more; 0 if that is not known."""
    return max(_pace(balances, now, window) for window in (DAY, WEEK))


def _pace(balances: Sequence[tuple[datetime, float]], now: datetime, window: timedelta) -> float:
    """Return how many credits a day were spent within ``window``; what is known of less than a day counts as a day's."""
    pairs = [(earlier, later) for earlier, later in pairwise(balances) if later[0] > now - window]
    if not pairs:
        return 0.0
    spent = sum(max(0.0, earlier[1] - later[1]) for earlier, later in pairs)
    span = max(now - max(pairs[0][0][0], now - window), DAY)
    return spent / (span / DAY)
