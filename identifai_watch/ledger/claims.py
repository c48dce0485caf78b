"""Claims: who works on a row now, and what there is to work on.

A claim is (node, token, until): renewed by the loop, and fenced by its token, so that whoever lost it cannot
write any more. That an upload begins is written with its claim; what else comes of the work is left to ``work``.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa

from identifai_watch.core.events import Unsent
from identifai_watch.core.model import Analysis, AnalysisState, File, FileState, Media
from identifai_watch.ledger import queue, reading, rows, schema, work
from identifai_watch.ledger.reading import PRESENT, Delivery
from identifai_watch.ledger.schema import NO, YES, Instant, analyses, files, folders
from identifai_watch.ledger.step import Claimant, Step

TTL = timedelta(seconds=15)
"""How long a claim holds that is not renewed."""

FURTHEST = timedelta(minutes=15)
"""Nothing is put off for so long: neither a backoff nor the expectation of a verdict."""


def _is_free(table: sa.Table, now: datetime | sa.BindParameter[datetime]) -> sa.ColumnElement[bool]:
    return sa.or_(table.c.claimed_until.is_(None), table.c.claimed_until <= now)


# Statements that each round asks are built once: to build one anew costs several times what it costs to carry it out.
_NOW: sa.BindParameter[datetime] = sa.bindparam("now", type_=Instant)
_MOST: sa.BindParameter[int] = sa.bindparam("most")
_IDS: sa.BindParameter[list[int]] = sa.bindparam("ids", expanding=True)
_IN_FOLDERS = files.c.folder_id.in_(sa.bindparam("folders", expanding=True))
_READ_FROM = (
    rows.select_files()
    .where(files.c.analysis_id.in_(_IDS), PRESENT, _IN_FOLDERS)
    .order_by(files.c.missing, files.c.id)
)
_CLAIMS: Mapping[sa.Table, sa.Update] = {
    table: sa.update(table).where(table.c.id.in_(_IDS)) for table in (analyses, files)
}
# What another host claims at this moment is passed over (SQLite, where one writes at a time, knows no locks).
_SKIP: dict[str, Any] = {"skip_locked": True, "key_share": True}
# Where claims of analyses are, each found by an index: no index has the claims themselves.
_SENDING = analyses.c.state == AnalysisState.SENDING
_CLAIMABLE = (
    _SENDING,
    sa.and_(analyses.c.state == AnalysisState.AWAITING, analyses.c.due.is_not(None)),
    analyses.c.heatmap_due.is_not(None),
)
_LAPSED = sa.select(*rows.ANALYSIS_COLUMNS).where(_SENDING, _is_free(analyses, _NOW)).with_for_update(**_SKIP)
_OVERDUE = (
    sa.select(*rows.ANALYSIS_COLUMNS)
    .where(
        analyses.c.state == AnalysisState.AWAITING,
        analyses.c.deadline <= _NOW,
        analyses.c.due.is_not(None),
        _is_free(analyses, _NOW),
    )
    .limit(_MOST)
    .with_for_update(**_SKIP)
)
_OF_FOLDER = rows.select_files().where(
    files.c.folder_id == sa.bindparam("folder"),
    _is_free(files, _NOW),
    files.c.id.not_in(sa.bindparam("but", expanding=True)),
)
_DELIVERIES = (
    _OF_FOLDER.where(files.c.state == FileState.WAITING, files.c.due <= _NOW)
    .order_by(files.c.priority.desc(), files.c.due)
    .limit(_MOST)
    .with_for_update(of=files, **_SKIP)
)
_ORPHANS = (
    _OF_FOLDER.where(files.c.orphan_due <= _NOW)
    .order_by(files.c.orphan_due)
    .limit(_MOST)
    .with_for_update(of=files, **_SKIP)
)
_AWAITED = sa.select(*rows.ANALYSIS_COLUMNS).where(
    analyses.c.state == AnalysisState.AWAITING,
    _is_free(analyses, _NOW),
    analyses.c.due <= sa.bindparam("until", type_=Instant),
)
_STILL_AWAITED = (
    _AWAITED.where(analyses.c.media == sa.bindparam("kind"))
    .order_by(analyses.c.due)
    .limit(_MOST)
    .with_for_update(**_SKIP)
)
_BATCH = _STILL_AWAITED.with_only_columns(analyses.c.id, analyses.c.due).cte("batch")
# One statement: the rows that it locks need not be told to us and back. Nothing is asked for before one of them is due.
_CLAIM_POLLS = (
    sa.update(analyses)
    .where(
        analyses.c.id.in_(sa.select(_BATCH.c.id)),
        sa.select(_BATCH.c.id).where(_BATCH.c.due <= _NOW).exists(),
    )
    .values({name: sa.bindparam(name) for name in ("claimed_by", "claim", "claimed_until")})
    .returning(*rows.ANALYSIS_COLUMNS)
)
_DUE_POLLS: sa.CompoundSelect[Any] = sa.union_all(
    *(
        sa.select(
            sa.literal_column(f"'{media}'").label("media"), sa.func.count().label("number")
        ).select_from(
            _AWAITED.with_only_columns(analyses.c.id)
            .where(analyses.c.media == sa.literal_column(f"'{media}'"))
            .limit(_MOST)
            .subquery()
        )
        for media in Media
    )
)
_HEATMAPS = (
    sa.select(*rows.ANALYSIS_COLUMNS)
    .where(analyses.c.heatmap_due <= _NOW, _is_free(analyses, _NOW))
    .order_by(analyses.c.heatmap_due)
    .limit(1)
    .with_for_update(**_SKIP)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many uploads may begin, and of what: one for each of ``turns``, which say whether it is that of the oldest.

    At most ``backlog`` are of what was there before the daemon, at most ``most_large`` are of more than ``large`` bytes;
    what has less than ``least_priority`` is passed over. None is without limit.
    """

    turns: Sequence[bool]
    backlog: int | None = None
    large: int | None = None
    most_large: int = 0
    least_priority: int | None = None


def free(tx: sa.Connection, node: str) -> None:
    """Free the claims of ``node``: they are of a daemon that no longer lives."""
    for one in _CLAIMABLE:
        tx.execute(sa.update(analyses).where(one, analyses.c.claimed_by == node).values(work.UNCLAIMED))
    for table in (files, folders):
        tx.execute(sa.update(table).where(table.c.claimed_by == node).values(work.UNCLAIMED))


def bring_forward(tx: sa.Connection, now: datetime) -> None:
    """Let what is due further ahead than anything is ever put off be due now: another clock wrote that."""
    for table in (analyses, files, schema.queue):
        tx.execute(sa.update(table).where(table.c.due > now + FURTHEST).values(due=now))


def renew(tx: sa.Connection, claimant: Claimant, now: datetime, asked: Collection[int]) -> None:
    """Hold every claim of this run for another 15 s; those of questions are of the analyses that are ``asked`` about."""
    for which in (_SENDING, analyses.c.id.in_(asked)) if asked else (_SENDING,):
        mine = sa.and_(which, analyses.c.claimed_by == claimant.node, analyses.c.claim == claimant.token)
        tx.execute(sa.update(analyses).where(mine).values(claimed_until=now + TTL))
    mine = sa.and_(files.c.claimed_by == claimant.node, files.c.claim == claimant.token)
    tx.execute(sa.update(files).where(mine).values(claimed_until=now + TTL))


def give_back(tx: sa.Connection, claimant: Claimant, since: datetime, step: Step) -> None:
    """Give back what this run claimed from ``since`` on and never worked on: whether it was committed was not known.

    Nothing of it was sent, so there is no doubt.
    """
    made = {
        table: sa.and_(
            table.c.claimed_by == claimant.node,
            table.c.claim == claimant.token,
            table.c.claimed_until >= since + TTL,
        )
        for table in (analyses, files)
    }
    sending = sa.select(analyses.c.id).where(_SENDING, made[analyses])
    unsent = Unsent("the ledger was away when it was to begin", counts=False)
    work.advance_all(tx, dict.fromkeys(tx.execute(sending).scalars(), unsent), step, claimant)
    for one in _CLAIMABLE:
        tx.execute(sa.update(analyses).where(one, made[analyses]).values(work.UNCLAIMED))
    tx.execute(sa.update(files).where(made[files]).values(work.UNCLAIMED))


def begin_uploads(
    tx: sa.Connection, claimant: Claimant, step: Step, *, reach: Mapping[int, str], room: Room
) -> list[tuple[Analysis, File]]:
    """Claim the contents to send next, as there is ``room``, and write that this begins.

    Each is returned with a file to read it from, of the folders in ``reach``, which are told by their numbers, each with
    ``whose`` it is in the queue. A hot folder first, then news before the backlog, then the newest; where it is the turn of the oldest, that of all
    which has waited longest.
    """
    turns, backlog, large, most_large = room.turns, room.backlog, room.large, room.most_large
    lines = {
        oldest: _line(
            tx,
            oldest=oldest,
            halves=(False,) if backlog == 0 else (False, True),
            whose=sorted(set(reach.values())),
            bounds={
                "now": step.now,
                "folders": list(reach),
                "most": len(turns),
                "at_most": large if most_large == 0 else None,
                "least": room.least_priority,
            },
        )
        for oldest in set(turns)
    }
    # What a daemon of an earlier version left in the queue; nothing else does. Sent it must not be, and it would stand
    # before what is behind it for ever.
    strays = {one.id for line in lines.values() for one in line if not queue.is_in(rows.analysis(one))}
    queue.leave(tx, strays)
    picked: dict[int, sa.Row[Any]] = {}
    of_backlog = of_large = 0
    for oldest in turns:
        for one in lines[oldest]:
            is_large = large is not None and one.size > large
            if (
                one.id in picked
                or one.id in strays
                or (is_large and of_large >= most_large)
                or (one.backlog and backlog is not None and of_backlog >= backlog)
            ):
                continue
            picked[one.id] = one
            of_backlog += one.backlog
            of_large += is_large
            break
    read_from = _present_files(tx, list(picked), reach)
    begun = work.begin(tx, [rows.analysis(row) for row in picked.values()], step, _held(claimant, step.now))
    return [(analysis, read_from[number]) for number, analysis in begun.items()]


def due_polls(tx: sa.Connection, now: datetime, limit: int) -> dict[Media, int]:
    """Count the awaiting analyses of each kind that are due and that nobody asks for, up to ``limit``."""
    values = {"now": now, "until": now, "most": limit}
    return {Media(row.media): row.number for row in tx.execute(_DUE_POLLS, values)}


def claim_polls(
    tx: sa.Connection, claimant: Claimant, now: datetime, media: Media, *, ahead: timedelta, limit: int
) -> list[Analysis]:
    """Claim awaiting analyses of one kind: those that are due, and what may be done within ``ahead`` besides."""
    values = {"now": now, "until": now + ahead, "kind": media, "most": limit, **_held(claimant, now)}
    found = sorted(tx.execute(_CLAIM_POLLS, values), key=lambda row: row.due)
    return [rows.analysis(row) for row in found]


def still_awaited(
    tx: sa.Connection, now: datetime, media: Media, *, ahead: timedelta, limit: int
) -> list[Analysis]:
    """Return the awaiting analyses of one kind that nobody asks for, by when they are due, within ``ahead``."""
    values = {"now": now, "until": now + ahead, "kind": media, "most": limit}
    return [rows.analysis(row) for row in tx.execute(_STILL_AWAITED, values)]


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
    return tx.execute(_HEATMAPS, {"now": now}).first() is not None


def claim_heatmap(tx: sa.Connection, claimant: Claimant, now: datetime) -> Analysis | None:
    """Claim a judged analysis whose heatmap is due."""
    found = tx.execute(_HEATMAPS, {"now": now}).first()
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
    values = {"now": now, "folder": folder_id, "but": list(but), "most": limit}
    return _claim_files(tx, _DELIVERIES, values, claimant, now)


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
    values = {"now": now, "folder": folder_id, "but": list(but), "most": limit}
    return _claim_files(tx, _ORPHANS, values, claimant, now)


def _claim_files(
    tx: sa.Connection,
    query: sa.Select[Any],
    values: Mapping[str, Any],
    claimant: Claimant,
    now: datetime,
) -> list[Delivery]:
    found = [rows.file(row) for row in tx.execute(query, values)]
    _claim(tx, files, [file.id for file in found], claimant, now)
    return reading.deliveries(tx, found)


def postpone_orphan(tx: sa.Connection, file_id: int, until: datetime) -> None:
    """Let a sidecar that could not be put aside be tried again later."""
    tx.execute(sa.update(files).where(files.c.id == file_id).values(orphan_due=until, **work.UNCLAIMED))


def lapsed(tx: sa.Connection, now: datetime) -> list[Analysis]:
    """Return the uploads that nobody works on any more: what became of them is in doubt."""
    return [rows.analysis(row) for row in tx.execute(_LAPSED, {"now": now})]


def overdue(tx: sa.Connection, now: datetime, limit: int = 100) -> list[Analysis]:
    """Return what has been awaited past its deadline and is not given up yet."""
    return [rows.analysis(row) for row in tx.execute(_OVERDUE, {"now": now, "most": limit})]


def _line(
    tx: sa.Connection,
    *,
    oldest: bool,
    halves: tuple[bool, ...],
    whose: Sequence[str],
    bounds: Mapping[str, Any],
) -> list[sa.Row[Any]]:
    """Return the rows of the first of those that wait for their upload, in the order in which they go."""
    given = {name: value for name, value in bounds.items() if value is not None}
    query = _uploads(oldest=oldest, halves=halves, bounded=frozenset(given))
    found = [row for one in whose for row in tx.execute(query, given | {"whose": one})]
    if oldest:
        return sorted(found, key=lambda one: one.noticed_at)
    return sorted(found, key=lambda one: (one.priority, not one.backlog, one.noticed_at), reverse=True)


@cache
def _uploads(*, oldest: bool, halves: tuple[bool, ...], bounded: frozenset[str]) -> sa.CompoundSelect[Any]:
    """Return the query for the next uploads of a host or a share, of each of the ``halves``: the backlog, and what is news.

    Each half is read in the order of an index. A content without a file in one of the folders is passed over: one
    folder that cannot be reached does not keep the others waiting.
    """
    copies = sa.select(files.c.id).where(files.c.analysis_id == analyses.c.id, PRESENT, _IN_FOLDERS)
    query = (
        sa.select(*rows.ANALYSIS_COLUMNS)
        .select_from(schema.queue)
        .join(analyses, analyses.c.id == schema.queue.c.analysis_id)
        .where(
            schema.queue.c.whose == sa.bindparam("whose"),
            # In words that no index has: else SQLite begins with this, and sorts all that it finds. Nothing is said of the
            # state: a server's planner would take it that hardly a row passes, and sort them all likewise.
            sa.func.coalesce(schema.queue.c.due, sa.literal_column("0")) <= _NOW,
            _is_free(analyses, _NOW),
            copies.exists(),
        )
        .order_by(
            *(
                (schema.queue.c.noticed_at,)
                if oldest
                else (schema.queue.c.priority.desc(), schema.queue.c.noticed_at.desc())
            )
        )
        .limit(_MOST)
        .with_for_update(of=analyses, **_SKIP)
    )
    if "at_most" in bounded:
        query = query.where(analyses.c.size <= sa.bindparam("at_most"))
    if "least" in bounded:
        query = query.where(schema.queue.c.priority >= sa.bindparam("least"))
    of_halves = (query.where(schema.queue.c.backlog == (YES if half else NO)).subquery() for half in halves)
    return sa.union_all(*(sa.select(half) for half in of_halves))


def _present_files(
    tx: sa.Connection, analysis_ids: Sequence[int], folder_ids: Collection[int]
) -> dict[int, File]:
    """Return a file of the folders for each content; one that the last scan saw, if any."""
    if not analysis_ids:
        return {}
    found: dict[int, File] = {}
    for file in map(rows.file, tx.execute(_READ_FROM, {"ids": analysis_ids, "folders": list(folder_ids)})):
        if file.analysis_id is not None:
            found.setdefault(file.analysis_id, file)
    return found


def _claim(tx: sa.Connection, table: sa.Table, ids: Sequence[int], claimant: Claimant, now: datetime) -> None:
    if ids:
        tx.execute(_CLAIMS[table], {"ids": list(ids), **_held(claimant, now)})


def _held(claimant: Claimant, now: datetime) -> dict[str, Any]:
    """Return the columns of a claim that begins now."""
    return {"claimed_by": claimant.node, "claim": claimant.token, "claimed_until": now + TTL}
