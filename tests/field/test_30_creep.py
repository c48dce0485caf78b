"""Row 30: memory and descriptors creep, week after week.

As met elsewhere: something is kept for every file that ever came, a descriptor is left open here and a thread there;
after weeks the program is ended by the kernel, or can open nothing more.

Here what is in memory are the files on their way, and no more. This is the short form of the soak test: a hundred
files pass through the real process in batches, and after the first ones neither descriptors nor threads nor, by the
size of a file, resident memory grow with their number. (What keeps less than that for each is the soak test's to find.)
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.harness import House, house, wait_for
from tests.watching import picture

BATCH = 20
WARM = 2
BATCHES = 6
CONTENT = 256 * 1024
"""Bytes of each file: whoever keeps one of its buffers is known by it."""

MOST_PER_FILE = 128 * 1024
"""Bytes of resident memory: SQLite fills its caches, 2 MB for each connection, over the first thousand files."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a process is: bytes, and numbers."""

    resident: int
    descriptors: int
    threads: int


def size_of(process: int) -> Size:
    """Ask the kernel."""
    proc = Path(f"/proc/{process}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    return Size(
        resident=int(status["VmRSS"].split()[0]) * 1024,
        descriptors=len(list((proc / "fd").iterdir())),
        threads=int(status["Threads"]),
    )


def delivered(home: House) -> int:
    """Count the files that are delivered, without disturbing the daemon."""
    with closing(sqlite3.connect(f"file:{home.home}/state/ledger.db?mode=ro", uri=True)) as connection:
        ((number,),) = connection.execute("SELECT count(*) FROM files WHERE delivered_at IS NOT NULL")
    return int(number)


def test_neither_memory_nor_descriptors_grow_with_the_files(tmp_path: Path) -> None:
    """Batch after batch is judged and moved away: what the process holds does not grow with their number."""
    sizes: list[Size] = []
    settings = {"settle_seconds": 0.1, "rescan_seconds": 0.3, "action": "move"}
    with house(tmp_path, folder=settings) as home, home.process() as process:
        for batch in range(BATCHES):
            for number in range(BATCH):
                picture(home.drop / f"{batch}-{number}.png", f"{batch}-{number}" + CONTENT * " ")
            wait_for(lambda batch=batch: delivered(home) == (batch + 1) * BATCH, f"batch {batch}", 90)  # type: ignore[misc]
            sizes.append(size_of(process.pid))
    first, last, files = sizes[WARM - 1], sizes[-1], (BATCHES - WARM) * BATCH
    slope = (last.resident - first.resident) / files
    print(f"{files} files: {slope:+.0f} bytes a file; {first} to {last}")  # noqa: T201 - the figure is the result
    assert slope < MOST_PER_FILE
    assert last.descriptors <= first.descriptors + 5
    assert last.threads <= first.threads + 5
