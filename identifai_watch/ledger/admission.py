"""Whole files on their way into the ledger: a row of theirs, and the analysis of their content if that is new."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from identifai_watch.core.events import Present, Seen, Superseded
from identifai_watch.core.lifecycle import SETTLED
from identifai_watch.core.model import (
    Analysis,
    AnalysisState,
    File,
    FileState,
    Interim,
    Media,
)
from identifai_watch.ledger import history, intake, moves, queue, reading, rows, schema, whereabouts, work
from identifai_watch.ledger.schema import analyses, files
from identifai_watch.ledger.step import Step
from identifai_watch.ledger.whereabouts import Arrival

_EDITIONS = (
    sa.select(*rows.ANALYSIS_COLUMNS)
    .where(analyses.c.sha256.in_(sa.bindparam("digests", expanding=True)))
    .order_by(analyses.c.id)
    # So that a verdict which another host writes meanwhile finds the file, or the file the verdict.
    .with_for_update(key_share=True)
)
_MAKE = schema.new(analyses)
_HAD = sa.select(files.c.analysis_id).where(files.c.analysis_id.in_(reading.IDS)).distinct()
UNFITTED = ""
"""The kind of bytes of an analysis that was rebuilt from a sidecar, until a file of its content is admitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What was read from a whole file: its digest, and how it would be sent. ``options`` are canonical JSON."""

    sha256: bytes
    media: Media
    mime: str
    options: str


def admit(tx: sa.Connection, arrival: Arrival, content: Content, step: Step) -> File:
    """Admit a whole file: its row, and the analysis of its content if that is new.

    The same content under a changed fingerprint updates the row and nothing else.
    """
    intake.unleave(tx, arrival.folder_id, [arrival.path])
    analysis, is_new = _analysis(tx, arrival, content)
    before = whereabouts.at_place(tx, arrival.folder_id, arrival.path)
    replaced: File | None = None
    if before is not None and before.sha256 not in {None, content.sha256}:
        whereabouts.advance(tx, before, Superseded(), step)
        before, replaced = None, before
    if before is not None and before.analysis_id is not None and before.media is content.media:
        return _same_again(tx, before, arrival, step)
    is_settled = analysis.state in SETTLED
    row = before or whereabouts.insert(tx, arrival)
    taken = replace(
        _in_place_of(row, replaced),
        fingerprint=arrival.fingerprint,
        state=FileState.WAITING,
        held=False,
        backlog=row.backlog or arrival.backlog,
        analysis_id=analysis.id,
        media=content.media,
        sha256=content.sha256,
        refusal=None,
        duplicate=not is_new,
        hashed_at=step.now,
        due=step.now if is_settled or _was_told(replaced) else None,
        release_at=None if is_settled or arrival.release_after is None else step.now + arrival.release_after,
        failures=0,
        failing_since=None,
        stuck_at=None,
        destination=None,
        missing=0,
    )
    work.put_file(tx, taken)
    if row.analysis_id not in {None, analysis.id}:
        work.mind_presence(
            tx, row.analysis_id, step
        )  # a file of another kind before: no file of that any more
    history.record_admitted(tx, step, [(taken, analysis)])
    _wake(tx, analysis, arrival, step)
    if not is_new:
        moves.mind_move_to(tx, taken, step)
    return taken


def admit_all(tx: sa.Connection, whole: Sequence[tuple[Arrival, Content]], step: Step) -> dict[bytes, File]:
    """Admit whole files of one intake.folder, as ``admit`` does; return their rows by path.

    Those at places of which the ledger knows nothing are written together, the others one by one.
    """
    if not whole:
        return {}
    folder_id = whole[0][0].folder_id
    unknown = whereabouts.strange(tx, folder_id, [arrival.path for arrival, _ in whole])
    fresh = [(arrival, content) for arrival, content in whole if arrival.path in unknown]
    admitted = _admit_fresh(tx, folder_id, fresh, step) if fresh else {}
    for arrival, content in whole:
        if arrival.path not in unknown:
            admitted[arrival.path] = admit(tx, arrival, content, step)
    return admitted


def _admit_fresh(
    tx: sa.Connection, folder_id: int, whole: Sequence[tuple[Arrival, Content]], step: Step
) -> dict[bytes, File]:
    """Admit whole files at places of which the ledger knows nothing."""
    known, first = _newest_or_made(tx, whole)
    values: list[dict[str, object]] = []
    for arrival, content in whole:
        analysis = known[content]
        is_settled = analysis.state in SETTLED
        wait = None if is_settled else arrival.release_after
        values.append(
            whereabouts.arrived(arrival)
            | {
                "analysis_id": analysis.id,
                "media": content.media,
                "sha256": content.sha256,
                "duplicate": first.get(content) != arrival.path,
                "hashed_at": step.now,
                "due": step.now if is_settled else None,
                "release_at": None if wait is None else step.now + wait,
            }
        )
    tx.execute(whereabouts.INSERT, values)
    admitted = whereabouts.at_places(tx, folder_id, [arrival.path for arrival, _ in whole])
    taken = [(admitted[arrival.path], known[content]) for arrival, content in whole]
    history.record_admitted(tx, step, taken)
    queue.put(
        tx,
        (
            (analysis, queue.whose(file.node, folder_id))
            for file, analysis in taken
            if queue.is_in(analysis) and not file.duplicate
        ),
    )
    for (arrival, _), (file, analysis) in zip(whole, taken, strict=True):
        if file.duplicate or analysis.due is None:
            _wake(tx, reading.analysis(tx, analysis.id), arrival, step)
        if file.duplicate:
            moves.mind_move_to(tx, file, step)
    return admitted


def _newest_or_made(
    tx: sa.Connection, whole: Sequence[tuple[Arrival, Content]]
) -> tuple[dict[Content, Analysis], dict[Content, bytes]]:
    """Return the newest analysis of each content, queued if there is none, and the first file of those that are new."""
    known = _newest(tx, whole)
    first: dict[Content, bytes] = {}
    making: dict[Content, dict[str, Any]] = {}
    for arrival, content in whole:
        found = known.get(content)
        if content not in first and (found is None or found.mime == UNFITTED):
            first[content] = arrival.path
            if found is None:
                making[content] = _queued(arrival, content)
            else:
                _fitted(tx, found, arrival, content)
    if making:
        # In one order by whoever does, or two hosts that have the same contents would each wait for the other.
        made = tx.execute(_MAKE, sorted(making.values(), key=lambda one: one["sha256"])).rowcount
        known = _newest(tx, whole)
        if made < len(making):  # another host was as quick with some of them: its files are the first
            had = set(tx.execute(_HAD, {"ids": [known[content].id for content in making]}).scalars())
            first = {content: path for content, path in first.items() if known[content].id not in had}
    return (_newest(tx, whole) if first and not making else known), first


def _newest(tx: sa.Connection, whole: Sequence[tuple[Arrival, Content]]) -> dict[Content, Analysis]:
    """Return the newest analysis of each content that there is one of."""
    digests = list({content.sha256 for _, content in whole})
    found = map(rows.analysis, tx.execute(_EDITIONS, {"digests": digests}))
    newest = {(one.sha256, one.media, one.options): one for one in found}
    return {
        content: analysis
        for _, content in whole
        if (analysis := newest.get((content.sha256, content.media, content.options))) is not None
    }


def refuse(tx: sa.Connection, arrival: Arrival, reason: str, rules: str, step: Step) -> None:
    """Write down that we will not send a file under ``rules``, so that it is delivered as rejected."""
    intake.unleave(tx, arrival.folder_id, [arrival.path])
    before = whereabouts.at_place(tx, arrival.folder_id, arrival.path)
    if before is not None and (before.analysis_id is not None or before.refusal is not None):
        if before.fingerprint == arrival.fingerprint and before.refusal == reason:
            return
        whereabouts.advance(tx, before, Superseded(), step)
        before = None
    row = before or whereabouts.insert(tx, arrival)
    refused = replace(
        row,
        fingerprint=arrival.fingerprint,
        state=FileState.WAITING,
        held=False,
        media=arrival.media,
        refusal=reason,
        rules=rules,
        due=step.now,
        failures=0,
        failing_since=None,
        stuck_at=None,
        destination=None,
        missing=0,
    )
    work.put_file(tx, refused)
    history.record(tx, step, "refused here", file=refused, folder=row.folder, path=row.path, reason=reason)


def _was_told(replaced: File | None) -> bool:
    """Tell whether something lies beside a file that was replaced: a sidecar, which is not about the new one."""
    return replaced is not None and replaced.outcome is not None and replaced.lies_at is None


def _in_place_of(row: File, replaced: File | None) -> File:
    """Return the row of a file with what it has to tell of the judged one whose place it took."""
    if replaced is None or not _was_told(replaced):
        return row
    judged = replaced.id if replaced.delivered_at is not None else replaced.supersedes
    return replace(row, interim=Interim.REPLACED, supersedes=judged)


def _same_again(tx: sa.Connection, before: File, arrival: Arrival, step: Step) -> File:
    """Take a file whose bytes are what they were: only its fingerprint changed, or it is back."""
    whereabouts.touch(tx, before.id, arrival.fingerprint)
    return work.advance_file(tx, before.id, Seen(), step) or before


def _analysis(tx: sa.Connection, arrival: Arrival, content: Content) -> tuple[Analysis, bool]:
    """Return the newest analysis of a content, made if there is none, and whether no file has had it before."""
    known, first = _newest_or_made(tx, [(arrival, content)])
    return known[content], bool(first)


def _queued(arrival: Arrival, content: Content) -> dict[str, Any]:
    """Return the row of a content that is to be judged."""
    return {
        "sha256": content.sha256,
        "media": content.media,
        "mime": content.mime,
        "options": content.options,
        "size": arrival.fingerprint.size,
        "noticed_at": arrival.noticed_at,
        "state": AnalysisState.QUEUED,
        "backlog": arrival.backlog,
        "priority": arrival.priority,
        "due": arrival.noticed_at,
    }


def _fitted(tx: sa.Connection, analysis: Analysis, arrival: Arrival, content: Content) -> None:
    """Give an analysis that was rebuilt from a sidecar what the file has that it is for.

    If it has to be sent after all, that is what is sent, and when.
    """
    # Only this: a question about it may be under way, and keeps its claim.
    tx.execute(
        sa.update(analyses)
        .where(analyses.c.id == analysis.id)
        .values(
            mime=content.mime,
            size=arrival.fingerprint.size,
            backlog=arrival.backlog,
            priority=arrival.priority,
        )
    )
    queue.renew(tx, [analysis.id])


def _wake(tx: sa.Connection, analysis: Analysis, arrival: Arrival, step: Step) -> None:
    """Let a queued analysis take the best place that any of its files gives it, and go on if it rested."""
    if analysis.state is not AnalysisState.QUEUED:
        return
    hotter = replace(
        analysis,
        priority=max(analysis.priority, arrival.priority),
        backlog=analysis.backlog and arrival.backlog,
        noticed_at=max(analysis.noticed_at, arrival.noticed_at),
    )
    if hotter != analysis:
        tx.execute(
            sa.update(analyses)
            .where(analyses.c.id == analysis.id)
            .values(priority=hotter.priority, backlog=hotter.backlog, noticed_at=hotter.noticed_at)
        )
    if analysis.due is None:
        work.advance(tx, analysis.id, Present(), step)
    else:
        queue.renew(tx, [analysis.id])
