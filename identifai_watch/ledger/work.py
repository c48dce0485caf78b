"""Claims and transitions: who works on a row, and what came of it.

A claim is (node, token, until), renewed by the loop and fenced by its token: whoever lost it cannot write any
more. Reading a row, advancing it and writing it are one transaction, or an operator's command would be lost
under a stale copy.
"""

import json
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from identifai_watch.core import lifecycle
from identifai_watch.core.lifecycle import SETTLED, Duty, Policy
from identifai_watch.core.model import (
    Absent,
    Analysis,
    AnalysisEvent,
    AnalysisState,
    Decision,
    File,
    FileEvent,
    FileState,
    Judged,
    Media,
    Outcome,
    Overridden,
    Present,
    Reopened,
)
from identifai_watch.ledger import rows
from identifai_watch.ledger.schema import account, analyses, answers, files, folders, history

TTL = timedelta(seconds=15)
_PRESENT = files.c.state.in_([FileState.WAITING, FileState.DELIVERED])


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """A daemon's run: the node it runs on, and the token that fences what it does."""

    node: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How to advance: the instant, the policy, a chance in [0, 1) that spreads waits, and who does it."""

    now: datetime
    policy: Policy
    chance: float = 0.5
    who: str = "daemon"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A file whose verdict is to be put where people look, with all that its sidecar says."""

    file: File
    analysis: Analysis | None
    raw: bytes | None
    heatmap: bytes | None


def free(tx: sa.Connection, node: str) -> None:
    """Free the claims of ``node``: they are of a daemon that no longer lives."""
    for table in (analyses, files):
        tx.execute(
            sa.update(table)
            .where(table.c.claimed_by == node)
            .values(claimed_by=None, claim=None, claimed_until=None)
        )


def renew(tx: sa.Connection, claimant: Claimant, now: datetime) -> None:
    """Hold every claim of this run for another 15 s."""
    for table in (analyses, files):
        tx.execute(sa.update(table).where(table.c.claim == claimant.token).values(claimed_until=now + TTL))


def claim_upload(
    tx: sa.Connection,
    claimant: Claimant,
    now: datetime,
    *,
    folder_ids: Collection[int],
    oldest: bool = False,
    backlog: bool = True,
    at_most: int | None = None,
) -> tuple[Analysis, File] | None:
    """Claim the content to send next, with a file of ``folder_ids`` to read it from.

    A hot folder first, then the newest; with ``oldest`` the one that has waited longest. Without ``backlog`` only
    what came while the daemon ran; ``at_most`` is the largest size in bytes.
    """
    query = sa.select(*rows.ANALYSIS_COLUMNS).where(_is_due(AnalysisState.QUEUED, now))
    if not backlog:
        query = query.where(analyses.c.backlog.is_(False))
    if at_most is not None:
        query = query.where(analyses.c.size <= at_most)
    order = (
        (analyses.c.noticed_at.asc(),)
        if oldest
        else (analyses.c.priority.desc(), analyses.c.noticed_at.desc())
    )
    for found in tx.execute(query.order_by(*order).limit(20)).all():
        analysis = rows.analysis(found)
        file = present_file(tx, analysis.id, folder_ids)
        if file is not None:
            _claim(tx, analyses, [analysis.id], claimant, now)
            return analysis, file
    return None


def present_file(tx: sa.Connection, analysis_id: int, folder_ids: Collection[int]) -> File | None:
    """Return a file of ``folder_ids`` that has the content of an analysis and was seen by the last scan."""
    query = (
        select_files()
        .where(files.c.analysis_id == analysis_id, _PRESENT, files.c.folder_id.in_(folder_ids))
        .order_by(files.c.missing, files.c.id)
        .limit(1)
    )
    found = tx.execute(query).first()
    return None if found is None else rows.file(found)


def claim_polls(
    tx: sa.Connection, claimant: Claimant, now: datetime, media: Media, *, ahead: timedelta, limit: int
) -> list[Analysis]:
    """Claim awaiting analyses of one kind: those that are due, and what may be done within ``ahead`` besides."""
    query = (
        sa.select(*rows.ANALYSIS_COLUMNS)
        .where(_is_due(AnalysisState.AWAITING, now + ahead, claimed_at=now), analyses.c.media == media)
        .order_by(analyses.c.due)
        .limit(limit)
    )
    found = [rows.analysis(row) for row in tx.execute(query)]
    if not found or (found[0].due or now) > now:
        return []
    _claim(tx, analyses, [row.id for row in found], claimant, now)
    return found


def claim_heatmap(tx: sa.Connection, claimant: Claimant, now: datetime) -> Analysis | None:
    """Claim a judged analysis whose heatmap is due."""
    query = (
        sa.select(*rows.ANALYSIS_COLUMNS)
        .where(analyses.c.heatmap_due <= now, _is_free(analyses, now))
        .order_by(analyses.c.heatmap_due)
        .limit(1)
    )
    found = tx.execute(query).first()
    if found is None:
        return None
    _claim(tx, analyses, [found.id], claimant, now)
    return rows.analysis(found)


def claim_deliveries(
    tx: sa.Connection, claimant: Claimant, now: datetime, folder_id: int, limit: int
) -> list[Delivery]:
    """Claim files of one folder whose verdict, or whose refusal, can be delivered."""
    query = (
        select_files()
        .where(
            files.c.state == FileState.WAITING,
            files.c.due <= now,
            files.c.folder_id == folder_id,
            _is_free(files, now),
        )
        .order_by(files.c.priority.desc(), files.c.due)
        .limit(limit)
    )
    found = [rows.file(row) for row in tx.execute(query)]
    _claim(tx, files, [file.id for file in found], claimant, now)
    return [_delivery(tx, file) for file in found]


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
            _is_due(AnalysisState.AWAITING, now + timedelta(minutes=2), claimed_at=now),
            analyses.c.deadline <= now,
        )
        .limit(limit)
    )
    return [rows.analysis(row) for row in tx.execute(query)]


def next_due(tx: sa.Connection) -> datetime | None:
    """Return when the next row of any duty is due; None if nothing waits."""
    queries = (
        sa.select(sa.func.min(analyses.c.due)).where(analyses.c.state == AnalysisState.QUEUED),
        *(
            sa.select(sa.func.min(analyses.c.due)).where(
                analyses.c.state == AnalysisState.AWAITING, analyses.c.media == media
            )
            for media in Media
        ),
        sa.select(sa.func.min(files.c.due)).where(files.c.state == FileState.WAITING),
        sa.select(sa.func.min(analyses.c.heatmap_due)),
    )
    dues = [due for query in queries if (due := tx.execute(query).scalar()) is not None]
    return min(dues, default=None)


def advance(
    tx: sa.Connection, analysis_id: int, event: AnalysisEvent, step: Step, claimant: Claimant | None = None
) -> Analysis | None:
    """Advance an analysis by ``event``, with all that follows for its files.

    With a ``claimant``, only while its claim holds; else returns None and changes nothing. Raises UnexpectedError
    if the table does not know the arrow.
    """
    query = sa.select(*rows.ANALYSIS_COLUMNS).where(analyses.c.id == analysis_id)
    if claimant is not None:
        query = query.where(analyses.c.claim == claimant.token)
    found = tx.execute(query).first()
    if found is None:
        return None
    before = rows.analysis(found)
    after = lifecycle.advance(before, event, step.now, step.policy, step.chance)
    put_analysis(tx, after)
    if isinstance(event, Judged):
        _keep_answer(tx, analysis_id, event.raw)
    if _is_news(before, after, event):
        record(tx, step, event, file_id=None, analysis_id=analysis_id)
    if after.state in SETTLED and (before.state is not after.state or isinstance(event, Overridden)):
        for file in files_of(tx, analysis_id):
            if file.state in {FileState.WAITING, FileState.DELIVERED}:
                advance_file(tx, file.id, Reopened(), step)
    return after


def put_analysis(tx: sa.Connection, value: Analysis) -> None:
    """Write an analysis; its claim is kept only while it is being sent."""
    values = rows.analysis_values(value)
    if value.state is not AnalysisState.SENDING:
        values |= {"claimed_by": None, "claim": None, "claimed_until": None}
    tx.execute(sa.update(analyses).where(analyses.c.id == value.id).values(values))


def advance_file(
    tx: sa.Connection,
    file_id: int,
    event: FileEvent,
    step: Step,
    claimant: Claimant | None = None,
    *,
    keep_claim: bool = False,
) -> File | None:
    """Advance a file by ``event``; its analysis rests while no file with its content can be seen.

    With a ``claimant``, only while its claim holds; else returns None and changes nothing.
    """
    query = select_files().where(files.c.id == file_id)
    if claimant is not None:
        query = query.where(files.c.claim == claimant.token)
    found = tx.execute(query).first()
    if found is None:
        return None
    before = rows.file(found)
    after = lifecycle.advance_file(before, event, step.now, step.policy, step.chance)
    if after.due is not None and lifecycle.duty(after, _state_of(tx, after.analysis_id)) is not Duty.DELIVER:
        after = replace(after, due=None)
    if after == before and claimant is None:
        return after
    put_file(tx, after, keep_claim=keep_claim)
    if before.state is not after.state or before.stuck_at != after.stuck_at:
        record(tx, step, event, file_id=file_id, analysis_id=before.analysis_id)
    if before.state is not after.state and before.analysis_id is not None:
        _mind_presence(tx, before.analysis_id, after, step)
    return after


def put_file(tx: sa.Connection, value: File, *, keep_claim: bool = False) -> None:
    """Write a file; its claim ends with that unless it is kept."""
    values = rows.file_values(value)
    if not keep_claim:
        values |= {"claimed_by": None, "claim": None, "claimed_until": None}
    tx.execute(sa.update(files).where(files.c.id == value.id).values(values))


def record(
    tx: sa.Connection,
    step: Step,
    event: object,
    *,
    file_id: int | None,
    analysis_id: int | None,
    **detail: Any,
) -> None:
    """Write one line of history: what happened, by whom, to what."""
    name = event if isinstance(event, str) else type(event).__name__.lower()
    said = {} if isinstance(event, str) else _said(event)
    tx.execute(
        sa.insert(history).values(
            at=step.now,
            who=step.who,
            event=name,
            file_id=file_id,
            analysis_id=analysis_id,
            detail=json.dumps(said | detail, default=str),
        )
    )


def file(tx: sa.Connection, file_id: int) -> File | None:
    """Return the file of that number, if there is one."""
    found = tx.execute(select_files().where(files.c.id == file_id)).first()
    return None if found is None else rows.file(found)


def analysis(tx: sa.Connection, analysis_id: int) -> Analysis:
    """Return the analysis of that number."""
    return rows.analysis(
        tx.execute(sa.select(*rows.ANALYSIS_COLUMNS).where(analyses.c.id == analysis_id)).one()
    )


def analyses_of(tx: sa.Connection, sha256: bytes) -> list[Analysis]:
    """Return every analysis of a content."""
    query = sa.select(*rows.ANALYSIS_COLUMNS).where(analyses.c.sha256 == sha256)
    return [rows.analysis(row) for row in tx.execute(query)]


def stuck_files(tx: sa.Connection) -> list[File]:
    """Return the files that are given up, or whose content is."""
    query = (
        select_files()
        .outerjoin(analyses, analyses.c.id == files.c.analysis_id)
        .where(sa.or_(files.c.stuck_at.is_not(None), analyses.c.stuck_at.is_not(None)))
    )
    return [rows.file(row) for row in tx.execute(query)]


def put_decision(tx: sa.Connection, file_id: int, decision: Decision) -> None:
    """Write the desk's judgement of a file."""
    tx.execute(
        sa.update(files)
        .where(files.c.id == file_id)
        .values(
            decision=decision.choice,
            decision_reason=decision.reason,
            decided_by=decision.by,
            decided_at=decision.at,
        )
    )


def new_edition(tx: sa.Connection, file: File, step: Step) -> Analysis | None:
    """Have the content of a file judged anew, for every file that has it; None while one is still under way."""
    if file.analysis_id is None:
        return None
    old = analysis(tx, file.analysis_id)
    if old.state not in SETTLED:
        return None
    values = rows.analysis_values(
        Analysis(
            id=0,
            sha256=old.sha256,
            media=old.media,
            mime=old.mime,
            options=old.options,
            size=old.size,
            noticed_at=step.now,
            edition=old.edition + 1,
            no_cache=True,
            priority=old.priority + 1,
            due=step.now,
        )
    )
    key = tx.execute(sa.insert(analyses).values(values).returning(analyses.c.id)).scalar_one()
    for copy in files_of(tx, old.id):
        if copy.state in {FileState.WAITING, FileState.DELIVERED}:
            tx.execute(sa.update(files).where(files.c.id == copy.id).values(analysis_id=key))
            record(tx, step, "rejudged", file_id=copy.id, analysis_id=key, edition=old.edition + 1)
    return analysis(tx, key)


def files_of(tx: sa.Connection, analysis_id: int) -> list[File]:
    """Return every file that has the content of an analysis."""
    return [rows.file(row) for row in tx.execute(select_files().where(files.c.analysis_id == analysis_id))]


def reroute(
    tx: sa.Connection, file: File, outcome_of: Callable[[Delivery], tuple[Outcome, str | None]], step: Step
) -> None:
    """Deliver a file once more if what it was delivered as is no longer what holds: it was decided meanwhile."""
    if outcome_of(_delivery(tx, file))[0] is not file.outcome:
        advance_file(tx, file.id, Reopened(), step)


def keep_heatmap(
    tx: sa.Connection, analysis: Analysis, png: bytes | None, due: datetime | None, step: Step
) -> None:
    """Keep a heatmap and have it delivered, or write when to ask for it again; None and no instant: given up."""
    if png is not None:
        tx.execute(sa.update(answers).where(answers.c.analysis_id == analysis.id).values(heatmap=png))
        for file in files_of(tx, analysis.id):
            if file.state in {FileState.WAITING, FileState.DELIVERED}:
                advance_file(tx, file.id, Reopened(), step)
    failures = analysis.heatmap_failures + (png is None)
    tx.execute(
        sa.update(analyses)
        .where(analyses.c.id == analysis.id)
        .values(heatmap_due=due, heatmap_failures=failures, claimed_by=None, claim=None, claimed_until=None)
    )


def durations(tx: sa.Connection, media: Media, limit: int = 50) -> list[timedelta]:
    """Return how long the latest verdicts of one kind took."""
    query = (
        sa.select(analyses.c.submitted_at, analyses.c.judged_at)
        .where(analyses.c.state == AnalysisState.JUDGED, analyses.c.media == media)
        .order_by(analyses.c.id.desc())
        .limit(limit)
    )
    return [row.judged_at - row.submitted_at for row in tx.execute(query) if row.submitted_at is not None]


def others_at(tx: sa.Connection) -> datetime | None:
    """Return when a request last got through."""
    return tx.execute(sa.select(account.c.succeeded_at)).scalar()


def select_files() -> sa.Select[Any]:
    """Return the query for files with the names of their folders."""
    return sa.select(*rows.FILE_COLUMNS).join(folders, folders.c.id == files.c.folder_id)


def _is_free(table: sa.Table, now: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(table.c.claimed_until.is_(None), table.c.claimed_until <= now)


def _is_due(
    state: AnalysisState, due: datetime, *, claimed_at: datetime | None = None
) -> sa.ColumnElement[bool]:
    return sa.and_(analyses.c.state == state, analyses.c.due <= due, _is_free(analyses, claimed_at or due))


def _claim(tx: sa.Connection, table: sa.Table, ids: Sequence[int], claimant: Claimant, now: datetime) -> None:
    if ids:
        tx.execute(
            sa.update(table)
            .where(table.c.id.in_(ids))
            .values(claimed_by=claimant.node, claim=claimant.token, claimed_until=now + TTL)
        )


def _delivery(tx: sa.Connection, file: File) -> Delivery:
    """Return all that the delivery of ``file`` needs."""
    if file.analysis_id is None:
        return Delivery(file=file, analysis=None, raw=None, heatmap=None)
    found = tx.execute(sa.select(*rows.ANALYSIS_COLUMNS).where(analyses.c.id == file.analysis_id)).one()
    answer = tx.execute(
        sa.select(answers.c.raw, answers.c.heatmap).where(answers.c.analysis_id == found.id)
    ).first()
    return Delivery(
        file=file,
        analysis=rows.analysis(found),
        raw=None if answer is None else zlib.decompress(answer.raw),
        heatmap=None if answer is None else answer.heatmap,
    )


def _state_of(tx: sa.Connection, analysis_id: int | None) -> AnalysisState | None:
    if analysis_id is None:
        return None
    return AnalysisState(
        tx.execute(sa.select(analyses.c.state).where(analyses.c.id == analysis_id)).scalar_one()
    )


def _keep_answer(tx: sa.Connection, analysis_id: int, raw: bytes) -> None:
    tx.execute(sa.delete(answers).where(answers.c.analysis_id == analysis_id))
    tx.execute(sa.insert(answers).values(analysis_id=analysis_id, raw=zlib.compress(raw)))


def _is_news(before: Analysis, after: Analysis, event: AnalysisEvent) -> bool:
    """Tell whether history should know: a change of state, doubt, or giving up; not each look."""
    if isinstance(event, Absent | Present):
        return False
    told = (before.state, before.doubt, before.stuck_at, before.verdict)
    return told != (after.state, after.doubt, after.stuck_at, after.verdict)


def _mind_presence(tx: sa.Connection, analysis_id: int, file: File, step: Step) -> None:
    """Let a queued analysis rest while none of its files can be seen, and go on when one is back."""
    left = tx.execute(
        sa.select(files.c.id).where(files.c.analysis_id == analysis_id, _PRESENT).limit(1)
    ).first()
    if left is None:
        advance(tx, analysis_id, Absent(), step)
    elif file.state is FileState.WAITING:
        advance(tx, analysis_id, Present(), step)


def _said(event: object) -> dict[str, Any]:
    """Return what an event says, without the raw answer, which has a table of its own."""
    names = getattr(type(event), "__dataclass_fields__", {})
    return {name: getattr(event, name) for name in names if name not in {"raw", "fingerprint", "counts"}}
