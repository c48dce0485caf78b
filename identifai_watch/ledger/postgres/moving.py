"""A ledger that is copied: nobody else uses it meanwhile, and what comes after is numbered behind it."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from identifai_watch.errors import LaterError
from identifai_watch.ledger.postgres.connecting import engine, patient, prepare, shown
from identifai_watch.ledger.postgres.nodes import DAEMONS, RETAKE_SECONDS, alive, key_of


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
            with patient(connection):
                _have_alone(connection)
                yield connection, found
    finally:
        made.dispose()


def _have_alone(connection: sa.Connection) -> None:
    """Take the lock that daemons share; one whose session has just ended is waited for."""
    deadline = time.monotonic() + RETAKE_SECONDS
    while True:
        with connection.begin():
            if connection.execute(sa.select(sa.func.pg_try_advisory_lock(key_of(DAEMONS)))).scalar_one():
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
