"""What people are shown, read from the ledger in short transactions."""

import json
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from identifai_watch.core.model import Analysis, AnalysisState, File, FileState, Outcome
from identifai_watch.ledger import rows, schema
from identifai_watch.ledger.schema import (
    NO,
    SHARED,
    YES,
    Instant,
    analyses,
    answers,
    files,
    folders,
    history,
    left,
    requests,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much there is of everything, for ``status``."""

    analyses: dict[AnalysisState, int]
    files: dict[FileState, int]
    outcomes: dict[Outcome, int]
    held: int
    stuck: int
    doubt: int
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One file with its analysis: a line of ``list``."""

    file: File
    analysis: Analysis | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One line of history."""

    at: datetime
    who: str
    event: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A file that was looked at and left alone, with the reason."""

    reason: str
    left_at: datetime


_EVER = datetime.min.replace(tzinfo=UTC)
"""No instant is before it: to have been at all is said as a range, which SQLite seeks in an index."""

# What is to be found among a million rows, in words that the indexes of states can follow.
_STUCK_ANALYSES = sa.and_(
    analyses.c.state.in_(list(AnalysisState)),
    analyses.c.doubt.in_([False, True]),
    analyses.c.stuck_at >= _EVER,
)
_QUEUED = sa.text(schema.QUEUED)
_DOUBTED = sa.and_(analyses.c.state.in_(list(AnalysisState)), analyses.c.doubt == YES)
_STUCK_FILES = tuple(
    sa.and_(
        files.c.state.in_(list(FileState)),
        outcome,
        files.c.held.in_([False, True]),
        files.c.stuck_at >= _EVER,
    )
    for outcome in (files.c.outcome.is_(None), files.c.outcome.in_(list(Outcome)))
)


_MOST = (FileState.DELIVERED, Outcome.HUMAN)
_DELIVERED = files.c.state == FileState.DELIVERED


def _but_most() -> tuple[sa.CompoundSelect[Any], sa.CompoundSelect[Any]]:
    """Select the numbers of contents by state, and of files by state and outcome, but of the ones there are most of.

    What is left out is left out as ranges, for an index is no help in finding what does not equal a value.
    """
    of_contents = sa.select(analyses.c.state, sa.func.count()).group_by(analyses.c.state)
    of_files = sa.select(files.c.state, files.c.outcome, sa.func.count()).group_by(
        files.c.state, files.c.outcome
    )
    return (
        sa.union_all(
            *(of_contents.where(others) for others in _others(analyses.c.state, AnalysisState.JUDGED))
        ),
        sa.union_all(
            *(of_files.where(others) for others in _others(files.c.state, FileState.DELIVERED)),
            *(of_files.where(_DELIVERED, others) for others in _others(files.c.outcome, Outcome.HUMAN)),
            of_files.where(_DELIVERED, files.c.outcome.is_(None)),
        ),
    )


def _others(column: sa.Column[Any], value: str) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return column < value, column > value


def counts(tx: sa.Connection) -> Counts:
    """Count analyses and files by state, and what waits for a person.

    Where there are a million, nearly all are judged, and most are delivered as human. These are what the others leave of
    the whole, which SQLite knows without a look at each.
    """
    other_contents, other_files = _but_most()
    of_analyses = Counter[AnalysisState]()
    for state, number in tx.execute(other_contents):
        of_analyses[state] = number
    of_files = {(state, outcome): number for state, outcome, number in tx.execute(other_files)}
    waiting = files.c.state == FileState.WAITING
    numbers = tx.execute(
        sa.select(
            _number(analyses).label("analyses"),
            _number(files).label("files"),
            _number(files, waiting, files.c.held == YES).label("held"),
            _number(analyses, _STUCK_ANALYSES).label("stuck_analyses"),
            *(_number(files, one).label(f"stuck_files_{at}") for at, one in enumerate(_STUCK_FILES)),
            _number(analyses, _DOUBTED).label("doubt"),
            _number(left).label("left"),
        )
    ).one()
    of_analyses[AnalysisState.JUDGED] = numbers.analyses - of_analyses.total()
    of_files[_MOST] = numbers.files - sum(of_files.values())
    by_file, outcomes = Counter[FileState](), Counter[Outcome]()
    for (state, outcome), number in of_files.items():
        by_file[state] += number
        is_told = state == FileState.DELIVERED or (state, outcome) == (FileState.WAITING, Outcome.PENDING)
        if outcome is not None and is_told:
            outcomes[outcome] += number
    return Counts(
        analyses={state: of_analyses[state] for state in AnalysisState},
        files={state: by_file[state] for state in FileState},
        outcomes={outcome: outcomes[outcome] for outcome in Outcome},
        held=numbers.held,
        stuck=numbers.stuck_analyses + numbers.stuck_files_0 + numbers.stuck_files_1,
        doubt=numbers.doubt,
        left=numbers.left,
    )


def _number(table: sa.Table, *which: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    return sa.select(sa.func.count()).select_from(table).where(*which).scalar_subquery()


def lines(  # noqa: PLR0913 - the filters
    tx: sa.Connection,
    *,
    state: FileState | None = None,
    outcome: Outcome | None = None,
    folder: str | None = None,
    node: str | None = None,
    stuck: bool = False,
    doubt: bool = False,
    limit: int | None = None,
    after: File | None = None,
) -> Iterator[Line]:
    """Iterate over files with their analyses, newest first; rows are streamed.

    ``after`` goes on behind a file, so that a long list can be read in many short transactions.
    """
    query = select_lines().order_by(files.c.noticed_at.desc(), files.c.id.desc())
    if state is not None:
        query = query.where(files.c.state == state)
    if outcome is not None:
        query = query.where(files.c.outcome == outcome)
    if folder is not None:
        query = query.where(folders.c.name == folder)
    if node is not None:
        query = query.where(folders.c.node == node)
    if stuck:
        query = query.where(is_stuck())
    if doubt:
        query = query.where(is_in_doubt())
    if after is not None:
        place = sa.tuple_(files.c.noticed_at, files.c.id)
        query = query.where(place < sa.tuple_(sa.literal(after.noticed_at, Instant()), sa.literal(after.id)))
    if limit is not None:
        query = query.limit(limit)
    for row in tx.execute(query, execution_options={"yield_per": 500}):
        yield line_of(row)


def is_stuck() -> sa.ColumnElement[bool]:
    """Return the condition that a file, or its content, waits for a person."""
    by_itself = (sa.select(files.c.id).where(one) for one in _STUCK_FILES)
    of_content = sa.select(files.c.id).join(analyses, analyses.c.id == files.c.analysis_id)
    return files.c.id.in_(sa.union(*by_itself, of_content.where(_STUCK_ANALYSES)))


def is_in_doubt() -> sa.ColumnElement[bool]:
    """Return the condition that a file's content was perhaps paid for without an answer."""
    return files.c.analysis_id.in_(sa.select(analyses.c.id).where(_DOUBTED))


def at(tx: sa.Connection, folder_id: int, path: bytes) -> list[Line]:
    """Return the files that were noticed at, or lie at, a path of a folder: the one that stands for it first."""
    parent, name = rows.split(path)
    noticed = sa.and_(files.c.parent == parent, files.c.name == name)
    query = select_lines().where(files.c.folder_id == folder_id, sa.or_(noticed, files.c.lies_at == path))
    found = [line_of(row) for row in tx.execute(query.order_by(files.c.id.desc()))]
    rank = {FileState.WAITING: 0, FileState.DELIVERED: 0, FileState.GONE: 1, FileState.SUPERSEDED: 2}
    return sorted(found, key=lambda line: (rank[line.file.state], line.file.lies_at not in {None, path}))


def left_at(tx: sa.Connection, folder_id: int, path: bytes) -> Left | None:
    """Return why a path was left alone, if it was."""
    parent, name = rows.split(path)
    query = sa.select(left.c.reason, left.c.left_at).where(
        left.c.folder_id == folder_id, left.c.parent == parent, left.c.name == name
    )
    found = tx.execute(query).first()
    return None if found is None else Left(reason=found.reason, left_at=found.left_at)


def folder_ids(tx: sa.Connection, node: str, shared: Collection[str] = ()) -> dict[str, int]:
    """Return the numbers of the folders that a host has ever watched, by name, with those that any host may share.

    A name that the host had for itself is that folder's, unless it is one of ``shared``, which it shares now.
    """
    query = sa.select(folders.c.name, folders.c.id, folders.c.node).where(folders.c.node.in_([node, SHARED]))
    found = sorted(tx.execute(query), key=lambda row: (row.node == SHARED) == (row.name in shared))
    return {row.name: row.id for row in found}


def owners(tx: sa.Connection, name: str) -> list[str]:
    """Return which hosts have ever had a folder of that name; "" is one that several share."""
    query = sa.select(folders.c.node).where(folders.c.name == name).order_by(folders.c.node)
    return list(tx.execute(query).scalars())


def lying_at(tx: sa.Connection, path: bytes) -> list[Line]:
    """Return the files that were moved or copied to an absolute path outside of their folder, newest first."""
    query = select_lines().where(sa.or_(files.c.lies_at == path, files.c.copied_to == path))
    return [line_of(row) for row in tx.execute(query.order_by(files.c.id.desc()))]


def queue(tx: sa.Connection) -> tuple[int, int]:
    """Count the uploads that are still to be made: of new files, and of the backlog; what is held is none.

    A file that was released and is not hashed yet counts as one upload, which is the most that it can cost.
    """
    of_contents = sa.select(analyses.c.backlog, sa.func.count()).where(_QUEUED).group_by(analyses.c.backlog)
    # Folder by folder, for so the index of what is to be admitted serves: an archive that is held waits too.
    to_admit = sa.text(
        "files.state = 'waiting' AND files.held = 0 AND files.analysis_id IS NULL AND files.refusal IS NULL"
    )
    of_files = (
        sa.select(sa.func.count())
        .select_from(files)
        .where(files.c.folder_id == folders.c.id, to_admit, files.c.missing == 0)
        .correlate(folders)
    )
    of_folders = sa.select(
        *(of_files.where(files.c.backlog == backlog).scalar_subquery() for backlog in (False, True))
    ).select_from(folders)
    number = {False: 0, True: 0}
    for backlog, found in tx.execute(of_contents):
        number[backlog] += found
    for fresh, old in tx.execute(of_folders):
        number[False] += fresh
        number[True] += old
    return number[False], number[True]


def oldest(tx: sa.Connection) -> tuple[datetime | None, datetime | None]:
    """Return since when the oldest content waits to be sent: of what is new, and of the backlog."""
    query = sa.select(sa.func.min(analyses.c.noticed_at)).where(_QUEUED)
    fresh, backlog = (
        tx.execute(query.where(analyses.c.backlog == is_backlog)).scalar() for is_backlog in (False, True)
    )
    return fresh, backlog


def ahead(tx: sa.Connection, analysis: Analysis) -> int:
    """Count the queued contents that are sent before ``analysis``: hotter ones, news, and newer ones."""
    query = (
        sa.select(sa.func.count())
        .select_from(analyses)
        .where(
            _QUEUED,
            sa.tuple_(analyses.c.priority, analyses.c.backlog == NO, analyses.c.noticed_at)
            > sa.tuple_(
                sa.literal(analysis.priority),
                sa.literal(not analysis.backlog),
                sa.literal(analysis.noticed_at, Instant()),
            ),
        )
    )
    return int(tx.execute(query).scalar_one())


def posts(tx: sa.Connection, since: datetime) -> list[tuple[datetime, bool]]:
    """Return the uploads made since an instant, ascending, and whether each was the backlog's."""
    query = (
        sa.select(requests.c.at, requests.c.backlog)
        .where(requests.c.method == "POST", requests.c.at > since)
        .order_by(requests.c.at)
    )
    return [(at, backlog) for at, backlog in tx.execute(query)]


def history_of(tx: sa.Connection, file: File) -> list[Happening]:
    """Return all that happened to a file, and to every analysis that it ever had, in order."""
    from identifai_watch.ledger import trail  # noqa: PLC0415 - status asks for no history

    query = sa.select(history).where(trail.is_about(file)).order_by(history.c.id)
    return [
        Happening(at=row.at, who=row.who, event=row.event, detail=json.loads(row.detail))
        for row in tx.execute(query)
    ]


def copies_of(tx: sa.Connection, file: File) -> list[File]:
    """Return the other files with the same content."""
    if file.sha256 is None:
        return []
    # By way of the analyses, whose unique index begins with the hash: what is hashed has one.
    same = sa.select(analyses.c.id).where(analyses.c.sha256 == file.sha256)
    query = rows.select_files().where(files.c.analysis_id.in_(same), files.c.id != file.id)
    return [rows.file(row) for row in tx.execute(query)]


def editions_of(tx: sa.Connection, analysis: Analysis) -> list[Analysis]:
    """Return every analysis of a content under the same options, the newest first."""
    query = (
        sa.select(*rows.ANALYSIS_COLUMNS)
        .where(
            analyses.c.sha256 == analysis.sha256,
            analyses.c.media == analysis.media,
            analyses.c.options == analysis.options,
        )
        .order_by(analyses.c.edition.desc())
    )
    return [rows.analysis(row) for row in tx.execute(query)]


def raw_answer(tx: sa.Connection, analysis_id: int) -> bytes | None:
    """Return what the API said of an analysis, byte for byte."""
    found = tx.execute(sa.select(answers.c.raw).where(answers.c.analysis_id == analysis_id)).scalar()
    return None if found is None else zlib.decompress(found)


def heatmap(tx: sa.Connection, analysis_id: int) -> bytes | None:
    """Return the PNG that the API drew for an analysis, if there is one."""
    query = sa.select(answers.c.heatmap).where(answers.c.analysis_id == analysis_id)
    found: bytes | None = tx.execute(query).scalar()
    return found


def backlog(tx: sa.Connection, *, by_node: bool = False) -> list[tuple[str, str, str | None, int, int]]:
    """Return what is held: (node, folder, media, files, bytes); the node is "" unless it is asked for."""
    node: sa.ColumnElement[str] = (
        folders.c.node if by_node else sa.literal_column("''", sa.Text()).label("node")
    )
    query = (
        sa.select(node, folders.c.name, files.c.media, sa.func.count(), sa.func.sum(files.c.size))
        .join(folders, folders.c.id == files.c.folder_id)
        .where(sa.text("files.held = 1"))
        .group_by(*([folders.c.node] if by_node else []), folders.c.name, files.c.media)
        .order_by(*([folders.c.node] if by_node else []), folders.c.name)
    )
    return [(host, name, media, number, int(size)) for host, name, media, number, size in tx.execute(query)]


def select_lines() -> sa.Select[Any]:
    """Return the query for files with their analyses, whose rows ``line_of`` reads."""
    return (
        sa.select(*rows.FILE_COLUMNS, *(column.label(f"a_{column.name}") for column in rows.ANALYSIS_COLUMNS))
        .join(folders, folders.c.id == files.c.folder_id)
        .outerjoin(analyses, analyses.c.id == files.c.analysis_id)
    )


def line_of(row: sa.Row[Any]) -> Line:
    """Return the line that a row of ``select_lines`` holds: the file's columns, then those of its analysis."""
    of_file, of_analysis = row[: len(rows.FILE_COLUMNS)], row[len(rows.FILE_COLUMNS) :]
    has_analysis = any(value is not None for value in of_analysis)
    return Line(
        file=rows.file(of_file),
        analysis=rows.analysis(of_analysis) if has_analysis else None,
    )
