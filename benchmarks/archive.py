"""What taking in an archive costs: a first scan of a million files that were there before the daemon, and are held."""

import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from benchmarks import trees
from benchmarks.figures import Figure, Goal
from benchmarks.running import Place, wait_until

FILES = 1_000_000
PATIENCE = 1_800


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield how long it takes until all are held, beside find(1) on the same tree, and the memory that it takes."""
    files = 2_000 if small else FILES
    with tempfile.TemporaryDirectory(prefix="archive-") as home:
        place = Place(home=Path(home), folder={"existing": "hold", "existing_hold_above": 0})
        trees.grow(place.drop, files)
        found = trees.find(place.drop)
        began = time.monotonic()
        with place.daemon() as daemon:
            idle = daemon.resident
            wait_until(lambda: _held(place) >= files, "all are held", PATIENCE, every=0.5)
            took = time.monotonic() - began
            grown, cpu = daemon.peak - idle, daemon.cpu
        if _held(place) != files:
            raise AssertionError(_held(place))
    what = f"first scan of {files:,} files, until all are held"
    yield Figure(what=what, value=took, unit="s", against="times find -printf", yardstick=found)
    yield Figure(what="  processor time of a file", value=cpu / files * 1e6, unit="us")
    yield Figure(what="  memory above idle", value=grown / 1e6, unit="MB", goal=Goal(most=80))


def _held(place: Place) -> int:
    path = place.ledger_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        found: int = connection.execute("SELECT count(*) FROM files WHERE held = 1").fetchone()[0]
    return found
