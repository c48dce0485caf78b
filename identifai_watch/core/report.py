"""What people are shown: the ledger's rows as a ``Report``, one file as a line, and how both look as JSON.

The commands and the status page show the same values. Reading them is left to the ledger, printing to the commands.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from identifai_watch.core import gate
from identifai_watch.core.gate import Limits, Window
from identifai_watch.core.hours import Hours
from identifai_watch.core.model import Account, Analysis, AnalysisState, File, FileState, Outcome
from identifai_watch.core.nodes import Node, node_json
from identifai_watch.core.sidecar import shown, timestamp
from identifai_watch.core.tally import Tally

Row = dict[str, Any]

AD_HOC = "(judge)"
"""The folder of the single files that ``judge`` was given: their paths are relative to ``/``."""

SHARED = ""
"""The node of what several hosts share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedFolder:
    """One folder as its daemon last reported it; ``path``, and ``shown_at``, by which people know it, are safe to print.

    ``paused`` says by whom, why and until when nothing of it is sent. ``unheard`` counts the files that scans found and
    no event had named, ``overflows`` how often the kernel lost events, both since the daemon began. ``node`` is the host
    whose daemon watches it, "" where there is but one; ``watched_by`` the node that has it, where several share it and that
    is another one.
    """

    name: str
    path: str
    health: str
    mode: str
    reason: str | None
    last_scan_at: datetime | None
    paused: str | None = None
    scan_seconds: float = 0.0
    unheard: int = 0
    overflows: int = 0
    shown_at: str | None = None
    node: str = ""
    watched_by: str | None = None

    @property
    def full_name(self) -> str:
        """The name, behind that of its host where there are several."""
        return f"{self.node}/{self.name}" if self.node else self.name


NEVER_WATCHED = "no daemon has watched it yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """How many uploads are still to be made: for what came while the daemon ran, and for what was there before."""

    fresh: int
    backlog: int

    @property
    def total(self) -> int:
        """How many there are in all."""
        return self.fresh + self.backlog


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """An upload that was made, and whether the backlog's share of the purse paid for it."""

    at: datetime
    backlog: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SpentPurse:
    """The purse of posts_per_day that has nothing left: ``made`` of ``allowed`` uploads in the sliding day."""

    made: int
    allowed: int
    frees_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a limit still has: ``left`` of ``allowed`` requests of a method; ``window`` is second, minute, day or backlog.

    The last two are the purse, and the share of it that the backlog may use.
    """

    method: str
    window: str
    left: int
    allowed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How things stand.

    ``stuck`` counts what waits for a person, ``left`` the files that were looked at and left alone. ``eta`` is how
    long the uploads still take, None if they never end. ``since`` is None unless a daemon runs, ``spent`` unless the
    purse is empty. ``backlog_hours`` are those that the backlog waits for until ``backlog_opens_at``, None while it may go.
    ``rooms`` are the limits that there are, ``oldest_at`` is since when the oldest content waits to be sent, of what is new
    and of the backlog. ``seen_at`` is when a daemon last told how it is, ``tally`` what it counted.

    ``nodes`` are the hosts of a ledger on a server, this one first; empty where the ledger is a file. Then ``folders``
    are those of all hosts and ``settling`` is the sum of all, while ``is_running``, ``since``, ``seen_at`` and ``tally``
    stay this host's.
    """

    analyses: Mapping[AnalysisState, int]
    files: Mapping[FileState, int]
    outcomes: Mapping[Outcome, int]
    settling: int
    held: int
    stuck: int
    doubt: int
    left: int
    account: Account
    folders: tuple[WatchedFolder, ...]
    queue: Queue
    eta: timedelta | None
    is_running: bool
    since: datetime | None
    spent: SpentPurse | None = None
    backlog_hours: Hours | None = None
    backlog_opens_at: datetime | None = None
    rooms: tuple[Room, ...] = ()
    oldest_at: tuple[datetime | None, datetime | None] = (None, None)
    seen_at: datetime | None = None
    tally: Tally = field(default_factory=Tally)
    nodes: tuple[Node, ...] = ()

    @property
    def has_hosts(self) -> bool:
        """Whether there is more than this host, so that people are told which one is meant."""
        return len(self.nodes) > 1


def folder(name: str, path: str, reported: Mapping[str, Any] | None) -> WatchedFolder:
    """Return a folder of the configuration with what the daemon ``reported`` of it, None if it never did."""
    if reported is None:
        return WatchedFolder(
            name=name, path=path, health="unavailable", mode="scan", reason=NEVER_WATCHED, last_scan_at=None
        )
    scanned = reported["last_scan_at"]
    return WatchedFolder(
        name=name,
        path=path,
        health=reported["health"],
        mode=reported["mode"],
        reason=reported["reason"],
        last_scan_at=None if scanned is None else datetime.fromisoformat(scanned),
        scan_seconds=reported.get("scan_seconds", 0.0),
        unheard=reported.get("unheard", 0),
        overflows=reported.get("overflows", 0),
        watched_by=reported.get("watched_by"),
    )


def paused(by: str, why: str, until: datetime | None) -> str:
    """Return in words who paused a folder, why, and until when."""
    ends = "until it is resumed" if until is None else f"until {until:%Y-%m-%d %H:%M} UTC"
    return f"by {by}, {ends} ({why})"


def status_json(report: Report) -> Row:
    """Return the document of ``status --json``; ``eta_seconds`` is null if the uploads never end."""
    return {
        "analyses": dict(report.analyses),
        "files": dict(report.files),
        "settling": report.settling,
        "held": report.held,
        "stuck": report.stuck,
        "doubt": report.doubt,
        "outcomes": dict(report.outcomes),
        "account": {
            "state": report.account.state,
            "reason": report.account.reason,
            "next_probe_at": timestamp(report.account.next_probe_at),
        },
        "folders": [_folder_json(one) for one in report.folders],
        "backlog": {
            "uploads": report.queue.total,
            "eta_seconds": None if report.eta is None else math.ceil(report.eta.total_seconds()),
            "hours": None if report.backlog_hours is None else str(report.backlog_hours),
            "opens_at": timestamp(report.backlog_opens_at),
        },
        "daemon": {"running": report.is_running, "since": timestamp(report.since)},
        **({"nodes": [node_json(one) for one in report.nodes]} if report.nodes else {}),
    }


def _folder_json(one: WatchedFolder) -> Row:
    said = asdict(one) | {"last_scan_at": timestamp(one.last_scan_at)}
    return said if one.node else {name: value for name, value in said.items() if name != "node"}


def line_json(file: File, analysis: Analysis | None) -> Row:
    """Return one line of ``list --json``; a path that is no UTF-8 is escaped."""
    verdict = None if analysis is None else analysis.verdict
    return {
        "path": shown(file.path),
        "folder": file.folder,
        "state": file.state,
        "outcome": file.outcome,
        "confidence": None if verdict is None else verdict.confidence,
        "media": file.media,
        "size": file.fingerprint.size,
        "sha256": None if file.sha256 is None else file.sha256.hex(),
        "identifier": None if analysis is None else analysis.identifier,
        "noticed_at": timestamp(file.noticed_at),
        "delivered_at": timestamp(file.delivered_at),
        "lies_at": None if file.lies_at is None else shown(file.lies_at),
        "reason": why(file, analysis),
    }


_HASH = re.compile(r"[0-9a-f]{40,}")
_LONGEST_TOLD = 200

LIST_COLUMNS = ("outcome", "sure", "kind", "noticed (UTC)", "folder: path")

LIST_WIDTHS = (10, 4, 5, 16, 0)
"""The last column has no width: what may be long comes last."""


def line_cells(
    file: File, analysis: Analysis | None, renamed: str | None = None, *, node: str = ""
) -> tuple[str, ...]:
    """Return what ``list`` shows of a file to people, below LIST_COLUMNS: the outcome, or else where it stands, first.

    ``renamed`` is where people find the file, if their folder is known by another name; ``node`` is its host, where
    there are several.
    """
    row = line_json(file, analysis)
    is_told = file.state is FileState.DELIVERED or file.outcome is Outcome.PENDING
    where = row["outcome"] if is_told else row["state"]
    if file.stuck_at is not None or (analysis is not None and analysis.stuck_at is not None):
        where = "stuck"
    elif file.held:
        where = "held"
    confidence = f"{row['confidence']:.2f}" if _is_of_outcome(file, analysis) else ""
    doubt = " (in doubt)" if analysis is not None and analysis.doubt else ""
    moved = "" if file.lies_at is None else f" -> {row['lies_at']}"
    noticed = f"{file.noticed_at:%Y-%m-%d %H:%M}"
    place = f"{place_text(row)}{moved}" if renamed is None else renamed
    host = f"{shown(node)}/" if node else ""
    return where, confidence, row["media"] or "-", noticed, f"{host}{place}{doubt}"


def _is_of_outcome(file: File, analysis: Analysis | None) -> bool:
    """Tell whether a confidence is about the outcome that stands beside it, and not of a verdict that the desk overruled."""
    verdict = None if analysis is None else analysis.verdict
    if verdict is None or verdict.unknown:
        return False
    return file.outcome in {None, Outcome.UNCERTAIN, verdict.classification}


def line_text(cells: Sequence[str]) -> str:
    """Return the cells of a line of ``list`` as one line, however long it is."""
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, LIST_WIDTHS, strict=True))


def place_text(row: Row) -> str:
    """Return folder and path of a line of ``list --json`` for people: of a single file it is the whole path.

    Behind its host where that is told.
    """
    host = f"{shown(row['node'])}/" if row.get("node") else ""
    return f"{host}{row['folder']}: {'/' if row['folder'] == AD_HOC else ''}{row['path']}"


EXPORTED = (
    "path",
    "folder",
    "state",
    "outcome",
    "confidence",
    "media",
    "size",
    "sha256",
    "identifier",
    "noticed_at",
    "delivered_at",
    "lies_at",
    "reason",
    "classification",
    "heuristic",
    "unknown",
    "forced",
    "c2pa_state",
    "c2pa_issuer",
    "c2pa_digital_source_type",
    "decision",
    "decision_reason",
    "decided_by",
    "decided_at",
    "duplicate",
    "doubt",
    "submitted_at",
    "judged_at",
    "shown_at",
)
"""The columns of ``export``: those of ``list``, then the verdict, the desk's decision, the times, and where people find it."""


def export_row(file: File, analysis: Analysis | None, shown_at: str) -> Row:
    """Return one row of ``export``, with the columns EXPORTED in their order."""
    verdict = None if analysis is None else analysis.verdict
    c2pa = None if verdict is None else verdict.c2pa
    decision = file.decision
    return line_json(file, analysis) | {
        "classification": None if verdict is None else verdict.classification,
        "heuristic": None if verdict is None else verdict.heuristic,
        "unknown": None if verdict is None else verdict.unknown,
        "forced": None if verdict is None else verdict.forced,
        "c2pa_state": None if c2pa is None else c2pa.state,
        "c2pa_issuer": None if c2pa is None else c2pa.issuer,
        "c2pa_digital_source_type": None if c2pa is None else c2pa.digital_source_type,
        "decision": None if decision is None else decision.choice,
        "decision_reason": None if decision is None else decision.reason,
        "decided_by": None if decision is None else decision.by,
        "decided_at": None if decision is None else timestamp(decision.at),
        "duplicate": file.duplicate,
        "doubt": analysis is not None and analysis.doubt,
        "submitted_at": None if analysis is None else timestamp(analysis.submitted_at),
        "judged_at": None if analysis is None else timestamp(analysis.judged_at),
        "shown_at": shown_at,
    }


def analysis_json(analysis: Analysis) -> Row:
    """Return an analysis with its verdict, for ``show --json``."""
    values: Row = asdict(analysis)
    del values["id"], values["noticed_at"]
    return {
        name: timestamp(value) if isinstance(value, datetime) else value
        for name, value in (values | {"sha256": analysis.sha256.hex()}).items()
    }


def file_json(file: File, analysis: Analysis | None) -> Row:
    """Return one file with its decision and its times, for ``show --json``."""
    decision = file.decision
    return line_json(file, analysis) | {
        "held": file.held,
        "backlog": file.backlog,
        "duplicate": file.duplicate,
        "copied_to": None if file.copied_to is None else shown(file.copied_to),
        "destination": None if file.destination is None else shown(file.destination),
        "decision": None if decision is None else asdict(decision) | {"at": timestamp(decision.at)},
        "hashed_at": timestamp(file.hashed_at),
        "due": timestamp(file.due),
        "stuck_at": timestamp(file.stuck_at),
        "failures": file.failures,
    }


def happening_text(detail: Row) -> str:
    """Return what a line of history says besides who did what, for people: a verdict with what it was made by."""
    return ", ".join(f"{name}: {_brief(value)}" for name, value in detail.items() if value is not None)


def _brief(value: object) -> str:
    match value:
        case {"classification": label, "confidence": confidence, "heuristic": heuristic, **rest}:
            version = rest.get("api_version")
            return f"{label} {confidence:g} ({heuristic}{f', API {version}' if version else ''})"
        case _:
            text = str(value)
    if _HASH.fullmatch(text):
        return f"{text[:16]}..."
    return text if len(text) <= _LONGEST_TOLD else f"{text[:_LONGEST_TOLD]}..."


def why(file: File, analysis: Analysis | None) -> str | None:
    """Return why a file is as it is, in words: its outcome's reason, our refusal, or what went wrong so far."""
    known = (file.trouble, file.reason, file.refusal)
    if any(reason is not None for reason in known):
        return next(reason for reason in known if reason is not None)
    return None if analysis is None or file.state is FileState.DELIVERED else analysis.reason


def rooms(limits: Limits, posts: Sequence[Post], gets: Sequence[datetime], now: datetime) -> tuple[Room, ...]:
    """Return what each limit still has; ``posts`` and ``gets`` are those that they remember."""
    of_backlog = [post.at for post in posts if post.backlog]
    made = {"POST": [post.at for post in posts], "GET": list(gets)}
    windows = [
        (method, _SPANS[window.span], window, made[method])
        for method in ("POST", "GET")
        for window in limits.windows(method)
    ]
    purse, share = limits.purse(backlog=False), limits.purse(backlog=True)
    if purse is not None and share is not None:
        windows += [("POST", "day", purse, made["POST"]), ("POST", "backlog", share, of_backlog)]
    return tuple(
        Room(method=method, window=name, left=gate.left(sent, window, now), allowed=window.count)
        for method, name, window, sent in windows
    )


_SPANS = {gate.SECOND: "second", gate.MINUTE: "minute"}


def eta(
    queue: Queue,
    posts: Sequence[Post],
    limits: Limits,
    account: Account,
    now: datetime,
    *,
    backlog_opens_at: datetime | None = None,
) -> timedelta | None:
    """Return how long it takes until the last of the uploads to make leaves; None if the purse never allows it.

    ``posts`` are those of the sliding day, ascending; where there is no purse, those of the last minute do. The
    account's own wait counts as far as its end is known: an operator's pause counts as if it ended now. What is of the
    backlog begins at ``backlog_opens_at``; that its hours end again is not reckoned with.
    """
    if queue.total == 0:
        return timedelta(0)
    starts_at = max(now, account.hold_until or now, account.next_probe_at or now)
    ends = []
    opens_at = max(starts_at, backlog_opens_at or starts_at)
    for uploads, purse, made, begins_at in (
        (queue.total, limits.purse(backlog=False), posts, starts_at),
        (queue.backlog, limits.purse(backlog=True), [post for post in posts if post.backlog], opens_at),
    ):
        if uploads == 0:
            continue
        if purse is not None and purse.count <= 0:
            return None
        windows = (*limits.windows("POST"), *([] if purse is None else [purse]))
        ends.append(last_instant(uploads, [post.at for post in made], windows, begins_at))
    return max(ends) - now


def last_instant(
    count: int, sent: Sequence[datetime], windows: Iterable[Window], starts_at: datetime
) -> datetime:
    """Return about when the last of ``count`` further requests may leave, without going through each of them.

    A window that is full again and again repeats its pattern once a span; what is left over is a matter of the
    windows inside it.
    """
    ordered = sorted(windows, key=lambda window: window.span)
    if not ordered:
        return starts_at
    *inner, window = ordered
    cycles, last = divmod(count - 1, window.count)
    first_out = len(sent) + last - window.count
    waits_until = sent[first_out] + window.span if first_out >= 0 else starts_at
    in_cycle = max(starts_at, waits_until, last_instant(last + 1, sent, inner, starts_at))
    return max(in_cycle + cycles * window.span, last_instant(count, sent, inner, starts_at))
