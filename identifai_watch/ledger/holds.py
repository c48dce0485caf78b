"""Folders that operators paused: nothing of them is sent until they are resumed. Single files: see ``withdrawals``."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from identifai_watch.ledger.schema import folders

_PAUSED = sa.select(folders).where(folders.c.paused_at.is_not(None)).order_by(folders.c.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Nothing of the folder ``folder`` is sent ``until`` then, or until somebody resumes it; ``by`` whom and ``why``."""

    folder_id: int
    folder: str
    node: str
    at: datetime
    until: datetime | None
    by: str
    why: str


def pause(
    tx: sa.Connection, folder_id: int, *, at: datetime, until: datetime | None, by: str, why: str
) -> None:
    """Let nothing of a folder be sent."""
    values = {"paused_at": at, "paused_until": until, "paused_by": by, "paused_why": why}
    tx.execute(sa.update(folders).where(folders.c.id == folder_id).values(values))


def resume(tx: sa.Connection, folder_id: int, *, over_at: datetime | None = None) -> bool:
    """Let the files of a folder be sent again, if its pause is ``over_at`` then or unless told; return whether it was."""
    nothing = dict.fromkeys(("paused_at", "paused_until", "paused_by", "paused_why"))
    is_paused = sa.and_(folders.c.id == folder_id, folders.c.paused_at.is_not(None))
    if over_at is not None:
        is_paused &= folders.c.paused_until <= over_at
    return tx.execute(sa.update(folders).where(is_paused).values(nothing)).rowcount > 0


def pauses(tx: sa.Connection) -> list[Pause]:
    """Return the folders that are paused, those whose time is over included."""
    return [
        Pause(
            folder_id=row.id,
            folder=row.name,
            node=row.node,
            at=row.paused_at,
            until=row.paused_until,
            by=row.paused_by or "",
            why=row.paused_why or "",
        )
        for row in tx.execute(_PAUSED)
    ]
