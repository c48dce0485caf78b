"""The ledger: what is known of every file and content, what was paid for, and what was asked of the API.

The only place that speaks SQL. ``Ledger`` opens it and hands out transactions; what is done inside one stands in
``work`` (claims and transitions), ``intake`` (what the folders bring), ``budget`` (requests and the account),
``desk`` (what operators ask for) and ``views`` (what people are shown). Each change is one transaction.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Self

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from identifai_watch.errors import LedgerError
from identifai_watch.ledger import sqlite

REVISION = "0001"
"""The schema that this version speaks; a test holds it against the newest migration."""


Transaction = sa.Connection
"""An open transaction, for those who pass it on and speak no SQL."""


class Ledger:
    """One ledger, opened and brought to the schema of this version.

    Raises LedgerError if it was written by a newer version, lies on a network file system or is damaged; it is
    not touched then.
    """

    def __init__(self, url: str, *, node: str) -> None:
        try:
            parsed = sa.make_url(url)
        except ArgumentError as error:
            raise LedgerError(
                f"ledger.url: {url!r} is no database URL; write sqlite:////path/to/ledger.db"
            ) from error
        if parsed.get_backend_name() != "sqlite":
            raise LedgerError(
                f"ledger.url: {parsed.get_backend_name()} is not supported; write sqlite:////path/to/ledger.db"
            )
        self.node = node
        self.lock = sqlite.NodeLock(parsed)
        self._writing = RLock()
        self._engine = sqlite.engine(parsed)
        self._writer = self._engine.execution_options(write=True)
        try:
            sqlite.check(self._engine)
            self._migrate()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Open a transaction that may write: all of it is kept, or nothing."""
        with self._writing, self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a short transaction that sees one state of the ledger; a long one would keep the WAL from ending."""
        with self._engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection, and give the daemon's lock back if it is ours."""
        self._engine.dispose()
        self.lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _migrate(self) -> None:
        """Bring the schema to REVISION; Alembic is imported only when there is something to do."""
        with self._engine.connect() as connection:
            found = _revision(connection)
        if found == REVISION:
            return
        from identifai_watch.ledger import migrate  # noqa: PLC0415 - 0.2 s that a ledger of this version need not pay

        with self._writing:
            migrate.upgrade(self._engine, found)


def _revision(connection: sa.Connection) -> str | None:
    """Return the revision that the ledger is at, None for a fresh one."""
    if not sa.inspect(connection).has_table("alembic_version"):
        if sa.inspect(connection).get_table_names():
            raise LedgerError(f"ledger.url: {connection.engine.url.database} is another program's database")
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


__all__ = ["REVISION", "Ledger", "Transaction"]
