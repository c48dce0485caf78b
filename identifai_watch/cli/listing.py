"""``list`` for people: on a terminal in columns, however wide it is, and in a pipe one line a file.

A list may have a million lines. It is printed as it is read, so that columns have their widths beforehand.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import IO

from identifai_watch.core.model import File
from identifai_watch.core.report import LIST_COLUMNS, line_cells, line_text
from identifai_watch.ledger.views import Line

PAGE = 100
"""Lines that are laid out at once."""


def write(
    out: IO[str], lines: Iterable[Line], renamed: Callable[[File], str | None], *, has_hosts: bool = False
) -> None:
    """Print a list; ``renamed`` says where people find a file whose folder they know by another name."""
    cells = (
        line_cells(line.file, line.analysis, renamed(line.file), node=line.file.node if has_hosts else "")
        for line in lines
    )
    if out.isatty():
        _on_terminal(out, cells)
        return
    out.write(f"{line_text(LIST_COLUMNS)}\n")
    out.writelines(f"{line_text(one)}\n" for one in cells)


def _on_terminal(out: IO[str], cells: Iterator[Sequence[str]]) -> None:
    from identifai_watch.cli import paper, printing  # noqa: PLC0415 - rich is for people, who wait 0.1 s longer

    printer = paper.console(out)
    printer.print(printing.files(islice(cells, PAGE), heading=True))
    while page := list(islice(cells, PAGE)):
        printer.print(printing.files(page, heading=False))
