"""What one worker does to deliver: where a file ends, the order that takes it there, and what came of that.

Whatever is done here may be cut short at any point and done again; the events are written by the loop.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from identifai_watch import __version__, delivery
from identifai_watch.config import Folder
from identifai_watch.core import lifecycle, routing, sidecar, xmp
from identifai_watch.core.model import Analysis, Interim, Outcome
from identifai_watch.core.sidecar import Previous
from identifai_watch.delivery import DeliveryError, Order, SourceChanged, SourceGone, Taken
from identifai_watch.ledger.reading import Delivery
from identifai_watch.places import Place

CHANGED = "it changed since it was judged; its verdict is pending"
"""The reason of a pending outcome."""

Carried = delivery.Delivery | DeliveryError | Taken | SourceChanged | SourceGone


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Where a delivery will take its file, or why none could be chosen."""

    destination: bytes | None
    trouble: DeliveryError | None = None


def outcome_of(due: Delivery, folder: Folder) -> tuple[Outcome, str | None]:
    """Return where a file ends, or what is told of it before that, and why."""
    told = lifecycle.told(due.file, None if due.analysis is None else due.analysis.state)
    match told:
        case None:
            return _judged(due, folder)
        case Outcome.PENDING:
            return told, CHANGED
        case _:
            minutes = folder.release_after_minutes
            return told, f"not judged within {minutes:g} minutes: {_standing(due.analysis)}"


def _standing(analysis: Analysis | None) -> str:
    """Say in words what a content that is not judged was waiting for."""
    if analysis is None or analysis.identifier is None:
        last = None if analysis is None else analysis.reason
        return "it was not sent yet" if last is None else f"it was not sent yet ({last})"
    return "identifAI had not answered yet"


def _judged(due: Delivery, folder: Folder) -> tuple[Outcome, str | None]:
    """Return the outcome of a file by its verdict, its refusal or the desk's decision."""
    file, analysis = due.file, due.analysis
    refusal = file.refusal
    if refusal is None and analysis is not None and analysis.verdict is None:
        refusal = analysis.reason or "refused"
    return routing.outcome(
        verdict=None if analysis is None else analysis.verdict,
        refusal=refusal,
        decision=file.decision,
        media=file.media,
        rules=folder.routing_rules(),
    )


def order_of(due: Delivery, place: Place, *, now: datetime) -> Order:
    """Return the order that delivers a file, whose outcome is known, with its sidecar."""
    folder, file = place.folder, due.file
    document = sidecar.document(
        file,
        due.analysis,
        response=sidecar.response_of(due.raw),
        version=__version__,
        now=now,
        previous=_previous(due, folder) if file.outcome is Outcome.PENDING else None,
    )
    return Order(
        root=folder.root,
        path=file.path,
        fingerprint=file.fingerprint,
        action=folder.action,
        lies_at=file.lies_at,
        destination=file.destination,
        copied_to=file.copied_to,
        sha256=file.sha256,
        document=sidecar.encoded(document),
        heatmap=due.heatmap,
        destination_roots=tuple(root for root in folder.destinations().values() if root.startswith(b"/")),
        file_mode=folder.file_mode,
        directory_mode=folder.directory_mode,
        network=place.network,
        granularity=folder.timestamp_granularity,
        marks=xmp.marks(file, due.analysis, version=__version__) if folder.xmp else None,
    )


def _previous(due: Delivery, folder: Folder) -> Previous | None:
    """Return what was told before a file changed: of itself, or of the judged file whose place it took."""
    before = due if due.file.interim is Interim.CHANGING else due.previous
    if before is None:
        return None
    is_judged = before.analysis is None or before.analysis.state in lifecycle.SETTLED
    outcome, reason = _judged(before, folder) if is_judged else (Outcome.UNCHECKED, None)
    return Previous(file=replace(before.file, outcome=outcome, reason=reason), analysis=before.analysis)


def choose(order: Order, wanted: bytes) -> Chosen:
    """Choose a free name for a file, before anything is touched."""
    try:
        return Chosen(destination=delivery.choose(order, wanted))
    except DeliveryError as error:
        return Chosen(destination=None, trouble=error)


def carry(order: Order) -> Carried:
    """Carry an order out; what keeps it from being done is returned, not raised."""
    try:
        return delivery.deliver(order)
    except (DeliveryError, Taken, SourceChanged, SourceGone) as found:
        return found


def announce(order: Order) -> Carried:
    """Say beside a file that its verdict is pending; what keeps it from being done is returned, not raised."""
    try:
        return delivery.announce(order)
    except (DeliveryError, SourceChanged, SourceGone) as found:
        return found


def put_aside(order: Order) -> DeliveryError | None:
    """Put the sidecar of a file aside that does not lie there any more; return what keeps it from being done."""
    try:
        delivery.put_aside(order)
    except DeliveryError as error:
        return error
    return None
