"""What may happen to an analysis and to a file, as two tables; whatever is not in them is a bug.

``advance`` and ``advance_file`` are the only places that change a row's state. The duty of a row follows from
the row alone, so that starting and restarting are the same thing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from identifai_watch.core import polling, retry
from identifai_watch.core.events import (
    Absent,
    AnalysisEvent,
    Announced,
    Begun,
    Deferred,
    Delivered,
    Destined,
    Errored,
    Expired,
    FileEvent,
    Judged,
    Lost,
    Malformed,
    Mismatched,
    Missed,
    Overdue,
    Overridden,
    Pending,
    Present,
    Refused,
    Reopened,
    Retried,
    Seen,
    Stirred,
    Superseded,
    Swept,
    Unanswered,
    Undelivered,
    Unsent,
    Uploaded,
)
from identifai_watch.core.model import Analysis, AnalysisState, File, FileState, Interim, Outcome


class Duty(StrEnum):
    """What has to be done for a row next."""

    UPLOAD = "upload"
    POLL = "poll"
    ADMIT = "admit"
    DELIVER = "deliver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """An arrow that leads to ``again`` at most ``at_most`` times, counted in ``counter``, and then to ``then``."""

    counter: str
    at_most: int
    again: StrEnum
    then: StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the configuration, the account and experience say about the next step.

    ``deadline`` is how long a verdict is awaited, ``others_at`` when another request last got through, and
    ``learnt`` how long the verdicts of each kind and size take.
    """

    deadline: timedelta = timedelta(minutes=120)
    others_at: datetime | None = None
    learnt: polling.Learnt = field(default_factory=dict)


class UnexpectedError(Exception):
    """An event came to a row whose state does not know it: a bug, never the world's fault."""


_A = AnalysisState
_ONCE_MORE = Tries(counter="resubmissions", at_most=1, again=_A.QUEUED, then=_A.REFUSED)
_THRICE = Tries(counter="malformed", at_most=3, again=_A.AWAITING, then=_A.REFUSED)

ANALYSES: Mapping[AnalysisState, Mapping[type[AnalysisEvent], AnalysisState | Tries]] = {
    _A.QUEUED: {
        Begun: _A.SENDING,
        Refused: _A.REFUSED,
        Absent: _A.QUEUED,
        Present: _A.QUEUED,
        Retried: _A.QUEUED,
    },
    _A.SENDING: {
        Uploaded: _A.AWAITING,
        Unsent: _A.QUEUED,
        Deferred: _A.QUEUED,
        Refused: _A.REFUSED,
        Absent: _A.SENDING,
        Present: _A.SENDING,
        Retried: _A.SENDING,
    },
    _A.AWAITING: {
        Pending: _A.AWAITING,
        Judged: _A.JUDGED,
        Errored: _A.REFUSED,
        Lost: _ONCE_MORE,
        Mismatched: _ONCE_MORE,
        Malformed: _THRICE,
        Unanswered: _A.AWAITING,
        Overdue: _A.AWAITING,
        Absent: _A.AWAITING,
        Present: _A.AWAITING,
        Retried: _A.AWAITING,
    },
    _A.JUDGED: {Overridden: _A.JUDGED, Absent: _A.JUDGED, Present: _A.JUDGED, Retried: _A.JUDGED},
    _A.REFUSED: {Retried: _A.QUEUED, Absent: _A.REFUSED, Present: _A.REFUSED},
}

DUTIES: Mapping[AnalysisState, Duty | None] = {
    _A.QUEUED: Duty.UPLOAD,
    _A.SENDING: None,  # in flight; a claim that lapsed brings Deferred, and that leads to queued
    _A.AWAITING: Duty.POLL,
    _A.JUDGED: None,
    _A.REFUSED: None,
}

SETTLED = frozenset({AnalysisState.JUDGED, AnalysisState.REFUSED})

ORPHAN_AFTER = timedelta(hours=24)
"""How long the sidecar of a file that is gone waits for it to come back before it is put aside."""

_F = FileState

FILES: Mapping[FileState, Mapping[type[FileEvent], FileState | Tries]] = {
    _F.WAITING: {
        Destined: _F.WAITING,
        Delivered: _F.DELIVERED,
        Undelivered: _F.WAITING,
        Reopened: _F.WAITING,
        Retried: _F.WAITING,
        Stirred: _F.WAITING,
        Announced: _F.WAITING,
        Expired: _F.WAITING,
        Superseded: _F.SUPERSEDED,
        Seen: _F.WAITING,
        Missed: Tries(counter="missing", at_most=1, again=_F.WAITING, then=_F.GONE),
    },
    _F.DELIVERED: {
        Reopened: _F.WAITING,
        Retried: _F.WAITING,
        Stirred: _F.WAITING,
        Superseded: _F.SUPERSEDED,
        Seen: _F.DELIVERED,
        Missed: Tries(counter="missing", at_most=1, again=_F.DELIVERED, then=_F.GONE),
    },
    _F.GONE: {
        Seen: _F.WAITING,
        Superseded: _F.SUPERSEDED,
        Missed: _F.GONE,
        Reopened: _F.GONE,
        Retried: _F.GONE,
        Swept: _F.GONE,
    },
    # Another row stands for its path; whoever read it before it was replaced may still report on it.
    _F.SUPERSEDED: {Seen: _F.SUPERSEDED, Missed: _F.SUPERSEDED, Swept: _F.SUPERSEDED},
}


def duty(file: File, analysis: AnalysisState | None) -> Duty | None:
    """Return what has to be done for ``file``, whose analysis is in the state ``analysis`` (None: it has none)."""
    if file.state is not FileState.WAITING or file.held:
        return None
    is_told = file.outcome is Outcome.PENDING
    if file.interim is Interim.CHANGING:
        return Duty.ADMIT if is_told else Duty.DELIVER
    if file.refusal is not None or analysis in SETTLED or file.interim is Interim.LATE:
        return Duty.DELIVER
    if file.interim is Interim.REPLACED and not is_told:
        return Duty.DELIVER
    return Duty.ADMIT if analysis is None else None


def advance(
    row: Analysis, event: AnalysisEvent, now: datetime, policy: Policy, chance: float = 0.5
) -> Analysis:
    """Return ``row`` after ``event``.

    ``chance`` in [0, 1) spreads the waits. Raises UnexpectedError if the table does not know the arrow.
    """
    state, counted = _follow(ANALYSES.get(row.state, {}).get(type(event)), row, event)
    if counted or state is not row.state:
        row = replace(row, state=state, **counted)
    match event:
        case Begun():
            return replace(row, due=None, stuck_at=None, no_cache=row.no_cache and not row.doubt)
        case Uploaded():
            sent = replace(
                row,
                identifier=event.identifier,
                sent_name=event.sent_name,
                ref_id=event.ref_id,
                doubt=False,
                no_cache=False,
                submitted_at=now,
                deadline=now + policy.deadline,
            )
            return replace(sent, **_cleared(polling.next_ask(sent, now, policy.learnt)))
        case Unsent() | Unanswered():
            return _failed(row, event, now, policy, chance)
        case Deferred():
            return _failed(replace(row, doubt=True, no_cache=False), event, now, policy, chance)
        case Refused() | Errored():
            return replace(row, due=None, reason=event.reason, stuck_at=None)
        case Pending():
            return replace(row, **_cleared(polling.next_ask(row, now, policy.learnt)))
        case Judged():
            judged = replace(row, verdict=event.verdict, judged_at=now, malformed=0, **_cleared(now))
            wants = "with_heatmap" in row.options and event.verdict.has_heatmap
            return replace(judged, due=None, heatmap_due=now if wants else None)
        case Lost() | Mismatched():
            due = now if state is AnalysisState.QUEUED else None
            return replace(row, identifier=None, deadline=None, reason=event.reason, due=due, stuck_at=None)
        case Malformed():
            due = now + retry.backoff(row.malformed, chance) if state is AnalysisState.AWAITING else None
            return replace(row, reason=event.reason, due=due, stuck_at=None)
        case Overdue():
            return replace(row, due=None, stuck_at=now, reason=f"no verdict within {policy.deadline}")
        case Overridden():
            return (
                row if row.verdict is None else replace(row, verdict=replace(row.verdict, forced=event.label))
            )
        case Absent():
            return replace(row, due=None) if state is AnalysisState.QUEUED else row
        case Present():
            return replace(row, due=now) if state is AnalysisState.QUEUED and row.stuck_at is None else row
        case Retried():
            return _retried(row, state, now, policy)


def advance_file(row: File, event: FileEvent, now: datetime, policy: Policy, chance: float = 0.5) -> File:
    """Return ``row`` after ``event``; ``chance`` in [0, 1) spreads the waits.

    Raises UnexpectedError if the table does not know the arrow.
    """
    state, counted = _follow(FILES.get(row.state, {}).get(type(event)), row, event)
    was_gone = row.state is FileState.GONE
    if counted or state is not row.state:
        row = replace(row, state=state, **counted)
    match event:
        case Destined():
            return replace(row, outcome=event.outcome, reason=event.reason, destination=event.destination)
        case Delivered():
            return replace(
                row,
                lies_at=event.lies_at,
                copied_to=event.copied_to or row.copied_to,
                fingerprint=event.fingerprint or row.fingerprint,
                destination=None,
                delivered_at=now,
                delivered_as=row.outcome,
                missing=0,
                release_at=None,
                orphan_due=None,
                # A delivery looks at the content: it is what was judged.
                interim=None if row.interim is Interim.CHANGING else row.interim,
                **_afresh(None),
            )
        case Announced():
            return replace(row, outcome=Outcome.PENDING, reason=None, destination=None, **_afresh(None))
        case Stirred():
            return row if row.interim is Interim.CHANGING else _interim(row, Interim.CHANGING, now)
        case Expired():
            return _interim(row, Interim.LATE, now)
        case Undelivered():
            return _undelivered(row, event, now, policy, chance)
        case Reopened() | Retried():
            if state is not FileState.WAITING:
                return row
            return replace(row, **_afresh(now))
        case Superseded():
            orphan_due = None if event.is_replaced else _orphan_due(row, now)
            return replace(row, destination=None, release_at=None, orphan_due=orphan_due, **_afresh(None))
        case Seen():
            return _seen(row, now, was_gone=was_gone)
        case Missed():
            if state is not FileState.GONE or was_gone:
                return row
            return replace(row, orphan_due=_orphan_due(row, now + ORPHAN_AFTER), **_afresh(None))
        case Swept():
            return replace(row, orphan_due=None)


def _follow(
    arrow: StrEnum | Tries | None, row: Analysis | File, event: AnalysisEvent | FileEvent
) -> tuple[Any, dict[str, Any]]:
    """Return the state that an arrow leads to, and the counter that it moved."""
    match arrow:
        case None:
            raise UnexpectedError(
                f"{type(event).__name__} came to {type(row).__name__} {row.id}, which is {row.state}"
            )
        case Tries():
            count = getattr(row, arrow.counter) + 1
            return (arrow.again if count <= arrow.at_most else arrow.then), {arrow.counter: count}
        case StrEnum():
            return arrow, {}


def _cleared(due: datetime) -> dict[str, Any]:
    """Return what an answer clears: the failures in a row and their reason; the next duty is at ``due``."""
    return {"due": due, "failures": 0, "failing_since": None, "stuck_at": None, "reason": None}


def _afresh(due: datetime | None) -> dict[str, Any]:
    """Return what a file that begins anew forgets of its failures; its next duty is at ``due``."""
    return {"due": due, "failures": 0, "failing_since": None, "stuck_at": None, "trouble": None}


def _seen(row: File, now: datetime, *, was_gone: bool) -> File:
    """Return ``row`` that is there as the ledger knows it: what it was judged to be is told again if that was in doubt."""
    row = replace(row, missing=0, orphan_due=None)
    if row.state is not FileState.WAITING:
        return row
    if row.interim is Interim.CHANGING:
        return replace(row, interim=None, **_afresh(now))
    return replace(row, **_afresh(now)) if was_gone else row


def told(file: File, analysis: AnalysisState | None) -> Outcome | None:
    """Return what people are told of ``file`` while there is no verdict that could be believed; None if there is one.

    ``analysis`` is the state of its analysis, None if it has none.
    """
    if file.interim is Interim.CHANGING:
        return Outcome.PENDING
    if file.refusal is not None or analysis in SETTLED or file.interim is None:
        return None
    return Outcome.UNCHECKED if file.interim is Interim.LATE else Outcome.PENDING


def _orphan_due(row: File, due: datetime) -> datetime | None:
    """Return when the sidecar of a file that lies there no more is to be put aside; None if it never had one there."""
    return due if row.outcome is not None and row.lies_at is None else None


def _interim(row: File, why: Interim, now: datetime) -> File:
    """Return ``row``, of which people are to be told something at once: it has no verdict to show."""
    return replace(row, interim=why, release_at=None, destination=None, **_afresh(now))


def _undelivered(row: File, event: Undelivered, now: datetime, policy: Policy, chance: float) -> File:
    """Return ``row`` after a delivery that failed: due again after the backoff, or stuck while others succeed."""
    failures = row.failures + 1
    since = row.failing_since or now
    row = replace(row, failures=failures, failing_since=since, trouble=event.reason)
    if retry.is_hopeless(failures, since, policy.others_at):
        return replace(row, due=None, stuck_at=now)
    return replace(row, due=now + retry.backoff(failures, chance), stuck_at=None)


def _failed(
    row: Analysis, event: Unsent | Deferred | Unanswered, now: datetime, policy: Policy, chance: float
) -> Analysis:
    """Return ``row`` after a failed attempt: due again after the backoff, or stuck while others got through.

    A failure that does not count is the account's or the network's: the gate holds then, not the row.
    """
    if not event.counts:
        return replace(row, due=now, stuck_at=None, reason=event.reason)
    failures = row.failures + 1
    since = row.failing_since or now
    row = replace(row, failures=failures, failing_since=since, stuck_at=None, reason=event.reason)
    if retry.is_hopeless(failures, since, policy.others_at):
        return replace(row, due=None, stuck_at=now)
    return replace(row, due=now + retry.backoff(failures, chance))


def _retried(row: Analysis, state: AnalysisState, now: datetime, policy: Policy) -> Analysis:
    """Return ``row`` after the operator asked for another attempt: it goes on where it stood."""
    if state not in {AnalysisState.QUEUED, AnalysisState.AWAITING}:
        return row
    fresh = replace(row, malformed=0, resubmissions=0, **_cleared(now))
    if state is AnalysisState.QUEUED:
        return replace(fresh, identifier=None, deadline=None)
    return replace(fresh, deadline=now + policy.deadline)
