"""What is SQLite's own: opening it safely, its transactions, its lock and its append-only triggers."""

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from identifai_watch.core import mounts
from identifai_watch.errors import LedgerError

BUSY_TIMEOUT_MS = 10_000


def path_of(url: sa.URL) -> Path:
    """Return the file that an ``sqlite:///`` URL names; raise LedgerError where it names none."""
    if not url.database or url.database == ":memory:":
        raise LedgerError(f"ledger.url: {url} names no file; write sqlite:////path/to/ledger.db")
    return Path(url.database)


def engine(url: sa.URL) -> sa.Engine:
    """Return an engine whose write transactions serialise and survive a power cut.

    WAL with ``synchronous=FULL``: a commit is on the disk before anything follows from it (sqlite.org/wal.html).
    A transaction begun with the execution option ``write`` takes the write lock at once, so that it cannot fail
    half-way because another process wrote meanwhile.
    """
    path = path_of(url)
    _refuse_network(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    made = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False})

    @sa.event.listens_for(made, "connect")
    def _prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(made, "begin")
    def _begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return made


def _refuse_network(path: Path) -> None:
    """Raise LedgerError if ``path`` is on a network file system, where WAL's shared memory does not hold."""
    try:
        table = mounts.parse_mountinfo(Path("/proc/self/mountinfo").read_bytes())
    except OSError:
        return
    mount = mounts.mount_of(table, os.fsencode(path.resolve()))
    if mounts.is_network(mount.fstype):
        raise LedgerError(
            f"ledger.url: {path} is on a network file system ({mount.fstype} from {mount.source}), where SQLite's "
            "write-ahead log is not safe; put the ledger on a local disk, for instance /var/lib/identifai-watch"
        )


def check(made: sa.Engine) -> None:
    """Raise LedgerError if the file is no SQLite database or cannot be opened."""
    try:
        with made.connect() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()
    except DBAPIError as error:
        raise LedgerError(f"ledger.url: {made.url.database}: {error.orig}") from error


def append_only(connection: sa.Connection, table: str) -> None:
    """Have the engine itself refuse to change or delete a row of ``table``."""
    for verb in ("UPDATE", "DELETE"):
        connection.exec_driver_sql(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


class NodeLock:
    """The lock that says a daemon is alive: one beside each ledger, held by the kernel for the process."""

    def __init__(self, url: sa.URL) -> None:
        self._path = path_of(url).with_name(path_of(url).name + ".lock")
        self._file: IO[Any] | None = None

    def take(self) -> bool:
        """Take the lock for as long as this process lives; return False if another process has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def is_taken(self) -> bool:
        """Tell whether a daemon, of this process or of another, holds the lock."""
        if self._file is not None:
            return True
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return False
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None
