"""Carry out one order: choose a free name, then sidecar, file, companions, XMP, heatmap, in that order.

Whatever is found half done is taken for the work of a delivery that was cut short, and finished.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta

from identifai_watch.core.model import Fingerprint
from identifai_watch.core.routing import Action, numbered
from identifai_watch.core.sidecar import is_same_file, is_same_matter, is_same_row, shown
from identifai_watch.delivery import companions, own, xmp
from identifai_watch.delivery.order import (
    Delivery,
    DeliveryError,
    Order,
    SourceChanged,
    SourceGone,
    Taken,
    reasons,
)
from identifai_watch.delivery.placing import (
    clear_leftover,
    copy,
    digest,
    drop_copied,
    fingerprint_of,
    is_identical,
    is_reservation,
    move,
)
from identifai_watch.delivery.tree import (
    DestinationGoneError,
    Place,
    beside,
    found,
    is_fed_back,
    opened,
    reading,
)

MOST_NUMBERS = 10_000

COARSEST_MTIME = timedelta(seconds=2)
"""How far a copied file's time may be off: FAT keeps two seconds."""


def choose(order: Order, wanted: bytes) -> bytes:
    """Return a free name at or beside ``wanted``, without touching anything.

    A file that lies there already, under that name or a numbered one, stays. A name is free when the
    companions' names are free with it. For ``copy`` a name also serves whose file is our own earlier copy
    of the same content from the same path.

    Raises:
        DeliveryError: The disk does not answer, there is no free name, or the place would be watched again.
    """
    with reasons(f"choosing a name for {shown(order.path)}"), ExitStack() as stack:
        if is_fed_back(order, wanted):
            where = f"{shown(wanted)} lies in the folder {shown(order.root)} itself by another name"
            remedy = "write the destination relative to the folder, or name a place outside of it"
            raise DeliveryError(
                f"{where}, so that its results would be its input; {remedy}", folder_trouble=False
            )
        settled = _settled(stack, order)
        if settled is not None and _is_numbered(settled, wanted):
            return settled
        source = _enter_source(stack, order, order.source)
        try:
            directory = stack.enter_context(opened(order, wanted))
        except (FileNotFoundError, DestinationGoneError):
            return wanted
        carried = () if source is None else companions.names_of(source, order)
        for n in range(1, MOST_NUMBERS):
            target = beside(directory, numbered(directory.name, n))
            if _is_free(target, source, carried) or _is_our_copy(target, order):
                return target.path
    raise DeliveryError(f"no free name for {shown(wanted)}", folder_trouble=False)


def _settled(stack: ExitStack, order: Order) -> bytes | None:
    """Return where the file, or its copy, lies since an earlier delivery; a copy that was edited is no more ours."""
    if order.action is not Action.COPY or order.copied_to is None:
        return None if order.action is Action.COPY else order.source
    place = _enter_source(stack, order, order.copied_to)
    return order.copied_to if place is not None and _holds(place, order) else None


def _is_numbered(path: bytes, wanted: bytes) -> bool:
    """Tell whether a path is the wanted one or one that ``choose`` would make from it."""
    if path == wanted:
        return True
    parent, _, name = wanted.rpartition(b"/")
    there, _, lies = path.rpartition(b"/")
    return parent == there and any(lies == numbered(name, n) for n in range(2, MOST_NUMBERS))


def _is_free(target: Place, source: Place | None, carried: tuple[bytes, ...]) -> bool:
    if found(target) is not None:
        return False
    if source is None:
        return True
    return all(
        found(beside(target, companions.renamed(name, source.name, target.name))) is None for name in carried
    )


def _is_our_copy(target: Place, order: Order) -> bool:
    """Tell whether a copy of the judged content from this path lies there; none is ever taken away for that."""
    if order.action is not Action.COPY:
        return False
    is_known = target.path == order.copied_to or own.sidecar_of(target, order, is_same_file) is not None
    return is_known and _holds(target, order)


def deliver(order: Order) -> Delivery:
    """Put the verdict and the file in their places; safe to repeat after a crash at any point.

    Raises:
        DeliveryError: The disk refuses; nothing was lost.
        Taken: The committed destination was taken by other content: choose anew.
        SourceChanged: The file is not the one that was judged.
        SourceGone: The file is neither here nor there.
    """
    with reasons(f"delivering {shown(order.path)}"), ExitStack() as stack:
        match order.action:
            case Action.RECORD:
                return Delivery(
                    lies_at=order.lies_at, fingerprint=order.fingerprint, copied_to=order.copied_to
                )
            case Action.SIDECAR:
                return _deliver_sidecar(order, stack)
            case Action.MOVE:
                return _deliver_move(order, stack)
            case Action.COPY:
                return _deliver_copy(order, stack)


def _deliver_sidecar(order: Order, stack: ExitStack) -> Delivery:
    source = _source(stack, order)
    looked = _check(source, order)
    sidecar = own.write_sidecar(source, order)
    left_alone = xmp.mark(source, order)
    heatmap = own.write_heatmap(source, order)
    # As it was looked at: what replaced it since is another file, and must not pass for the judged one.
    seen = fingerprint_of(looked, network=order.network)
    return Delivery(
        lies_at=order.lies_at, fingerprint=seen, sidecar=sidecar, heatmap=heatmap, left_alone=left_alone
    )


def _deliver_move(order: Order, stack: ExitStack) -> Delivery:
    committed = _committed(order)
    if committed == order.source:
        return _deliver_sidecar(order, stack)
    source = _enter_source(stack, order, order.source)
    target = _enter_target(
        stack, order, committed, is_wanted=source is not None and found(source) is not None
    )
    with _withdrawing(target, order):
        if not _is_placed(target, source, order):
            source = _source(stack, order)
            looked = _check(source, order)
            sidecar = own.write_sidecar(target, order)
            move(source, target, order, looked=looked, sha256=order.sha256)
        else:
            sidecar = own.write_sidecar(target, order)
            if source is not None and _is_judged(found(source), order):
                drop_copied(source, target, order)
    if source is not None and found(source) is None:
        companions.move(source, target, order)
        own.withdraw_sidecar(source, order, is_same_matter)
    left_alone = xmp.mark(target, order)
    heatmap = own.write_heatmap(target, order)
    return Delivery(
        lies_at=committed,
        fingerprint=_fingerprint(target, order),
        sidecar=sidecar,
        heatmap=heatmap,
        left_alone=left_alone,
    )


def _deliver_copy(order: Order, stack: ExitStack) -> Delivery:
    committed = _committed(order)
    source = _source(stack, order)
    looked = _check(source, order)
    target = _enter_target(stack, order, committed, is_wanted=True)
    earlier = _earlier_copy(stack, order, target)
    with _withdrawing(target, order):
        is_placed = _is_placed(target, source, order)
        sidecar = own.write_sidecar(source, order)
        own.write_sidecar(target, order)
        copied = None if earlier is None else found(earlier)
        if not is_placed and earlier is not None and copied is not None:
            move(earlier, target, order, looked=copied, sha256=order.sha256)
        elif not is_placed:
            copy(source, target, order, looked=looked, sha256=order.sha256)
        elif earlier is not None:
            drop_copied(earlier, target, order)
    if earlier is not None and found(earlier) is None:
        companions.move(earlier, target, order)
        own.withdraw_sidecar(earlier, order, is_same_matter)
    # Both before the companions are copied: what differs from its copy would be taken for another one.
    left_alone = xmp.mark(source, order)
    xmp.mark(target, order, creates=False)
    companions.copy(source, target, order)
    heatmap = own.write_heatmap(source, order)
    own.write_heatmap(target, order)
    return Delivery(
        lies_at=order.lies_at,
        fingerprint=fingerprint_of(looked, network=order.network),
        copied_to=committed,
        sidecar=sidecar,
        heatmap=heatmap,
        left_alone=left_alone,
    )


def _committed(order: Order) -> bytes:
    if order.destination is None:
        msg = f"to {order.action.value} a file needs a destination, committed before"
        raise ValueError(msg)
    return order.destination


def _enter_source(stack: ExitStack, order: Order, path: bytes) -> Place | None:
    """Open the directory where a file lies, or lay; None if even that is gone."""
    try:
        return stack.enter_context(opened(order, path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _source(stack: ExitStack, order: Order) -> Place:
    place = _enter_source(stack, order, order.source)
    if place is None or found(place) is None:
        raise SourceGone(order.source)
    return place


def _enter_target(stack: ExitStack, order: Order, path: bytes, *, is_wanted: bool) -> Place:
    """Open the directory where a file goes; it is made only for a file that is there to go."""
    try:
        return stack.enter_context(opened(order, path, create=is_wanted))
    except FileNotFoundError as error:
        if is_wanted:
            raise
        raise SourceGone(order.source) from error


def _earlier_copy(stack: ExitStack, order: Order, target: Place) -> Place | None:
    """Return where the copy of an earlier delivery lies, or lay, if it is to be taken along."""
    if order.copied_to is None or order.copied_to == target.path:
        return None
    place = _enter_source(stack, order, order.copied_to)
    if place is None or (found(place) is not None and not _holds(place, order)):
        return None
    return place


@contextmanager
def _withdrawing(target: Place, order: Order) -> Iterator[None]:
    """Leave no sidecar beside a name that the file does not come to."""
    try:
        yield
    except (Taken, SourceChanged, SourceGone):
        own.withdraw_sidecar(target, order, is_same_row)
        raise


def _is_placed(target: Place, source: Place | None, order: Order) -> bool:
    """Tell whether an earlier attempt brought the file to ``target`` already.

    Raises:
        Taken: Something else lies there.
    """
    if found(target) is None or is_reservation(target, wanted_size=order.fingerprint.size):
        return False
    if not (_is_our_copy(target, order) or _is_moved(target, source, order)):
        raise Taken(target.path)
    clear_leftover(target, order)
    return True


def _is_moved(target: Place, source: Place | None, order: Order) -> bool:
    """Tell whether a move that was cut short brought the file to ``target``.

    Its own sidecar, which came first, tells it from another file of the same content.
    """
    if order.action is not Action.MOVE or own.sidecar_of(target, order, is_same_row) is None:
        return False
    if source is not None and _is_judged(found(source), order):
        return is_identical(source, target)
    return _holds(target, order)


def _check(source: Place, order: Order) -> os.stat_result:
    """Return what lies there if it is the judged content; another fingerprint alone says nothing."""
    here = found(source)
    if here is None:
        raise SourceGone(source.path)
    if not stat.S_ISREG(here.st_mode):
        raise SourceChanged(source.path)
    is_known = fingerprint_of(here, network=order.network).is_like(order.fingerprint, order.granularity)
    if not is_known and (order.sha256 is None or not _holds(source, order)):
        raise SourceChanged(source.path)
    return here


def _holds(place: Place, order: Order) -> bool:
    """Tell whether the judged content lies there; for a file refused unread, size and time must do."""
    try:
        with reading(place) as (descriptor, status):
            if status.st_size != order.fingerprint.size:
                return False
            if order.sha256 is not None:
                return digest(descriptor) == order.sha256
            return _is_as_written(status, order, max(COARSEST_MTIME, order.granularity))
    except FileNotFoundError:
        return False


def _is_judged(here: os.stat_result | None, order: Order) -> bool:
    """Tell whether it is the very file that was judged, as far as that can be told unread; links change ctime."""
    if here is None:
        return False
    is_its_inode = fingerprint_of(here, network=order.network).inode == order.fingerprint.inode
    return is_its_inode and _is_as_written(here, order, order.granularity)


def _is_as_written(status: os.stat_result, order: Order, within: timedelta) -> bool:
    """Compare size and time of the last write: a link or a rename changes ctime, a copy the inode too."""
    now, then = fingerprint_of(status, network=order.network), order.fingerprint
    return replace(now, ctime_ns=then.ctime_ns, inode=then.inode).is_like(then, within)


def _fingerprint(place: Place, order: Order) -> Fingerprint:
    here = found(place)
    if here is None:
        raise SourceGone(place.path)
    return fingerprint_of(here, network=order.network)
