"""The brakes of those who share the machine: threads wait here before they read or send, and hold nothing meanwhile."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Event, Lock

from identifai_watch.core.pacing import Pace

LONGEST = 5.0
"""Seconds of a wait after which it says that it is one: whoever waits for a brake does not hang."""


def on_the_wall(instant: datetime) -> datetime:
    """Return an instant as this host's clock shows it, by which the backlog's hours are told."""
    return instant.astimezone()


class Brake:
    """A rate that several threads share; ``rate`` is asked for each piece, in bytes a second, 0 for none."""

    def __init__(self, rate: Callable[[], float]) -> None:
        self._rate = rate
        self._pace = Pace(rate=0.0)
        self._lock = Lock()

    def piece(self, most: int) -> int:
        """Return how many bytes, ``most`` at most, go at once."""
        return Pace(rate=self._rate()).piece(most)

    def take(self, amount: int, now: float) -> float:
        """Take the next place in line for ``amount`` bytes; return how many seconds to wait for it."""
        rate = self._rate()
        with self._lock:
            # Nobody waits for what was taken at another rate.
            pace = self._pace if self._pace.rate == rate else Pace(rate=rate)
            self._pace = pace.taken(amount, now)
        return pace.wait(now)


def allowed(most: int, brakes: Sequence[Brake], *, ended: Event, moved: Callable[[], None]) -> int:
    """Wait until a piece may go that all ``brakes`` allow, and return its bytes, ``most`` at most; 0 once ``ended``.

    ``moved`` is called while it waits.
    """
    piece = min((brake.piece(most) for brake in brakes), default=most)
    now = time.monotonic()
    until = now + max((brake.take(piece, now) for brake in brakes), default=0.0)
    while (left := until - time.monotonic()) > 0:
        moved()
        if ended.wait(min(left, LONGEST)):
            return 0
    return piece
