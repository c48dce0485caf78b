"""Many files at once: 60,000 created, 20,000 renamed in, 20,000 renamed from .part, all at full speed.

Nothing is sent, for nobody answers there: what is measured is how they get into the ledger, how soon they are noticed, and
what that takes. Beside it a bare inotify_simple reader hears of the same files in a folder of its own.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import click

from benchmarks.drops import ready_to_drop
from benchmarks.figures import Figure, Goal
from benchmarks.running import Place, Process, share, wait_until
from identifai_watch.ledger import Ledger, views

FILES = {"created": 60_000, "renamed in": 20_000, ".part, then renamed": 20_000}
SMALL = 150
RESCAN = 60.0
SETTLE = 5.0
"""Seconds, as they are by default."""

SMALL_SETTLE = 0.3

LONGEST = 600.0
MEGABYTE = 1e6

READER = """
import sys, time
from inotify_simple import INotify, flags
inotify = INotify()
inotify.add_watch(sys.argv[1], flags.CREATE | flags.CLOSE_WRITE | flags.MOVED_TO)
print("ready", flush=True)
seen = set()
while len(seen) < int(sys.argv[2]):
    events = inotify.read(timeout=10_000)
    if not events:
        break
    seen.update(event.name for event in events if event.name.endswith(".png"))
print(len(seen), time.process_time(), flush=True)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a bare reader heard: how many files, for how many seconds of processor time."""

    files: int
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How the daemon took a burst: seconds, processor seconds, bytes.

    ``noticed`` is how long each file waited until it was noticed; ``cpu_until_noticed`` what was used by the last one.
    """

    dropped_in: float
    admitted_in: float
    noticed: list[float]
    cpu: float
    cpu_until_noticed: float
    memory: int


class Meter:
    """Reads the processor time of a process every tenth of a second, so that it can be asked for afterwards."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._read: list[tuple[float, float]] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def at(self, instant: float) -> float:
        """Return the seconds of processor time that were used by an instant of the past."""
        return next((cpu for at, cpu in self._read if at >= instant), self._process.cpu)

    def _run(self) -> None:
        while not self._is_over.wait(0.1):
            self._read.append((time.time(), self._process.cpu))


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield, for each way in which files come, the time, the work and the memory that it takes."""
    for way, files in FILES.items():
        count = SMALL if small else files
        with tempfile.TemporaryDirectory(prefix="burst-") as home:
            heard = _bare(way, count, Path(home))
        with tempfile.TemporaryDirectory(prefix="burst-") as home:
            course = _course(way, count, Path(home), settle=SMALL_SETTLE if small else SETTLE)
            yield from _figures(f"{count:,} {way}", course, heard)


def _figures(what: str, course: Course, heard: Heard) -> Iterator[Figure]:
    most = Goal(most=RESCAN)
    yield Figure(what=f"{what}: dropped in", value=course.dropped_in, unit="s")
    yield Figure(what=f"{what}: all admitted after", value=course.admitted_in, unit="s", goal=most)
    yield Figure(what=f"{what}: p50 until noticed", value=share(course.noticed, 0.5), unit="s")
    yield Figure(what=f"{what}: p95 until noticed", value=share(course.noticed, 0.95), unit="s")
    yield Figure(
        what=f"{what}: processor until all are noticed",
        value=course.cpu_until_noticed,
        unit="s",
        yardstick=heard.cpu,
        against=f"a bare reader, which heard {heard.files:,}",
    )
    yield Figure(what=f"{what}: processor until all are admitted", value=course.cpu, unit="s")
    yield Figure(
        what=f"{what}: memory above idle", value=course.memory / MEGABYTE, unit="MB", goal=Goal(most=80)
    )


def _bare(way: str, count: int, home: Path) -> Heard:
    """Have a bare reader hear of the files."""
    folder, aside = _made(home)
    command = [sys.executable, "-c", READER, str(folder), str(count)]
    with (
        ready_to_drop(way, count, folder, aside) as drop,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader,
    ):
        if reader.stdout is None:
            raise LookupError("stdout")
        reader.stdout.readline()
        drop()
        files, cpu = reader.stdout.readline().split()
    return Heard(files=int(files), cpu=float(cpu))


def _course(way: str, count: int, home: Path, *, settle: float) -> Course:
    """Have the daemon take the files in, and look at it meanwhile."""
    place = Place(home=home, folder={"rescan_seconds": RESCAN, "settle_seconds": settle})
    _, aside = _made(home)
    with place.daemon() as process, ready_to_drop(way, count, place.drop, aside) as drop:
        wait_until(lambda: place.ask("status")["folders"][0]["last_scan_at"] is not None, "the first scan")
        idle = process.resident
        process.forget_peak()
        with Meter(process) as meter, Ledger(place.ledger_url, node="bench") as ledger:
            before = process.cpu
            dropped_in = drop()
            admitted_in = wait_until(lambda: _admitted(ledger) >= count, "all are admitted", LONGEST)
            cpu, memory = process.cpu - before, process.peak - idle
            noticed = _noticed(ledger, place.drop, count)
            return Course(
                dropped_in=dropped_in,
                admitted_in=admitted_in,
                noticed=[after for after, _ in noticed],
                cpu=cpu,
                cpu_until_noticed=meter.at(max(at for _, at in noticed)) - before,
                memory=memory,
            )


def _made(home: Path) -> tuple[Path, Path]:
    """Make the watched folder and the one beside it."""
    for name in ("drop", "aside"):
        (home / name).mkdir(exist_ok=True)
    return home / "drop", home / "aside"


def _admitted(ledger: Ledger) -> int:
    threading.Event().wait(0.3)  # to ask is work too
    with ledger.read() as tx:
        return sum(views.counts(tx).analyses.values())


def _noticed(ledger: Ledger, drop: Path, count: int) -> list[tuple[float, float]]:
    """Return, of each file, after how many seconds it was noticed and when; fail if one is not there once."""
    with ledger.read() as tx:
        found = {line.file.path: line.file.noticed_at for line in views.lines(tx)}
        analyses = sum(views.counts(tx).analyses.values())
    if len(found) != count or analyses != count:
        raise click.ClickException(f"{count} files, of which {len(found)} are known, as {analyses} contents")
    return [
        (at.timestamp() - (drop / path.decode()).stat().st_ctime, at.timestamp())
        for path, at in found.items()
    ]
