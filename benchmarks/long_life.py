"""What a ledger of many years costs, from a thousand to a million files: a start, an idle daemon, status, a list's first line."""

import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from benchmarks.figures import Figure, Goal
from benchmarks.idle import has_scanned
from benchmarks.ledgers import SIZES, archive
from benchmarks.running import PROGRAM, Place, Process, share, wait_until

ROUNDS = 3
READ = 10_000
"""Lines of a list that are read, where there are so many, to see how its memory grows."""


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield each figure beside that of the smallest ledger, and in seconds at the largest."""
    least: dict[str, float] = {}
    sizes = SIZES[:1] if small else SIZES
    for files in sizes:
        with tempfile.TemporaryDirectory(prefix="long-life-") as home:
            place = Place(home=Path(home), folder={"action": "move"})
            archive(place, files)
            for what, value, unit, most in _figures(place, rounds=1 if small else ROUNDS):
                yield Figure(
                    what=what,
                    value=value,
                    unit=unit,
                    against=f"{unit} with {sizes[0]:,} files",
                    yardstick=least.setdefault(what, value),
                    at=files,
                )
                if files == sizes[-1] and most is not None:
                    yield Figure(
                        what=f"{what}, {files:,} files", value=value, unit=unit, goal=Goal(most=most)
                    )


def _figures(place: Place, *, rounds: int) -> Iterator[tuple[str, float, str, float | None]]:
    """Yield what is measured on one ledger, with its unit and the most that it may be."""
    yield "run until ready", share([_ready_after(place) for _ in range(rounds)], 0.5), "s", 2.0
    yield "idle daemon", _idle(place, 4 * rounds), "% of a core", 1.0
    yield "status --json", share([_took(place, "status", "--json") for _ in range(rounds)], 0.5), "s", 1.0
    yield "list --stuck", share([_took(place, "list", "--stuck") for _ in range(rounds)], 0.5), "s", None
    for words in (("list",), ("list", "--json")):
        firsts, peaks = zip(*(_first_line(place, *words) for _ in range(rounds)), strict=True)
        yield f"{' '.join(words)} to its first line", share(firsts, 0.5), "s", None
        yield f"{' '.join(words)}, peak memory", max(peaks) / 1e6, "MB", None


def _ready_after(place: Place) -> float:
    with place.daemon() as daemon:
        return daemon.ready_after


def _idle(place: Place, seconds: int) -> float:
    """Return what share of a core a daemon takes, in percent, once its first scan has ended."""
    with place.daemon() as daemon:
        wait_until(lambda: has_scanned(place), "the first scan has ended")
        threading.Event().wait(2)  # what it set off comes to its end
        before = daemon.cpu
        threading.Event().wait(seconds)
        return 100 * (daemon.cpu - before) / seconds


def _took(place: Place, *words: str) -> float:
    command = [*PROGRAM, *words, "--config", str(place.config_path)]
    began = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def _first_line(place: Place, *words: str) -> tuple[float, int]:
    """Return the seconds until a command prints its first line, and the most bytes that it had in memory meanwhile."""
    command = [*PROGRAM, *words, "--config", str(place.config_path)]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as popen:
        if popen.stdout is None:
            raise LookupError("stdout")
        popen.stdout.readline()
        took = time.monotonic() - began
        process, peak = Process(popen), 0
        for number, _ in zip(range(READ), popen.stdout, strict=False):
            if number % 100 == 0:
                with suppress(OSError, StopIteration):  # it may have printed all, and be gone
                    peak = process.peak
        popen.stdout.close()
    return took, peak
