"""One folder's way in: from a name on disk to a row in the ledger.

``Intake`` lives in the loop and decides there; what touches the tree runs in the folder's own threads, so that a
mount that hangs stops nobody else. What it keeps in memory are only candidates: a scan finds them again.
"""

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from threading import Event, Semaphore
from typing import Any

from identifai_watch.config import Events, Existing, Folder
from identifai_watch.core import media, settling
from identifai_watch.core.model import Fingerprint
from identifai_watch.core.settling import Candidate, Wait, Whole
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
from identifai_watch.folder.roots import Root, inspect_root
from identifai_watch.folder.rules import Rules, why_not_file
from identifai_watch.folder.scan import Back, Changed, Finding, Known, Missing, New, Summary, Unlisted, scan
from identifai_watch.folder.watch import Notice, NoticeKind, UnwatchableError, Watch
from identifai_watch.ledger import Ledger, Transaction, intake
from identifai_watch.ledger.intake import Arrival, Content
from identifai_watch.shift import Shift
from identifai_watch.workers import Job

MOST_CANDIDATES = 2_000
"""Files that settle at once; a scan that finds more waits, so that memory does not grow with the archive."""

LOOKS_AT_ONCE = 200
DIGESTS_AT_ONCE = 2
CHUNKS_AHEAD = 4
UNREADABLE_WAIT = timedelta(minutes=1)
FIRST_RETRY = timedelta(seconds=1)
LAST_RETRY = timedelta(minutes=5)
SCAN_SHARE = 10
"""A scan never takes more than a tenth of the time: the next one waits ten times as long as the last one took."""


class Health(StrEnum):
    """How a folder is: watched as configured, scanned only though events were wanted, or out of reach."""

    OK = "ok"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


class Mode(StrEnum):
    """How changes are noticed between scans."""

    EVENTS = "events"
    SCAN = "scan"


@dataclass(slots=True, kw_only=True)
class Entry:
    """A path on its way in: what settling knows of it, and how it is to be taken."""

    candidate: Candidate
    due: datetime
    why: str
    backlog: bool = False
    priority: int = 0
    looking: bool = False
    look: Look | None = None
    digesting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What the folder's thread found of its root, with the watch if there is one."""

    root: Root | None
    trouble: str | None = None
    watch: Watch | None = None
    unwatchable: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerMemory:
    """What the ledger remembers of one folder, as the scan asks for it."""

    ledger: Ledger
    folder_id: int

    def known(self, parent: bytes, names: Sequence[bytes]) -> Mapping[bytes, Known]:
        """Give what is remembered of these names in ``parent``."""
        with self.ledger.read() as tx:
            found = intake.known(tx, self.folder_id, parent, names)
        return {name: Known(fingerprint=row.fingerprint, missing=row.missing) for name, row in found.items()}

    def count(self, parent: bytes) -> int:
        """Say how many names there should be in ``parent``."""
        with self.ledger.read() as tx:
            return intake.count(tx, self.folder_id, parent)

    def names(self, parent: bytes) -> Iterable[bytes]:
        """Give the names that should be in ``parent``."""
        with self.ledger.read() as tx:
            yield from intake.names(tx, self.folder_id, parent)

    def parents(self) -> Iterable[bytes]:
        """Give the directories in which something should be."""
        with self.ledger.read() as tx:
            yield from intake.parents(tx, self.folder_id)


@dataclass
class Intake:
    """One folder while the daemon runs. ``scans`` is False for the place of single files that ``judge`` names."""

    shift: Shift
    folder: Folder
    scans: bool = True
    folder_id: int = field(init=False, default=0)
    network: bool = field(init=False, default=False)
    health: Health = field(init=False, default=Health.OK)
    mode: Mode = field(init=False, default=Mode.SCAN)
    reason: str | None = field(init=False, default=None)
    last_scan_at: datetime | None = field(init=False, default=None)
    unannounced: int = field(init=False, default=0)
    unlisted: dict[bytes, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        own = self.folder.own_places()
        self._rules = Rules(
            include=self.folder.include,
            exclude=self.folder.exclude,
            recursive=self.folder.recursive,
            destinations=own,
        )
        self._policy = self.folder.media_policy(self.shift.config.limits.by_media())
        self._rules_key = rules_key(self.folder, self._policy)
        self._log = self.shift.log.bind(folder=self.folder.name)
        self._entries: dict[bytes, Entry] = {}
        self._heap: list[tuple[datetime, bytes]] = []
        self._whole: dict[bytes, Entry] = {}
        self._digesting = 0
        self._room = Event()
        self._room.set()
        self._chunks = Semaphore(CHUNKS_AHEAD)
        self._closed = Event()
        self._watch: Watch | None = None
        self._root: Root | None = None
        self._archived = False
        self._scanning = False
        self._scan_at: datetime = self.shift.clock()
        self._scan_began: datetime = self._scan_at
        self._subtrees: list[bytes] = []
        self._retry = FIRST_RETRY
        self._released_at: datetime = self._scan_at
        self._repin = False

    # What the loop asks.

    def open(self, tx: Transaction) -> None:
        """Begin: what was left alone under other rules is looked at anew."""
        known = intake.folder(tx, self.shift.ledger.node, self.folder.name)
        self.folder_id = known.id
        self._archived = known.archived_at is not None
        anew = intake.forget_left(tx, known.id, self._rules_key) + intake.reconsider(
            tx, known.id, self._rules_key
        )
        if anew:
            self._log.info("rules changed", looked_at_anew=anew)

    def close(self) -> None:
        """End: no thread of this folder begins anything more; none is waited for."""
        self._closed.set()
        self._room.set()
        if self._watch is not None:
            self._watch.stop()

    def tick(self, tx: Transaction) -> None:
        """Begin what is due: a scan, looks at candidates, digests of whole files."""
        now = self.shift.clock()
        if self.scans:
            self._mind_scan(now)
        if self.health is not Health.UNAVAILABLE:
            self._take_released(tx, now)
            self._look(now)
            self._digest()
        (self._room.set if self._load() < MOST_CANDIDATES else self._room.clear)()

    def next_due(self) -> datetime | None:
        """Return when the next candidate or scan is due."""
        scan_due = [self._scan_at] if self.scans and not self._scanning else []
        return min([*scan_due, *([self._heap[0][0]] if self._heap else [])], default=None)

    def is_idle(self) -> bool:
        """Tell whether a whole scan was made and nothing of it is still on its way."""
        scanned = not self.scans or (self.last_scan_at is not None and not self._scanning)
        return scanned and not self._entries and not self._whole and not self._subtrees

    def growing(self, since: datetime) -> list[tuple[bytes, str]]:
        """Return the candidates that were noticed before ``since`` and still wait, with the reason."""
        return [
            (path, entry.why) for path, entry in self._entries.items() if entry.candidate.noticed_at <= since
        ]

    def is_only_growing(self, since: datetime) -> bool:
        """Tell whether all that is left are candidates that have been watched since before ``since``."""
        waiting = len(self.growing(since))
        return self.last_scan_at is not None and not self._whole and waiting == len(self._entries)

    def settling(self) -> int:
        """Return how many files are on their way in."""
        return self._load()

    def offer(self, tx: Transaction, path: bytes, priority: int) -> None:
        """Take one path first in line, whatever events say: the operator named it."""
        row = intake.at_place(tx, self.folder_id, path)
        if row is not None and row.held:
            intake.release_one(tx, row.id, priority)
        self._notice(path, renamed=False, priority=priority)

    def accept_filesystem(self) -> None:
        """Accept what is mounted at the root now, whatever it was before: the operator says so."""
        self._repin = True
        self._scan_at = self.shift.clock()

    def rescan(self) -> None:
        """Have the tree scanned now."""
        self._scan_at = self.shift.clock()

    def out_of_reach(self, reason: str) -> None:
        """Set the folder aside until its root answers again."""
        if self.health is not Health.UNAVAILABLE:
            self._log.warning("folder unavailable", reason=reason)
            self._retry = FIRST_RETRY
        self.health, self.reason = Health.UNAVAILABLE, reason
        self._scan_at = self.shift.clock() + self._retry
        self._retry = min(LAST_RETRY, self._retry * 2)

    def report(self) -> dict[str, Any]:
        """Return what ``status`` shows of this folder."""
        return {
            "name": self.folder.name,
            "path": str(self.folder.path),
            "health": self.health,
            "mode": self.mode,
            "reason": self.reason,
            "last_scan_at": None if self.last_scan_at is None else self.last_scan_at.isoformat(),
        }

    # Noticing.

    def _noticed(self, _tx: Transaction, notice: Notice) -> None:
        match notice.kind:
            case NoticeKind.OVERFLOW:
                self._log.warning("events lost, scanning")
                self.rescan()
            case NoticeKind.DIRECTORY:
                if notice.path not in self._subtrees:
                    self._subtrees.append(notice.path)
            case NoticeKind.FILE | NoticeKind.RENAMED:
                if why_not_file(notice.path, self._rules) is None:
                    self._notice(notice.path, renamed=notice.kind is NoticeKind.RENAMED)

    def _notice(
        self, path: bytes, *, renamed: bool, backlog: bool = False, priority: int | None = None
    ) -> None:
        now = self.shift.clock()
        self._whole.pop(path, None)
        old = self._entries.get(path)
        candidate = settling.notice(None if old is None else old.candidate, now, renamed=renamed)
        hot = self.folder.priority if priority is None else priority
        entry = Entry(
            candidate=candidate,
            due=now,
            why="it was just noticed",
            backlog=backlog and (old is None or old.backlog),
            priority=hot if old is None else max(hot, old.priority),
            looking=old is not None and old.looking,
        )
        self._entries[path] = entry
        self._decide(path, entry, now)

    def _decide(self, path: bytes, entry: Entry, now: datetime) -> Whole | None:
        """Ask whether the candidate is whole; if not, remember when to look at it again."""
        decision = settling.decide(entry.candidate, now, self.folder.settle_policy(network=self.network))
        if isinstance(decision, Wait):
            entry.due, entry.why = decision.until, decision.why
            heapq.heappush(self._heap, (entry.due, path))
            return None
        return decision

    def _load(self) -> int:
        return len(self._entries) + len(self._whole)

    # Looking.

    def _look(self, now: datetime) -> None:
        paths: list[bytes] = []
        while self._heap and self._heap[0][0] <= now and len(paths) < LOOKS_AT_ONCE:
            due, path = heapq.heappop(self._heap)
            entry = self._entries.get(path)
            if entry is not None and entry.due == due and not entry.looking:
                entry.looking = True
                paths.append(path)
        if paths:
            root, network = self.folder.root, self.network
            self._plan(
                "look", lambda: [(path, look_at(root, path, network=network)) for path in paths], self._looked
            )

    def _looked(self, tx: Transaction, seen: list[tuple[bytes, Look | FolderError | str]]) -> None:
        now = self.shift.clock()
        for path, found in seen:
            entry = self._entries.get(path)
            if entry is None:
                continue
            entry.looking = False
            if isinstance(found, Look):
                entry.look = found
                entry.candidate = settling.sampled(entry.candidate, found.sample, now)
                if self._decide(path, entry, now) is not None:
                    del self._entries[path]
                    self._settled(tx, path, entry, found)
            else:
                self._unseen(tx, path, entry, found)

    def _unseen(self, tx: Transaction, path: bytes, entry: Entry, found: FolderError | str) -> None:
        """Take in that a candidate could not be looked at."""
        match found:
            case UnavailableError():
                self.out_of_reach(str(found))
            case MissingError():
                intake.missed(tx, self.folder_id, [path], self.shift.step(tx))
            case str() | NotRegularError():
                self._log.debug("left alone", path=path, reason=str(found))
            case _:
                entry.due, entry.why = self.shift.clock() + UNREADABLE_WAIT, str(found)
                heapq.heappush(self._heap, (entry.due, path))
                self._log.warning("file cannot be read", path=path, reason=str(found))
                return
        self._entries.pop(path, None)

    def _settled(self, tx: Transaction, path: bytes, entry: Entry, found: Look) -> None:
        """Decide what becomes of a whole file, from its name and its first bytes, before it is hashed."""
        if self._is_known(tx, path, found.fingerprint):
            return
        name = path.rpartition(b"/")[2]
        step = self.shift.step(tx)
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
        intake.seen(tx, self.folder_id, [path], self.shift.step(tx))
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
        waiting = [path for path, entry in self._whole.items() if not entry.digesting]
        waiting.sort(key=lambda path: _urgency(self._whole[path]), reverse=True)
        for path in waiting[: max(0, DIGESTS_AT_ONCE - self._digesting)]:
            entry = self._whole[path]
            found = entry.look
            if found is None:
                raise LookupError(path)
            entry.digesting = True
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
                network=self.network,
                progress=lambda _: self.shift.workers.moved(label),
                stop=self._closed.is_set,
            )
        except FolderError as error:
            return error

    def _digested(self, path: bytes, entry: Entry, tx: Transaction, found: Digest | FolderError) -> None:
        self._digesting -= 1
        if self._whole.get(path) is entry:
            del self._whole[path]
        elif isinstance(found, Digest):
            return  # it was noticed again meanwhile: it settles anew
        match found:
            case Digest():
                self._admit(tx, path, entry, found)
            case UnavailableError():
                self.out_of_reach(str(found))
            case MissingError():
                intake.missed(tx, self.folder_id, [path], self.shift.step(tx))
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
        row = intake.admit(tx, self._arrival(path, entry, found.fingerprint), content, self.shift.step(tx))
        self._log.info(
            "admitted", path=path, sha256=found.sha256.hex(), media=judged.media, duplicate=row.duplicate
        )

    def _take_released(self, tx: Transaction, now: datetime) -> None:
        """Take files that were released from the backlog, as there is room."""
        room = MOST_CANDIDATES // 2 - self._load()
        if room <= 0 or now < self._released_at:
            return
        self._released_at = now + timedelta(seconds=1)
        for row in intake.to_admit(tx, self.folder_id, room):
            if row.path not in self._entries and row.path not in self._whole:
                self._notice(row.path, renamed=False, backlog=row.backlog, priority=row.priority)

    # Scanning.

    def _mind_scan(self, now: datetime) -> None:
        """Begin a scan when one is due, and look into directories that events named."""
        if self._scanning:
            return
        if now >= self._scan_at:
            self._scanning = True
            self._scan_began = now
            self._plan("scan", self._prepare_in_thread, self._prepared)
        elif self._subtrees and self.health is not Health.UNAVAILABLE:
            subtree = self._subtrees.pop(0)
            self._scanning = True
            self._plan("scan", lambda: self._scan_in_thread(subtree), self._scanned)

    def _prepare_in_thread(self) -> Prepared:
        """Look at the root, and arm the watch where events work."""
        try:
            root = inspect_root(self.folder.root)
        except FolderError as error:
            return Prepared(root=None, trouble=str(error))
        if self.shift.once or not self._wants_events(root):
            return Prepared(root=root)
        watch = self._watch
        if watch is not None:
            problem = watch.problem()
            if problem is None:
                return Prepared(root=root, watch=watch)
            self._log.warning("watch lost, arming again", reason=problem)
            watch.stop()
        watch = Watch(self.folder.root, self._hear, recursive=self.folder.recursive)
        try:
            watch.start()
        except UnwatchableError as error:
            return Prepared(root=root, unwatchable=str(error))
        return Prepared(root=root, watch=watch)

    def _hear(self, notice: Notice) -> None:
        self.shift.workers.tell(lambda tx: self._noticed(tx, notice))

    def _wants_events(self, root: Root) -> bool:
        match self.folder.events:
            case Events.ON:
                return True
            case Events.OFF:
                return False
            case Events.AUTO:
                return not any(
                    root.path.startswith(mount.point.rstrip(b"/") + b"/") or mount.point == root.path
                    for mount in root.scanned
                )

    def _prepared(self, tx: Transaction, found: Prepared) -> None:
        self._watch = found.watch
        if self._closed.is_set():
            self.close()
            return
        root = found.root
        trouble = found.trouble if root is None else self._moved_house(tx, root)
        if root is None or trouble is not None:
            self._scanning = False
            self.out_of_reach(trouble or "its root does not answer")
            return
        if self.health is Health.UNAVAILABLE:
            self._log.info("folder available again")
        self._retry = FIRST_RETRY
        self._root, self.network = root, root.network
        self.mode = Mode.EVENTS if found.watch is not None else Mode.SCAN
        self.health = Health.OK if found.unwatchable is None else Health.DEGRADED
        self._say(found.unwatchable or _why_scanned(self.folder, root))
        self._plan("scan", lambda: self._scan_in_thread(b""), self._scanned)

    def _say(self, reason: str | None) -> None:
        if reason != self.reason and reason is not None:
            (self._log.warning if self.health is Health.DEGRADED else self._log.info)(
                "folder scanned only", reason=reason
            )
        self.reason = reason

    def _moved_house(self, tx: Transaction, root: Root) -> str | None:
        """Return what is wrong if the root is on another file system than it was: an empty mount point, say."""
        pinned = intake.folder(tx, self.shift.ledger.node, self.folder.name).filesystem
        if pinned is None or self._repin:
            self._repin = False
            intake.pin(tx, self.folder_id, root.identity)
            return None
        if pinned == root.identity:
            return None
        return (
            f"its root was on {pinned} and is now on {root.identity}; mount it again, or accept the change with "
            f"identifai-watch retry --folder {self.folder.name}"
        )

    def _scan_in_thread(self, subtree: bytes) -> Summary | None:
        """Scan, handing what differs to the loop a few chunks ahead; None if it was stopped."""
        memory = LedgerMemory(ledger=self.shift.ledger, folder_id=self.folder_id)
        found: Iterator[list[Finding]] = scan(
            self.folder.root,
            memory,
            self._rules,
            subtree=subtree,
            network=self.network,
            stop=self._closed.is_set,
        )
        summary: Summary | None = None
        for chunk in found:
            self._chunks.acquire()
            self._room.wait()
            if self._closed.is_set():
                return None
            self.shift.workers.tell(partial(self._found, chunk))
            summary = next((finding for finding in chunk if isinstance(finding, Summary)), summary)
        return summary if subtree == b"" else None

    def _found(self, chunk: list[Finding], tx: Transaction) -> None:
        """Take in what a scan found to differ from the ledger."""
        self._chunks.release()
        step = self.shift.step(tx)
        missing: list[bytes] = []
        for finding in chunk:
            match finding:
                case New(path=path) if (
                    not self._archived and path not in self._entries and path not in self._whole
                ):
                    self._found_archive(tx, finding)
                case New(path=path) | Changed(path=path):
                    if path not in self._entries and path not in self._whole:
                        self.unannounced += self.mode is Mode.EVENTS
                        self._notice(path, renamed=False)
                case Back(path=path):
                    intake.seen(tx, self.folder_id, [path], step)
                case Missing(path=path):
                    missing.append(path)
                case Unlisted(path=path, reason=reason):
                    if self.unlisted.get(path) != reason:
                        self._log.warning("directory cannot be listed", path=path, reason=reason)
                    self.unlisted[path] = reason
                case Summary():
                    pass
        gone = intake.missed(tx, self.folder_id, missing, step)
        if gone:
            self._log.info("files gone", files=gone)

    def _found_archive(self, tx: Transaction, finding: New) -> None:
        """Take a file that was there before the daemon, as ``existing`` says."""
        existing = Existing.JUDGE if self.shift.once else self.folder.existing
        kind = media.by_name(finding.path.rpartition(b"/")[2])
        arrival = Arrival(
            folder_id=self.folder_id,
            path=finding.path,
            fingerprint=finding.fingerprint,
            noticed_at=self.shift.clock(),
            media=kind,
            backlog=True,
            priority=self.folder.priority,
        )
        match existing:
            case Existing.HOLD if kind is not None:
                intake.hold(tx, [arrival])
            case Existing.IGNORE:
                reason = 'it was there before the daemon, and existing = "ignore"'
                intake.leave(tx, arrival, reason, self._rules_key, self.shift.step(tx))
            case _:
                self._notice(finding.path, renamed=False, backlog=True)

    def _scanned(self, tx: Transaction, summary: Summary | None) -> None:
        now = self.shift.clock()
        self._scanning = False
        if summary is None:
            return
        took = now - self._scan_began
        self.last_scan_at = now
        self._scan_at = now + max(self.folder.rescan, took * SCAN_SHARE)
        self._log.debug("scanned", files=summary.files, seconds=round(took.total_seconds(), 3))
        if not self._archived:
            self._archived = True
            held = intake.archived(tx, self.folder_id, now, self.folder.existing_hold_above)
            if held:
                self._log.warning("archive held", files=held, remedy="identifai-watch backlog release")

    def _plan(self, lane: str, work: Any, then: Any, *, label: str | None = None, threads: int = 1) -> None:
        name = f"{self.folder.name}/{lane}"
        job = Job(lane=name, label=label or name, work=work, then=then, failed=self._failed, threads=threads)
        self.shift.workers.plan(job)

    def _failed(self, _tx: Transaction, error: Exception) -> None:
        """Go on after a bug of ours in one of the folder's threads: a scan will find what it was about."""
        self.shift.bug(error)
        self._scanning = False
        self._entries.clear()
        self._heap.clear()
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


def _why_scanned(folder: Folder, root: Root) -> str | None:
    if folder.events is Events.OFF:
        return None
    kinds = sorted({mount.fstype for mount in root.scanned})
    return f"no events on {', '.join(kinds)}" if kinds else None


def _urgency(entry: Entry) -> tuple[bool, int, datetime]:
    return (not entry.backlog, entry.priority, entry.candidate.noticed_at)
