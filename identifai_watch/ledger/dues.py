"""What is due next, asked in one breath: so that a loop with nothing to do need not ask for each thing by itself.

What a daemon has before it is told as its ``reach``: its folders by their numbers, each with ``whose`` it is in the queue.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from identifai_watch.core.model import AnalysisState, FileState, Media
from identifai_watch.ledger.schema import Instant, analyses, files, queue

_NOW: sa.BindParameter[datetime] = sa.bindparam("now", type_=Instant)
_DELIVERIES = sa.select(sa.func.min(files.c.due).label("at")).where(
    files.c.folder_id.in_(sa.bindparam("folder_ids", expanding=True)),
    files.c.state == FileState.WAITING,
    files.c.due.is_not(None),
)
# One query for each medium, as for each line of uploads: a seek in an index, where a single minimum over all of them
# would read every row that waits.
_QUESTIONS = [
    sa.select(sa.func.min(analyses.c.due).label("at")).where(
        analyses.c.state == AnalysisState.AWAITING, analyses.c.media == media, analyses.c.due.is_not(None)
    )
    for media in Media
]


def soonest(tx: sa.Connection, reach: Mapping[int, str], *, uploads: bool) -> datetime | None:
    """Return when the next question, delivery or, with ``uploads``, upload is due, or was; None if none is."""
    whose = _whose(reach) if uploads else {}
    return _least(tx, _soonest(len(whose)), whose | {"folder_ids": list(reach)})


def resting(tx: sa.Connection, reach: Mapping[int, str], now: datetime) -> datetime | None:
    """Return when the next upload or question that rests at ``now`` is due; what is due already is not asked for."""
    whose = _whose(reach)
    return _least(tx, _resting(len(whose)), whose | {"now": now})


def _whose(reach: Mapping[int, str]) -> dict[str, object]:
    return {f"whose_{number}": one for number, one in enumerate(sorted(set(reach.values())))}


def _least(tx: sa.Connection, query: sa.CompoundSelect[Any], values: Mapping[str, object]) -> datetime | None:
    return min((at for at in tx.execute(query, values).scalars() if at is not None), default=None)


# Made once for each number of lines: to build and to compile them takes longer than to run them.
@cache
def _soonest(lines: int) -> sa.CompoundSelect[Any]:
    return sa.union_all(_DELIVERIES, *_QUESTIONS, *map(_upload, range(lines)))


@cache
def _resting(lines: int) -> sa.CompoundSelect[Any]:
    questions = (one.where(analyses.c.due > _NOW) for one in _QUESTIONS)
    return sa.union_all(*questions, *(_upload(one).where(queue.c.due > _NOW) for one in range(lines)))


def _upload(number: int) -> sa.Select[Any]:
    """Return the query for one line of the queue, which is one seek in the index."""
    return sa.select(sa.func.min(queue.c.due).label("at")).where(
        queue.c.whose == sa.bindparam(f"whose_{number}")
    )
