"""What was there before the daemon: held, or judged after what is new, as its hours and the room allow.

What lies in a directory that no scan could list yet is part of it; see ``ledger.archive`` for what is kept.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from identifai_watch.arrivals import MOST_CANDIDATES, Arrivals
from identifai_watch.candidates import Entry
from identifai_watch.config import Existing, Folder
from identifai_watch.core import media
from identifai_watch.core.model import File, FileState
from identifai_watch.folder.rules import Rules, why_not_file
from identifai_watch.folder.scan import Changed, New, Summary
from identifai_watch.ledger import Transaction, archive, intake
from identifai_watch.ledger.intake import LEFT_AS_OLD, LEFT_BY_NAME
from identifai_watch.ledger.whereabouts import Arrival
from identifai_watch.shift import Shift

IGNORED = 'it was there before the daemon, and existing = "ignore"'


class Backlog:
    """The archive of one folder while the daemon runs."""

    def __init__(self, shift: Shift, folder: Folder, rules: Rules, arrivals: Arrivals) -> None:
        self._shift = shift
        self._folder = folder
        self._rules = rules
        self._arrivals = arrivals
        self._log = shift.log.bind(folder=folder.name)
        self._unlisted: frozenset[bytes] | None = None
        """Directories whose archive is not known yet; None before the first full scan."""

        self._released_at = shift.clock()

    def open(self, *, is_known: bool) -> None:
        """Begin: what was there before is known already, or is what the first full scan finds."""
        self._unlisted = frozenset() if is_known else None

    @property
    def is_known(self) -> bool:
        """Whether all that was there before has been seen, so that whatever is found is news."""
        return self._unlisted == frozenset()

    def moved(self) -> None:
        """Take what lies on another file system for an archive once more."""
        self._unlisted = None

    def has(self, path: bytes) -> bool:
        """Tell whether what a scan finds at ``path`` was there before the daemon, as far as is known."""
        if not self._unlisted:
            return self._unlisted is None
        return (
            any(path.startswith(above + b"/") for above in self._unlisted if above) or b"" in self._unlisted
        )

    def found(self, tx: Transaction, finding: New) -> list[Arrival]:
        """Take a file that was there before the daemon, as ``existing`` says; return what is to be held of it."""
        existing = Existing.JUDGE if self._shift.once else self._folder.existing
        arrival = self._arrival(finding)
        match existing:
            case Existing.HOLD if arrival.media is not None:
                return [arrival]
            case Existing.JUDGE if not self._shift.is_backlogs_hour() and arrival.media is not None:
                archive.lay_by(tx, arrival)
            case Existing.IGNORE:
                intake.leave(tx, arrival, IGNORED, LEFT_AS_OLD, self._shift.step())
            case _:
                self._arrivals.notice(finding.path, renamed=False, backlog=True)
        return []

    def _arrival(self, finding: New | Changed) -> Arrival:
        return Arrival(
            folder_id=self._arrivals.folder_id,
            path=finding.path,
            fingerprint=finding.fingerprint,
            noticed_at=self._shift.clock(),
            media=media.by_name(finding.path.rpartition(b"/")[2]),
            backlog=True,
            priority=self._folder.priority,
        )

    def ended(self, tx: Transaction, summary: Summary, unlisted: Iterable[bytes]) -> None:
        """End a full scan: a small archive is judged all the same, a large one stays held.

        What is in a directory that could not be listed is of the archive until it could be; elsewhere, what is found
        from now on is news.
        """
        if self._unlisted is not None and not self._unlisted:
            return
        is_first, self._unlisted = self._unlisted is None, frozenset(unlisted)
        is_whole = summary.unlisted == 0
        if not is_first and not is_whole:
            return
        above = self._folder.existing_hold_above
        held = archive.archived(tx, self._arrivals.folder_id, self._shift.clock(), above, is_whole=is_whole)
        if held:
            self._log.warning("archive held", files=held, remedy="identifai-watch backlog release")

    def lay_by(self, tx: Transaction) -> None:
        """Have what is whole of the backlog wait in the ledger, for as long as its hours are over."""
        if self._shift.is_backlogs_hour():
            return
        for path, entry in self._arrivals.whole.backlog():
            if self.is_laid_by(tx, path, entry):
                self._arrivals.whole.drop(path)

    def is_laid_by(self, tx: Transaction, path: bytes, entry: Entry) -> bool:
        """Have a whole file wait in the ledger if it is of the backlog, and this is not its hour; tell whether it does."""
        if not entry.backlog or entry.look is None or self._shift.is_backlogs_hour():
            return False
        return archive.lay_by(tx, self._arrivals.arrival(path, entry, entry.look.fingerprint))

    def take_released(self, tx: Transaction, now: datetime) -> None:
        """Take files that were released from the backlog, as there is room."""
        room = MOST_CANDIDATES // 2 - len(self._arrivals)
        if room <= 0 or now < self._released_at or self._shift.least_priority is not None:
            return
        # Outside of its hours the backlog is read and passed over: what is new of what waits comes before it.
        is_open = self._shift.is_backlogs_hour()
        self._released_at = now + timedelta(seconds=1 if is_open else 10)
        for row in archive.to_admit(tx, self._arrivals.folder_id, room):
            if row.path in self._arrivals or (row.backlog and not is_open):
                continue
            reason = why_not_file(row.path, self._rules)
            if reason is not None:
                self.leave_released(tx, row, reason)
                continue
            self._arrivals.notice(
                row.path,
                renamed=False,
                backlog=row.backlog,
                priority=row.priority,
                noticed_at=row.noticed_at,
            )

    def leave_released(self, tx: Transaction, row: File | None, reason: str) -> None:
        """Leave a file alone that was to be admitted, and that the names' rules of today keep out."""
        if row is None or row.state is not FileState.WAITING or row.sha256 is not None:
            return
        arrival = Arrival(
            folder_id=self._arrivals.folder_id,
            path=row.path,
            fingerprint=row.fingerprint,
            noticed_at=row.noticed_at,
        )
        intake.leave(tx, arrival, reason, LEFT_BY_NAME, self._shift.step())
        self._log.info("left alone", path=row.path, reason=reason)
