"""Take a file's SHA-256 from one descriptor, and be sure that it is the digest of one version of it."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from identifai_watch.core.model import Fingerprint
from identifai_watch.folder.look import fingerprint
from identifai_watch.folder.opening import ChangedError, FolderError, open_inside, translated
from identifai_watch.folder.pages import Wake, wake
from identifai_watch.folder.sniff import HEAD, sniff

_BUFFER = 4 * 1024 * 1024
"""Bytes, of each thread that reads. Beside a busy Python thread, with ``workers.SWITCH_INTERVAL``, the digest keeps 0.4
of its speed with 1 MiB, 0.87 with 4 MiB and 0.94 with 16 MiB (benchmarks/digest.py measures what is chosen)."""


class StoppedError(FolderError):
    """The caller asked to stop; nothing is wrong with the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """The SHA-256 of one version of a file, and the format of its first bytes."""

    sha256: bytes
    fingerprint: Fingerprint
    sniffed: str | None


def digest(
    root: bytes,
    path: bytes,
    *,
    expected: Fingerprint,
    network: bool,
    within: timedelta = timedelta(0),
    progress: Callable[[int], None] | None = None,
    allowed: Callable[[int], int] = lambda most: most,
    stop: Callable[[], bool] = lambda: False,
) -> Digest:
    """Read the file ``path`` below ``root`` once; ``progress`` is told the number of bytes of each read.

    ``within`` is how far readings of its times may differ. ``allowed`` is asked before each read for at most so many
    bytes, and returns when some of them, how many, may be read; 0 stops.

    Raises:
        ChangedError: it is not the file of the ``expected`` fingerprint, or changed while it was read.
        StoppedError: ``stop`` said so.
        FolderError: it cannot be read.
    """
    descriptor = open_inside(root, path)
    try:
        before = os.fstat(descriptor)
        if not fingerprint(before, network=network).is_like(expected, within):
            raise ChangedError("it changed since it was looked at")
        with wake(descriptor, expected.size) as behind:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
            sniffed = sniff(os.pread(descriptor, HEAD, 0))
            sha256 = _read(descriptor, expected.size, behind, progress, allowed, stop)
        after = os.fstat(descriptor)
    except OSError as error:
        raise translated(error) from error
    finally:
        os.close(descriptor)
    is_like = fingerprint(after, network=network).is_like(expected, within)
    if after.st_dev != before.st_dev or not is_like:
        raise ChangedError("it changed while it was read")
    return Digest(sha256=sha256, fingerprint=expected, sniffed=sniffed)


def _read(
    descriptor: int,
    size: int,
    behind: Wake,
    progress: Callable[[int], None] | None,
    allowed: Callable[[int], int],
    stop: Callable[[], bool],
) -> bytes:
    found = hashlib.sha256()
    # One byte more than there should be, so that a file which grows is never read to its end.
    buffer = memoryview(bytearray(min(size + 1, _BUFFER)))
    done = 0
    while (most := allowed(min(size + 1 - done, len(buffer)))) > 0:
        length = os.readv(descriptor, [buffer[:most]])
        if length == 0:
            return found.digest()
        found.update(buffer[:length])
        done += length
        behind.passed(length)
        if done > size:
            raise ChangedError("it grew while it was read")
        if progress is not None:
            progress(length)
        if stop():
            break
    raise StoppedError("stopped while it was read")
