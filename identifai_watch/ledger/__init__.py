"""The ledger: what is known of every file and content, what was paid for, and what was asked of the API.

The only place that speaks SQL. ``Ledger`` opens it and hands out transactions; what is done inside one stands in
``claims`` (who works on what), ``queue`` (what waits for its upload, by host), ``dues`` (until when there is nothing to do), ``work`` (transitions, each a ``step``),
``editions`` (contents judged anew), ``reading`` (rows as values), ``history`` (what it is told), ``admission`` (whole
files), ``archive`` (what was there before), ``intake`` (what else the folders bring), ``moves``, ``whereabouts`` (which
file stands for a path), ``tree`` (what a scan compares with), ``budget`` (requests and the account), ``desk`` (what
operators ask for), ``views``, ``runs``, ``costs`` and ``quality`` (what people are shown). Each change is one
transaction. How a ledger is kept over the years stands in ``backup``, ``restore``, ``rebuild``, ``prune``, ``check``
and ``trail``.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa

from identifai_watch.errors import LedgerError, WatchError
from identifai_watch.ledger import closing, copying, dialects, sqlite
from identifai_watch.ledger.closing import part
from identifai_watch.ledger.dialects import is_file, shown
from identifai_watch.ledger.schema import Statement
from identifai_watch.ledger.standing import Standing, standing

LOOK_SECONDS = 2.0

REVISION = "0008"
"""The schema that this version speaks; a test holds it against the newest migration."""


Transaction = sa.Connection
"""An open transaction, for those who pass it on and speak no SQL."""


class Ledger:
    """One ledger, opened and brought to the schema of this version.

    Raises LedgerError if it was written by a newer version, lies on a network file system, is damaged, or another is
    being copied into it; it is not touched then. ``copied_to`` is where it lies as it was, if its schema was an older one.
    """

    def __init__(self, url: str, *, node: str) -> None:
        self.node = node
        self.copied_to: Path | None = None
        self._store = dialects.store(dialects.parsed(url), node)
        self.lock = self._store.lock
        try:
            if self._store.found != REVISION:
                self._migrate(self._store.found)
            self._store.check()
            with self._store.read() as tx:
                copying.refuse(tx)
        except BaseException:
            self.close()
            raise

    @property
    def member(self) -> str:
        """The name under which is kept what this host alone does: its node's; "" in a file, which one host has."""
        return "" if self._store.url.get_backend_name() == dialects.SQLITE else self.node

    @property
    def clock(self) -> Callable[[], datetime]:
        """What every node of this ledger takes the time from; may be asked in any thread."""
        return self._store.clock

    def look(self, tx: Transaction) -> None:
        """Look at the time that every node goes by, for ``clock`` to tell it from now on."""
        self._store.look(tx)

    @property
    def moment(self) -> str | None:
        """What a statement calls now, in microseconds and in the engine's words; None where it is told that as ``now``.

        By a server's clock, and later by as much as its answer is under way: what it says is not past when it is here.
        """
        return self._store.moment

    def brief(self, statements: Sequence[Statement], clock: Callable[[], datetime]) -> Sequence[Any]:
        """Carry out statements, whose values are literals, as one transaction; return the one row of the last.

        On a server they go there together: what they lock is held for no longer than they take there. Elsewhere the last
        is told what ``clock`` tells by then.
        """
        return self._store.brief(statements, clock)

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Open a transaction that may write: all of it is kept, or nothing."""
        # A daemon knows what it did itself; what a command of its own host did it has to be told.
        us = self.node if self.lock.is_mine else None
        with self._store.write() as connection, closing.gathered(connection, us):
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a short transaction that sees one state of the ledger."""
        with self._store.read() as connection:
            yield connection

    def alive(self, tx: Transaction, nodes: list[str]) -> set[str]:
        """Return those of ``nodes`` whose daemon is alive; in a file they are all called by the name of its one host."""
        return self._store.alive(tx, nodes)

    def version(self) -> int | None:
        """Return a number that changes when somebody else left something to do; None if that cannot be told now.

        For one thread alone; asking takes next to nothing.
        """
        return self._store.version()

    def news(self) -> int:
        """Return a number that changes when anybody may have written, for those who only look; for one thread alone.

        On a server that is every other second: who looks is told of nothing there.
        """
        version = self.version()
        return int(time.monotonic() / LOOK_SECONDS) if version is None else version

    def listen(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called, in another thread, when another host leaves something to do for this node."""
        self._store.listen(wake)

    @contextmanager
    def glances(self) -> Iterator[sa.Connection]:
        """Open a connection for many questions, each of which sees the ledger as it is then; between them nothing is open."""
        with self._store.single() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection, and give the daemon's lock back if it is ours."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def examine(self) -> None:
        """Have the engine look whether the ledger is whole; raise LedgerError if it is not."""
        self._store.examine()

    def _migrate(self, found: str | None) -> None:
        """Bring the schema from the revision ``found`` to REVISION; what there was before in a file stays beside it."""
        from identifai_watch.ledger import migrate  # noqa: PLC0415 - 0.2 s that a ledger of this version need not pay

        with self._store.write() as connection:
            found = self._store.alone(connection)  # another node may have been quicker
            if found == REVISION:
                return
            if found is not None and found in migrate.known() and connection.dialect.name == dialects.SQLITE:
                self._copy_before_leaving(found)
            with dialects.patient(connection):
                migrate.upgrade(connection, found)

    def _copy_before_leaving(self, revision: str) -> None:
        """Copy the ledger as it is before its schema changes; raise LedgerError if that cannot be done."""
        from identifai_watch.ledger import backup  # noqa: PLC0415 - likewise

        path = sqlite.path_of(self._store.url)
        try:
            made = backup.make_before_migration(
                path, path.with_name(f"{path.name}.before-{REVISION}"), revision
            )
        except WatchError as error:
            raise LedgerError(
                f"the ledger was not brought to this version, for no copy of it could be made before that: {error}"
            ) from error
        self.copied_to = None if made is None else made.path


__all__ = ["REVISION", "Ledger", "Standing", "Transaction", "is_file", "part", "shown", "standing"]
