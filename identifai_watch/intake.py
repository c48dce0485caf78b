"""One folder's way in: from a name on disk to a row in the ledger.

``Intake`` lives in the loop and decides there; what touches the tree runs in the folder's own threads, so that a
mount that hangs stops nobody else. What it keeps in memory are only candidates: a scan finds them again.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count, islice
from typing import TypeVar

from identifai_watch.brakes import Brake, allowed
from identifai_watch.candidates import Batch, Candidates, Entry, Whole
from identifai_watch.config import Existing, Folder
from identifai_watch.core import media
from identifai_watch.core.health import Health
from identifai_watch.core.model import File, FileState, Fingerprint
from identifai_watch.core.moment import Doing, Motion
from identifai_watch.core.tally import Counted, Took
from identifai_watch.folder.digest import Digest, digest
from identifai_watch.folder.ignores import Ignores
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
from identifai_watch.idle import idle_io
from identifai_watch.ledger import Transaction, admission, archive, intake, whereabouts
from identifai_watch.ledger.admission import Content
from identifai_watch.ledger.intake import LASTING, LEFT_AS_OLD, LEFT_BY_NAME, LEFT_WITHDRAWN
from identifai_watch.ledger.whereabouts import Arrival
from identifai_watch.patrol import Findings, Patrol
from identifai_watch.places import rules_key, rules_of
from identifai_watch.shift import Shift
from identifai_watch.workers import Job

MOST_CANDIDATES = 20_000
"""Files that settle at once, of 1 kB each; a scan that finds more waits, so that memory does not grow with the archive."""

MOST_NOTICED = 30_000
"""As many more when events tell of them, or a scan of an archive would keep them waiting; the scan finds the rest."""

LOOKS_AT_ONCE = 200
LOOKS_AHEAD = 2
"""So many times as many are handed to the folder's thread: what is noticed now waits behind no more than these."""

DIGESTS_AT_ONCE = 2
UNREADABLE_WAIT = timedelta(minutes=1)
IGNORED = 'it was there before the daemon, and existing = "ignore"'

Seen = Look | FolderError | str
Read = Digest | FolderError
Looks = Batch[bytes, tuple[bytes, Seen]]
Digests = Batch[tuple[bytes, Entry], Read]
Result = TypeVar("Result")


class Intake:
    """One folder while the daemon runs. ``scans`` is False for the place of single files that ``judge`` names."""

    def __init__(self, shift: Shift, folder: Folder, *, scans: bool = True) -> None:
        self.folder = folder
        self.folder_id = 0
        self._shift = shift
        self._scans = scans
        self._rules = rules_of(folder)
        self._policy = folder.media_policy(shift.config.limits.by_media())
        self._rules_key = rules_key(folder, self._policy)
        self._log = shift.log.bind(folder=folder.name)
        self.brake = Brake(lambda: folder.read_rate)
        findings = Findings(heard=self._heard, found=self._found, ended=self._archive, moved=self._moved)
        self.patrol = Patrol(shift, folder, self._rules, findings)
        policies = [folder.settle_policy(network=network) for network in (False, True)]
        self._candidates = Candidates(lambda: policies[self.patrol.network])
        self._whole = Whole()
        self._looking: set[int] = set()
        self._digesting: set[int] = set()
        self._digesting_big: set[int] = set()
        self._batches = count()
        self._unlisted: frozenset[bytes] | None = None
        """Directories whose archive is not known yet; None before the first full scan."""

        self._released_at = shift.clock()

    # What the loop asks.

    def open(self, tx: Transaction) -> None:
        """Begin: what was left alone under other rules is looked at anew."""
        known = intake.folder(tx, self._shift.ledger.node, self.folder.name)
        self.folder_id = known.id
        self._unlisted = None if known.archived_at is None else frozenset()
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
            self._take_released(tx, now)
            self._let_go(tx)
            self._look(now)
            self._lay_by(tx)
            self._digest()

    def _lets_news_pass(self) -> bool:
        """Tell whether the scan that holds an archive is to wait: what is looked at or read meanwhile is news, and soon done."""
        is_holding = self.folder.existing is Existing.HOLD and not self._shift.once
        is_passing = bool(self._looking or self._digesting - self._digesting_big)
        return is_holding and is_passing and self._unlisted != frozenset()

    def next_due(self) -> datetime | None:
        """Return when the next candidate or scan is due; an unavailable folder's candidates are not."""
        looks = self.patrol.health is not Health.UNAVAILABLE and len(self._looking) < LOOKS_AHEAD
        dues = (
            self.patrol.next_due() if self._scans else None,
            self._candidates.next_due() if looks else None,
        )
        return min((due for due in dues if due is not None), default=None)

    def is_idle(self) -> bool:
        """Tell whether a whole scan was made and nothing of it is still on its way."""
        return (not self._scans or self.patrol.is_idle()) and not self.settling

    @property
    def settling(self) -> int:
        """How many files are on their way in."""
        return len(self._candidates) + len(self._whole)

    def motions(self, most: int) -> list[Motion]:
        """Return what settles and what is hashed, at most so many of each, for people."""
        settling = islice(self._candidates.items(), most)
        hashing = islice(((path, entry) for path, entry in self._whole.items() if entry.is_digested), most)
        return [self._motion(*one, Doing.SETTLING) for one in settling] + [
            self._motion(*one, Doing.HASHING) for one in hashing
        ]

    def _motion(self, path: bytes, entry: Entry, doing: Doing) -> Motion:
        why = entry.why if doing is Doing.SETTLING else None
        return Motion(folder=self.folder.name, path=path, doing=doing, size=entry.size, why=why)

    @property
    def hashing(self) -> int:
        """How many of those on their way in are whole, and hashed or about to be."""
        return len(self._whole)

    def growing(self, since: datetime) -> list[tuple[bytes, str]]:
        """Return the candidates that were noticed before ``since`` and still wait, with the reason."""
        return self._candidates.growing(since)

    def is_only_growing(self, since: datetime) -> bool:
        """Tell whether all that is left are candidates that have been watched since before ``since``."""
        scanned = not self._scans or self.patrol.is_idle()
        return scanned and not self._whole and len(self.growing(since)) == len(self._candidates)

    def offer(self, tx: Transaction, path: bytes, priority: int) -> None:
        """Take one path first in line, whatever events say: the operator named it."""
        intake.unleave(tx, self.folder_id, [path])
        row = whereabouts.at_place(tx, self.folder_id, path)
        if row is not None and row.held:
            archive.release_one(tx, row.id, priority)
        if row is not None and row.analysis_id is not None:
            archive.hasten(tx, row.analysis_id, priority)
        settling = self._candidates.get(path)
        if settling is not None:
            settling.hasten(priority)
        elif path in self._whole:
            self._whole.hasten(path, priority)
        else:
            self._notice(path, renamed=False, priority=priority)

    # Noticing.

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
                if self.settling >= MOST_NOTICED and not self._is_on_its_way(notice.path):
                    self.patrol.witness.overlooked()
                    self.patrol.make_up()
                else:
                    self._notice(notice.path, renamed=notice.kind is NoticeKind.RENAMED)

    def _is_on_its_way(self, path: bytes) -> bool:
        return path in self._candidates or path in self._whole

    def _notice(
        self,
        path: bytes,
        *,
        renamed: bool,
        backlog: bool = False,
        priority: int | None = None,
        noticed_at: datetime | None = None,
    ) -> None:
        self._whole.drop(path)
        self._candidates.notice(
            path,
            self._shift.clock(),
            renamed=renamed,
            backlog=backlog,
            priority=self.folder.priority if priority is None else priority,
            noticed_at=noticed_at,
        )

    def _notice_again(self, path: bytes, entry: Entry) -> None:
        """Have a file settle anew, in the place that it had."""
        self._notice(
            path,
            renamed=False,
            backlog=entry.backlog,
            priority=entry.priority,
            noticed_at=entry.noticed_at,
        )

    # Looking.

    def _look(self, now: datetime) -> None:
        """Begin looks: what is new before the backlog."""
        label = f"{self.folder.name}/look"
        while len(self._looking) < LOOKS_AHEAD and (paths := self._candidates.due(now, LOOKS_AT_ONCE)):
            looks: Looks = Batch(items=paths)
            number = next(self._batches)
            self._looking.add(number)
            self._plan(
                "look",
                partial(looks.run, partial(self._look_in_thread, label, Ignores(self.folder.root))),
                partial(self._looks_came, number),
                partial(self._looks_failed, number, looks),
                label=label,
                stirs=False,
            )

    def _looks_came(self, number: int, tx: Transaction, looks: Looks) -> None:
        self._looking.discard(number)
        self._looked(tx, looks)

    def _look_in_thread(self, label: str, ignores: Ignores, path: bytes) -> tuple[bytes, Seen]:
        self._shift.workers.moved(label)
        return path, look_at(self.folder.root, path, ignores=ignores, network=self.patrol.network)

    def _looked(self, tx: Transaction, looks: Looks) -> None:
        if self.patrol.is_closed.is_set():
            return  # a reload put others in its place, which look for themselves
        now = self._shift.clock()
        unknown = whereabouts.strange(tx, self.folder_id, looks.items)
        for path, found in looks.found[looks.taken :]:
            if isinstance(found, Look):
                if path not in unknown:
                    self._mind_change(tx, path, found)
                entry = self._candidates.looked(path, found, now)
                if entry is not None and (path in unknown or not self._is_known(tx, path, found.fingerprint)):
                    self._settled(tx, path, entry, found)
            elif path in self._candidates:
                self._unseen(tx, path, found)
            looks.taken += 1

    def _mind_change(self, tx: Transaction, path: bytes, found: Look) -> None:
        """Have nobody believe the verdict of a judged file that looks otherwise at its first look since it was noticed."""
        entry = self._candidates.get(path)
        if entry is not None and entry.look is None:
            self._stir(tx, path, found.fingerprint)

    def _stir(self, tx: Transaction, path: bytes, seen: Fingerprint) -> bool:
        within = self.folder.timestamp_granularity
        is_other = intake.stir(tx, self.folder_id, path, seen, self._shift.step(), within=within)
        if is_other:
            self._log.info("judged file changes", path=path)
        return is_other

    def _looks_failed(self, number: int, looks: Looks, _tx: Transaction, error: Exception) -> None:
        """Go on after a bug of ours with one path: it waits, and the others are looked at again."""
        self._looking.discard(number)
        self._shift.bug(error)
        for position, path in enumerate(looks.items):
            if position == looks.failed_at:
                self._put_off(path, f"a bug: {error!r}")
            elif path in self._candidates:
                self._candidates.put_off(path, self._shift.clock(), "it was just noticed")
            elif path not in self._whole:
                self._notice(path, renamed=False)

    def _put_off(self, path: bytes, why: str) -> None:
        """Look at a path again after a while, for the reason ``why``."""
        if path not in self._candidates:
            self._notice(path, renamed=False)
        self._candidates.put_off(path, self._shift.clock() + UNREADABLE_WAIT, why)
        self._log.warning("file cannot be read", path=path, reason=why)

    def _unseen(self, tx: Transaction, path: bytes, found: FolderError | str) -> None:
        """Take in that a candidate could not be looked at."""
        match found:
            case UnavailableError():
                self.patrol.out_of_reach(str(found))
            case MissingError():
                self._not_there(tx, path)
            case str() | NotRegularError():
                self._leave_released(tx, whereabouts.at_place(tx, self.folder_id, path), str(found))
                self._log.debug("left alone", path=path, reason=str(found))
            case _:
                self._put_off(path, str(found))
                return
        self._candidates.drop(path)

    def _not_there(self, tx: Transaction, path: bytes) -> None:
        """Have the directory of a known file looked into that is not there: only a scan says what is gone."""
        if not self._scans:
            intake.missed(tx, self.folder_id, [path], self._shift.step())
        elif whereabouts.at_place(tx, self.folder_id, path) or intake.left_as(tx, self.folder_id, path):
            self.patrol.look_into(path.rpartition(b"/")[0])

    def _settled(self, tx: Transaction, path: bytes, entry: Entry, found: Look) -> None:
        """Decide what becomes of a whole file, from its name and its first bytes, before it is hashed."""
        name = path.rpartition(b"/")[2]
        step = self._shift.step()
        match media.judge(name, found.sniffed, found.fingerprint.size, self._policy):
            case media.Send():
                if not self._is_laid_by(tx, path, entry):
                    entry.whole_at = step.now
                    self._whole.put(path, entry)
            case media.Reject(reason=reason, media=kind):
                arrival = replace(self._arrival(path, entry, found.fingerprint), media=kind)
                admission.refuse(tx, arrival, reason, self._rules_key, step)
                self._log.info("refused here", path=path, reason=reason)
            case media.Leave(reason=reason):
                intake.leave(tx, self._arrival(path, entry, found.fingerprint), reason, self._rules_key, step)
                self._log.info("left alone", path=path, reason=reason)

    def _is_known(self, tx: Transaction, path: bytes, fingerprint: Fingerprint) -> bool:
        """Tell whether the ledger has this very file already: an event told of nothing new."""
        within = self.folder.timestamp_granularity
        left = intake.left_as(tx, self.folder_id, path)
        if left is not None:
            return left[0] in {self._rules_key, *LASTING} and left[1].is_like(fingerprint, within)
        row = whereabouts.at_place(tx, self.folder_id, path)
        if row is None or not row.fingerprint.is_like(fingerprint, within):
            return False
        if row.held or (row.analysis_id is None and row.refusal is None):
            return False
        intake.seen(tx, self.folder_id, [path], self._shift.step())
        return True

    def _arrival(self, path: bytes, entry: Entry, fingerprint: Fingerprint) -> Arrival:
        return Arrival(
            folder_id=self.folder_id,
            path=path,
            fingerprint=fingerprint,
            noticed_at=entry.noticed_at,
            backlog=entry.backlog,
            priority=entry.priority,
            release_after=None if self._shift.once else self.folder.release_after,
        )

    # Digesting.

    def _digest(self) -> None:
        """Begin digests: hot files first, then the newest; what was there before the daemon comes last.

        One thread is never taken by a big file: small ones do not wait for minutes.
        """
        while len(self._digesting) < DIGESTS_AT_ONCE:
            items = self._whole.batch(big=len(self._digesting_big) < DIGESTS_AT_ONCE - 1)
            if not items:
                return
            digests: Digests = Batch(items=items)
            number = next(self._batches)
            self._digesting.add(number)
            if any(entry.is_big for _, entry in items):
                self._digesting_big.add(number)
            label = f"{self.folder.name}/digest/{number}"
            self._plan(
                "digest",
                partial(digests.run, partial(self._digest_in_thread, label)),
                partial(self._digested, number),
                partial(self._digests_failed, number, digests),
                label=label,
                threads=DIGESTS_AT_ONCE,
            )

    def _digest_in_thread(self, label: str, item: tuple[bytes, Entry]) -> Read:
        """Hash one file; the backlog's is read when nobody else wants the disk."""
        _, entry = item
        with idle_io() if entry.backlog else nullcontext():
            return self._hash(label, item)

    def _hash(self, label: str, item: tuple[bytes, Entry]) -> Read:
        path, entry = item
        self._shift.workers.moved(label)
        if entry.look is None:
            raise LookupError(path)
        try:
            return digest(
                self.folder.root,
                path,
                expected=entry.look.fingerprint,
                network=self.patrol.network,
                within=self.folder.timestamp_granularity,
                progress=lambda _: self._shift.workers.moved(label),
                allowed=partial(self._allowed, label),
                stop=self.patrol.is_closed.is_set,
            )
        except FolderError as error:
            return error

    def _allowed(self, label: str, most: int) -> int:
        """Wait until some of ``most`` bytes of the folder may be read, and return how many; 0 once it is closed."""
        moved = partial(self._shift.workers.moved, label)
        return allowed(most, (self.brake,), ended=self.patrol.is_closed, moved=moved)

    def _digested(self, number: int, tx: Transaction, digests: Digests) -> None:
        self._digest_ended(number)
        if self.patrol.is_closed.is_set():
            return
        whole: list[tuple[Arrival, Content]] = []
        unknown = whereabouts.strange(tx, self.folder_id, [path for path, _ in digests.items])
        for (path, entry), found in zip(digests.items, digests.found, strict=True):
            # What was noticed again meanwhile settles anew.
            if self._whole.is_current(path, entry):
                self._whole.drop(path)
                if isinstance(found, Digest):
                    is_kept = path not in unknown and self._is_withdrawn(tx, path, found)
                    whole += [] if is_kept else self._to_admit(path, entry, found)
                else:
                    self._unread(tx, path, entry, found)
            digests.taken += 1
        self._shift.together(tx, whole, self._admit, self._not_admitted)

    def _digest_ended(self, number: int) -> None:
        self._digesting.discard(number)
        self._digesting_big.discard(number)

    def _digests_failed(self, number: int, digests: Digests, _tx: Transaction, error: Exception) -> None:
        """Go on after a bug of ours with one file: it waits, and the others settle again."""
        self._digest_ended(number)
        self._shift.bug(error)
        for position, (path, entry) in enumerate(digests.items):
            if path not in self._candidates:
                self._notice_again(path, entry)
            if position == digests.failed_at:
                self._put_off(path, f"a bug: {error!r}")

    def _unread(self, tx: Transaction, path: bytes, entry: Entry, found: FolderError) -> None:
        """Take in that a whole file could not be read."""
        match found:
            case UnavailableError():
                self.patrol.out_of_reach(str(found))
            case MissingError():
                self._not_there(tx, path)
            case ChangedError():
                self._notice_again(path, entry)
            case _:
                self._put_off(path, str(found))

    def _is_withdrawn(self, tx: Transaction, path: bytes, found: Digest) -> bool:
        """Tell whether a file was withdrawn while it was read."""
        return intake.left_as(tx, self.folder_id, path) == (LEFT_WITHDRAWN, found.fingerprint)

    def _to_admit(self, path: bytes, entry: Entry, found: Digest) -> list[tuple[Arrival, Content]]:
        """Return what is to be admitted of a file that was read: itself, if it is still of a kind to be sent."""
        name = path.rpartition(b"/")[2]
        judged = media.judge(name, found.sniffed, found.fingerprint.size, self._policy)
        if not isinstance(judged, media.Send):
            self._notice_again(path, entry)
            return []
        if entry.whole_at is not None and not entry.backlog:
            took = self._shift.clock() - entry.whole_at
            self._shift.tally.took(Took.SETTLED_TO_HASHED, judged.media, took)
        content = Content(
            sha256=found.sha256,
            media=judged.media,
            mime=judged.mime,
            options=self.folder.canonical_options(judged.media),
        )
        return [(self._arrival(path, entry, found.fingerprint), content)]

    def _admit(self, tx: Transaction, whole: Sequence[tuple[Arrival, Content]]) -> None:
        for path, row in admission.admit_all(tx, whole, self._shift.step()).items():
            sha256 = None if row.sha256 is None else row.sha256.hex()
            self._log.info("admitted", path=path, sha256=sha256, media=row.media, duplicate=row.duplicate)
            kind = row.media or "none"
            self._shift.tally.count(Counted.ADMITTED, kind, "true" if row.duplicate else "false")

    def _not_admitted(self, _tx: Transaction, one: tuple[Arrival, Content], error: Exception) -> None:
        self._put_off(one[0].path, f"a bug: {error!r}")

    # Outside of the backlog's hours.

    def _lay_by(self, tx: Transaction) -> None:
        """Have what is whole of the backlog wait in the ledger, for as long as its hours are over."""
        if self._shift.is_backlogs_hour():
            return
        for path, entry in self._whole.backlog():
            if self._is_laid_by(tx, path, entry):
                self._whole.drop(path)

    def _is_laid_by(self, tx: Transaction, path: bytes, entry: Entry) -> bool:
        """Have a whole file wait in the ledger if it is of the backlog, and this is not its hour; tell whether it does."""
        if not entry.backlog or entry.look is None or self._shift.is_backlogs_hour():
            return False
        return archive.lay_by(tx, self._arrival(path, entry, entry.look.fingerprint))

    def _let_go(self, tx: Transaction) -> None:
        """Let the files go unchecked that have waited too long; a run that waits for all verdicts lets none go."""
        if self.folder.release_after is None or self._shift.once:
            return
        for file in intake.expire(tx, self.folder_id, self._shift.step()):
            self._log.warning("let go unchecked", path=file.path)

    def _take_released(self, tx: Transaction, now: datetime) -> None:
        """Take files that were released from the backlog, as there is room."""
        room = MOST_CANDIDATES // 2 - self.settling
        if room <= 0 or now < self._released_at or self._shift.least_priority is not None:
            return
        # Outside of its hours the backlog is read and passed over: what is new of what waits comes before it.
        is_open = self._shift.is_backlogs_hour()
        self._released_at = now + timedelta(seconds=1 if is_open else 10)
        for row in archive.to_admit(tx, self.folder_id, room):
            if self._is_on_its_way(row.path) or (row.backlog and not is_open):
                continue
            reason = why_not_file(row.path, self._rules)
            if reason is not None:
                self._leave_released(tx, row, reason)
                continue
            self._notice(
                row.path,
                renamed=False,
                backlog=row.backlog,
                priority=row.priority,
                noticed_at=row.noticed_at,
            )

    def _leave_released(self, tx: Transaction, row: File | None, reason: str) -> None:
        """Leave a file alone that was to be admitted, and that the names' rules of today keep out."""
        if row is None or row.state is not FileState.WAITING or row.sha256 is not None:
            return
        arrival = Arrival(
            folder_id=self.folder_id,
            path=row.path,
            fingerprint=row.fingerprint,
            noticed_at=row.noticed_at,
        )
        intake.leave(tx, arrival, reason, LEFT_BY_NAME, self._shift.step())
        self._log.info("left alone", path=row.path, reason=reason)

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
                case New(path=path) | Changed(path=path) if self._is_on_its_way(path):
                    pass
                case New(path=path) if self._is_of_archive(path):
                    held += self._found_archive(tx, finding)
                case Changed() if self._rests(tx, finding):
                    pass
                case New(path=path):
                    self.patrol.witness.saw(path, finding.fingerprint)
                    self._notice(path, renamed=False)
                case Changed(path=path):
                    if self._stir(tx, path, finding.fingerprint):
                        self.patrol.witness.saw(path, finding.fingerprint)
                    self._notice(path, renamed=False)
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

    def _archived(self, finding: New | Changed) -> Arrival:
        return Arrival(
            folder_id=self.folder_id,
            path=finding.path,
            fingerprint=finding.fingerprint,
            noticed_at=self._shift.clock(),
            media=media.by_name(finding.path.rpartition(b"/")[2]),
            backlog=True,
            priority=self.folder.priority,
        )

    def _found_archive(self, tx: Transaction, finding: New) -> list[Arrival]:
        """Take a file that was there before the daemon, as ``existing`` says; return what is to be held of it."""
        existing = Existing.JUDGE if self._shift.once else self.folder.existing
        arrival = self._archived(finding)
        match existing:
            case Existing.HOLD if arrival.media is not None:
                return [arrival]
            case Existing.JUDGE if not self._shift.is_backlogs_hour() and arrival.media is not None:
                archive.lay_by(tx, arrival)
            case Existing.IGNORE:
                intake.leave(tx, arrival, IGNORED, LEFT_AS_OLD, self._shift.step())
            case _:
                self._notice(finding.path, renamed=False, backlog=True)
        return []

    def _moved(self) -> None:
        """Take what lies on another file system for an archive once more."""
        self._unlisted = None

    def _is_of_archive(self, path: bytes) -> bool:
        """Tell whether what a scan finds at ``path`` was there before the daemon, as far as is known."""
        if not self._unlisted:
            return self._unlisted is None
        return (
            any(path.startswith(above + b"/") for above in self._unlisted if above) or b"" in self._unlisted
        )

    def _archive(self, tx: Transaction, summary: Summary) -> None:
        """End a full scan: a small archive is judged all the same, a large one stays held.

        What is in a directory that could not be listed is of the archive until it could be; elsewhere, what is found
        from now on is news.
        """
        if self._unlisted is not None and not self._unlisted:
            return
        is_first, self._unlisted = self._unlisted is None, frozenset(self.patrol.unlisted)
        is_whole = summary.unlisted == 0
        if not is_first and not is_whole:
            return
        above = self.folder.existing_hold_above
        held = archive.archived(tx, self.folder_id, self._shift.clock(), above, is_whole=is_whole)
        if held:
            self._log.warning("archive held", files=held, remedy="identifai-watch backlog release")

    def _plan(
        self,
        lane: str,
        work: Callable[[], Result],
        then: Callable[[Transaction, Result], None],
        failed: Callable[[Transaction, Exception], None],
        *,
        label: str,
        threads: int = 1,
        stirs: bool = True,
    ) -> None:
        name = f"{self.folder.name}/{lane}"
        job = Job(lane=name, label=label, work=work, then=then, failed=failed, threads=threads, stirs=stirs)
        self._shift.workers.plan(job)


def look_at(root: bytes, path: bytes, *, ignores: Ignores, network: bool) -> Look | FolderError | str:
    """Look at a path; return why it is to be left alone if one of ``ignores`` says so."""
    try:
        rule = ignores.why_not(path)
        return rule if rule is not None else look(root, path, network=network)
    except FolderError as error:
        return error
