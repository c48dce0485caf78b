"""The yardsticks of ``throughput``: hash, post and get each file once, by threads; alone, or with what we promise besides.

``python -m benchmarks.bare URL KEY DIRECTORY THREADS [LEDGER]`` prints the seconds and the processor time that it took.

With a LEDGER it is the least that keeps our promises: that a file is about to be sent is on the disk before its POST,
its verdict is on the disk after it, and its sidecar appears by rename. What several threads write is one commit. It
cannot start again, pause, route or show anything; what it takes is what the promises cost in Python.
"""

import hashlib
import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

import requests

SCHEMA = """
CREATE TABLE files (path TEXT PRIMARY KEY, sha256 BLOB NOT NULL, state TEXT NOT NULL, answer TEXT) STRICT
"""
SENDING = "INSERT INTO files (path, sha256, state) VALUES (?, ?, 'sending')"
JUDGED = "UPDATE files SET state = 'judged', answer = ? WHERE path = ?"

Statement = tuple[str, Sequence[object]]


@dataclass(slots=True)
class Written:
    """A statement that waits to be on the disk, and the sign that it is."""

    statement: Statement
    is_kept: threading.Event = field(default_factory=threading.Event)


class Ledger:
    """A table in SQLite, WAL and ``synchronous=FULL`` like ours; one thread writes, and all that waits is one commit."""

    def __init__(self, path: Path) -> None:
        self._waiting: SimpleQueue[Written] = SimpleQueue()
        threading.Thread(target=self._write, args=(path,), daemon=True).start()

    def keep(self, text: str, *values: object) -> None:
        """Return when a statement is carried out and on the disk."""
        written = Written((text, values))
        self._waiting.put(written)
        written.is_kept.wait()

    def _write(self, path: Path) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(SCHEMA)
        while True:
            together = [self._waiting.get()]
            while not self._waiting.empty():
                together.append(self._waiting.get())
            connection.execute("BEGIN IMMEDIATE")
            for written in together:
                connection.execute(*written.statement)
            connection.execute("COMMIT")
            for written in together:
                written.is_kept.set()


def send(url: str, key: str, paths: "SimpleQueue[Path]", ledger: Ledger | None) -> None:
    """Send what is in the queue until it is empty."""
    session = requests.Session()
    session.headers["X-Api-Key"] = key
    session.headers["Accept"] = "application/json"
    while True:
        try:
            path = paths.get_nowait()
        except Empty:
            return
        content = path.read_bytes()
        digest = hashlib.sha256(content)
        if ledger is not None:
            ledger.keep(SENDING, str(path), digest.digest())
        answer = session.post(
            f"{url}/api/classification", files={"image": (path.name, content, "image/png")}, timeout=60
        )
        answer.raise_for_status()
        result = session.get(f"{url}/api/classification/{answer.json()['identifier']}", timeout=60)
        result.raise_for_status()
        if ledger is not None:
            ledger.keep(JUDGED, result.text, str(path))
            _tell(path, digest.hexdigest(), result.json())


def _tell(path: Path, sha256: str, verdict: object) -> None:
    """Put a verdict beside its file."""
    sidecar = path.with_name(path.name + ".identifai.json")
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"file": path.name, "sha256": sha256, "response": verdict}, indent=2))
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(sidecar)


def main(url: str, key: str, directory: Path, threads: int, ledger: Path | None) -> None:
    """Send every picture of a directory."""
    paths: SimpleQueue[Path] = SimpleQueue()
    for path in sorted(directory.rglob("*.png")):
        paths.put(path)
    began, spent = time.monotonic(), time.process_time()
    kept = None if ledger is None else Ledger(ledger)
    running = [threading.Thread(target=send, args=(url, key, paths, kept)) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    sys.stdout.write(f"{time.monotonic() - began} {time.process_time() - spent}\n")


if __name__ == "__main__":
    main(
        sys.argv[1],
        sys.argv[2],
        Path(sys.argv[3]),
        int(sys.argv[4]),
        Path(sys.argv[5]) if len(sys.argv) > 5 else None,
    )
