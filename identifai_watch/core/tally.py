"""What a daemon counts, and how long things took; each run goes on where the one before it left off.

The ledger's rows could tell all this only by reading every one of them, a million on a grey day. So it is added up as it
happens, and the ledger keeps the sums: to read them costs one row, however long the history is.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from itertools import accumulate
from typing import Any

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400)
"""Seconds, the upper bounds of all histograms. Other ones than a ledger has let the histograms begin anew."""

Labels = tuple[str, ...]


class Counted(StrEnum):
    """What is counted; the labels of each stand in LABELS."""

    REQUESTS = "requests"
    ADMITTED = "admitted"
    DELIVERED = "delivered"


class Took(StrEnum):
    """What takes its time."""

    NOTICED_TO_DELIVERED = "noticed_to_delivered"
    SETTLED_TO_HASHED = "settled_to_hashed"
    HASHED_TO_POSTED = "hashed_to_posted"
    UPLOAD = "upload"
    SUBMITTED_TO_JUDGED = "submitted_to_judged"
    JUDGED_TO_DELIVERED = "judged_to_delivered"
    SCAN = "scan"


LABELS: Mapping[Counted | Took, tuple[str, ...]] = {
    Counted.REQUESTS: ("kind", "status"),
    Counted.ADMITTED: ("media", "duplicate"),
    Counted.DELIVERED: ("media", "outcome"),
    Took.NOTICED_TO_DELIVERED: ("media",),
    Took.SETTLED_TO_HASHED: ("media",),
    Took.HASHED_TO_POSTED: ("media",),
    Took.UPLOAD: ("media",),
    Took.SUBMITTED_TO_JUDGED: ("media",),
    Took.JUDGED_TO_DELIVERED: ("media",),
    Took.SCAN: ("folder",),
}


@dataclass(slots=True)
class Times:
    """How often something took at most so long: ``buckets`` by BOUNDS, the last one for longer; ``seconds`` are all."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0

    def cumulative(self) -> list[int]:
        """Return how many took at most each of BOUNDS, and in the end all of them."""
        return list(accumulate(self.buckets))


@dataclass(slots=True)
class Tally:
    """The sums; ``is_told`` is whether the ledger has them as they are."""

    counts: dict[tuple[Counted, Labels], int] = field(default_factory=dict)
    times: dict[tuple[Took, Labels], Times] = field(default_factory=dict)
    is_told: bool = True

    def count(self, what: Counted, *labels: str) -> None:
        """Count one more."""
        key = what, labels
        self.counts[key] = self.counts.get(key, 0) + 1
        self.is_told = False

    def took(self, what: Took, label: str, duration: timedelta) -> None:
        """Take in how long something took; where a clock was set back meanwhile that is no time at all.

        Scans never end: they alone are no reason to write the sums down.
        """
        seconds = max(0.0, duration.total_seconds())
        times = self.times.setdefault((what, (label,)), Times())
        times.buckets[bisect_left(BOUNDS, seconds)] += 1
        times.seconds += seconds
        self.is_told = self.is_told and what is Took.SCAN

    def document(self) -> dict[str, Any]:
        """Return what the ledger keeps, as JSON holds it."""
        return {
            "counts": [[what, *labels, number] for (what, labels), number in self.counts.items()],
            "bounds": BOUNDS,
            "times": [
                [what, *labels, times.buckets, round(times.seconds, 6)]
                for (what, labels), times in self.times.items()
            ],
        }


def tally_of(document: Mapping[str, Any] | None) -> Tally:
    """Return the sums that the ledger kept; what this version does not know is left out."""
    found = Tally()
    if document is None:
        return found
    for name, *labels, number in document.get("counts", []):
        if name in set(Counted):
            found.counts[Counted(name), tuple(labels)] = number
    is_alike = tuple(document.get("bounds", ())) == BOUNDS
    for name, *labels, buckets, seconds in document.get("times", []) if is_alike else []:
        if name in set(Took):
            found.times[Took(name), tuple(labels)] = Times(buckets=buckets, seconds=seconds)
    return found
