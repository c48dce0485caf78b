"""What the model test winds and holds: a clock, and workers whose threads go on only as far as they are told.

A job begins when the test says so, and can be held in front of any of its operations on the disk, as long as the
test likes: meanwhile the loop turns, the world changes, or the daemon is cut. After a cut no thread of it does
anything more.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from queue import SimpleQueue
from threading import Event, get_ident, local
from typing import Any

from identifai_watch.workers import Arrived, Job, Workers

PATIENCE = 60.0
"""Seconds of the real clock after which a thread counts as lost, and the test fails."""

OPERATIONS = frozenset(
    {
        "open",
        "os.rename",
        "os.remove",
        "os.link",
        "os.mkdir",
        "os.chmod",
        "os.chown",
        "os.utime",
        "os.setxattr",
        "os.listxattr",
        "os.scandir",
        "os.listdir",
    }
)
"""The audit events of Python's that tell of an operation on the disk."""

TICK = timedelta(microseconds=1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class CutError(Exception):
    """The daemon was cut: its threads do nothing more."""


class Clock:
    """A clock that is wound by hand; by itself it only tells one reading from the next."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        """Return the instant."""
        self.now += TICK
        return self.now

    def wind(self, on: timedelta) -> None:
        """Let time pass."""
        self.now += on


@dataclass(slots=True, eq=False)
class Turn:
    """One job as it is let go on: ``left`` operations on the disk and no further, None: to its end."""

    job: Job[Any]
    left: int | None = 0
    is_ended: bool = False
    is_begun: bool = False
    may_go: Event = field(default_factory=Event)
    rests: Event = field(default_factory=Event)

    def go_on(self, operations: int | None = None) -> None:
        """Let it go on, and wait until it rests before the next operation, or has ended."""
        self.is_begun = True
        self.left = operations
        self.rests.clear()
        self.may_go.set()
        assert self.rests.wait(PATIENCE), f"{self.job.label} was lost"

    def end(self) -> None:
        """Note that its result is with the loop."""
        self.is_ended = True
        self.rests.set()


class Inbox(SimpleQueue[Arrived]):
    """An inbox that knows when a job's own result, the last that comes from it, is in it."""

    def __init__(self) -> None:
        self.own = local()

    def put(self, item: Arrived, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002 - the base class's signature
        """Take something in."""
        super().put(item, block, timeout)
        turn: Turn | None = getattr(self.own, "turn", None)
        if turn is not None:
            self.own.turn = None
            turn.end()


class Paced(Workers):
    """The daemon's own workers, at the pace of the test."""

    def __init__(self) -> None:
        super().__init__()
        _listen()
        self._inbox = self._results = Inbox()
        self._turns: list[Turn] = []
        self._is_cut = False
        self._is_free = False

    def launch(self) -> None:
        """Hand what was planned to its lanes, whose threads wait for their turns."""
        turns = [Turn(job) for job in self._planned]
        self._turns = [turn for turn in self._turns if not turn.is_ended] + turns
        self._planned = [replace(turn.job, work=partial(self._in_turn, turn)) for turn in turns]
        super().launch()

    def under_way(self) -> list[Turn]:
        """Return the jobs that can go on: in each lane the one that is first, in the order of their beginnings."""
        first: dict[str, Turn] = {}
        for turn in self._turns:
            if not turn.is_ended:
                first.setdefault(turn.job.lane, turn)
        return list(first.values())

    def is_quiet(self) -> bool:
        """Tell whether no job is under way and nothing waits for the loop."""
        return not self.under_way() and self._inbox.empty()

    def finish(self) -> None:
        """Let every job go on to its end, one after another."""
        while turns := self.under_way():
            turns[0].go_on()

    def free(self) -> None:
        """Let all go on at once and by themselves, as at a stop."""
        self._is_free = True
        for turn in self._turns:
            turn.may_go.set()

    def cut(self) -> None:
        """End: no job does anything more, wherever it stands."""
        self._is_cut = True
        for turn in self._turns:
            turn.may_go.set()

    def retire(self) -> None:
        """Wait for the jobs, and end the threads, which would else wait for work until the process ends."""
        for turn in self._turns:
            while not turn.is_ended:
                assert turn.rests.wait(PATIENCE), f"{turn.job.label} was lost"
        for lane, queue in self._lanes.items():
            last: Job[Any] = Job(lane=lane, label="last", work=_leave, then=_ignore, failed=_ignore)
            for _ in range(self._threads[lane]):
                queue.put(last)

    def _serve(self, queue: SimpleQueue[Job[Any]]) -> None:
        with suppress(SystemExit):
            super()._serve(queue)

    def _in_turn(self, turn: Turn) -> Any:
        self._results.own.turn = None
        try:
            self._wait(turn)
            _HELD[get_ident()] = partial(self._before_operation, turn)
            return turn.job.work()
        finally:
            _HELD.pop(get_ident(), None)
            self._results.own.turn = turn

    def _before_operation(self, turn: Turn) -> None:
        if self._is_cut:
            raise CutError
        if turn.left is None or self._is_free:
            return
        if turn.left > 0:
            turn.left -= 1
            return
        turn.rests.set()
        self._wait(turn)

    def _wait(self, turn: Turn) -> None:
        if not self._is_free:
            assert turn.may_go.wait(PATIENCE * 10), f"{turn.job.label} was forgotten"
            turn.may_go.clear()
        if self._is_cut:
            raise CutError


_HELD: dict[int, Callable[[], None]] = {}
"""What is asked before each operation on the disk, by thread."""

_LISTENING = Event()


def _listen() -> None:
    """Have Python tell of operations on the disk, from now until the process ends."""
    if not _LISTENING.is_set():
        _LISTENING.set()
        sys.addaudithook(_heard)


def _heard(event: str, args: tuple[Any, ...]) -> None:
    if not _HELD or event not in OPERATIONS:
        return
    before = _HELD.get(get_ident())
    # What the daemon does in a tree it does by names of bytes; the rest is the interpreter's own reading of modules.
    if before is not None and not isinstance(args[0], str):
        before()


def _leave() -> None:
    raise SystemExit


def _ignore(*_: object) -> None:
    pass
