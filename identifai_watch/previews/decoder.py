"""The confined process from the outside: started when it is needed, asked one file at a time, ended when it is late.

One thread owns it, for the process ends with the thread that started it (prctl(2), PR_SET_PDEATHSIG).
"""

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from enum import StrEnum

from identifai_watch.core.model import Media
from identifai_watch.previews.webp import MOST_BYTES

READY = b"ready"
MADE = b"+"
REFUSED = b"-"
"""There is no thumbnail of this file."""
UNREAD = b"?"
"""The file could not be read, or changed while it was: another time it may be."""

_START_SECONDS = 60
"""Until it has imported what decodes, beside whatever else this machine does."""

_FILES = 500
"""After so many a new one is started: nothing that one file leaves behind lasts."""

_REST_SECONDS = 30
"""After a start that failed, before the next one."""

_HUNG = 3
"""Processes that cannot be ended, for they read from a mount that hangs; with so many no other is started."""

_ENVIRONMENT = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH"})
"""What it is told of ours. The key, above all, is not."""


class Failure(StrEnum):
    """Why there is no picture."""

    REFUSED = "refused"  # by the decoder
    LATE = "late"  # it took longer than a file may, and was ended
    DIED = "died"  # the process ended over it, or was ended by somebody
    UNREAD = "unread"  # the file could not be read, or changed meanwhile
    AWAY = "away"  # the process cannot be started


@dataclass(slots=True)
class _Process:
    popen: "subprocess.Popen[bytes]"
    line: socket.socket
    files: int = 0


class Decoder:
    """One confined process at a time. ``seconds`` is how long it may take over a file."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._process: _Process | None = None
        self._hung: list[subprocess.Popen[bytes]] = []
        self._rest_until = 0.0

    @property
    def pid(self) -> int | None:
        """The process, if one runs."""
        return None if self._process is None else self._process.popen.pid

    def decode(self, descriptor: int, media: Media) -> bytes | Failure:
        """Return what it makes of a file; it is for the caller to check it, and to close the descriptor."""
        process = self._process or self._started()
        if process is None:
            return Failure.AWAY
        try:
            socket.send_fds(process.line, [media.encode()], [descriptor])
            answer = process.line.recv(1 + MOST_BYTES)
        except TimeoutError:
            self.stop()
            return Failure.LATE
        except OSError:
            answer = b""
        process.files += 1
        if answer == b"" or process.files >= _FILES:
            self.stop()
        match answer[:1]:
            case b"":
                return Failure.DIED
            case b"+":
                return answer[1:]
            case b"?":
                return Failure.UNREAD
            case _:
                return Failure.REFUSED

    def stop(self) -> None:
        """End the process, if one runs."""
        process, self._process = self._process, None
        if process is not None:
            process.line.close()
            self._end(process.popen)

    def _started(self) -> _Process | None:
        self._hung = [popen for popen in self._hung if popen.poll() is None]
        if len(self._hung) >= _HUNG or time.monotonic() < self._rest_until:
            return None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            number = theirs.fileno()
            try:
                popen = subprocess.Popen(  # noqa: S603 - ourselves
                    [sys.executable, "-P", "-m", f"{__package__}.worker", str(number), str(os.getpid())],
                    pass_fds=[number],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    env={name: value for name, value in os.environ.items() if name in _ENVIRONMENT},
                    start_new_session=True,  # Ctrl-C is for us
                )
            except OSError:
                ours.close()
                return None
        ours.settimeout(_START_SECONDS)
        try:
            is_ready = ours.recv(len(READY)) == READY
        except OSError:
            is_ready = False
        if not is_ready:
            ours.close()
            self._end(popen)
            self._rest_until = time.monotonic() + _REST_SECONDS
            return None
        ours.settimeout(self._seconds)
        self._process = _Process(popen, ours)
        return self._process

    def _end(self, popen: "subprocess.Popen[bytes]") -> None:
        """Kill a process, and do not wait for one that hangs in a read."""
        popen.kill()
        try:
            popen.wait(1)
        except subprocess.TimeoutExpired:
            self._hung.append(popen)
