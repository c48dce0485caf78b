"""The queue: each content that waits for its upload, once for each host that has a file of it.

So a host finds what it may send next without a look at what only others have. Whoever lets an analysis wait, lets it
wait no longer, or changes its place, and whoever gives it a file or takes one away, says so here in that transaction.
"""

from collections.abc import Collection, Iterable

import sqlalchemy as sa

from identifai_watch.core.model import Analysis, AnalysisState
from identifai_watch.ledger import reading, schema
from identifai_watch.ledger.reading import IDS, PRESENT
from identifai_watch.ledger.schema import SHARED, analyses, files, folders, queue

_WHOSE = sa.case(
    (folders.c.node == SHARED, sa.literal("/").concat(sa.cast(folders.c.id, sa.Text))), else_=folders.c.node
)
_STANDING = (
    sa.select(
        analyses.c.id,
        _WHOSE.label("whose"),
        analyses.c.backlog,
        analyses.c.priority,
        analyses.c.noticed_at,
        analyses.c.due,
    )
    .distinct()
    .select_from(analyses)
    .join(files, files.c.analysis_id == analyses.c.id)
    .join(folders, folders.c.id == files.c.folder_id)
    .where(analyses.c.state == AnalysisState.QUEUED, analyses.c.due.is_not(None), PRESENT)
)
_PLACE = ("backlog", "priority", "noticed_at", "due")
_COLUMNS = [column.name for column in queue.columns]
_ENTER = schema.new(queue).from_select(_COLUMNS, _STANDING.where(analyses.c.id.in_(IDS)))
_MISSING = _STANDING.except_(sa.select(*queue.columns))
_SPARE = sa.select(*queue.columns).except_(_STANDING)
_PUT = schema.new(queue)
_LEAVE = sa.delete(queue).where(queue.c.analysis_id.in_(IDS))


MOST = 500
"""As many contents are put right by one statement."""


def whose(node: str, folder_id: int) -> str:
    """Return under what the files of a folder stand in the queue: a host's are its node's, and each share is for itself."""
    return f"/{folder_id}" if node == SHARED else node


def is_in(analysis: Analysis) -> bool:
    """Tell whether an analysis waits for its upload."""
    return analysis.state is AnalysisState.QUEUED and analysis.due is not None


def has_moved(before: Analysis, after: Analysis) -> bool:
    """Tell whether an analysis that waits, before and after, stands elsewhere by that, or is due at another instant."""
    return any(getattr(before, name) != getattr(after, name) for name in _PLACE)


def enter(tx: sa.Connection, analysis_ids: Collection[int]) -> None:
    """Let those of these analyses stand in the queue that wait, for each host that has a file of them."""
    if analysis_ids:
        tx.execute(_ENTER, {"ids": list(analysis_ids)})


def put(tx: sa.Connection, fresh: Iterable[tuple[Analysis, str]]) -> None:
    """Let analyses that were just made stand in the queue, each for the one host, or share, that has a file of it."""
    values = [
        {"analysis_id": one.id, "whose": its, **{name: getattr(one, name) for name in _PLACE}}
        for one, its in fresh
    ]
    if values:
        tx.execute(_PUT, values)


def leave(tx: sa.Connection, analysis_ids: Collection[int]) -> None:
    """Let these analyses stand in the queue no longer."""
    if analysis_ids:
        tx.execute(_LEAVE, {"ids": list(analysis_ids)})


def renew(tx: sa.Connection, analysis_ids: Collection[int]) -> None:
    """Let these analyses stand in the queue as they are now, they and their files."""
    leave(tx, analysis_ids)
    enter(tx, analysis_ids)


def differing(tx: sa.Connection) -> tuple[int, int]:
    """Count what is missing in the queue, and what stands in it and should not: both are none."""
    missing, spare = (
        tx.execute(sa.select(sa.func.count()).select_from(one.subquery())).scalar_one()
        for one in (_MISSING, _SPARE)
    )
    return missing, spare


def mend(tx: sa.Connection) -> int:
    """Have the queue hold what waits, and nothing else; return of how many contents that was not so.

    A daemon of an earlier version knows of no queue, and may run while a command brings the ledger to this one: what that
    daemon leaves behind is entered here by the next.
    """
    astray = {row[0] for which in (_MISSING, _SPARE) for row in tx.execute(which)}
    ids = sorted(astray)
    for first in range(0, len(ids), MOST):
        some = ids[first : first + MOST]
        reading.rows_of(
            tx, reading.ANALYSES_TO_ADVANCE, some
        )  # locked, as whoever else changes their place has them
        renew(tx, some)
    return len(ids)
