"""What the ledger knows of a folder's tree: what a scan compares it with, directory by directory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from identifai_watch.core.model import Fingerprint
from identifai_watch.ledger import rows
from identifai_watch.ledger.schema import files, left

# Literals, so that SQLite can prove that the partial unique index serves the query.
AT_ITS_PLACE = sa.text("files.lies_at IS NULL AND files.state <> 'superseded'")
_NOT_GONE = sa.text("files.state <> 'gone'")

PAGE = 500
"""Names or directories in a page: each is a transaction of its own, for between two the scan waits for a disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What the ledger remembers of a path: what it looked like, and whether the last scan missed it."""

    fingerprint: Fingerprint
    missing: bool


def known(
    tx: sa.Connection, folder_id: int, parent: bytes, names: Sequence[bytes]
) -> dict[bytes, Remembered]:
    """Return what is remembered of ``names`` in the directory ``parent``."""
    found: dict[bytes, Remembered] = {}
    of_files = sa.select(
        files.c.name, files.c.size, files.c.mtime_ns, files.c.ctime_ns, files.c.inode, files.c.missing
    ).where(files.c.folder_id == folder_id, files.c.parent == parent, files.c.name.in_(names), AT_ITS_PLACE)
    of_left = sa.select(
        left.c.name,
        left.c.size,
        left.c.mtime_ns,
        left.c.ctime_ns,
        left.c.inode,
        sa.literal(0).label("missing"),
    ).where(left.c.folder_id == folder_id, left.c.parent == parent, left.c.name.in_(names))
    for query in (of_left, of_files):
        for row in tx.execute(query):
            found[row.name] = Remembered(fingerprint=rows.fingerprint(row._asdict()), missing=row.missing > 0)
    return found


def count(tx: sa.Connection, folder_id: int, parent: bytes) -> int:
    """Return how many names should be there in the directory ``parent``."""
    queries = (
        sa.select(sa.func.count()).where(
            files.c.folder_id == folder_id, files.c.parent == parent, AT_ITS_PLACE, _NOT_GONE
        ),
        sa.select(sa.func.count()).where(left.c.folder_id == folder_id, left.c.parent == parent),
    )
    return sum(tx.execute(query).scalar_one() for query in queries)


def names(
    tx: sa.Connection, folder_id: int, parent: bytes, *, after: bytes | None = None, limit: int = PAGE
) -> list[bytes]:
    """Return the first names that should be there in the directory ``parent``, in order, those past ``after``."""
    of_files = sa.select(files.c.name).where(
        files.c.folder_id == folder_id, files.c.parent == parent, AT_ITS_PLACE, _NOT_GONE
    )
    of_left = sa.select(left.c.name).where(left.c.folder_id == folder_id, left.c.parent == parent)
    return _page(tx, (of_files, files.c.name), (of_left, left.c.name), after=after, limit=limit)


def parents(
    tx: sa.Connection, folder_id: int, *, after: bytes | None = None, limit: int = PAGE
) -> list[bytes]:
    """Return the first directories in which something should be, in order, those past ``after``."""
    of_files = (
        sa.select(files.c.parent).where(files.c.folder_id == folder_id, AT_ITS_PLACE, _NOT_GONE).distinct()
    )
    of_left = sa.select(left.c.parent).where(left.c.folder_id == folder_id).distinct()
    return _page(tx, (of_files, files.c.parent), (of_left, left.c.parent), after=after, limit=limit)


def _page(
    tx: sa.Connection,
    *sources: tuple[sa.Select[Any], sa.Column[bytes]],
    after: bytes | None,
    limit: int,
) -> list[bytes]:
    """Return the first ``limit`` values past ``after`` of several queries, each by its column, without doubles."""
    found: set[bytes] = set()
    for query, column in sources:
        past = query if after is None else query.where(column > after)
        found.update(value for (value,) in tx.execute(past.order_by(column).limit(limit)))
    return sorted(found)[:limit]
