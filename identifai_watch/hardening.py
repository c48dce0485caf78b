"""Keep the key in this process: no other process of the same user may read its memory, and no core dump holds it."""

import ctypes
import resource

_PR_SET_DUMPABLE = 4


def harden() -> None:
    """Close this process to ptrace, to readers of its ``/proc`` entries, and to core dumps; for good.

    Programs that it starts are dumpable again (prctl(2): execve resets it), but leave no core either. Where the
    kernel refuses, as a sandbox may, there is nothing more to be done about it.
    """
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
