"""What was there before the daemon: held until it is released, or judged after what is news."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from identifai_watch.core.model import File
from identifai_watch.ledger import history, queue, rows, schema, whereabouts
from identifai_watch.ledger.schema import EPOCH, analyses, files, folders
from identifai_watch.ledger.step import Step
from identifai_watch.ledger.whereabouts import Arrival

# Literals, so that SQLite can prove that a partial index serves the query.
_TO_ADMIT = sa.text(
    "files.state = 'waiting' AND files.held = 0 AND files.analysis_id IS NULL AND files.refusal IS NULL"
)
_HELD = sa.text("files.held = 1")


def archived(tx: sa.Connection, folder_id: int, now: datetime, hold_above: int, *, is_whole: bool) -> int:
    """End a intake.folder's first full scan; an archive of at most ``hold_above`` files is judged all the same.

    While the scan was not of the whole tree the archive is not known yet. Returns how many files stay held.
    """
    if is_whole:
        tx.execute(sa.update(folders).where(folders.c.id == folder_id).values(archived_at=now))
    held = tx.execute(
        sa.select(sa.func.count()).select_from(files).where(files.c.folder_id == folder_id, _HELD)
    ).scalar_one()
    if held > hold_above:
        return held
    tx.execute(sa.update(files).where(files.c.folder_id == folder_id, _HELD).values(held=False))
    return 0


def hold(tx: sa.Connection, arrivals: Sequence[Arrival]) -> None:
    """Hold what an archive's first scan found: neither hashed nor sent until it is released."""
    if arrivals:
        values = [
            whereabouts.arrived(arrival) | {"held": True, "backlog": True, "media": arrival.media}
            for arrival in arrivals
        ]
        tx.execute(schema.new(files), values)


def lay_by(tx: sa.Connection, arrival: Arrival) -> bool:
    """Have a file of the backlog wait for its hour as one that was released; tell whether it does."""
    values = whereabouts.arrived(arrival) | {"backlog": True, "media": arrival.media}
    tx.execute(schema.new(files), values)
    parent, name = rows.split(arrival.path)
    query = sa.select(files.c.id).where(
        files.c.folder_id == arrival.folder_id, files.c.parent == parent, files.c.name == name, _TO_ADMIT
    )
    return tx.execute(query).first() is not None


def to_admit(tx: sa.Connection, folder_id: int, limit: int) -> list[File]:
    """Return files that were released and are to be looked at: hot ones first, then the newest."""
    query = (
        rows.select_files()
        .where(files.c.folder_id == folder_id, _TO_ADMIT, files.c.missing == 0)
        .order_by(files.c.priority.desc(), files.c.noticed_at.desc())
        .limit(limit)
    )
    return [rows.file(row) for row in tx.execute(query)]


def release(
    tx: sa.Connection,
    step: Step,
    *,
    folder_id: int | None = None,
    folder_ids: Collection[int] | None = None,
    newer_than: datetime | None = None,
    limit: int | None = None,
) -> int:
    """Release held files, the newest first; ``newer_than`` is compared with their modification. Returns how many."""
    query = _releasable(folder_id, folder_ids, newer_than, limit)
    released = tx.execute(sa.update(files).where(files.c.id.in_(query)).values(held=False)).rowcount
    history.record(tx, step, "released", files=released)
    return released


def releasable(
    tx: sa.Connection,
    *,
    folder_id: int | None = None,
    folder_ids: Collection[int] | None = None,
    newer_than: datetime | None = None,
    limit: int | None = None,
) -> dict[str, int]:
    """Count by intake.folder what ``release`` would release."""
    query = (
        sa.select(folders.c.name, sa.func.count())
        .select_from(files)
        .join(folders, folders.c.id == files.c.folder_id)
        .where(files.c.id.in_(_releasable(folder_id, folder_ids, newer_than, limit)))
        .group_by(folders.c.name)
        .order_by(folders.c.name)
    )
    return {row[0]: row[1] for row in tx.execute(query)}


def _releasable(
    folder_id: int | None,
    folder_ids: Collection[int] | None,
    newer_than: datetime | None,
    limit: int | None,
) -> sa.Select[tuple[int]]:
    query = sa.select(files.c.id).where(_HELD).order_by(files.c.mtime_ns.desc())
    if folder_id is not None:
        query = query.where(files.c.folder_id == folder_id)
    if folder_ids is not None:
        query = query.where(files.c.folder_id.in_(folder_ids))
    if newer_than is not None:
        query = query.where(files.c.mtime_ns >= (newer_than - EPOCH) // timedelta(microseconds=1) * 1000)
    return query if limit is None else query.limit(limit)


def release_one(tx: sa.Connection, file_id: int, priority: int) -> None:
    """Release one held file, with a priority of its own."""
    tx.execute(sa.update(files).where(files.c.id == file_id, _HELD).values(held=False, priority=priority))


def hasten(tx: sa.Connection, analysis_id: int, priority: int) -> None:
    """Put the content of a file that the operator named first in line, whichever purse it was to come from."""
    tx.execute(
        sa.update(analyses)
        .where(analyses.c.id == analysis_id)
        .values(
            priority=sa.case((analyses.c.priority < priority, priority), else_=analyses.c.priority),
            backlog=False,
        )
    )
    queue.renew(tx, [analysis_id])
