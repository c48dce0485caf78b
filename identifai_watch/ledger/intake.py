"""What the folders bring: files found, held, admitted, refused, left alone, missed and seen again."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from identifai_watch.core.events import (
    Expired,
    FileEvent,
    Missed,
    Present,
    Reopened,
    Seen,
    Stirred,
    Superseded,
)
from identifai_watch.core.lifecycle import SETTLED
from identifai_watch.core.model import (
    Analysis,
    AnalysisState,
    File,
    FileState,
    Fingerprint,
    Interim,
    Media,
)
from identifai_watch.ledger import rows, work
from identifai_watch.ledger.schema import EPOCH, analyses, files, folders, left
from identifai_watch.ledger.tree import AT_ITS_PLACE
from identifai_watch.ledger.work import Step

# Literals, so that SQLite can prove that a partial index serves the query.
_TO_ADMIT = sa.text(
    "files.state = 'waiting' AND files.held = 0 AND files.analysis_id IS NULL AND files.refusal IS NULL"
)
_HELD = sa.text("files.held = 1")

# Statements are built once: to build one anew costs several times what it costs to have it carried out.
_NAMES: sa.BindParameter[list[bytes]] = sa.bindparam("names", expanding=True)


def _in_directory(table: sa.Table) -> sa.ColumnElement[bool]:
    return sa.and_(
        table.c.folder_id == sa.bindparam("folder"),
        table.c.parent == sa.bindparam("above"),
        table.c.name.in_(_NAMES),
    )


_AT_PLACE = rows.select_files().where(_in_directory(files), AT_ITS_PLACE)
_NAMES_AT_PLACE = sa.select(files.c.name).where(_in_directory(files), AT_ITS_PLACE)
_NAMES_LEFT = sa.select(left.c.name).where(_in_directory(left))
_LEFT = sa.select(left).where(_in_directory(left))
_UNLEAVE = sa.delete(left).where(_in_directory(left))
_INSERT = sa.insert(files)
_EDITIONS = (
    sa.select(*rows.ANALYSIS_COLUMNS)
    .where(analyses.c.sha256.in_(sa.bindparam("digests", expanding=True)))
    .order_by(analyses.c.edition)
)
_QUEUE = sa.insert(analyses)

LEFT_BY_NAME = "names"
"""The rules of a file left alone for its name, which every scan asks anew: remembered until the next start."""

UNFITTED = ""
"""The kind of bytes of an analysis that was rebuilt from a sidecar, until a file of its content is admitted."""

LEFT_AS_OLD = "existing"
"""The rules of a file left alone because it was there before the daemon, whatever else the settings say."""

LEFT_WITHDRAWN = "withdrawn"
"""The rules of a file that an operator keeps from being sent, whatever the settings say."""

LASTING = frozenset({LEFT_AS_OLD, LEFT_WITHDRAWN})
"""The rules that hold until the file's size or time changes: a new mode or inode is no new file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """What the ledger knows of a watched folder."""

    id: int
    name: str
    filesystem: str | None
    archived_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A file as it was found: ``path`` in bytes relative to the folder, ``priority`` the folder's.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What was read from a whole file: its digest, and how it would be sent. ``options`` are canonical JSON."""

    sha256: bytes
    media: Media
    mime: str
    options: str


def folder(tx: sa.Connection, node: str, name: str) -> Folder:
    """Return the folder of that name on ``node``, made if it is new."""
    query = sa.select(folders).where(folders.c.node == node, folders.c.name == name)
    found = tx.execute(query).first()
    if found is None:
        tx.execute(sa.insert(folders).values(node=node, name=name))
        found = tx.execute(query).one()
    return Folder(id=found.id, name=found.name, filesystem=found.filesystem, archived_at=found.archived_at)


def pin(tx: sa.Connection, folder_id: int, filesystem: str | None) -> None:
    """Write down which file system the folder's root is on; what lies on another one was there before the daemon."""
    tx.execute(
        sa.update(folders).where(folders.c.id == folder_id).values(filesystem=filesystem, archived_at=None)
    )


def archived(tx: sa.Connection, folder_id: int, now: datetime, hold_above: int, *, is_whole: bool) -> int:
    """End a folder's first full scan; an archive of at most ``hold_above`` files is judged all the same.

    While the scan was not of the whole tree the archive is not known yet. Returns how many files stay held.
    """
    if is_whole:
        tx.execute(sa.update(folders).where(folders.c.id == folder_id).values(archived_at=now))
    held = tx.execute(
        sa.select(sa.func.count()).select_from(files).where(files.c.folder_id == folder_id, _HELD)
    ).scalar_one()
    if held > hold_above:
        return held
    tx.execute(sa.update(files).where(files.c.folder_id == folder_id, _HELD).values(held=False))
    return 0


def at_place(tx: sa.Connection, folder_id: int, path: bytes) -> File | None:
    """Return the file that stands for ``path`` now; what was moved away or replaced does not."""
    parent, name = rows.split(path)
    found = tx.execute(_AT_PLACE, {"folder": folder_id, "above": parent, "names": [name]}).first()
    return None if found is None else rows.file(found)


def at_places(tx: sa.Connection, folder_id: int, paths: Iterable[bytes]) -> dict[bytes, File]:
    """Return the files that stand for ``paths`` now, by path."""
    found: dict[bytes, File] = {}
    for parent, names in _by_parent(paths).items():
        for row in tx.execute(_AT_PLACE, {"folder": folder_id, "above": parent, "names": names}):
            file = rows.file(row)
            found[file.path] = file
    return found


def strange(tx: sa.Connection, folder_id: int, paths: Iterable[bytes]) -> set[bytes]:
    """Return those of ``paths`` of which the ledger knows nothing: no file stands for them, none was left alone."""
    unknown = set(paths)
    for parent, names in _by_parent(unknown).items():
        values = {"folder": folder_id, "above": parent, "names": names}
        for query in (_NAMES_AT_PLACE, _NAMES_LEFT):
            unknown.difference_update(rows.join(parent, name) for (name,) in tx.execute(query, values))
    return unknown


def _by_parent(paths: Iterable[bytes]) -> dict[bytes, list[bytes]]:
    """Return the names of ``paths`` by the directory that they are in."""
    found: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for parent, name in map(rows.split, paths):
        found[parent].append(name)
    return found


def hold(tx: sa.Connection, arrivals: Sequence[Arrival]) -> None:
    """Hold what an archive's first scan found: neither hashed nor sent until it is released."""
    if arrivals:
        values = [
            _arrived(arrival) | {"held": True, "backlog": True, "media": arrival.media}
            for arrival in arrivals
        ]
        tx.execute(sa.insert(files).prefix_with("OR IGNORE", dialect="sqlite"), values)


def lay_by(tx: sa.Connection, arrival: Arrival) -> bool:
    """Have a file of the backlog wait for its hour as one that was released; tell whether it does."""
    values = _arrived(arrival) | {"backlog": True, "media": arrival.media}
    tx.execute(sa.insert(files).prefix_with("OR IGNORE", dialect="sqlite"), values)
    parent, name = rows.split(arrival.path)
    query = sa.select(files.c.id).where(
        files.c.folder_id == arrival.folder_id, files.c.parent == parent, files.c.name == name, _TO_ADMIT
    )
    return tx.execute(query).first() is not None


def admit(tx: sa.Connection, arrival: Arrival, content: Content, step: Step) -> File:
    """Admit a whole file: its row, and the analysis of its content if that is new.

    The same content under a changed fingerprint updates the row and nothing else.
    """
    unleave(tx, arrival.folder_id, [arrival.path])
    analysis, is_new = _analysis(tx, arrival, content)
    before = at_place(tx, arrival.folder_id, arrival.path)
    replaced: File | None = None
    if before is not None and before.sha256 not in {None, content.sha256}:
        _advance(tx, before, Superseded(), step)
        before, replaced = None, before
    if before is not None and before.analysis_id is not None and before.media is content.media:
        return _same_again(tx, before, arrival, step)
    is_settled = analysis.state in SETTLED
    row = before or _insert(tx, arrival)
    taken = replace(
        _in_place_of(row, replaced),
        fingerprint=arrival.fingerprint,
        state=FileState.WAITING,
        held=False,
        backlog=row.backlog or arrival.backlog,
        analysis_id=analysis.id,
        media=content.media,
        sha256=content.sha256,
        refusal=None,
        duplicate=not is_new,
        hashed_at=step.now,
        due=step.now if is_settled or _was_told(replaced) else None,
        release_at=None if is_settled or arrival.release_after is None else step.now + arrival.release_after,
        failures=0,
        failing_since=None,
        stuck_at=None,
        destination=None,
        missing=0,
    )
    work.put_file(tx, taken)
    work.record_admitted(tx, step, [(taken, analysis)])
    _wake(tx, analysis, arrival, step)
    if not is_new:
        _mind_move_to(tx, taken, step)
    return taken


def admit_all(tx: sa.Connection, whole: Sequence[tuple[Arrival, Content]], step: Step) -> dict[bytes, File]:
    """Admit whole files of one folder, as ``admit`` does; return their rows by path.

    Those at places of which the ledger knows nothing are written together, the others one by one.
    """
    if not whole:
        return {}
    folder_id = whole[0][0].folder_id
    unknown = strange(tx, folder_id, [arrival.path for arrival, _ in whole])
    fresh = [(arrival, content) for arrival, content in whole if arrival.path in unknown]
    admitted = _admit_fresh(tx, folder_id, fresh, step) if fresh else {}
    for arrival, content in whole:
        if arrival.path not in unknown:
            admitted[arrival.path] = admit(tx, arrival, content, step)
    return admitted


def _admit_fresh(
    tx: sa.Connection, folder_id: int, whole: Sequence[tuple[Arrival, Content]], step: Step
) -> dict[bytes, File]:
    """Admit whole files at places of which the ledger knows nothing."""
    known, first = _queue(tx, whole)
    values: list[dict[str, object]] = []
    for arrival, content in whole:
        analysis = known[content]
        is_settled = analysis.state in SETTLED
        wait = None if is_settled else arrival.release_after
        values.append(
            _arrived(arrival)
            | {
                "analysis_id": analysis.id,
                "media": content.media,
                "sha256": content.sha256,
                "duplicate": first.get(content) != arrival.path,
                "hashed_at": step.now,
                "due": step.now if is_settled else None,
                "release_at": None if wait is None else step.now + wait,
            }
        )
    tx.execute(_INSERT, values)
    admitted = at_places(tx, folder_id, [arrival.path for arrival, _ in whole])
    taken = [(admitted[arrival.path], known[content]) for arrival, content in whole]
    work.record_admitted(tx, step, taken)
    for (arrival, _), (file, analysis) in zip(whole, taken, strict=True):
        if file.duplicate or analysis.due is None:
            _wake(tx, work.analysis(tx, analysis.id), arrival, step)
        if file.duplicate:
            _mind_move_to(tx, file, step)
    return admitted


def _queue(
    tx: sa.Connection, whole: Sequence[tuple[Arrival, Content]]
) -> tuple[dict[Content, Analysis], dict[Content, bytes]]:
    """Return the newest analysis of each content, queued if there is none, and the first file of those that are new."""
    known = _newest(tx, whole)
    first: dict[Content, bytes] = {}
    values: list[dict[str, Any]] = []
    for arrival, content in whole:
        found = known.get(content)
        if content not in first and (found is None or found.mime == UNFITTED):
            first[content] = arrival.path
            if found is None:
                values.append(_queued(arrival, content))
            else:
                _fitted(tx, found, arrival, content)
    if values:
        tx.execute(_QUEUE, values)
    return (_newest(tx, whole) if first else known), first


def _newest(tx: sa.Connection, whole: Sequence[tuple[Arrival, Content]]) -> dict[Content, Analysis]:
    """Return the newest analysis of each content that there is one of."""
    digests = list({content.sha256 for _, content in whole})
    found = map(rows.analysis, tx.execute(_EDITIONS, {"digests": digests}))
    newest = {(one.sha256, one.media, one.options): one for one in found}
    return {
        content: analysis
        for _, content in whole
        if (analysis := newest.get((content.sha256, content.media, content.options))) is not None
    }


def refuse(tx: sa.Connection, arrival: Arrival, reason: str, rules: str, step: Step) -> None:
    """Write down that we will not send a file under ``rules``, so that it is delivered as rejected."""
    unleave(tx, arrival.folder_id, [arrival.path])
    before = at_place(tx, arrival.folder_id, arrival.path)
    if before is not None and (before.analysis_id is not None or before.refusal is not None):
        if before.fingerprint == arrival.fingerprint and before.refusal == reason:
            return
        _advance(tx, before, Superseded(), step)
        before = None
    row = before or _insert(tx, arrival)
    refused = replace(
        row,
        fingerprint=arrival.fingerprint,
        state=FileState.WAITING,
        held=False,
        media=arrival.media,
        refusal=reason,
        rules=rules,
        due=step.now,
        failures=0,
        failing_since=None,
        stuck_at=None,
        destination=None,
        missing=0,
    )
    work.put_file(tx, refused)
    work.record(tx, step, "refused here", file=refused, folder=row.folder, path=row.path, reason=reason)


def leave(tx: sa.Connection, arrival: Arrival, reason: str, rules: str, step: Step) -> None:
    """Remember a file that is left alone, so that it is looked at again only when it or ``rules`` change."""
    before = at_place(tx, arrival.folder_id, arrival.path)
    if before is not None:
        _advance(tx, before, Superseded(is_replaced=False), step)
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
    for parent, names in _by_parent(paths).items():
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
        file = at_place(tx, folder_id, path)
        if file is None:
            unleave(tx, folder_id, [path])
        # A file on its way to a committed destination is not missing: its delivery says where it is.
        elif file.state is not FileState.GONE and file.destination is None:
            after = _advance(tx, file, Missed(), step)
            if after is not None and after.state is FileState.GONE:
                gone += 1
                _mind_move_from(tx, after, step)
    return gone


def _mind_move_from(tx: sa.Connection, gone: File, step: Step) -> None:
    """See whether a file that is gone lies somewhere else in its folder, and have it keep what it had there."""
    if gone.analysis_id is None:
        return
    found = tx.execute(_the_same(gone, work.PRESENT)).first()
    if found is not None:
        _hand_over(tx, gone, rows.file(found), step)


def _mind_move_to(tx: sa.Connection, heir: File, step: Step) -> None:
    """See whether a file that came is one that is gone from another place of its folder, and have it keep what it had."""
    found = tx.execute(_the_same(heir, files.c.state == FileState.GONE)).first()
    if found is not None:
        _hand_over(tx, rows.file(found), heir, step)


def _the_same(file: File, which: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Return the query for the other files of a folder that are this very file under another name, the latest first.

    It is the same one if it has the same content, size and time, and the same inode where there is one.
    """
    shape = file.fingerprint
    return (
        rows.select_files()
        .where(
            files.c.analysis_id == file.analysis_id,
            folders.c.name == file.folder,
            which,
            files.c.lies_at.is_(None),
            files.c.id != file.id,
            files.c.size == shape.size,
            files.c.mtime_ns == shape.mtime_ns,
            files.c.inode.is_(None) if shape.inode is None else files.c.inode == shape.inode,
        )
        .order_by(files.c.id.desc())
        .limit(1)
    )


def _hand_over(tx: sa.Connection, gone: File, heir: File, step: Step) -> None:
    """Let a file that another tool moved inside the tree keep what the desk decided; its old sidecar is put aside."""
    work.record(tx, step, "moved", file=gone, to=heir.path)
    work.record(tx, step, "moved", file=heir, came_from=gone.path)
    if gone.orphan_due is not None:
        tx.execute(sa.update(files).where(files.c.id == gone.id).values(orphan_due=step.now))
    if gone.decision is not None and heir.decision is None:
        work.put_decision(tx, heir.id, gone.decision)
        work.advance_file(tx, heir.id, Reopened(), step)


def stir(
    tx: sa.Connection, folder_id: int, path: bytes, seen: Fingerprint, step: Step, *, within: timedelta
) -> bool:
    """Take in that a judged file looks otherwise now, so that nobody goes on believing its verdict; return whether.

    A changed mode or inode alone is no sign of another content, nor are times that differ ``within`` that much.
    """
    row = at_place(tx, folder_id, path)
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
        .where(files.c.folder_id == folder_id, files.c.release_at <= step.now, files.c.held.is_(False))
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
        file = at_place(tx, folder_id, path)
        if file is not None:
            work.advance_file(tx, file.id, Seen(), step)
            if file.state is FileState.GONE and rests(file):
                _hold(tx, file.id, held=True)


def rests(file: File) -> bool:
    """Tell whether a file waits for its release from an archive, or did when it was last there."""
    was_held = file.state is FileState.GONE and file.backlog and file.sha256 is None and file.refusal is None
    return file.held or was_held


def to_admit(tx: sa.Connection, folder_id: int, limit: int) -> list[File]:
    """Return files that were released and are to be looked at: hot ones first, then the newest."""
    query = (
        rows.select_files()
        .where(files.c.folder_id == folder_id, _TO_ADMIT, files.c.missing == 0)
        .order_by(files.c.priority.desc(), files.c.noticed_at.desc())
        .limit(limit)
    )
    return [rows.file(row) for row in tx.execute(query)]


def release(
    tx: sa.Connection,
    step: Step,
    *,
    folder_id: int | None = None,
    newer_than: datetime | None = None,
    limit: int | None = None,
) -> int:
    """Release held files, the newest first; ``newer_than`` is compared with their modification. Returns how many."""
    query = _releasable(folder_id, newer_than, limit)
    released = tx.execute(sa.update(files).where(files.c.id.in_(query)).values(held=False)).rowcount
    work.record(tx, step, "released", files=released)
    return released


def releasable(
    tx: sa.Connection,
    *,
    folder_id: int | None = None,
    newer_than: datetime | None = None,
    limit: int | None = None,
) -> dict[str, int]:
    """Count by folder what ``release`` would release."""
    query = (
        sa.select(folders.c.name, sa.func.count())
        .select_from(files)
        .join(folders, folders.c.id == files.c.folder_id)
        .where(files.c.id.in_(_releasable(folder_id, newer_than, limit)))
        .group_by(folders.c.name)
        .order_by(folders.c.name)
    )
    return {row[0]: row[1] for row in tx.execute(query)}


def _releasable(
    folder_id: int | None, newer_than: datetime | None, limit: int | None
) -> sa.Select[tuple[int]]:
    query = sa.select(files.c.id).where(_HELD).order_by(files.c.mtime_ns.desc())
    if folder_id is not None:
        query = query.where(files.c.folder_id == folder_id)
    if newer_than is not None:
        query = query.where(files.c.mtime_ns >= (newer_than - EPOCH) // timedelta(microseconds=1) * 1000)
    return query if limit is None else query.limit(limit)


def release_one(tx: sa.Connection, file_id: int, priority: int) -> None:
    """Release one held file, with a priority of its own."""
    tx.execute(sa.update(files).where(files.c.id == file_id, _HELD).values(held=False, priority=priority))


def hasten(tx: sa.Connection, analysis_id: int, priority: int) -> None:
    """Put the content of a file that the operator named first in line, whichever purse it was to come from."""
    tx.execute(
        sa.update(analyses)
        .where(analyses.c.id == analysis_id)
        .values(
            priority=sa.case((analyses.c.priority < priority, priority), else_=analyses.c.priority),
            backlog=False,
        )
    )


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


def _advance(tx: sa.Connection, file: File, event: FileEvent, step: Step) -> File | None:
    """Advance a file that may be held: what is gone, or replaced, waits for no release."""
    if not file.held:
        return work.advance_file(tx, file.id, event, step)
    _hold(tx, file.id, held=False)
    after = work.advance_file(tx, file.id, event, step)
    _hold(tx, file.id, held=after is not None and after.state is FileState.WAITING)
    return after


def _hold(tx: sa.Connection, file_id: int, *, held: bool) -> None:
    tx.execute(sa.update(files).where(files.c.id == file_id).values(held=held))


def _arrived(arrival: Arrival) -> dict[str, object]:
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


def _insert(tx: sa.Connection, arrival: Arrival) -> File:
    tx.execute(_INSERT, _arrived(arrival))
    row = at_place(tx, arrival.folder_id, arrival.path)
    if row is None:
        raise LookupError(arrival.path)
    return row


def _was_told(replaced: File | None) -> bool:
    """Tell whether something lies beside a file that was replaced: a sidecar, which is not about the new one."""
    return replaced is not None and replaced.outcome is not None and replaced.lies_at is None


def _in_place_of(row: File, replaced: File | None) -> File:
    """Return the row of a file with what it has to tell of the judged one whose place it took."""
    if replaced is None or not _was_told(replaced):
        return row
    judged = replaced.id if replaced.delivered_at is not None else replaced.supersedes
    return replace(row, interim=Interim.REPLACED, supersedes=judged)


def _same_again(tx: sa.Connection, before: File, arrival: Arrival, step: Step) -> File:
    """Take a file whose bytes are what they were: only its fingerprint changed, or it is back."""
    touch(tx, before.id, arrival.fingerprint)
    return work.advance_file(tx, before.id, Seen(), step) or before


def _analysis(tx: sa.Connection, arrival: Arrival, content: Content) -> tuple[Analysis, bool]:
    """Return the newest analysis of a content, made if there is none, and whether no file has had it before."""
    known, first = _queue(tx, [(arrival, content)])
    return known[content], bool(first)


def _queued(arrival: Arrival, content: Content) -> dict[str, Any]:
    """Return the row of a content that is to be judged."""
    return {
        "sha256": content.sha256,
        "media": content.media,
        "mime": content.mime,
        "options": content.options,
        "size": arrival.fingerprint.size,
        "noticed_at": arrival.noticed_at,
        "state": AnalysisState.QUEUED,
        "backlog": arrival.backlog,
        "priority": arrival.priority,
        "due": arrival.noticed_at,
    }


def _fitted(tx: sa.Connection, analysis: Analysis, arrival: Arrival, content: Content) -> None:
    """Give an analysis that was rebuilt from a sidecar what the file has that it is for.

    If it has to be sent after all, that is what is sent, and when.
    """
    # Only this: a question about it may be under way, and keeps its claim.
    tx.execute(
        sa.update(analyses)
        .where(analyses.c.id == analysis.id)
        .values(
            mime=content.mime,
            size=arrival.fingerprint.size,
            backlog=arrival.backlog,
            priority=arrival.priority,
        )
    )


def _wake(tx: sa.Connection, analysis: Analysis, arrival: Arrival, step: Step) -> None:
    """Let a queued analysis take the best place that any of its files gives it, and go on if it rested."""
    if analysis.state is not AnalysisState.QUEUED:
        return
    hotter = replace(
        analysis,
        priority=max(analysis.priority, arrival.priority),
        backlog=analysis.backlog and arrival.backlog,
        noticed_at=max(analysis.noticed_at, arrival.noticed_at),
    )
    if hotter != analysis:
        tx.execute(
            sa.update(analyses)
            .where(analyses.c.id == analysis.id)
            .values(priority=hotter.priority, backlog=hotter.backlog, noticed_at=hotter.noticed_at)
        )
    if analysis.due is None:
        work.advance(tx, analysis.id, Present(), step)
