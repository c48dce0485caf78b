"""What is printed for people on: a terminal of any width, or a pipe, in which a line ends where what it says ends."""

import os
from dataclasses import dataclass
from typing import IO

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.panel import Panel
from rich.text import Text

from identifai_watch.core.sidecar import shown

ROOM = 60
"""Columns from which on tables stand beside each other; below, what belongs together stands in lines."""

UNBOUNDED = 100_000
"""The width of a pipe, unless $COLUMNS says otherwise: who reads it folds lines better, or wants them whole."""


def console(out: IO[str]) -> Console:
    """Return a console on which a file's name is never taken for markup, a link or an emoji."""
    columns = os.environ.get("COLUMNS", "")
    width = None if out.isatty() else int(columns) if columns.isdecimal() else UNBOUNDED
    height = None if width is None else 25  # else a pipe out of a dumb terminal had 80 columns
    return Console(file=out, width=width, height=height, markup=False, highlight=False, emoji=False)


def put(out: IO[str], *things: RenderableType) -> None:
    """Print things for people; in a pipe without the blanks that fill a line up."""
    printer = console(out)
    if out.isatty():
        printer.print(*things, sep="\n")
        return
    with printer.capture() as caught:
        printer.print(*things, sep="\n")
    out.writelines(f"{line.rstrip()}\n" for line in caught.get().removesuffix("\n").split("\n"))


def safe(value: object, style: str = "") -> Text:
    """Return what a stranger may have written, safe to print."""
    return Text(shown(str(value)), style=style)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """What is shown in one way where there is room for it, and in another one where there is not."""

    wide: RenderableType
    narrow: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.wide if options.max_width >= ROOM else self.narrow


@dataclass(frozen=True, slots=True, kw_only=True)
class Framed:
    """What has a frame on a terminal that has room for one."""

    title: str
    inside: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if console.is_terminal and options.max_width >= ROOM:
            yield Panel(self.inside, title=self.title, title_align="left", box=box.ROUNDED)
        else:
            yield self.inside
