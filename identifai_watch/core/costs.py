"""What judging costs: uploads and copies by day and folder, credits by day, what is left, and how long it lasts.

A post is an upload that identifAI took; a copy is a file whose content the ledger knew, and which cost nothing. What
one post costs the API does not say: credits are known by its balance alone. Days are those of UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any

from identifai_watch.core.alarms import DAY, credits_pace
from identifai_watch.core.model import Media
from identifai_watch.core.sidecar import timestamp

FURTHEST = timedelta(days=3650)
"""An end that is further away is none."""

Balance = tuple[datetime, float]
"""When the account was asked, and how many credits it had left."""


class Basis(StrEnum):
    """What the pace is reckoned by."""

    CREDITS = "credits"  # how the balance went
    POSTS = "posts"  # how many there were, each at one credit: it may have cost more


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one folder's contents of one kind came to on one day."""

    day: date
    folder: str
    media: Media
    posts: int
    copies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """The credits that went on one day, and those that were added meanwhile, as far as the balance shows it."""

    day: date
    credits: float
    added: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What may still be used: the credits above ``floor``, and the purse of posts_per_day, None where there is none.

    ``per_day`` is the pace in what ``basis`` says; ``ends_at`` is when the credits are used up by it. Both are None
    where nothing was used, or the credits are not known.
    """

    credits: float | None
    credits_at: datetime | None
    floor: float
    basis: Basis | None
    per_day: float | None
    ends_at: datetime | None
    purse: int | None
    purse_whole: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What was used between two instants, the newest day first, and what is left.

    ``resent`` are further posts of contents that were lost at identifAI or judged wrongly there; they stand in no day.
    """

    since: datetime
    until: datetime
    lines: tuple[Cost, ...]
    resent: int
    spent: tuple[Spent, ...]
    left: Left

    @property
    def posts(self) -> int:
        """Return how many uploads there were."""
        return sum(one.posts for one in self.lines)

    @property
    def copies(self) -> int:
        """Return how many files cost nothing, for their content was known."""
        return sum(one.copies for one in self.lines)


def left(
    *,
    balance: Balance | None,
    balances: Sequence[Balance],
    posts_of_day: int,
    posts_of_week: int,
    floor: float,
    purse: int | None,
    purse_whole: int | None,
    now: datetime,
) -> Left:
    """Reckon what is left, and how long it lasts at the pace of the last day or week, whichever is the faster.

    ``balances`` are ascending; where those of the last week do not tell the pace, the posts do.
    """
    by_credits = credits_pace(balances, now)
    by_posts = max(float(posts_of_day), posts_of_week / 7)
    basis, pace = (Basis.CREDITS, by_credits) if by_credits > 0 else (Basis.POSTS, by_posts)
    ends_at = None
    if balance is not None and pace > 0:
        at, credits_left = balance
        lasts = max(0.0, credits_left - floor) / pace
        ends_at = at + timedelta(days=lasts) if lasts < FURTHEST / DAY else None
    return Left(
        credits=None if balance is None else balance[1],
        credits_at=None if balance is None else balance[0],
        floor=floor,
        basis=basis if pace > 0 else None,
        per_day=pace if pace > 0 else None,
        ends_at=ends_at,
        purse=purse,
        purse_whole=purse_whole,
    )


def nothing(since: datetime, until: datetime) -> Costs:
    """Return what was used where there is no ledger yet."""
    unused = left(
        balance=None,
        balances=(),
        posts_of_day=0,
        posts_of_week=0,
        floor=0.0,
        purse=None,
        purse_whole=None,
        now=until,
    )
    return Costs(since=since, until=until, lines=(), resent=0, spent=(), left=unused)


def spent(balances: Sequence[Balance], since: datetime) -> tuple[Spent, ...]:
    """Return what went on each day since, the newest first; what went between two looks counts for that of the later.

    ``balances`` are ascending. What was spent and added between two looks is known as their difference alone.
    """
    went: dict[date, list[float]] = {}
    for (_, before), (at, after) in pairwise(balances):
        if at < since:
            continue
        of_day = went.setdefault(at.date(), [0.0, 0.0])
        of_day[0 if after < before else 1] += abs(before - after)
    return tuple(
        Spent(day=day, credits=used, added=added)
        for day, (used, added) in sorted(went.items(), reverse=True)
        if used or added
    )


def by_folder(lines: Sequence[Cost]) -> Mapping[str, tuple[int, int]]:
    """Return posts and copies of each folder, the one with most posts first."""
    sums: dict[str, tuple[int, int]] = {}
    for one in lines:
        posts, copies = sums.get(one.folder, (0, 0))
        sums[one.folder] = (posts + one.posts, copies + one.copies)
    return dict(sorted(sums.items(), key=lambda of: (-of[1][0], of[0])))


def costs_json(costs: Costs) -> dict[str, Any]:
    """Return costs as JSON's own values."""
    rest = costs.left
    return {
        "since": timestamp(costs.since),
        "until": timestamp(costs.until),
        "posts": costs.posts,
        "copies": costs.copies,
        "resent": costs.resent,
        "days": [
            {
                "day": one.day.isoformat(),
                "folder": one.folder,
                "media": one.media,
                "posts": one.posts,
                "copies": one.copies,
            }
            for one in costs.lines
        ],
        "credits": [
            {"day": one.day.isoformat(), "spent": one.credits, "added": one.added} for one in costs.spent
        ],
        "left": {
            "credits": rest.credits,
            "credits_at": timestamp(rest.credits_at),
            "credits_floor": rest.floor,
            "pace": None if rest.per_day is None else {"per_day": rest.per_day, "basis": rest.basis},
            "ends_at": timestamp(rest.ends_at),
            "purse": rest.purse,
            "posts_per_day": rest.purse_whole,
        },
    }
