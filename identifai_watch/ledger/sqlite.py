"""What is SQLite's own: opening it safely, its transactions, its lock and its append-only triggers."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from identifai_watch.core import mounts
from identifai_watch.errors import LaterError, LedgerAwayError, LedgerError
from identifai_watch.ledger.schema import Statement, micros

BUSY_TIMEOUT_MS = 10_000
_PASSING = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_FULL",
    "SQLITE_IOERR",
    "SQLITE_READONLY",
    "SQLITE_CANTOPEN",
)
"""Errors that are not the database's own (sqlite.org/rescode.html): they may pass without anybody's help."""

_PASSING_AT_START = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR")
"""Those that say nothing of the configuration: what cannot be opened or written at all is the operator's matter."""

_FORBIDDEN = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")
"""Those that say who may use the ledger, and nothing of what is in it."""

_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_OF_THE_DISK = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN")
ATTEMPTS = 10
ATTEMPT_SECONDS = 0.02

REMEDY = (
    "identifai-watch ledger restore FROM puts a backup back; without one move the ledger away, and identifai-watch "
    "ledger rebuild takes from the sidecars what is paid for"
)
"""What to do about a ledger that is damaged."""


def path_of(url: sa.URL) -> Path:
    """Return the file that an ``sqlite:///`` URL names; raise LedgerError where it names none."""
    if not url.database or url.database == ":memory:":
        raise LedgerError(f"ledger.url: {url} names no file; write sqlite:////path/to/ledger.db")
    return Path(url.database)


def is_passing(error: BaseException | None) -> bool:
    """Tell whether an error of SQLite may pass without anybody's help: it is locked, or its disk refuses."""
    return getattr(error, "sqlite_errorname", "").startswith(_PASSING)


def is_of_the_disk(error: BaseException) -> bool:
    """Tell whether it is the disk that refuses."""
    return getattr(error, "sqlite_errorname", "").startswith(_OF_THE_DISK)


def reader(path: Path) -> sqlite3.Connection:
    """Open a database for reading only, also one in a place where nothing can be written.

    Raises sqlite3.DatabaseError if it cannot be opened.
    """
    log = path.with_name(path.name + "-wal")
    # With nobody's log beside it and no room for one, the file alone is all there is (sqlite.org/uri.html).
    is_alone = not log.exists() and not os.access(path.parent, os.W_OK)
    uri = f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if is_alone else ''}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None)
    connection.execute("PRAGMA trusted_schema=OFF")
    return connection


def quick_check(connection: sqlite3.Connection, *, full: bool = False) -> list[str]:
    """Have SQLite look whether the file is whole; return what is wrong. ``full`` compares the indexes too."""
    found = connection.execute(f"PRAGMA {'integrity_check' if full else 'quick_check'}").fetchall()
    return [] if found == [("ok",)] else [str(line) for (line,) in found]


def examine(path: Path) -> None:
    """Raise LedgerError if the file is not whole, LedgerAwayError if that cannot be told now."""
    try:
        with closing(reader(path)) as connection:
            problems = quick_check(connection)
    except sqlite3.DatabaseError as error:
        if is_passing(error):
            raise LedgerAwayError(f"the ledger {path} cannot be read now: {error}") from error
        problems = [str(error)]
    if problems:
        raise LedgerError(f"the ledger {path} is damaged ({problems[0]}); {REMEDY}")


def revision_of(connection: sqlite3.Connection) -> str | None:
    """Return the revision of the ledger that is open; None if it is none."""
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
    if connection.execute(query).fetchone() is None:
        return None
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if found is None else str(found[0])


def engine(url: sa.URL) -> sa.Engine:
    """Return an engine whose write transactions serialise and survive a power cut.

    WAL with ``synchronous=FULL``: a commit is on the disk before anything follows from it (sqlite.org/wal.html).
    A transaction begun with the execution option ``write`` takes the write lock at once, so that it cannot fail
    half-way because another process wrote meanwhile; with ``single`` each statement is one by itself.
    """
    made = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False})

    @sa.event.listens_for(made, "connect")
    def _prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(made, "handle_error")
    def _translate(context: sa.ExceptionContext) -> None:
        error = context.original_exception
        if is_passing(error):
            raise LedgerAwayError(f"the ledger {url.database} cannot be used now: {error}") from error
        if getattr(error, "sqlite_errorname", "").startswith(_DAMAGED):
            raise LedgerError(f"the ledger {url.database} is damaged ({error}); {REMEDY}") from error

    @sa.event.listens_for(made, "begin")
    def _begin(connection: sa.Connection) -> None:
        options = connection.get_execution_options()
        if options.get("single", False):
            return
        writes = options.get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return made


@contextmanager
def part(tx: sa.Connection) -> Iterator[None]:
    """Do a part of a transaction: what it wrote is taken back if it raises, and the rest stands.

    A LedgerError is no part's matter: it ends the transaction. SQLAlchemy's ``begin_nested`` does the same, in many times
    as long. Raises LedgerAwayError where the part cannot be taken back: SQLite ended the transaction by itself.
    """
    connection: Any = tx.connection.driver_connection
    connection.execute("SAVEPOINT part")
    try:
        yield
    except LedgerError:
        raise
    except BaseException:
        try:
            connection.execute("ROLLBACK TO part")
        except sqlite3.Error as error:
            raise LedgerAwayError(
                f"a part of what was to be written cannot be taken back: {error}"
            ) from error
        connection.execute("RELEASE part")
        raise
    connection.execute("RELEASE part")


def prepare(url: sa.URL) -> str | None:
    """Look at the ledger's file before anything may write to it; return the revision that it is at.

    Returns None for a ledger that is still to be made; its directory is made here.

    Raises:
        LedgerError: It lies on a network file system, is damaged, cannot be read or is another program's.
        LedgerAwayError: Its disk is full or failing, or another has it locked.
    """
    path = path_of(url)
    refuse_network(path, _mountinfo())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.stat().st_size == 0:
            return None
        return _revision(path)
    except PermissionError as error:
        raise _forbidden(path, error.strerror) from error
    except OSError as error:
        raise LedgerError(f"ledger.url: {path} cannot be used: {error.strerror}") from error
    except sqlite3.DatabaseError as error:
        _refuse_for_now(path, error)
        if getattr(error, "sqlite_errorname", "").startswith(_FORBIDDEN):
            raise _forbidden(path, error) from error
        raise LedgerError(f"ledger.url: {path} cannot be read ({error}); {REMEDY}") from error


def _forbidden(path: Path, why: object) -> LedgerError:
    """Return what is said to a user who may not use the ledger, of which it says nothing."""
    return LedgerError(
        f"ledger.url: {path} cannot be used by user {os.geteuid()} ({why}); run this as the service's user"
    )


def refuse_network(path: Path, mountinfo: bytes) -> None:
    """Raise LedgerError if ``path`` is on a network file system, where WAL's shared memory does not hold.

    ``mountinfo`` is the text of ``/proc/self/mountinfo``.
    """
    mount = mounts.mount_of(mounts.parse_mountinfo(mountinfo), os.fsencode(path.resolve()))
    if mounts.is_network(mount.fstype):
        raise LedgerError(
            f"ledger.url: {path} is on a network file system ({mount.fstype} from {mount.source}), where SQLite's "
            "write-ahead log is not safe; put the ledger on a local disk, for instance /var/lib/identifai-watch"
        )


def check(made: sa.Engine) -> None:
    """Raise LedgerError if the ledger cannot be opened for writing, LedgerAwayError if that may pass."""
    try:
        with made.connect():
            pass
    except (DBAPIError, LedgerAwayError) as error:
        why = error.orig if isinstance(error, DBAPIError) else error.__cause__
        _refuse_for_now(path_of(made.url), why)
        raise LedgerError(f"ledger.url: {made.url.database} cannot be opened: {why}") from error


def _refuse_for_now(path: Path, error: BaseException | None) -> None:
    """Raise LedgerAwayError if an error says nothing of the ledger itself, which is to stay where it is."""
    if getattr(error, "sqlite_errorname", "").startswith(_PASSING_AT_START):
        raise LedgerAwayError(
            f"the ledger {path} cannot be used now: {error}; its disk may be full or failing, or another program "
            "has it locked"
        ) from error


def _mountinfo() -> bytes:
    try:
        return Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return b""  # a sandbox without /proc: nothing says that it is a network's


def _revision(path: Path) -> str | None:
    """Return the revision of an existing file, which is opened for reading only."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        tables = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        if "alembic_version" in tables:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            return None if found is None else str(found[0])
    if tables:
        raise LedgerError(f"ledger.url: {path} is another program's database; name a file of its own")
    return None


def append_only(connection: sa.Connection, table: str) -> None:
    """Have the engine itself refuse to change or delete a row of ``table``."""
    for verb in ("UPDATE", "DELETE"):
        connection.exec_driver_sql(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def drop_append_only(connection: sa.Connection, table: str) -> None:
    """Lift what ``append_only`` asks of the engine: for a migration, which puts it back."""
    for verb in ("update", "delete"):
        connection.exec_driver_sql(f"DROP TRIGGER {table}_no_{verb}")


def rewrite_check(connection: sa.Connection, table: str, old: str, new: str) -> None:
    """Let a CHECK of ``table`` say ``new`` where it said ``old``, which must be stricter, without copying its rows.

    SQLite knows no other way to change a constraint in place (sqlite.org/lang_altertable.html, 7).

    Raises:
        LedgerError: The table has no such CHECK: it is not the one that this version made.
    """
    run = connection.exec_driver_sql
    version = run("PRAGMA schema_version").scalar_one()
    run("PRAGMA writable_schema=ON")
    try:
        changed = run(
            "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = ? AND instr(sql, ?)",
            (old, new, table, old),
        ).rowcount
        run(f"PRAGMA schema_version={version + 1}")
    finally:
        run("PRAGMA writable_schema=RESET")
    if changed != 1:
        raise LedgerError(f"the table {table} is not as it was made: it has no CHECK ({old})")


class Watch:
    """A look at whether anybody wrote, by a connection that itself never does (sqlite.org/pragma.html, data_version)."""

    def __init__(self, url: sa.URL) -> None:
        self._path = path_of(url)
        self._connection: sqlite3.Connection | None = None

    def version(self) -> int | None:
        """Return a number that changes with each commit that changed anything; None if that cannot be told now."""
        try:
            if self._connection is None:
                uri = f"{self._path.resolve().as_uri()}?mode=ro"
                self._connection = sqlite3.connect(
                    uri, uri=True, isolation_level=None, check_same_thread=False
                )
            (found,) = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return None
        return int(found)

    def close(self) -> None:
        """Look no more."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class NodeLock:
    """The lock that says a daemon is alive: one beside each ledger, held by the kernel for the process."""

    def __init__(self, url: sa.URL) -> None:
        self._path = path_of(url).with_name(path_of(url).name + ".lock")
        self._file: IO[Any] | None = None

    def take(self) -> bool:
        """Take the lock for as long as this process lives; return False if another daemon has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a+b")
        for _ in range(ATTEMPTS):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(ATTEMPT_SECONDS)  # whoever only asks for it has it for an instant
            else:
                self._file = file
                return True
        file.close()
        return False

    @property
    def is_mine(self) -> bool:
        """Whether this process has the lock."""
        return self._file is not None

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


class Store:
    """One ledger in a file, for the processes of one host."""

    def __init__(self, url: sa.URL, _node: str) -> None:
        self.url = url
        self.lock = NodeLock(url)
        self._writing = RLock()
        self._watch = Watch(url)
        self.found = prepare(url)
        self.engine = engine(url)
        self._writer = self.engine.execution_options(write=True)
        self._single = self.engine.execution_options(single=True)

    def clock(self) -> datetime:
        """Return the instant: all processes of a host have one clock."""
        return datetime.now(UTC)

    @property
    def moment(self) -> None:
        """What a statement calls now: what it is told."""
        return

    def brief(self, statements: Sequence[Statement], clock: Callable[[], datetime]) -> Sequence[Any]:
        """Carry out statements as one transaction; return the one row of the last, which is told what ``clock`` tells."""
        *first, last = statements
        with self.write() as tx:
            for statement in first:
                tx.execute(statement)
            return tx.execute(last, {"now": micros(clock())}).one()

    def look(self, _tx: sa.Connection) -> None:
        """Do nothing: nobody else's clock counts."""

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Open a transaction that may write; there is one at a time."""
        with self._writing, self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a transaction that sees one state of the ledger; a long one would keep the WAL from ending."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def single(self) -> Iterator[sa.Connection]:
        """Open a connection on which each statement is one by itself."""
        with self._single.connect() as connection:
            yield connection

    def alive(self, _tx: sa.Connection, nodes: list[str]) -> set[str]:
        """Return all of ``nodes`` if a daemon runs: one host has a file, whatever it is called."""
        return set(nodes) if self.lock.is_taken() else set()

    def version(self) -> int | None:
        """Return a number that changes with each transaction that changes anything, whoever makes it.

        None if that cannot be told now. For one thread alone; asking takes a thousandth of what an empty transaction does.
        """
        return self._watch.version()

    def listen(self, wake: Callable[[], None]) -> None:
        """Do nothing: whoever writes is on this host, and ``version`` is asked often enough."""

    def check(self) -> None:
        """Raise LedgerError if the ledger cannot be opened for writing, LedgerAwayError if that may pass."""
        check(self.engine)

    def examine(self) -> None:
        """Have SQLite look whether the file is whole; raise LedgerError if it is not."""
        examine(path_of(self.url))

    def alone(self, _connection: sa.Connection) -> str | None:
        """Return the revision that the ledger is at: a transaction that writes is alone."""
        return self.found

    def close(self) -> None:
        """Close every connection, and give the daemon's lock back if it is ours."""
        self._watch.close()
        self.engine.dispose()
        self.lock.release()


@contextmanager
def reserved(url: sa.URL, *, is_read: bool) -> Iterator[tuple[sa.Connection, str | None]]:
    """Keep daemons from a ledger, and give a connection to it that only reads, or also writes, with its revision.

    Raises:
        LaterError: A daemon runs on it.
        LedgerError: It cannot be used as it is.
    """
    path = path_of(url)
    if is_read and not path.is_file():
        raise LedgerError(f"{path} is no file" if path.exists() else f"there is no ledger at {path}")
    found = _revision(path) if is_read else prepare(url)
    made = (
        sa.create_engine("sqlite://", creator=lambda: reader(path), poolclass=sa.NullPool)
        if is_read
        else engine(url)
    )
    lock = NodeLock(url)
    try:
        if not _is_ours(lock):
            raise LaterError(
                f"a daemon runs on {path}, or another copy of it is being made: stop that first "
                "(systemctl stop identifai-watch)"
            )
        with made.connect() as connection:
            yield connection.execution_options(write=not is_read), found
    finally:
        made.dispose()
        lock.release()


def _is_ours(lock: NodeLock) -> bool:
    """Take the lock; where nothing can be written, nobody else can either, and it is enough that nobody has it."""
    try:
        return lock.take()
    except OSError:
        return not lock.is_taken()
