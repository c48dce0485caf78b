"""How costs and quality look in the terminal, at 80 columns."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from identifai_watch.cli.printing import facts, instant, span
from identifai_watch.core.costs import Basis, Cost, Costs, Left, by_folder
from identifai_watch.core.model import Media
from identifai_watch.core.quality import Quality, Tally
from identifai_watch.core.words import amount


def costs(used: Costs, now: datetime) -> Group:
    """Return what was used and what is left: in words, then by folder, then by day."""
    rows = [("Since", f"{used.since:%Y-%m-%d %H:%M} UTC"), ("Sent", _sent(used)), ("Saved", _saved(used))]
    parts: list[RenderableType] = [facts([*rows, *_left(used.left, now)])]
    folders = by_folder(used.lines)
    if len(folders) > 1:
        table = _table(["Folder"], ["Sent", "Copies"])
        for name, (posts, copies) in folders.items():
            table.add_row(name, f"{posts:,}", f"{copies:,}")
        parts += [Text(), table]
    if used.lines or used.spent:
        parts += [Text(), _days(used)]
    return Group(*parts)


def quality(found: Quality) -> Group:
    """Return how far the desk agrees, in words, then by confidence, kind and model."""
    which = "all" if found.since is None else f"since {found.since:%Y-%m-%d %H:%M} UTC"
    newest = "" if found.is_whole else "; there are more, and these are the newest"
    rows = [("Decided", f"{found.decided:,} files with a verdict ({which}){newest}")]
    if found.unjudged:
        rows.append(("", f"{found.unjudged:,} more had no verdict to compare with"))
    rows.append(("Beware", "a desk looks at what is doubtful: this is no measure of all that came in"))
    parts: list[RenderableType] = [facts(rows)]
    for title, tallies in (
        ("Confidence", found.by_band),
        ("Kind", found.by_media),
        ("Model", found.by_model),
    ):
        if tallies:
            parts += [Text(), _tallies(title, tallies)]
    return Group(*parts)


def _sent(used: Costs) -> str:
    again = f", and {used.resent:,} of them once more" if used.resent else ""
    return f"{_number(used.posts, 'content', 'contents')}{again}"


def _saved(used: Costs) -> str:
    files = used.posts + used.copies
    share = f", {used.copies / files:.0%} of what came" if files else ""
    return f"{_number(used.copies, 'copy', 'copies')} that cost nothing{share}"


def _number(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _left(left: Left, now: datetime) -> Iterator[tuple[str, str]]:
    if left.credits is None:
        yield "Credits", "not known: the account was not asked yet (identifai-watch check asks)"
    else:
        floor = f", of which credits_floor keeps {amount(left.floor)}" if left.floor else ""
        yield "Credits", f"{amount(left.credits)} left{floor}, asked {instant(left.credits_at, now)}"
    if left.per_day is not None:
        yield "Pace", _pace(left, now)
    if left.purse_whole is not None:
        yield "Purse", f"{left.purse:,} of {left.purse_whole:,} posts_per_day left"


def _pace(left: Left, now: datetime) -> str:
    said = f"{amount(left.per_day or 0)} {left.basis} a day"
    if left.basis is Basis.POSTS:
        said += ", reckoned as a credit each"
    if left.ends_at is None:
        return said
    if left.ends_at <= now:
        return f"{said}: nothing is left by it"
    return f"{said}: lasts {span(left.ends_at - now)}, until about {left.ends_at:%Y-%m-%d %H:%M} UTC"


def _days(used: Costs) -> Table:
    """Return a row for each day and folder, with what was sent of each kind; credits are the account's, once a day."""
    table = _table(["Day", "Folder"], ["Images", "Videos", "Audio", "Copies", "Credits"])
    went = {one.day: one.credits for one in used.spent}
    rows = {
        day: [(folder, list(lines)) for folder, lines in groupby(of_day, lambda one: one.folder)]
        for day, of_day in groupby(used.lines, lambda one: one.day)
    }
    for day in sorted(rows.keys() | went.keys(), reverse=True):
        spent = amount(went[day]) if day in went else ""
        for place, (folder, lines) in enumerate(rows.get(day, [("", [])])):
            table.add_row(*_day(day, folder, lines), "" if place else spent)
    return table


def _day(day: date, folder: str, lines: Sequence[Cost]) -> Iterator[str]:
    yield day.isoformat()
    yield folder
    for media in (Media.IMAGE, Media.VIDEO, Media.AUDIO):
        yield f"{sum(one.posts for one in lines if one.media is media):,}"
    yield f"{sum(one.copies for one in lines):,}"


def _tallies(title: str, tallies: Iterable[Tally]) -> Table:
    table = _table([title, "Signs"], ["Human", "Artificial", "Left open", "Agreed"])
    for one in tallies:
        agreed = "" if one.share is None else f"{one.share:.0%}"
        table.add_row(one.name, one.said, f"{one.human:,}", f"{one.artificial:,}", f"{one.open:,}", agreed)
    return table


def _table(texts: Iterable[str], numbers: Iterable[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in texts:
        table.add_column(name, overflow="fold", header_style="bold underline")
    for name in numbers:
        table.add_column(name, justify="right", header_style="bold underline")
    return table
