"""Open what lies below a folder's root, and nothing else: no link is followed, no FIFO waits, no device wakes.

Every name is opened relative to the directory before it, so that a directory which is swapped for a link
between two looks leads nowhere.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

_DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})
_UNREADABLE = frozenset({errno.EACCES, errno.EPERM})
_NOT_REGULAR = frozenset({errno.ELOOP, errno.ENXIO, errno.EISDIR})


class FolderError(Exception):
    """Something in a watched tree could not be looked at.

    ├── MissingError       it is not there
    ├── NotRegularError    it is a link, a directory, a FIFO, a socket or a device
    ├── UnreadableError    the operator's matter: no permission
    ├── BusyError          somebody holds it so that it cannot even be opened (a Samba oplock)
    ├── ChangedError       it changed while it was read
    └── UnavailableError   the file system's matter: it hangs, is stale or broken; everything below waits
    """


class MissingError(FolderError):
    """It is not there."""


class NotRegularError(FolderError):
    """It is no regular file."""


class UnreadableError(FolderError):
    """We may not read it."""


class BusyError(FolderError):
    """It cannot be opened just now, for somebody holds a lease on it."""


class ChangedError(FolderError):
    """It is not the file that was expected, or changed while it was read."""


class UnavailableError(FolderError):
    """The file system does not answer as it should (ESTALE, EIO, ENOTCONN and what else is not foreseen)."""


def translated(error: OSError) -> FolderError:
    """Say whose matter a system error is, in its own words."""
    says = error.strerror or str(error)
    if error.errno in _MISSING:
        return MissingError(says)
    if error.errno in _UNREADABLE:
        return UnreadableError(says)
    if error.errno in _NOT_REGULAR:
        return NotRegularError(says)
    if error.errno == errno.EAGAIN:
        return BusyError("somebody holds a lease on it")
    return UnavailableError(says)


def open_root(root: bytes) -> int:
    """Open a folder's root; the operator may have named it by a link. The caller closes the descriptor.

    Raises:
        FolderError: it cannot be opened.
    """
    try:
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise translated(error) from error


@contextmanager
def directory_inside(root: int, path: bytes, *, listing: bool = False) -> Iterator[int]:
    """Lend a descriptor of the directory ``path`` below ``root``; ``listing`` is whether it will be listed.

    Raises:
        FolderError: it cannot be opened, or is none.
    """
    names = _names(path) if path else [b"."]
    current = root
    try:
        for position, name in enumerate(names, 1):
            is_listed = listing and position == len(names)
            flags = _DIRECTORY | (os.O_RDONLY if is_listed else os.O_PATH)
            following = os.open(name, flags, dir_fd=current)
            _close(current, unless=root)
            current = following
    except OSError as error:
        _close(current, unless=root)
        raise translated(error) from error
    try:
        yield current
    finally:
        os.close(current)


def open_inside(root: int | bytes, path: bytes) -> int:
    """Open the regular file ``path`` below ``root`` for reading. The caller closes the descriptor.

    Raises:
        FolderError: it cannot be opened, or is no regular file.
    """
    if isinstance(root, bytes):
        descriptor = open_root(root)
        try:
            return open_inside(descriptor, path)
        finally:
            os.close(descriptor)
    *parents, name = _names(path)
    with directory_inside(root, b"/".join(parents)) as directory:
        return _open_regular(directory, name)


def stat_inside(root: int, path: bytes) -> os.stat_result:
    """Stat ``path`` below ``root`` without following a link anywhere.

    Raises:
        FolderError: it cannot be reached.
    """
    *parents, name = _names(path)
    with directory_inside(root, b"/".join(parents)) as directory:
        try:
            return os.stat(name, dir_fd=directory, follow_symlinks=False)
        except OSError as error:
            raise translated(error) from error


def _open_regular(directory: int, name: bytes) -> int:
    """Open a regular file; looked at before, for opening a device has effects, and after, for it may be swapped."""
    try:
        before = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISREG(before.st_mode):
            raise NotRegularError(_kind(before.st_mode))
        descriptor = os.open(name, _FILE, dir_fd=directory)
    except OSError as error:
        raise translated(error) from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise NotRegularError(_kind(mode))
    return descriptor


def _names(path: bytes) -> list[bytes]:
    """Split a path, refusing what would lead out of the root or about in it; no path of ours does."""
    names = path.split(b"/")
    if {b"", b".", b".."} & set(names):
        raise MissingError(f"not a path below the folder: {path!r}")
    return names


def _close(descriptor: int, *, unless: int) -> None:
    if descriptor != unless:
        os.close(descriptor)


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
    }
    return "it is " + kinds.get(stat.S_IFMT(mode), "a device")
