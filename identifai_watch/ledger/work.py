"""Transitions: what happened to an analysis or a file, with all that follows from it for the others.

Reading a row, advancing it and writing it are one transaction, or an operator's command would be lost under a
stale copy. Who may work on a row is left to ``claims``.
"""

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from identifai_watch.core import lifecycle
from identifai_watch.core.events import (
    Absent,
    AnalysisEvent,
    Delivered,
    FileEvent,
    Judged,
    Overridden,
    Present,
    Reopened,
    Undelivered,
)
from identifai_watch.core.lifecycle import SETTLED, Duty, Policy
from identifai_watch.core.model import Analysis, AnalysisState, Decision, File, FileState, Media, Outcome
from identifai_watch.core.sidecar import shown
from identifai_watch.core.trail import Entry
from identifai_watch.ledger import rows, trail
from identifai_watch.ledger.schema import account, analyses, answers, files, folders

PRESENT = files.c.state.in_([FileState.WAITING, FileState.DELIVERED])
"""The files that stand for something: what was replaced, or is gone, does not."""

UNCLAIMED: Mapping[str, None] = {"claimed_by": None, "claim": None, "claimed_until": None}


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
    """A file whose verdict is to be put where people look, with all that its sidecar says.

    ``previous`` is the judged file whose place it took.
    """

    file: File
    analysis: Analysis | None
    raw: bytes | None = None
    heatmap: bytes | None = None
    previous: "Delivery | None" = None


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
    if after == before and claimant is None:
        return after  # nothing happened, and a question that is under way keeps its claim
    put_analysis(tx, after)
    if isinstance(event, Judged):
        _keep_answer(tx, analysis_id, event.raw)
    if _is_news(before, after, event):
        record(tx, step, event, analysis=after)
    if after.state in SETTLED and (before.state is not after.state or isinstance(event, Overridden)):
        _reopen_files(tx, analysis_id, step)
    elif before.state in SETTLED and after.state not in SETTLED:
        _rest_files(tx, analysis_id)
    return after


def put_analysis(tx: sa.Connection, value: Analysis) -> None:
    """Write an analysis; its claim is kept only while it is being sent."""
    values = rows.analysis_values(value)
    if value.state is not AnalysisState.SENDING:
        values |= UNCLAIMED
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

    With a ``claimant``, only while its claim holds; else returns None and changes nothing. A delivery is given up
    only while others of its folder succeed: what the API answers says nothing about a disk.
    """
    query = select_files().where(files.c.id == file_id)
    if claimant is not None:
        query = query.where(files.c.claim == claimant.token)
    found = tx.execute(query).first()
    if found is None:
        return None
    before = rows.file(found)
    policy = step.policy
    if isinstance(event, Undelivered):
        policy = replace(policy, others_at=_delivered_at(tx, file_id))
    after = lifecycle.advance_file(before, event, step.now, policy, step.chance)
    if after.due is not None and lifecycle.duty(after, _state_of(tx, after.analysis_id)) is not Duty.DELIVER:
        after = replace(after, due=None)
    if after == before and claimant is None:
        return after
    put_file(tx, after, keep_claim=keep_claim)
    if _is_news_of_file(before, after):
        record(tx, step, event, file=after, **_ending(after, event))
    if before.state is not after.state and before.analysis_id is not None:
        _mind_presence(tx, before.analysis_id, after, step)
    return after


def put_file(tx: sa.Connection, value: File, *, keep_claim: bool = False) -> None:
    """Write a file; its claim ends with that unless it is kept."""
    values = rows.file_values(value)
    if not keep_claim:
        values |= UNCLAIMED
    tx.execute(sa.update(files).where(files.c.id == value.id).values(values))


def record(
    tx: sa.Connection,
    step: Step,
    event: object,
    *,
    file: File | None = None,
    analysis: Analysis | None = None,
    **detail: Any,
) -> None:
    """Write one line of history: what happened, by whom, to what, with the hash and the identifier that it is about."""
    name = event if isinstance(event, str) else type(event).__name__.lower()
    said = {} if isinstance(event, str) else _said(event)
    trail.append(
        tx,
        Entry(
            at=step.now,
            who=step.who,
            event=name,
            file_id=None if file is None else file.id,
            analysis_id=analysis.id if analysis is not None else None if file is None else file.analysis_id,
            detail=json.dumps(_subject(file, analysis) | said | detail, default=_plain),
        ),
    )


def _subject(file: File | None, analysis: Analysis | None) -> dict[str, Any]:
    """Return what a line of history is about, for whoever reads it without the rows that it points to."""
    sha256 = analysis.sha256 if analysis is not None else None if file is None else file.sha256
    identifier = None if analysis is None else analysis.identifier
    named = {"sha256": None if sha256 is None else sha256.hex(), "identifier": identifier}
    return {name: value for name, value in named.items() if value is not None}


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
    # Two questions, each with an index of its own: together, as one OR over a join, they read every file.
    given_up = sa.select(files.c.id).where(files.c.stuck_at.is_not(None))
    of_content = sa.select(files.c.id).join(analyses, analyses.c.id == files.c.analysis_id)
    either = sa.union(given_up, of_content.where(analyses.c.stuck_at.is_not(None)))
    query = select_files().where(files.c.id.in_(either)).order_by(files.c.id)
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
    """Have the content of a file judged anew, for every file that has it; None while that is under way already.

    A file that missed an edition, since it was away then, takes that one: it is paid for.
    """
    if file.analysis_id is None:
        return None
    old = analysis(tx, file.analysis_id)
    latest = _latest_edition(tx, old)
    if old.state not in SETTLED or latest.state not in SETTLED:
        return None
    if latest.id != old.id:
        _put_edition(tx, file, latest, step)
        advance_file(tx, file.id, Reopened(), step)
        return latest
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
    fresh = analysis(tx, key)
    _rest_files(tx, old.id)
    for copy in files_of(tx, old.id):
        if copy.state in {FileState.WAITING, FileState.DELIVERED}:
            _put_edition(tx, copy, fresh, step)
    return fresh


def _latest_edition(tx: sa.Connection, of: Analysis) -> Analysis:
    """Return the newest analysis of the same content under the same options."""
    query = sa.select(*rows.ANALYSIS_COLUMNS).where(
        analyses.c.sha256 == of.sha256, analyses.c.media == of.media, analyses.c.options == of.options
    )
    return rows.analysis(tx.execute(query.order_by(analyses.c.edition.desc()).limit(1)).one())


def _put_edition(tx: sa.Connection, file: File, edition: Analysis, step: Step) -> None:
    """Let a file have another edition of its analysis."""
    tx.execute(sa.update(files).where(files.c.id == file.id).values(analysis_id=edition.id))
    record(tx, step, "rejudged", file=file, analysis=edition, edition=edition.edition)


def files_of(tx: sa.Connection, analysis_id: int) -> list[File]:
    """Return every file that has the content of an analysis."""
    return [rows.file(row) for row in tx.execute(select_files().where(files.c.analysis_id == analysis_id))]


def reroute(
    tx: sa.Connection, file: File, outcome_of: Callable[[Delivery], tuple[Outcome, str | None]], step: Step
) -> None:
    """Deliver a file once more if what it was delivered as is no longer what holds: it was decided meanwhile."""
    if outcome_of(delivery(tx, file))[0] is not file.outcome:
        advance_file(tx, file.id, Reopened(), step)


def keep_heatmap(
    tx: sa.Connection, analysis: Analysis, png: bytes | None, due: datetime | None, step: Step
) -> None:
    """Keep a heatmap and have it delivered, or write when to ask for it again; None and no instant: given up."""
    if png is not None:
        tx.execute(sa.update(answers).where(answers.c.analysis_id == analysis.id).values(heatmap=png))
        _reopen_files(tx, analysis.id, step)
    failures = analysis.heatmap_failures + (png is None)
    tx.execute(
        sa.update(analyses)
        .where(analyses.c.id == analysis.id)
        .values(heatmap_due=due, heatmap_failures=failures, **UNCLAIMED)
    )


def durations(tx: sa.Connection, media: Media, limit: int = 50) -> list[timedelta]:
    """Return how long the latest verdicts of one kind took."""
    query = (
        sa.select(analyses.c.submitted_at, analyses.c.judged_at)
        # Of what was rebuilt from a sidecar it is not known when it was sent.
        .where(
            analyses.c.media == media, analyses.c.judged_at.is_not(None), analyses.c.submitted_at.is_not(None)
        )
        .order_by(analyses.c.judged_at.desc())
        .limit(limit)
    )
    return [row.judged_at - row.submitted_at for row in tx.execute(query)]


def others_at(tx: sa.Connection) -> datetime | None:
    """Return when a request last got through."""
    return tx.execute(sa.select(account.c.succeeded_at)).scalar()


def select_files() -> sa.Select[Any]:
    """Return the query for files with the names of their folders."""
    return sa.select(*rows.FILE_COLUMNS).join(folders, folders.c.id == files.c.folder_id)


def delivery(tx: sa.Connection, file: File) -> Delivery:
    """Return all that the delivery of ``file`` needs."""
    if file.analysis_id is None:
        return Delivery(file=file, analysis=None, previous=_previous(tx, file))
    found = tx.execute(sa.select(*rows.ANALYSIS_COLUMNS).where(analyses.c.id == file.analysis_id)).one()
    answer = tx.execute(
        sa.select(answers.c.raw, answers.c.heatmap).where(answers.c.analysis_id == found.id)
    ).first()
    return Delivery(
        file=file,
        analysis=rows.analysis(found),
        raw=None if answer is None else zlib.decompress(answer.raw),
        heatmap=None if answer is None else answer.heatmap,
        previous=_previous(tx, file),
    )


def _previous(tx: sa.Connection, of: File) -> Delivery | None:
    """Return the judged file whose place ``of`` took, if that is to be told."""
    before = None if of.interim is None or of.supersedes is None else file(tx, of.supersedes)
    if before is None:
        return None
    return Delivery(
        file=before, analysis=None if before.analysis_id is None else analysis(tx, before.analysis_id)
    )


def _reopen_files(tx: sa.Connection, analysis_id: int, step: Step) -> None:
    """Have every file of an analysis delivered: its verdict is here, or is another one."""
    for file in files_of(tx, analysis_id):
        if file.state in {FileState.WAITING, FileState.DELIVERED}:
            advance_file(tx, file.id, Reopened(), step)


def _rest_files(tx: sa.Connection, analysis_id: int) -> None:
    """Let the files of an analysis wait for its verdict: there is nothing to deliver until then."""
    tx.execute(sa.update(files).where(files.c.analysis_id == analysis_id).values(due=None))


def _delivered_at(tx: sa.Connection, file_id: int) -> datetime | None:
    """Return when anything was last delivered in the folder of a file."""
    its_folder = sa.select(files.c.folder_id).where(files.c.id == file_id).scalar_subquery()
    return tx.execute(
        sa.select(sa.func.max(files.c.delivered_at)).where(files.c.folder_id == its_folder)
    ).scalar()


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


def _is_news_of_file(before: File, after: File) -> bool:
    """Tell whether history should know: a change of state, of what people are told, or giving up; not each look."""
    told = (before.state, before.stuck_at, before.interim, before.outcome is Outcome.PENDING)
    return told != (after.state, after.stuck_at, after.interim, after.outcome is Outcome.PENDING)


def _ending(file: File, event: FileEvent) -> dict[str, Any]:
    """Return what was told of a file that is delivered: outcome and reason, and the desk's decision if it counted."""
    if not isinstance(event, Delivered):
        return {}
    choice = None if file.decision is None else file.decision.choice
    said = {"outcome": file.outcome, "reason": file.reason, "decision": choice}
    return {name: value for name, value in said.items() if value is not None}


def _mind_presence(tx: sa.Connection, analysis_id: int, file: File, step: Step) -> None:
    """Let a queued analysis rest while none of its files can be seen, and go on when one is back."""
    left = tx.execute(
        sa.select(files.c.id).where(files.c.analysis_id == analysis_id, PRESENT).limit(1)
    ).first()
    if left is None:
        advance(tx, analysis_id, Absent(), step)
    elif file.state is FileState.WAITING:
        advance(tx, analysis_id, Present(), step)


def _said(event: object) -> dict[str, Any]:
    """Return what an event says, without the raw answer, which has a table of its own."""
    names = getattr(type(event), "__dataclass_fields__", {})
    return {name: getattr(event, name) for name in names if name not in {"raw", "fingerprint", "counts"}}


def _plain(value: object) -> object:
    """Return what JSON cannot hold in a form that it can: a value's fields, the bytes of a path as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return shown(value) if isinstance(value, bytes) else str(value)
