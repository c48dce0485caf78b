"""What was sent, and what cost nothing, counted by day, folder and kind; a day at a time, each in a short transaction."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

import sqlalchemy as sa

from identifai_watch.core.alarms import DAY, WEEK
from identifai_watch.core.costs import Cost, Costs, left, spent
from identifai_watch.core.gate import Limits
from identifai_watch.core.model import Media
from identifai_watch.ledger import alarms, budget
from identifai_watch.ledger.schema import analyses, files, folders

UNKNOWN = "(unknown)"
"""The folder of a content that no file stands for any more."""

Transact = Callable[[], AbstractContextManager[sa.Connection]]
"""Opens one short transaction."""

# Literals, so that SQLite can prove that a partial index serves the query.
_COPIED = sa.text("files.duplicate = 1")
_SENT = analyses.c.submitted_at.is_not(None)


def costs(read: Transact, limits: Limits, since: datetime, now: datetime, *, by_node: bool = False) -> Costs:
    """Return what was used since an instant, and what is left of credits and purse; see ``used``."""
    whole = limits.purse(backlog=False)
    with read() as tx:
        account = budget.account(tx)
        day, week = posts_of(tx, now)
        balances = alarms.balances_since(tx, min(since, now - WEEK))
        rest = left(
            balance=None
            if account.credits is None or account.credits_at is None
            else (account.credits_at, account.credits),
            balances=balances,
            posts_of_day=day,
            posts_of_week=week,
            floor=limits.credits_floor,
            purse=budget.purse(tx, limits, now).left,
            purse_whole=None if whole is None else whole.count,
            now=now,
        )
    found = used(read, since, now, by_node=by_node)
    return Costs(
        since=since,
        until=now,
        lines=found.lines,
        resent=found.resent,
        spent=spent(balances, since),
        left=rest,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What was used, the newest day first; ``resent`` counts the contents' further posts."""

    lines: tuple[Cost, ...]
    resent: int


def used(read: Transact, since: datetime, until: datetime, *, by_node: bool = False) -> Used:
    """Return what was sent, and what cost nothing, between two instants.

    Folders are told apart by their hosts if that is asked for: each may have one of the same name. Of what was rebuilt from sidecars it is not known when it was sent: it is not counted.
    """
    lines: list[Cost] = []
    resent = 0
    with read() as tx:
        first = _first(tx)
        names = {
            row.id: f"{row.node}/{row.name}" if by_node and row.node else row.name
            for row in tx.execute(sa.select(folders.c.id, folders.c.name, folders.c.node))
        }
    if first is None:
        return Used(lines=(), resent=0)
    for begins, ends in _days(max(since, first), until):
        with read() as tx:
            posts, again = _posts(tx, begins, ends, names)
            copies = _copies(tx, begins, ends, names)
        lines += _lines(begins.date(), posts, copies)
        resent += again
    return Used(lines=tuple(lines), resent=resent)


def posts_of(tx: sa.Connection, now: datetime) -> tuple[int, int]:
    """Return how many contents were sent in the last day and in the last week."""
    query = sa.select(sa.func.count()).select_from(analyses)
    day, week = (
        tx.execute(query.where(analyses.c.submitted_at > now - span)).scalar_one() for span in (DAY, WEEK)
    )
    return day, week


_Places = Counter[tuple[str, Media]]


def _days(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield the days of UTC between two instants, the newest first, the first and the last one cut."""
    ends = until
    while ends > since:
        midnight = datetime.combine(ends, time(), UTC)
        begins = max(since, midnight if midnight < ends else midnight - DAY)
        yield begins, ends
        ends = begins


def _first(tx: sa.Connection) -> datetime | None:
    """Return when the first content was sent, or the first copy came."""
    sent = tx.execute(sa.select(sa.func.min(analyses.c.submitted_at)).where(_SENT)).scalar()
    copied = tx.execute(sa.select(sa.func.min(files.c.hashed_at)).where(_COPIED)).scalar()
    return min((one for one in (sent, copied) if one is not None), default=None)


def _posts(tx: sa.Connection, begins: datetime, ends: datetime, names: dict[int, str]) -> tuple[_Places, int]:
    number, again = sa.func.count(), sa.func.sum(analyses.c.resubmissions)
    query = (
        sa.select(_folder_of_content().label("folder"), analyses.c.media, number, again)
        .where(analyses.c.submitted_at >= begins, analyses.c.submitted_at < ends)
        .group_by("folder", analyses.c.media)
    )
    posts, resent = _Places(), 0
    for folder, media, sent, more in tx.execute(query):
        posts[names.get(folder, UNKNOWN), Media(media)] += sent
        resent += more
    return posts, resent


def _copies(tx: sa.Connection, begins: datetime, ends: datetime, names: dict[int, str]) -> _Places:
    query = (
        sa.select(files.c.folder_id, files.c.media, sa.func.count())
        .where(files.c.hashed_at >= begins, files.c.hashed_at < ends, _COPIED)
        .group_by(files.c.folder_id, files.c.media)
    )
    copies = _Places()
    for folder, media, number in tx.execute(query):
        copies[names[folder], Media(media)] += number
    return copies


def _lines(day: date, posts: _Places, copies: _Places) -> Iterator[Cost]:
    for folder, media in sorted(posts.keys() | copies.keys()):
        place = folder, media
        yield Cost(day=day, folder=folder, media=media, posts=posts[place], copies=copies[place])


def _folder_of_content() -> sa.ColumnElement[int | None]:
    """Return the folder whose file had a content sent; an older edition has no file, and takes a newer one's."""
    newer = analyses.alias("newer")
    sources = (
        (sa.select(files.c.folder_id), files.c.analysis_id == analyses.c.id),
        (
            sa.select(files.c.folder_id).join(newer, newer.c.id == files.c.analysis_id),
            sa.and_(
                newer.c.sha256 == analyses.c.sha256,
                newer.c.media == analyses.c.media,
                newer.c.options == analyses.c.options,
            ),
        ),
    )
    first, of_newer = (
        query.where(which).order_by(files.c.duplicate).limit(1).correlate(analyses).scalar_subquery()
        for query, which in sources
    )
    return sa.func.coalesce(first, of_newer)
