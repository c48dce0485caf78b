"""What is wrong and was told, and what alarms are made from: files that are stuck, and how the credits went."""

from collections.abc import Collection, Iterable
from dataclasses import asdict
from datetime import datetime, timedelta

import sqlalchemy as sa

from identifai_watch.core.alarms import Alarm
from identifai_watch.core.model import AnalysisState, File, FileState, Outcome
from identifai_watch.ledger import rows, schema
from identifai_watch.ledger.schema import alarms, analyses, balances, files

BALANCES_KEPT = timedelta(days=400)
"""How long it is known what was spent on a day; at most six looks an hour are a small table."""

_AT = sa.bindparam("before", type_=analyses.c.stuck_at.type)

# In words that the indexes of states can follow, as those of ``views``; only what still waits is stuck for somebody.
_OF_CONTENT = (
    sa.select(files.c.id, analyses.c.stuck_at.label("stuck_at"), analyses.c.reason.label("why"))
    .join(analyses, analyses.c.id == files.c.analysis_id)
    .where(
        analyses.c.state.in_(list(AnalysisState)),
        analyses.c.doubt.in_([False, True]),
        analyses.c.stuck_at <= _AT,
        files.c.state == FileState.WAITING,
    )
)
_OF_FILE = [
    sa.select(files.c.id, files.c.stuck_at.label("stuck_at"), files.c.trouble.label("why")).where(
        files.c.state == FileState.WAITING,
        outcome,
        files.c.held.in_([False, True]),
        files.c.stuck_at <= _AT,
    )
    for outcome in (files.c.outcome.is_(None), files.c.outcome.in_(list(Outcome)))
]
_STUCK = sa.union_all(_OF_CONTENT, *_OF_FILE)


def known(tx: sa.Connection, node: str) -> dict[str, Alarm]:
    """Return what a node knows to be wrong, by name."""
    columns = [column for column in alarms.c if column is not alarms.c.node]
    query = sa.select(*columns).where(alarms.c.node == node)
    return {row["name"]: Alarm(**row) for row in tx.execute(query).mappings()}


def keep(tx: sa.Connection, node: str, changed: Iterable[Alarm]) -> None:
    """Write a node's alarms down."""
    for one in changed:
        values = asdict(one)
        is_it = sa.and_(alarms.c.node == node, alarms.c.name == one.name)
        if tx.execute(sa.update(alarms).where(is_it).values(values)).rowcount == 0:
            tx.execute(sa.insert(alarms).values(node=node, **values))


def drop(tx: sa.Connection, node: str, names: Collection[str]) -> None:
    """Forget a node's alarms that are over."""
    if names:
        tx.execute(sa.delete(alarms).where(alarms.c.node == node, alarms.c.name.in_(names)))


def stuck(tx: sa.Connection, before: datetime) -> dict[int, tuple[datetime, str | None]]:
    """Return the files that wait and were given up before an instant: when, and why."""
    return {row.id: (row.stuck_at, row.why) for row in tx.execute(_STUCK, {"before": before})}


def named(tx: sa.Connection, numbers: Collection[int]) -> list[File]:
    """Return files by their numbers."""
    query = rows.select_files().where(files.c.id.in_(numbers)).order_by(files.c.id)
    return [rows.file(row) for row in tx.execute(query)]


def note_balance(tx: sa.Connection, left: float, now: datetime) -> None:
    """Write down the credits that are left, and forget what nobody will ask for any more."""
    tx.execute(sa.delete(balances).where(sa.or_(balances.c.at < now - BALANCES_KEPT, balances.c.at >= now)))
    tx.execute(schema.new(balances).values(at=now, credits=left))


def balances_since(tx: sa.Connection, since: datetime) -> list[tuple[datetime, float]]:
    """Return the balances since an instant, and the last one before it, ascending."""
    first = sa.select(sa.func.max(balances.c.at)).where(balances.c.at <= since).scalar_subquery()
    query = (
        sa.select(balances)
        .where(balances.c.at >= sa.func.coalesce(first, sa.literal_column("0")))
        .order_by(balances.c.at)
    )
    return [(row.at, row.credits) for row in tx.execute(query)]
