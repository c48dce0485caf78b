"""Claims: who works on a row now, and what there is to work on.

A claim is (node, token, until): renewed by the loop, and fenced by its token, so that whoever lost it cannot
write any more. What comes of the work is left to ``work``.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from identifai_watch.core.model import Analysis, AnalysisState, File, FileState, Media
from identifai_watch.ledger import rows, work
from identifai_watch.ledger.schema import analyses, files
from identifai_watch.ledger.work import PRESENT, Claimant, Delivery

TTL = timedelta(seconds=15)
"""How long a claim holds that is not renewed."""

FURTHEST = timedelta(minutes=15)
"""Nothing is put off for so long: neither a backoff nor the expectation of a verdict."""


def free(tx: sa.Connection, node: str) -> None:
    """Free the claims of ``node``: they are of a daemon that no longer lives."""
    for table in (analyses, files):
        tx.execute(sa.update(table).where(table.c.claimed_by == node).values(work.UNCLAIMED))


def bring_forward(tx: sa.Connection, now: datetime) -> None:
    """Let what is due further ahead than anything is ever put off be due now: another clock wrote that."""
    for table in (analyses, files):
        tx.execute(sa.update(table).where(table.c.due > now + FURTHEST).values(due=now))


def renew(tx: sa.Connection, claimant: Claimant, now: datetime) -> None:
    """Hold every claim of this run for another 15 s."""
    for table in (analyses, files):
        mine = sa.and_(table.c.claimed_by == claimant.node, table.c.claim == claimant.token)
        tx.execute(sa.update(table).where(mine).values(claimed_until=now + TTL))


def claim_upload(
    tx: sa.Connection,
    claimant: Claimant,
    now: datetime,
    *,
    folder_ids: Collection[int],
    oldest: bool = False,
    backlog: bool = True,
    at_most: int | None = None,
    least_priority: int | None = None,
) -> tuple[Analysis, File] | None:
    """Claim the content to send next, with a file of ``folder_ids`` to read it from.

    A hot folder first, then news before the backlog, then the newest; with ``oldest`` the one of all that has
    waited longest. Without ``backlog`` only what came while the daemon ran; ``at_most`` is the largest size in bytes; what has less than
    ``least_priority`` is passed over.
    """
    queries = [
        _uploads(now, folder_ids, oldest=oldest, backlog=part, at_most=at_most)
        for part in ((False, True) if backlog else (False,))
    ]
    if least_priority is not None:
        queries = [query.where(analyses.c.priority >= least_priority) for query in queries]
    found = [rows.analysis(row) for query in queries if (row := tx.execute(query).first()) is not None]
    if not found:
        return None
    if oldest:
        analysis = min(found, key=lambda one: one.noticed_at)
    else:
        analysis = max(found, key=lambda one: (one.priority, not one.backlog, one.noticed_at))
    file = _present_file(tx, analysis.id, folder_ids)
    _claim(tx, analyses, [analysis.id], claimant, now)
    return analysis, file


def due_polls(tx: sa.Connection, now: datetime, media: Media, limit: int) -> int:
    """Count the awaiting analyses of one kind that are due and that nobody asks for, up to ``limit``."""
    due = _awaited(media, now).where(analyses.c.due <= now).with_only_columns(analyses.c.id).limit(limit)
    return tx.execute(sa.select(sa.func.count()).select_from(due.subquery())).scalar_one()


def claim_polls(
    tx: sa.Connection, claimant: Claimant, now: datetime, media: Media, *, ahead: timedelta, limit: int
) -> list[Analysis]:
    """Claim awaiting analyses of one kind: those that are due, and what may be done within ``ahead`` besides."""
    found = still_awaited(tx, now, media, ahead=ahead, limit=limit)
    if not found or (found[0].due or now) > now:
        return []
    _claim(tx, analyses, [row.id for row in found], claimant, now)
    return found


def still_awaited(
    tx: sa.Connection, now: datetime, media: Media, *, ahead: timedelta, limit: int
) -> list[Analysis]:
    """Return the awaiting analyses of one kind that nobody asks for, by when they are due, within ``ahead``."""
    query = _awaited(media, now).where(analyses.c.due <= now + ahead).order_by(analyses.c.due).limit(limit)
    return [rows.analysis(row) for row in tx.execute(query)]


def put_off(tx: sa.Connection, dues: Mapping[int, datetime]) -> None:
    """Let awaiting analyses be due later; one that somebody asks for meanwhile is left alone."""
    if dues:
        statement = sa.update(analyses).where(
            analyses.c.id == sa.bindparam("of"),
            analyses.c.state == AnalysisState.AWAITING,
            analyses.c.claim.is_(None),
        )
        values = [{"of": key, "until": due} for key, due in dues.items()]
        tx.execute(statement.values(due=sa.bindparam("until")), values)


def has_heatmap(tx: sa.Connection, now: datetime) -> bool:
    """Tell whether a heatmap is due that nobody fetches."""
    return tx.execute(_heatmaps(now).limit(1)).first() is not None


def claim_heatmap(tx: sa.Connection, claimant: Claimant, now: datetime) -> Analysis | None:
    """Claim a judged analysis whose heatmap is due."""
    found = tx.execute(_heatmaps(now).order_by(analyses.c.heatmap_due).limit(1)).first()
    if found is None:
        return None
    _claim(tx, analyses, [found.id], claimant, now)
    return rows.analysis(found)


def claim_deliveries(
    tx: sa.Connection,
    claimant: Claimant,
    now: datetime,
    folder_id: int,
    limit: int,
    *,
    but: Collection[int] = (),
) -> list[Delivery]:
    """Claim files of one folder whose verdict, or whose refusal, can be delivered; ``but`` those are passed over."""
    is_due = sa.and_(files.c.state == FileState.WAITING, files.c.due <= now)
    query = _of_folder(folder_id, now, but).where(is_due).order_by(files.c.priority.desc(), files.c.due)
    return _claim_files(tx, query.limit(limit), claimant, now)


def claim_orphans(
    tx: sa.Connection,
    claimant: Claimant,
    now: datetime,
    folder_id: int,
    limit: int,
    *,
    but: Collection[int] = (),
) -> list[Delivery]:
    """Claim files of one folder that lie there no more, and whose sidecar is to be put aside; ``but`` those not."""
    query = _of_folder(folder_id, now, but).where(files.c.orphan_due <= now).order_by(files.c.orphan_due)
    return _claim_files(tx, query.limit(limit), claimant, now)


def _of_folder(folder_id: int, now: datetime, but: Collection[int]) -> sa.Select[Any]:
    """Select the files of a folder that nobody has claimed, ``but`` those."""
    return rows.select_files().where(
        files.c.folder_id == folder_id, _is_free(files, now), files.c.id.not_in(but)
    )


def _claim_files(
    tx: sa.Connection, query: sa.Select[Any], claimant: Claimant, now: datetime
) -> list[Delivery]:
    found = [rows.file(row) for row in tx.execute(query)]
    _claim(tx, files, [file.id for file in found], claimant, now)
    return work.deliveries(tx, found)


def postpone_orphan(tx: sa.Connection, file_id: int, until: datetime) -> None:
    """Let a sidecar that could not be put aside be tried again later."""
    tx.execute(sa.update(files).where(files.c.id == file_id).values(orphan_due=until, **work.UNCLAIMED))


def next_due(tx: sa.Connection, now: datetime) -> datetime | None:
    """Return when the next upload or question that rests at ``now`` is due; what is due already is not asked for."""
    found: list[datetime] = []
    # One seek in the index for each: a single minimum over all of them would read every row that is queued.
    for state in (AnalysisState.AWAITING, AnalysisState.QUEUED):
        for media in Media:
            query = sa.select(analyses.c.due).where(
                analyses.c.state == state, analyses.c.media == media, analyses.c.due > now
            )
            found += tx.execute(query.order_by(analyses.c.due).limit(1)).scalars()
    return min(found, default=None)


def lapsed(tx: sa.Connection, now: datetime) -> list[Analysis]:
    """Return the uploads that nobody works on any more: what became of them is in doubt."""
    query = sa.select(*rows.ANALYSIS_COLUMNS).where(
        analyses.c.state == AnalysisState.SENDING, _is_free(analyses, now)
    )
    return [rows.analysis(row) for row in tx.execute(query)]


def overdue(tx: sa.Connection, now: datetime, limit: int = 100) -> list[Analysis]:
    """Return what has been awaited past its deadline and is not given up yet."""
    query = (
        sa.select(*rows.ANALYSIS_COLUMNS)
        .where(
            analyses.c.state == AnalysisState.AWAITING,
            analyses.c.deadline <= now,
            analyses.c.due.is_not(None),
            _is_free(analyses, now),
        )
        .limit(limit)
    )
    return [rows.analysis(row) for row in tx.execute(query)]


def _uploads(
    now: datetime, folder_ids: Collection[int], *, oldest: bool, backlog: bool, at_most: int | None
) -> sa.Select[Any]:
    """Return the query for the next upload of the backlog, or of what came while the daemon ran.

    Each half is read in the order of an index. A content without a file in ``folder_ids`` is passed over: one
    folder that cannot be reached does not keep the others waiting.
    """
    copies = sa.select(files.c.id).where(
        files.c.analysis_id == analyses.c.id, PRESENT, files.c.folder_id.in_(folder_ids)
    )
    query = sa.select(*rows.ANALYSIS_COLUMNS).where(
        analyses.c.state == AnalysisState.QUEUED,
        analyses.c.backlog == backlog,
        analyses.c.due <= now,
        _is_free(analyses, now),
        copies.exists(),
    )
    if at_most is not None:
        query = query.where(analyses.c.size <= at_most)
    if oldest:
        return query.order_by(analyses.c.noticed_at).limit(1)
    return query.order_by(analyses.c.priority.desc(), analyses.c.noticed_at.desc()).limit(1)


def _awaited(media: Media, now: datetime) -> sa.Select[Any]:
    """Select the awaiting analyses of one kind that nobody asks for."""
    return sa.select(*rows.ANALYSIS_COLUMNS).where(
        analyses.c.state == AnalysisState.AWAITING, analyses.c.media == media, _is_free(analyses, now)
    )


def _heatmaps(now: datetime) -> sa.Select[Any]:
    """Select the judged analyses whose heatmap is due and that nobody fetches."""
    return sa.select(*rows.ANALYSIS_COLUMNS).where(analyses.c.heatmap_due <= now, _is_free(analyses, now))


def _present_file(tx: sa.Connection, analysis_id: int, folder_ids: Collection[int]) -> File:
    """Return a file of ``folder_ids`` that has the content of an analysis; one that the last scan saw, if any."""
    query = (
        rows.select_files()
        .where(files.c.analysis_id == analysis_id, PRESENT, files.c.folder_id.in_(folder_ids))
        .order_by(files.c.missing, files.c.id)
        .limit(1)
    )
    return rows.file(tx.execute(query).one())


def _is_free(table: sa.Table, now: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(table.c.claimed_until.is_(None), table.c.claimed_until <= now)


def _claim(tx: sa.Connection, table: sa.Table, ids: Sequence[int], claimant: Claimant, now: datetime) -> None:
    if ids:
        tx.execute(
            sa.update(table)
            .where(table.c.id.in_(ids))
            .values(claimed_by=claimant.node, claim=claimant.token, claimed_until=now + TTL)
        )
