"""What may be taken from a ledger that has grown old: raw answers that nobody will ask for, and old requests.

Never history, nor a verdict. Of a file that was artificial, uncertain or decided, or that is not delivered yet, the
answer stays; so does one with a heatmap, or that waits for it.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from identifai_watch.core import gate
from identifai_watch.core.model import AnalysisState, FileState, Label, Outcome
from identifai_watch.ledger.schema import analyses, answers, files, requests

AT_ONCE = 500
"""Rows that one transaction looks at: a daemon must not wait for it."""

REQUESTS_KEPT = gate.DAY + timedelta(minutes=10)
"""What the windows and the purse may still reach."""

_TELLING = (Outcome.ARTIFICIAL, Outcome.UNCERTAIN)

Transact = Callable[[], AbstractContextManager[sa.Connection]]
"""Opens one short transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How much was taken, or may be: ``bytes`` are those of the answers, as they are kept."""

    answers: int = 0
    bytes: int = 0
    requests: int = 0


def prunable(read: Transact, before: datetime, now: datetime) -> Pruned:
    """Count what ``prune`` would take."""
    return _gone_through(read, before, now, takes=False)


def prune(write: Transact, before: datetime, now: datetime) -> Pruned:
    """Take the answers to what was judged before an instant, and requests made before it; return how much it was."""
    return _gone_through(write, before, now, takes=True)


def _gone_through(transact: Transact, before: datetime, now: datetime, *, takes: bool) -> Pruned:
    number = size = after = 0
    while True:
        with transact() as tx:
            page = tx.execute(_judged(before, after)).all()
            found = [row for row in page if _may_go(row.verdict)]
            if takes:
                tx.execute(sa.delete(answers).where(answers.c.analysis_id.in_([row.id for row in found])))
        number += len(found)
        size += sum(row.size for row in found)
        if len(page) < AT_ONCE:
            break
        after = page[-1].id
    asked = _requests(transact, min(before, now - REQUESTS_KEPT), takes=takes)
    return Pruned(answers=number, bytes=size, requests=asked)


def _judged(before: datetime, after: int) -> sa.Select[tuple[int, str, int]]:
    """Return the query for answers to what is judged and delivered, and that no file makes worth keeping."""
    of_it = sa.select(files.c.id).where(files.c.analysis_id == analyses.c.id)
    telling = sa.or_(
        files.c.state == FileState.WAITING, files.c.outcome.in_(_TELLING), files.c.decision.is_not(None)
    )
    return (
        sa.select(analyses.c.id, analyses.c.verdict, sa.func.length(answers.c.raw).label("size"))
        .join(answers, answers.c.analysis_id == analyses.c.id)
        .where(
            analyses.c.id > after,
            analyses.c.state == AnalysisState.JUDGED,
            analyses.c.judged_at < before,
            analyses.c.heatmap_due.is_(None),
            answers.c.heatmap.is_(None),
            of_it.where(files.c.delivered_at.is_not(None)).exists(),
            ~of_it.where(telling).exists(),
        )
        .order_by(analyses.c.id)
        .limit(AT_ONCE)
    )


def _may_go(verdict: str) -> bool:
    """Tell whether a verdict is plain: made by a human, and the API could tell."""
    said = json.loads(verdict)
    return (
        said["classification"] == Label.HUMAN
        and said["forced"] in {None, Label.HUMAN}
        and not said["unknown"]
    )


def _requests(transact: Transact, before: datetime, *, takes: bool) -> int:
    """Count requests made before an instant, or take them, so many at once."""
    if not takes:
        with transact() as tx:
            query = sa.select(sa.func.count()).select_from(requests).where(requests.c.at < before)
            return int(tx.execute(query).scalar_one())
    taken = 0
    while True:
        with transact() as tx:
            oldest = sa.select(requests.c.id).where(requests.c.at < before).limit(AT_ONCE)
            gone = tx.execute(sa.delete(requests).where(requests.c.id.in_(oldest))).rowcount
        taken += gone
        if gone < AT_ONCE:
            return taken
