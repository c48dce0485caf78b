"""Our own files beside a file: its sidecar and its heatmap.

A sidecar is rewritten only if it is this tool's and about the same content or path; a foreign file that has
its name stays, and ours gets a number. A heatmap carries no mark: another one that has its name is renamed.
An empty file under a name of ours is what a crash left of our reserving it.
"""

import json
import os
from collections.abc import Callable

from identifai_watch.core.routing import heatmap_name, sidecar_name
from identifai_watch.core.sidecar import is_same_matter
from identifai_watch.delivery.order import DeliveryError, Order
from identifai_watch.delivery.placing import clear_leftover, rename, write
from identifai_watch.delivery.tree import Place, beside, found, reading, sync

LARGEST = 64 * 1024 * 1024
"""Bytes: what is larger than this is no sidecar and no heatmap of ours."""

NUMBERS = range(1, 1000)

Likeness = Callable[[object, object], bool]
"""How like ours a sidecar must be: one of the comparisons of ``core.sidecar``."""


def write_sidecar(file: Place, order: Order) -> bytes:
    """Write the order's document beside ``file`` and return its path."""
    document, mine = _document(order)
    for n in NUMBERS:
        place = beside(file, sidecar_name(file.name, n))
        clear_leftover(place, order)
        try:
            if found(place) is None:
                write(place, document, order, replace=False)
                return place.path
        except FileExistsError:
            pass  # somebody was quicker: look at what lies there now
        there = content(place)
        if there == document:
            return place.path
        if there == b"" or is_same_matter(mine, parsed(there)):
            write(place, document, order, replace=True)
            return place.path
    raise DeliveryError("no free name for the sidecar", folder_trouble=False)


def _document(order: Order) -> tuple[bytes, object]:
    if order.document is None:
        msg = f"to {order.action.value} a file needs a sidecar"
        raise ValueError(msg)
    return order.document, json.loads(order.document)


def write_heatmap(file: Place, order: Order) -> bytes | None:
    """Write the order's heatmap beside ``file`` and return its path, or None if the order has none."""
    if order.heatmap is None:
        return None
    place = beside(file, heatmap_name(file.name))
    clear_leftover(place, order)
    there = content(place)
    if there == order.heatmap:
        return place.path
    if there != b"" and found(place) is not None:
        _put_aside(file, place)
    write(place, order.heatmap, order, replace=there == b"")
    return place.path


def _put_aside(file: Place, place: Place) -> None:
    for n in NUMBERS[1:]:
        aside = beside(file, heatmap_name(file.name, n))
        try:
            rename(place, aside)
        except FileExistsError:
            continue
        return
    raise DeliveryError("no free name for an earlier heatmap", folder_trouble=False)


def withdraw_sidecar(file: Place, order: Order, is_ours: Likeness) -> None:
    """Remove our sidecar beside a name that the file has left, or has never come to."""
    place = sidecar_of(file, order, is_ours)
    if place is not None:
        os.unlink(place.name, dir_fd=place.directory)
        sync(place.directory)


def sidecar_of(file: Place, order: Order, is_ours: Likeness) -> Place | None:
    """Return where the sidecar lies beside ``file`` that is as like the order's as ``is_ours`` asks for."""
    _, mine = _document(order)
    for n in NUMBERS:
        place = beside(file, sidecar_name(file.name, n))
        if found(place) is None:
            return None
        if is_ours(mine, parsed(content(place))):
            return place
    return None


def content(place: Place) -> bytes | None:
    """Return the bytes of a regular file, or None if there is none that could be ours."""
    try:
        with reading(place) as (descriptor, status):
            if status.st_size > LARGEST:
                return None
            with os.fdopen(os.dup(descriptor), "rb") as file:
                return file.read(LARGEST)
    except (FileNotFoundError, PermissionError):
        return None


def parsed(text: bytes | None) -> object:
    """Return a document, or None if it is none that can be read."""
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None
