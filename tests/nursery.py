"""Processes of the program without the second of processor time that importing it takes.

``Nursery`` starts ``python -m tests.nursery``, which imports the program once and forks a process of its own for each
command line. What is forked gets the arguments, environment, directory and files that it would get from
``subprocess``, runs the program's own ``main``, and ends as every Python does. A process that has to be started anew,
for its user, its limits or its mounts are others, is started by ``subprocess``.
"""

import atexit
import ctypes
import gc
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent

_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of <linux/prctl.h>."""

_TOLD = struct.Struct("i")
"""What a nursery answers with: the number of a process, or how it ended."""

_LARGEST = 1 << 17
"""Bytes of an order: an environment, and some words."""

_READ_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "GLIBC_")
"""How the variables begin that Python and the C library read while they start, before there is a program."""


def _mounts() -> int:
    """Return the number of the mounts that this thread sees."""
    return Path("/proc/thread-self/ns/mnt").stat().st_ino


def _at_start(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an environment that is read at the start alone."""
    return {name: value for name, value in environ.items() if name.startswith(_READ_AT_START)}


_OURS = _mounts(), _at_start(os.environ)


def can_fork(environ: Mapping[str, str]) -> bool:
    """Tell whether a process with this environment, of this thread, is the same if a nursery forks it."""
    return (_mounts(), _at_start(environ)) == _OURS


class Child:
    """A process that a nursery forked; its methods are called as those of ``subprocess.Popen``."""

    def __init__(self, nursery: "Nursery", pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._nursery = nursery
        self._ended = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Return how it ended; None if it still lives."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it ends, and return how it did: -9 if it was killed."""
        if self._look(timeout) is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired("identifai-watch", timeout)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def _look(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._ended], [], [], seconds)[0]:
            self.returncode = self._nursery.end_of(self.pid)
            os.close(self._ended)
        return self.returncode


class Nursery:
    """Starts processes of the program; ends, and they with it, when whoever made it closes it or dies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen([sys.executable, "-m", "tests.nursery"], cwd=ROOT, stdin=theirs)

    def start(
        self,
        words: Sequence[str],
        *,
        environ: Mapping[str, str],
        stdout: IO[Any] | int,
        stderr: IO[Any] | int,
        armed: Mapping[str, Any] | None = None,
    ) -> Child:
        """Run one command line of the program in a process of its own, with nothing to read.

        ``armed`` is what makes it die at its aim, for ``tests.killing.arm``.
        """
        files = [one if isinstance(one, int) else one.fileno() for one in (stdout, stderr)]
        order = {"words": list(words), "environ": dict(environ), "cwd": str(Path.cwd()), "armed": armed}
        return Child(self, self._ask(order, files))

    def end_of(self, pid: int) -> int:
        """Return how a process ended."""
        return self._ask({"ended": pid}, [])

    def close(self) -> None:
        """End it, and what it started."""
        self._control.close()
        self._server.wait(20)

    def _ask(self, order: Mapping[str, Any], files: Sequence[int]) -> int:
        with self._lock:
            socket.send_fds(self._control, [json.dumps(order).encode()], files)
            told = self._control.recv(_TOLD.size)
        assert told, "the nursery ended"
        number: int = _TOLD.unpack(told)[0]
        return number


@cache
def nursery() -> Nursery:
    """Return the one nursery of this process."""
    made = Nursery()
    atexit.register(made.close)
    return made


# What runs there.


def _serve() -> None:
    """Fork a process for each order, and tell how one ended when asked; return when nobody can ask any more."""
    from identifai_watch.cli import COMMANDS  # noqa: PLC0415 - the nursery alone imports the program

    for name in (*(f"cli.{module}" for module, _ in COMMANDS.values()), "web", "ledger.migrate"):
        import_module(f"identifai_watch.{name}")
    gc.collect()
    gc.freeze()  # the pages of what is imported stay shared
    _die_with_parent()
    control = socket.socket(fileno=os.dup(0))
    while True:
        told, files, _, _ = socket.recv_fds(control, _LARGEST, 2)
        if not told:
            return
        order = json.loads(told)
        if "ended" in order:
            control.send(_TOLD.pack(os.waitstatus_to_exitcode(os.waitpid(order["ended"], 0)[1])))
            continue
        child = os.fork()
        if child == 0:
            control.close()
            _become(order, files)
        for descriptor in files:
            os.close(descriptor)
        control.send(_TOLD.pack(child))


def _become(order: dict[str, Any], files: list[int]) -> None:
    """Become the program: run its command line; never return."""
    _die_with_parent()
    for number, descriptor in enumerate([os.open(os.devnull, os.O_RDONLY), *files]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environ"])
    time.tzset()
    sys.argv = ["identifai-watch", *order["words"]]
    if order["armed"] is not None:
        from tests.killing import arm  # noqa: PLC0415 - only for those that are to die

        arm(**order["armed"])
    from identifai_watch.__main__ import main  # noqa: PLC0415 - after the fork

    main()


def _die_with_parent() -> None:
    """Have the kernel end this process when whoever started it ends, however that is."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


if __name__ == "__main__":
    _serve()
