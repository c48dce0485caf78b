"""What two folders may not do to each other: share a name, share files, or feed one another.

Paths are compared by their names alone. Two names of one directory (a link, a bind mount) are found by those
that open it, for a mount that hangs must not hang the configuration.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from identifai_watch.config.folder import Folder

Labelled = tuple[str, Folder]
"""A folder with the dotted name by which its problems are told."""


def overlaps(folders: Sequence[Labelled]) -> list[str]:
    """Return the problems between ``folders``, as lines of ``dotted.name: what and remedy``."""
    pairs = list(combinations(folders, 2))
    return [
        *(line for one, other in pairs for line in _same_name(one, other)),
        *(line for one, other in pairs for line in _same_files(one, other)),
        *(line for one in folders for other in folders if one is not other for line in _feeds(one, other)),
    ]


def _same_name(one: Labelled, other: Labelled) -> Iterator[str]:
    if one[1].name == other[1].name:
        yield f'{other[0]}.name: "{other[1].name}" is the name of {one[0]} too; give each folder a name of its own'


def _same_files(one: Labelled, other: Labelled) -> Iterator[str]:
    if one[1].path == other[1].path:
        yield f"{other[0]}.path: {other[1].path} is the path of {one[0]} too; watch it once"
        return
    for (outer_label, outer), (inner_label, inner) in ((one, other), (other, one)):
        if _watches(outer, inner.path):
            yield (
                f"{inner_label}.path: {inner.path} lies inside {outer_label} ({outer.path}), which would judge its "
                f"files too; set recursive = false there, or move one of them"
            )


def _feeds(one: Labelled, other: Labelled) -> Iterator[str]:
    label, folder = one
    other_label, watched = other
    for outcome, place in folder.foreign_places().items():
        if place == watched.path or _watches(watched, place):
            yield (
                f"{label}.{outcome}: {place} lies inside {other_label} ({watched.path}), which would judge the "
                f"results again; name a place outside of every folder"
            )
        elif folder.keep_tree and watched.path.is_relative_to(place):
            yield (
                f"{label}.{outcome}: {place} lies above {other_label} ({watched.path}), so that results may land in "
                f"it; name a place outside of every folder"
            )


def _watches(folder: Folder, path: Path) -> bool:
    return folder.recursive and path != folder.path and path.is_relative_to(folder.path)
