"""Copies of a ledger: made beside a running daemon, and verified before they get their name.

A copy is one file that any SQLite opens, also where nothing can be written. What a copy is put back over is left to
``restore``.
"""

import fcntl
import os
import re
import sqlite3
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from identifai_watch.errors import LaterError, LedgerAwayError, LedgerError, RefusedError
from identifai_watch.ledger import sqlite

PAGES = 1_000
"""Pages of 4 KiB that are copied in one step; between two of them ``Tell`` is called."""

DATED = re.compile(r"ledger-\d{8}T\d{6}Z\.db")
"""The names of the copies in a directory of backups: only these are ever taken away."""

MODE = 0o600
_ROLLBACK = b"\x01\x01"
_VERSIONS_AT = 18
"""Where the header says whether a write-ahead log belongs to the file (sqlite.org/fileformat.html, 1.3)."""

Tell = Callable[[int, int], None]
"""Told how many pages are copied, and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A verified copy: ``rows`` are how many each table has, ``bytes`` its size."""

    path: Path
    revision: str
    rows: Mapping[str, int]
    bytes: int


def silent(_done: int, _all: int) -> None:
    """Tell nobody."""


def make(ledger: Path, target: Path, tell: Tell = silent) -> Copy:
    """Copy ``ledger`` to ``target``, where nothing may lie yet; the file appears whole or not at all.

    Raises:
        RefusedError: Something lies there, or the disk refuses.
        LaterError: Somebody else is at it.
        LedgerError: The ledger cannot be read, or is damaged.
    """
    return _made(ledger, target, target.with_name(f".{target.name}.partial"), tell)


def make_dated(ledger: Path, directory: Path, keep: int | None, now: datetime, tell: Tell = silent) -> Copy:
    """Copy ``ledger`` into ``directory`` under the instant's name; of those there the newest ``keep`` stay.

    Raises as ``make`` does.
    """
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise RefusedError(f"{directory} cannot be made: {error.strerror}") from error
    target = directory / f"ledger-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}.db"
    made = _made(ledger, target, directory / ".ledger.db.partial", tell)
    if keep is not None:
        _thin_out(directory, made.path.name, keep)
    return made


def make_before_migration(ledger: Path, target: Path, revision: str) -> Copy | None:
    """Copy ``ledger`` before its schema changes; a copy of just this state that lies there serves.

    ``target`` gets a number where another state's copy has its name. Returns None if the ledger is no longer at
    ``revision``, for somebody was quicker. Raises as ``make`` does, but waits for others.
    """
    with _refusing(target), reserved(target.with_name(f".{target.name}.partial"), waits=True) as partial:
        copied = copy(ledger, partial)
        if copied.revision != revision:
            return None
        for n in range(1, 1_000):
            place = target if n == 1 else target.with_name(f"{target.name}-{n}")
            if place.exists():
                if _is_same_state(place, copied):
                    return _as(copied, place)
            else:
                give_name(partial, place)
                return _as(copied, place)
    raise RefusedError(f"there is no free name beside {target}")


def copy(source: Path, target: Path, tell: Tell = silent) -> Copy:
    """Fill the empty file ``target`` with a verified copy of ``source``, and bring it to the disk.

    One read transaction holds the state that is copied: without it each write of a daemon would begin the copy anew.
    Nobody waits for it, and the write-ahead log grows meanwhile by what is written.

    Raises:
        LedgerError: The source cannot be read, or what was copied is damaged.
        LedgerAwayError: The source is locked.
        RefusedError: The target cannot be written.
        OSError: Likewise.
    """
    _must_be_there(source)
    with _reading(source), closing(sqlite.reader(source)) as origin:
        origin.execute("BEGIN")
        rows = _rows(origin)
        revision = sqlite.revision_of(origin)
        if revision is None:
            raise LedgerError(f"{source} is no ledger")
        # Nobody else knows the file: no lock is needed, which network file systems may not have, and no journal.
        with closing(sqlite3.connect(f"{target.resolve().as_uri()}?nolock=1", uri=True)) as made:
            made.execute("PRAGMA journal_mode=OFF")
            made.execute("PRAGMA synchronous=OFF")
            with _writing(target):
                origin.backup(made, pages=PAGES, progress=lambda _, left, pages: tell(pages - left, pages))
    with target.open("r+b") as file:
        os.pwrite(file.fileno(), _ROLLBACK, _VERSIONS_AT)
        os.fsync(file.fileno())
    copied = verified(target)
    if copied.rows != rows or copied.revision != revision:
        raise LedgerError(f"the copy of {source} is not what was copied: {copied.rows} is not {rows}")
    return copied


def verified(path: Path) -> Copy:
    """Open a copy and look whether it is whole; raise LedgerError if it is not, or is none of a ledger."""
    _must_be_there(path)
    with _reading(path), closing(sqlite.reader(path)) as connection:
        problems = sqlite.quick_check(connection)
        if problems:
            raise LedgerError(f"{path} is damaged: {problems[0]}")
        revision = sqlite.revision_of(connection)
        if revision is None:
            raise LedgerError(f"{path} is no ledger")
        return Copy(path=path, revision=revision, rows=_rows(connection), bytes=path.stat().st_size)


@contextmanager
def reserved(path: Path, *, waits: bool = False) -> Iterator[Path]:
    """Lend an empty file of our own that is gone in the end, unless it got another name; a killed one's is taken over.

    Raises:
        LaterError: Somebody else has it, and ``waits`` is not given.
        OSError: It cannot be made.
    """
    descriptor = _locked(path, waits=waits)
    try:
        for left_over in ("-wal", "-shm", "-journal"):
            path.with_name(path.name + left_over).unlink(missing_ok=True)
        os.ftruncate(descriptor, 0)
        os.fchmod(descriptor, MODE)
        yield path
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def give_name(partial: Path, target: Path) -> None:
    """Let a finished file appear under its name, where nothing may lie; raise FileExistsError if something does."""
    try:
        os.link(partial, target)
    except FileExistsError:
        raise
    except OSError:
        # No hard links here: a name of our own is reserved first, and then replaced.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, MODE))
        partial.replace(target)
    sync(target.parent)


def sync(directory: Path) -> None:
    """Bring the names of a directory to the disk, where its file system can."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _made(ledger: Path, target: Path, partial: Path, tell: Tell) -> Copy:
    if target.exists() or target.is_symlink():
        raise RefusedError(f"{target} is there already and was not touched; name another place")
    with _refusing(target), reserved(partial) as reservation:
        copied = copy(ledger, reservation, tell)
        give_name(reservation, target)
    return _as(copied, target)


def _as(copied: Copy, path: Path) -> Copy:
    return Copy(path=path, revision=copied.revision, rows=copied.rows, bytes=copied.bytes)


def _thin_out(directory: Path, newest: str, keep: int) -> None:
    """Take the oldest dated copies away; the one just made stays, whatever the clock says."""
    others = sorted(
        (
            entry.name
            for entry in os.scandir(directory)
            if DATED.fullmatch(entry.name) and entry.is_file(follow_symlinks=False) and entry.name != newest
        ),
        reverse=True,
    )
    for name in others[keep - 1 :]:
        try:
            (directory / name).unlink(missing_ok=True)
        except OSError as error:
            raise RefusedError(
                f"{directory / newest} is made, but the old copy {name} cannot be removed: {error.strerror}"
            ) from error


def _locked(path: Path, *, waits: bool) -> int:
    """Open and lock a file of our own; one that its owner gave another name meanwhile is left for a new one."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
            if _is_at(path, descriptor):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise LaterError(f"{path.parent} is being written by another copy; try again later") from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    """Tell whether an open file is still the one of that name, and a regular one."""
    ours = os.fstat(descriptor)
    if not stat.S_ISREG(ours.st_mode):
        raise RefusedError(f"{path} is no regular file")
    try:
        there = path.lstat()
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _must_be_there(path: Path) -> None:
    if not path.is_file():
        raise LedgerError(f"{path} is no file" if path.exists() else f"there is no ledger at {path}")


def _rows(connection: sqlite3.Connection) -> dict[str, int]:
    """Count the rows of each table."""
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    ).fetchall()
    return {
        name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608 - its own tables
        for (name,) in names
    }


def _is_same_state(path: Path, copied: Copy) -> bool:
    """Tell whether a copy is of the state that was just copied: nothing ran on the ledger in between."""
    try:
        there = verified(path)
        return (there.rows, there.revision, _seen_at(path)) == (
            copied.rows,
            copied.revision,
            _seen_at(copied.path),
        )
    except (LedgerError, OSError):
        return False


def _seen_at(path: Path) -> object:
    """Return when daemons last wrote that they run."""
    with closing(sqlite.reader(path)) as connection:
        return connection.execute("SELECT node, seen_at FROM nodes ORDER BY node").fetchall()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say of a ledger that cannot be read whose matter that is."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if sqlite.is_passing(error):
            raise LedgerAwayError(f"{path} cannot be read now: {error}") from error
        raise LedgerError(f"{path} cannot be read ({error}); {sqlite.REMEDY}") from error


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say of a copy that cannot be written that it is the place's matter."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if sqlite.is_of_the_disk(error):
            raise RefusedError(f"{path.parent} cannot be written: {error}; nothing was changed") from error
        raise


@contextmanager
def _refusing(target: Path) -> Iterator[None]:
    """Say in words what the disk says."""
    try:
        yield
    except FileExistsError as error:
        raise RefusedError(f"{target} is there already and was not touched; name another place") from error
    except OSError as error:
        raise RefusedError(f"{target} cannot be written: {error.strerror}; nothing was changed") from error
