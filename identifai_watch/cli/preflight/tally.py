"""How many directories there are in a folder, and whether its own rules hide all the media in it."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from identifai_watch.core import media
from identifai_watch.folder.ignores import Ignore, ignore_in
from identifai_watch.folder.opening import FolderError, directory_inside, open_root
from identifai_watch.folder.rules import Rules, why_not_descend, why_not_entry

MOST_ENTRIES = 10_000
"""A look at so many says enough of the rules."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What is in a tree: ``media`` are files whose names say so, of which ``hidden`` are kept by rules.

    ``rule`` is the first of those rules. ``strangers`` are files that belong to other users. Results of the folder
    itself are not counted.
    """

    directories: int = 0
    entries: int = 0
    media: int = 0
    hidden: int = 0
    rule: str | None = None
    strangers: int = 0

    @property
    def is_full(self) -> bool:
        """Whether no more files are looked at."""
        return self.entries >= MOST_ENTRIES


@dataclass(frozen=True, slots=True, kw_only=True)
class _Directory:
    path: bytes
    rule: str | None
    holds_results: bool
    ignores: tuple[Ignore, ...]


def count(
    root: bytes, rules: Rules, tally: Tally, moved: Callable[[], None], *, all_directories: bool
) -> None:
    """Count into ``tally`` what lies below ``root``; ``moved`` is called for each directory.

    What cannot be listed is left out, and no link is followed. With ``all_directories`` they are counted to the end.

    Raises:
        FolderError: The root itself cannot be opened.
    """
    top = open_root(root)
    try:
        waiting = [_Directory(path=b"", rule=None, holds_results=False, ignores=())]
        while waiting and (all_directories or not tally.is_full):
            moved()
            waiting += _counted(top, waiting.pop(), rules, tally)
    finally:
        os.close(top)


def _counted(top: int, one: _Directory, rules: Rules, tally: Tally) -> Iterator[_Directory]:
    """Count one directory, and give those in it."""
    try:
        with directory_inside(top, one.path, listing=True) as opened:
            tally.directories += 1
            own = None if tally.is_full else ignore_in(opened, one.path)
            ignores = one.ignores if own is None else (*one.ignores, own)
            with os.scandir(opened) as entries:
                for entry in entries:
                    below = _directory_or_file(entry, one, ignores, rules, tally)
                    if below is not None:
                        yield below
    except (FolderError, OSError):
        return  # the scan will tell of it


def _directory_or_file(
    entry: os.DirEntry[str], one: _Directory, ignores: tuple[Ignore, ...], rules: Rules, tally: Tally
) -> _Directory | None:
    name = os.fsencode(entry.name)
    path = one.path + b"/" + name if one.path else name
    if entry.is_dir(follow_symlinks=False):
        holds_results = one.holds_results or path in rules.destinations
        rule = one.rule or why_not_descend(path, name, rules) or _kept(ignores, path, is_directory=True)
        return _Directory(path=path, rule=rule, holds_results=holds_results, ignores=ignores)
    if not (one.holds_results or tally.is_full) and entry.is_file(follow_symlinks=False):
        tally.entries += 1
        if media.by_name(name) is not None:
            _count_file(entry, tally, one.rule or why_not_entry(path, name, rules) or _kept(ignores, path))
    return None


def _count_file(entry: os.DirEntry[str], tally: Tally, rule: str | None) -> None:
    tally.media += 1
    tally.strangers += entry.stat(follow_symlinks=False).st_uid != os.geteuid()
    if rule is not None:
        tally.hidden += 1
        tally.rule = tally.rule or rule


def _kept(ignores: tuple[Ignore, ...], path: bytes, *, is_directory: bool = False) -> str | None:
    return next(
        (rule for one in ignores if (rule := one.why_not(path, is_directory=is_directory)) is not None), None
    )
