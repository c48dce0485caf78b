"""Let the disk serve everybody else first while a thread reads what can wait (ioprio_set(2)).

There is no function for it in the C library. Where the kernel has none, refuses it, or has a scheduler that does not
ask, nothing changes.
"""

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_CALLS = {
    "x86_64": (251, 252),
    "aarch64": (30, 31),
    "riscv64": (30, 31),
    "loongarch64": (30, 31),
    "ppc64le": (273, 274),
    "s390x": (282, 283),
}
"""The numbers of ioprio_set and ioprio_get where programs are of 64 bits."""

_WHO_THREAD = 1  # IOPRIO_WHO_PROCESS, which is a thread
_CLASS_SHIFT = 13
_IDLE = 3 << _CLASS_SHIFT


@contextmanager
def idle_io() -> Iterator[None]:
    """Read at idle priority in this thread, as long as the block lasts."""
    before = priority()
    _set(_IDLE)
    try:
        yield
    finally:
        # Without a class of its own a thread has a level all the same, which cannot be set.
        _set(before if before >> _CLASS_SHIFT else 0)


def priority() -> int:
    """Return the I/O priority of this thread, class and level; 0 if it has none or the kernel does not tell."""
    numbers = _numbers()
    return 0 if numbers is None else max(0, _library().syscall(numbers[1], _WHO_THREAD, 0))


def _set(value: int) -> None:
    numbers = _numbers()
    if numbers is not None:
        _library().syscall(numbers[0], _WHO_THREAD, 0, value)


@cache
def _library() -> ctypes.CDLL:
    """Return the C library: to look it up anew costs many times what a call does."""
    return ctypes.CDLL(None)


def _numbers() -> tuple[int, int] | None:
    return _CALLS.get(platform.machine()) if sys.maxsize > 2**32 else None
