"""What the folders bring besides whole files: what is left alone, missed, seen again, stirred or let go."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from identifai_watch.core.events import Expired, Missed, Seen, Stirred, Superseded
from identifai_watch.core.model import File, FileState, Fingerprint, Interim
from identifai_watch.ledger import moves, rows, schema, whereabouts, work
from identifai_watch.ledger.schema import NO, SHARED, files, folders, left
from identifai_watch.ledger.step import Step
from identifai_watch.ledger.whereabouts import Arrival

_LEFT = sa.select(left).where(whereabouts.in_directory(left))
_UNLEAVE = sa.delete(left).where(whereabouts.in_directory(left))
LEFT_BY_NAME = "names"
"""The rules of a file left alone for its name, which every scan asks anew: remembered until the next start."""
LEFT_AS_OLD = "existing"
"""The rules of a file left alone because it was there before the daemon, whatever else the settings say."""
LEFT_WITHDRAWN = "withdrawn"
"""The rules of a file that an operator keeps from being sent, whatever the settings say."""
LASTING = frozenset({LEFT_AS_OLD, LEFT_WITHDRAWN})
"""The rules that archive.hold until the file's size or time changes: a new mode or inode is no new file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """What the ledger knows of a watched folder."""

    id: int
    name: str
    archived_at: datetime | None


def folder(tx: sa.Connection, node: str, name: str) -> Folder:
    """Return the folder of that name on ``node``, made if it is new; ``SHARED`` is the node of what several share."""
    query = sa.select(folders).where(folders.c.node == node, folders.c.name == name)
    found = tx.execute(query).first()
    if found is None:
        tx.execute(
            schema.new(folders).values(node=node, name=name)
        )  # another node may be quicker with a share
        found = tx.execute(query).one()
    return Folder(id=found.id, name=found.name, archived_at=found.archived_at)


def pinned(tx: sa.Connection, folder_id: int, host: str) -> str | None:
    """Return which file system the folder's root was on, as ``host`` sees it: a share each may name in its own way."""
    found = tx.execute(_PINNED.where(folders.c.id == folder_id)).one()
    return _pins(found).get(host if found.node == SHARED else "")


def pin(tx: sa.Connection, folder_id: int, filesystem: str | None, host: str) -> None:
    """Write down which file system the folder's root is on; what lies on another one was there before the daemon.

    That a host sees a share for the first time changes nothing in what is known of it.
    """
    found = tx.execute(_PINNED.where(folders.c.id == folder_id)).one()
    pins = _pins(found)
    values: dict[str, str | None] = {"filesystem": filesystem}
    if found.node == SHARED:
        is_first_look = pins.get(host) is None and filesystem is not None
        kept = {of: told for of, told in (pins | {host: filesystem}).items() if told is not None}
        values = {"filesystem": json.dumps(kept)}
        if is_first_look:
            tx.execute(sa.update(folders).where(folders.c.id == folder_id).values(values))
            return
    tx.execute(sa.update(folders).where(folders.c.id == folder_id).values(values | {"archived_at": None}))


_PINNED = sa.select(folders.c.node, folders.c.filesystem)


def _pins(found: sa.Row[Any, Any]) -> dict[str, str | None]:
    """Return the file systems that a root was on: of a share, by host."""
    if found.node != SHARED:
        return {"": found.filesystem}
    pins: dict[str, str | None] = json.loads(found.filesystem or "{}")
    return pins


def leave(tx: sa.Connection, arrival: Arrival, reason: str, rules: str, step: Step) -> None:
    """Remember a file that is left alone, so that it is looked at again only when it or ``rules`` change."""
    before = whereabouts.at_place(tx, arrival.folder_id, arrival.path)
    if before is not None:
        whereabouts.advance(tx, before, Superseded(is_replaced=False), step)
    parent, name = rows.split(arrival.path)
    key = {"folder_id": arrival.folder_id, "parent": parent, "name": name}
    unleave(tx, arrival.folder_id, [arrival.path])
    shape = arrival.fingerprint
    tx.execute(
        sa.insert(left).values(
            **key,
            size=shape.size,
            mtime_ns=shape.mtime_ns,
            ctime_ns=shape.ctime_ns,
            inode=shape.inode,
            reason=reason,
            rules=rules,
            left_at=step.now,
        )
    )


def unleave(tx: sa.Connection, folder_id: int, paths: Iterable[bytes]) -> None:
    """Forget that ``paths`` were left alone."""
    for parent, names in whereabouts.by_parent(paths).items():
        tx.execute(_UNLEAVE, {"folder": folder_id, "above": parent, "names": names})


def left_as(tx: sa.Connection, folder_id: int, path: bytes) -> tuple[str, Fingerprint] | None:
    """Return under which rules ``path`` is left alone, and what it looked like; None if it is not."""
    parent, name = rows.split(path)
    found = tx.execute(_LEFT, {"folder": folder_id, "above": parent, "names": [name]}).first()
    return None if found is None else (found.rules, rows.fingerprint(found._asdict()))


def touch_left(tx: sa.Connection, folder_id: int, path: bytes, fingerprint: Fingerprint) -> None:
    """Write what a file looks like now that is left alone all the same."""
    parent, name = rows.split(path)
    tx.execute(
        sa.update(left)
        .where(left.c.folder_id == folder_id, left.c.parent == parent, left.c.name == name)
        .values(asdict(fingerprint))
    )


def forget_left(tx: sa.Connection, folder_id: int, *rules: str) -> int:
    """Forget what was left alone under other rules than ``rules``: it is looked at anew; return how many."""
    return tx.execute(
        sa.delete(left).where(left.c.folder_id == folder_id, left.c.rules.not_in(rules))
    ).rowcount


def reconsider(tx: sa.Connection, folder_id: int, rules: str) -> int:
    """Have what was refused here under other rules than ``rules`` looked at anew; return how many."""
    return tx.execute(
        sa.update(files)
        .where(
            files.c.folder_id == folder_id,
            files.c.refusal.is_not(None),
            files.c.rules != rules,
            files.c.state.in_([FileState.WAITING, FileState.DELIVERED]),
            files.c.lies_at.is_(None),
        )
        .values(
            refusal=None,
            state=FileState.WAITING,
            due=None,
            destination=None,
            stuck_at=None,
            **work.UNCLAIMED,
        )
    ).rowcount


def missed(tx: sa.Connection, folder_id: int, paths: Iterable[bytes], step: Step) -> int:
    """Count a scan that did not find ``paths``; return how many files are gone by that."""
    gone = 0
    for path in paths:
        file = whereabouts.at_place(tx, folder_id, path)
        if file is None:
            unleave(tx, folder_id, [path])
        # A file on its way to a committed destination is not missing: its delivery says where it is.
        elif file.state is not FileState.GONE and file.destination is None:
            after = whereabouts.advance(tx, file, Missed(), step)
            if after is not None and after.state is FileState.GONE:
                gone += 1
                moves.mind_move_from(tx, after, step)
    return gone


def stir(
    tx: sa.Connection, folder_id: int, path: bytes, seen: Fingerprint, step: Step, *, within: timedelta
) -> bool:
    """Take in that a judged file looks otherwise now, so that nobody goes on believing its verdict; return whether.

    A changed mode or inode alone is no sign of another content, nor are times that differ ``within`` that much.
    """
    row = whereabouts.at_place(tx, folder_id, path)
    if row is None or row.delivered_at is None or row.interim is Interim.CHANGING:
        return False
    if row.state not in {FileState.WAITING, FileState.DELIVERED}:
        return False
    if seen.is_as_written(row.fingerprint, within):
        return False
    work.advance_file(tx, row.id, Stirred(), step)
    return True


def expire(tx: sa.Connection, folder_id: int, step: Step, limit: int = 100) -> list[File]:
    """Let the files go unchecked that have waited for their verdict too long; return them."""
    query = (
        rows.select_files()
        .where(files.c.folder_id == folder_id, files.c.release_at <= step.now, files.c.held == NO)
        .order_by(files.c.release_at)
        .limit(limit)
    )
    expired: list[File] = []
    for found in map(rows.file, tx.execute(query)):
        is_open = found.state is FileState.WAITING and found.interim is not Interim.CHANGING
        after = work.advance_file(tx, found.id, Expired(), step) if is_open else None
        if after is None:
            tx.execute(sa.update(files).where(files.c.id == found.id).values(release_at=None))
        else:
            expired.append(after)
    return expired


def seen(tx: sa.Connection, folder_id: int, paths: Iterable[bytes], step: Step) -> None:
    """Note that ``paths``, which a scan had missed, are there, as they were: what was held is held again."""
    for path in paths:
        file = whereabouts.at_place(tx, folder_id, path)
        if file is not None:
            work.advance_file(tx, file.id, Seen(), step)
            if file.state is FileState.GONE and whereabouts.rests(file):
                whereabouts.put_held(tx, file.id, held=True)
