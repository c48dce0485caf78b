"""Where each request waits for its instant, right before its first byte leaves."""

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from threading import Lock

from identifai_watch.api import Cancelled
from identifai_watch.core import gate
from identifai_watch.errors import LedgerAwayError
from identifai_watch.ledger import Transaction, budget
from identifai_watch.shift import Shift


class Departures:
    """The ``depart`` of the API: takes an instant in the ledger, so that restarts and other hosts respect it.

    A thread may wake late. When it really left is kept in memory, or the next one, which is on time, would be too near.
    """

    def __init__(self, shift: Shift) -> None:
        self._shift = shift
        self._lock = Lock()
        self._waiting: Counter[int] = Counter()
        self._left: defaultdict[str, deque[datetime]] = defaultdict(deque)
        self._unwritten: list[budget.Departure] = []
        self._upload_of: ContextVar[int | None] = ContextVar("upload_of", default=None)
        self._backlog: ContextVar[bool] = ContextVar("backlog", default=False)

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
        try:
            with shift.ledger.write() as tx:
                budget.lock(tx)
                shift.ledger.look(tx)
                instant = budget.depart(tx, method, shift.limits, shift.clock(), backlog=self._backlog.get())
        except LedgerAwayError as error:
            raise Cancelled(str(error)) from error  # what is not written down is not sent
        if method == "POST":
            self._leave()
        while not shift.stopping.wait(max(0.0, (instant - shift.clock()).total_seconds())):
            again_at = self._depart(method)
            if again_at is None:
                return
            instant = again_at
        raise Cancelled

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
