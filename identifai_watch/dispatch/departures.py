"""Where each request waits for its instant, right before its first byte leaves."""

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from threading import Lock

from identifai_watch.api import Cancelled
from identifai_watch.core import gate
from identifai_watch.errors import LedgerAwayError
from identifai_watch.ledger import Transaction, budget
from identifai_watch.shift import Shift

HORIZON = timedelta(seconds=1)
"""So near to its instant an upload is opened, and one that had to wait for longer looks at the account once more."""

LATE = gate.SPREAD / 2
"""A request that is later than this takes another instant where several hosts count on them."""

ATTEMPTS = 4
"""So often at most: a host that is always late goes all the same."""


class Departures:
    """The ``depart`` of the API: takes an instant in the ledger, so that restarts and other hosts respect it.

    A thread may wake late. When it really left is kept in memory, or the next one, which is on time, would be too near.
    """

    def __init__(self, shift: Shift) -> None:
        self.line = 0.0
        """Seconds that the line of all hosts lasted, as the last upload of ours that joined it found."""
        self._shift = shift
        self._lock = Lock()
        self._waiting: Counter[int] = Counter()
        self._left: defaultdict[str, deque[datetime]] = defaultdict(deque)
        self._unwritten: list[budget.Departure] = []
        self._upload_of: ContextVar[int | None] = ContextVar("upload_of", default=None)
        self._backlog: ContextVar[bool] = ContextVar("backlog", default=False)
        self._reserved: ContextVar[budget.Taken | None] = ContextVar("reserved", default=None)

    def waiting(self, folder_ids: Collection[int]) -> int:
        """Return how many uploads of ``folder_ids`` were begun and have not taken their instant."""
        with self._lock:
            return sum(self._waiting[folder_id] for folder_id in folder_ids)

    def begun(self, folder_id: int) -> None:
        """Count an upload that will take its instant; called in the loop, before its thread knows of it."""
        with self._lock:
            self._waiting[folder_id] += 1

    def not_leaving(self, folder_id: int) -> None:
        """Count an upload no longer that was begun, and takes no instant."""
        with self._lock:
            self._waiting[folder_id] -= 1

    @contextmanager
    def upload(self, folder_id: int, *, backlog: bool) -> Iterator[None]:
        """Make the next POST of this thread an upload that was begun; ``backlog`` is whose purse it comes from."""
        counted, of_backlog = self._upload_of.set(folder_id), self._backlog.set(backlog)
        try:
            yield
        finally:
            self._leave()
            self._reserved.set(None)
            self._upload_of.reset(counted)
            self._backlog.reset(of_backlog)

    def __call__(self, method: str) -> None:
        """Take the next free instant and wait for it; raise Cancelled if the daemon stops meanwhile."""
        shift = self._shift
        if shift.stopping.is_set():
            raise Cancelled
        if not self._is_limited(method):
            self._note(method)
            return
        taken = self._reserved.get() if method == "POST" else None
        self._reserved.set(None)
        taken = taken or self._take(method)
        at, attempts = taken.at, 1
        while not shift.stopping.wait(max(0.0, (at - shift.clock()).total_seconds())):
            if shift.ledger.member and shift.clock() - taken.at > LATE and attempts < ATTEMPTS:
                taken = self._take(method, instead_of=taken.id)
                at, attempts = taken.at, attempts + 1
                continue
            again_at = self._depart(method)
            if again_at is None:
                return
            at = again_at
        raise Cancelled

    def _take(self, method: str, *, instead_of: int | None = None) -> budget.Taken:
        """Take an instant in the ledger; raise Cancelled if that is away: what is not written down is not sent."""
        shift = self._shift
        try:
            taken = budget.take(
                shift.ledger,
                method,
                shift.limits,
                shift.clock,
                backlog=self._backlog.get(),
                instead_of=instead_of,
            )
        except LedgerAwayError as error:
            raise Cancelled(str(error)) from error
        if method == "POST":
            self._leave()
        return taken

    def reserve(self) -> None:
        """Take the instant of this thread's next POST and wait until it is near, before anything is opened for it.

        Of several hosts each has an upload in line at any time, however far it is: so none starves. The line may be
        long. Raises Cancelled if the daemon stops meanwhile, or the account is paused by then.
        """
        shift = self._shift
        if not shift.ledger.member or not self._is_limited("POST"):
            return
        taken = self._take("POST")
        self._reserved.set(taken)
        self.line = (taken.at - shift.clock()).total_seconds()
        seconds = (taken.at - HORIZON - shift.clock()).total_seconds()
        if seconds <= 0:
            return
        is_stopped = shift.stopping.wait(seconds)
        try:
            with shift.ledger.glances() as look:
                if not is_stopped and not gate.is_barred(budget.account(look)):
                    return
            with shift.ledger.write() as tx:
                budget.give_back(tx, taken.id)
        except LedgerAwayError as error:
            raise Cancelled(str(error)) from error
        raise Cancelled("the account was paused meanwhile")

    def _depart(self, method: str) -> datetime | None:
        """Note that a request leaves now; else return when it may, behind those that left later than they were to."""
        windows, now = self._shift.limits.windows(method), self._shift.clock()
        with self._lock:
            left = self._left[method]
            # A clock that was set back since would have it wait for hours.
            instant = gate.next_instant([at for at in left if at <= now], windows, now)
            if instant > now:
                return instant
            left.append(now)
            while len(left) > max((window.count for window in windows), default=0):
                left.popleft()
        return None

    def _is_limited(self, method: str) -> bool:
        limits = self._shift.limits
        return bool(limits.windows(method)) or (method == "POST" and limits.posts_per_day > 0)

    def _note(self, method: str) -> None:
        """Note a request that nothing limits; it is written down with the loop's next round, for whoever counts them."""
        now = self._shift.clock()
        with self._lock:
            self._unwritten.append(budget.Departure(at=now, method=method, backlog=self._backlog.get()))
        if method == "POST":
            self._leave()

    def write(self, tx: Transaction) -> None:
        """Write down what left while nothing limited it; called in the loop."""
        with self._lock:
            departed, self._unwritten = self._unwritten, []
        budget.log(tx, departed)

    def _leave(self) -> None:
        folder_id = self._upload_of.get()
        if folder_id is not None:
            self._upload_of.set(None)
            with self._lock:
                self._waiting[folder_id] -= 1
