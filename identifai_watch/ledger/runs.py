"""What a run over all there is, and its rehearsal, ask the ledger: what is left, what was done, what is paid for."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from identifai_watch.core.model import AnalysisState, FileState, Media, Outcome
from identifai_watch.ledger import rows
from identifai_watch.ledger.budget import Purse
from identifai_watch.ledger.schema import NO, analyses, files, folders

_ANEW = sa.and_(
    files.c.state == FileState.DELIVERED,
    analyses.c.state.in_((AnalysisState.QUEUED, AnalysisState.SENDING, AnalysisState.AWAITING)),
)
_WAITS = (files.c.state == FileState.WAITING, _ANEW)
"""What a run has before it, asked for one by one so that each finds its index: a delivered file may be judged anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is: ``outcomes`` of the files delivered since it began, and how many still wait.

    ``admitted`` of those are hashed, or refused by ourselves; the others were released and are looked at first.
    """

    outcomes: Counter[Outcome]
    admitted: int
    released: int

    @property
    def done(self) -> int:
        """How many files were delivered."""
        return self.outcomes.total()


def progress(tx: sa.Connection, folder_ids: Collection[int], since: datetime) -> Progress:
    """Count what was delivered since a run began, and what it still has before it, in ``folder_ids``."""
    delivered = (
        sa.select(files.c.outcome, sa.func.count())
        .where(
            files.c.state == FileState.DELIVERED,
            files.c.delivered_at >= since,
            files.c.folder_id.in_(folder_ids),
        )
        .group_by(files.c.outcome)
    )
    resting = sa.or_(files.c.stuck_at.is_not(None), analyses.c.stuck_at.is_not(None))
    is_admitted = sa.or_(files.c.analysis_id.is_not(None), files.c.refusal.is_not(None))
    waiting = (
        sa.select(is_admitted, sa.func.count())
        .select_from(files)
        .outerjoin(analyses, analyses.c.id == files.c.analysis_id)
        .where(
            files.c.state == FileState.WAITING,
            files.c.held == NO,
            files.c.missing == 0,
            ~resting,
            files.c.folder_id.in_(folder_ids),
        )
        .group_by(is_admitted)
    )
    left = {bool(admitted): number for admitted, number in tx.execute(waiting)}
    return Progress(
        outcomes=Counter({Outcome(outcome): number for outcome, number in tx.execute(delivered)}),
        admitted=left.get(True, 0),
        released=left.get(False, 0),
    )


def unsettled(tx: sa.Connection, folder_ids: Collection[int] | None = None, path: bytes | None = None) -> int:
    """Return how many files still wait for a verdict or its delivery and are neither held nor stuck.

    Only those of ``folder_ids``, and only the one noticed at ``path``, if given.
    """
    resting = sa.or_(files.c.stuck_at.is_not(None), analyses.c.stuck_at.is_not(None))
    query = (
        sa.select(sa.func.count())
        .select_from(files)
        .outerjoin(analyses, analyses.c.id == files.c.analysis_id)
        .where(files.c.held == NO, files.c.missing == 0, ~resting)
    )
    if folder_ids is not None:
        query = query.where(files.c.folder_id.in_(folder_ids))
    return _number_at(tx, query, path)


def unpayable(tx: sa.Connection, folder_ids: Collection[int], path: bytes | None, purse: Purse) -> int:
    """Return how many files wait for a content that is not sent yet and for which ``purse`` has nothing left.

    Those of ``folder_ids``, and only the one noticed at ``path``, if given.
    """
    closed = [
        is_backlog for is_backlog, left in ((False, purse.left), (True, purse.backlog_left)) if left == 0
    ]
    query = (
        sa.select(sa.func.count())
        .select_from(files)
        .join(analyses, analyses.c.id == files.c.analysis_id)
        .where(
            files.c.missing == 0,
            files.c.stuck_at.is_(None),
            files.c.folder_id.in_(folder_ids),
            analyses.c.state == AnalysisState.QUEUED,
            analyses.c.stuck_at.is_(None),
            analyses.c.backlog.in_(closed),
        )
    )
    return _number_at(tx, query, path)


def awaited(tx: sa.Connection, folder_ids: Collection[int], path: bytes | None) -> int:
    """Return how many files wait for a verdict that is paid for, or for its delivery.

    Those of ``folder_ids``, and only the one noticed at ``path``, if given.
    """
    query = (
        sa.select(sa.func.count())
        .select_from(files)
        .join(analyses, analyses.c.id == files.c.analysis_id)
        .where(
            files.c.held == NO,
            files.c.missing == 0,
            files.c.stuck_at.is_(None),
            files.c.folder_id.in_(folder_ids),
            analyses.c.state.in_((AnalysisState.AWAITING, AnalysisState.JUDGED)),
            analyses.c.stuck_at.is_(None),
        )
    )
    return _number_at(tx, query, path)


def _number_at(tx: sa.Connection, query: sa.Select[Any], path: bytes | None) -> int:
    """Count by ``query`` what waits, or of that the one file noticed at ``path``."""
    if path is not None:
        parent, name = rows.split(path)
        query = query.where(files.c.parent == parent, files.c.name == name)
    return sum(int(tx.execute(query.where(waits)).scalar_one()) for waits in _WAITS)


def unadmitted(tx: sa.Connection, folder_ids: Collection[int], path: bytes | None) -> set[tuple[int, bytes]]:
    """Return the files that may go their way and are not hashed yet: (folder, path).

    Those of ``folder_ids``, and only the one noticed at ``path``, if given.
    """
    query = sa.select(files.c.folder_id, files.c.parent, files.c.name).where(
        files.c.state == FileState.WAITING,
        files.c.held == NO,
        files.c.missing == 0,
        files.c.stuck_at.is_(None),
        files.c.analysis_id.is_(None),
        files.c.refusal.is_(None),
        files.c.folder_id.in_(folder_ids),
    )
    if path is not None:
        parent, name = rows.split(path)
        query = query.where(files.c.parent == parent, files.c.name == name)
    return {(row.folder_id, rows.join(row.parent, row.name)) for row in tx.execute(query)}


def stuck(tx: sa.Connection, folder_ids: Collection[int]) -> list[tuple[str, bytes, str | None]]:
    """Return the files of ``folder_ids`` that are given up: (folder, path, reason)."""
    query = (
        sa.select(
            folders.c.name,
            files.c.parent,
            files.c.name.label("file"),
            sa.func.coalesce(files.c.trouble, analyses.c.reason).label("reason"),
        )
        .select_from(files)
        .join(folders, folders.c.id == files.c.folder_id)
        .outerjoin(analyses, analyses.c.id == files.c.analysis_id)
        .where(
            sa.or_(files.c.stuck_at.is_not(None), analyses.c.stuck_at.is_not(None)),
            files.c.state == FileState.WAITING,
            files.c.folder_id.in_(folder_ids),
        )
        .order_by(files.c.id)
    )
    return [(row.name, rows.join(row.parent, row.file), row.reason) for row in tx.execute(query)]


def sizes(tx: sa.Connection) -> set[int]:
    """Return the sizes in bytes of all contents that are known."""
    return set(tx.execute(sa.select(analyses.c.size).distinct()).scalars())


def is_paid(tx: sa.Connection, sha256: bytes, media: Media, options: str) -> bool:
    """Tell whether a content was submitted already, so that a run does not post it."""
    query = (
        sa.select(analyses.c.identifier)
        .where(analyses.c.sha256 == sha256, analyses.c.media == media, analyses.c.options == options)
        .order_by(analyses.c.edition.desc())
        .limit(1)
    )
    return tx.execute(query).scalar() is not None
