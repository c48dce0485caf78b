"""What the reading commands show, gathered from the configuration and the ledger in short transactions.

Nothing is written, not even a ledger: where there is none yet, there is nothing to show.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from identifai_watch.cli import elsewhere
from identifai_watch.cli.opening import folder_of, opened
from identifai_watch.config import Config, Folder
from identifai_watch.core.model import File
from identifai_watch.core.report import AD_HOC
from identifai_watch.core.sidecar import shown
from identifai_watch.errors import RefusedError
from identifai_watch.ledger import Ledger, Transaction, desk, views
from identifai_watch.ledger.views import Line

PAGE = 500
"""Lines that one transaction reads: a long one would keep the write-ahead log from ending while somebody pages."""

Filters = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A path of a ``node`` that was asked for: absolute, and in which watched folder under which path there, if in any.

    Of another node it is what was typed, and in no folder of this one.
    """

    node: str
    absolute: bytes
    folder: Folder | None
    path: bytes


@contextmanager
def opened_to_read(config: Config) -> Iterator[Ledger | None]:
    """Open the ledger; None if there is none yet, for one made by whoever asks would not be the daemon's."""
    if not _may_be_there(config.ledger.path):
        yield None
        return
    with opened(config) as ledger:
        yield ledger


def _may_be_there(path: Path | None) -> bool:
    """Tell whether there is a ledger, or something that we may not even see: opening it says what is the matter."""
    try:
        return path is None or path.exists()
    except PermissionError:
        return True


def each_line(ledger: Ledger | None, filters: Filters, limit: int | None) -> Iterator[Line]:
    """Iterate over files with their analyses, newest first, in many short transactions."""
    last: File | None = None
    left = limit
    while ledger is not None and left != 0:
        page = PAGE if left is None else min(PAGE, left)
        with ledger.read() as tx:
            found = list(views.lines(tx, **filters, limit=page, after=last))
        yield from found
        if len(found) < page:
            return
        last = found[-1].file
        left = None if left is None else left - page


def check_folder(config: Config, ledger: Ledger | None, name: str | None) -> None:
    """Raise RefusedError if no folder is called ``name``, neither in the configuration nor in the ledger, on any host."""
    if name is None or config.folder_named(name) is not None:
        return
    if ledger is not None:
        with ledger.read() as tx:
            numbers = views.folder_ids(tx, config.node.name, config.shared)
            if name in numbers or (ledger.member and views.owners(tx, name)):
                return
    known = ", ".join(folder.name for folder in config.folders)
    raise RefusedError(f"there is no folder {name}; configured are {known}")


def has_hosts(ledger: Ledger | None) -> bool:
    """Tell whether the ledger knows of more hosts than one, so that people are told which one is meant."""
    if ledger is None or not ledger.member:
        return False
    with ledger.read() as tx:
        return len(desk.node_names(tx) | {ledger.node}) > 1


def of_host(ledger: Ledger | None) -> Callable[[File], dict[str, Any]]:
    """Return what JSON says besides of a file: its host, in a ledger that several may use; "" is one that they share."""
    is_shared = ledger is not None and ledger.member != ""
    return lambda file: {"node": file.node} if is_shared else {}


def located(config: Config, path: Path, node: str | None = None) -> Place:
    """Return where a path lies: in which watched folder, also if links lead to it, or in none.

    Of another ``node`` than this one nothing is known but what the ledger says: it is taken as it is named.
    """
    if node is not None and node != config.node.name:
        return Place(node=node, absolute=os.fsencode(path), folder=None, path=b"")
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow a link that is the file itself
    for candidate in (absolute, absolute.parent.resolve() / absolute.name):
        try:
            name, relative = folder_of(config, candidate)
        except RefusedError:
            continue
        return Place(
            node=config.node.name,
            absolute=os.fsencode(candidate),
            folder=config.folder_named(name),
            path=relative,
        )
    root = next((one for one in config.folders if absolute.resolve() == one.path.resolve()), None)
    return Place(node=config.node.name, absolute=os.fsencode(absolute), folder=root, path=b"")


def lines_at(tx: Transaction, config: Config, place: Place) -> list[Line]:
    """Return the files of a host that were noticed at, or lie at, a place; the one that stands for it first."""
    if place.node != config.node.name:
        return elsewhere.lines_at(tx, place.node, place.absolute)
    numbers = views.folder_ids(tx, place.node, config.shared)
    found: list[Line] = []
    if place.folder is not None and place.folder.name in numbers:
        found = views.at(tx, numbers[place.folder.name], place.path)
    if not found:
        found = [line for line in views.lying_at(tx, place.absolute) if config.is_here(line.file.node)]
    for absolute in dict.fromkeys((place.absolute, os.path.realpath(place.absolute))):
        if not found and AD_HOC in numbers:
            found = views.at(tx, numbers[AD_HOC], absolute.lstrip(b"/"))
    return found


def nowhere(config: Config, place: Place) -> RefusedError:
    """Return the error for a path in no watched folder that the ledger does not know either."""
    if place.node != config.node.name:
        return elsewhere.nowhere(place.node, place.absolute)
    watched_paths = ", ".join(shown(folder.root) for folder in config.folders)
    return RefusedError(
        f"{shown(place.absolute)} lies in no watched folder, and the ledger does not know it; "
        f"watched are {watched_paths}"
    )
