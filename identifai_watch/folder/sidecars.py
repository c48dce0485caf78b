"""Find our sidecars in a tree, for a ledger that was lost: no link is followed, and nothing else is opened.

What they say is left to ``core.salvage``: whoever can write to a drop folder can write one.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from identifai_watch.core.routing import SIDECAR_SUFFIX
from identifai_watch.folder.opening import (
    FolderError,
    MissingError,
    directory_inside,
    open_inside,
    open_root,
    translated,
)
from identifai_watch.folder.rules import Rules, why_not_descend

LARGEST = 4 * 1024 * 1024
"""Bytes: what is larger is no sidecar of ours; parsing it would take many times as much memory."""

OURS = b".identifai"
"""The one directory with a dot that is looked into: what was put aside lies below it."""

_ALL = Rules()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file that is called like a sidecar: its ``text``, or why it could not be read; ``path`` is below the root."""

    path: bytes
    text: bytes | None
    trouble: str | None = None


def sidecars(root: bytes) -> Iterator[Found]:
    """Give every file below ``root`` that is called like a sidecar, directory by directory.

    A directory that cannot be listed is given as one that cannot be read.

    Raises:
        FolderError: The root cannot be opened.
    """
    top = open_root(root)
    try:
        waiting = [b""]
        while waiting:
            directory = waiting.pop()
            try:
                names, below = _listed(top, directory)
            except MissingError:
                continue
            except FolderError as error:
                yield Found(path=directory or b".", text=None, trouble=f"it cannot be listed: {error}")
                continue
            waiting += below
            for name in names:
                yield _read(top, _join(directory, name))
    finally:
        os.close(top)


def _listed(top: int, directory: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return the names of the sidecars in a directory, and the paths of the directories below it."""
    with directory_inside(top, directory, listing=True) as opened:
        try:
            with os.scandir(opened) as entries:
                listed = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError as error:
            raise translated(error) from error
    names = [name for name, is_directory in listed if not is_directory and name.endswith(SIDECAR_SUFFIX)]
    below = [
        _join(directory, name)
        for name, is_directory in listed
        if is_directory and (name == OURS or why_not_descend(_join(directory, name), name, _ALL) is None)
    ]
    return sorted(names), sorted(below)


def _read(top: int, path: bytes) -> Found:
    try:
        descriptor = open_inside(top, path)
    except FolderError as error:
        return Found(path=path, text=None, trouble=str(error))
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor has no path
        try:
            text = file.read(LARGEST + 1)
        except OSError as error:
            return Found(path=path, text=None, trouble=str(translated(error)))
    if len(text) > LARGEST:
        return Found(path=path, text=None, trouble=f"it is larger than {LARGEST:,} bytes")
    return Found(path=path, text=text)


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name
