"""How costs and quality look in the terminal, at 80 columns."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from identifai_watch.cli.printing import facts, instant, span
from identifai_watch.core import costs_words
from identifai_watch.core.costs import Costs, Left, by_folder
from identifai_watch.core.quality import Quality, Tally


def costs(used: Costs, now: datetime) -> Group:
    """Return what was used and what is left: in words, then by folder, then by day."""
    rows = [
        ("Since", f"{used.since:%Y-%m-%d %H:%M} UTC"),
        ("Sent", costs_words.sent(used)),
        ("Saved", costs_words.saved(used)),
    ]
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


def _left(left: Left, now: datetime) -> Iterator[tuple[str, str]]:
    asked = "" if left.credits is None else f", asked {instant(left.credits_at, now)}"
    yield "Credits", f"{costs_words.credits_left(left)}{asked}"
    for name, said in (("Pace", costs_words.pace(left, now, span)), ("Purse", costs_words.purse(left))):
        if said is not None:
            yield name, said


def _days(used: Costs) -> Table:
    """Return a row for each day and folder, with what was sent of each kind; credits are the account's, once a day."""
    table = _table(costs_words.DAY_COLUMNS[:2], costs_words.DAY_COLUMNS[2:])
    for row in costs_words.days(used):
        table.add_row(*row)
    return table


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
