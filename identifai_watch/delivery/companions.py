"""What goes along with a file: its XMP files, and the heatmap that an earlier delivery laid beside it.

``x.xmp`` may serve ``x.jpg`` and ``x.cr2`` at once: as long as another file of that stem is left, it is
copied and stays.
"""

import os
import stat
from collections.abc import Callable
from functools import partial

from identifai_watch.core.routing import NAME_MAX, heatmap_name, numbered, split_name
from identifai_watch.core.sidecar import shown
from identifai_watch.delivery import own, placing
from identifai_watch.delivery.order import DeliveryError, Order, SourceChanged, Taken
from identifai_watch.delivery.tree import Place, beside, found

EXTENSIONS = (b".xmp", b".XMP")

MOST_NUMBERS = 1000


def names_of(source: Place, order: Order) -> tuple[bytes, ...]:
    """Return the companions that lie beside a file, by name."""
    if not order.companions:
        return ()
    stems = dict.fromkeys((split_name(source.name)[0], source.name))
    names = [stem + extension for stem in stems for extension in EXTENSIONS]
    return tuple(
        name for name in names if name != source.name and len(name) <= NAME_MAX and _is_there(source, name)
    )


def _is_there(source: Place, name: bytes) -> bool:
    status = found(beside(source, name))
    return status is not None and stat.S_ISREG(status.st_mode)


def renamed(companion: bytes, source: bytes, target: bytes) -> bytes:
    """Return what a companion is called once its file is called ``target`` and no longer ``source``."""
    extension = companion[-len(EXTENSIONS[0]) :]
    name = (target if companion == source + extension else split_name(target)[0]) + extension
    return name if len(name) <= NAME_MAX else companion


def move(source: Place, target: Place, order: Order) -> None:
    """Take the companions along after their file, which has left ``source``."""
    for name in names_of(source, order):
        wanted = renamed(name, source.name, target.name)
        is_others = name != source.name + name[-len(EXTENSIONS[0]) :] and _is_shared(source)
        _carry(beside(source, name), target, partial(numbered, wanted), order, keep=is_others)
    heatmap = heatmap_name(source.name)
    if _is_there(source, heatmap):
        _carry(beside(source, heatmap), target, partial(heatmap_name, target.name), order, keep=False)


def copy(source: Place, target: Place, order: Order) -> None:
    """Copy the companions beside the copy of their file."""
    for name in names_of(source, order):
        wanted = renamed(name, source.name, target.name)
        _carry(beside(source, name), target, partial(numbered, wanted), order, keep=True)


def _is_shared(source: Place) -> bool:
    """Tell whether another file of the same stem is left that an ``x.xmp`` may belong to."""
    stem = split_name(source.name)[0]
    for text in os.listdir(source.directory):  # noqa: PTH208 - pathlib knows no opened directories
        name = os.fsencode(text)
        other, extension = split_name(name)
        if other == stem and name != source.name and extension not in (b"", *EXTENSIONS):
            return True
    return False


def _is_carried(companion: Place, target: Place, order: Order) -> bool:
    """Tell whether a companion lies at ``target`` already, perhaps with marks of ours that it did not have before."""
    if placing.is_identical(companion, target):
        return True
    if order.marks is None:
        return False
    from identifai_watch.delivery import packet  # noqa: PLC0415 - most folders write no XMP

    one, other = own.content(companion), own.content(target)
    return one is not None and other is not None and packet.is_alike(one, other)


def _carry(
    companion: Place, file: Place, name_of: Callable[[int], bytes], order: Order, *, keep: bool
) -> None:
    """Bring one companion beside ``file``, to the first of its names where no other content lies."""
    looked = found(companion)
    if looked is None:
        return
    for n in range(1, MOST_NUMBERS):
        target = beside(file, name_of(n))
        placing.clear_leftover(target, order)
        if found(target) is not None and not placing.is_reservation(target, wanted_size=looked.st_size):
            if not _is_carried(companion, target, order):
                continue
            if not keep:
                placing.drop_copied(companion, target, order)
            return
        try:
            if keep:
                placing.copy(companion, target, order, looked=looked)
            else:
                placing.move(companion, target, order, looked=looked)
        except Taken:
            continue
        except SourceChanged as error:
            raise DeliveryError(f"{shown(companion.path)} is being changed", folder_trouble=False) from error
        return
    raise DeliveryError(f"no free name for {shown(companion.path)}", folder_trouble=False)
