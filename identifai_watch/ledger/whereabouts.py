"""Which file stands for a path of a folder, whether it was found, is held or was replaced."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from identifai_watch.core.events import FileEvent
from identifai_watch.core.model import File, FileState, Fingerprint, Media
from identifai_watch.ledger import rows, work
from identifai_watch.ledger.schema import files, left
from identifai_watch.ledger.step import Step
from identifai_watch.ledger.tree import AT_ITS_PLACE

# Statements are built once: to build one anew costs several times what it costs to have it carried out.
_NAMES: sa.BindParameter[list[bytes]] = sa.bindparam("names", expanding=True)


def in_directory(table: sa.Table) -> sa.ColumnElement[bool]:
    """Return the condition for some names in one directory of a folder."""
    return sa.and_(
        table.c.folder_id == sa.bindparam("folder"),
        table.c.parent == sa.bindparam("above"),
        table.c.name.in_(_NAMES),
    )


_AT_PLACE = rows.select_files().where(in_directory(files), AT_ITS_PLACE)
_NAMES_KNOWN: sa.CompoundSelect[Any] = sa.union_all(
    sa.select(files.c.name).where(in_directory(files), AT_ITS_PLACE),
    sa.select(left.c.name).where(in_directory(left)),
)
INSERT = sa.insert(files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A file as it was found: ``path`` in bytes relative to the intake.folder, ``priority`` the intake.folder's.

    ``release_after`` is how long it may wait for its verdict before it is let go unchecked, None for ever.
    """

    folder_id: int
    path: bytes
    fingerprint: Fingerprint
    noticed_at: datetime
    media: Media | None = None
    backlog: bool = False
    priority: int = 0
    release_after: timedelta | None = None


def at_place(tx: sa.Connection, folder_id: int, path: bytes) -> File | None:
    """Return the file that stands for ``path`` now; what was moved away or replaced does not."""
    parent, name = rows.split(path)
    found = tx.execute(_AT_PLACE, {"folder": folder_id, "above": parent, "names": [name]}).first()
    return None if found is None else rows.file(found)


def at_places(tx: sa.Connection, folder_id: int, paths: Iterable[bytes]) -> dict[bytes, File]:
    """Return the files that stand for ``paths`` now, by path."""
    found: dict[bytes, File] = {}
    for parent, names in by_parent(paths).items():
        for row in tx.execute(_AT_PLACE, {"folder": folder_id, "above": parent, "names": names}):
            file = rows.file(row)
            found[file.path] = file
    return found


def strange(tx: sa.Connection, folder_id: int, paths: Iterable[bytes]) -> set[bytes]:
    """Return those of ``paths`` of which the ledger knows nothing: no file stands for them, none was left alone."""
    unknown = set(paths)
    for parent, names in by_parent(unknown).items():
        values = {"folder": folder_id, "above": parent, "names": names}
        unknown.difference_update(rows.join(parent, name) for (name,) in tx.execute(_NAMES_KNOWN, values))
    return unknown


def by_parent(paths: Iterable[bytes]) -> dict[bytes, list[bytes]]:
    """Return the names of ``paths`` by the directory that they are in."""
    found: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for parent, name in map(rows.split, paths):
        found[parent].append(name)
    return found


def rests(file: File) -> bool:
    """Tell whether a file waits for its archive.release from an archive, or did when it was last there."""
    was_held = file.state is FileState.GONE and file.backlog and file.sha256 is None and file.refusal is None
    return file.held or was_held


def touch(tx: sa.Connection, file_id: int, fingerprint: Fingerprint) -> None:
    """Write the fingerprint that a file has after our own writes."""
    tx.execute(
        sa.update(files)
        .where(files.c.id == file_id)
        .values(
            size=fingerprint.size,
            mtime_ns=fingerprint.mtime_ns,
            ctime_ns=fingerprint.ctime_ns,
            inode=fingerprint.inode,
        )
    )


def advance(tx: sa.Connection, file: File, event: FileEvent, step: Step) -> File | None:
    """Advance a file that may be held: what is gone, or replaced, waits for no archive.release."""
    if not file.held:
        return work.advance_file(tx, file.id, event, step)
    put_held(tx, file.id, held=False)
    after = work.advance_file(tx, file.id, event, step)
    put_held(tx, file.id, held=after is not None and after.state is FileState.WAITING)
    return after


def put_held(tx: sa.Connection, file_id: int, *, held: bool) -> None:
    """Hold a file, or hold it no longer."""
    tx.execute(sa.update(files).where(files.c.id == file_id).values(held=held))


def arrived(arrival: Arrival) -> dict[str, object]:
    """Return the row of a file as it was found."""
    parent, name = rows.split(arrival.path)
    shape = arrival.fingerprint
    return {
        "folder_id": arrival.folder_id,
        "parent": parent,
        "name": name,
        "size": shape.size,
        "mtime_ns": shape.mtime_ns,
        "ctime_ns": shape.ctime_ns,
        "inode": shape.inode,
        "noticed_at": arrival.noticed_at,
        "state": FileState.WAITING,
        "backlog": arrival.backlog,
        "priority": arrival.priority,
    }


def insert(tx: sa.Connection, arrival: Arrival) -> File:
    """Make the row of a file that was found, and return it."""
    tx.execute(INSERT, arrived(arrival))
    row = at_place(tx, arrival.folder_id, arrival.path)
    if row is None:
        raise LookupError(arrival.path)
    return row
