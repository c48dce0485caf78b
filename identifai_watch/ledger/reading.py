"""Rows read as values: one by its number, those of a content, and all that a delivery needs."""

import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from identifai_watch.core.model import Analysis, AnalysisState, File, FileState, Media
from identifai_watch.ledger import rows
from identifai_watch.ledger.schema import account, analyses, answers, files
from identifai_watch.ledger.step import Claimant

THERE = frozenset({FileState.WAITING, FileState.DELIVERED})
"""The states of files that stand for something: what was replaced, or is gone, does not."""

PRESENT = files.c.state.in_(sorted(THERE))

# Statements are built once: to build one anew costs several times what it costs to have it carried out.
IDS: sa.BindParameter[list[int]] = sa.bindparam("ids", expanding=True)
ANALYSES = sa.select(*rows.ANALYSIS_COLUMNS).where(analyses.c.id.in_(IDS))
FILES = rows.select_files().where(files.c.id.in_(IDS))
# Rows that are to be advanced, locked in one order by whoever does (SQLite, where one writes at a time, knows no locks).
ANALYSES_TO_ADVANCE = ANALYSES.order_by(analyses.c.id).with_for_update(key_share=True)
FILES_TO_ADVANCE = FILES.order_by(files.c.id).with_for_update(key_share=True, of=files)
_CLAIMED: Mapping[sa.Select[Any], sa.Select[Any]] = {
    ANALYSES_TO_ADVANCE: ANALYSES_TO_ADVANCE.where(analyses.c.claim == sa.bindparam("token")),
    FILES_TO_ADVANCE: FILES_TO_ADVANCE.where(files.c.claim == sa.bindparam("token")),
}
_FILES_OF = rows.select_files().where(files.c.analysis_id.in_(IDS))
_STATES = sa.select(analyses.c.id, analyses.c.state).where(analyses.c.id.in_(IDS))
_ANSWERS = sa.select(answers.c.analysis_id, answers.c.raw, answers.c.heatmap).where(
    answers.c.analysis_id.in_(IDS)
)


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


def file(tx: sa.Connection, file_id: int) -> File | None:
    """Return the file of that number, if there is one."""
    return next(map(rows.file, rows_of(tx, FILES, [file_id])), None)


def analysis(tx: sa.Connection, analysis_id: int) -> Analysis:
    """Return the analysis of that number."""
    [found] = rows_of(tx, ANALYSES, [analysis_id])
    return rows.analysis(found)


def analyses_of(tx: sa.Connection, sha256: bytes) -> list[Analysis]:
    """Return every analysis of a content."""
    query = sa.select(*rows.ANALYSIS_COLUMNS).where(analyses.c.sha256 == sha256)
    return [rows.analysis(row) for row in tx.execute(query)]


def files_of(tx: sa.Connection, analysis_id: int) -> list[File]:
    """Return every file that has the content of an analysis."""
    return [rows.file(row) for row in tx.execute(_FILES_OF, {"ids": [analysis_id]})]


def stuck_files(tx: sa.Connection) -> list[File]:
    """Return the files that are given up, or whose content is."""
    # Two questions, each with an index of its own: together, as one OR over a join, they read every file.
    given_up = sa.select(files.c.id).where(files.c.stuck_at.is_not(None))
    of_content = sa.select(files.c.id).join(analyses, analyses.c.id == files.c.analysis_id)
    either = sa.union(given_up, of_content.where(analyses.c.stuck_at.is_not(None)))
    query = rows.select_files().where(files.c.id.in_(either)).order_by(files.c.id)
    return [rows.file(row) for row in tx.execute(query)]


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


def delivered_at(tx: sa.Connection, file_id: int) -> datetime | None:
    """Return when anything was last delivered in the folder of a file."""
    its_folder = sa.select(files.c.folder_id).where(files.c.id == file_id).scalar_subquery()
    return tx.execute(
        sa.select(sa.func.max(files.c.delivered_at)).where(files.c.folder_id == its_folder)
    ).scalar()


def states_of(tx: sa.Connection, analysis_ids: Collection[int]) -> dict[int, AnalysisState]:
    """Return the states of analyses by their numbers."""
    if not analysis_ids:
        return {}
    found = tx.execute(_STATES, {"ids": list(analysis_ids)})
    return {analysis_id: AnalysisState(state) for analysis_id, state in found}


def deliveries(tx: sa.Connection, of: Sequence[File]) -> list[Delivery]:
    """Return all that the deliveries of files need, in their order."""
    ids = list({file.analysis_id for file in of if file.analysis_id is not None})
    found = {row.id: rows.analysis(row) for row in rows_of(tx, ANALYSES, ids)}
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


def rows_of(
    tx: sa.Connection, query: sa.Select[Any], ids: Sequence[int], claimant: Claimant | None = None
) -> Sequence[sa.Row[Any]]:
    """Return the rows of these numbers; with a ``claimant`` those whose claim it holds."""
    if not ids:
        return ()
    if claimant is None:
        return tx.execute(query, {"ids": ids}).all()
    return tx.execute(_CLAIMED[query], {"ids": ids, "token": claimant.token}).all()
