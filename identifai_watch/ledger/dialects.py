"""Which engine a ledger lies on, and what each does in its own way: the one place that asks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, Protocol, cast

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from identifai_watch.errors import LedgerError
from identifai_watch.ledger import sqlite
from identifai_watch.ledger.schema import Statement, history

SQLITE, POSTGRES = "sqlite", "postgresql"

_LAST_DIGEST = sa.select(history.c.digest).order_by(history.c.id.desc()).limit(1)
KNOWN = "write sqlite:////path/to/ledger.db, or postgresql+psycopg://user@host/database"


class Lock(Protocol):
    """Says that a node's daemon is alive."""

    def take(self) -> bool:
        """Take the lock for as long as this process lives; return False if another daemon has it."""

    @property
    def is_mine(self) -> bool:
        """Whether this thread took the lock."""

    def is_taken(self) -> bool:
        """Tell whether a daemon, of this process or of another, holds the lock."""

    def release(self) -> None:
        """Give the lock back."""


class Store(Protocol):
    """One ledger on its engine; ``found`` is the revision of its schema when it was opened, None where there was none."""

    url: sa.URL
    engine: sa.Engine
    found: str | None

    @property
    def lock(self) -> Lock:
        """The lock of this node's daemon."""

    @property
    def clock(self) -> Callable[[], datetime]:
        """What all nodes take the time from."""

    @property
    def moment(self) -> str | None:
        """What a statement calls now, in microseconds and in the engine's words; None where it has to be told."""

    def brief(self, statements: Sequence[Statement], clock: Callable[[], datetime]) -> Sequence[Any]:
        """Carry out statements as one transaction, as short as can be; return the one row of the last."""

    def look(self, tx: sa.Connection) -> None:
        """Look at the time that every node goes by."""

    def write(self) -> AbstractContextManager[sa.Connection]:
        """Open a transaction that may write."""

    def read(self) -> AbstractContextManager[sa.Connection]:
        """Open a transaction that sees one state of the ledger."""

    def single(self) -> AbstractContextManager[sa.Connection]:
        """Open a connection on which each statement is one by itself."""

    def alive(self, tx: sa.Connection, nodes: list[str]) -> set[str]:
        """Return those of ``nodes`` whose daemon is alive."""

    def version(self) -> int | None:
        """Return a number that changes when somebody else left something to do; None if that cannot be told now."""

    def listen(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called, in another thread, when somebody on another host leaves something to do."""

    def check(self) -> None:
        """Raise LedgerError if the ledger cannot be used, LedgerAwayError if that may pass."""

    def examine(self) -> None:
        """Have the engine look whether the ledger is whole; raise LedgerError if it is not."""

    def alone(self, connection: sa.Connection) -> str | None:
        """Keep others from changing the schema until the transaction ends; return the revision that it is at."""

    def close(self) -> None:
        """Close every connection, and give the lock back if it is ours."""


def parsed(url: str) -> sa.URL:
    """Return the parts of an address; raise LedgerError where it names no ledger that is known."""
    try:
        found = sa.make_url(url)
    except ArgumentError as error:
        raise LedgerError(f"ledger.url: it is no database URL; {KNOWN}") from error
    if found.get_backend_name() not in {SQLITE, POSTGRES}:
        raise LedgerError(f"ledger.url: {found.get_backend_name()} is not supported; {KNOWN}")
    return found


def is_file(url: str) -> bool:
    """Tell whether a ledger is a file of this host."""
    return url.startswith(f"{SQLITE}:")


def store(url: sa.URL, node: str) -> Store:
    """Open the ledger at ``url`` for a node.

    Raises:
        LedgerError: It cannot be used as it is, or what PostgreSQL needs is not installed.
    """
    if url.get_backend_name() == SQLITE:
        return sqlite.Store(url, node)
    with _extra():
        from identifai_watch.ledger import postgres  # noqa: PLC0415 - its driver is an extra, and takes its time
    return postgres.Store(url, node)


@contextmanager
def reserved(url: sa.URL, *, is_read: bool) -> Iterator[tuple[sa.Connection, str | None]]:
    """Keep daemons from a ledger, and give a connection to it that only reads, or also writes, with its revision.

    The connection begins each transaction by itself. A ledger that is written need not be there yet; one that is read is
    left as it is.

    Raises:
        LaterError: A daemon runs on it, or it is being copied already.
        LedgerError: It cannot be used as it is, or what PostgreSQL needs is not installed.
    """
    if url.get_backend_name() == SQLITE:
        with sqlite.reserved(url, is_read=is_read) as found:
            yield found
        return
    with _extra():
        from identifai_watch.ledger import postgres  # noqa: PLC0415 - as above
    with postgres.reserved(url, is_read=is_read) as found:
        yield found


@contextmanager
def _extra() -> Iterator[None]:
    """Say what to install where a library is missing."""
    try:
        yield
    except ImportError as error:
        raise LedgerError(
            "ledger.url: PostgreSQL needs the extra: pip install 'identifai-watch[postgres]'"
        ) from error


def look(url: sa.URL, node: str) -> tuple[str | None, bool]:
    """Return the revision of the ledger at ``url``, None if there is none yet, and whether the node's daemon runs.

    Raises LedgerError as ``store`` does; nothing is made.
    """
    if url.get_backend_name() == SQLITE:
        return sqlite.prepare(url), sqlite.NodeLock(url).is_taken()
    opened = store(url, node)
    try:
        return opened.found, opened.lock.is_taken()
    finally:
        opened.close()


def shown(url: str) -> str:
    """Return an address as people may see it: without its password."""
    return url if is_file(url) else sa.make_url(url).render_as_string(hide_password=True)


@contextmanager
def part(tx: sa.Connection) -> Iterator[None]:
    """Do a part of a transaction: what it wrote is taken back if it raises, and the rest stands.

    A LedgerError is no part's matter: it ends the transaction.
    """
    if tx.dialect.name == SQLITE:
        with sqlite.part(tx):
            yield
        return
    from identifai_watch.ledger import postgres  # noqa: PLC0415 - as above

    with postgres.part(tx):
        yield


def chain(tx: sa.Connection) -> bytes | None:
    """Let this transaction alone write history until it ends, and return the digest of the last line; None if there is none."""
    if tx.dialect.name == SQLITE:  # where one writes at a time
        return cast("bytes | None", tx.execute(_LAST_DIGEST).scalar())
    from identifai_watch.ledger import postgres  # noqa: PLC0415 - as above

    return postgres.chain(tx)


@contextmanager
def patient(tx: sa.Connection) -> Iterator[None]:
    """Let a statement of this transaction take as long as a new schema of a large ledger wants."""
    if tx.dialect.name == SQLITE:  # which sets no limit
        yield
        return
    from identifai_watch.ledger import postgres  # noqa: PLC0415 - as above

    with postgres.patient(tx):
        yield


def ring(tx: sa.Connection, nodes: set[str]) -> None:
    """Tell other nodes, once this transaction is committed, that there is something for them to do."""
    if tx.dialect.name != SQLITE:  # where there is no other
        from identifai_watch.ledger import postgres  # noqa: PLC0415 - as above

        postgres.ring(tx, nodes)


def alive(tx: sa.Connection, nodes: list[str]) -> set[str]:
    """Return those of other ``nodes`` whose daemon runs: none in a file, where the one that asks is the only one."""
    if tx.dialect.name == SQLITE:
        return set()
    from identifai_watch.ledger import postgres  # noqa: PLC0415 - as above

    return postgres.alive(tx, nodes)


def make(connection: sa.Connection) -> None:
    """Make the tables of a new ledger in the transaction that is open."""
    from identifai_watch.ledger import postgres  # noqa: PLC0415 - as above

    postgres.make(connection)


def number_on(tx: sa.Connection, tables: Iterable[sa.Table]) -> None:
    """Have new rows numbered behind those that were written with numbers of their own, as SQLite does by itself."""
    if tx.dialect.name != SQLITE:
        from identifai_watch.ledger import postgres  # noqa: PLC0415 - as above

        postgres.number_on(tx, tables)


def bytewise(of: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[Any]:
    """Have a text sorted and compared byte by byte, as SQLite does by itself."""
    is_text = isinstance(of.type, sa.Text)
    return sa.collate(of, "C") if is_text and dialect != SQLITE else of
