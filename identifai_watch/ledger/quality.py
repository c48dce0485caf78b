"""What the desk decided, with the verdicts and answers that it was decided against."""

import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from identifai_watch.core import findings
from identifai_watch.core.model import Choice, Media
from identifai_watch.core.quality import Judged, Quality, Sums
from identifai_watch.ledger import rows
from identifai_watch.ledger.schema import Instant, analyses, answers, files

PAGE = 200
"""Files that one transaction reads, with their answers: a long one would keep the write-ahead log from ending."""

AT_MOST = 5_000
"""Decisions that are counted, the newest: each has its answer read, for what the models said."""

_EVER = datetime.min.replace(tzinfo=UTC)

Transact = Callable[[], AbstractContextManager[sa.Connection]]
"""Opens one short transaction."""


def quality(read: Transact, since: datetime | None = None, *, at_most: int = AT_MOST) -> Quality:
    """Compare what the desk decided since an instant with what was found, in many short transactions."""
    sums, unjudged, is_whole = Sums(), 0, True
    for number, row in enumerate(_decided(read, since or _EVER)):
        if number == at_most:
            is_whole = False
            break
        judged = _judged(row)
        if judged is None:
            unjudged += 1
        else:
            sums.add(judged)
    return sums.quality(since=since, unjudged=unjudged, is_whole=is_whole)


def page(tx: sa.Connection, since: datetime, after: sa.Row[Any] | None = None) -> list[sa.Row[Any]]:
    """Return a page of the files that the desk decided since an instant, the newest decision first, behind ``after``."""
    columns = (files.c.id, files.c.decided_at, files.c.decision)
    query = (
        sa.select(*columns, analyses.c.media, analyses.c.verdict, answers.c.raw)
        .outerjoin(analyses, analyses.c.id == files.c.analysis_id)
        .outerjoin(answers, answers.c.analysis_id == files.c.analysis_id)
        .where(files.c.decided_at >= since)
        .order_by(files.c.decided_at.desc(), files.c.id.desc())
        .limit(PAGE)
    )
    if after is not None:
        place = sa.tuple_(files.c.decided_at, files.c.id)
        query = query.where(place < sa.tuple_(sa.literal(after.decided_at, Instant()), sa.literal(after.id)))
    return list(tx.execute(query))


def _decided(read: Transact, since: datetime) -> Iterator[sa.Row[Any]]:
    last = None
    while True:
        with read() as tx:
            found = page(tx, since, last)
        yield from found
        if len(found) < PAGE:
            return
        last = found[-1]


def _judged(row: sa.Row[Any]) -> Judged | None:
    """Return what a decision is compared with; None where there was no verdict."""
    verdict = rows.verdict(row.verdict)
    if verdict is None:
        return None
    media = Media(row.media)
    raw = None if row.raw is None else zlib.decompress(row.raw)
    return Judged(
        media=media, choice=Choice(row.decision), verdict=verdict, findings=findings.read(raw, media)
    )
