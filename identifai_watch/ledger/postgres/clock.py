"""The server's clock, by which all nodes of a ledger go."""

import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from identifai_watch.ledger.schema import EPOCH

ON_THE_WAY = 3_000
"""Microseconds by which an answer may be later than the quickest ones were."""

_DRIFT = 200e-6
"""By how much a host's clock may run faster or slower than the server's, as a part of the time that passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """What the server's clock said, as an instant less this host's own seconds, and by how much that may be wrong."""

    at: float
    ahead: float
    unsure: float

    def unsure_at(self, now: float) -> float:
        return self.unsure + (now - self.at) * _DRIFT


class Clock:
    """The server's clock, kept by this host's own seconds from one look at it to the next; for any thread."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=30)
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        """Return the server's instant; this host's, as long as nobody looked at the server's."""
        now = _seconds()
        with self._lock:
            best = min(self._samples, key=lambda one: one.unsure_at(now), default=None)
        ahead = time.time() - now if best is None else best.ahead
        return EPOCH + timedelta(seconds=now + ahead)

    @property
    def unsure(self) -> float:
        """By how many seconds the instant may be wrong: half of what an answer of the server takes."""
        with self._lock:
            now = _seconds()
            return min((one.unsure_at(now) for one in self._samples), default=0.0)

    @property
    def age(self) -> float:
        """How many seconds ago somebody looked last."""
        with self._lock:
            return _seconds() - self._samples[-1].at if self._samples else float("inf")

    def look(self, tx: sa.Connection) -> datetime:
        """Look at the server's clock, and return what it says."""
        before = _seconds()
        micros = int(tx.execute(_CLOCK).scalar_one())
        after = _seconds()
        unsure = (after - before) / 2
        sample = _Sample(at=after, ahead=micros / 1e6 - (before + after) / 2, unsure=unsure)
        with self._lock:
            # One that contradicts the others is another clock: the server's was set, or another server took over.
            if any(abs(one.ahead - sample.ahead) > one.unsure_at(after) + unsure for one in self._samples):
                self._samples.clear()
            self._samples.append(sample)
        return EPOCH + timedelta(microseconds=micros)


MICROS = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_CLOCK = sa.text(f"SELECT {MICROS}")


def _seconds() -> float:
    """Return this host's seconds, which nobody sets, and which go on while it sleeps (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
