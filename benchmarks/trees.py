"""Trees of many files for benchmarks, and ledgers that remember them."""

import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.running import Place
from identifai_watch.ledger import Ledger, archive, intake

PER_DIRECTORY = 1000
NODE = os.uname().nodename


def grow(root: Path, files: int, *, per_directory: int = PER_DIRECTORY) -> None:
    """Make ``files`` files of one byte that nothing has written, in directories of ``per_directory``."""
    for first in range(0, files, per_directory):
        directory = root / f"{first // per_directory // 100:03}" / f"{first // per_directory:05}"
        directory.mkdir(parents=True, exist_ok=True)
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        for number in range(first, min(files, first + per_directory)):
            file = os.open(f"IMG_{number:07}.jpg", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=opened)
            os.truncate(file, 1)
            os.close(file)
        os.close(opened)


def remember(place: Place) -> int:
    """Have the ledger hold every file of the folder as it is, its archive known; return the folder's number."""
    with Ledger(place.ledger_url, node=NODE) as ledger, ledger.write() as tx:
        folder = intake.folder(tx, NODE, "drop").id
        archive.archived(tx, folder, datetime.now(UTC), 0, is_whole=True)
    with closing(sqlite3.connect(place.ledger_url.removeprefix("sqlite:///"))) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.executemany(
            "INSERT INTO files (folder_id, parent, name, size, mtime_ns, ctime_ns, inode, noticed_at, state, held,"
            " backlog) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'waiting', 1, 1)",
            _rows(os.fsencode(place.drop), folder),
        )
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


def find(root: Path) -> float:
    """Return the seconds that ``find`` takes to print size, time and path of every file."""
    began = time.monotonic()
    subprocess.run(
        ["find", str(root), "-printf", "%s %T@ %p\n"],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.monotonic() - began


def _rows(root: bytes, folder: int) -> Iterator[tuple[int | bytes, ...]]:
    now = int(time.time() * 1e6)
    waiting = [root]
    while waiting:
        directory = waiting.pop()
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                    continue
                found = entry.stat(follow_symlinks=False)
                parent = directory[len(root) + 1 :]
                times = found.st_mtime_ns, found.st_ctime_ns
                yield (folder, parent, entry.name, found.st_size, *times, found.st_ino, now)
