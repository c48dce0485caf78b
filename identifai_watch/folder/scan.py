"""The truth: compare a tree with what is remembered of it, and name only what differs.

Nothing is opened but directories and ``.identifai-ignore``, and what is kept in memory does not grow with the
tree. All goes through a descriptor of the root, so that what is mounted over it meanwhile, or a directory that
is swapped for a link, cannot lead the scan astray.
"""

import os
import stat
import sys
from array import array
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice
from typing import Protocol

from identifai_watch.core.model import GONE, Fingerprint, Remembered
from identifai_watch.core.times import kept
from identifai_watch.folder.ignores import Ignore, ignore_in, read_ignore
from identifai_watch.folder.opening import (
    FolderError,
    MissingError,
    NotRegularError,
    directory_inside,
    open_root,
    stat_inside,
    translated,
)
from identifai_watch.folder.rules import PLAIN, Rules, why_not_descend, why_not_directory, why_not_entry

_CHUNK = 500
MOST_HELD = 10_000
"""Files of a directory whose memory is held as a whole, some 3 MB; of a larger one sums are made."""

_PARTS = 65_536
"""Parts of a large directory, half a MB: of a million names sixteen are looked at for one that differs."""

_ENCODING, _ERRORS = (
    sys.getfilesystemencoding(),
    sys.getfilesystemencodeerrors(),
)  # as os.fsencode, a third of its time


class Memory(Protocol):
    """What is remembered of a folder: its files, and what was left alone. A parent is b"" for the root.

    ``names`` and ``parents`` speak of what should be there: not of what is known to be gone.
    """

    def directory(self, parent: bytes, most: int) -> dict[bytes, Remembered] | None:
        """Give all that is remembered in ``parent`` by name, None if that is more than ``most``."""

    def known(self, parent: bytes, names: Sequence[bytes]) -> Mapping[bytes, Remembered]:
        """Give what is remembered of these names in ``parent``, by name; at most 500 names."""

    def rows(self, parent: bytes) -> Iterable[Sequence[Remembered]]:
        """Give all that is remembered in ``parent``, page by page."""

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
    hold: int = MOST_HELD,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[list[Finding]]:
    """Compare the tree below ``root`` with ``memory``, giving what differs in lists of at most 500.

    With ``subtree`` only that directory and what is below it. The last list ends with a ``Summary``, unless
    ``stop`` said to stop. Other file systems mounted below are entered, links never. Times that differ ``within``
    that much are the same. What is remembered of a directory is held as a whole if it is at most ``hold`` names.
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
            _Scan(
                top=top, memory=memory, rules=rules, network=network, within=within, hold=hold, stop=stop
            ).run(subtree)
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
    hold: int
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
        remembered = self.memory.directory(directory.path, self.hold)
        try:
            with directory_inside(self.top, directory.path, listing=True) as opened:
                ignore = ignore_in(opened, directory.path)
                if ignore is not None:
                    directory = _Directory(path=directory.path, ignores=(*directory.ignores, ignore))
                if remembered is None:
                    unseen = yield from self._sift(opened, directory)
                else:
                    unseen = yield from self._match(opened, directory, remembered)
        except MissingError:
            return  # it went meanwhile: the full scan asks for its files at its end
        except FolderError as error:
            self.unlisted += 1
            yield Unlisted(path=directory.path, reason=str(error))
            return
        self.directories += 1
        for name in unseen:
            path = _prefix(directory.path) + name
            if self._is_gone(path, stat.S_ISREG):
                yield Missing(path=path)
            if self.stop():
                return

    def _match(
        self, opened: int, directory: _Directory, remembered: dict[bytes, Remembered]
    ) -> Generator[Finding, None, Iterable[bytes]]:
        """Compare a directory with all that is remembered of it; return the names that should be there and are not."""
        for files in self._listed(opened, directory):
            yield from self._compare(directory, files, remembered)
            if self.stop():
                return ()
        return [name for name, row in remembered.items() if row[-1] != GONE]

    def _sift(self, opened: int, directory: _Directory) -> Generator[Finding, None, Iterable[bytes]]:
        """Compare a large directory, of which not all is held; return the names that should be there and may not be.

        Most of it is as it is remembered, and that is told by sums. Only the parts that differ are looked at again, name
        by name.
        """
        sums = _Sums()
        for page in self.memory.rows(directory.path):
            sums.add_remembered(page)
        for files in self._listed(opened, directory):
            sums.add_listed(files)
            if self.stop():
                return ()
        if not sums.differ():
            return ()
        for files in self._listed(opened, directory, again=True):
            odd = [row for row in files if sums.differs(row[0])]
            if odd:
                known = self.memory.known(directory.path, [row[0] for row in odd])
                yield from self._compare(directory, odd, dict(known))
            if self.stop():
                return ()
        return (name for name in self.memory.names(directory.path) if sums.differs(name))

    def _listed(
        self, opened: int, directory: _Directory, *, again: bool = False
    ) -> Iterator[list[Remembered]]:
        """List the files in chunks, as they are to be remembered; count them and put the directories aside, unless ``again``.

        Raises:
            FolderError: the listing breaks.
        """
        try:
            with os.scandir(opened) as entries:
                while chunk := list(islice(entries, _CHUNK)):
                    files = self._sorted_out(chunk, directory, again=again)
                    self.files += 0 if again else len(files)
                    yield files
        except OSError as error:
            raise translated(error) from error

    def _sorted_out(
        self, entries: list[os.DirEntry[str]], directory: _Directory, *, again: bool
    ) -> list[Remembered]:
        """Take in the files, as they would be remembered; what is done for each here is done a million times."""
        files: list[Remembered] = []
        prefix, rules, ignores = _prefix(directory.path), self.rules, directory.ignores
        is_plain = PLAIN.fullmatch if not (rules.include or rules.exclude or ignores) else _never
        is_local, is_regular = not self.network, stat.S_ISREG
        for entry in entries:
            name = entry.name.encode(_ENCODING, _ERRORS)
            if entry.is_file(follow_symlinks=False):
                if is_plain(name) or self._is_wanted(prefix + name, name, ignores):
                    try:
                        now = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # it went since it was listed
                    if is_regular(now.st_mode):
                        inode = now.st_ino if is_local else None
                        files.append((name, now.st_size, now.st_mtime_ns, now.st_ctime_ns, inode, 0))
            elif (
                not again
                and entry.is_dir(follow_symlinks=False)
                and why_not_descend(prefix + name, name, rules) is None
                and not _is_kept(ignores, prefix + name, is_directory=True)
            ):
                self.waiting.append(_Directory(path=prefix + name, ignores=ignores))
        return files

    def _is_wanted(self, path: bytes, name: bytes, ignores: tuple[Ignore, ...]) -> bool:
        return why_not_entry(path, name, self.rules) is None and not _is_kept(
            ignores, path, is_directory=False
        )

    def _compare(
        self, directory: _Directory, files: list[Remembered], known: dict[bytes, Remembered]
    ) -> Iterator[Finding]:
        """Compare these files with what is known, and take out of that what was compared."""
        take = known.pop
        for row in files:
            remembered = take(row[0], None)
            # Nearly all are as they were, in each of their values.
            if remembered != row:
                yield from self._told_apart(_prefix(directory.path) + row[0], row, remembered)

    def _told_apart(self, path: bytes, row: Remembered, remembered: Remembered | None) -> Iterator[Finding]:
        """Say what became of a file that is not remembered just so."""
        now = _fingerprint(row)
        if remembered is None:
            yield New(path=path, fingerprint=now)
            return
        before = _fingerprint(remembered)
        # What is remembered without an inode is of a time when it was not to be believed.
        seen = replace(now, inode=None) if before.inode is None else now
        if not seen.is_like(before, self.within):
            yield Changed(path=path, fingerprint=now)
        elif remembered[-1] != 0:
            yield Back(path=path)

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


class _Sums:
    """Where a large directory differs from what is remembered of it, told without holding either.

    Each name falls into one of many parts, and each part has a sum of what is remembered and of what is there, in which
    what is the same cancels out. What is not there, or is otherwise, leaves its part with a sum of its own: that one
    cancels out another takes two hashes of 61 bits that are equal, of which whoever makes files knows neither, for the
    names are hashed with a secret of this process.
    """

    def __init__(self) -> None:
        self._of = array("q", bytes(8 * _PARTS))

    def add_remembered(self, rows: Iterable[Remembered]) -> None:
        """Add what is remembered: what is known to be gone is not expected."""
        of = self._of
        for row in rows:
            if row[5] != GONE:
                # Whoever was missed is told to be back, so it must differ also where it is as it was.
                of[hash(row[0]) % _PARTS] ^= hash(row)

    def add_listed(self, files: Iterable[Remembered]) -> None:
        """Add what is there."""
        of = self._of
        for row in files:
            of[hash(row[0]) % _PARTS] ^= hash(row)

    def differ(self) -> bool:
        """Tell whether any part differs."""
        return any(self._of)

    def differs(self, name: bytes) -> bool:
        """Tell whether the part of a name differs."""
        return self._of[hash(name) % _PARTS] != 0


def _never(_name: bytes) -> None:
    """Match nothing: where there are globs, each name is held against them."""


def _fingerprint(row: Remembered) -> Fingerprint:
    """Return the fingerprint of a row, as the ledger keeps it."""
    _, size, mtime_ns, ctime_ns, inode, _ = row
    return Fingerprint(
        size=size,
        mtime_ns=kept(mtime_ns),
        ctime_ns=kept(ctime_ns),
        inode=None if inode is None else kept(inode),
    )


def _prefix(directory: bytes) -> bytes:
    return directory + b"/" if directory else b""


def _is_kept(ignores: tuple[Ignore, ...], path: bytes, *, is_directory: bool) -> bool:
    return any(ignore.why_not(path, is_directory=is_directory) is not None for ignore in ignores)
