"""The truth: compare a tree with what is remembered of it, and name only what differs.

Nothing is opened but directories and ``.identifai-ignore``, and what is kept in memory does not grow with the
tree. All goes through a descriptor of the root, so that what is mounted over it meanwhile, or a directory that
is swapped for a link, cannot lead the scan astray.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Protocol

from identifai_watch.core.model import Fingerprint
from identifai_watch.folder.ignores import Ignore, ignore_in, read_ignore
from identifai_watch.folder.look import fingerprint
from identifai_watch.folder.opening import (
    FolderError,
    MissingError,
    NotRegularError,
    directory_inside,
    open_root,
    stat_inside,
    translated,
)
from identifai_watch.folder.rules import Rules, why_not_descend, why_not_directory, why_not_entry

_CHUNK = 500
_Files = dict[bytes, os.stat_result]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is remembered of a path; ``missing`` is whether it was missing when it was last looked for."""

    fingerprint: Fingerprint
    missing: bool


class Memory(Protocol):
    """What is remembered of a folder: its files, and what was left alone. A parent is b"" for the root.

    ``count``, ``names`` and ``parents`` speak of what should be there: not of what is known to be gone.
    """

    def known(self, parent: bytes, names: Sequence[bytes]) -> Mapping[bytes, Known]:
        """Give what is remembered of these names in ``parent``, by name."""

    def count(self, parent: bytes) -> int:
        """Say how many names there should be in ``parent``."""

    def names(self, parent: bytes) -> Iterable[bytes]:
        """Give the names that should be in ``parent``."""

    def parents(self) -> Iterable[bytes]:
        """Give the directories in which something should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    """A file that is not remembered."""

    path: bytes
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A file that is remembered otherwise, be it as missing."""

    path: bytes
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Back:
    """A file that was missing and is there again, unchanged."""

    path: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A file that is remembered and was not seen, though its directory was listed or is gone itself."""

    path: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlisted:
    """A directory that could not be listed; nothing is said of what is below it. ``path`` is b"" for the root."""

    path: bytes
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The end of a scan that was not stopped; ``files`` counts those that the rules let pass."""

    files: int
    directories: int
    unlisted: int


Finding = New | Changed | Back | Missing | Unlisted | Summary


def scan(
    root: bytes,
    memory: Memory,
    rules: Rules,
    *,
    subtree: bytes = b"",
    network: bool,
    within: timedelta = timedelta(0),
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[list[Finding]]:
    """Compare the tree below ``root`` with ``memory``, giving what differs in lists of at most 500.

    With ``subtree`` only that directory and what is below it. The last list ends with a ``Summary``, unless
    ``stop`` said to stop. Other file systems mounted below are entered, links never. Times that differ ``within``
    that much are the same.
    """
    if why_not_directory(subtree, rules) is not None:
        yield [Summary(files=0, directories=0, unlisted=0)]
        return
    try:
        top = open_root(root)
    except FolderError as error:
        yield [Unlisted(path=b"", reason=str(error)), Summary(files=0, directories=0, unlisted=1)]
        return
    try:
        yield from _in_chunks(
            _Scan(top=top, memory=memory, rules=rules, network=network, within=within, stop=stop).run(subtree)
        )
    finally:
        os.close(top)


def _in_chunks(findings: Iterable[Finding]) -> Iterator[list[Finding]]:
    remaining = iter(findings)
    while chunk := list(islice(remaining, _CHUNK)):
        yield chunk


@dataclass(slots=True, kw_only=True)
class _Directory:
    """A directory that waits to be listed, with the ignore files above it."""

    path: bytes
    ignores: tuple[Ignore, ...]


@dataclass(slots=True, kw_only=True)
class _Scan:
    """One scan under way; ``top`` is the open root."""

    top: int
    memory: Memory
    rules: Rules
    network: bool
    within: timedelta
    stop: Callable[[], bool]
    files: int = 0
    directories: int = 0
    unlisted: int = 0
    waiting: list[_Directory] = field(default_factory=list)

    def run(self, subtree: bytes) -> Iterator[Finding]:
        ignores = self._ignores_above(subtree)
        if not any(ignore.why_not(subtree, is_directory=True) for ignore in ignores):
            self.waiting.append(_Directory(path=subtree, ignores=ignores))
        while self.waiting:
            yield from self._directory(self.waiting.pop())
            if self.stop():
                return
        if subtree == b"" and not self._is_root_unlisted():
            yield from self._vanished()
            if self.stop():
                return
        yield Summary(files=self.files, directories=self.directories, unlisted=self.unlisted)

    def _is_root_unlisted(self) -> bool:
        return self.directories == 0 and self.unlisted > 0

    def _ignores_above(self, subtree: bytes) -> tuple[Ignore, ...]:
        if not subtree:
            return ()
        names = subtree.split(b"/")
        found = (read_ignore(self.top, b"/".join(names[:depth])) for depth in range(len(names)))
        return tuple(ignore for ignore in found if ignore is not None)

    def _directory(self, directory: _Directory) -> Iterator[Finding]:
        """Compare one directory, reading it in chunks; a listing that breaks says nothing of what is missing."""
        seen = 0
        try:
            with directory_inside(self.top, directory.path, listing=True) as opened:
                ignore = ignore_in(opened, directory.path)
                if ignore is not None:
                    directory = _Directory(path=directory.path, ignores=(*directory.ignores, ignore))
                for files in self._listed(opened, directory):
                    findings, present = self._compare(directory, files)
                    seen += present
                    yield from findings
                    if self.stop():
                        return
        except MissingError:
            return  # it went meanwhile: the full scan asks for its files at its end
        except FolderError as error:
            self.unlisted += 1
            yield Unlisted(path=directory.path, reason=str(error))
            return
        self.directories += 1
        if seen != self.memory.count(directory.path):
            yield from self._absent(directory.path)

    def _listed(self, opened: int, directory: _Directory) -> Iterator[_Files]:
        """List the files in chunks, and put the directories aside.

        Raises:
            FolderError: the listing breaks.
        """
        try:
            with os.scandir(opened) as entries:
                while chunk := list(islice(entries, _CHUNK)):
                    yield self._sorted_out(chunk, directory)
        except OSError as error:
            raise translated(error) from error

    def _sorted_out(self, entries: list[os.DirEntry[str]], directory: _Directory) -> _Files:
        files: _Files = {}
        prefix, rules, ignores = _prefix(directory.path), self.rules, directory.ignores
        for entry in entries:
            name = os.fsencode(entry.name)
            path = prefix + name
            if entry.is_file(follow_symlinks=False):
                if why_not_entry(path, name, rules) is None and not (
                    ignores and _is_kept(ignores, path, is_directory=False)
                ):
                    _take(entry, name, files)
            elif (
                entry.is_dir(follow_symlinks=False)
                and why_not_descend(path, name, rules) is None
                and not _is_kept(ignores, path, is_directory=True)
            ):
                self.waiting.append(_Directory(path=path, ignores=ignores))
        return files

    def _compare(self, directory: _Directory, files: _Files) -> tuple[list[Finding], int]:
        """Compare these files with what is remembered; say too how many of them should be there."""
        findings: list[Finding] = []
        present = 0
        known = self.memory.known(directory.path, list(files)) if files else {}
        prefix = _prefix(directory.path)
        for name, result in files.items():
            remembered = known.get(name)
            if remembered is None:
                findings.append(
                    New(path=prefix + name, fingerprint=fingerprint(result, network=self.network))
                )
                continue
            present += not remembered.missing
            if not _is_same(remembered.fingerprint, result):
                seen = fingerprint(result, network=self.network)
                if not seen.is_like(remembered.fingerprint, self.within):
                    findings.append(Changed(path=prefix + name, fingerprint=seen))
                    continue
            if remembered.missing:
                findings.append(Back(path=prefix + name))
        self.files += len(files)
        return findings, present

    def _absent(self, parent: bytes) -> Iterator[Finding]:
        """Ask for each file that should be in ``parent``: the counts differ, so some may be missing."""
        for name in self.memory.names(parent):
            path = _prefix(parent) + name
            if self._is_gone(path, stat.S_ISREG):
                yield Missing(path=path)
            if self.stop():
                return

    def _vanished(self) -> Iterator[Finding]:
        """Find the files whose whole directory is gone; one that is there has been compared already."""
        for parent in self.memory.parents():
            if parent and self._is_gone(parent, stat.S_ISDIR):
                for name in self.memory.names(parent):
                    yield Missing(path=parent + b"/" + name)
            if self.stop():
                return

    def _is_gone(self, path: bytes, is_right: Callable[[int], bool]) -> bool:
        """Be sure that there is nothing of that kind; what cannot be asked for is not gone."""
        try:
            return not is_right(stat_inside(self.top, path).st_mode)
        except (MissingError, NotRegularError):
            return True
        except FolderError:
            return False


def _take(entry: os.DirEntry[str], name: bytes, files: _Files) -> None:
    """Take in a file, unless it went or became another thing since it was listed."""
    try:
        result = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISREG(result.st_mode):
        files[name] = result


def _prefix(directory: bytes) -> bytes:
    return directory + b"/" if directory else b""


def _is_same(remembered: Fingerprint, result: os.stat_result) -> bool:
    """Compare without making a fingerprint of the result: a scan does it a million times."""
    return (
        remembered.size == result.st_size
        and remembered.mtime_ns == result.st_mtime_ns
        and remembered.ctime_ns == result.st_ctime_ns
        and (remembered.inode is None or remembered.inode == result.st_ino)
    )


def _is_kept(ignores: tuple[Ignore, ...], path: bytes, *, is_directory: bool) -> bool:
    return any(ignore.why_not(path, is_directory=is_directory) is not None for ignore in ignores)
