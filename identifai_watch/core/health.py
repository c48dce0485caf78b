"""How a folder is: watched as configured, scanned only, or out of reach; what leads from one to another, and why.

The scan is the proof of the events: a file that it finds and that no event had named is counted, and more than a few
of them mean that events cannot be relied on there. They are tried again after a while.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

FEW = 3
"""So many files that no event named may be found within REMEMBERED: one may slip through when a directory is made."""

REMEMBERED = timedelta(hours=1)
DISTRUST = timedelta(hours=1)
"""How long events are done without in a folder where they told too little."""


class Health(StrEnum):
    """How a folder is: watched as configured, scanned only though events were wanted, or out of reach."""

    OK = "ok"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Reached:
    """Its root answers, and it is noticed as configured; ``remark`` is why that is by scanning alone, if it is."""

    remark: str | None = None


@dataclass(frozen=True, slots=True)
class Unwatched:
    """Its root answers, and events were wanted, but there are none that could be relied on."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """Its root does not answer, is not there, or is not what it was."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unheard:
    """A whole scan found ``files`` that no event had named."""

    files: int


HealthEvent = Reached | Unwatched | Unreachable | Unheard


@dataclass(frozen=True, slots=True, kw_only=True)
class TooMany:
    """An arrow that leads to ``then`` once there are more than a few, and else nowhere."""

    then: Health


_H = Health

HEALTH: Mapping[Health, Mapping[type[HealthEvent], Health | TooMany]] = {
    _H.OK: {
        Reached: _H.OK,
        Unwatched: _H.DEGRADED,
        Unreachable: _H.UNAVAILABLE,
        Unheard: TooMany(then=_H.DEGRADED),
    },
    _H.DEGRADED: {
        Reached: _H.OK,
        Unwatched: _H.DEGRADED,
        Unreachable: _H.UNAVAILABLE,
        Unheard: _H.DEGRADED,
    },
    _H.UNAVAILABLE: {
        Reached: _H.OK,
        Unwatched: _H.DEGRADED,
        Unreachable: _H.UNAVAILABLE,
        Unheard: _H.UNAVAILABLE,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How a folder is, why, and since when.

    ``unheard`` counts the files that no event had named since ``counted_since``; until ``distrusts_until`` events are
    done without.
    """

    health: Health = Health.OK
    reason: str | None = None
    since: datetime | None = None
    unheard: int = 0
    counted_since: datetime | None = None
    distrusts_until: datetime | None = None

    def distrust(self, now: datetime) -> str | None:
        """Say why events are not to be relied on now; None if they are."""
        if self.distrusts_until is None or now >= self.distrusts_until:
            return None
        again = self.distrusts_until.astimezone(UTC)
        return (
            f"scans found {self.unheard} files that no event had named, so that it is scanned only; events are tried "
            f"again at {again:%H:%M} UTC"
        )


def after(condition: Condition, event: HealthEvent, now: datetime) -> Condition:
    """Return how a folder is after ``event``."""
    counted = _counted(condition, event, now)
    is_too_many = isinstance(event, Unheard) and counted.unheard > FEW
    if is_too_many:
        counted = replace(counted, distrusts_until=now + DISTRUST)
    arrow = HEALTH[condition.health][type(event)]
    if isinstance(arrow, TooMany):
        arrow = arrow.then if is_too_many else condition.health
    since = condition.since if arrow is condition.health else now
    return replace(counted, health=arrow, reason=_reason(counted, event, arrow, now), since=since)


def _counted(condition: Condition, event: HealthEvent, now: datetime) -> Condition:
    """Count what no event named; what was long ago is forgotten."""
    if not isinstance(event, Unheard):
        return condition
    since = condition.counted_since
    if since is None or now - since > REMEMBERED:
        return replace(condition, unheard=event.files, counted_since=now)
    return replace(condition, unheard=condition.unheard + event.files)


def _reason(condition: Condition, event: HealthEvent, health: Health, now: datetime) -> str | None:
    match event:
        case Reached():
            return event.remark
        case Unwatched() | Unreachable():
            return event.reason
        case Unheard():
            return condition.distrust(now) if health is Health.DEGRADED else condition.reason
