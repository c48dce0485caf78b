"""The file ``.identifai-ignore``, by which whoever owns a directory keeps its subtree from being sent.

An empty one keeps all of it, else its lines are globs in the manner of .gitignore, relative to its directory.
What cannot be read keeps all of it too: whoever put it there wanted something kept.
"""

import os
from dataclasses import dataclass

from pathspec import GitIgnoreSpec

from identifai_watch.folder.opening import FolderError, MissingError, directory_inside, open_inside, open_root
from identifai_watch.folder.rules import gitignore, matching

NAME = b".identifai-ignore"
_LONGEST = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignore:
    """One such file: ``directory`` is where it lies, relative to the root; no ``patterns`` is all."""

    directory: bytes
    patterns: tuple[str, ...]
    spec: GitIgnoreSpec

    def why_not(self, path: bytes, *, is_directory: bool = False) -> str | None:
        """Name the rule by which ``path``, which lies below, is kept, None if it is not."""
        lies = "the folder" if not self.directory else os.fsdecode(self.directory)
        if not self.patterns:
            return f"{os.fsdecode(NAME)} in {lies}: all of it"
        relative = os.fsdecode(path[len(self.directory) :].lstrip(b"/")) + ("/" if is_directory else "")
        if is_directory and any(pattern.startswith("!") for pattern in self.patterns):
            return None
        pattern = matching(self.spec, self.patterns, relative)
        return None if pattern is None else f"{os.fsdecode(NAME)} in {lies}: {pattern}"


class Ignores:
    """The ignore files of one root, each read once: for many files that are looked at in one go."""

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._read: dict[bytes, Ignore | None] = {}

    def why_not(self, path: bytes) -> str | None:
        """Name the rule of an ignore file above the file ``path`` by which it is kept, None if there is none.

        Raises:
            FolderError: the root cannot be opened.
        """
        above = _above(path)
        unread = [directory for directory in above if directory not in self._read]
        if unread:
            top = open_root(self._root)
            try:
                self._read.update((directory, read_ignore(top, directory)) for directory in unread)
            finally:
                os.close(top)
        found = (self._read[directory] for directory in above)
        reasons = (ignore.why_not(path) for ignore in found if ignore is not None)
        return next((reason for reason in reasons if reason is not None), None)


def ignored(root: bytes, path: bytes) -> str | None:
    """Name the rule of a ``.identifai-ignore`` above the file ``path`` by which it is kept, None if there is none.

    Raises:
        FolderError: the root cannot be opened.
    """
    return Ignores(root).why_not(path)


def _above(path: bytes) -> list[bytes]:
    """Return the directories above a file, the root first."""
    names = path.split(b"/")[:-1]
    return [b"/".join(names[:depth]) for depth in range(len(names) + 1)]


def read_ignore(root: int, directory: bytes) -> Ignore | None:
    """Read the one in ``directory`` below the open ``root``, None if there is none."""
    try:
        with directory_inside(root, directory) as opened:
            return ignore_in(opened, directory)
    except FolderError:
        return None  # the directory cannot be entered: whoever goes there will hear of it


def ignore_in(opened: int, directory: bytes) -> Ignore | None:
    """Read the one in the open directory ``opened``, which is ``directory`` below the root."""
    try:
        descriptor = open_inside(opened, NAME)
    except MissingError:
        return None
    except FolderError:
        return _ignore(directory, b"")
    try:
        return _ignore(directory, os.read(descriptor, _LONGEST))
    except OSError:
        return _ignore(directory, b"")
    finally:
        os.close(descriptor)


def _ignore(directory: bytes, content: bytes) -> Ignore:
    patterns = tuple(os.fsdecode(content).splitlines()) if content.strip() else ()
    return Ignore(directory=directory, patterns=patterns, spec=gitignore(patterns))
