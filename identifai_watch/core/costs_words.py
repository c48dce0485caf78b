"""Costs in words and rows, the same in the terminal and on the page."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby

from identifai_watch.core.costs import Basis, Cost, Costs, Left
from identifai_watch.core.model import Media
from identifai_watch.core.words import amount

DAY_COLUMNS = ("Day", "Folder", "Images", "Videos", "Audio", "Copies", "Credits")
"""What each row of ``days`` has."""


ALL_FOLDERS = "all folders"


def sent(used: Costs) -> str:
    """Say what was paid for."""
    again = f", and {used.resent:,} of them once more" if used.resent else ""
    return f"{_number(used.posts, 'content', 'contents')}{again}"


def saved(used: Costs) -> str:
    """Say what cost nothing, for the ledger knew it."""
    files = used.posts + used.copies
    share = f", {used.copies / files:.0%} of what came" if files else ""
    return f"{_number(used.copies, 'copy', 'copies')} that cost nothing{share}"


def credits_left(left: Left) -> str:
    """Say how many credits are left; not when that was asked."""
    if left.credits is None:
        return "not known: the account was not asked yet (identifai-watch check asks)"
    floor = f", of which credits_floor keeps {amount(left.floor)}" if left.floor else ""
    return f"{amount(left.credits)} left{floor}"


def pace(left: Left, now: datetime, span: Callable[[timedelta], str]) -> str | None:
    """Say how fast credits go, and how long they last by that; None where nothing was used."""
    if left.per_day is None:
        return None
    said = f"{amount(left.per_day)} {left.basis} a day"
    if left.basis is Basis.POSTS:
        said += ", reckoned as a credit each"
    if left.ends_at is None:
        return said
    if left.ends_at <= now:
        return f"{said}: nothing is left by it"
    return f"{said}: lasts {span(left.ends_at - now)}, until about {left.ends_at:%Y-%m-%d %H:%M} UTC"


def purse(left: Left) -> str | None:
    """Say what the purse has left; None where there is none."""
    return None if left.purse_whole is None else f"{left.purse:,} of {left.purse_whole:,} posts_per_day left"


def days(used: Costs) -> Iterator[tuple[str, ...]]:
    """Yield a row of DAY_COLUMNS for each day and folder, the newest first.

    Credits are the account's: where a day has several folders they stand in a row of their own, for none of these alone.
    """
    went = {one.day: one.credits for one in used.spent}
    rows = {
        day: [(folder, list(lines)) for folder, lines in groupby(of_day, lambda one: one.folder)]
        for day, of_day in groupby(used.lines, lambda one: one.day)
    }
    for day in sorted(rows.keys() | went.keys(), reverse=True):
        spent = amount(went[day]) if day in went else ""
        folders = rows.get(day, [("", [])])
        is_shared = spent != "" and len(folders) > 1
        for folder, lines in folders:
            yield (*_day(day, folder, lines), "" if is_shared else spent)
        if is_shared:
            yield (*_day(day, ALL_FOLDERS, [one for _, lines in folders for one in lines]), spent)


def _day(day: date, folder: str, lines: Sequence[Cost]) -> Iterator[str]:
    yield day.isoformat()
    yield folder
    for media in (Media.IMAGE, Media.VIDEO, Media.AUDIO):
        yield f"{sum(one.posts for one in lines if one.media is media):,}"
    yield f"{sum(one.copies for one in lines):,}"


def _number(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
