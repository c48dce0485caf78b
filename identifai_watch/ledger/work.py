"""Transitions: what happened to an analysis or a file, with all that follows from it for the others.

Reading a row, advancing it and writing it are one transaction, or an operator's command would be lost under a
stale copy. Who may work on a row is left to ``claims``.
"""

import hashlib
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from identifai_watch.core import lifecycle
from identifai_watch.core.events import (
    Absent,
    AnalysisEvent,
    Begun,
    Deferred,
    FileEvent,
    Judged,
    Overridden,
    Present,
    Reopened,
    Unanswered,
    Undelivered,
    Unsent,
)
from identifai_watch.core.lifecycle import SETTLED, Duty
from identifai_watch.core.model import Analysis, AnalysisState, Decision, File, FileState, Outcome
from identifai_watch.core.trail import Entry
from identifai_watch.ledger import closing, history, queue, reading, rows
from identifai_watch.ledger.reading import PRESENT, THERE
from identifai_watch.ledger.schema import analyses, answers, files
from identifai_watch.ledger.step import Claimant, Step

Change = tuple[int, dict[str, Any]]
"""The number of a row, and what is to be written of it."""

UNCLAIMED: dict[str, Any] = {"claimed_by": None, "claim": None, "claimed_until": None}
NO_CLAIM: dict[str, Any] = {}


# Statements are built once: to build one anew costs several times what it costs to have it carried out.
_PRESENT_OF = sa.select(files.c.id, files.c.folder_id).where(files.c.analysis_id.in_(reading.IDS), PRESENT)
_FORGET_ANSWERS = sa.delete(answers).where(answers.c.analysis_id.in_(reading.IDS))
_KEEP_ANSWERS = sa.insert(answers)
_UPDATES: Mapping[sa.Table, sa.Update] = {
    table: sa.update(table).where(table.c.id == sa.bindparam("row")) for table in (analyses, files)
}
_PRESENT_ONE = sa.select(files.c.id).where(files.c.analysis_id == sa.bindparam("analysis"), PRESENT).limit(1)


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
    found = [
        rows.analysis(row) for row in reading.rows_of(tx, reading.ANALYSES_TO_ADVANCE, list(events), claimant)
    ]
    return _advance(tx, found, events, step, is_claimed=claimant is not None)


def begin(
    tx: sa.Connection, found: Sequence[Analysis], step: Step, claim: dict[str, Any]
) -> dict[int, Analysis]:
    """Advance analyses, which this transaction has locked, to being sent, under a ``claim`` (the values of its columns)."""
    return _advance(tx, found, dict.fromkeys((one.id for one in found), Begun()), step, claim=claim)


def _advance(
    tx: sa.Connection,
    found: Iterable[Analysis],
    events: Mapping[int, AnalysisEvent],
    step: Step,
    *,
    is_claimed: bool = False,
    claim: dict[str, Any] = NO_CLAIM,
) -> dict[int, Analysis]:
    """Advance analyses that are locked; what is sent from now on is so under the ``claim``."""
    advanced: dict[int, Analysis] = {}
    changes: list[Change] = []
    told: list[Entry] = []
    judged: dict[int, bytes] = {}
    reopened: list[int] = []
    resting: list[int] = []
    leaving: list[int] = []
    entering: list[int] = []
    for before in found:
        event, policy = events[before.id], step.policy
        if isinstance(event, Unsent | Deferred | Unanswered):
            policy = replace(policy, others_at=reading.others_at(tx))
        after = advanced[before.id] = lifecycle.advance(before, event, step.now, policy, step.chance)
        if after == before and not is_claimed:
            continue  # nothing happened, and a question that is under way keeps its claim
        changed = rows.analysis_values(after, before=before)
        changes.append((before.id, changed | (claim if after.state is AnalysisState.SENDING else UNCLAIMED)))
        if isinstance(event, Judged):
            judged[before.id] = event.raw
        if history.is_news(before, after, event):
            told.append(history.line(step, event, analysis=after, **history.answered(event)))
        if after.state in SETTLED and (before.state is not after.state or isinstance(event, Overridden)):
            reopened.append(before.id)
        elif before.state in SETTLED and after.state not in SETTLED:
            resting.append(before.id)
        was_queued, is_queued = queue.is_in(before), queue.is_in(after)
        if was_queued != is_queued or (is_queued and queue.has_moved(before, after)):
            leaving += [before.id] if was_queued else []
            entering += [before.id] if is_queued else []
    _write(tx, analyses, changes)
    queue.leave(tx, leaving)
    queue.enter(tx, entering)
    _keep_answers(tx, judged)
    closing.tell(tx, told)
    _reopen_files(tx, reopened, step)
    for analysis_id in resting:
        rest_files(tx, analysis_id)
    return advanced


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
    found = [rows.file(row) for row in reading.rows_of(tx, reading.FILES_TO_ADVANCE, list(events), claimant)]
    states = reading.states_of(tx, {one.analysis_id for one in found if one.analysis_id is not None})
    advanced: dict[int, File] = {}
    changes: list[Change] = []
    told: list[Entry] = []
    moved: list[tuple[int, File]] = []
    for before in found:
        event, policy = events[before.id], step.policy
        if isinstance(event, Undelivered):
            policy = replace(policy, others_at=reading.delivered_at(tx, before.id))
        after = lifecycle.advance_file(before, event, step.now, policy, step.chance)
        state = None if after.analysis_id is None else states[after.analysis_id]
        if after.due is not None and lifecycle.duty(after, state) is not Duty.DELIVER:
            after = replace(after, due=None)
        advanced[before.id] = after
        if after == before and claimant is None:
            continue
        changed = rows.file_values(after, before=before)
        changes.append((before.id, changed if keep_claim else changed | UNCLAIMED))
        if history.is_news_of_file(before, after):
            told.append(history.line(step, event, file=after, **history.ending(after, event)))
        if before.analysis_id is not None and (before.state in THERE) != (after.state in THERE):
            moved.append((before.analysis_id, after))
    _write(tx, files, changes)
    closing.tell(tx, told)
    for analysis_id, after in moved:
        mind_presence(tx, analysis_id, step, is_back=after.state is FileState.WAITING)
    return advanced


def put_file(tx: sa.Connection, value: File) -> None:
    """Write a file as a whole; its claim ends with that."""
    _write(tx, files, [(value.id, rows.file_values(value) | UNCLAIMED)])


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


def reroute(
    tx: sa.Connection,
    told: Sequence[File],
    outcome_of: Callable[[reading.Delivery], tuple[Outcome, str | None]],
    step: Step,
) -> None:
    """Deliver files once more if what they were delivered as is no longer what holds: they were decided meanwhile."""
    again = [
        one.file.id for one in reading.deliveries(tx, told) if outcome_of(one)[0] is not one.file.outcome
    ]
    advance_files(tx, dict.fromkeys(again, Reopened()), step)


def keep_heatmap(
    tx: sa.Connection, analysis: Analysis, png: bytes | None, due: datetime | None, step: Step
) -> None:
    """Keep a heatmap and have it delivered, or write when to ask for it again; None and no instant: given up."""
    if png is not None:
        tx.execute(sa.update(answers).where(answers.c.analysis_id == analysis.id).values(heatmap=png))
        history.record(tx, step, "heatmap", analysis=analysis, heatmap_sha256=hashlib.sha256(png).hexdigest())
        _reopen_files(tx, [analysis.id], step)
    failures = analysis.heatmap_failures + (png is None)
    tx.execute(
        sa.update(analyses)
        .where(analyses.c.id == analysis.id)
        .values(heatmap_due=due, heatmap_failures=failures, **UNCLAIMED)
    )


def _reopen_files(tx: sa.Connection, analysis_ids: Sequence[int], step: Step) -> None:
    """Have every file of these analyses delivered: their verdict is here, or is another one."""
    if analysis_ids:
        found = tx.execute(_PRESENT_OF, {"ids": analysis_ids}).all()
        closing.stir(tx, folder_ids={row.folder_id for row in found})
        advance_files(tx, dict.fromkeys((row.id for row in found), Reopened()), step)


def rest_files(tx: sa.Connection, analysis_id: int) -> None:
    """Let the files of an analysis wait for its verdict: there is nothing to deliver until then."""
    tx.execute(sa.update(files).where(files.c.analysis_id == analysis_id).values(due=None))


def _keep_answers(tx: sa.Connection, raw: Mapping[int, bytes]) -> None:
    if raw:
        tx.execute(_FORGET_ANSWERS, {"ids": list(raw)})
        values = [{"analysis_id": number, "raw": zlib.compress(answer)} for number, answer in raw.items()]
        tx.execute(_KEEP_ANSWERS, values)


def _write(tx: sa.Connection, table: sa.Table, changes: Sequence[Change]) -> None:
    """Write what changed of rows, each by its number; those that change alike are one statement."""
    alike: defaultdict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for number, values in changes:
        if not values:
            continue
        alike[tuple(values)].append(values | {"row": number})
    for group in alike.values():
        tx.execute(_UPDATES[table], group)


def mind_presence(tx: sa.Connection, analysis_id: int, step: Step, *, is_back: bool = False) -> None:
    """Let a queued analysis rest while none of its files can be seen, and go on when one ``is_back``."""
    # Locked before it is looked: a copy that another host admits meanwhile waits for us, or we for it.
    [row] = reading.rows_of(tx, reading.ANALYSES_TO_ADVANCE, [analysis_id])
    if tx.execute(_PRESENT_ONE, {"analysis": analysis_id}).first() is None:
        advance(tx, analysis_id, Absent(), step)
    elif is_back:
        advance(tx, analysis_id, Present(), step)
    if row.state == AnalysisState.QUEUED:  # the host of that file has one now, or none any more
        queue.renew(tx, [analysis_id])
