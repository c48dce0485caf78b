"""What there is: files, the analyses of their contents, and the account.

Values only. What may happen to them is in ``events``, what follows from that in ``lifecycle``; what things mean on
disk or on the wire is left to the modules that touch them.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class Media(StrEnum):
    """The three kinds that identifAI judges, by the names of its endpoints."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"


class Label(StrEnum):
    """What identifAI says of a content: made by a human or artificial."""

    HUMAN = "human"
    ARTIFICIAL = "artificial"


class Choice(StrEnum):
    """What the desk decides about a file."""

    HUMAN = "human"
    ARTIFICIAL = "artificial"
    INCONCLUSIVE = "inconclusive"
    CONFIRMED = "confirmed"


class Outcome(StrEnum):
    """Where a file ends: the four answers that people meet, and what they are told while there is none.

    ``PENDING`` stands in the sidecar of a file whose content changed, ``UNCHECKED`` in that of one which was not
    judged in time.
    """

    HUMAN = "human"
    ARTIFICIAL = "artificial"
    UNCERTAIN = "uncertain"
    REJECTED = "rejected"
    PENDING = "pending"
    UNCHECKED = "unchecked"


class Interim(StrEnum):
    """Why people are told something of a file before its verdict is there."""

    CHANGING = "changing"  # it is no longer what was judged: its sidecar says so until it has settled
    REPLACED = "replaced"  # it took the place of a judged file, whose sidecar must not be taken for its own
    LATE = "late"  # it was not judged in time: it is let go unchecked, and stays where it then lies


class AnalysisState(StrEnum):
    """Where the judging of one content stands."""

    QUEUED = "queued"
    SENDING = "sending"
    AWAITING = "awaiting"
    JUDGED = "judged"
    REFUSED = "refused"


class FileState(StrEnum):
    """Where one file stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    GONE = "gone"


class AccountState(StrEnum):
    """May the account be used?"""

    OK = "ok"
    PAUSED = "paused"


class PauseReason(StrEnum):
    """Why the whole account waits."""

    KEY = "key"
    TERMS = "terms"
    CREDITS = "credits"
    FLOOR = "credits_floor"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What tells one version of a file from the next without reading it.

    ``size`` is in bytes, times in nanoseconds; ``inode`` is None on network file systems, where it may change
    between mounts. Compared for equality only: clocks and copies lie about order.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int | None

    def is_like(self, other: "Fingerprint", within: timedelta) -> bool:
        """Tell whether both may be readings of one version, whose times then differ by ``within`` at most.

        The nodes of a cluster may tell times that are apart; size and inode they agree on.
        """
        if not within:
            return self == other
        apart = max(abs(self.mtime_ns - other.mtime_ns), abs(self.ctime_ns - other.ctime_ns))
        granularity = within // timedelta(microseconds=1) * 1000
        return (self.size, self.inode) == (other.size, other.inode) and apart <= granularity

    def is_as_written(self, other: "Fingerprint", within: timedelta) -> bool:
        """Tell whether it was last written as ``other``: a new mode, or a restored disk, changes ctime and inode alone."""
        return replace(self, ctime_ns=other.ctime_ns, inode=other.inode).is_like(other, within)


Remembered = tuple[bytes, int, int, int, int | None, int]
"""What the ledger remembers of a file in its directory: its name, the four values of its fingerprint, in their order, and a mark.

The mark is 0 for what was there when it was last looked for, 1 or more for the scans that missed it since, GONE for
what is known to be gone. A plain tuple: a scan asks for a million of them.
"""

GONE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The C2PA manifest of a content, as far as a verdict needs it."""

    state: str | None
    issuer: str | None
    digital_source_type: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """identifAI's answer about one content; ``forced`` is its ``force_classification``."""

    classification: Label
    confidence: float
    heuristic: str
    models: tuple[str, ...] = ()
    unknown: bool = False
    forced: Label | None = None
    nsfw: bool | None = None
    c2pa: Provenance | None = None
    api_version: str | None = None
    result_url: str | None = None
    has_heatmap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The desk's judgement of one file; it routes the file and never alters the verdict."""

    choice: Choice
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """The judging of one content, paid for once: a row of the ledger's ``analyses``.

    Unique by (sha256, media, options, edition); ``edition`` grows by one with each rejudge. ``due`` is the
    instant of its next duty, None when there is none or when it is stuck. ``no_cache`` is dropped for ever as
    soon as there is ``doubt``. ``failures`` counts the failures in a row since ``failing_since``. After
    ``deadline`` it is no longer awaited. ``heatmap_due`` is when its heatmap is asked for next.
    """

    id: int
    sha256: bytes
    media: Media
    mime: str
    options: str
    size: int
    noticed_at: datetime
    edition: int = 0
    state: AnalysisState = AnalysisState.QUEUED
    doubt: bool = False
    no_cache: bool = False
    backlog: bool = False
    priority: int = 0
    due: datetime | None = None
    failures: int = 0
    failing_since: datetime | None = None
    resubmissions: int = 0
    malformed: int = 0
    stuck_at: datetime | None = None
    reason: str | None = None
    identifier: str | None = None
    sent_name: str | None = None
    ref_id: str | None = None
    submitted_at: datetime | None = None
    deadline: datetime | None = None
    judged_at: datetime | None = None
    heatmap_due: datetime | None = None
    heatmap_failures: int = 0
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file that is owed a verdict: a row of the ledger's ``files``.

    ``path`` is where it was noticed, in bytes relative to the folder ``folder``. ``lies_at`` is where it lies
    if that is another place, ``destination`` where a delivery under way is taking it; both are relative to the
    folder, or absolute when they begin with ``/``; so is ``copied_to``, where a copy of it was put. ``refusal`` is
    our own reason not to send it (format, size), found under the ``rules`` of that day.
    A ``held`` file is neither hashed nor sent; ``backlog`` marks what lay there before the daemon.
    ``reason`` is why its outcome is what it is, ``trouble`` why its last delivery failed.
    ``interim`` is why it is spoken of before its verdict, ``release_at`` when it is let go unchecked;
    ``supersedes`` is the number of the judged file whose place it took. ``orphan_due`` is when the sidecar of a file
    that is no longer there is put aside. ``delivered_as`` is the outcome of its last delivery: another one is news.
    ``node`` is the host that its folder is on, "" for one that several hosts share.
    """

    id: int
    folder: str
    path: bytes
    fingerprint: Fingerprint
    noticed_at: datetime
    state: FileState = FileState.WAITING
    held: bool = False
    backlog: bool = False
    priority: int = 0
    analysis_id: int | None = None
    media: Media | None = None
    sha256: bytes | None = None
    refusal: str | None = None
    rules: str | None = None
    duplicate: bool = False
    decision: Decision | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    hashed_at: datetime | None = None
    delivered_at: datetime | None = None
    due: datetime | None = None
    failures: int = 0
    failing_since: datetime | None = None
    stuck_at: datetime | None = None
    destination: bytes | None = None
    lies_at: bytes | None = None
    copied_to: bytes | None = None
    missing: int = 0
    trouble: str | None = None
    interim: Interim | None = None
    release_at: datetime | None = None
    supersedes: int | None = None
    orphan_due: datetime | None = None
    delivered_as: Outcome | None = None
    node: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The account's one row: whether it may be used, and from when on the next request may go.

    ``hold_until`` is the network's or a 429's wait; while ``holds`` is above 0 one request at a time probes.
    ``next_probe_at`` and ``probes`` belong to a pause; one that an operator made for a time ends then. ``succeeded_at`` is when a request last got through.
    """

    state: AccountState = AccountState.OK
    reason: PauseReason | None = None
    detail: str | None = None
    next_probe_at: datetime | None = None
    probes: int = 0
    hold_until: datetime | None = None
    holds: int = 0
    succeeded_at: datetime | None = None
    credits: float | None = None
    credits_at: datetime | None = None
