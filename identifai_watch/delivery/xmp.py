"""The XMP file beside a file: ``x.xmp``, or ``x.jpg.xmp`` where that is there or another file shares the stem.

Editors keep captions and rights in it, so that it is extended and never replaced by one of ours; one that cannot be
extended without harm is left alone, and that is said. What is written depends on what is there and on the verdict alone, so
that a delivery that is repeated ends as one that was not.
"""

import os
import stat

from identifai_watch.core.media import EXTENSIONS
from identifai_watch.core.routing import NAME_MAX, split_name
from identifai_watch.core.sidecar import shown
from identifai_watch.core.xmp import Marks
from identifai_watch.delivery import companions
from identifai_watch.delivery.order import DeliveryError, Order
from identifai_watch.delivery.placing import clear_leftover, rewrite, write
from identifai_watch.delivery.tree import Place, beside, found, reading

LARGEST = 16 * 1024 * 1024
"""Bytes: editors' own are a hundredth of that at most."""

MOST_TRIES = 5
"""How often a file that is written by somebody else meanwhile is read anew before the delivery waits."""


_EXTENSIONS = tuple(
    os.fsencode(f".{spelling}") for one in sorted(EXTENSIONS) for spelling in (one, one.upper())
)


class _LeftAlone(Exception):  # noqa: N818 - a turn of events, which is said and changes nothing
    """The file stays as it is; the text says why."""


def mark(file: Place, order: Order, *, creates: bool = True) -> str | None:
    """Set the order's marks in the XMP file beside ``file``; return why one was left alone, None if none was.

    Where there is none one is made if ``creates`` is given.
    """
    if order.marks is None or found(file) is None:
        return None
    try:
        place = _place(file, order)
        for _ in range(MOST_TRIES):
            if _is_marked(place, order, order.marks, creates=creates):
                return None
    except (_LeftAlone, PermissionError) as error:
        why = error.strerror if isinstance(error, PermissionError) else str(error)
        return f"the XMP file beside {shown(file.path)} was left alone: {why}"
    raise DeliveryError(f"{shown(place.path)} is being changed", folder_trouble=False)


def _place(file: Place, order: Order) -> Place:
    """Return where the marks of a file stand, or are to stand: never in an ``x.xmp`` that is another file's too.

    Where they stood before another file of that stem came, they are set anew.
    """
    stem, extension = split_name(file.name)
    is_shared = _is_shared(file)
    if is_shared and extension == b"":
        raise _LeftAlone("it would be another file's too")
    there = [beside(file, name) for name in companions.names_of(file, order)]
    wholes = [place for place in there if place.name[: len(file.name)] == file.name]
    stems = [] if is_shared else [place for place in there if place not in wholes]
    earlier = [place for place in there if place not in wholes and _is_about(place, order)]
    known = [*earlier, *wholes, *stems]
    if known:
        return known[0]
    name = (file.name if is_shared else stem) + companions.EXTENSIONS[0]
    if len(name) > NAME_MAX:
        raise _LeftAlone("its name would be too long")
    return beside(file, name)


def _is_shared(file: Place) -> bool:
    """Tell whether another media file has the stem, so that ``x.xmp`` may be that one's.

    They are asked for by name: to list a directory of a million files for each delivery would take a second.
    """
    stem = split_name(file.name)[0]
    here = os.stat(file.name, dir_fd=file.directory, follow_symlinks=False)
    for extension in _EXTENSIONS:
        try:
            other = os.stat(stem + extension, dir_fd=file.directory, follow_symlinks=False)
        except OSError:  # most are not there, and a name that is too long for it cannot be
            continue
        # The file itself answers to its own name, and where case is not told apart to others.
        if not os.path.samestat(here, other):
            return True
    return False


def _is_about(place: Place, order: Order) -> bool:
    """Tell whether a file has marks of ours about the order's content."""
    from identifai_watch.delivery import packet  # noqa: PLC0415 - most folders write no XMP

    if order.sha256 is None:
        return False
    try:
        with reading(place) as (descriptor, status):
            return packet.sha256_of(_content(descriptor, status)) == order.sha256.hex()
    except (FileNotFoundError, PermissionError, _LeftAlone, packet.NotXmpError):
        return False


def _is_marked(place: Place, order: Order, marks: Marks, *, creates: bool) -> bool:
    """Set the marks in the file that lies at ``place`` now; tell whether they are there, or another look is needed."""
    from identifai_watch.delivery import packet  # noqa: PLC0415 - likewise

    clear_leftover(place, order)
    here = found(place)
    if here is None:
        return not creates or _is_made(place, packet.fresh(marks), order)
    if not stat.S_ISREG(here.st_mode):
        raise _LeftAlone("it is no regular file")
    with reading(place) as (descriptor, looked):
        content = _content(descriptor, looked)
        try:
            # An empty one is what a crash left of our reserving the name, or has nothing to lose.
            wanted = packet.marked(content, marks) if content else packet.fresh(marks)
        except packet.NotXmpError as error:
            raise _LeftAlone(str(error)) from error
        return wanted == content or rewrite(place, wanted, order, source=descriptor, before=content)


def _is_made(place: Place, content: bytes, order: Order) -> bool:
    try:
        write(place, content, order, replace=False)
    except FileExistsError:
        return False  # somebody was quicker: look at what lies there now
    return True


def _content(descriptor: int, status: os.stat_result) -> bytes:
    if status.st_size > LARGEST:
        raise _LeftAlone(f"it is larger than {LARGEST:,} bytes")
    return os.pread(descriptor, LARGEST, 0)
