"""The page cache behind the reader of a large file, which must not drive out of it what others use.

Such a file is read from its begin to its end, once: what the reader brought into the cache goes again right behind
it. What was there before the reader is left there: somebody put it there, perhaps the editor who watches the video,
and nothing comes on top of it. Small files stay in the cache, for the upload reads them again soon.
"""

import ctypes
import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

LARGE = 64_000_000
"""Bytes: files above this leave nothing behind in the cache."""

WINDOW = 4 * 1024 * 1024
"""Bytes that are let go, or left alone, as one: what was in the cache before is known in these steps."""

_MAPPED = 64 * WINDOW
_PROT_READ = 1
_MAP_SHARED = 1
_MAP_FAILED = ctypes.c_void_p(-1).value


@dataclass(slots=True, kw_only=True)
class Wake:
    """What lies behind the reader of one descriptor, until the block ends that it is used in.

    ``kept`` has a byte for each window, 1 if it is to stay.
    """

    descriptor: int
    kept: bytearray
    _passed: int = field(default=0, init=False)
    _window: int = field(default=0, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go what is left: the reader goes no further."""
        if self._window < len(self.kept) and self._passed > self._window * WINDOW:
            self._let_go()

    def passed(self, length: int) -> None:
        """Take in that the reader has ``length`` more bytes behind it, and let whole windows go."""
        self._passed += length
        while self._window < min(self._passed // WINDOW, len(self.kept)):
            self._let_go()

    def _let_go(self) -> None:
        window = self._window
        self._window += 1
        if self.kept[window]:
            return
        # The one before once more: where the cache holds more than a page as one, that reached over its end.
        begin = window - 1 if window > 0 and not self.kept[window - 1] else window
        with suppress(OSError):  # an advice that is not taken does no harm
            os.posix_fadvise(
                self.descriptor, begin * WINDOW, (window + 1 - begin) * WINDOW, os.POSIX_FADV_DONTNEED
            )


def wake(descriptor: int, size: int) -> Wake:
    """Return the wake of a reader that is about to begin with a file of ``size`` bytes; the file system may be asked."""
    return Wake(descriptor=descriptor, kept=_cached(descriptor, size) if size > LARGE else bytearray())


def _cached(descriptor: int, size: int) -> bytearray:
    """Return a byte for each window of a file: 1 if half of it is in the page cache (mincore(2)).

    Less than that is what a look at its first bytes, our own say, leaves there. The kernel tells the owner of a file and those who may write it; where it would not, none counts as cached.
    """
    found = bytearray(-(-size // WINDOW))
    if not _may_ask(descriptor):
        return found
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [
        *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int),
        ctypes.c_int64,
    ]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    page = os.sysconf("SC_PAGESIZE")
    pages = ctypes.create_string_buffer(_MAPPED // page)
    for offset in range(0, size, _MAPPED):
        length = min(_MAPPED, size - offset)
        address = libc.mmap(None, length, _PROT_READ, _MAP_SHARED, descriptor, offset)
        if address == _MAP_FAILED:
            break
        is_told = libc.mincore(address, length, pages) == 0
        libc.munmap(address, length)
        states = pages.raw if is_told else b""
        for begin in range(0, length if is_told else 0, WINDOW):
            window = states[begin // page : -(-min(begin + WINDOW, length) // page)]
            found[(offset + begin) // WINDOW] = 2 * window.count(1) >= len(window)
    return found


def _may_ask(descriptor: int) -> bool:
    """Tell whether the kernel says of this file what is in the cache; of others it says that all of it is."""
    if os.geteuid() in {0, os.fstat(descriptor).st_uid}:
        return True
    return os.access(f"/proc/self/fd/{descriptor}", os.W_OK, effective_ids=True)
