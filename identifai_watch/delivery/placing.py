"""One file gets a new name or a copy, and whatever lies there already is left alone.

Ways to give a name that is not taken, best first: ``renameat2`` with ``RENAME_NOREPLACE``; a hard link and an
unlink; an empty file made with ``O_EXCL`` that is then renamed over. Across file systems a copy is made
under a hidden name, verified, and named last.
"""

import ctypes
import dataclasses
import errno
import functools
import hashlib
import os
import stat
from collections.abc import Callable
from contextlib import suppress

from identifai_watch.core.model import Fingerprint
from identifai_watch.core.times import kept
from identifai_watch.delivery.order import Order, SourceChanged, Taken
from identifai_watch.delivery.tree import Place, beside, found, give, reading, sync

RENAME_NOREPLACE = 1

NO_RENAMEAT2 = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})
"""What a C library, a kernel or a file system says that does not know the flag; NFS among them."""

NO_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EMLINK, errno.EACCES})
"""What file systems say that know no hard links, and the kernel of files that we may not link."""

BUFFER = 4 * 1024 * 1024
"""Bytes read at once: small reads starve beside a busy Python thread (measured)."""

KEPT_ATTRIBUTES = ("user.", "system.posix_acl_access")
"""Extended attributes that go along with a copy; labels of the security modules are the target's matter."""


def fingerprint_of(status: os.stat_result, *, network: bool) -> Fingerprint:
    """Return the fingerprint of what was found."""
    return Fingerprint(
        size=status.st_size,
        mtime_ns=kept(status.st_mtime_ns),
        ctime_ns=kept(status.st_ctime_ns),
        inode=None if network else kept(status.st_ino),
    )


def digest(descriptor: int) -> bytes:
    """Return the SHA-256 of an opened file from its beginning."""
    state = hashlib.sha256()
    _pump(descriptor, state.update)
    return state.digest()


def _pump(descriptor: int, *takers: Callable[[memoryview], object]) -> None:
    """Read an opened file from its beginning and hand each block to every taker."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    block = memoryview(bytearray(min(BUFFER, os.fstat(descriptor).st_size + 1)))
    while count := os.readv(descriptor, [block]):
        for take in takers:
            take(block[:count])


def rename(source: Place, target: Place) -> None:
    """Give a file a new name that is not taken, on the same file system.

    Raises:
        FileExistsError: The name is taken.
        OSError: ``EXDEV`` if it is another file system; whatever else the disk says.
    """
    try:
        _rename_noreplace(source, target)
    except OSError as error:
        if error.errno not in NO_RENAMEAT2:
            raise
        _link_and_unlink(source, target)
    sync(target.directory)
    sync(source.directory)


def _rename_noreplace(source: Place, target: Place) -> None:
    function = _renameat2()
    if function is None:
        raise OSError(errno.ENOSYS, "the C library has no renameat2")
    if function(source.directory, source.name, target.directory, target.name, RENAME_NOREPLACE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target.path)


@functools.cache
def _renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """Return the C library's function, or None where it has none (musl before 1.2.6)."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    function.restype = ctypes.c_int
    return function  # type: ignore[no-any-return]  # ctypes makes the type of a function as it is looked up


def _link_and_unlink(source: Place, target: Place) -> None:
    try:
        os.link(
            source.name,
            target.name,
            src_dir_fd=source.directory,
            dst_dir_fd=target.directory,
            follow_symlinks=False,
        )
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        _reserve_and_rename(source, target)
    else:
        sync(target.directory)
        os.unlink(source.name, dir_fd=source.directory)


def _reserve_and_rename(source: Place, target: Place) -> None:
    """Take the name with an empty file, then rename over that.

    An empty file that is already there is taken for a reservation of ours from before a crash: the name is
    committed in the ledger, and nothing is lost with it.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
    try:
        os.close(os.open(target.name, flags, 0o600, dir_fd=target.directory))
    except FileExistsError:
        taken = found(target)
        if taken is None or not stat.S_ISREG(taken.st_mode) or taken.st_size != 0:
            raise
    os.rename(source.name, target.name, src_dir_fd=source.directory, dst_dir_fd=target.directory)


def move(
    source: Place, target: Place, order: Order, *, looked: os.stat_result, sha256: bytes | None = None
) -> None:
    """Move a file to a name that is not taken, across file systems too; what is moved is what was looked at.

    ``looked`` is what was found when it was looked at. Across file systems the content must have the digest
    ``sha256``, if it is known.

    Raises:
        Taken: The name is taken.
        SourceChanged: Another file came to lie there meanwhile; it is left, or put back, where it was.
    """
    try:
        rename(source, target)
    except FileExistsError as error:
        raise Taken(target.path) from error
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _drop(source, target, order, copied=copy(source, target, order, looked=looked, sha256=sha256))
        return
    after = found(target)
    if after is not None and not _is_same(looked, after, order):
        rename(target, source)
        raise SourceChanged(source.path)


def _drop(source: Place, target: Place, order: Order, *, copied: os.stat_result) -> None:
    """Take the name of a file away whose verified copy is on the disk, unless another file has it by now.

    Where times are no proof to the nanosecond, the bytes are compared once more: nothing may be lost by this.
    """
    now = found(source)
    if now is None or not _is_same(copied, now, order):
        return
    if now.st_mtime_ns == copied.st_mtime_ns or is_identical(source, target):
        os.unlink(source.name, dir_fd=source.directory)
        sync(source.directory)


def copy(
    source: Place, target: Place, order: Order, *, looked: os.stat_result, sha256: bytes | None = None
) -> os.stat_result:
    """Copy a file to a name that is not taken, with its times, mode, group, ACL and attributes where the target can.

    The copy is written under a hidden name, synced and read back before it gets its own. ``looked`` is what
    was found when the file was looked at, ``sha256`` what its content must be, if it is known. Returns what the
    source was.

    Raises:
        Taken: The name is taken.
        SourceChanged: It is not that file or content, or it changed while it was read.
    """
    temporary = beside(target, hidden_name(order, target))
    discard(temporary)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        with reading(source) as (readable, before):
            writable = os.open(temporary.name, flags, 0o600, dir_fd=temporary.directory)
            try:
                copied = _copy_content(readable, writable)
                is_steady = _is_same(looked, before, order) and _is_same(before, os.fstat(readable), order)
                if not is_steady or sha256 not in (None, copied):
                    raise SourceChanged(source.path)
                _keep_attributes(readable, writable, before)
                with suppress(OSError):  # last, for what was set before it changes them
                    os.utime(writable, ns=(before.st_atime_ns, before.st_mtime_ns))
                _verify(writable, copied, target)
            finally:
                os.close(writable)
        rename(temporary, target)
    except FileExistsError as error:
        raise Taken(target.path) from error
    finally:
        discard(temporary)
    return before


def _copy_content(readable: int, writable: int) -> bytes:
    state = hashlib.sha256()
    _pump(readable, state.update, functools.partial(_write_all, writable))
    return state.digest()


def _write_all(writable: int, block: memoryview | bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(writable, rest) :]


def _keep_attributes(readable: int, writable: int, before: os.stat_result) -> None:
    """Bring over what is beside the content, but for the times."""
    give(writable, owner=before.st_uid, group=before.st_gid, mode=stat.S_IMODE(before.st_mode) & 0o777)
    with suppress(OSError):  # a file system without attributes has nothing to bring
        for name in os.listxattr(readable):
            if name.startswith(KEPT_ATTRIBUTES):
                with suppress(OSError):  # the target may know fewer, or smaller ones
                    os.setxattr(writable, name, os.getxattr(readable, name))


def _verify(writable: int, copied: bytes, target: Place) -> None:
    """Read the copy back from the disk, rather than from memory."""
    os.fsync(writable)
    os.posix_fadvise(writable, 0, 0, os.POSIX_FADV_DONTNEED)
    if digest(writable) != copied:
        raise OSError(errno.EIO, "the copy read back is not what was written", target.path)


def drop_copied(source: Place, target: Place, order: Order) -> None:
    """Finish a move that was cut short: take the source's name away if its content is safe at ``target``.

    A file that is not exactly the one that lies there, or that is the very same entry of the directory by
    another spelling or another mount, is left alone.
    """
    here, there = found(source), found(target)
    if here is None or there is None or _is_same_entry(source, here, target, there):
        return
    if not _is_same_inode(here, there) and not is_identical(source, target):
        return
    sync(target.directory)
    _drop(source, target, order, copied=here)


def is_identical(source: Place, target: Place) -> bool:
    """Tell whether two regular files hold the same bytes."""
    try:
        with reading(source) as (one, here), reading(target) as (other, there):
            return here.st_size == there.st_size and digest(one) == digest(other)
    except FileNotFoundError:
        return False


def _is_same(before: os.stat_result, after: os.stat_result, order: Order) -> bool:
    """Tell whether it is the same file with the same content; a rename or a link changes ctime alone."""
    one, other = (fingerprint_of(status, network=False) for status in (before, after))
    is_like = dataclasses.replace(one, ctime_ns=other.ctime_ns).is_like(other, order.granularity)
    return before.st_dev == after.st_dev and is_like


def _is_same_inode(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def _is_same_entry(source: Place, here: os.stat_result, target: Place, there: os.stat_result) -> bool:
    """Tell whether two names may be one entry: case is not told apart everywhere, and mounts may show a tree twice."""
    if not _is_same_inode(here, there):
        return False
    return here.st_nlink == 1 or _is_same_inode(os.fstat(source.directory), os.fstat(target.directory))


def write(target: Place, content: bytes, order: Order, *, replace: bool) -> None:
    """Write a file of our own: hidden, synced, then named; with the order's mode and the directory's group.

    Raises:
        FileExistsError: The name is taken and ``replace`` is not given.
    """
    temporary = beside(target, hidden_name(order, target))
    discard(temporary)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        writable = os.open(temporary.name, flags, 0o600, dir_fd=temporary.directory)
        try:
            _write_all(writable, content)
            give(writable, mode=order.file_mode, group=os.fstat(target.directory).st_gid)
            os.fsync(writable)
        finally:
            os.close(writable)
        if replace:
            os.replace(
                temporary.name, target.name, src_dir_fd=temporary.directory, dst_dir_fd=target.directory
            )
            sync(target.directory)
        else:
            rename(temporary, target)
    finally:
        discard(temporary)


def rewrite(target: Place, content: bytes, order: Order, *, source: int, before: bytes) -> bool:
    """Write somebody's file anew, who keeps its mode, owner and attributes as far as we may give them.

    ``source`` is the file opened, ``before`` what was read of it. If something else lies there by the time that the
    new one is on the disk nothing is changed, and False returned: times alone are no proof of that.
    """
    temporary = beside(target, hidden_name(order, target))
    discard(temporary)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    looked = os.fstat(source)
    try:
        writable = os.open(temporary.name, flags, 0o600, dir_fd=temporary.directory)
        try:
            _write_all(writable, content)
            _keep_attributes(source, writable, looked)
            os.fsync(writable)
        finally:
            os.close(writable)
        now = found(target)
        if now is None or not _is_same_inode(looked, now) or os.pread(source, len(before) + 1, 0) != before:
            return False
        os.replace(temporary.name, target.name, src_dir_fd=temporary.directory, dst_dir_fd=target.directory)
        sync(target.directory)
    finally:
        discard(temporary)
    return True


def hidden_name(order: Order, target: Place) -> bytes:
    """Return the hidden name for what becomes ``target``: the same after a crash, and nobody else's.

    Hosts and folders may share a destination, so that the name tells them apart.
    """
    whose = (os.uname().nodename.encode(), order.root, order.path, target.name)
    return b".identifai-" + hashlib.sha256(b"\0".join(whose)).hexdigest()[:16].encode()


def clear_leftover(target: Place, order: Order) -> None:
    """Remove what a crash may have left of our hidden file for ``target``."""
    discard(beside(target, hidden_name(order, target)))


def is_reservation(target: Place, *, wanted_size: int) -> bool:
    """Tell whether it may be the empty file that holds a name on file systems without better means."""
    there = found(target)
    return there is not None and stat.S_ISREG(there.st_mode) and there.st_size == 0 != wanted_size


def discard(temporary: Place) -> None:
    """Remove a hidden file of ours, if it is there."""
    with suppress(FileNotFoundError):
        os.unlink(temporary.name, dir_fd=temporary.directory)
