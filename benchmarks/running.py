"""The real processes that benchmarks measure, the daemon and the pretend identifAI, looked at from outside (proc(5))."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from identifai_watch import config as configuration
from identifai_watch.config import Config

KEY = "the-key-of-the-benchmarks"
PATIENCE = 120.0
NO_LIMITS = dict.fromkeys(("posts_per_second", "posts_per_minute", "gets_per_second", "gets_per_minute"), 0)
PROGRAM = (sys.executable, "-m", "identifai_watch")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True, kw_only=True)
class Place:
    """A folder to drop into, a configuration and a ledger in one temporary directory; ``url`` is identifAI's.

    ``ledger`` is the ledger's address where it lies elsewhere. ``api``, ``folder`` and ``more`` add to the configuration, which is without limits and otherwise the default.
    """

    home: Path
    url: str = "http://127.0.0.1:9"
    api: dict[str, Any] = field(default_factory=dict)
    folder: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    ledger: str = ""

    def __post_init__(self) -> None:
        self.drop.mkdir(exist_ok=True)

    @property
    def drop(self) -> Path:
        """The watched folder."""
        return self.home / "drop"

    @property
    def ledger_url(self) -> str:
        """Where the ledger lies."""
        return self.ledger or f"sqlite:///{self.home}/ledger.db"

    @property
    def log(self) -> Path:
        """What the daemon says."""
        return self.home / "daemon.log"

    @property
    def config_path(self) -> Path:
        """The configuration, written anew with each look."""
        document = {
            "api": NO_LIMITS | {"url": self.url} | self.api,
            "ledger": {"url": self.ledger_url},
            "web": {"listen": ""},
            "folder": [{"path": str(self.drop), "name": "drop", "existing": "judge"} | self.folder],
        } | self.more
        path = self.home / "identifai-watch.toml"
        path.write_text(configuration.dump(document), encoding="utf-8")
        return path

    def config(self) -> Config:
        """Return the configuration, checked."""
        return configuration.load(self.config_path, {})

    @contextmanager
    def daemon(self, *through: str) -> Iterator["Process"]:
        """Run ``identifai-watch run`` from the moment that it says to be ready (sd_notify(3)), until the block ends."""
        address = self.home / "notify"
        address.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel, self.log.open("ab") as log:
            channel.bind(str(address))
            command = [*through, *PROGRAM, "run", "--config", str(self.config_path)]
            around = os.environ | {"IDENTIFAI_API_KEY": KEY, "NOTIFY_SOCKET": str(address)}
            began = time.monotonic()
            with _started(command, env=around, stdout=log, stderr=log) as popen:
                channel.settimeout(PATIENCE)
                while b"READY=1" not in channel.recv(65536):
                    pass
                yield Process(popen, ready_after=time.monotonic() - began)

    def ask(self, *command: str) -> Any:
        """Return what a command prints as JSON."""
        words = [*PROGRAM, *command, "--config", str(self.config_path), "--json"]
        done = subprocess.run(words, capture_output=True, check=False)
        if done.returncode != 0:
            raise click.ClickException(f"{' '.join(command)}: {done.stderr.decode()}")
        return json.loads(done.stdout)


class Seen:
    """A process looked at from outside: this one, or one that was started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    @property
    def resident(self) -> int:
        """Bytes in memory now."""
        return self._status("VmRSS")

    @property
    def peak(self) -> int:
        """The most bytes that it had in memory since its start, or since ``forget_peak``."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Begin anew to look for the most (proc(5), clear_refs)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")

    @property
    def cpu(self) -> float:
        """Seconds of processor time, in all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def written(self) -> int:
        """Bytes that it had written to files and sockets (proc(5), io: wchar)."""
        lines = Path(f"/proc/{self.pid}/io").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))

    def _status(self, name: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


class Process(Seen):
    """A process under way; ``ready_after`` is how many seconds it took to start."""

    def __init__(self, popen: "subprocess.Popen[bytes]", *, ready_after: float = 0.0) -> None:
        super().__init__(popen.pid)
        self._popen = popen
        self.ready_after = ready_after

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it, and return its exit status."""
        self._popen.send_signal(number)
        return self._popen.wait(PATIENCE)

    def must_run(self) -> None:
        """Raise if it has ended."""
        if self._popen.poll() is not None:
            raise click.ClickException(f"process {self.pid} ended with {self._popen.returncode}")


class Pretended:
    """The pretend identifAI as a process of its own."""

    def __init__(self, url: str, process: Process) -> None:
        self.url = url
        self.process = process

    def change(self, **fields: object) -> None:
        """Change fields of its script."""
        self._ask("/simulator/script", json.dumps(fields).encode())

    def state(self) -> Mapping[str, Any]:
        """Return what it remembers."""
        found: Mapping[str, Any] = json.loads(self._ask("/simulator/state"))
        return found

    def _ask(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, data=body)  # noqa: S310 - it is our own, on loopback
        if body is not None:
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 - likewise
            found: bytes = answer.read()
        return found


@contextmanager
def pretended(*options: str, delay: float = 0.0, limits: bool = False) -> Iterator[Pretended]:
    """Run the pretend identifAI; ``limits`` are those of a real account, ``options`` more of its command line."""
    command = [*PROGRAM, "simulate", "--port", "0", "--key", KEY, "--delay", str(delay), *options]
    if not limits:
        command.append("--no-limits")
    around = os.environ | {"PYTHONUNBUFFERED": "1"}
    with _started(command, env=around, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as popen:
        if popen.stdout is None:
            raise LookupError("stdout")
        line = popen.stdout.readline().decode()
        yield Pretended(line.split(" listens on ")[1].split(". ")[0], Process(popen))


def wait_until(
    reached: Callable[[], bool], what: str, seconds: float = PATIENCE, *, every: float = 0.02
) -> float:
    """Wait for ``reached``, looking ``every`` so many seconds; return how long that took, or fail with ``what``."""
    began = time.monotonic()
    while not reached():
        if time.monotonic() - began > seconds:
            raise click.ClickException(f"not within {seconds:.0f} s: {what}")
        threading.Event().wait(every)
    return time.monotonic() - began


def share(values: Sequence[float], part: float) -> float:
    """Return the value that ``part`` of ``values`` are at most: 0.5 gives the median."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def cached(path: Path) -> int:
    """Return how many bytes of a file are in the page cache (fincore(1), of util-linux)."""
    command = ["fincore", "--bytes", "--noheadings", "--output", "RES", str(path)]
    return int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def let_go(path: Path) -> None:
    """Have nothing of a file in the page cache."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


@contextmanager
def _started(command: Sequence[str], **options: Any) -> Iterator["subprocess.Popen[bytes]"]:
    popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
    try:
        yield popen
    finally:
        if popen.poll() is None:
            popen.send_signal(signal.SIGTERM)
        try:
            popen.wait(30)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()
