"""Take a ledger from one place to another, whichever engine each lies on, with all of its numbers; and compare two.

What is copied is only read. The other ledger must hold nothing, or be an unfinished copy of the same one: each batch of
rows is a transaction and they are written in the order of their keys, so what is there says where to go on. Its mark
(``copying``) goes with the last transaction, when all rows of both were read again and are the same.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from identifai_watch.errors import LedgerAwayError, LedgerError, RefusedError
from identifai_watch.ledger import REVISION, copying, dialects, migrate, plain, schema, sqlite, trail
from identifai_watch.ledger.copying import Mark
from identifai_watch.ledger.plain import TABLES, Difference, Plain, Renaming, Row, Sum

BATCH = 2_000
"""Rows that are written in one transaction."""

BATCH_BYTES = 8_000_000
"""Bytes of text and blobs after which a transaction is full."""

GOES_ON = "what is copied so far stays: run the same once more, and it goes on from there"

Tell = Callable[[str, int, int], None]
"""Told what is done, to how many rows so far, and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two ledgers: the sums of each table, on both sides, and the first row of each that differs.

    ``head`` is the end of the second's history, ``gap`` where its chain breaks first. ``found`` rows were there from an
    earlier run, ``written`` ones came in this one; ``others`` are the nodes whose own rows keep their names in a file.
    """

    sums: dict[str, tuple[Sum, Sum]]
    differences: list[Difference]
    head: trail.Head | None
    gap: trail.Gap | None
    found: int = 0
    written: int = 0
    others: Sequence[str] = ()


@dataclass(slots=True)
class _Ends:
    """Both ledgers, with daemons kept from them: connections, addresses for people, and what the node is called in each.

    ``tables`` are as they are read from the one and written into the other.
    """

    origin: sa.Connection
    target: sa.Connection
    tables: list[tuple[Plain, Plain]]
    names: tuple[str, str]
    renaming: Renaming | None
    revision: str | None
    others: list[str]


def copy(source: str, target: str, *, node: str, now: datetime, tell: Tell) -> Compared:
    """Copy the ledger ``source`` into ``target``, or go on with that; ``node`` is whose the rows of a file are on a server.

    Raises:
        LaterError: A daemon runs on one of them, or it is being copied already.
        LedgerAwayError: One of them cannot be reached any more; run again, it goes on.
        LedgerError: One of them cannot be used as it is, or cannot hold a row of the other.
        RefusedError: ``target`` holds something else, or ``source`` changed since the copy was begun.
    """
    with _both(source, target, node) as ends:
        digest = _state(ends)
        _mark(ends, Mark(origin=ends.names[0], since=now, digest=digest))
        found, written = _fill(ends, tell)
        _refer(ends)
        compared = _compared(ends, tell)
        if _state(ends) != digest:
            raise RefusedError(_changed(ends))
        if compared.differences:
            said = "; ".join(map(str, compared.differences))
            raise RefusedError(f"{ends.names[1]} is not what {ends.names[0]} is ({said}); {_anew(ends)}")
        with ends.target.begin():
            dialects.number_on(ends.target, TABLES)
            copying.end(ends.target)
    return Compared(
        sums=compared.sums,
        differences=[],
        head=compared.head,
        gap=compared.gap,
        found=found,
        written=written,
        others=ends.others,
    )


def compare(source: str, target: str, *, node: str, tell: Tell) -> Compared:
    """Compare all rows of two ledgers, of which neither is written; else as ``copy``."""
    with _both(source, target, node, is_written=False) as ends:
        if ends.revision != REVISION:
            raise LedgerError(_of_another_version(ends.names[1], ends.revision))
        return _compared(ends, tell)


# Both ends.


@contextmanager
def _both(source: str, target: str, node: str, *, is_written: bool = True) -> Iterator[_Ends]:
    """Keep daemons from both ledgers, and look whether they can be what is asked for; the second is opened last."""
    urls = _address(source), _address(target)
    names = dialects.shown(str(urls[0])), dialects.shown(str(urls[1]))
    if _is_same(*urls):
        raise RefusedError(f"{names[0]} is the ledger itself; name another place")
    renaming = _renaming(*urls, node)
    with _said(), dialects.reserved(urls[0], is_read=True) as (origin, revision):
        if revision != REVISION:
            raise LedgerError(_of_another_version(names[0], revision))
        with origin.begin():
            copying.refuse(origin)
            others = _others(origin, names[0], node, renaming)
        with dialects.reserved(urls[1], is_read=not is_written) as (other, found):
            kinds = origin.dialect.name, other.dialect.name
            tables = [(Plain(table, kinds[0], renaming), Plain(table, kinds[1])) for table in TABLES]
            yield _Ends(origin, other, tables, names, renaming, found, others)


@contextmanager
def _said() -> Iterator[None]:
    """Say in words what an engine says, and of what may pass that the copy goes on when it is run again."""
    try:
        yield
    except LedgerAwayError as error:
        raise LedgerAwayError(f"{error}; {GOES_ON}") from error
    except DBAPIError as error:
        raise LedgerError(f"the ledger cannot be copied: {error.orig}") from error


def _address(text: str) -> sa.URL:
    """Return the address of a ledger, of a file with its whole path; raise as ``dialects.parsed`` does, or RefusedError."""
    url = dialects.parsed(text)
    if url.get_backend_name() == dialects.SQLITE:
        return url.set(database=str(sqlite.path_of(url).absolute()))
    if url.password is not None or "password" in url.query:
        raise RefusedError(
            "the server's address holds a password, which everybody on this host can read while the command runs; put it "
            "into ~/.pgpass, or name its file at the end of the address: ?passfile=/path"
        )
    return url


def _is_same(one: sa.URL, other: sa.URL) -> bool:
    if one.get_backend_name() != dialects.SQLITE or other.get_backend_name() != dialects.SQLITE:
        return one == other
    first, second = Path(one.database or ""), Path(other.database or "")
    return first == second or (first.exists() and second.exists() and first.samefile(second))


def _of_another_version(name: str, revision: str | None) -> str:
    if revision is None:
        return f"{name} is no ledger"
    if revision in migrate.known():
        return (
            f"{name} is of an older version (revision {revision}): identifai-watch status, or a start of the daemon, brings "
            "it to this one, with a copy of it beside it; then it can be copied"
        )
    return f"{name} was written by a newer version (revision {revision}); install that version to copy it"


def _renaming(source: sa.URL, target: sa.URL, node: str) -> Renaming | None:
    """Return what becomes of the name of the node that the rows are of, where that is another in a file."""
    is_from_file, is_to_file = (one.get_backend_name() == dialects.SQLITE for one in (source, target))
    if is_from_file == is_to_file:
        return None
    return Renaming("", node) if is_from_file else Renaming(node, "")


def _others(tx: sa.Connection, name: str, node: str, renaming: Renaming | None) -> list[str]:
    """Return the nodes whose own rows there are besides those of ``node``; raise RefusedError if it is none of them."""
    if renaming is None:
        return []
    folders = set(tx.execute(sa.select(schema.folders.c.node).distinct()).scalars()) - {schema.SHARED}
    if folders and node not in folders:
        known = ", ".join(sorted(folders))
        raise RefusedError(
            f"no folder of {name} is of the node {node}; they are of {known}: name it with --node"
        )
    own: set[str] = set()
    for table in (one for one in TABLES if one.name in plain.BY_NODE):
        own |= set(tx.execute(sa.select(table.c.node).distinct()).scalars())
    if {renaming.before, renaming.after} <= own:
        raise RefusedError(
            f"{name} keeps orders and notices under {node} and under no name too: name the node whose they are "
            "with --node"
        )
    return sorted(own - {renaming.before})


def _state(ends: _Ends) -> bytes:
    """Return a digest of what is to be copied, another if anybody wrote since: a daemon, or a command that was carried out.

    In it are how many rows each table has, the end of the history, and when daemons last wrote that they run.
    """
    with ends.origin.begin():
        rows = tuple(one.count(ends.origin) for one, _ in ends.tables)
        seen = sa.select(schema.nodes.c.node, schema.nodes.c.seen_at, schema.nodes.c.ended_at)
        ran = [tuple(map(str, row)) for row in ends.origin.execute(seen.order_by(schema.nodes.c.seen_at))]
        head = trail.head(ends.origin)
    renamed = None if ends.renaming is None else (ends.renaming.before, ends.renaming.after)
    return copying.digest_of((rows, sorted(ran), None if head is None else (head.id, head.digest), renamed))


# The copy.


def _mark(ends: _Ends, mark: Mark) -> None:
    """Make the target where there is none, and mark it; or look whether it is an unfinished copy of just this ledger."""
    target, name = ends.target, ends.names[1]
    with target.begin():
        if ends.revision is None:
            migrate.upgrade(target, None)
        elif ends.revision != REVISION:
            raise RefusedError(f"{name} holds a ledger already, and was not touched; name an empty place")
        there = copying.mark(target)
        if there is None:
            full = next((one for one, _ in ends.tables if one.count(target)), None)
            if full is not None:
                raise RefusedError(
                    f"{name} holds a ledger already ({full.name}), and was not touched; name an empty place. "
                    "identifai-watch ledger copy --check compares two ledgers"
                )
            copying.begin(target, mark)
        elif there.origin != mark.origin:
            raise RefusedError(
                f"{name} is an unfinished copy of {there.origin}, and was not touched; go on with that one, or name "
                "an empty place"
            )
        elif there.digest != mark.digest:
            raise RefusedError(_changed(ends))


def _changed(ends: _Ends) -> str:
    return (
        f"{ends.names[0]} is not what it was when the copy was begun: a daemon or a command wrote to it, or --node was "
        f"another; {_anew(ends)}"
    )


def _anew(ends: _Ends) -> str:
    empty = "remove that file" if ends.target.dialect.name == dialects.SQLITE else "dropdb and createdb it"
    return f"{ends.names[1]} is of no use: {empty}, and copy anew, while nothing runs on either"


def _fill(ends: _Ends, tell: Tell) -> tuple[int, int]:
    """Write what is not there yet; return how many rows were there, and how many were written."""
    with ends.origin.begin():
        whole = sum(one.count(ends.origin) for one, _ in ends.tables)
    with ends.target.begin():
        found = done = sum(other.count(ends.target) for _, other in ends.tables)
    tell("copying", done, whole)
    for one, other in ends.tables:
        for batch in _batches(one.rows(ends.origin, other.last(ends.target))):
            _write(ends, other, batch)
            done += len(batch)
            tell("copying", done, whole)
    return found, done - found


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Cut rows into what one transaction takes."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row if isinstance(value, (bytes, str)))
        if len(batch) == BATCH or size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _write(ends: _Ends, table: Plain, batch: Sequence[Row]) -> None:
    """Write rows in one transaction; raise LedgerError naming the first that the other ledger cannot hold."""
    held = [_without_forward(table, row) for row in batch]
    try:
        with ends.target.begin():
            table.insert(ends.target, held)
    except (DBAPIError, UnicodeError) as error:
        row, why = _guilty(ends.target, table, held) or (batch[0], error)
        said = why.orig if isinstance(why, DBAPIError) else why
        raise LedgerError(
            f"{table.name}: {ends.names[1]} cannot hold the row {table.shown(row)}: {' '.join(str(said).split())}"
        ) from error


def _guilty(target: sa.Connection, table: Plain, batch: Sequence[Row]) -> tuple[Row, Exception] | None:
    """Find the row of a batch that cannot be written; nothing is kept of this."""
    with target.begin() as attempt:
        for row in batch:
            try:
                table.insert(target, [row])
            except (DBAPIError, UnicodeError) as error:
                attempt.rollback()
                return row, error
        attempt.rollback()
    return None


# A row may refer to a later one of its own table: that is written when all of them are there.


def _refer(ends: _Ends) -> None:
    files = schema.files.c
    forward = sa.select(files.id, files.supersedes).where(files.supersedes > files.id)
    with ends.origin.begin():
        found = ends.origin.execute(forward).all()
    with ends.target.begin():
        for row in found:
            ends.target.execute(
                sa.update(schema.files).where(files.id == row.id).values(supersedes=row.supersedes)
            )


def _without_forward(table: Plain, row: Row) -> Row:
    if table.name != schema.files.name:
        return row
    number, at = row[table.columns.index("id")], table.columns.index("supersedes")
    return row if row[at] is None or row[at] <= number else (*row[:at], None, *row[at + 1 :])


# Is it the same?


def _compared(ends: _Ends, tell: Tell) -> Compared:
    """Read both ledgers once more and compare them row by row."""
    with ends.origin.begin():
        whole = sum(one.count(ends.origin) for one, _ in ends.tables)
    done = 0
    sums: dict[str, tuple[Sum, Sum]] = {}
    differences: list[Difference] = []
    for one, other in ends.tables:
        rows = _told(one.rows(ends.origin), done, whole, tell)
        *both, difference = plain.differing(one, rows, other.rows(ends.target))
        sums[one.name] = both[0], both[1]
        differences += [] if difference is None else [difference]
        done += both[0].rows
    head, gap = trail.walk(lambda: _transaction(ends.target))
    return Compared(sums=sums, differences=differences, head=head, gap=gap)


def _told(rows: Iterable[Row], done: int, whole: int, tell: Tell) -> Iterator[Row]:
    for number, row in enumerate(rows):
        if number % plain.PAGE == 0:
            tell("comparing", done + number, whole)
        yield row


@contextmanager
def _transaction(connection: sa.Connection) -> Iterator[sa.Connection]:
    with connection.begin():
        yield connection
