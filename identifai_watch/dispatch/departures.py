"""Where each request waits for its instant, right before its first byte leaves."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock

from identifai_watch.api import Cancelled
from identifai_watch.ledger import budget
from identifai_watch.shift import Shift


class Departures:
    """The ``depart`` of the API: takes an instant in the ledger, so that restarts and other hosts respect it."""

    def __init__(self, shift: Shift) -> None:
        self._shift = shift
        self._lock = Lock()
        self._waiting = 0
        self._is_upload: ContextVar[bool] = ContextVar("is_upload", default=False)
        self._backlog: ContextVar[bool] = ContextVar("backlog", default=False)

    @property
    def waiting(self) -> int:
        """How many uploads were begun and have not taken their instant."""
        return self._waiting

    def begun(self) -> None:
        """Count an upload that will take its instant; called in the loop, before its thread knows of it."""
        with self._lock:
            self._waiting += 1

    @contextmanager
    def upload(self, *, backlog: bool) -> Iterator[None]:
        """Make the next POST of this thread an upload that was begun; ``backlog`` is whose purse it comes from."""
        counted, of_backlog = self._is_upload.set(True), self._backlog.set(backlog)
        try:
            yield
        finally:
            self._leave()
            self._is_upload.reset(counted)
            self._backlog.reset(of_backlog)

    def __call__(self, method: str) -> None:
        """Take the next free instant and wait for it; raise Cancelled if the daemon stops meanwhile."""
        shift = self._shift
        if shift.stopping.is_set():
            raise Cancelled
        with shift.ledger.write() as tx:
            instant = budget.depart(tx, method, shift.limits, shift.clock(), backlog=self._backlog.get())
        if method == "POST":
            self._leave()
        if shift.stopping.wait(max(0.0, (instant - shift.clock()).total_seconds())):
            raise Cancelled

    def _leave(self) -> None:
        if self._is_upload.get():
            self._is_upload.set(False)
            with self._lock:
                self._waiting -= 1
