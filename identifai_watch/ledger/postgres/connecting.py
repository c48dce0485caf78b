"""Connections to the server: how they are made, how long they bear it, and what its errors mean."""

import re
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from identifai_watch.errors import LedgerAwayError, LedgerError

CONNECT_SECONDS = 5
POOL_SECONDS = 5.0
"""How long a thread waits for a connection while others of its process use all of them."""

ANSWER_SECONDS = 12.0
"""After so long without a byte from the server a call ends: longer than the server itself takes to end a statement."""

LONG_SECONDS = 600.0
"""How long a statement may take that a copy or a new schema wants: a table of ten million rows is read in some seconds."""

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

    patience: float = 0.0
    """Seconds that a server which has long work may be silent, if that is more than ANSWER_SECONDS."""

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
            elif time.monotonic() - heard_at > (seconds := max(ANSWER_SECONDS, self.patience)):
                self.pgconn.finish()
                raise psycopg.OperationalError(f"the server has not answered for {seconds:g} s")


@contextmanager
def patient(connection: sa.Connection) -> Iterator[None]:
    """Let each statement take LONG_SECONDS, and wait for it: where no transaction is open in all of them, else in that one."""
    raw = cast("_Connection", connection.connection.driver_connection)
    is_local = sa.true() if connection.in_transaction() else sa.false()
    limit = sa.select(sa.func.set_config("statement_timeout", f"{LONG_SECONDS:g}s", is_local))
    with nullcontext() if connection.in_transaction() else connection.begin():
        connection.execute(limit)
    raw.patience = LONG_SECONDS
    try:
        yield
    finally:
        raw.patience = 0.0


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
            raise LedgerAwayError(f"the ledger {shown(url)} cannot be used now: {said_of(error)}") from error

    return made


def said_of(error: BaseException) -> str:
    """Return what an error says, on one line."""
    return " ".join(str(error).split())


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
        raise unusable(url, error) from error
    finally:
        looking.dispose()
    if tables:
        raise LedgerError(
            f"ledger.url: {shown(url)} is another program's database ({min(tables)}); name one of its own"
        )
    return None


def unusable(url: sa.URL, error: DBAPIError) -> LedgerError:
    """Return what is said of a ledger that cannot be used as it is, with the remedy where one is known."""
    said = said_of(error.orig or error)
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
