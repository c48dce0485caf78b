"""Keep a server of the tests for as long as a process lives: however that one ends, no server outlives it.

Run as a program, with the standard library alone: ``keeper.py OWNER USER DIRECTORY COMMAND...`` starts COMMAND as USER and
ends with it, when nothing is left of what it started. When the process OWNER ends first, all of that is killed, and
DIRECTORY removed. It reaps what it has, since the first process of a container often does not.
"""

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

_SET_CHILD_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of <linux/prctl.h>."""
_REMOVE = 0
"""IPC_RMID of <linux/ipc.h>."""


def keep(owner: int, user: str, directory: Path, command: list[str]) -> None:
    """Run ``command`` until it ends or the process ``owner`` does."""
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        owners_end = os.pidfd_open(owner)
    except ProcessLookupError:
        shutil.rmtree(directory, ignore_errors=True)
        return
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd="/", **as_user(user))
    ended, _, _ = select.select([owners_end, os.pidfd_open(server.pid)], [], [])
    _clear()
    _remove_memory(server.pid)
    if owners_end in ended:
        shutil.rmtree(directory, ignore_errors=True)


def as_user(user: str) -> dict[str, Any]:
    """Return how to start a process as ``user``, which is empty for oneself."""
    return {"user": user, "extra_groups": []} if user else {}


def children(parent: int) -> list[int]:
    """Return the processes that ``parent`` started and that run; who only waits to be reaped does not."""
    return [process for process, of in _running() if of == parent]


def parent(process: int) -> int | None:
    """Return who started ``process``; None where it does not run."""
    return dict(_running()).get(process)


def _running() -> Iterator[tuple[int, int]]:
    """Yield each process that runs, and who started it."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - it is started with every server, and pathlib is slow there
        if name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                stat = Path("/proc", name, "stat").read_text(encoding="utf-8", errors="replace")
                state, of = stat.rpartition(")")[2].split()[:2]
                if state not in "ZX":
                    yield int(name), int(of)


def _clear() -> None:
    """Kill and reap whatever there is; what loses its parent comes to us."""
    while True:
        for child in children(os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _remove_memory(creator: int) -> None:
    """Remove the segments of shared memory of System V that a killed process made: nobody else would."""
    with Path("/proc/sysvipc/shm").open(encoding="ascii") as table:
        names = next(table).split()
        for line in table:
            segment = dict(zip(names, line.split(), strict=True))
            if int(segment["cpid"]) == creator and segment["nattch"] == "0":
                ctypes.CDLL(None).shmctl(int(segment["shmid"]), _REMOVE, None)


if __name__ == "__main__":
    keep(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
