"""Lists of files for people and machines: newest first, filtered, a page at a time by key.

What a page passes over is read in the index alone, so that a filter which hardly anything passes costs a walk through
that, never through a million rows. Names are in no index: who looks for a text takes ``names`` in pieces, and stops when
it has taken long enough.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from identifai_watch.core.model import AnalysisState, Choice, FileState, Media, Outcome
from identifai_watch.ledger import views
from identifai_watch.ledger.schema import EPOCH, Instant, analyses, answers, files, folders
from identifai_watch.ledger.views import Line

_MICROSECOND = timedelta(microseconds=1)

_TO_REVIEW = sa.and_(
    files.c.decision.is_(None),
    sa.text("coalesce(files.outcome, '') IN ('artificial', 'uncertain')"),
    sa.text("coalesce(files.state, '') IN ('waiting', 'delivered')"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A place in a list: behind the file that was noticed then and has this number."""

    noticed_at: datetime
    id: int

    def __str__(self) -> str:
        """Return it as a cursor, which ``spot`` reads."""
        return f"{(self.noticed_at - EPOCH) // _MICROSECOND}-{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which files a list holds; what is None, or not asked for, is not looked at.

    ``decided`` is whether the desk has decided at all. ``folder_ids`` are the folders of one name, on any host.
    """

    state: FileState | None = None
    outcome: Outcome | None = None
    decision: Choice | None = None
    decided: bool | None = None
    media: Media | None = None
    folder_ids: tuple[int, ...] | None = None
    held: bool = False
    stuck: bool = False
    doubt: bool = False
    to_review: bool = False


Name = tuple[int, int, bytes, bytes]
"""Where a file stands in the list, in microseconds since 1970 and by its number, its parent and its name.

A plain tuple: who looks for a text takes a million of them.
"""


def spot_of(name: Name) -> Spot:
    """Return the place in the list that a name has."""
    return Spot(noticed_at=EPOCH + name[0] * _MICROSECOND, id=name[1])


def spot(cursor: str) -> Spot:
    """Return the place that a cursor names.

    Raises:
        ValueError: It names none.
    """
    micros, _, number = cursor.partition("-")
    digits = micros + number
    if (
        not (micros and number and digits.isascii() and digits.isdigit())
        or len(micros) > 17
        or len(number) > 18
    ):
        raise ValueError(cursor)
    return Spot(noticed_at=EPOCH + int(micros) * _MICROSECOND, id=int(number))


def page(tx: sa.Connection, wanted: Wanted, *, after: Spot | None, limit: int) -> list[Line]:
    """Return at most ``limit`` files behind ``after``, newest first, each with its analysis."""
    found = _spots(wanted, after, files.c.id).limit(limit)
    return lines_of(tx, [number for (number,) in tx.execute(found)])


def names(tx: sa.Connection, wanted: Wanted, *, after: Spot | None, limit: int) -> list[Name]:
    """Return what the next ``limit`` files behind ``after`` are called, for whoever looks for a text in that."""
    at = sa.type_coerce(files.c.noticed_at, sa.Integer)
    # Those are found in the index alone; only then are their rows read.
    found = _spots(wanted, after, files.c.id).limit(limit).subquery()
    query = (
        sa.select(at, files.c.id, files.c.parent, files.c.name)
        .where(files.c.id.in_(sa.select(found.c.id)))
        .order_by(files.c.noticed_at.desc(), files.c.id.desc())
    )
    return [tuple(row) for row in tx.execute(query)]


def lines_of(tx: sa.Connection, ids: Sequence[int]) -> list[Line]:
    """Return files by their numbers, newest first."""
    if not ids:
        return []
    query = views.select_lines().where(files.c.id.in_(ids))
    found = [views.line_of(row) for row in tx.execute(query)]
    return sorted(found, key=lambda line: (line.file.noticed_at, line.file.id), reverse=True)


def with_content(tx: sa.Connection, sha256: bytes) -> list[Line]:
    """Return the files that have, or had, this content, newest first."""
    same = sa.select(analyses.c.id).where(analyses.c.sha256 == sha256)
    query = views.select_lines().where(files.c.analysis_id.in_(same)).order_by(files.c.id.desc())
    return [views.line_of(row) for row in tx.execute(query)]


def folder_ids(tx: sa.Connection, name: str = "", node: str = "") -> tuple[int, ...]:
    """Return the numbers of the folders of this name, and of this host; "" is any. None if there is none."""
    wanted = ((folders.c.name, name), (folders.c.node, node))
    query = sa.select(folders.c.id).where(*(column == value for column, value in wanted if value))
    return tuple(tx.execute(query).scalars())


def folder_names(tx: sa.Connection) -> list[str]:
    """Return the names of all folders that were ever watched."""
    return list(tx.execute(sa.select(folders.c.name).distinct().order_by(folders.c.name)).scalars())


def count_to_review(tx: sa.Connection, most: int) -> int:
    """Count what a person should look at first, up to ``most``."""
    some = sa.select(sa.literal(1)).select_from(files).where(_TO_REVIEW).limit(most).subquery()
    return int(tx.execute(sa.select(sa.func.count()).select_from(some)).scalar_one())


def held_by_folder(tx: sa.Connection, *, by_node: bool = False) -> dict[tuple[str, str], int]:
    """Count what is held, by node and folder; the node is "" unless it is asked for."""
    query = (
        sa.select(folders.c.node, folders.c.name, sa.func.count())
        .join(files, sa.and_(files.c.folder_id == folders.c.id, sa.text("files.held = 1")))
        .group_by(folders.c.id)
        .order_by(folders.c.name)
    )
    held: dict[tuple[str, str], int] = {}
    for node, name, number in tx.execute(query):
        key = node if by_node else "", name
        held[key] = held.get(key, 0) + number
    return held


def awaited(tx: sa.Connection, most: int) -> list[Line]:
    """Return files whose content identifAI is at, at most so many."""
    query = views.select_lines().where(analyses.c.state == AnalysisState.AWAITING).limit(most)
    return [views.line_of(row) for row in tx.execute(query)]


def heatmap(tx: sa.Connection, analysis_id: int) -> bytes | None:
    """Return the heatmap of a content, a PNG, if there is one."""
    return tx.execute(sa.select(answers.c.heatmap).where(answers.c.analysis_id == analysis_id)).scalar()


def has_heatmap(tx: sa.Connection, analysis_id: int) -> bool:
    """Tell whether there is a heatmap of a content."""
    query = sa.select(answers.c.heatmap.is_not(None)).where(answers.c.analysis_id == analysis_id)
    return bool(tx.execute(query).scalar())


def _spots(wanted: Wanted, after: Spot | None, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    query = sa.select(*columns).where(*_which(wanted)).order_by(files.c.noticed_at.desc(), files.c.id.desc())
    if after is None:
        return query
    place = sa.tuple_(files.c.noticed_at, files.c.id)
    return query.where(place < sa.tuple_(sa.literal(after.noticed_at, Instant()), sa.literal(after.id)))


def _which(wanted: Wanted) -> Iterable[sa.ColumnElement[bool]]:
    equal = (
        (files.c.state, wanted.state),
        (files.c.outcome, wanted.outcome),
        (files.c.decision, wanted.decision),
        (files.c.media, wanted.media),
    )
    # Not the columns themselves: other indexes know them too, and what those find would have to be sorted.
    yield from (sa.func.coalesce(column, "") == value for column, value in equal if value is not None)
    if wanted.decided is not None:
        is_decided = sa.func.coalesce(files.c.decision, "") != ""
        yield is_decided if wanted.decided else ~is_decided
    if wanted.folder_ids is not None:
        yield sa.func.coalesce(files.c.folder_id, 0).in_(wanted.folder_ids)
    if wanted.held:
        yield sa.func.coalesce(files.c.held, 0) == 1
    if wanted.to_review:
        yield _TO_REVIEW
    if wanted.stuck:
        yield views.is_stuck()
    if wanted.doubt:
        yield views.is_in_doubt()
