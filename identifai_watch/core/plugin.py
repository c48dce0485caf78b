"""The ``Report`` as a plugin of Nagios and its kin says it: one line, how bad it is, and numbers behind a bar.

The exit statuses are those of the Monitoring Plugins Development Guidelines, and no others: of what else the program may
end with, 1 and 2 mean something of its own, so that this one command translates every failure into UNKNOWN.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from identifai_watch.core.explaining import PAUSES
from identifai_watch.core.health import Health
from identifai_watch.core.model import AccountState, PauseReason
from identifai_watch.core.report import Report
from identifai_watch.core.sidecar import shown

SILENT_AFTER = timedelta(minutes=5)
"""A daemon that runs tells how it is once a minute: one that has not for so long stands still."""

UNANSWERED_AFTER = timedelta(minutes=15)
"""Without an answer for so long identifAI, or the way there, is down; a shorter time is nothing to wake anybody for."""

LONGEST = 200
"""Characters of one reason: some plugins' lines are cut at a kilobyte."""

WARNED = frozenset({PauseReason.OPERATOR, PauseReason.FLOOR})
"""The pauses that somebody chose: a warning, so that they are not forgotten."""


class Level(IntEnum):
    """How bad it is; the number is the exit status."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What is said: how bad it is, why, the worst first, and numbers in the guidelines' format."""

    level: Level
    said: tuple[str, ...]
    numbers: tuple[str, ...] = ()

    def line(self) -> str:
        """Return the one line; nothing in it can end it, or begin the numbers."""
        said = "; ".join(_plain(one) for one in self.said)
        numbers = f" | {' '.join(self.numbers)}" if self.numbers else ""
        return f"IDENTIFAI {self.level.name} - {said}{numbers}"


def unknown(why: str) -> Check:
    """Return that it cannot be told how things stand."""
    return Check(level=Level.UNKNOWN, said=(why,))


def check(report: Report, now: datetime) -> Check:
    """Return how bad things are; everything that is, is said."""
    found = [
        *_daemon(report, now),
        *_others(report, now),
        *_account(report, now),
        *_folders(report),
        *_files(report),
    ]
    found.sort(key=lambda one: -one[0])
    said = tuple(why for _, why in found)
    return Check(
        level=found[0][0] if found else Level.OK,
        said=said or (_well(report),),
        numbers=_numbers(report, now),
    )


_Found = list[tuple[Level, str]]


def _daemon(report: Report, now: datetime) -> _Found:
    if not report.is_running:
        return [(Level.CRITICAL, "no daemon runs")]
    if report.seen_at is not None and now - report.seen_at > SILENT_AFTER:
        minutes = (now - report.seen_at).total_seconds() / 60
        return [(Level.CRITICAL, f"the daemon has not told how it is for {minutes:.0f} minutes")]
    return []


def _others(report: Report, now: datetime) -> _Found:
    """Return what is wrong with the other hosts: a dead one can tell nobody itself; one that was stopped is on purpose."""
    found = _Found()
    for one in report.nodes:
        if one.is_here or one.is_retired:
            continue
        at = "" if one.seen_at is None else f" since {one.seen_at:%Y-%m-%d %H:%M} UTC"
        if one.is_running and one.seen_at is not None and now - one.seen_at > SILENT_AFTER:
            found.append((Level.CRITICAL, f"the daemon on {one.name} has not told how it is{at}"))
        elif not one.is_running and one.ended_at is None:
            found.append((Level.CRITICAL, f"the daemon on {one.name} is down{at}"))
        elif not one.is_running:
            found.append((Level.WARNING, f"the daemon on {one.name} is stopped{at}"))
    return found


def _account(report: Report, now: datetime) -> _Found:
    account, found = report.account, _Found()
    if account.state is AccountState.PAUSED and account.reason is not None:
        level = Level.WARNING if account.reason in WARNED else Level.CRITICAL
        detail = "" if account.detail is None else f" ({account.detail})"
        found.append((level, f"the account is paused: {PAUSES[account.reason]}{detail}"))
    if account.holds and (account.succeeded_at is None or now - account.succeeded_at > UNANSWERED_AFTER):
        since = "" if account.succeeded_at is None else f" since {account.succeeded_at:%Y-%m-%d %H:%M} UTC"
        found.append((Level.CRITICAL, f"identifAI has not answered{since}"))
    if report.spent is not None and report.queue.total:
        spent = f"the purse of posts_per_day is spent, {report.queue.total} uploads wait"
        found.append((Level.WARNING, spent))
    return found


def _folders(report: Report) -> _Found:
    found = _Found()
    ill = {one.name for one in report.nodes if not one.is_running}  # what they told last holds no longer
    for one in report.folders:
        why = "" if one.reason is None else f": {one.reason}"
        name = one.full_name if report.has_hosts else one.name
        is_watched = one.node not in ill if one.node else report.is_running
        if one.health == Health.UNAVAILABLE and is_watched:
            found.append((Level.CRITICAL, f"folder {name} is unavailable{why}"))
        elif one.health == Health.DEGRADED and (is_watched or not one.node):
            found.append((Level.WARNING, f"folder {name} is scanned only{why}"))
        if one.paused is not None:
            found.append((Level.WARNING, f"folder {name} is paused {one.paused}"))
    return found


def _files(report: Report) -> _Found:
    found = _Found()
    if report.stuck:
        found.append((Level.WARNING, f"{report.stuck} stuck (identifai-watch list --stuck)"))
    if report.doubt:
        found.append((Level.WARNING, f"{report.doubt} in doubt (identifai-watch list --doubt)"))
    return found


def _well(report: Report) -> str:
    delivered = sum(report.outcomes.values())
    counted = (
        (len(report.folders), "folder", "watched"),
        (delivered, "file", "delivered"),
        (report.queue.total, "upload", "to make"),
    )
    return ", ".join(f"{number} {what}{'' if number == 1 else 's'} {how}" for number, what, how in counted)


def _numbers(report: Report, now: datetime) -> tuple[str, ...]:
    """Return label=value[unit];warning;critical;min: a number above 0 is warned of where it says so."""
    fresh, backlog = (0.0 if at is None else (now - at).total_seconds() for at in report.oldest_at)
    numbers = [
        f"stuck={report.stuck};0;;0",
        f"doubt={report.doubt};0;;0",
        f"held={report.held};;;0",
        f"settling={report.settling};;;0",
        f"uploads={report.queue.total};;;0",
        f"oldest_new={max(0.0, fresh):.0f}s;;;0",
        f"oldest_backlog={max(0.0, backlog):.0f}s;;;0",
    ]
    if report.account.credits is not None:
        numbers.append(f"credits={report.account.credits:.12g}")
    numbers += [
        f"{room.method.lower()}s_left_{room.window}={room.left};;;0;{room.allowed}" for room in report.rooms
    ]
    return tuple(numbers)


def _plain(text: str) -> str:
    """Return a text without what would end the line or begin the numbers: names and reasons come from anybody."""
    safe = shown(text).replace("|", "/")
    return safe if len(safe) <= LONGEST else f"{safe[: LONGEST - 3]}..."
