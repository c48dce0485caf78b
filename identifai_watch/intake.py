"""One folder's way in: from a name on disk to a row in the ledger.

``Intake`` lives in the loop and decides there; what touches the tree runs in the folder's own threads, so that a
mount that hangs stops nobody else. What it keeps in memory are only candidates: a scan finds them again.
"""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from identifai_watch.candidates import Candidates, Entry
from identifai_watch.config import Existing, Folder
from identifai_watch.core import media
from identifai_watch.core.model import Fingerprint
from identifai_watch.folder.digest import Digest, digest
from identifai_watch.folder.ignores import ignored
from identifai_watch.folder.look import Look, look
from identifai_watch.folder.opening import (
    ChangedError,
    FolderError,
    MissingError,
    NotRegularError,
    UnavailableError,
)
from identifai_watch.folder.rules import why_not_file
from identifai_watch.folder.scan import Back, Changed, Finding, Missing, New, Summary, Unlisted
from identifai_watch.folder.watch import Notice, NoticeKind
from identifai_watch.ledger import Transaction, intake
from identifai_watch.ledger.intake import Arrival, Content
from identifai_watch.patrol import Findings, Health, Mode, Patrol
from identifai_watch.places import rules_of
from identifai_watch.shift import Shift
from identifai_watch.workers import Job

MOST_CANDIDATES = 2_000
"""Files that settle at once; a scan that finds more waits, so that memory does not grow with the archive."""

LOOKS_AT_ONCE = 200
DIGESTS_AT_ONCE = 2
UNREADABLE_WAIT = timedelta(minutes=1)


class Intake:
    """One folder while the daemon runs. ``scans`` is False for the place of single files that ``judge`` names."""

    def __init__(self, shift: Shift, folder: Folder, *, scans: bool = True) -> None:
        self.folder = folder
        self.folder_id = 0
        self.unannounced = 0
        self._shift = shift
        self._scans = scans
        self._rules = rules_of(folder)
        self._policy = folder.media_policy(shift.config.limits.by_media())
        self._rules_key = rules_key(folder, self._policy)
        self._log = shift.log.bind(folder=folder.name)
        findings = Findings(heard=self._heard, found=self._found, ended=self._archive)
        self.patrol = Patrol(shift, folder, self._rules, findings)
        self._candidates = Candidates(lambda: folder.settle_policy(network=self.patrol.network))
        self._whole: dict[bytes, Entry] = {}
        self._digesting = 0
        self._is_archived = False
        self._released_at = shift.clock()

    # What the loop asks.

    def open(self, tx: Transaction) -> None:
        """Begin: what was left alone under other rules is looked at anew."""
        known = intake.folder(tx, self._shift.ledger.node, self.folder.name)
        self.folder_id = known.id
        self._is_archived = known.archived_at is not None
        self.patrol.open(known.id)
        anew = intake.forget_left(tx, known.id, self._rules_key) + intake.reconsider(
            tx, known.id, self._rules_key
        )
        if anew:
            self._log.info("rules changed", looked_at_anew=anew)

    def close(self) -> None:
        """End: no thread of this folder begins anything more; none is waited for."""
        self.patrol.close()

    def tick(self, tx: Transaction) -> None:
        """Begin what is due: a scan, looks at candidates, digests of whole files."""
        now = self._shift.clock()
        if self._scans:
            self.patrol.tick(has_room=self.settling < MOST_CANDIDATES)
        if self.patrol.health is not Health.UNAVAILABLE:
            self._take_released(tx, now)
            self._look(now)
            self._digest()

    def next_due(self) -> datetime | None:
        """Return when the next candidate or scan is due."""
        dues = (self.patrol.next_due() if self._scans else None, self._candidates.next_due())
        return min((due for due in dues if due is not None), default=None)

    def is_idle(self) -> bool:
        """Tell whether a whole scan was made and nothing of it is still on its way."""
        return (not self._scans or self.patrol.is_idle()) and not self.settling

    @property
    def settling(self) -> int:
        """How many files are on their way in."""
        return len(self._candidates) + len(self._whole)

    def growing(self, since: datetime) -> list[tuple[bytes, str]]:
        """Return the candidates that were noticed before ``since`` and still wait, with the reason."""
        return self._candidates.growing(since)

    def is_only_growing(self, since: datetime) -> bool:
        """Tell whether all that is left are candidates that have been watched since before ``since``."""
        scanned = not self._scans or self.patrol.is_idle()
        return scanned and not self._whole and len(self.growing(since)) == len(self._candidates)

    def offer(self, tx: Transaction, path: bytes, priority: int) -> None:
        """Take one path first in line, whatever events say: the operator named it."""
        row = intake.at_place(tx, self.folder_id, path)
        if row is not None and row.held:
            intake.release_one(tx, row.id, priority)
        if row is not None and row.analysis_id is not None:
            intake.hasten(tx, row.analysis_id, priority)
        on_its_way = self._candidates.get(path) or self._whole.get(path)
        if on_its_way is None:
            self._notice(path, renamed=False, priority=priority)
        else:
            on_its_way.hasten(priority)

    # Noticing.

    def _heard(self, _tx: Transaction, notice: Notice) -> None:
        """Take in an event: a hint, never the truth."""
        match notice.kind:
            case NoticeKind.OVERFLOW:
                self._log.warning("events lost, scanning")
                self.patrol.rescan()
            case NoticeKind.DIRECTORY:
                self.patrol.look_into(notice.path)
            case NoticeKind.FILE | NoticeKind.RENAMED:
                if why_not_file(notice.path, self._rules) is None:
                    self._notice(notice.path, renamed=notice.kind is NoticeKind.RENAMED)

    def _notice(
        self, path: bytes, *, renamed: bool, backlog: bool = False, priority: int | None = None
    ) -> None:
        self._whole.pop(path, None)
        hot = self.folder.priority if priority is None else priority
        self._candidates.notice(path, self._shift.clock(), renamed=renamed, backlog=backlog, priority=hot)

    # Looking.

    def _look(self, now: datetime) -> None:
        paths = self._candidates.due(now, LOOKS_AT_ONCE)
        if paths:
            root, network = self.folder.root, self.patrol.network
            self._plan(
                "look", lambda: [(path, look_at(root, path, network=network)) for path in paths], self._looked
            )

    def _looked(self, tx: Transaction, seen: list[tuple[bytes, Look | FolderError | str]]) -> None:
        if self.patrol.is_closed.is_set():
            return  # a reload put others in its place, which look for themselves
        now = self._shift.clock()
        for path, found in seen:
            if isinstance(found, Look):
                entry = self._candidates.looked(path, found, now)
                if entry is not None:
                    self._settled(tx, path, entry, found)
            elif path in self._candidates:
                self._unseen(tx, path, found)

    def _unseen(self, tx: Transaction, path: bytes, found: FolderError | str) -> None:
        """Take in that a candidate could not be looked at."""
        match found:
            case UnavailableError():
                self.patrol.out_of_reach(str(found))
            case MissingError():
                intake.missed(tx, self.folder_id, [path], self._shift.step(tx))
            case str() | NotRegularError():
                self._log.debug("left alone", path=path, reason=str(found))
            case _:
                self._candidates.put_off(path, self._shift.clock() + UNREADABLE_WAIT, str(found))
                self._log.warning("file cannot be read", path=path, reason=str(found))
                return
        self._candidates.drop(path)

    def _settled(self, tx: Transaction, path: bytes, entry: Entry, found: Look) -> None:
        """Decide what becomes of a whole file, from its name and its first bytes, before it is hashed."""
        if self._is_known(tx, path, found.fingerprint):
            return
        name = path.rpartition(b"/")[2]
        step = self._shift.step(tx)
        match media.judge(name, found.sniffed, found.fingerprint.size, self._policy):
            case media.Send():
                self._whole[path] = entry
            case media.Reject(reason=reason, media=kind):
                arrival = replace(self._arrival(path, entry, found.fingerprint), media=kind)
                intake.refuse(tx, arrival, reason, self._rules_key, step)
                self._log.info("refused here", path=path, reason=reason)
            case media.Leave(reason=reason):
                intake.leave(tx, self._arrival(path, entry, found.fingerprint), reason, self._rules_key, step)
                self._log.info("left alone", path=path, reason=reason)

    def _is_known(self, tx: Transaction, path: bytes, fingerprint: Fingerprint) -> bool:
        """Tell whether the ledger has this very file already: an event told of nothing new."""
        row = intake.at_place(tx, self.folder_id, path)
        if row is None or row.fingerprint != fingerprint:
            return False
        if row.held or (row.analysis_id is None and row.refusal is None):
            return False
        intake.seen(tx, self.folder_id, [path], self._shift.step(tx))
        return True

    def _arrival(self, path: bytes, entry: Entry, fingerprint: Fingerprint) -> Arrival:
        return Arrival(
            folder_id=self.folder_id,
            path=path,
            fingerprint=fingerprint,
            noticed_at=entry.candidate.noticed_at,
            backlog=entry.backlog,
            priority=entry.priority,
        )

    # Digesting.

    def _digest(self) -> None:
        """Begin digests: hot files first, then the newest; what was there before the daemon comes last."""
        waiting = [path for path, entry in self._whole.items() if not entry.is_digested]
        waiting.sort(key=lambda path: _urgency(self._whole[path]), reverse=True)
        for path in waiting[: max(0, DIGESTS_AT_ONCE - self._digesting)]:
            entry = self._whole[path]
            found = entry.look
            if found is None:
                raise LookupError(path)
            entry.is_digested = True
            self._digesting += 1
            label = f"{self.folder.name}/digest/{path!r}"
            work = partial(self._digest_in_thread, path, found, label)
            self._plan(
                "digest", work, partial(self._digested, path, entry), label=label, threads=DIGESTS_AT_ONCE
            )

    def _digest_in_thread(self, path: bytes, found: Look, label: str) -> Digest | FolderError:
        try:
            return digest(
                self.folder.root,
                path,
                expected=found.fingerprint,
                network=self.patrol.network,
                progress=lambda _: self._shift.workers.moved(label),
                stop=self.patrol.is_closed.is_set,
            )
        except FolderError as error:
            return error

    def _digested(self, path: bytes, entry: Entry, tx: Transaction, found: Digest | FolderError) -> None:
        self._digesting -= 1
        if self.patrol.is_closed.is_set():
            return
        if self._whole.get(path) is entry:
            del self._whole[path]
        elif isinstance(found, Digest):
            return  # it was noticed again meanwhile: it settles anew
        match found:
            case Digest():
                self._admit(tx, path, entry, found)
            case UnavailableError():
                self.patrol.out_of_reach(str(found))
            case MissingError():
                intake.missed(tx, self.folder_id, [path], self._shift.step(tx))
            case ChangedError():
                self._notice(path, renamed=False, backlog=entry.backlog, priority=entry.priority)
            case _:
                self._log.warning("file cannot be read", path=path, reason=str(found))

    def _admit(self, tx: Transaction, path: bytes, entry: Entry, found: Digest) -> None:
        name = path.rpartition(b"/")[2]
        judged = media.judge(name, found.sniffed, found.fingerprint.size, self._policy)
        if not isinstance(judged, media.Send):
            self._notice(path, renamed=False, backlog=entry.backlog, priority=entry.priority)
            return
        content = Content(
            sha256=found.sha256,
            media=judged.media,
            mime=judged.mime,
            options=self.folder.canonical_options(judged.media),
        )
        row = intake.admit(tx, self._arrival(path, entry, found.fingerprint), content, self._shift.step(tx))
        self._log.info(
            "admitted", path=path, sha256=found.sha256.hex(), media=judged.media, duplicate=row.duplicate
        )

    def _take_released(self, tx: Transaction, now: datetime) -> None:
        """Take files that were released from the backlog, as there is room."""
        room = MOST_CANDIDATES // 2 - self.settling
        if room <= 0 or now < self._released_at or self._shift.least_priority is not None:
            return
        self._released_at = now + timedelta(seconds=1)
        for row in intake.to_admit(tx, self.folder_id, room):
            if row.path not in self._candidates and row.path not in self._whole:
                self._notice(row.path, renamed=False, backlog=row.backlog, priority=row.priority)

    # What scans find.

    def _found(self, tx: Transaction, chunk: list[Finding]) -> None:
        """Take in what a scan found to differ from the ledger."""
        if self.patrol.is_closed.is_set():
            return
        step = self._shift.step(tx)
        missing: list[bytes] = []
        for finding in chunk:
            match finding:
                case New(path=path) if (
                    not self._is_archived and path not in self._candidates and path not in self._whole
                ):
                    self._found_archive(tx, finding)
                case Changed() if self._rests(tx, finding):
                    pass
                case New(path=path) | Changed(path=path):
                    if path not in self._candidates and path not in self._whole:
                        self.unannounced += self.patrol.mode is Mode.EVENTS
                        self._notice(path, renamed=False)
                case Back(path=path):
                    intake.seen(tx, self.folder_id, [path], step)
                case Missing(path=path):
                    missing.append(path)
                case Unlisted() | Summary():
                    pass
        gone = intake.missed(tx, self.folder_id, missing, step)
        if gone:
            self._log.info("files gone", files=gone)

    def _rests(self, tx: Transaction, finding: Changed) -> bool:
        """Let a held file rest whose mode or inode is another now: that is no news, and must not be paid for."""
        row = intake.at_place(tx, self.folder_id, finding.path)
        seen = finding.fingerprint
        if row is None or not row.held:
            return False
        if (row.fingerprint.size, row.fingerprint.mtime_ns) != (seen.size, seen.mtime_ns):
            return False
        intake.touch(tx, row.id, seen)
        intake.seen(tx, self.folder_id, [finding.path], self._shift.step(tx))
        return True

    def _found_archive(self, tx: Transaction, finding: New) -> None:
        """Take a file that was there before the daemon, as ``existing`` says."""
        existing = Existing.JUDGE if self._shift.once else self.folder.existing
        kind = media.by_name(finding.path.rpartition(b"/")[2])
        arrival = Arrival(
            folder_id=self.folder_id,
            path=finding.path,
            fingerprint=finding.fingerprint,
            noticed_at=self._shift.clock(),
            media=kind,
            backlog=True,
            priority=self.folder.priority,
        )
        match existing:
            case Existing.HOLD if kind is not None:
                intake.hold(tx, [arrival])
            case Existing.IGNORE:
                reason = 'it was there before the daemon, and existing = "ignore"'
                intake.leave(tx, arrival, reason, self._rules_key, self._shift.step(tx))
            case _:
                self._notice(finding.path, renamed=False, backlog=True)

    def _archive(self, tx: Transaction) -> None:
        """End the first full scan: a small archive is judged all the same, a large one stays held."""
        if not self._is_archived:
            self._is_archived = True
            held = intake.archived(tx, self.folder_id, self._shift.clock(), self.folder.existing_hold_above)
            if held:
                self._log.warning("archive held", files=held, remedy="identifai-watch backlog release")

    def _plan(self, lane: str, work: Any, then: Any, *, label: str | None = None, threads: int = 1) -> None:
        name = f"{self.folder.name}/{lane}"
        job = Job(lane=name, label=label or name, work=work, then=then, failed=self._failed, threads=threads)
        self._shift.workers.plan(job)

    def _failed(self, _tx: Transaction, error: Exception) -> None:
        """Go on after a bug of ours in one of the folder's threads: a scan will find what it was about."""
        self._shift.bug(error)
        self._candidates.clear()
        self._whole.clear()
        self._digesting = 0


def rules_key(folder: Folder, policy: media.Policy) -> str:
    """Return what a decision to leave or refuse a file was made under; another key has it made anew."""
    return json.dumps(
        {
            "media": sorted(folder.media),
            "mp4_as": folder.mp4_as,
            "min_bytes": folder.min_bytes,
            "unsupported": folder.unsupported,
            "existing": folder.existing,
            "limits": {str(kind): limit for kind, limit in sorted(policy.limits.items())},
        }
    )


def look_at(root: bytes, path: bytes, *, network: bool) -> Look | FolderError | str:
    """Look at a path; return why it is to be left alone if an ``.identifai-ignore`` says so."""
    try:
        rule = ignored(root, path)
        return rule if rule is not None else look(root, path, network=network)
    except FolderError as error:
        return error


def _urgency(entry: Entry) -> tuple[bool, int, datetime]:
    return (not entry.backlog, entry.priority, entry.candidate.noticed_at)
