"""What may happen: to an analysis, to a file, and to the account; one small class for each.

The tables of ``lifecycle`` and the rules of ``gate`` say what follows.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from identifai_watch.core.model import Fingerprint, Label, Outcome, PauseReason, Verdict

# What happens to an analysis. Each class is one arrow of lifecycle.ANALYSES.


@dataclass(frozen=True, slots=True)
class Begun:
    """Its upload is about to start: committed before the first byte leaves."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The API took the content and named it."""

    identifier: str
    sent_name: str | None = None
    ref_id: str | None = None


@dataclass(frozen=True, slots=True)
class Unsent:
    """Nothing arrived by this attempt: cut before the closing boundary, 401, 403, 429 or no credits.

    ``counts`` is whether the failure is held against the row; it is not when the account or the network is
    at fault.
    """

    reason: str
    counts: bool = False


@dataclass(frozen=True, slots=True)
class Deferred:
    """The closing boundary was written, and then no identifier came: perhaps it was paid for."""

    reason: str
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Refused:
    """The API will not take this content; ``reason`` is in its words."""

    reason: str


@dataclass(frozen=True, slots=True)
class Pending:
    """The API is still at it."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict is here; ``raw`` is the API's own element, byte for byte as UTF-8 JSON."""

    verdict: Verdict
    raw: bytes


@dataclass(frozen=True, slots=True)
class Errored:
    """The API gave up on this content."""

    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The API no longer knows the identifier (api-notes 6)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Mismatched:
    """The API judged other bytes than ours (api-notes 35)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """The API says it is done, but there is no verdict that can be read (api-notes 5)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A poll brought no answer about this content: a time-out, a reset, a 5xx."""

    reason: str
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Overdue:
    """It has been awaited longer than ``analysis_deadline_minutes``."""


@dataclass(frozen=True, slots=True)
class Absent:
    """No file with this content can be seen any more, so that it cannot be sent."""


@dataclass(frozen=True, slots=True)
class Present:
    """A file with this content is there again."""


@dataclass(frozen=True, slots=True)
class Overridden:
    """The desk's decision was sent to the vendor, which now forces ``label`` for these bytes."""

    label: Label


@dataclass(frozen=True, slots=True)
class Retried:
    """The operator asks for another attempt; it goes on where it stood."""


AnalysisEvent = (
    Begun
    | Uploaded
    | Unsent
    | Deferred
    | Refused
    | Pending
    | Judged
    | Errored
    | Lost
    | Mismatched
    | Malformed
    | Unanswered
    | Overdue
    | Absent
    | Present
    | Overridden
    | Retried
)


# What happens to a file. Each class is one arrow of lifecycle.FILES; Retried and Refused are shared.


@dataclass(frozen=True, slots=True)
class Destined:
    """Its outcome is known and the place it goes to is committed, before anything is touched."""

    outcome: Outcome
    reason: str | None
    destination: bytes | None


@dataclass(frozen=True, slots=True)
class Delivered:
    """Its verdict is where people look; the fingerprint was read anew after our own writes."""

    lies_at: bytes | None
    fingerprint: Fingerprint | None
    copied_to: bytes | None = None


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The delivery failed and is repeated; nothing was lost."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reopened:
    """Its verdict, decision or rejudging changed what is to be delivered."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """Its content changed: another row stands for this path now, or none, if what lies there is left alone."""

    is_replaced: bool = True


@dataclass(frozen=True, slots=True)
class Missed:
    """A scan listed its directory without error and did not see it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """It is there, as the ledger knows it."""


@dataclass(frozen=True, slots=True)
class Stirred:
    """It is no longer the file that was judged, as far as that can be told unread: its verdict must not be believed."""


@dataclass(frozen=True, slots=True)
class Announced:
    """Its sidecar says that a verdict is pending."""


@dataclass(frozen=True, slots=True)
class Expired:
    """It was not judged within ``release_after_minutes``: it is let go unchecked."""


@dataclass(frozen=True, slots=True)
class Swept:
    """Its sidecar, which nothing lay beside any more, was put aside, or there was none."""


FileEvent = (
    Destined
    | Delivered
    | Undelivered
    | Reopened
    | Superseded
    | Missed
    | Seen
    | Retried
    | Stirred
    | Announced
    | Expired
    | Swept
)


# What happens to the account.


@dataclass(frozen=True, slots=True)
class Healthy:
    """A request got through and was answered as expected."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """429: too fast for the account; ``retry_after`` is what the API asked for, if it did."""

    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No connection, or 502 to 504: everybody waits, one request at a time probes."""

    reason: str
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Barred:
    """The account may not be used now: wrong key, terms not accepted, no credits, or the operator says so.

    ``until`` is when an operator's pause ends by itself.
    """

    why: PauseReason
    detail: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Resumed:
    """A start, a reload, a changed key file or the operator: probe now."""


@dataclass(frozen=True, slots=True)
class Credited:
    """The balance is known: it may pause the account, or lift a pause that it was the reason of.

    Without a ``floor`` it does not pause one that works: who pays afterwards may have none.
    """

    credits: float
    floor: float | None = 0


@dataclass(frozen=True, slots=True)
class Cleared:
    """The request that probed a pause was answered as expected."""


AccountEvent = Healthy | Throttled | Unreachable | Barred | Resumed | Credited | Cleared
