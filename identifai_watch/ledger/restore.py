"""Put a copy back in a ledger's place: whatever instant it is cut at, the old one or the new one can be opened."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from identifai_watch.errors import LaterError, LedgerError, RefusedError
from identifai_watch.ledger import backup, migrate, sqlite
from identifai_watch.ledger.backup import Copy, Tell

COMPANIONS = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database; they belong to it alone."""

_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")

EXCLUSIVE_WITHIN = 2.0
"""Seconds that whoever still reads the ledger is given to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was put back, and where what was there lies now; None if nothing was."""

    copy: Copy
    replaced: Path | None


def restore(url: str, source: Path, *, now: datetime, tell: Tell = backup.silent) -> Restored:
    """Put the ledger ``source`` in the place of the one at ``url``, which is moved aside with all that belongs to it.

    Raises:
        LaterError: A daemon runs on it, or somebody reads it.
        LedgerError: ``source`` is no whole ledger of this version or an older one.
        RefusedError: The disk refuses; what was there is still there.
    """
    parsed = sa.make_url(url)
    path = sqlite.path_of(parsed)
    if path.exists() and source.exists() and path.samefile(source):
        raise RefusedError(f"{source} is the ledger itself")
    with _refusing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(parsed, path), backup.reserved(path.with_name(f".{path.name}.restoring")) as partial:
            copied = _readied(source, partial, path, now, tell)
            replaced = _put(partial, path, now)
    return Restored(copy=copied, replaced=replaced)


@contextmanager
def _alone(url: sa.URL, path: Path) -> Iterator[None]:
    """Keep daemons away meanwhile."""
    lock = sqlite.NodeLock(url)
    if not lock.take():
        raise LaterError(f"a daemon runs on {path}: stop it first (systemctl stop identifai-watch)")
    try:
        _give(path.with_name(path.name + ".lock"), path)
        yield
    finally:
        lock.release()


def _readied(source: Path, partial: Path, path: Path, now: datetime, tell: Tell) -> Copy:
    """Fill ``partial`` with what is to be put in place."""
    copied = backup.copy(source, partial, tell)
    if copied.revision not in migrate.known():
        raise LedgerError(
            f"{source} was written by a newer version (revision {copied.revision}); nothing was changed"
        )
    with closing(sqlite3.connect(partial, isolation_level=None)) as connection:
        _forgo(connection, now)
    _give(partial, path)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    return copied


def _forgo(connection: sqlite3.Connection, now: datetime) -> None:
    """Have a copy ask for nothing again that may have been paid for since it was made.

    What was to be paid anew, cache or not, may have been: it is in doubt, and resent as any other content. An order
    that was open may have been carried out. Daemons that ran then have ended.
    """
    instant = (now - datetime(1970, 1, 1, tzinfo=UTC)) // datetime.resolution
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE analyses SET no_cache = 0, doubt = 1 WHERE no_cache = 1 AND state <> 'judged'")
    connection.execute(
        "UPDATE commands SET done_at = ?, answer = ? WHERE done_at IS NULL",
        (instant, '{"error": "the ledger was restored since; ask again"}'),
    )
    columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(nodes)")}
    if "ended_at" in columns:
        connection.execute("UPDATE nodes SET ended_at = ? WHERE ended_at IS NULL", (instant,))
    connection.execute("COMMIT")


def _put(partial: Path, path: Path, now: datetime) -> Path | None:
    """Keep what lies at ``path`` under another name, and let ``partial`` take its place in one step."""
    with _held(path):
        replaced = _set_aside(path, now)
        partial.replace(path)
        backup.sync(path.parent)
    return replaced


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Fold the log of what is there into it, and keep everybody away; what is damaged is moved as it is.

    Raises:
        LaterError: Somebody still reads it.
    """
    connection = _alone_on(path) if _can_be_read(path) else None
    try:
        yield
    finally:
        if connection is not None:
            connection.close()


def _can_be_read(path: Path) -> bool:
    """Tell whether SQLite still knows what is there; else it is not asked for more, for it would tidy up the log."""
    try:
        with closing(sqlite.reader(path)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        return getattr(error, "sqlite_errorname", "").startswith(_BUSY)
    return True


def _alone_on(path: Path) -> sqlite3.Connection | None:
    """Return a connection that keeps every other one away; None if what is there can no longer be opened.

    Raises:
        LaterError: Somebody still reads it.
    """
    connection = None
    try:
        connection = sqlite3.connect(path, timeout=EXCLUSIVE_WITHIN, isolation_level=None)
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.DatabaseError as error:
        if connection is not None:
            connection.close()
        if getattr(error, "sqlite_errorname", "").startswith(_BUSY):
            raise LaterError(f"somebody still reads {path}; try again when that has ended") from error
        return None
    return connection


def _set_aside(path: Path, now: datetime) -> Path | None:
    """Give what lies at ``path`` another name besides, then take its companions' old names away.

    The ledger's own name stays until the new one replaces it: a daemon that starts in between must not find none
    and begin a new one.
    """
    there = [suffix for suffix in ("", *COMPANIONS) if path.with_name(path.name + suffix).exists()]
    if not there:
        return None
    _drop_second_names(path)
    aside = _free(path, f"{path.name}.replaced-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
    for suffix in there:
        _name_too(path.with_name(path.name + suffix), aside.with_name(aside.name + suffix))
    backup.sync(path.parent)
    for suffix in COMPANIONS:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    backup.sync(path.parent)
    return aside


def _drop_second_names(path: Path) -> None:
    """Take away the names that a restore which was cut gave the ledger besides: it is still there under its own.

    One whose companions have no other name stays with them.
    """
    for other in path.parent.glob(f"{path.name}.replaced-*"):
        is_whole = not any(other.with_name(other.name + suffix).exists() for suffix in COMPANIONS)
        with suppress(FileNotFoundError):
            if is_whole and other.samefile(path):
                other.unlink()


def _free(path: Path, name: str) -> Path:
    """Return a name beside ``path`` that nothing has."""
    n = 1
    while True:
        place = path.with_name(name if n == 1 else f"{name}-{n}")
        if not any(place.with_name(place.name + suffix).exists() for suffix in ("", *COMPANIONS)):
            return place
        n += 1


def _name_too(file: Path, name: Path) -> None:
    """Let a file have another name besides; where the file system knows no links, a copy is made."""
    try:
        os.link(file, name)
    except OSError:
        with backup.reserved(name.with_name(f".{name.name}.partial")) as partial:
            with file.open("rb") as old, partial.open("wb") as new:
                while block := old.read(1 << 20):
                    new.write(block)
                new.flush()
                os.fsync(new.fileno())
            partial.replace(name)


def _give(file: Path, ledger: Path) -> None:
    """Give a file the owner and the mode of the ledger that it belongs to, or of its directory's owner."""
    like = ledger if ledger.exists() else ledger.parent
    status = like.stat()
    with suppress(OSError):
        os.chown(file, status.st_uid, status.st_gid)
        if like is ledger:
            file.chmod(status.st_mode & 0o777)


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RefusedError(f"{path} cannot be replaced: {error.strerror}; it is as it was") from error
