"""Files that another tool moved inside their folder: what the desk decided of them goes with them."""

from typing import Any

import sqlalchemy as sa

from identifai_watch.core.events import Reopened
from identifai_watch.core.model import File, FileState
from identifai_watch.ledger import history, reading, rows, work
from identifai_watch.ledger.schema import files, folders
from identifai_watch.ledger.step import Step


def mind_move_from(tx: sa.Connection, gone: File, step: Step) -> None:
    """See whether a file that is gone lies somewhere else in its intake.folder, and have it keep what it had there."""
    if gone.analysis_id is None:
        return
    found = tx.execute(_the_same(gone, reading.PRESENT)).first()
    if found is not None:
        _hand_over(tx, gone, rows.file(found), step)


def mind_move_to(tx: sa.Connection, heir: File, step: Step) -> None:
    """See whether a file that came is one that is gone from another place of its intake.folder, and have it keep what it had."""
    found = tx.execute(_the_same(heir, files.c.state == FileState.GONE)).first()
    if found is not None:
        _hand_over(tx, rows.file(found), heir, step)


def _the_same(file: File, which: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Return the query for the other files of a host's folder that are this very file under another name, the latest first.

    It is the same one if it has the same content, size and time, and the same inode where there is one.
    """
    shape = file.fingerprint
    return (
        rows.select_files()
        .where(
            files.c.analysis_id == file.analysis_id,
            folders.c.name == file.folder,
            folders.c.node == file.node,
            which,
            files.c.lies_at.is_(None),
            files.c.id != file.id,
            files.c.size == shape.size,
            files.c.mtime_ns == shape.mtime_ns,
            files.c.inode.is_(None) if shape.inode is None else files.c.inode == shape.inode,
        )
        .order_by(files.c.id.desc())
        .limit(1)
    )


def _hand_over(tx: sa.Connection, gone: File, heir: File, step: Step) -> None:
    """Let a file that another tool moved inside the tree keep what the desk decided; its old sidecar is put aside."""
    history.record(tx, step, "moved", file=gone, to=heir.path)
    history.record(tx, step, "moved", file=heir, came_from=gone.path)
    if gone.orphan_due is not None:
        tx.execute(sa.update(files).where(files.c.id == gone.id).values(orphan_due=step.now))
    if gone.decision is not None and heir.decision is None:
        work.put_decision(tx, heir.id, gone.decision)
        work.advance_file(tx, heir.id, Reopened(), step)
