"""History: what happened, by whom, to what. No line is ever changed or deleted, and each is chained to the one before."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from identifai_watch.core import trail
from identifai_watch.core.model import File
from identifai_watch.core.trail import BEGINNING, Entry
from identifai_watch.ledger import dialects
from identifai_watch.ledger.schema import EPOCH, files, folders, history

PAGE = 5_000
"""Lines that one transaction reads: a long one would keep the write-ahead log from ending."""

FIRST = -(2**63)
"""Before every number that a line can have; ours begin with 1, a stranger's may not."""

Transact = Callable[[], AbstractContextManager[sa.Connection]]
"""Opens one short transaction."""

# Whoever tampers may write an instant that no calendar knows: it is read as the number that it is.
_COLUMNS = (
    *(column for column in history.c if column is not history.c.at),
    sa.type_coerce(history.c.at, sa.Integer).label("at"),
)

_APPEND = sa.insert(history)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line as it is kept, with the file that it is about, if it is about one; ``path`` is where it was noticed."""

    id: int
    entry: Entry
    digest: bytes
    folder: str | None
    parent: bytes | None
    name: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of the chain: the number of the last line, how many there are, and the last digest."""

    id: int
    lines: int
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """The first line whose digest does not follow from the line before it; ``at`` is None for no instant at all."""

    id: int
    at: datetime | None
    event: str


def append(tx: sa.Connection, entries: Sequence[Entry]) -> None:
    """Write lines, each chained to the one before; no other transaction writes any until this one ends."""
    if not entries:
        return
    before = dialects.chain(tx)
    values: list[dict[str, Any]] = []
    for entry in entries:
        before = trail.digest(BEGINNING if before is None else before, entry)
        values.append(
            {
                "at": entry.at,
                "who": entry.who,
                "event": entry.event,
                "file_id": entry.file_id,
                "analysis_id": entry.analysis_id,
                "detail": entry.detail,
                "digest": before,
            }
        )
    tx.execute(_APPEND, values)


def head(tx: sa.Connection, *, before: datetime | None = None) -> Head | None:
    """Return the end of the chain, as it is or as it was ``before`` an instant; None if there was no line."""
    query = sa.select(history.c.id, history.c.digest).order_by(history.c.id.desc()).limit(1)
    if before is not None:
        query = query.where(history.c.at < before)
    found = tx.execute(query).first()
    if found is None:
        return None
    # All of them, which SQLite knows without a look at each, but the few that are later.
    whole = sa.select(sa.func.count()).select_from(history)
    number = tx.execute(whole).scalar_one() - tx.execute(whole.where(history.c.id > found.id)).scalar_one()
    return Head(id=found.id, lines=number, digest=found.digest)


def walk(read: Transact) -> tuple[Head | None, Gap | None]:
    """Compute the whole chain anew, in many short transactions; return its end, and where it breaks first."""
    after, lines, before = FIRST, 0, BEGINNING
    gap: Gap | None = None
    while True:
        with read() as tx:
            query = sa.select(*_COLUMNS).where(history.c.id > after).order_by(history.c.id)
            page = tx.execute(query.limit(PAGE)).all()
        for row in page:
            at = _instant(row.at)
            if gap is None and (at is None or trail.digest(before, _entry(row, at)) != row.digest):
                gap = Gap(id=row.id, at=at, event=row.event)
            after, before = row.id, row.digest
        lines += len(page)
        if len(page) < PAGE:
            return (Head(id=after, lines=lines, digest=before) if lines else None), gap


def _instant(microseconds: int) -> datetime | None:
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def has(tx: sa.Connection, digest: bytes) -> bool:
    """Tell whether a line has this digest: a head that was written down elsewhere must be found in the chain."""
    query = sa.select(history.c.id).where(history.c.digest == digest).limit(1)
    return tx.execute(query).first() is not None


def start_of(tx: sa.Connection, *, since: datetime | None = None, last: int | None = None) -> int:
    """Return the number behind which the lines begin that were written ``since``, or the ``last`` so many of them."""
    query = sa.select(history.c.id)
    if since is not None:
        query = query.where(history.c.at >= since)
    if last is None:
        first = tx.execute(query.order_by(history.c.id).limit(1)).scalar()
    else:
        ended = query.order_by(history.c.id.desc()).limit(last).subquery()
        first = tx.execute(sa.select(sa.func.min(ended.c.id))).scalar()
    return FIRST if first is None else max(FIRST, first - 1)


def is_about(file: File) -> sa.ColumnElement[bool]:
    """Return the condition for the lines about a file, and about every analysis that it ever had.

    What happened to another file with the same content is that one's history.
    """
    had = sa.select(history.c.analysis_id).where(
        history.c.file_id == file.id, history.c.analysis_id.is_not(None)
    )
    now = sa.select(sa.literal(file.analysis_id or 0))
    # Not `file_id IS NULL`, which an index knows too: half of a long history is about no file.
    of_no_file = sa.func.coalesce(history.c.file_id, 0) == 0
    of_content = sa.select(history.c.id).where(history.c.analysis_id.in_(sa.union(had, now)), of_no_file)
    of_file = sa.select(history.c.id).where(history.c.file_id == file.id)
    return history.c.id.in_(sa.union(of_file, of_content))


def lines(
    tx: sa.Connection,
    *,
    after: int = FIRST,
    since: datetime | None = None,
    limit: int | None = None,
    about: File | None = None,
) -> Iterator[Line]:
    """Iterate over the lines behind the line ``after`` in the order in which they were written, or those ``about`` a file."""
    query = (
        sa.select(*_COLUMNS, folders.c.name.label("folder"), files.c.parent, files.c.name)
        .outerjoin(files, files.c.id == history.c.file_id)
        .outerjoin(folders, folders.c.id == files.c.folder_id)
        .where(history.c.id > after)
        .order_by(history.c.id)
        .limit(limit)
    )
    if since is not None:
        query = query.where(history.c.at >= since)
    if about is not None:
        query = query.where(is_about(about))
    for row in tx.execute(query, execution_options={"yield_per": 500}):
        yield Line(
            id=row.id,
            entry=_entry(row, _instant(row.at) or datetime.max.replace(tzinfo=UTC)),
            digest=row.digest,
            folder=row.folder,
            parent=row.parent,
            name=row.name,
        )


def _entry(row: Any, at: datetime) -> Entry:
    return Entry(
        at=at,
        who=row.who,
        event=row.event,
        file_id=row.file_id,
        analysis_id=row.analysis_id,
        detail=row.detail,
    )
