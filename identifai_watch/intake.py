"""One folder's way in: from a name on disk to a row in the ledger.

``Intake`` lives in the loop and decides there what comes of events, scans and orders; what touches the tree runs in
the folder's own threads, so that a mount that hangs stops nobody else. On its way a file is one of the ``arrivals``:
``looks`` see it settle, ``hashing`` reads it. What was there before the daemon is the ``backlog``'s matter.
"""

from collections.abc import Mapping
from datetime import datetime

from identifai_watch.arrivals import MOST_CANDIDATES, Arrivals
from identifai_watch.backlog import Backlog
from identifai_watch.brakes import Brake
from identifai_watch.config import Existing, Folder
from identifai_watch.core.health import Health
from identifai_watch.core.moment import Motion
from identifai_watch.folder.rules import why_not_file
from identifai_watch.folder.scan import Back, Changed, Finding, Missing, New, Summary, Unlisted
from identifai_watch.folder.watch import Notice, NoticeKind
from identifai_watch.hashing import Hashing
from identifai_watch.ledger import Transaction, archive, intake, queue, whereabouts
from identifai_watch.ledger.intake import LASTING, LEFT_AS_OLD, LEFT_WITHDRAWN
from identifai_watch.ledger.whereabouts import Arrival
from identifai_watch.looks import Looks
from identifai_watch.patrol import Findings, Patrol
from identifai_watch.places import rules_key, rules_of
from identifai_watch.shift import Shift

MOST_NOTICED = 30_000
"""As many more when events tell of them, or a scan of an archive would keep them waiting; the scan finds the rest."""


def reach(intakes: Mapping[int, "Intake"]) -> dict[int, str]:
    """Return the numbers of the folders, each with whose its files are in the queue of uploads."""
    return {number: one.whose for number, one in intakes.items()}


class Intake:
    """One folder while the daemon runs. ``scans`` is False for the place of single files that ``judge`` names."""

    def __init__(self, shift: Shift, folder: Folder, *, scans: bool = True) -> None:
        self.folder = folder
        self.folder_id = 0
        self._shift = shift
        self._scans = scans
        self._rules = rules_of(folder)
        policy = folder.media_policy(shift.config.limits.by_media())
        self._rules_key = rules_key(folder, policy)
        self._log = shift.log.bind(folder=folder.name)
        self.brake = Brake(lambda: folder.read_rate)
        findings = Findings(heard=self._heard, found=self._found, ended=self._ended, moved=self._moved)
        self.patrol = patrol = Patrol(shift, folder, self._rules, findings)
        self._arrivals = arrivals = Arrivals(shift, folder, patrol, scans=scans)
        self._backlog = backlog = Backlog(shift, folder, self._rules, arrivals)
        self._looks = Looks(shift, folder, patrol, arrivals, backlog, policy, self._rules_key)
        self._hashing = Hashing(shift, folder, patrol, arrivals, policy, self.brake)

    # What the loop asks.

    @property
    def whose(self) -> str:
        """Whose its files are in the queue of uploads."""
        return queue.whose(self.folder.node_of(self._shift.ledger.node), self.folder_id)

    def open(self, tx: Transaction) -> None:
        """Begin: what was left alone under other rules is looked at anew."""
        known = intake.folder(tx, self.folder.node_of(self._shift.ledger.node), self.folder.name)
        self.folder_id = self._arrivals.folder_id = known.id
        self._backlog.open(is_known=known.archived_at is not None)
        self.patrol.open(known.id)
        kept = {self._rules_key, LEFT_WITHDRAWN}
        if self.folder.existing is not Existing.JUDGE:
            kept.add(LEFT_AS_OLD)
        anew = intake.forget_left(tx, known.id, *kept) + intake.reconsider(tx, known.id, self._rules_key)
        if anew:
            self._log.info("rules changed", looked_at_anew=anew)

    def close(self) -> None:
        """End: no thread of this folder begins anything more; none is waited for."""
        self.patrol.close()

    def tick(self, tx: Transaction) -> None:
        """Begin what is due: a scan, looks at candidates, digests of whole files."""
        now = self._shift.clock()
        if self._scans:
            self.patrol.tick(has_room=self.settling < MOST_CANDIDATES and not self._lets_news_pass())
        if self.patrol.health is not Health.UNAVAILABLE:
            self._backlog.take_released(tx, now)
            self._let_go(tx)
            self._looks.begin(now)
            self._backlog.lay_by(tx)
            self._hashing.begin()

    def _lets_news_pass(self) -> bool:
        """Tell whether the scan that holds an archive is to wait: what is looked at or read meanwhile is news, and soon done."""
        is_holding = self.folder.existing is Existing.HOLD and not self._shift.once
        is_passing = self._looks.is_looking or self._hashing.is_reading_small
        return is_holding and is_passing and not self._backlog.is_known

    def next_due(self) -> datetime | None:
        """Return when the next candidate or scan is due; an unavailable folder's candidates are not."""
        looks = self.patrol.health is not Health.UNAVAILABLE and self._looks.has_room
        dues = (
            self.patrol.next_due() if self._scans else None,
            self._arrivals.candidates.next_due() if looks else None,
        )
        return min((due for due in dues if due is not None), default=None)

    def is_idle(self) -> bool:
        """Tell whether a whole scan was made and nothing of it is still on its way."""
        return (not self._scans or self.patrol.is_idle()) and not self.settling

    @property
    def settling(self) -> int:
        """How many files are on their way in."""
        return len(self._arrivals)

    def motions(self, most: int) -> list[Motion]:
        """Return what settles and what is hashed, at most so many of each, for people."""
        return self._arrivals.motions(most)

    @property
    def hashing(self) -> int:
        """How many of those on their way in are whole, and hashed or about to be."""
        return len(self._arrivals.whole)

    def growing(self, since: datetime) -> list[tuple[bytes, str]]:
        """Return the candidates that were noticed before ``since`` and still wait, with the reason."""
        return self._arrivals.candidates.growing(since)

    def is_only_growing(self, since: datetime) -> bool:
        """Tell whether all that is left are candidates that have been watched since before ``since``."""
        scanned = not self._scans or self.patrol.is_idle()
        return (
            scanned
            and not self._arrivals.whole
            and len(self.growing(since)) == len(self._arrivals.candidates)
        )

    def offer(self, tx: Transaction, path: bytes, priority: int) -> None:
        """Take one path first in line, whatever events say: the operator named it."""
        intake.unleave(tx, self.folder_id, [path])
        row = whereabouts.at_place(tx, self.folder_id, path)
        if row is not None and row.held:
            archive.release_one(tx, row.id, priority)
        if row is not None and row.analysis_id is not None:
            archive.hasten(tx, row.analysis_id, priority)
        self._arrivals.hasten(path, priority)

    def _let_go(self, tx: Transaction) -> None:
        """Let the files go unchecked that have waited too long; a run that waits for all verdicts lets none go."""
        if self.folder.release_after is None or self._shift.once:
            return
        for file in intake.expire(tx, self.folder_id, self._shift.step()):
            self._log.warning("let go unchecked", path=file.path)

    # What events tell.

    def _heard(self, _tx: Transaction, notice: Notice) -> None:
        """Take in an event: a hint, never the truth."""
        match notice.kind:
            case NoticeKind.OVERFLOW:
                self._log.warning("events lost, scanning")
                self.patrol.witness.overflowed()
                self.patrol.make_up()
            case NoticeKind.STORM:
                self.patrol.storm()
            case NoticeKind.DIRECTORY:
                self.patrol.look_into(notice.path)
            case NoticeKind.FILE | NoticeKind.RENAMED:
                if why_not_file(notice.path, self._rules) is not None:
                    return
                if self.settling >= MOST_NOTICED and notice.path not in self._arrivals:
                    self.patrol.witness.overlooked()
                    self.patrol.make_up()
                else:
                    self._arrivals.notice(notice.path, renamed=notice.kind is NoticeKind.RENAMED)

    # What scans find.

    def _found(self, tx: Transaction, chunk: list[Finding]) -> None:
        """Take in what a scan found to differ from the ledger."""
        if self.patrol.is_closed.is_set():
            return
        step = self._shift.step()
        missing: list[bytes] = []
        held: list[Arrival] = []
        for finding in chunk:
            match finding:
                case New(path=path) | Changed(path=path) if path in self._arrivals:
                    pass
                case New(path=path) if self._backlog.has(path):
                    held += self._backlog.found(tx, finding)
                case Changed() if self._rests(tx, finding):
                    pass
                case New(path=path):
                    self.patrol.witness.saw(path, finding.fingerprint)
                    self._arrivals.notice(path, renamed=False)
                case Changed(path=path):
                    if self._arrivals.stir(tx, path, finding.fingerprint):
                        self.patrol.witness.saw(path, finding.fingerprint)
                    self._arrivals.notice(path, renamed=False)
                case Back(path=path):
                    intake.seen(tx, self.folder_id, [path], step)
                case Missing(path=path):
                    missing.append(path)
                case Unlisted() | Summary():
                    pass
        archive.hold(tx, held)
        gone = intake.missed(tx, self.folder_id, missing, step)
        if gone:
            self._log.info("files gone", files=gone)

    def _rests(self, tx: Transaction, finding: Changed) -> bool:
        """Let a file of the archive rest whose mode or inode is another now: that is no news to be paid for."""
        row = whereabouts.at_place(tx, self.folder_id, finding.path)
        seen = finding.fingerprint
        if row is None:
            return self._stays_left(tx, finding)
        if not whereabouts.rests(row):
            return False
        if not seen.is_as_written(row.fingerprint, self.folder.timestamp_granularity):
            return False
        whereabouts.touch(tx, row.id, seen)
        intake.seen(tx, self.folder_id, [finding.path], self._shift.step())
        return True

    def _stays_left(self, tx: Transaction, finding: Changed) -> bool:
        """Go on leaving a file alone that is of the archive, or withdrawn, and whose mode or inode is another now."""
        left = intake.left_as(tx, self.folder_id, finding.path)
        if left is None or left[0] not in LASTING:
            return False
        if not finding.fingerprint.is_as_written(left[1], self.folder.timestamp_granularity):
            return False
        intake.touch_left(tx, self.folder_id, finding.path, finding.fingerprint)
        return True

    def _ended(self, tx: Transaction, summary: Summary) -> None:
        """Take in the end of a full scan; of one whose folder was closed meanwhile not all was taken in."""
        if self.patrol.is_closed.is_set():
            return
        self._backlog.ended(tx, summary, self.patrol.unlisted)

    def _moved(self) -> None:
        """Take in that the root lies on another file system now."""
        self._backlog.moved()
