"""What the page calls what it shows: where a file stands, who did what, when."""

from collections.abc import Mapping
from datetime import UTC, datetime

from identifai_watch.core import wording
from identifai_watch.core.model import AnalysisState, Choice, File, FileState, Outcome
from identifai_watch.core.report import AD_HOC, why
from identifai_watch.core.sidecar import shown
from identifai_watch.ledger.views import Line

_UNDER_WAY = {
    AnalysisState.QUEUED: "waits for its turn to be sent",
    AnalysisState.SENDING: "is being sent",
    AnalysisState.AWAITING: "identifAI is at it",
    AnalysisState.JUDGED: "judged, being delivered",
    AnalysisState.REFUSED: "refused, being delivered",
}

_ENDED = {
    FileState.SUPERSEDED: "replaced by another version, or withdrawn",
    FileState.GONE: "no longer there",
}

OUTCOMES: Mapping[Outcome, str] = {
    Outcome.HUMAN: "none found",
    Outcome.ARTIFICIAL: "found",
    Outcome.UNCERTAIN: "unclear",
    Outcome.REJECTED: "not taken",
    Outcome.PENDING: "changed since",
    Outcome.UNCHECKED: "let go unchecked",
}
"""What each outcome is called where a list is filtered by it."""

CHOICES: Mapping[Choice, str] = {
    Choice.HUMAN: "made by people",
    Choice.ARTIFICIAL: "generated",
    Choice.INCONCLUSIVE: "cannot be told",
    Choice.CONFIRMED: "the verdict is right",
}
"""What the desk says of a file: a person's judgement, which may say more than an examination does."""

HAPPENED = {
    "admitted": "noticed and hashed",
    "begun": "upload began",
    "uploaded": "uploaded",
    "judged": "judged",
    "delivered": "delivered",
    "destined": "on its way to its place",
    "decided": "decided by the desk",
    "rejudged": "judged anew, paid for again",
    "retried": "tried again",
    "released": "released from the backlog",
    "refused": "refused",
    "deferred": "in doubt: sent without an answer",
    "unsent": "not sent",
    "overridden": "label forced at identifAI",
    "reopened": "to be delivered anew",
    "superseded": "replaced",
    "missed": "not seen by a scan",
    "overdue": "verdict overdue",
    "left_alone": "XMP file left alone",
}
"""Events of the history in words; one that is not here is told as it is."""


def name(file: File) -> str:
    """Return a file's name, safe to show."""
    return shown(file.path.rpartition(b"/")[2])


def directory(file: File, *, has_hosts: bool = False) -> str:
    """Return the folder and the directory in it that a file was noticed in, behind its host where there are several."""
    parent = shown(file.path.rpartition(b"/")[0])
    host = f"{shown(file.node)}: " if has_hosts and file.node else ""
    if file.folder == AD_HOC:
        return f"{host}/{parent}"
    return f"{host}{file.folder}/{parent}" if parent else f"{host}{file.folder}"


def is_stuck(line: Line) -> bool:
    """Tell whether a file, or its content, waits for a person."""
    return line.file.stuck_at is not None or (
        line.analysis is not None and line.analysis.stuck_at is not None
    )


def standing(line: Line) -> str:
    """Say where a file stands that is not simply delivered; "" for one that is."""
    file, analysis = line.file, line.analysis
    if file.state in _ENDED:
        return _ENDED[file.state]
    if is_stuck(line):
        return f"stuck: {shown(why(file, analysis) or 'no reason is known')}"
    if file.held:
        return "held since before the daemon"
    if file.state is FileState.DELIVERED:
        return ""
    if analysis is None:
        return "waits to be hashed" if file.refusal is None else "refused here, being delivered"
    return _UNDER_WAY[analysis.state]


def confidence(line: Line) -> float | None:
    """Return the confidence that is shown beside the signs; None where there is none, or it means nothing."""
    verdict = None if line.analysis is None else line.analysis.verdict
    is_examined = wording.signs(line.file, line.analysis) in wording.EXAMINED
    return None if verdict is None or verdict.unknown or not is_examined else verdict.confidence


def instant(at: datetime | None) -> str:
    """Return an instant to the minute, in UTC."""
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


def machine(at: datetime) -> str:
    """Return an instant as a page says it to machines."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def happened(event: str) -> str:
    """Return an event of the history in words."""
    return HAPPENED.get(event, event)
