"""What is no longer true of a path: its sidecar says so, or goes to ``.identifai/orphans`` with its heatmap.

Nothing is deleted: whoever misses a verdict finds it there, under the path that it had.
"""

import stat
from contextlib import ExitStack

from identifai_watch.core.routing import heatmap_name, numbered
from identifai_watch.core.sidecar import is_same_matter, shown
from identifai_watch.delivery import own, xmp
from identifai_watch.delivery.order import (
    Delivery,
    DeliveryError,
    Order,
    SourceChanged,
    SourceGone,
    Taken,
    reasons,
)
from identifai_watch.delivery.placing import fingerprint_of, move
from identifai_watch.delivery.tree import Place, beside, found, opened

ORPHANS = b".identifai/orphans"
"""Below the folder; no scan enters a directory whose name begins with a dot."""

MOST_NUMBERS = 10_000


def announce(order: Order) -> Delivery:
    """Say beside a file that its verdict is pending, whatever lies there now; an earlier heatmap is put aside.

    Raises:
        DeliveryError: The disk refuses.
        SourceChanged: No regular file lies there.
        SourceGone: Nothing lies there.
    """
    with reasons(f"announcing {shown(order.path)}"), ExitStack() as stack:
        source = _entered(stack, order)
        here = None if source is None else found(source)
        if source is None or here is None:
            raise SourceGone(order.source)
        if not stat.S_ISREG(here.st_mode):
            raise SourceChanged(order.source)
        sidecar = own.write_sidecar(source, order)
        left_alone = xmp.mark(source, order, creates=False)
        _put_aside(beside(source, heatmap_name(source.name)), order)
        return Delivery(
            lies_at=order.lies_at, fingerprint=order.fingerprint, sidecar=sidecar, left_alone=left_alone
        )


def put_aside(order: Order) -> None:
    """Put the sidecar and the heatmap of a file aside, unless the judged file lies there.

    Raises:
        DeliveryError: The disk refuses.
    """
    with reasons(f"putting the sidecar of {shown(order.path)} aside"), ExitStack() as stack:
        source = _entered(stack, order)
        if source is None or _is_there(source, order):
            return
        sidecar = own.sidecar_of(source, order, is_same_matter)
        if sidecar is None:
            return
        _put_aside(beside(source, heatmap_name(source.name)), order)
        _put_aside(sidecar, order)


def _entered(stack: ExitStack, order: Order) -> Place | None:
    """Open the directory where the file lies, or lay; None if even that is gone."""
    try:
        return stack.enter_context(opened(order, order.source))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_there(source: Place, order: Order) -> bool:
    here = found(source)
    if here is None:
        return False
    return fingerprint_of(here, network=order.network).is_like(order.fingerprint, order.granularity)


def _put_aside(ours: Place, order: Order) -> None:
    """Move one of our own files below ORPHANS, to a name that is free there; nothing, if it is not there."""
    looked = found(ours)
    if looked is None or not stat.S_ISREG(looked.st_mode):
        return
    with ExitStack() as stack:
        wanted = ORPHANS + b"/" + ours.path.lstrip(b"/")
        directory = stack.enter_context(opened(order, wanted, create=True))
        for n in range(1, MOST_NUMBERS):
            target = beside(directory, numbered(directory.name, n))
            try:
                move(ours, target, order, looked=looked)
            except Taken:
                continue
            except SourceChanged as error:
                raise DeliveryError(f"{shown(ours.path)} is being changed", folder_trouble=False) from error
            return
    raise DeliveryError(f"no free name for {shown(ours.path)}", folder_trouble=False)
