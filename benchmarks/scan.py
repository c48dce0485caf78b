"""What a scan of an unchanged tree costs, beside find(1) on the same tree: time, memory, and what it writes."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import trees
from benchmarks.figures import Figure, Goal
from benchmarks.running import Place, Seen
from identifai_watch.folder.rules import Rules
from identifai_watch.folder.scan import Summary, scan
from identifai_watch.ledger import Ledger
from identifai_watch.memory import LedgerMemory

ROUNDS = 3
SIZES = (10_000, 100_000, 1_000_000)
TIMES = "times find -printf"


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield the figures of trees with a thousand files a directory, then those of one directory."""
    for files in (2_000,) if small else SIZES:
        yield from _scanned(files, trees.PER_DIRECTORY, "unchanged")
    one = 2_000 if small else SIZES[-1]
    yield from _scanned(one, one, "unchanged, in one directory")


def _scanned(files: int, per_directory: int, what: str) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="scan-") as home:
        place = Place(home=Path(home))
        trees.grow(place.drop, files, per_directory=per_directory)
        folder = trees.remember(place)
        found: list[float] = []
        scans: list[float] = []
        with Ledger(place.ledger_url, node=trees.NODE) as ledger, ledger.glances() as tx:
            memory = LedgerMemory(tx=tx, folder_id=folder)
            here = Seen(os.getpid())
            # Once to warm the caches: of the disk, of the ledger, and of what compiles queries.
            _scan(place, memory, files)
            here.forget_peak()
            before, ledger_before = here.resident, _ledger(place)
            for _ in range(ROUNDS):
                found.append(trees.find(place.drop))
                began = time.monotonic()
                _scan(place, memory, files)
                scans.append(time.monotonic() - began)
            grown, wrote = here.peak - before, len(_ledger(place) ^ ledger_before)
        name = f"{files:,} files {what}"
        yield Figure(
            what=f"scan of {name}",
            value=min(scans),
            unit="s",
            against=TIMES,
            yardstick=min(found),
            goal=Goal(most=3),
            at=files,
        )
        yield Figure(what="  memory above idle", value=grown / 1e6, unit="MB", goal=Goal(most=20), at=files)
        yield Figure(
            what="  the ledger's files written to", value=wrote, unit="", goal=Goal(most=0), at=files
        )


def _scan(place: Place, memory: LedgerMemory, files: int) -> None:
    root = os.fsencode(place.drop)
    findings = [finding for chunk in scan(root, memory, Rules(), network=False) for finding in chunk]
    [summary] = findings
    if not isinstance(summary, Summary) or summary.files != files:
        raise AssertionError(summary)


def _ledger(place: Place) -> set[tuple[str, int, int]]:
    """Return how the ledger's files are: their names, sizes and times."""
    found = ((path.name, path.stat()) for path in place.home.glob("ledger.db*"))
    return {(name, state.st_size, state.st_mtime_ns) for name, state in found}
