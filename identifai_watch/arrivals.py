"""The files of one folder on their way in: what settles, what is whole, and how each is noticed, or put off.

What it keeps in memory are only candidates: a scan finds them again.
"""

from datetime import datetime, timedelta
from itertools import islice

from identifai_watch.candidates import Candidates, Entry, Whole
from identifai_watch.config import Folder
from identifai_watch.core.model import Fingerprint
from identifai_watch.core.moment import Doing, Motion
from identifai_watch.ledger import Transaction, intake, whereabouts
from identifai_watch.ledger.whereabouts import Arrival
from identifai_watch.patrol import Patrol
from identifai_watch.shift import Shift

MOST_CANDIDATES = 20_000
"""Files that settle at once, of 1 kB each; a scan that finds more waits, so that memory does not grow with the archive."""

UNREADABLE_WAIT = timedelta(minutes=1)


class Arrivals:
    """What of one folder is on its way in. ``scans`` is False where only named files are looked at."""

    def __init__(self, shift: Shift, folder: Folder, patrol: Patrol, *, scans: bool) -> None:
        self.folder_id = 0
        self._shift = shift
        self._folder = folder
        self._patrol = patrol
        self._scans = scans
        self._log = shift.log.bind(folder=folder.name)
        policies = [folder.settle_policy(network=network) for network in (False, True)]
        self.candidates = Candidates(lambda: policies[patrol.network])
        self.whole = Whole()

    def __len__(self) -> int:
        return len(self.candidates) + len(self.whole)

    def __contains__(self, path: bytes) -> bool:
        return path in self.candidates or path in self.whole

    def notice(
        self,
        path: bytes,
        *,
        renamed: bool,
        backlog: bool = False,
        priority: int | None = None,
        noticed_at: datetime | None = None,
    ) -> None:
        """Have a path settle, for the first time or again; ``noticed_at`` is its place in the order, if that is not now."""
        self.whole.drop(path)
        self.candidates.notice(
            path,
            self._shift.clock(),
            renamed=renamed,
            backlog=backlog,
            priority=self._folder.priority if priority is None else priority,
            noticed_at=noticed_at,
        )

    def notice_again(self, path: bytes, entry: Entry) -> None:
        """Have a file settle anew, in the place that it had."""
        self.notice(
            path,
            renamed=False,
            backlog=entry.backlog,
            priority=entry.priority,
            noticed_at=entry.noticed_at,
        )

    def hasten(self, path: bytes, priority: int) -> None:
        """Have a path go first in line, whether it is on its way or not."""
        settling = self.candidates.get(path)
        if settling is not None:
            settling.hasten(priority)
        elif path in self.whole:
            self.whole.hasten(path, priority)
        else:
            self.notice(path, renamed=False, priority=priority)

    def put_off(self, path: bytes, why: str) -> None:
        """Look at a path again after a while, for the reason ``why``."""
        if path not in self.candidates:
            self.notice(path, renamed=False)
        self.candidates.put_off(path, self._shift.clock() + UNREADABLE_WAIT, why)
        self._log.warning("file cannot be read", path=path, reason=why)

    def stir(self, tx: Transaction, path: bytes, seen: Fingerprint) -> bool:
        """Have nobody believe the verdict of a judged file that is seen to be another now; tell whether it is."""
        within = self._folder.timestamp_granularity
        is_other = intake.stir(tx, self.folder_id, path, seen, self._shift.step(), within=within)
        if is_other:
            self._log.info("judged file changes", path=path)
        return is_other

    def not_there(self, tx: Transaction, path: bytes) -> None:
        """Have the directory of a known file looked into that is not there: only a scan says what is gone."""
        if not self._scans:
            intake.missed(tx, self.folder_id, [path], self._shift.step())
        elif whereabouts.at_place(tx, self.folder_id, path) or intake.left_as(tx, self.folder_id, path):
            self._patrol.look_into(path.rpartition(b"/")[0])

    def arrival(self, path: bytes, entry: Entry, fingerprint: Fingerprint) -> Arrival:
        """Return a file that is whole as the ledger takes it."""
        return Arrival(
            folder_id=self.folder_id,
            path=path,
            fingerprint=fingerprint,
            noticed_at=entry.noticed_at,
            backlog=entry.backlog,
            priority=entry.priority,
            release_after=None if self._shift.once else self._folder.release_after,
        )

    def motions(self, most: int) -> list[Motion]:
        """Return what settles and what is hashed, at most so many of each, for people."""
        settling = islice(self.candidates.items(), most)
        hashing = islice(((path, entry) for path, entry in self.whole.items() if entry.is_digested), most)
        return [self._motion(*one, Doing.SETTLING) for one in settling] + [
            self._motion(*one, Doing.HASHING) for one in hashing
        ]

    def _motion(self, path: bytes, entry: Entry, doing: Doing) -> Motion:
        why = entry.why if doing is Doing.SETTLING else None
        return Motion(folder=self._folder.name, path=path, doing=doing, size=entry.size, why=why)
