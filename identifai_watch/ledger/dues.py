"""What is due next, asked in one breath: so that a loop with nothing to do need not ask for each thing by itself."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from identifai_watch.core.model import AnalysisState, FileState, Media
from identifai_watch.ledger.schema import analyses, files


def _of_contents(state: AnalysisState) -> list[sa.Select[tuple[datetime | None]]]:
    """Return one query for each medium, which is one seek in the index."""
    return [
        sa.select(sa.func.min(analyses.c.due).label("at")).where(
            analyses.c.state == state, analyses.c.media == media, analyses.c.due.is_not(None)
        )
        for media in Media
    ]


_DELIVERIES = sa.select(sa.func.min(files.c.due).label("at")).where(
    files.c.folder_id.in_(sa.bindparam("folder_ids", expanding=True)),
    files.c.state == FileState.WAITING,
    files.c.due.is_not(None),
)
# Made once: to build and to compile them takes longer than to run them.
_QUESTIONS, _UPLOADS = _of_contents(AnalysisState.AWAITING), _of_contents(AnalysisState.QUEUED)
_WITHOUT_UPLOADS = sa.union_all(_DELIVERIES, *_QUESTIONS)
_ALL = sa.union_all(_DELIVERIES, *_QUESTIONS, *_UPLOADS)


def soonest(tx: sa.Connection, folder_ids: Collection[int], *, uploads: bool) -> datetime | None:
    """Return when the next question, delivery in ``folder_ids`` or, with ``uploads``, upload is due, or was; None if none is."""
    found = tx.execute(_ALL if uploads else _WITHOUT_UPLOADS, {"folder_ids": list(folder_ids)}).scalars()
    return min((at for at in found if at is not None), default=None)
