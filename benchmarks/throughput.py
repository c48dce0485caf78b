"""How many small images a second go through where nothing limits them, beside two loops that somebody would write in an hour.

Both have four threads and ``requests``, and one POST and one GET for each file. The bare one keeps no ledger, writes no
sidecar and survives nothing. The other keeps our promises in the simplest way that there is: a row on the disk before
the POST and after the verdict, and the sidecar by rename. What it takes more than the bare one is what the promises cost,
what we take more than it is our own. All send the same files to a pretend identifAI of the same kind, a process of its own.
"""

import hashlib
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.figures import Figure, Goal
from benchmarks.running import KEY, Place, Pretended, Process, pretended, wait_until

FILES = 10_000
THREADS = 4
BARE = "a bare requests loop"
PROMISING = "a loop that keeps our promises"
SETTLE = 0.5
PICTURE = Path(__file__).parent.parent / "tests" / "media" / "sample.png"
PER_DIRECTORY = 500


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield files a second, the processor time of a file on both sides, and what the pretend identifAI was asked."""
    files = 150 if small else FILES
    bare = _loop(files, keeps_promises=False)
    promising = _loop(files, keeps_promises=True)
    whole = _daemon(files)
    what = f"{files:,} small images, files a second"
    yield Figure(
        what=what,
        value=whole.rate,
        unit="files/s",
        against=f"files/s of {BARE}",
        yardstick=bare.rate,
        goal=Goal(least=1),
    )
    yield _beside("  the same", whole.rate, "files/s", PROMISING, promising.rate)
    yield _beside(f"  {PROMISING}, files a second", promising.rate, "files/s", BARE, bare.rate)
    yield _beside("  processor time of a file, ours", whole.cpu, "ms", BARE, bare.cpu)
    yield _beside("  the same", whole.cpu, "ms", PROMISING, promising.cpu)
    yield _beside(f"  processor time of a file, {PROMISING}", promising.cpu, "ms", BARE, bare.cpu)
    yield Figure(
        what="  processor time of a file, identifAI's",
        value=whole.served,
        unit="ms",
        against="ms, for the bare loop",
        yardstick=bare.served,
    )
    yield Figure(
        what="  questions for a verdict",
        value=whole.asked,
        unit="GETs",
        against="GET, the bare loop's",
        yardstick=bare.asked,
    )


def _beside(what: str, value: float, unit: str, whose: str, yardstick: float) -> Figure:
    return Figure(
        what=what, value=value, unit=unit, against=f"{unit} of {whose}", yardstick=yardstick, is_told=True
    )


class Run:
    """What one way of doing it took: files a second, milliseconds of processor time a file, and GETs a file."""

    def __init__(
        self, files: int, *, seconds: float, cpu: float, served: float, requests: dict[str, int]
    ) -> None:
        self.rate = files / seconds
        self.cpu = cpu / files * 1000
        self.served = served / files * 1000
        self.asked = requests.get("result", 0) / files + requests.get("results", 0) / files


def _loop(files: int, *, keeps_promises: bool) -> Run:
    with tempfile.TemporaryDirectory(prefix="throughput-") as home, pretended() as identifai:
        drop = Path(home) / "drop"
        _fill(drop, files)
        ledger = [f"{home}/ledger.db"] if keeps_promises else []
        command = [sys.executable, "-m", "benchmarks.bare", identifai.url, KEY, str(drop), str(THREADS)]
        before = identifai.process.cpu
        done = subprocess.run([*command, *ledger], stdout=subprocess.PIPE, check=True)
        seconds, cpu = map(float, done.stdout.split())
        sidecars = sum(1 for _ in drop.rglob("*.identifai.json"))
        if sidecars != (files if keeps_promises else 0):
            raise AssertionError(f"{sidecars} sidecars of {files}")
        return Run(
            files, seconds=seconds, cpu=cpu, served=identifai.process.cpu - before, requests=_asked(identifai)
        )


def _daemon(files: int) -> Run:
    """Run the daemon over a full folder; the time counts from the first POST to the last sidecar on the disk."""
    with tempfile.TemporaryDirectory(prefix="throughput-") as home, pretended() as identifai:
        place = Place(home=Path(home), url=identifai.url, folder={"settle_seconds": SETTLE})
        _fill(place.drop, files)
        with place.daemon() as daemon:
            wait_until(lambda: _count(place, "state <> 'queued'", "analyses") > 0, "the first is sent")
            began, before = time.monotonic(), identifai.process.cpu
            spent = daemon.cpu
            _watch(place, daemon, files)
            seconds = time.monotonic() - began
            cpu = daemon.cpu - spent
        sidecars = sum(1 for _ in place.drop.rglob("*.identifai.json"))
        if sidecars != files:
            raise AssertionError(f"{sidecars} sidecars of {files}")
        return Run(
            files, seconds=seconds, cpu=cpu, served=identifai.process.cpu - before, requests=_asked(identifai)
        )


def _watch(place: Place, daemon: Process, files: int) -> None:
    def is_done() -> bool:
        daemon.must_run()
        return _count(place, "state = 'delivered'", "files") == files

    wait_until(is_done, "all are delivered", 900, every=0.2)


def _count(place: Place, where: str, table: str) -> int:
    path = place.ledger_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        found: int = connection.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0]  # noqa: S608 - our own words
    return found


def _fill(directory: Path, files: int) -> None:
    picture = PICTURE.read_bytes()
    for number in range(files):
        path = directory / f"{number // PER_DIRECTORY:03}" / f"{number:06}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(picture + hashlib.sha256(str(number).encode()).digest())


def _asked(identifai: Pretended) -> dict[str, int]:
    """Return how many requests of each kind it was asked."""
    return dict(identifai.state()["requests"])
