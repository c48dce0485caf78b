"""Looks at what settles: what a file is by its name and first bytes, and whether it is whole, before it is hashed.

The looks run in the folder's own thread; what becomes of a file is decided in the loop.
"""

from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import count

from identifai_watch.arrivals import Arrivals
from identifai_watch.backlog import Backlog
from identifai_watch.candidates import Batch, Entry
from identifai_watch.config import Folder
from identifai_watch.core import media
from identifai_watch.core.model import Fingerprint
from identifai_watch.folder.ignores import Ignores
from identifai_watch.folder.look import Look, look
from identifai_watch.folder.opening import FolderError, MissingError, NotRegularError, UnavailableError
from identifai_watch.ledger import Transaction, admission, intake, whereabouts
from identifai_watch.ledger.intake import LASTING
from identifai_watch.patrol import Patrol
from identifai_watch.shift import Shift
from identifai_watch.workers import Job

LOOKS_AT_ONCE = 200
LOOKS_AHEAD = 2
"""So many times as many are handed to the folder's thread: what is noticed now waits behind no more than these."""

Seen = Look | FolderError | str
Looked = Batch[bytes, tuple[bytes, Seen]]


class Looks:
    """The looks at one folder's candidates; ``rules_key`` is what they are decided under."""

    def __init__(
        self,
        shift: Shift,
        folder: Folder,
        patrol: Patrol,
        arrivals: Arrivals,
        backlog: Backlog,
        policy: media.Policy,
        rules_key: str,
    ) -> None:
        self._shift = shift
        self._folder = folder
        self._patrol = patrol
        self._arrivals = arrivals
        self._backlog = backlog
        self._policy = policy
        self._rules_key = rules_key
        self._log = shift.log.bind(folder=folder.name)
        self._looking: set[int] = set()
        self._batches = count()

    @property
    def is_looking(self) -> bool:
        """Whether any look is under way."""
        return bool(self._looking)

    @property
    def has_room(self) -> bool:
        """Whether more looks may begin now."""
        return len(self._looking) < LOOKS_AHEAD

    def begin(self, now: datetime) -> None:
        """Begin looks: what is new before the backlog."""
        label = f"{self._folder.name}/look"
        while self.has_room and (paths := self._arrivals.candidates.due(now, LOOKS_AT_ONCE)):
            looks: Looked = Batch(items=paths)
            number = next(self._batches)
            self._looking.add(number)
            self._shift.workers.plan(
                Job(
                    lane=f"{self._folder.name}/look",
                    work=partial(looks.run, partial(self._look_in_thread, label, Ignores(self._folder.root))),
                    then=partial(self._looks_came, number),
                    failed=partial(self._looks_failed, number, looks),
                    label=label,
                    stirs=False,
                )
            )

    def _looks_came(self, number: int, tx: Transaction, looks: Looked) -> None:
        self._looking.discard(number)
        self._looked(tx, looks)

    def _look_in_thread(self, label: str, ignores: Ignores, path: bytes) -> tuple[bytes, Seen]:
        self._shift.workers.moved(label)
        return path, look_at(self._folder.root, path, ignores=ignores, network=self._patrol.network)

    def _looked(self, tx: Transaction, looks: Looked) -> None:
        if self._patrol.is_closed.is_set():
            return  # a reload put others in its place, which look for themselves
        now = self._shift.clock()
        unknown = whereabouts.strange(tx, self._arrivals.folder_id, looks.items)
        for path, found in looks.found[looks.taken :]:
            if isinstance(found, Look):
                if path not in unknown:
                    self._mind_change(tx, path, found)
                entry = self._arrivals.candidates.looked(path, found, now)
                if entry is not None and (path in unknown or not self._is_known(tx, path, found.fingerprint)):
                    self._settled(tx, path, entry, found)
            elif path in self._arrivals.candidates:
                self._unseen(tx, path, found)
            looks.taken += 1

    def _mind_change(self, tx: Transaction, path: bytes, found: Look) -> None:
        """Have nobody believe the verdict of a judged file that looks otherwise at its first look since it was noticed."""
        entry = self._arrivals.candidates.get(path)
        if entry is not None and entry.look is None:
            self._arrivals.stir(tx, path, found.fingerprint)

    def _looks_failed(self, number: int, looks: Looked, _tx: Transaction, error: Exception) -> None:
        """Go on after a bug of ours with one path: it waits, and the others are looked at again."""
        self._looking.discard(number)
        self._shift.bug(error)
        for position, path in enumerate(looks.items):
            if position == looks.failed_at:
                self._arrivals.put_off(path, f"a bug: {error!r}")
            elif path in self._arrivals.candidates:
                self._arrivals.candidates.put_off(path, self._shift.clock(), "it was just noticed")
            elif path not in self._arrivals.whole:
                self._arrivals.notice(path, renamed=False)

    def _unseen(self, tx: Transaction, path: bytes, found: FolderError | str) -> None:
        """Take in that a candidate could not be looked at."""
        match found:
            case UnavailableError():
                self._patrol.out_of_reach(str(found))
            case MissingError():
                self._arrivals.not_there(tx, path)
            case str() | NotRegularError():
                self._backlog.leave_released(
                    tx, whereabouts.at_place(tx, self._arrivals.folder_id, path), str(found)
                )
                self._log.debug("left alone", path=path, reason=str(found))
            case _:
                self._arrivals.put_off(path, str(found))
                return
        self._arrivals.candidates.drop(path)

    def _settled(self, tx: Transaction, path: bytes, entry: Entry, found: Look) -> None:
        """Decide what becomes of a whole file, from its name and its first bytes, before it is hashed."""
        name = path.rpartition(b"/")[2]
        step = self._shift.step()
        match media.judge(name, found.sniffed, found.fingerprint.size, self._policy):
            case media.Send():
                if not self._backlog.is_laid_by(tx, path, entry):
                    entry.whole_at = step.now
                    self._arrivals.whole.put(path, entry)
            case media.Reject(reason=reason, media=kind):
                arrival = replace(self._arrivals.arrival(path, entry, found.fingerprint), media=kind)
                admission.refuse(tx, arrival, reason, self._rules_key, step)
                self._log.info("refused here", path=path, reason=reason)
            case media.Leave(reason=reason):
                intake.leave(
                    tx, self._arrivals.arrival(path, entry, found.fingerprint), reason, self._rules_key, step
                )
                self._log.info("left alone", path=path, reason=reason)

    def _is_known(self, tx: Transaction, path: bytes, fingerprint: Fingerprint) -> bool:
        """Tell whether the ledger has this very file already: an event told of nothing new."""
        within = self._folder.timestamp_granularity
        left = intake.left_as(tx, self._arrivals.folder_id, path)
        if left is not None:
            return left[0] in {self._rules_key, *LASTING} and left[1].is_like(fingerprint, within)
        row = whereabouts.at_place(tx, self._arrivals.folder_id, path)
        if row is None or not row.fingerprint.is_like(fingerprint, within):
            return False
        if row.held or (row.analysis_id is None and row.refusal is None):
            return False
        intake.seen(tx, self._arrivals.folder_id, [path], self._shift.step())
        return True


def look_at(root: bytes, path: bytes, *, ignores: Ignores, network: bool) -> Look | FolderError | str:
    """Look at a path; return why it is to be left alone if one of ``ignores`` says so."""
    try:
        rule = ignores.why_not(path)
        return rule if rule is not None else look(root, path, network=network)
    except FolderError as error:
        return error
