"""Look at one file: its fingerprint, whether somebody writes to it, whether its container is all there.

A look is what ``core.settling`` calls a sample, with the format of the first bytes.
"""

import errno
import fcntl
import os
import signal
import stat
from dataclasses import dataclass

from identifai_watch.core.model import Fingerprint
from identifai_watch.core.settling import Sample
from identifai_watch.core.times import kept
from identifai_watch.folder.containers import shortfall
from identifai_watch.folder.opening import (
    BusyError,
    NotRegularError,
    open_inside,
    open_root,
    stat_inside,
    translated,
)
from identifai_watch.folder.sniff import HEAD, sniff


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look at a file showed; ``sniffed`` is a name of ``core.media.FORMATS``, None for none of them."""

    fingerprint: Fingerprint
    sample: Sample
    sniffed: str | None


def fingerprint(result: os.stat_result, *, network: bool) -> Fingerprint:
    """Take a file's fingerprint; on a network file system the inode is no part of it."""
    return Fingerprint(
        size=result.st_size,
        mtime_ns=kept(result.st_mtime_ns),
        ctime_ns=kept(result.st_ctime_ns),
        inode=None if network else kept(result.st_ino),
    )


def look(root: bytes, path: bytes, *, network: bool) -> Look:
    """Look at the regular file ``path`` below ``root``.

    It is opened and only then asked for its state: on network file systems opening is what revalidates.

    Raises:
        FolderError: it cannot be looked at.
    """
    top = open_root(root)
    try:
        return _look_below(top, path, network=network)
    finally:
        os.close(top)


def ignore_sigio() -> None:
    """Ignore SIGIO for the whole process; to be called once, by the main thread, before the first look.

    Without it a writer that opens a file in the moment of the probe would end the process: that is what SIGIO
    does by default.
    """
    signal.signal(signal.SIGIO, signal.SIG_IGN)


def has_writer(descriptor: int) -> bool | None:
    """Say whether anybody on this host has the file open for writing, None if that cannot be told.

    A read lease is refused with EAGAIN while somebody does (fcntl(2)); one that is granted is given straight
    back. It takes ownership of the file or CAP_LEASE, and SIGIO must be ignored.
    """
    if signal.getsignal(signal.SIGIO) is not signal.SIG_IGN:
        return None
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _look_below(top: int, path: bytes, *, network: bool) -> Look:
    try:
        descriptor = open_inside(top, path)
    except BusyError:
        return _held(top, path, network=network)
    try:
        return _look_at(descriptor, network=network)
    except OSError as error:
        raise translated(error) from error
    finally:
        os.close(descriptor)


def _look_at(descriptor: int, *, network: bool) -> Look:
    found = fingerprint(os.fstat(descriptor), network=network)
    sniffed = sniff(os.pread(descriptor, HEAD, 0))
    sample = Sample(
        fingerprint=found,
        writer=None if network else has_writer(descriptor),
        shortfall=shortfall(descriptor, sniffed, found.size),
    )
    return Look(fingerprint=found, sample=sample, sniffed=sniffed)


def _held(top: int, path: bytes, *, network: bool) -> Look:
    """See from outside a file that cannot be opened, for whoever holds it means to write."""
    result = stat_inside(top, path)
    if not stat.S_ISREG(result.st_mode):
        raise NotRegularError("it is no regular file")
    found = fingerprint(result, network=network)
    return Look(
        fingerprint=found, sample=Sample(fingerprint=found, writer=True, shortfall=None), sniffed=None
    )
