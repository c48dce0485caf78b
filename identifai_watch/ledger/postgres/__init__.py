"""What is PostgreSQL's own: ``connecting``, its ``clock``, the locks of its ``nodes``, ``hearing`` and ``moving``.

Many hosts use one ledger. Whatever they must agree on is the server's: an instant is its clock's, a node is alive while
a session of its holds its advisory lock, and a daemon writes through that very session, so that whoever lost the lock
can write nothing any more.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhaustedError

from identifai_watch.errors import LedgerAwayError, LedgerError
from identifai_watch.ledger.postgres.clock import MICROS, ON_THE_WAY, Clock
from identifai_watch.ledger.postgres.connecting import (
    engine,
    is_passing,
    patient,
    prepare,
    said_of,
    shown,
    unusable,
)
from identifai_watch.ledger.postgres.hearing import Watch, ring
from identifai_watch.ledger.postgres.moving import number_on, reserved
from identifai_watch.ledger.postgres.nodes import UPKEEP, NodeLock, alive, key_of
from identifai_watch.ledger.schema import Statement

LOOK_EVERY = 1.0
"""Seconds after which the daemon looks at the server's clock again."""

_READ_ONLY = sa.text("SHOW transaction_read_only")


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
    # Room in each page for a claim of a row beside the row: then no index has to be told of it.
    connection.exec_driver_sql("ALTER TABLE analyses SET (fillfactor = 85)")
    append_only(connection, "history")
    chained(connection)


def chained(connection: sa.Connection) -> None:
    """Make what lets one transaction alone add to the history, and tells it the last digest.

    A function, so that both are one message: one that is volatile sees in each of its statements what was committed
    before that (PostgreSQL, "Function Volatility Categories").
    """
    alone = f"PERFORM pg_advisory_xact_lock({key_of('identifai-watch history')});"
    last = "RETURN (SELECT digest FROM history ORDER BY id DESC LIMIT 1);"
    connection.exec_driver_sql(
        f"CREATE FUNCTION history_end() RETURNS bytea LANGUAGE plpgsql VOLATILE AS $$ BEGIN {alone} {last} END $$"
    )


def chain(tx: sa.Connection) -> bytes | None:
    """Let this transaction alone write history until it ends, and return the digest of the last line; None if there is none."""
    return cast("bytes | None", tx.execute(_CHAIN).scalar_one())


_CHAIN = sa.select(sa.func.history_end(type_=sa.LargeBinary))


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
        return f"({MICROS} + {late})"

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
                        f"the ledger {shown(self.url)} cannot be used now: {said_of(error)}"
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
            raise unusable(self.url, error) from error

    def examine(self) -> None:
        """Do nothing: a server sees to its own files when it starts."""

    def make(self, connection: sa.Connection) -> None:
        """Make the tables of a new ledger, in the transaction that is open."""
        make(connection)

    def alone(self, connection: sa.Connection) -> str | None:
        """Keep other nodes from changing the schema until the transaction ends; return the revision that it is at."""
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key_of(UPKEEP))))
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()

    def close(self) -> None:
        """Close every connection, and give the node's lock back if it is ours."""
        self._watch.close()
        # No thread is waited for at the end: one in the midst of a transaction gives its connection back later.
        sa.event.listen(self.engine.pool, "checkin", _close)
        self.engine.dispose()
        self.lock.release()


def _close(connection: psycopg.Connection[Any] | None, _record: object) -> None:
    """Close a connection that comes back after all others were closed: nobody would any more."""
    if connection is not None:
        connection.close()


__all__ = [
    "Store",
    "alive",
    "append_only",
    "chain",
    "make",
    "number_on",
    "part",
    "patient",
    "reserved",
    "ring",
]
