"""What is PostgreSQL's own: its sessions, its clock, the locks of its nodes, and who is told that something changed.

Many hosts use one ledger. Whatever they must agree on is the server's: an instant is its clock's, a node is alive while
a session of its holds its advisory lock, and a daemon writes through that very session, so that whoever lost the lock
can write nothing any more.
"""

import hashlib
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhaustedError
from sqlalchemy.pool import NullPool

from identifai_watch.errors import LaterError, LedgerAwayError, LedgerError
from identifai_watch.ledger.schema import EPOCH, Statement

DRIVER = "postgresql+psycopg"

CONNECT_SECONDS = 5
POOL_SECONDS = 5.0
"""How long a thread waits for a connection while others of its process use all of them."""

ANSWER_SECONDS = 12.0
"""After so long without a byte from the server a call ends: longer than the server itself takes to end a statement."""

STATEMENT = "10s"
"""How long one statement may take; the longest of ours, a page of a million rows, takes a tenth of that."""

LOCK = "5s"
"""How long a statement waits for a row that another node has."""

IDLE = "10s"
"""How long a transaction may do nothing: a host that was cut off in the midst of one keeps its rows from nobody longer."""

_ALIVE = {"keepalives_idle": 4, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}
"""After 10 s without a word from the other side a connection is given up (libpq, 34.1.2)."""

_SESSION: dict[str, str] = {
    "statement_timeout": STATEMENT,
    "lock_timeout": LOCK,
    "idle_in_transaction_session_timeout": IDLE,
    "default_transaction_isolation": "read committed",  # whatever a database was set to
    # One directory has ten files and another a million, one filter passes all and another none: a plan that is made once
    # for any value is wrong for the other, and so is one that gathers before it looks how much is wanted.
    "plan_cache_mode": "force_custom_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
    # The server's own watch over a host that vanished: its session, and with it its lock, ends as soon.
    "tcp_keepalives_idle": "4",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
}

_PASSING = ("08", "25006", "25P03", "40", "53", "55P03", "57", "58", "XX")
"""Classes and states that may pass without our help (PostgreSQL, appendix A): no connection, a standby, a transaction
that was idle for too long, serialization and deadlock, no resources, a lock, an operator or a restart, a disk, and the
server's own trouble, in which nothing is sent either."""

_REFUSED = re.compile(
    "authentication failed|no password supplied|does not exist|pg_hba.conf|not permitted to log in"
    "|permission denied|does not support SSL|certificate verify failed|no such (database|user)"
)
"""What a connection is refused with that no waiting heals. Its state is not told by libpq, and where the server says it
in another language than English it is taken for one that passes."""

_MISSING_DATABASE = re.compile('database "[^"]*" does not exist')
CHANNEL = "identifai_watch"
"""What is told on: the payload is the node that has something to do."""

_LOCKS = "identifai-watch node "
_UPKEEP = "identifai-watch upkeep"
_DAEMONS = "identifai-watch daemons"
"""Every daemon shares this lock; a copy of the ledger has it alone."""

RETAKE_SECONDS = 3.0
"""How long a lock that a session of ours lost is waited for: the server may still hold it for that session."""

LOOK_EVERY = 1.0
"""Seconds after which the daemon looks at the server's clock again."""

ON_THE_WAY = 3_000
"""Microseconds by which an answer may be later than the quickest ones were."""

_DRIFT = 200e-6
"""By how much a host's clock may run faster or slower than the server's, as a part of the time that passes."""


def key_of(name: str) -> int:
    """Return the number of an advisory lock, 64 bits with a sign, of a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def is_passing(error: BaseException | None) -> bool:
    """Tell whether an error may pass without anybody's help."""
    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate
    if state is None:  # the connection could not be made, or broke
        is_about_it = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return is_about_it and _REFUSED.search(str(error)) is None
    return state.startswith(_PASSING)


def shown(url: sa.URL) -> str:
    """Return an address without its password, for people."""
    return url.render_as_string(hide_password=True)


class _Connection(psycopg.Connection[Any]):
    """A connection on which nothing is waited for without end.

    The server ends a statement that takes too long. This is for one that is hung itself, and for a network that has lost
    the connection and tells nobody.
    """

    def wait(self, gen: Generator[Any, Any, Any], *how: Any, **more: Any) -> Any:
        """Wait for an answer; raise OperationalError, and be closed, if nothing at all comes for ANSWER_SECONDS."""
        return super().wait(self._heard(gen), *how, **more)

    def _heard(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        heard_at, ready = time.monotonic(), None
        while True:
            try:
                wanted = gen.send(ready)
            except StopIteration as ended:
                return ended.value
            ready = yield wanted  # nothing is ready whenever a tenth of a second has passed
            if ready:
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > ANSWER_SECONDS:
                self.pgconn.finish()
                raise psycopg.OperationalError(f"the server has not answered for {ANSWER_SECONDS:g} s")


def engine(
    url: sa.URL,
    *,
    poolclass: type[sa.Pool] | None = None,
    name: str = "identifai-watch",
    is_known: bool = True,
) -> sa.Engine:
    """Return an engine whose connections are looked at before each use, and whose statements end.

    A transaction begun with the execution option ``write`` sees each row as it is when it asks (READ COMMITTED); all others
    see one state of the ledger and write nothing; with ``single`` each statement is one by itself. A ledger that
    ``is_known`` was used before: whatever keeps it from being connected to, a password that was changed too, may pass.
    """
    pool: dict[str, Any] = (
        {"pool_pre_ping": True, "pool_size": 4, "max_overflow": 8, "pool_timeout": POOL_SECONDS}
        if poolclass is None
        else {"poolclass": poolclass}
    )
    made = sa.create_engine(
        url,
        connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": name, **_ALIVE},
        **pool,
    )

    @sa.event.listens_for(made, "do_connect")
    def _connect(_dialect: object, _record: object, words: list[Any], said: dict[str, Any]) -> _Connection:
        return _Connection.connect(*words, **said)

    @sa.event.listens_for(made, "connect")
    def _prepare(connection: psycopg.Connection[Any], _record: object) -> None:
        said = ", ".join(f"set_config('{key}', '{value}', false)" for key, value in _SESSION.items())
        connection.execute(f"SELECT {said}".encode())
        connection.commit()

    @sa.event.listens_for(made, "handle_error")
    def _translate(context: sa.ExceptionContext) -> None:
        error = context.original_exception
        may_pass = is_passing(error) or (is_known and context.connection is None)
        if may_pass and not context.is_pre_ping:
            raise LedgerAwayError(f"the ledger {shown(url)} cannot be used now: {_said(error)}") from error

    return made


def _said(error: BaseException) -> str:
    return " ".join(str(error).split())


@contextmanager
def part(tx: sa.Connection) -> Iterator[None]:
    """Do a part of a transaction: what it wrote is taken back if it raises, and the rest stands.

    A LedgerError is no part's matter: it ends the transaction.
    """
    tx.exec_driver_sql("SAVEPOINT part")
    try:
        yield
    except LedgerError:
        raise
    except BaseException:
        tx.exec_driver_sql("ROLLBACK TO part")
        tx.exec_driver_sql("RELEASE part")
        raise
    tx.exec_driver_sql("RELEASE part")


def prepare(url: sa.URL) -> str | None:
    """Look at the ledger before anything may write to it; return the revision that it is at, None if it is to be made.

    Raises:
        LedgerError: There is no such database, this user may not use it, or it is another program's.
        LedgerAwayError: The server cannot be reached.
    """
    looking = engine(url, poolclass=NullPool, is_known=False)
    try:
        with looking.connect() as connection:
            tables = set(sa.inspect(connection).get_table_names())
            if "alembic_version" in tables:
                found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
                return None if found is None else str(found)
    except DBAPIError as error:
        raise _unusable(url, error) from error
    finally:
        looking.dispose()
    if tables:
        raise LedgerError(
            f"ledger.url: {shown(url)} is another program's database ({min(tables)}); name one of its own"
        )
    return None


def _unusable(url: sa.URL, error: DBAPIError) -> LedgerError:
    said = _said(error.orig or error)
    what = f"ledger.url: {shown(url)} cannot be used: {said}"
    if _MISSING_DATABASE.search(said):
        return LedgerError(f"{what}; createdb {url.database} makes it")
    if "permission denied" in said:
        return LedgerError(f"{what}; let {url.username or 'this user'} own that database")
    if "password" in said:
        return LedgerError(
            f"{what}; it is kept in the file that passfile= of ledger.url or $PGPASSFILE names"
        )
    return LedgerError(what)


def append_only(connection: sa.Connection, table: str) -> None:
    """Have the engine itself refuse to change or delete a row of ``table``."""
    run = connection.exec_driver_sql
    run(
        f"CREATE FUNCTION {table}_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
    )
    run(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"EXECUTE FUNCTION {table}_is_append_only()"
    )


def make(connection: sa.Connection) -> None:
    """Make the tables of a new ledger, in the transaction that is open."""
    from identifai_watch.ledger import schema  # noqa: PLC0415 - the tables are wanted here alone

    # The partial indexes say their condition in SQLite's name; the words are the same.
    for table in schema.metadata.tables.values():
        for index in table.indexes:
            if index.info.get("where") is not None:
                index.dialect_options["postgresql"]["where"] = index.info["where"]
    schema.metadata.create_all(connection, checkfirst=False)
    append_only(connection, "history")


def chain(tx: sa.Connection) -> None:
    """Let this transaction alone write history until it ends: each line is chained to the one before."""
    tx.execute(_CHAIN)


_CHAIN = sa.select(sa.func.pg_advisory_xact_lock(key_of("identifai-watch history")))


def ring(tx: sa.Connection, nodes: set[str]) -> None:
    """Tell other nodes, once this transaction is committed, that there is something for them to do."""
    for node in sorted(nodes):
        tx.execute(_RING, {"node": node})


_RING = sa.select(sa.func.pg_notify(CHANNEL, sa.bindparam("node")))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """What the server's clock said, as an instant less this host's own seconds, and by how much that may be wrong."""

    at: float
    ahead: float
    unsure: float

    def unsure_at(self, now: float) -> float:
        return self.unsure + (now - self.at) * _DRIFT


class Clock:
    """The server's clock, kept by this host's own seconds from one look at it to the next; for any thread."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=30)
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        """Return the server's instant; this host's, as long as nobody looked at the server's."""
        now = _seconds()
        with self._lock:
            best = min(self._samples, key=lambda one: one.unsure_at(now), default=None)
        ahead = time.time() - now if best is None else best.ahead
        return EPOCH + timedelta(seconds=now + ahead)

    @property
    def unsure(self) -> float:
        """By how many seconds the instant may be wrong: half of what an answer of the server takes."""
        with self._lock:
            now = _seconds()
            return min((one.unsure_at(now) for one in self._samples), default=0.0)

    @property
    def age(self) -> float:
        """How many seconds ago somebody looked last."""
        with self._lock:
            return _seconds() - self._samples[-1].at if self._samples else float("inf")

    def look(self, tx: sa.Connection) -> datetime:
        """Look at the server's clock, and return what it says."""
        before = _seconds()
        micros = int(tx.execute(_CLOCK).scalar_one())
        after = _seconds()
        unsure = (after - before) / 2
        sample = _Sample(at=after, ahead=micros / 1e6 - (before + after) / 2, unsure=unsure)
        with self._lock:
            # One that contradicts the others is another clock: the server's was set, or another server took over.
            if any(abs(one.ahead - sample.ahead) > one.unsure_at(after) + unsure for one in self._samples):
                self._samples.clear()
            self._samples.append(sample)
        return EPOCH + timedelta(microseconds=micros)


_MICROS = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_CLOCK = sa.text(f"SELECT {_MICROS}")


def _seconds() -> float:
    """Return this host's seconds, which nobody sets, and which go on while it sleeps (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


_READ_ONLY = sa.text("SHOW transaction_read_only")
"""On a server that follows another, and on one that somebody has set so."""


class NodeLock:
    """The lock that says a node's daemon is alive, and the session that holds it, through which the daemon writes."""

    def __init__(self, url: sa.URL, node: str) -> None:
        self._name = f"identifai-watch {uuid4().hex[:12]}"
        self._engine = engine(url, poolclass=NullPool, name=self._name)
        self._asking = engine(url, poolclass=NullPool)
        self._key = key_of(_LOCKS + node)
        self._node = node
        self._session: sa.Connection | None = None
        self._owner: int | None = None

    def take(self) -> bool:
        """Take the lock for as long as this process lives; return False if another daemon has it.

        From now on ``session`` is for the thread that took it.
        """
        if not self._open():
            return False
        self._owner = threading.get_ident()
        return True

    @property
    def is_mine(self) -> bool:
        """Whether this thread took the lock."""
        return self._owner == threading.get_ident()

    def session(self) -> sa.Connection:
        """Return the session that holds the lock, taken anew if it was lost.

        Raises:
            LedgerAwayError: The server cannot be reached, or has not noticed yet that the session before is gone.
            LaterError: Another daemon has taken the lock meanwhile.
        """
        found = self._session
        if found is not None and not found.closed and not found.invalidated:
            return found
        self._drop()
        deadline = time.monotonic() + RETAKE_SECONDS
        while not self._open():
            holder = self._holder()
            if holder is not None and holder[1] != self._name:
                raise LaterError(f"another daemon runs as node {self._node} on this ledger by now")
            if holder is not None:
                self._end(holder[0])
            if time.monotonic() > deadline:
                raise LedgerAwayError(
                    f"the lock of node {self._node} is still held by a session that is gone"
                )
            time.sleep(0.05)  # the server ends the old session in its own time, and tells nobody
        if self._session is None:
            raise LedgerAwayError(f"the lock of node {self._node} was lost at once")
        return self._session

    def is_taken(self) -> bool:
        """Tell whether a daemon, of this process or of another, holds the lock."""
        if self._owner is not None:
            return True
        with self._asking.connect() as connection:
            return _holder(connection, self._key) is not None

    def release(self) -> None:
        """Give the lock back, and every connection."""
        self._owner = None
        self._drop()
        self._engine.dispose()
        self._asking.dispose()

    def _open(self) -> bool:
        session = self._engine.connect().execution_options(write=True)
        try:
            with session.begin():
                is_had = session.execute(sa.select(sa.func.pg_try_advisory_lock(self._key))).scalar_one()
        except BaseException:
            session.close()
            raise
        if not is_had:
            session.close()
            return False
        if not _share(session):
            session.close()
            raise LaterError("this ledger is being copied; a daemon can start when that has ended")
        self._session = session
        return True

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(LedgerError, DBAPIError):
                session.invalidate()
            with suppress(LedgerError, DBAPIError):
                session.close()

    def _holder(self) -> tuple[int, str] | None:
        with self._asking.connect() as connection:
            return _holder(connection, self._key)

    def _end(self, process: int) -> None:
        """End a session of ours that the server still believes in: the network between lost it."""
        with self._asking.connect() as connection:
            connection.execute(sa.select(sa.func.pg_terminate_backend(process)))


def _share(session: sa.Connection) -> bool:
    """Have a copy of the ledger wait for this session; return False if one is being made."""
    try:
        with session.begin():
            taken = sa.select(sa.func.pg_try_advisory_lock_shared(key_of(_DAEMONS)))
            return bool(session.execute(taken).scalar_one())
    except BaseException:
        session.close()
        raise


_HOLDERS = sa.text(
    "SELECT l.classid::bigint AS high, l.objid::bigint AS low, l.pid, coalesce(a.application_name, '') AS name "
    "FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid "
    "WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def _holders(connection: sa.Connection) -> dict[int, tuple[int, str]]:
    """Return who holds the advisory locks of this database: the process and what it calls itself, by the lock's key."""
    found = {}
    for row in connection.execute(_HOLDERS):
        key = (row.high << 32 | row.low).to_bytes(8, "big")
        found[int.from_bytes(key, "big", signed=True)] = (int(row.pid), str(row.name))
    return found


def _holder(connection: sa.Connection, key: int) -> tuple[int, str] | None:
    return _holders(connection).get(key)


def alive(tx: sa.Connection, nodes: list[str]) -> set[str]:
    """Return those of ``nodes`` whose daemon is alive."""
    held = _holders(tx)
    return {node for node in nodes if key_of(_LOCKS + node) in held}


class Watch:
    """Hears, in a thread of its own, that another node has left this one something to do."""

    def __init__(self, url: sa.URL, node: str) -> None:
        self._url = url
        self._node = node
        self._heard = 0
        self._is_hearing = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._connection: psycopg.Connection[Any] | None = None

    def version(self) -> int | None:
        """Return a number that changes when another node told this one something; None while nobody would hear it."""
        return self._heard if self._is_hearing else None

    def listen(self, wake: Callable[[], None]) -> None:
        """Begin to hear; ``wake`` is called for what is heard, in the thread that hears."""
        self._thread = threading.Thread(target=self._listen, args=(wake,), name="ledger", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hear no more."""
        self._ended.set()

    def _listen(self, wake: Callable[[], None]) -> None:
        made = engine(self._url, poolclass=NullPool).execution_options(isolation_level="AUTOCOMMIT")
        while not self._ended.is_set():
            try:
                with made.connect() as connection:
                    connection.exec_driver_sql(f"LISTEN {CHANNEL}")
                    raw = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
                    self._hear(raw, wake)
            except (LedgerError, DBAPIError, psycopg.Error):
                self._is_hearing = False
                self._ended.wait(1)

    def _hear(self, connection: psycopg.Connection[Any], wake: Callable[[], None]) -> None:
        self._is_hearing = True
        self._heard += 1  # what was told while nobody heard
        wake()
        while not self._ended.is_set():
            is_told = False
            for said in connection.notifies(timeout=2, stop_after=1):
                is_told = is_told or said.payload == self._node
            if is_told:
                self._heard += 1
                wake()
            else:
                connection.execute("SELECT 1")  # a server that is gone says nothing at all


class Store:
    """One ledger on a server, for one node."""

    def __init__(self, url: sa.URL, node: str) -> None:
        self.url = url
        self.found = prepare(url)
        self.lock = NodeLock(url, node)
        self.clock = Clock()
        self.engine = engine(url)
        self._watch = Watch(url, node)
        self._writer = self.engine.execution_options(write=True)
        self._reader = self.engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._single = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    def look(self, tx: sa.Connection) -> None:
        """Look at the server's clock."""
        self.clock.look(tx)

    @property
    def moment(self) -> str:
        """What a statement calls now, in microseconds: the server's instant, and later by what its answer takes."""
        late = round(self.clock.unsure * 1e3) * 1_000 + ON_THE_WAY
        return f"({_MICROS} + {late})"

    def brief(self, statements: Sequence[Statement], _clock: Callable[[], datetime]) -> Sequence[Any]:
        """Carry out statements as one transaction, in one message: each sees what was committed before it began."""
        said = [
            str(one.compile(dialect=self.engine.dialect, compile_kwargs={"literal_binds": True}))
            for one in statements
        ]
        with self.single() as connection:
            raw = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
            try:
                with raw.cursor() as cursor:
                    # Several statements cannot be prepared, which a driver does with what it is told often.
                    cursor.execute(";".join(said).encode(), prepare=False)
                    while cursor.nextset():
                        pass
                    [row] = cursor.fetchall()
                    return cast("Sequence[Any]", row)
            except psycopg.Error as error:
                if raw.closed:
                    connection.invalidate()
                if is_passing(error):
                    raise LedgerAwayError(
                        f"the ledger {shown(self.url)} cannot be used now: {_said(error)}"
                    ) from error
                raise

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Open a transaction that may write; for the thread that took the node's lock, on the session that holds it."""
        if not self.lock.is_mine:
            with self._connected(self._writer) as connection, connection.begin():
                yield connection
            return
        session = self.lock.session()
        with session.begin():
            if self.clock.age > LOOK_EVERY:
                self._look_round(session)
            yield session

    def _look_round(self, session: sa.Connection) -> None:
        """Look at the server's clock, and whether it takes writes: a round that it does not take is not begun."""
        self.clock.look(session)
        if session.execute(_READ_ONLY).scalar_one() == "on":
            raise LedgerAwayError(
                f"the ledger {shown(self.url)} cannot be used now: its server takes no writes"
            )

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a transaction that sees one state of the ledger."""
        with self._connected(self._reader) as connection:
            yield connection

    @contextmanager
    def single(self) -> Iterator[sa.Connection]:
        """Open a connection on which each statement is one by itself."""
        with self._connected(self._single) as connection:
            yield connection

    def _connected(self, how: sa.Engine) -> sa.Connection:
        try:
            return how.connect()
        except PoolExhaustedError as error:
            raise LedgerAwayError(
                f"the ledger {shown(self.url)} cannot be used now: every connection of this process is in use"
            ) from error

    def alive(self, tx: sa.Connection, nodes: list[str]) -> set[str]:
        """Return those of ``nodes`` whose daemon holds its lock."""
        return alive(tx, nodes)

    def version(self) -> int | None:
        """Return a number that changes when another node told this one something."""
        return self._watch.version()

    def listen(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called, in a thread of its own, when another node tells this one something."""
        self._watch.listen(wake)

    def check(self) -> None:
        """Look at the server's clock; raise LedgerError if the ledger cannot be used."""
        try:
            with self.engine.connect() as connection:
                self.clock.look(connection)
        except DBAPIError as error:
            raise _unusable(self.url, error) from error

    def examine(self) -> None:
        """Do nothing: a server sees to its own files when it starts."""

    def make(self, connection: sa.Connection) -> None:
        """Make the tables of a new ledger, in the transaction that is open."""
        make(connection)

    def alone(self, connection: sa.Connection) -> str | None:
        """Keep other nodes from changing the schema until the transaction ends; return the revision that it is at."""
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key_of(_UPKEEP))))
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()

    def close(self) -> None:
        """Close every connection, and give the node's lock back if it is ours."""
        self._watch.close()
        self.engine.dispose()
        self.lock.release()


COPY_STATEMENT = "10min"
"""How long one statement of a copy may take: a table of ten million rows is counted in seconds."""


@contextmanager
def reserved(url: sa.URL, *, is_read: bool) -> Iterator[tuple[sa.Connection, str | None]]:
    """Keep daemons of all nodes from a ledger, and give a session on it that only reads, or also writes, with its revision.

    Raises:
        LaterError: A daemon runs on it, or it is being copied already.
        LedgerError: It cannot be used as it is.
    """
    found = prepare(url)
    made = engine(url, poolclass=NullPool, name="identifai-watch copy")
    try:
        with made.connect() as connection:
            if is_read:
                connection = connection.execution_options(postgresql_readonly=True)  # noqa: PLW2901 - the same one
            with connection.begin():
                connection.execute(
                    sa.select(sa.func.set_config("statement_timeout", COPY_STATEMENT, sa.false()))
                )
            _have_alone(connection)
            yield connection, found
    finally:
        made.dispose()


def _have_alone(connection: sa.Connection) -> None:
    """Take the lock that daemons share; one whose session has just ended is waited for."""
    deadline = time.monotonic() + RETAKE_SECONDS
    while True:
        with connection.begin():
            if connection.execute(sa.select(sa.func.pg_try_advisory_lock(key_of(_DAEMONS)))).scalar_one():
                return
            running = _running(connection)
        if running or time.monotonic() > deadline:
            who = f"daemons run on it ({', '.join(running)})" if running else "it is being copied already"
            raise LaterError(
                f"{shown(connection.engine.url)} cannot be copied now: {who}; try again when that has ended"
            )
        time.sleep(0.05)


def _running(tx: sa.Connection) -> list[str]:
    """Return the nodes whose daemon is alive."""
    if not sa.inspect(tx).has_table("nodes"):
        return []
    return sorted(alive(tx, list(tx.exec_driver_sql("SELECT node FROM nodes").scalars())))


def number_on(tx: sa.Connection, tables: Iterable[sa.Table]) -> None:
    """Have new rows numbered behind those that were written with numbers of their own."""
    for table in tables:
        owned = tx.execute(_OWNED, {"table": table.name}).scalar() if "id" in table.c else None
        if owned is not None:
            following = sa.select(sa.func.greatest(sa.func.max(table.c.id), 0) + 1).scalar_subquery()
            tx.execute(sa.select(sa.func.setval(owned, following, sa.false())))


_OWNED = sa.select(sa.func.pg_get_serial_sequence(sa.bindparam("table"), "id"))
