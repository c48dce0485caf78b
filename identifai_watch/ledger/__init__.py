"""The ledger: what is known of every file and content, what was paid for, and what was asked of the API.

The only place that speaks SQL. ``Ledger`` opens it and hands out transactions; what is done inside one stands in
``claims`` (who works on what), ``dues`` (until when there is nothing to do), ``work`` (transitions, each a ``step``),
``editions`` (contents judged anew), ``reading`` (rows as values), ``history`` (what it is told), ``admission`` (whole
files), ``archive`` (what was there before), ``intake`` (what else the folders bring), ``moves``, ``whereabouts`` (which
file stands for a path), ``tree`` (what a scan compares with), ``budget`` (requests and the account), ``desk`` (what
operators ask for), ``views``, ``runs``, ``costs`` and ``quality`` (what people are shown). Each change is one
transaction. How a ledger is kept over the years stands in ``backup``, ``restore``, ``rebuild``, ``prune``, ``check``
and ``trail``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Self

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from identifai_watch.errors import LedgerError, WatchError
from identifai_watch.ledger import sqlite
from identifai_watch.ledger.sqlite import part
from identifai_watch.ledger.standing import Standing, standing

REVISION = "0006"
"""The schema that this version speaks; a test holds it against the newest migration."""


Transaction = sa.Connection
"""An open transaction, for those who pass it on and speak no SQL."""


class Ledger:
    """One ledger, opened and brought to the schema of this version.

    Raises LedgerError if it was written by a newer version, lies on a network file system or is damaged; it is
    not touched then. ``copied_to`` is where it lies as it was, if its schema was an older one.
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
        self.copied_to: Path | None = None
        self.lock = sqlite.NodeLock(parsed)
        self._writing = RLock()
        self._watch = sqlite.Watch(parsed)
        found = sqlite.prepare(parsed)
        self._engine = sqlite.engine(parsed)
        self._writer = self._engine.execution_options(write=True)
        self._single = self._engine.execution_options(single=True)
        try:
            if found != REVISION:
                self._migrate(found)
            sqlite.check(self._engine)
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

    def version(self) -> int | None:
        """Return a number that changes with each transaction that changes anything, whoever makes it.

        None if that cannot be told now. For one thread alone; asking takes a thousandth of what an empty transaction does.
        """
        return self._watch.version()

    @contextmanager
    def glances(self) -> Iterator[sa.Connection]:
        """Open a connection for many questions, each of which sees the ledger as it is then; between them nothing is open."""
        with self._single.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection, and give the daemon's lock back if it is ours."""
        self._watch.close()
        self._engine.dispose()
        self.lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def examine(self) -> None:
        """Have SQLite look whether the file is whole; raise LedgerError if it is not."""
        sqlite.examine(sqlite.path_of(self._engine.url))

    def _migrate(self, found: str | None) -> None:
        """Bring the schema from the revision ``found`` to REVISION; what was there before stays beside it."""
        from identifai_watch.ledger import migrate  # noqa: PLC0415 - 0.2 s that a ledger of this version need not pay

        with self._writing:
            if found is not None and found in migrate.known():
                self._copy_before_leaving(found)
            migrate.upgrade(self._engine, found)

    def _copy_before_leaving(self, revision: str) -> None:
        """Copy the ledger as it is before its schema changes; raise LedgerError if that cannot be done."""
        from identifai_watch.ledger import backup  # noqa: PLC0415 - likewise

        path = sqlite.path_of(self._engine.url)
        try:
            made = backup.make_before_migration(
                path, path.with_name(f"{path.name}.before-{REVISION}"), revision
            )
        except WatchError as error:
            raise LedgerError(
                f"the ledger was not brought to this version, for no copy of it could be made before that: {error}"
            ) from error
        self.copied_to = None if made is None else made.path


__all__ = ["REVISION", "Ledger", "Standing", "Transaction", "part", "standing"]
