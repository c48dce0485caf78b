"""Opened directories: every name of a delivery is reached below an opened root, and no link is followed on the way."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from identifai_watch.core.sidecar import shown
from identifai_watch.delivery.order import DeliveryError, Order

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY

CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
"""What file systems say that know no fsync of a directory; SMB among them."""


class DestinationGoneError(DeliveryError):
    """An absolute destination is not there: not made yet, or not mounted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A name in an opened directory; ``path`` is what the order calls it."""

    directory: int
    name: bytes
    path: bytes


def beside(place: Place, name: bytes) -> Place:
    """Return the place of another name in the same directory."""
    parent, slash, _ = place.path.rpartition(b"/")
    return Place(directory=place.directory, name=name, path=parent + slash + name)


@contextmanager
def opened(order: Order, path: bytes, *, create: bool = False) -> Iterator[Place]:
    """Open the directory of ``path``, which may be relative to the order's root or absolute, for as long as needed.

    Raises:
        FileNotFoundError: A directory is missing and ``create`` is not given.
        NotADirectoryError: A directory is something else now, or a link.
        DestinationGoneError: An absolute destination is missing and ``create`` is not given.
        DeliveryError: The root itself is gone.
    """
    anchor, names = _anchored(order, path)
    directory = _open_anchor(order, anchor, create=create)
    try:
        for name in names[:-1]:
            below = _enter(directory, name, order, create=create)
            os.close(directory)
            directory = below
        yield Place(directory=directory, name=names[-1], path=path)
    finally:
        os.close(directory)


def is_fed_back(order: Order, path: bytes) -> bool:
    """Tell whether an absolute path leads into the watched folder, though its name does not say so: by a link."""
    if not path.startswith(b"/"):
        return False
    root, parent = os.path.realpath(order.root), os.path.realpath(path.rpartition(b"/")[0])
    return parent == root or parent.startswith(root.rstrip(b"/") + b"/")


def _anchored(order: Order, path: bytes) -> tuple[bytes, list[bytes]]:
    """Split a path into the directory that the operator named and the names below it."""
    anchor = order.root
    if path.startswith(b"/"):
        roots = [root for root in order.destination_roots if path.startswith(root.rstrip(b"/") + b"/")]
        anchor = max(roots, key=len, default=b"/")
        path = path[len(anchor.rstrip(b"/")) :]
    names = [name for name in path.split(b"/") if name not in (b"", b".")]
    if not names or b".." in names:
        msg = f"{path!r} names no file, or leads out of where it should"
        raise ValueError(msg)
    return anchor, names


def _open_anchor(order: Order, anchor: bytes, *, create: bool) -> int:
    try:
        return os.open(anchor, DIRECTORY)
    except (FileNotFoundError, NotADirectoryError) as error:
        if anchor == order.root:
            reason = f"the folder {shown(anchor)} is gone: {error.strerror}"
            raise DeliveryError(reason, folder_trouble=True) from error
        if not create or isinstance(error, NotADirectoryError):
            reason = f"the destination {shown(anchor)} is not there: {error.strerror}"
            raise DestinationGoneError(reason, folder_trouble=False) from error
    return _make_anchor(order, anchor)


def _make_anchor(order: Order, anchor: bytes) -> int:
    """Create an absolute destination with what is missing above it, following links as the operator wrote them."""
    above, _, name = anchor.rstrip(b"/").rpartition(b"/")
    parent = _open_anchor(order, above or b"/", create=True)
    try:
        return _make(parent, name, order)
    finally:
        os.close(parent)


def _enter(directory: int, name: bytes, order: Order, *, create: bool) -> int:
    try:
        return os.open(name, DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    except FileNotFoundError:
        if not create:
            raise
    return _make(directory, name, order)


def _make(parent: int, name: bytes, order: Order) -> int:
    """Make a directory with the order's mode and its parent's group, and open it; another may have made it first."""
    try:
        os.mkdir(name, order.directory_mode & 0o777, dir_fd=parent)
    except FileExistsError:
        return os.open(name, DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    made = os.open(name, DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        give(made, mode=order.directory_mode, group=os.fstat(parent).st_gid)
        sync(parent)
    except BaseException:
        os.close(made)
        raise
    return made


def give(descriptor: int, *, mode: int, group: int, owner: int = -1) -> None:
    """Set owner, group and mode as far as we may; what the target does not allow is left as it is."""
    try:
        os.fchown(descriptor, owner, group)
    except OSError:
        with suppress(OSError):
            os.fchown(descriptor, -1, group)
    with suppress(OSError):
        os.fchmod(descriptor, mode)


def sync(directory: int) -> None:
    """Bring the names of a directory to the disk, where the file system can."""
    try:
        os.fsync(directory)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise


def found(place: Place) -> os.stat_result | None:
    """Return what lies there, never following a link, or None if nothing does."""
    try:
        return os.stat(place.name, dir_fd=place.directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


@contextmanager
def reading(place: Place) -> Iterator[tuple[int, os.stat_result]]:
    """Open a regular file for reading, never a link, a FIFO or a device.

    Raises:
        FileNotFoundError: Nothing lies there, or nothing that is a regular file.
    """
    before = found(place)
    if before is None or not stat.S_ISREG(before.st_mode):
        raise FileNotFoundError(errno.ENOENT, "no regular file lies there", place.path)
    try:
        descriptor = os.open(place.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place.directory)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise FileNotFoundError(errno.ENOENT, "a link lies there now", place.path) from error
    try:
        opened_now = os.fstat(descriptor)
        if not stat.S_ISREG(opened_now.st_mode):
            raise FileNotFoundError(errno.ENOENT, "no regular file lies there", place.path)
        yield descriptor, opened_now
    finally:
        os.close(descriptor)
