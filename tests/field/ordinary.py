"""Files as an ordinary user meets them: root may read everything, and so never sees what its users' folders refuse."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION_3 = 0x20080522
_OVERRIDE, _READ_SEARCH = 1 << 1, 1 << 2


@contextmanager
def no_privilege_to_read() -> Iterator[None]:
    """Take this thread, and those that it starts meanwhile, the right to read what its mode forbids (capset(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then the same of the upper half
    assert libc.capget(header, sets) == 0
    effective = sets[0]
    sets[0] = effective & ~(_OVERRIDE | _READ_SEARCH)
    assert libc.capset(header, sets) == 0
    try:
        yield
    finally:
        sets[0] = effective
        assert libc.capset(header, sets) == 0
