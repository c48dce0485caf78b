"""What the ledger knows of a folder's tree: what a scan compares it with, directory by directory."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import sqlalchemy as sa

from identifai_watch.core.model import GONE, Remembered
from identifai_watch.ledger.schema import files, left

# Literals, so that SQLite can prove that the partial unique index serves the query.
AT_ITS_PLACE = sa.text("files.lies_at IS NULL AND files.state <> 'superseded'")
_NOT_GONE = sa.text("files.state <> 'gone'")

PAGE = 500
"""Names or directories in a page: each is a transaction of its own, for between two the scan waits for a disk."""

# A page's names are bound one by one, so that the statement is compiled once; a short page repeats its last.
_NAMES: list[sa.BindParameter[bytes]] = [sa.bindparam(f"name_{number}") for number in range(PAGE)]


def _remembered(
    table: sa.Table, mark: sa.ColumnElement[int], *, folder: sa.ColumnElement[int] | None = None
) -> sa.Select[Any]:
    """Select what is remembered in one directory, with nothing between the engine's values and the caller.

    ``folder`` stands for the column of that name.
    """
    of_folder = table.c.folder_id if folder is None else folder
    return sa.select(
        sa.type_coerce(table.c.name, sa.types.NullType()),
        table.c.size,
        table.c.mtime_ns,
        table.c.ctime_ns,
        table.c.inode,
        mark,
    ).where(of_folder == sa.bindparam("folder"), table.c.parent == sa.bindparam("above"))


_MARK = sa.case((_NOT_GONE, files.c.missing), else_=GONE)
_OF_FILES = _remembered(files, _MARK).where(AT_ITS_PLACE)
_OF_LEFT = _remembered(left, sa.literal_column("0", sa.Integer))
# What was left alone first: a file that stands for the same name, as none should, has the last word.
_ALL = sa.union_all(_OF_LEFT, _OF_FILES).limit(sa.bindparam("most"))
_NAMED = sa.union_all(_OF_LEFT.where(left.c.name.in_(_NAMES)), _OF_FILES.where(files.c.name.in_(_NAMES)))


LONG_PAGE = 5_000
_MOST_OF_IT = 0.25
_AFTER: sa.BindParameter[Any] = sa.bindparam("after")
_SHARE = sa.select(
    sa.select(sa.func.count())
    .where(files.c.folder_id == sa.bindparam("folder"), files.c.parent == sa.bindparam("above"), AT_ITS_PLACE)
    .scalar_subquery()
    .label("of_it"),
    sa.func.coalesce(sa.select(sa.func.max(files.c.id)).scalar_subquery(), 0).label("total"),
)
_LEFT_PAGE = _OF_LEFT.where(left.c.name > _AFTER).order_by(left.c.name).limit(sa.bindparam("most"))
_NAMED_PAGE = _OF_FILES.where(files.c.name > _AFTER).order_by(files.c.name).limit(sa.bindparam("most"))
# With its sign the folder's number is no column of an index: the rows are read in the order of their numbers.
_NUMBERED_PAGE = _remembered(files, _MARK, folder=sa.literal_column("+files.folder_id", sa.Integer)).where(
    AT_ITS_PLACE, files.c.id > _AFTER, files.c.id <= sa.bindparam("last")
)


def _parents(
    table: sa.Table, *there: sa.ColumnElement[bool] | sa.TextClause, is_first: bool
) -> sa.Select[Any]:
    """Select the directories of a table, in order, by a seek for each: a directory may have a million rows."""

    def seek(*past: sa.ColumnElement[bool]) -> sa.Select[Any]:
        in_folder = table.c.folder_id == sa.bindparam("folder")
        return sa.select(table.c.parent).where(in_folder, *there, *past).order_by(table.c.parent).limit(1)

    steps = sa.select(
        seek(*() if is_first else (table.c.parent > _AFTER,)).scalar_subquery().label("parent")
    ).cte("steps", recursive=True)
    following = seek(table.c.parent > steps.c.parent).correlate(steps).scalar_subquery()
    steps = steps.union_all(sa.select(following).where(steps.c.parent.is_not(None)))
    return sa.select(steps.c.parent).where(steps.c.parent.is_not(None)).limit(sa.bindparam("most"))


_PARENTS = {
    is_first: (_parents(files, AT_ITS_PLACE, _NOT_GONE, is_first=is_first), _parents(left, is_first=is_first))
    for is_first in (False, True)
}


def directory(
    tx: sa.Connection, folder_id: int, parent: bytes, *, most: int
) -> dict[bytes, Remembered] | None:
    """Return all that is remembered in the directory ``parent`` by name; None if that is more than ``most``."""
    listed = _listed(tx, _ALL, folder=folder_id, above=parent, most=most + 1)
    return None if len(listed) > most else {row[0]: row for row in listed}


def known(
    tx: sa.Connection, folder_id: int, parent: bytes, names: Sequence[bytes]
) -> dict[bytes, Remembered]:
    """Return what is remembered of ``names``, at most a page of them and one at least, in the directory ``parent``."""
    padded = [*names, *([names[-1]] * (PAGE - len(names)))]
    values = {f"name_{number}": name for number, name in enumerate(padded)}
    return {row[0]: row for row in _listed(tx, _NAMED, folder=folder_id, above=parent, **values)}


def pages(tx: sa.Connection, folder_id: int, parent: bytes) -> Iterator[Sequence[Remembered]]:
    """Yield all that is remembered in the directory ``parent``, in pages.

    Where most of the ledger is this one directory its rows are read as they lie, else by the index of the names.
    """
    yield from _by_name(tx, _LEFT_PAGE, folder_id, parent)
    share = tx.execute(_SHARE, {"folder": folder_id, "above": parent}).one()
    if share.total > 0 and share.of_it / share.total > _MOST_OF_IT:
        for after in range(0, share.total, LONG_PAGE):
            yield _listed(
                tx, _NUMBERED_PAGE, folder=folder_id, above=parent, after=after, last=after + LONG_PAGE
            )
    else:
        yield from _by_name(tx, _NAMED_PAGE, folder_id, parent)


def _by_name(
    tx: sa.Connection, query: sa.Select[Any], folder_id: int, parent: bytes
) -> Iterator[list[Remembered]]:
    after = b""
    while page := _listed(tx, query, folder=folder_id, above=parent, after=after, most=LONG_PAGE):
        yield page
        after = page[-1][0]


def _listed(
    tx: sa.Connection, query: sa.Select[Any] | sa.CompoundSelect[Any], **values: object
) -> list[Remembered]:
    """Return the rows as the engine's driver gives them: to be wrapped would cost a scan as much again."""
    found = tx.execute(query, values)
    return cast("list[Remembered]", found.cursor.fetchall())


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
    found: set[bytes] = set()
    for query in _PARENTS[after is None]:
        found.update(tx.execute(query, {"folder": folder_id, "after": after, "most": limit}).scalars())
    return sorted(found)[:limit]


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
