"""Transitions: what happened to an analysis or a file, with all that follows from it for the others.

Reading a row, advancing it and writing it are one transaction, or an operator's command would be lost under a
stale copy. Who may work on a row is left to ``claims``.
"""

import hashlib
import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from identifai_watch.core import lifecycle
from identifai_watch.core.events import (
    Absent,
    AnalysisEvent,
    Deferred,
    Delivered,
    FileEvent,
    Judged,
    Overridden,
    Present,
    Reopened,
    Unanswered,
    Undelivered,
    Unsent,
)
from identifai_watch.core.lifecycle import SETTLED, Duty, Policy
from identifai_watch.core.model import Analysis, AnalysisState, Decision, File, FileState, Media, Outcome
from identifai_watch.core.sidecar import shown
from identifai_watch.core.trail import Entry
from identifai_watch.ledger import rows, trail
from identifai_watch.ledger.schema import account, analyses, answers, files

THERE = frozenset({FileState.WAITING, FileState.DELIVERED})
"""The states of files that stand for something: what was replaced, or is gone, does not."""

PRESENT = files.c.state.in_(sorted(THERE))

Change = tuple[int, dict[str, Any]]
"""The number of a row, and what is to be written of it."""

UNCLAIMED: dict[str, Any] = {"claimed_by": None, "claim": None, "claimed_until": None}


# Statements are built once: to build one anew costs several times what it costs to have it carried out.
_IDS: sa.BindParameter[list[int]] = sa.bindparam("ids", expanding=True)
_ANALYSES = sa.select(*rows.ANALYSIS_COLUMNS).where(analyses.c.id.in_(_IDS))
_FILES = rows.select_files().where(files.c.id.in_(_IDS))
_CLAIMED: Mapping[sa.Select[Any], sa.Select[Any]] = {
    _ANALYSES: _ANALYSES.where(analyses.c.claim == sa.bindparam("token")),
    _FILES: _FILES.where(files.c.claim == sa.bindparam("token")),
}
_FILES_OF = rows.select_files().where(files.c.analysis_id.in_(_IDS))
_PRESENT_OF = sa.select(files.c.id).where(files.c.analysis_id.in_(_IDS), PRESENT)
_STATES = sa.select(analyses.c.id, analyses.c.state).where(analyses.c.id.in_(_IDS))
_ANSWERS = sa.select(answers.c.analysis_id, answers.c.raw, answers.c.heatmap).where(
    answers.c.analysis_id.in_(_IDS)
)
_FORGET_ANSWERS = sa.delete(answers).where(answers.c.analysis_id.in_(_IDS))
_KEEP_ANSWERS = sa.insert(answers)
_UPDATES: Mapping[sa.Table, sa.Update] = {
    table: sa.update(table).where(table.c.id == sa.bindparam("row")) for table in (analyses, files)
}
_PRESENT_ONE = sa.select(files.c.id).where(files.c.analysis_id == sa.bindparam("analysis"), PRESENT).limit(1)


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
    """Advance an analysis by ``event``, as ``advance_all`` does; None if the claim does not hold or it is not there."""
    return advance_all(tx, {analysis_id: event}, step, claimant).get(analysis_id)


def advance_all(
    tx: sa.Connection, events: Mapping[int, AnalysisEvent], step: Step, claimant: Claimant | None = None
) -> dict[int, Analysis]:
    """Advance analyses, each by its event, with all that follows for their files; return those that are there.

    With a ``claimant``, only those whose claim is held; of the others nothing changes. Raises UnexpectedError if the
    table does not know an arrow.
    """
    advanced: dict[int, Analysis] = {}
    changes: list[Change] = []
    told: list[Entry] = []
    judged: dict[int, bytes] = {}
    reopened: list[int] = []
    resting: list[int] = []
    for row in _rows_of(tx, _ANALYSES, list(events), claimant):
        before = rows.analysis(row)
        event, policy = events[before.id], step.policy
        if isinstance(event, Unsent | Deferred | Unanswered):
            policy = replace(policy, others_at=others_at(tx))
        after = advanced[before.id] = lifecycle.advance(before, event, step.now, policy, step.chance)
        if after == before and claimant is None:
            continue  # nothing happened, and a question that is under way keeps its claim
        changes.append((before.id, _changed_analysis(before, after)))
        if isinstance(event, Judged):
            judged[before.id] = event.raw
        if _is_news(before, after, event):
            told.append(_entry(step, event, analysis=after, **_answered(event)))
        if after.state in SETTLED and (before.state is not after.state or isinstance(event, Overridden)):
            reopened.append(before.id)
        elif before.state in SETTLED and after.state not in SETTLED:
            resting.append(before.id)
    _write(tx, analyses, changes)
    _keep_answers(tx, judged)
    trail.append(tx, told)
    _reopen_files(tx, reopened, step)
    for analysis_id in resting:
        _rest_files(tx, analysis_id)
    return advanced


def _changed_analysis(before: Analysis, after: Analysis) -> dict[str, Any]:
    """Return what is to be written of an analysis; its claim is kept only while it is being sent."""
    changed = rows.analysis_values(after, before=before)
    return changed if after.state is AnalysisState.SENDING else changed | UNCLAIMED


def advance_file(
    tx: sa.Connection,
    file_id: int,
    event: FileEvent,
    step: Step,
    claimant: Claimant | None = None,
    *,
    keep_claim: bool = False,
) -> File | None:
    """Advance a file by ``event``, as ``advance_files`` does; None if the claim does not hold or it is not there."""
    return advance_files(tx, {file_id: event}, step, claimant, keep_claim=keep_claim).get(file_id)


def advance_files(
    tx: sa.Connection,
    events: Mapping[int, FileEvent],
    step: Step,
    claimant: Claimant | None = None,
    *,
    keep_claim: bool = False,
) -> dict[int, File]:
    """Advance files, each by its event; an analysis rests while no file with its content can be seen.

    With a ``claimant``, only those whose claim is held; of the others nothing changes. A delivery is given up only
    while others of its folder succeed: what the API answers says nothing about a disk.
    """
    found = [rows.file(row) for row in _rows_of(tx, _FILES, list(events), claimant)]
    states = _states_of(tx, {one.analysis_id for one in found if one.analysis_id is not None})
    advanced: dict[int, File] = {}
    changes: list[Change] = []
    told: list[Entry] = []
    moved: list[tuple[int, File]] = []
    for before in found:
        event, policy = events[before.id], step.policy
        if isinstance(event, Undelivered):
            policy = replace(policy, others_at=_delivered_at(tx, before.id))
        after = lifecycle.advance_file(before, event, step.now, policy, step.chance)
        state = None if after.analysis_id is None else states[after.analysis_id]
        if after.due is not None and lifecycle.duty(after, state) is not Duty.DELIVER:
            after = replace(after, due=None)
        advanced[before.id] = after
        if after == before and claimant is None:
            continue
        changed = rows.file_values(after, before=before)
        changes.append((before.id, changed if keep_claim else changed | UNCLAIMED))
        if _is_news_of_file(before, after):
            told.append(_entry(step, event, file=after, **_ending(after, event)))
        if before.analysis_id is not None and (before.state in THERE) != (after.state in THERE):
            moved.append((before.analysis_id, after))
    _write(tx, files, changes)
    trail.append(tx, told)
    for analysis_id, after in moved:
        _mind_presence(tx, analysis_id, after, step)
    return advanced


def put_file(tx: sa.Connection, value: File) -> None:
    """Write a file as a whole; its claim ends with that."""
    _write(tx, files, [(value.id, rows.file_values(value) | UNCLAIMED)])


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
    trail.append(tx, [_entry(step, event, file=file, analysis=analysis, **detail)])


def record_admitted(tx: sa.Connection, step: Step, taken: Sequence[tuple[File, Analysis]]) -> None:
    """Write the lines of files that were admitted together, each with the analysis of its content."""
    told = [
        _entry(
            step,
            "admitted",
            file=file,
            analysis=analysis,
            folder=file.folder,
            path=file.path,
            duplicate=file.duplicate,
        )
        for file, analysis in taken
    ]
    trail.append(tx, told)


def _entry(
    step: Step, event: object, *, file: File | None = None, analysis: Analysis | None = None, **detail: Any
) -> Entry:
    name = event if isinstance(event, str) else type(event).__name__.lower()
    said = {} if isinstance(event, str) else _said(event)
    return Entry(
        at=step.now,
        who=step.who,
        event=name,
        file_id=None if file is None else file.id,
        analysis_id=analysis.id if analysis is not None else None if file is None else file.analysis_id,
        detail=json.dumps(_subject(file, analysis) | said | detail, default=_plain),
    )


def _subject(file: File | None, analysis: Analysis | None) -> dict[str, Any]:
    """Return what a line of history is about, for whoever reads it without the rows that it points to."""
    sha256 = analysis.sha256 if analysis is not None else None if file is None else file.sha256
    identifier = None if analysis is None else analysis.identifier
    named = {"sha256": None if sha256 is None else sha256.hex(), "identifier": identifier}
    return {name: value for name, value in named.items() if value is not None}


def file(tx: sa.Connection, file_id: int) -> File | None:
    """Return the file of that number, if there is one."""
    return next(map(rows.file, _rows_of(tx, _FILES, [file_id])), None)


def analysis(tx: sa.Connection, analysis_id: int) -> Analysis:
    """Return the analysis of that number."""
    [found] = _rows_of(tx, _ANALYSES, [analysis_id])
    return rows.analysis(found)


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
    query = rows.select_files().where(files.c.id.in_(either)).order_by(files.c.id)
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
        if copy.state in THERE:
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
    return [rows.file(row) for row in tx.execute(_FILES_OF, {"ids": [analysis_id]})]


def reroute(
    tx: sa.Connection,
    told: Sequence[File],
    outcome_of: Callable[[Delivery], tuple[Outcome, str | None]],
    step: Step,
) -> None:
    """Deliver files once more if what they were delivered as is no longer what holds: they were decided meanwhile."""
    again = [one.file.id for one in deliveries(tx, told) if outcome_of(one)[0] is not one.file.outcome]
    advance_files(tx, dict.fromkeys(again, Reopened()), step)


def keep_heatmap(
    tx: sa.Connection, analysis: Analysis, png: bytes | None, due: datetime | None, step: Step
) -> None:
    """Keep a heatmap and have it delivered, or write when to ask for it again; None and no instant: given up."""
    if png is not None:
        tx.execute(sa.update(answers).where(answers.c.analysis_id == analysis.id).values(heatmap=png))
        record(tx, step, "heatmap", analysis=analysis, heatmap_sha256=hashlib.sha256(png).hexdigest())
        _reopen_files(tx, [analysis.id], step)
    failures = analysis.heatmap_failures + (png is None)
    tx.execute(
        sa.update(analyses)
        .where(analyses.c.id == analysis.id)
        .values(heatmap_due=due, heatmap_failures=failures, **UNCLAIMED)
    )


def durations(tx: sa.Connection, media: Media, limit: int = 200) -> list[tuple[int, timedelta]]:
    """Return how long the latest verdicts of one kind took, the latest first, each with the content's size in bytes."""
    query = (
        sa.select(analyses.c.size, analyses.c.submitted_at, analyses.c.judged_at)
        # Of what was rebuilt from a sidecar it is not known when it was sent.
        .where(
            analyses.c.media == media, analyses.c.judged_at.is_not(None), analyses.c.submitted_at.is_not(None)
        )
        .order_by(analyses.c.judged_at.desc())
        .limit(limit)
    )
    return [(row.size, row.judged_at - row.submitted_at) for row in tx.execute(query)]


def others_at(tx: sa.Connection) -> datetime | None:
    """Return when a request last got through."""
    return tx.execute(sa.select(account.c.succeeded_at)).scalar()


def deliveries(tx: sa.Connection, of: Sequence[File]) -> list[Delivery]:
    """Return all that the deliveries of files need, in their order."""
    ids = list({file.analysis_id for file in of if file.analysis_id is not None})
    found = {row.id: rows.analysis(row) for row in _rows_of(tx, _ANALYSES, ids)}
    said = {row.analysis_id: row for row in tx.execute(_ANSWERS, {"ids": ids})} if ids else {}
    made: list[Delivery] = []
    for file in of:
        answer = None if file.analysis_id is None else said.get(file.analysis_id)
        made.append(
            Delivery(
                file=file,
                analysis=None if file.analysis_id is None else found[file.analysis_id],
                raw=None if answer is None else zlib.decompress(answer.raw),
                heatmap=None if answer is None else answer.heatmap,
                previous=_previous(tx, file),
            )
        )
    return made


def _previous(tx: sa.Connection, of: File) -> Delivery | None:
    """Return the judged file whose place ``of`` took, if that is to be told."""
    before = None if of.interim is None or of.supersedes is None else file(tx, of.supersedes)
    if before is None:
        return None
    return Delivery(
        file=before, analysis=None if before.analysis_id is None else analysis(tx, before.analysis_id)
    )


def _reopen_files(tx: sa.Connection, analysis_ids: Sequence[int], step: Step) -> None:
    """Have every file of these analyses delivered: their verdict is here, or is another one."""
    if analysis_ids:
        found = tx.execute(_PRESENT_OF, {"ids": analysis_ids}).scalars()
        advance_files(tx, dict.fromkeys(found, Reopened()), step)


def _rest_files(tx: sa.Connection, analysis_id: int) -> None:
    """Let the files of an analysis wait for its verdict: there is nothing to deliver until then."""
    tx.execute(sa.update(files).where(files.c.analysis_id == analysis_id).values(due=None))


def _delivered_at(tx: sa.Connection, file_id: int) -> datetime | None:
    """Return when anything was last delivered in the folder of a file."""
    its_folder = sa.select(files.c.folder_id).where(files.c.id == file_id).scalar_subquery()
    return tx.execute(
        sa.select(sa.func.max(files.c.delivered_at)).where(files.c.folder_id == its_folder)
    ).scalar()


def _states_of(tx: sa.Connection, analysis_ids: Collection[int]) -> dict[int, AnalysisState]:
    if not analysis_ids:
        return {}
    found = tx.execute(_STATES, {"ids": list(analysis_ids)})
    return {analysis_id: AnalysisState(state) for analysis_id, state in found}


def _keep_answers(tx: sa.Connection, raw: Mapping[int, bytes]) -> None:
    if raw:
        tx.execute(_FORGET_ANSWERS, {"ids": list(raw)})
        values = [{"analysis_id": number, "raw": zlib.compress(answer)} for number, answer in raw.items()]
        tx.execute(_KEEP_ANSWERS, values)


def _rows_of(
    tx: sa.Connection, query: sa.Select[Any], ids: Sequence[int], claimant: Claimant | None = None
) -> Sequence[sa.Row[Any]]:
    """Return the rows of these numbers; with a ``claimant`` those whose claim it holds."""
    if not ids:
        return ()
    if claimant is None:
        return tx.execute(query, {"ids": ids}).all()
    return tx.execute(_CLAIMED[query], {"ids": ids, "token": claimant.token}).all()


def _write(tx: sa.Connection, table: sa.Table, changes: Sequence[Change]) -> None:
    """Write what changed of rows, each by its number; those that change alike are one statement."""
    alike: defaultdict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for number, values in changes:
        if not values:
            continue
        alike[tuple(values)].append(values | {"row": number})
    for group in alike.values():
        tx.execute(_UPDATES[table], group)


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


def _answered(event: AnalysisEvent) -> dict[str, Any]:
    """Return the SHA-256 of the API's answer that a verdict stands in: the chain then vouches for the answer too."""
    return {"answer_sha256": hashlib.sha256(event.raw).hexdigest()} if isinstance(event, Judged) else {}


def _ending(file: File, event: FileEvent) -> dict[str, Any]:
    """Return what was told of a file that is delivered: outcome and reason, and the desk's decision if it counted."""
    if not isinstance(event, Delivered):
        return {}
    choice = None if file.decision is None else file.decision.choice
    said = {"outcome": file.outcome, "reason": file.reason, "decision": choice}
    return {name: value for name, value in said.items() if value is not None}


def _mind_presence(tx: sa.Connection, analysis_id: int, file: File, step: Step) -> None:
    """Let a queued analysis rest while none of its files can be seen, and go on when one is back."""
    if tx.execute(_PRESENT_ONE, {"analysis": analysis_id}).first() is None:
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
        return rows.held(value)
    return shown(value) if isinstance(value, bytes) else str(value)
