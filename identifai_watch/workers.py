"""The threads: lanes of work, whose results come back to the loop through one inbox.

Work is planned while a transaction is open and launched after its commit, so that nothing happens in the world
that the ledger does not know of. No thread is ever joined: one that hangs in the kernel is left behind.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, Generic, TypeVar

from identifai_watch.ledger import Transaction

SWITCH_INTERVAL = 0.0005
"""Seconds after which a thread that computes hands Python's lock on to one that waits for it.

A thread that hashes or sends gives the lock up for each block, and waits so long to have it back. Measured on two cores
beside a busy Python thread, a digest in blocks of 4 MiB keeps 0.3 to 0.4 of its speed with Python's own 5 ms, 0.5 with
1 ms, 0.87 with 0.5 ms and 0.91 with 0.2 ms. Two threads that compute lose 6 % by 0.5 ms at most.
"""

Result = TypeVar("Result")
Then = Callable[[Transaction, Result], None]
"""What the loop does with a result, inside the transaction of its batch."""


Gather = Callable[[Transaction, Sequence[tuple[Any, Any]]], None]
"""What the loop does with the results of several jobs at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Generic[Result]):
    """Something a worker does: ``work`` in its thread, then ``then`` in the loop; ``failed`` if it raised.

    ``lane`` names the threads that may do it, ``label`` says what it is about. ``stirs`` is whether there may be
    something to send, to ask for or to deliver after it. With ``gather`` the loop does that instead, with the results of
    all jobs of a round that name the same one, each with what its job is ``about``; ``then`` is left for a bug in that.
    """

    lane: str
    label: str
    work: Callable[[], Result]
    then: Then[Result]
    failed: Then[Exception]
    threads: int = 1
    stirs: bool = True
    about: Any = None
    gather: Gather | None = None


@dataclass(slots=True, kw_only=True)
class Running:
    """A job under way; its times are on the monotonic clock.

    ``moved_at`` is when it last made progress, ``on_disk_since`` when it last asked the disk for something that has
    not come yet.
    """

    lane: str
    label: str
    moved_at: float
    on_disk_since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """Something for the loop to do in its batch; ``failed`` is done instead if that raises.

    ``stirs`` and ``gather`` are as of a job, ``found`` is what is gathered.
    """

    then: Callable[[Transaction], None]
    failed: Callable[[Transaction, Exception], None] | None = None
    stirs: bool = True
    gather: Gather | None = None
    found: tuple[Any, Any] | None = None


def share_interpreter() -> None:
    """Have threads that compute not hold up those that read, hash and send; for the whole process, once."""
    sys.setswitchinterval(SWITCH_INTERVAL)


class Workers:
    """Lanes of daemon threads, started when they are first needed."""

    def __init__(self) -> None:
        self._inbox: SimpleQueue[Arrived] = SimpleQueue()
        self._planned: list[Job[Any]] = []
        self._lanes: dict[str, SimpleQueue[Job[Any]]] = {}
        self._threads: dict[str, int] = {}
        self._running: dict[int, Running] = {}
        self._tickets = count()

    def plan(self, job: Job[Any]) -> None:
        """Remember a job for ``launch``; called in the loop only."""
        self._planned.append(job)

    def launch(self) -> None:
        """Hand what was planned to its lanes; called after the commit."""
        planned, self._planned = self._planned, []
        for job in planned:
            queue = self._lanes.setdefault(job.lane, SimpleQueue())
            queue.put(job)
            if self._threads.get(job.lane, 0) < job.threads:
                self._threads[job.lane] = self._threads.get(job.lane, 0) + 1
                Thread(target=self._serve, args=(queue,), name=job.lane, daemon=True).start()

    @property
    def planned(self) -> int:
        """How many jobs are planned."""
        return len(self._planned)

    def drop(self, keep: int = 0) -> None:
        """Forget what was planned after the first ``keep`` jobs: what was written with it was taken back."""
        del self._planned[keep:]

    def tell(self, then: Callable[[Transaction], None], *, stirs: bool = True) -> None:
        """Have the loop do something in its next batch; called from any thread."""
        self._inbox.put(Arrived(then=then, stirs=stirs))

    def wake(self) -> None:
        """Have the loop make a round now; safe in a signal handler."""
        self._inbox.put(Arrived(then=_nothing))

    def collect(self, timeout: float, most: int = 500, *, linger: float = 0.0) -> list[Arrived]:
        """Wait up to ``timeout`` seconds for something, and return what is there, at most ``most``.

        Once there is something it waits ``linger`` seconds for more: a round of many costs little more than one of one.
        """
        found: list[Arrived] = []
        try:
            found.append(self._inbox.get(timeout=max(0.0, timeout)))
            until = monotonic() + linger
            while len(found) < most:
                left = until - monotonic()
                found.append(self._inbox.get(timeout=left) if left > 0 else self._inbox.get_nowait())
        except Empty:
            pass
        return found

    def running(self) -> list[Running]:
        """Return the jobs under way."""
        return list(self._running.values())

    def moved(self, label: str) -> None:
        """Note that the job with this label makes progress, so that nobody takes it for hung."""
        for running in self.running():
            if running.label == label:
                running.moved_at = monotonic()

    @contextmanager
    def on_disk(self, label: str) -> Iterator[None]:
        """Mark that the job with this label waits for the disk, where an upload else waits for the network."""
        mine = [running for running in self.running() if running.label == label]
        for running in mine:
            running.on_disk_since = monotonic()
        try:
            yield
        finally:
            for running in mine:
                running.on_disk_since = None

    def _serve(self, queue: SimpleQueue[Job[Any]]) -> None:
        while True:
            job = queue.get()
            ticket = next(self._tickets)
            self._running[ticket] = Running(lane=job.lane, label=job.label, moved_at=monotonic())
            try:
                result = job.work()
                then = partial(_then, job, result)
                found = (job.about, result)
                self._inbox.put(
                    Arrived(then=then, failed=job.failed, stirs=job.stirs, gather=job.gather, found=found)
                )
            except Exception as error:  # noqa: BLE001 - a bug in one job must not end its lane without a word
                self._inbox.put(Arrived(then=partial(_failed, job, error)))
            finally:
                del self._running[ticket]


def _nothing(_tx: Transaction) -> None:
    """Do nothing: that something came is all."""


def _then(job: Job[Result], result: Result, tx: Transaction) -> None:
    job.then(tx, result)


def _failed(job: Job[Any], error: Exception, tx: Transaction) -> None:
    job.failed(tx, error)
