"""One folder's root and tree: is it there, and what differs from the ledger? Its watch is the sentry's.

``Patrol`` lives in the loop and decides there; looking at the root, watching and scanning run in threads of the
folder's own, so that a mount that hangs stops nobody else. What is found is handed on. Of a folder that another host
has it looks at the root alone.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from threading import Event, Semaphore
from typing import Any, TypeVar

from identifai_watch.config import Folder
from identifai_watch.core import alarms, health
from identifai_watch.core.alarms import Watch
from identifai_watch.core.health import (
    Condition,
    Health,
    HealthEvent,
    Reached,
    Unheard,
    Unreachable,
    Unwatched,
)
from identifai_watch.core.tally import Took
from identifai_watch.errors import LedgerAwayError
from identifai_watch.folder.opening import FolderError
from identifai_watch.folder.roots import Root, inspect_root
from identifai_watch.folder.rules import Rules
from identifai_watch.folder.scan import Finding, Summary, Unlisted, scan
from identifai_watch.folder.watch import Notice
from identifai_watch.hangs import Hangs
from identifai_watch.ledger import Transaction, intake, shares
from identifai_watch.memory import LedgerMemory
from identifai_watch.sentry import Armed, Mode, Sentry, why_scanned
from identifai_watch.shift import Shift
from identifai_watch.witness import Witness
from identifai_watch.workers import Job, Running

HANDED_ON = 100
"""So many findings are handed to the loop at once, the next ones once it has taken them: a new file waits for no more."""

FIRST_RETRY = timedelta(seconds=1)
LAST_RETRY = timedelta(minutes=5)
PULSE = 5.0
"""Seconds after which a scan that waits for the loop says that it is not the folder that it waits for."""

SCAN_SHARE = 10
"""A scan never takes more than a tenth of the time: the next one waits ten times as long as the last one took."""

WATCHED_SHARE = 200
"""In a large tree whose events are heard it takes half a hundredth: there it only has to prove them right."""

LARGE = 20_000
"""Files from which on a tree is large."""

PROOF = 20
"""So many files that the ledger knows in a share are looked for by a host that never saw it: one of them has to be there."""

FEW_UNLISTED = 3
"""So many directories that cannot be listed are named where the folder is shown; the log names them all."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What the folder's thread found of its root, and what came of arming its watch if it is there."""

    root: Root | None
    trouble: str | None = None
    armed: Armed = field(default_factory=Armed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Where a patrol hands on what it hears and finds; all are called in the loop.

    ``heard`` gets the events, ``found`` what a scan found to differ, ``ended`` the end of a whole scan. ``moved`` is
    told that the root is on another file system than it was, and that this is meant.
    """

    heard: Callable[[Transaction, Notice], None]
    found: Callable[[Transaction, list[Finding]], None]
    ended: Callable[[Transaction, Summary], None]
    moved: Callable[[], None]


class Patrol:
    """The root and the tree of one folder while the daemon runs; the root alone if ``scans`` is False.

    ``until`` is how long this host has a folder that several share, if it is not renewed; None where that is no question.
    ``watched_by`` is the host that has it, where it is another.
    """

    def __init__(
        self, shift: Shift, folder: Folder, rules: Rules, findings: Findings, *, scans: bool = True
    ) -> None:
        self.until: datetime | None = None
        self.watched_by: str | None = None
        self.looked_at: datetime | None = None
        self._scans = scans
        self._shift = shift
        self._folder = folder
        self._rules = rules
        self._findings = findings
        self._folder_id = 0
        self._lane = f"{folder.name}/scan"
        self._log = shift.log.bind(folder=folder.name)
        self.network = False
        self.sentry = Sentry(shift, folder, findings.heard)
        self._condition = Condition(since=shift.clock())
        self.last_scan_at: datetime | None = None
        self._room = Event()
        self._room.set()
        self._parts = Semaphore(1)
        self._closed = Event()
        self._is_scanning = False
        self._wants_rescan = False
        self._lacks_events = False
        self._scan_at = self._scan_began = self._rested_at = shift.clock()
        self._scan_took = self._waited = timedelta(0)
        self._subtrees: list[bytes] = []
        self.unlisted: dict[bytes, str] = {}
        self._unlisted_lately: set[bytes] = set()
        self._retry = FIRST_RETRY
        self._accepts_any = False
        self._filesystem: str | None = None
        self._hangs = Hangs(shift.workers)

    # What the folder's intake asks.

    def open(self, folder_id: int) -> None:
        """Begin with the first tick; ``folder_id`` is the folder's number in the ledger."""
        self._folder_id = folder_id

    def close(self) -> None:
        """End: no thread of this folder begins anything more; none is waited for."""
        self._closed.set()
        self._room.set()
        self.sentry.put_down()

    @property
    def is_closed(self) -> Event:
        """Set once the folder is closed, for its threads to see."""
        return self._closed

    def is_ours(self) -> bool:
        """Tell whether this host may still write into the folder; for any thread.

        A process that stood still, or had no ledger, for as long as its claim holds is not the one that has it any more.
        """
        return self.until is None or self._shift.clock() < self.until

    @property
    def health(self) -> Health:
        """How the folder is."""
        return self._condition.health

    @property
    def reason(self) -> str | None:
        """Why it is so."""
        return self._condition.reason

    @property
    def mode(self) -> Mode:
        """How changes are noticed between scans."""
        return self.sentry.mode

    @property
    def witness(self) -> Witness:
        """What holds the events against the scans."""
        return self.sentry.witness

    def tick(self, *, has_room: bool) -> None:
        """Begin a scan when one is due, and look into directories that events named.

        Without room a scan under way waits, so that memory does not grow with what it finds.
        """
        (self._room.set if has_room else self._room.clear)()
        now = self._shift.clock()
        if self._is_scanning:
            return
        if now >= self._scan_at:
            if self.still_hangs():
                self.out_of_reach(self.reason or "it does not answer")
                return
            self._is_scanning = True
            self._lacks_events = False
            self._scan_began = now
            self._waited = timedelta(0)
            self._plan(self._prepare, self._prepared)
        elif self._subtrees and self.health is not Health.UNAVAILABLE:
            self._is_scanning = True
            self._plan(partial(self._scan, self._subtrees.pop(0)), self._scanned)

    def next_due(self) -> datetime | None:
        """Return when the next scan is due; None while one is under way."""
        return None if self._is_scanning else self._scan_at

    def is_idle(self) -> bool:
        """Tell whether a whole scan was made and none is under way."""
        return self.last_scan_at is not None and not self._is_scanning and not self._subtrees

    def rescan(self) -> None:
        """Have the tree scanned now, or once more if a scan is under way: it may have passed what this is about."""
        self._scan_at = self._shift.clock()
        self._wants_rescan = self._is_scanning

    def make_up(self) -> None:
        """Have the tree scanned once for all the events that were lost, as soon as the last scan has had its rest."""
        self._lacks_events = True
        self._scan_at = min(self._scan_at, max(self._shift.clock(), self._rested_at))

    def storm(self) -> None:
        """Have the tree scanned for what a storm brought, with a new watch armed before that."""
        self.sentry.storm()
        self.make_up()

    def look_into(self, directory: bytes) -> None:
        """Have one directory scanned soon: an event named it, and not what is in it."""
        self.witness.named(directory)
        if directory not in self._subtrees:
            self._subtrees.append(directory)

    def accept_filesystem(self) -> None:
        """Accept what is mounted at the root now, whatever it was before: the operator says so."""
        self._accepts_any = True
        self.rescan()

    def out_of_reach(self, reason: str) -> None:
        """Set the folder aside until its root answers again."""
        if self.health is not Health.UNAVAILABLE:
            self._retry = FIRST_RETRY
        self._become(Unreachable(reason))
        self._scan_at = self._shift.clock() + self._retry
        self._retry = min(LAST_RETRY, self._retry * 2)

    def set_aside(self, reason: str, until: datetime) -> None:
        """Set the folder aside, and look at its root then."""
        self._become(Unreachable(reason))
        self._scan_at = until

    def hangs(self, running: Running, reason: str) -> None:
        """Set the folder aside until a job that hangs on it makes progress or ends: the root alone may well answer."""
        self._hangs.add(running)
        if self.health is not Health.UNAVAILABLE:
            self.out_of_reach(reason)

    def still_hangs(self) -> bool:
        """Tell whether a job that hung on this folder has not moved since."""
        return self._hangs.last()

    def report(self) -> dict[str, Any]:
        """Return what ``status`` shows of this folder."""
        return {
            "name": self._folder.name,
            "path": str(self._folder.path),
            "health": self.health,
            "mode": self.mode,
            "reason": self._remark(),
            "last_scan_at": None if self.last_scan_at is None else self.last_scan_at.isoformat(),
            "scan_seconds": round(self._scan_took.total_seconds(), 3),
            "unheard": self.witness.total,
            "overflows": self.witness.overflows,
            "watched_by": self.watched_by,
        }

    def watch(self) -> Watch:
        """Return what an alarm is made of."""
        return alarms.of_folder(
            self._folder.name,
            self.health,
            self.reason,
            self._condition.since,
            is_looked_at=self._filesystem is not None,
        )

    def _remark(self) -> str | None:
        """Say why the folder is as it is, and which directories of it cannot be looked into: the first few."""
        whose = None if self.watched_by is None else f"node {self.watched_by} watches it"
        remarks = [why for why in (whose, self.reason, self.sentry.remark) if why is not None]
        for path, why in sorted(self.unlisted.items())[:FEW_UNLISTED]:
            remarks.append(f"{os.fsdecode(path) or '.'} cannot be listed: {why}")
        more = len(self.unlisted) - FEW_UNLISTED
        if more > 0:
            remarks.append(f"{more} more directories cannot be listed")
        return "; ".join(remarks) or None

    def _become(self, event: HealthEvent) -> None:
        """Take in what happened to the folder, and say it if that changes how it is or why."""
        before, self._condition = self._condition, health.after(self._condition, event, self._shift.clock())
        now = self._condition
        if (before.health, before.reason) == (now.health, now.reason):
            return
        if now.health is Health.UNAVAILABLE:
            if before.health is not Health.UNAVAILABLE:
                self._log.warning("folder unavailable", reason=now.reason)
            return
        if before.health is Health.UNAVAILABLE:
            self._log.info("folder available again")
        if now.health is Health.DEGRADED:
            self._log.warning("folder degraded", reason=now.reason)
        elif now.reason is not None:
            self._log.info("folder scanned only", reason=now.reason)
        elif before.health is Health.DEGRADED:
            self._log.info("folder watched again")

    # The root.

    def _prepare(self) -> Prepared:
        """Look at the root, and arm the watch where events work; in the folder's thread."""
        try:
            root = inspect_root(self._folder.root)
        except FolderError as error:
            return Prepared(root=None, trouble=str(error))
        if not self._scans:
            return Prepared(root=root, trouble=self._why_stranger())
        distrust = self._condition.distrust(self._shift.clock())
        return Prepared(root=root, armed=self.sentry.arm(root, distrust))

    def _prepared(self, tx: Transaction, found: Prepared) -> None:
        """Take in how the root is, and scan it if it is there."""
        if found.root is not None:
            self.sentry.take(found.armed)
        if self._closed.is_set():
            self.close()
            return
        trouble = found.trouble
        if found.root is not None and trouble is None:
            trouble = self._moved_house(tx, found.root)
        if found.root is None or trouble is not None:
            self._is_scanning = False
            self.out_of_reach(trouble or "its root does not answer")
            return
        if self.still_hangs():
            self._is_scanning = False
            self.out_of_reach(self.reason or "it does not answer")
            return
        self._retry = FIRST_RETRY
        self._filesystem = found.root.identity
        self.network = found.root.network
        self.looked_at = self._shift.clock()
        if not self._scans:
            self._is_scanning = False
            self._scan_at = self.looked_at + self._folder.rescan
            self._become(Reached())
            return
        if found.armed.unwatchable is not None:
            self._become(Unwatched(found.armed.unwatchable))
        else:
            self._become(Reached(why_scanned(self._folder, found.root)))
        self.witness.begin()
        self._unlisted_lately.clear()
        self._plan(partial(self._scan, b""), self._scanned)

    def _moved_house(self, tx: Transaction, root: Root) -> str | None:
        """Return what is wrong if the root is on another file system than it was: an empty mount point, say."""
        host = self._shift.ledger.node
        pinned = intake.pinned(tx, self._folder_id, host)
        accepts, self._accepts_any = self._accepts_any, False
        if pinned == root.identity:
            return None
        if pinned is None or accepts:
            intake.pin(tx, self._folder_id, root.identity, host)
            self._findings.moved()
            return None
        return (
            f"its root was on {pinned} and is now on {root.identity}; mount it again, or accept the change with "
            f"identifai-watch retry --folder {self._folder.name}"
        )

    def _why_stranger(self) -> str | None:
        """Say why the root of a share that this host never saw cannot be it: an empty mount point, say.

        One of the files that are known there has to be seen; where none is known, there is nothing to lose.
        """
        with self._shift.ledger.glances() as tx:
            if self._accepts_any or intake.pinned(tx, self._folder_id, self._shift.ledger.node) is not None:
                return None
            known = shares.lying(tx, self._folder_id, PROOF)
        if not known or any(os.path.lexists(os.path.join(self._folder.root, path)) for path in known):  # noqa: PTH118 - bytes
            return None
        return (
            f"none of the files that other hosts know in it is there, of {len(known)} that were looked for; mount it, "
            f"or accept it as it is with identifai-watch retry --folder {self._folder.name}"
        )

    # The scan.

    def _scan(self, subtree: bytes) -> Summary | None:
        """Scan, handing what differs to the loop part by part; None if it was stopped, or not of the whole.

        What an empty mount point lacks is not gone: on another file system nothing is looked at but the root.
        """
        if not self._lies_where_it_did():
            self._shift.workers.tell(lambda _: self.rescan())
            return None
        with self._shift.ledger.glances() as tx:
            return self._compare(LedgerMemory(tx=tx, folder_id=self._folder_id), subtree)

    def _compare(self, memory: LedgerMemory, subtree: bytes) -> Summary | None:
        found = scan(
            self._folder.root,
            memory,
            self._rules,
            subtree=subtree,
            network=self.network,
            within=self._folder.timestamp_granularity,
            stop=self._is_to_end,
        )
        summary: Summary | None = None
        for part in _parts(found):
            self._wait_for_room()
            if self._closed.is_set():
                return None
            self._shift.workers.tell(partial(self._hand_on, part), stirs=False)
            summary = next((finding for finding in part if isinstance(finding, Summary)), summary)
        return summary if subtree == b"" else None

    def _lies_where_it_did(self) -> bool:
        """Tell whether the root is still on the file system that it was on when it was last looked at."""
        try:
            return inspect_root(self._folder.root).identity == self._filesystem
        except FolderError:
            return False

    def _is_to_end(self) -> bool:
        """Tell a scan under way whether to end; that it asks shows that the tree answers."""
        self._shift.workers.moved(self._lane)
        return self._closed.is_set()

    def _wait_for_room(self) -> None:
        """Wait until the loop can take more in, which is no sign of a tree that hangs, and no work of the scan's."""
        began = self._shift.clock()
        while not self._parts.acquire(timeout=PULSE):
            self._shift.workers.moved(self._lane)
        while not self._room.wait(PULSE):
            self._shift.workers.moved(self._lane)
        self._waited += self._shift.clock() - began

    def _hand_on(self, part: list[Finding], tx: Transaction) -> None:
        self._parts.release()
        for finding in part:
            if isinstance(finding, Unlisted):
                if self.unlisted.get(finding.path) != finding.reason:
                    self._log.warning("directory cannot be listed", path=finding.path, reason=finding.reason)
                self.unlisted[finding.path] = finding.reason
                self._unlisted_lately.add(finding.path)
        self._findings.found(tx, part)

    def _scanned(self, tx: Transaction, summary: Summary | None) -> None:
        """End a scan; the next one waits, the longer the longer this one took."""
        self._is_scanning = False
        if summary is None:
            return
        now = self._shift.clock()
        took = self._scan_took = max(now - self._scan_began - self._waited, timedelta(0))
        self.last_scan_at = now
        self._shift.tally.took(Took.SCAN, self._folder.name, took)
        self._rested_at = now + took * SCAN_SHARE
        self._log.debug("scanned", files=summary.files, seconds=round(took.total_seconds(), 3))
        self.sentry.rest()
        unheard = self.witness.end()
        if unheard:
            self._log.warning("files that no event named", files=unheard)
            self._become(Unheard(unheard))
        self._scan_at = now if self._wants_rescan else self._in_turn(now, summary.files)
        self._wants_rescan = False
        if self.health is Health.UNAVAILABLE:
            self.rescan()  # it hung, and answers again: its root is looked at before anything else
        self.unlisted = {path: why for path, why in self.unlisted.items() if path in self._unlisted_lately}
        self._findings.ended(tx, summary)

    def _in_turn(self, now: datetime, files: int) -> datetime:
        """Return when the next scan is due after one that ended ``now`` and found so many files."""
        if self._lacks_events:
            return self._rested_at
        is_heard = self.mode is Mode.EVENTS and self.health is Health.OK
        share = WATCHED_SHARE if is_heard and files >= LARGE else SCAN_SHARE
        return now + max(self._folder.rescan, self._scan_took * share)

    def _plan(self, work: Callable[[], Result], then: Callable[[Transaction, Result], None]) -> None:
        job = Job(lane=self._lane, label=self._lane, work=work, then=then, failed=self._failed)
        self._shift.workers.plan(job)

    def _failed(self, _tx: Transaction, error: Exception) -> None:
        """Go on after a bug of ours, or without the ledger: the next scan finds what this one did not."""
        self._is_scanning = False
        if isinstance(error, LedgerAwayError):
            self._scan_at = self._shift.clock() + FIRST_RETRY
            return
        self._shift.bug(error)
        self.out_of_reach(f"a bug: {error!r}")


def _parts(chunks: Iterable[list[Finding]]) -> Iterator[list[Finding]]:
    """Give what a scan finds in lists that the loop takes in quickly."""
    for chunk in chunks:
        for start in range(0, len(chunk), HANDED_ON):
            yield chunk[start : start + HANDED_ON]
