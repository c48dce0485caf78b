"""Reading and hashing whole files, and their admission to the ledger.

Each is read once, in a thread of the folder's own; small ones go many at a time, and wait for no big one.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from itertools import count

from identifai_watch.arrivals import Arrivals
from identifai_watch.brakes import Brake, allowed
from identifai_watch.candidates import Batch, Entry
from identifai_watch.config import Folder
from identifai_watch.core import media
from identifai_watch.core.tally import Counted, Took
from identifai_watch.folder.digest import Digest, digest
from identifai_watch.folder.opening import ChangedError, FolderError, MissingError, UnavailableError
from identifai_watch.idle import idle_io
from identifai_watch.ledger import Transaction, admission, intake, whereabouts
from identifai_watch.ledger.admission import Content
from identifai_watch.ledger.intake import LEFT_WITHDRAWN
from identifai_watch.ledger.whereabouts import Arrival
from identifai_watch.patrol import Patrol
from identifai_watch.shift import Shift
from identifai_watch.workers import Job

DIGESTS_AT_ONCE = 2

Read = Digest | FolderError
Digests = Batch[tuple[bytes, Entry], Read]


class Hashing:
    """What is read of one folder's whole files; ``policy`` says which kinds are sent."""

    def __init__(
        self,
        shift: Shift,
        folder: Folder,
        patrol: Patrol,
        arrivals: Arrivals,
        policy: media.Policy,
        brake: Brake,
    ) -> None:
        self._shift = shift
        self._folder = folder
        self._patrol = patrol
        self._arrivals = arrivals
        self._policy = policy
        self._brake = brake
        self._log = shift.log.bind(folder=folder.name)
        self._digesting: set[int] = set()
        self._digesting_big: set[int] = set()
        self._batches = count()

    @property
    def is_reading_small(self) -> bool:
        """Whether small files are being read, which will soon be done."""
        return bool(self._digesting - self._digesting_big)

    def begin(self) -> None:
        """Begin digests: hot files first, then the newest; what was there before the daemon comes last.

        One thread is never taken by a big file: small ones do not wait for minutes.
        """
        while len(self._digesting) < DIGESTS_AT_ONCE:
            items = self._arrivals.whole.batch(big=len(self._digesting_big) < DIGESTS_AT_ONCE - 1)
            if not items:
                return
            digests: Digests = Batch(items=items)
            number = next(self._batches)
            self._digesting.add(number)
            if any(entry.is_big for _, entry in items):
                self._digesting_big.add(number)
            label = f"{self._folder.name}/digest/{number}"
            self._shift.workers.plan(
                Job(
                    lane=f"{self._folder.name}/digest",
                    work=partial(digests.run, partial(self._digest_in_thread, label)),
                    then=partial(self._digested, number),
                    failed=partial(self._digests_failed, number, digests),
                    label=label,
                    threads=DIGESTS_AT_ONCE,
                )
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
                self._folder.root,
                path,
                expected=entry.look.fingerprint,
                network=self._patrol.network,
                within=self._folder.timestamp_granularity,
                progress=lambda _: self._shift.workers.moved(label),
                allowed=partial(self._allowed, label),
                stop=self._patrol.is_closed.is_set,
            )
        except FolderError as error:
            return error

    def _allowed(self, label: str, most: int) -> int:
        """Wait until some of ``most`` bytes of the folder may be read, and return how many; 0 once it is closed."""
        moved = partial(self._shift.workers.moved, label)
        return allowed(most, (self._brake,), ended=self._patrol.is_closed, moved=moved)

    def _digested(self, number: int, tx: Transaction, digests: Digests) -> None:
        self._digest_ended(number)
        if self._patrol.is_closed.is_set():
            return
        whole: list[tuple[Arrival, Content]] = []
        unknown = whereabouts.strange(tx, self._arrivals.folder_id, [path for path, _ in digests.items])
        for (path, entry), found in zip(digests.items, digests.found, strict=True):
            # What was noticed again meanwhile settles anew.
            if self._arrivals.whole.is_current(path, entry):
                self._arrivals.whole.drop(path)
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
            if path not in self._arrivals.candidates:
                self._arrivals.notice_again(path, entry)
            if position == digests.failed_at:
                self._arrivals.put_off(path, f"a bug: {error!r}")

    def _unread(self, tx: Transaction, path: bytes, entry: Entry, found: FolderError) -> None:
        """Take in that a whole file could not be read."""
        match found:
            case UnavailableError():
                self._patrol.out_of_reach(str(found))
            case MissingError():
                self._arrivals.not_there(tx, path)
            case ChangedError():
                self._arrivals.notice_again(path, entry)
            case _:
                self._arrivals.put_off(path, str(found))

    def _is_withdrawn(self, tx: Transaction, path: bytes, found: Digest) -> bool:
        """Tell whether a file was withdrawn while it was read."""
        return intake.left_as(tx, self._arrivals.folder_id, path) == (LEFT_WITHDRAWN, found.fingerprint)

    def _to_admit(self, path: bytes, entry: Entry, found: Digest) -> list[tuple[Arrival, Content]]:
        """Return what is to be admitted of a file that was read: itself, if it is still of a kind to be sent."""
        name = path.rpartition(b"/")[2]
        judged = media.judge(name, found.sniffed, found.fingerprint.size, self._policy)
        if not isinstance(judged, media.Send):
            self._arrivals.notice_again(path, entry)
            return []
        if entry.whole_at is not None and not entry.backlog:
            took = self._shift.clock() - entry.whole_at
            self._shift.tally.took(Took.SETTLED_TO_HASHED, judged.media, took)
        content = Content(
            sha256=found.sha256,
            media=judged.media,
            mime=judged.mime,
            options=self._folder.canonical_options(judged.media),
        )
        return [(self._arrivals.arrival(path, entry, found.fingerprint), content)]

    def _admit(self, tx: Transaction, whole: Sequence[tuple[Arrival, Content]]) -> None:
        for path, row in admission.admit_all(tx, whole, self._shift.step()).items():
            sha256 = None if row.sha256 is None else row.sha256.hex()
            self._log.info("admitted", path=path, sha256=sha256, media=row.media, duplicate=row.duplicate)
            kind = row.media or "none"
            self._shift.tally.count(Counted.ADMITTED, kind, "true" if row.duplicate else "false")

    def _not_admitted(self, _tx: Transaction, one: tuple[Arrival, Content], error: Exception) -> None:
        self._arrivals.put_off(one[0].path, f"a bug: {error!r}")
