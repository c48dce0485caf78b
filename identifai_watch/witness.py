"""The scan as the proof of the events: which files does a whole scan find that no event had named?"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from identifai_watch.core.model import Fingerprint

GRACE = timedelta(seconds=5)
"""How long an event may take to come, and how long a watch may take to be armed."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Witness:
    """What events told of one folder since they are listened to; ``total`` and ``overflows`` only grow."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._armed_at: datetime | None = None
        self._scan_began: datetime | None = None
        self._named: dict[bytes, datetime] = {}
        self._lost_at: datetime | None = None
        self._found = 0
        self.total = 0
        self.overflows = 0

    def armed(self) -> None:
        """Listen from now on."""
        self._armed_at = self._clock()

    def disarmed(self) -> None:
        """Listen no more: whatever the scan finds, no event had to name it."""
        self._armed_at = None
        self._named.clear()

    def named(self, directory: bytes) -> None:
        """Take in that an event named a directory, and by that all that is in it."""
        self._named[directory] = self._clock()

    def overflowed(self) -> None:
        """Take in that events were lost, and that this was told: the next scan finds what they were about."""
        self.overflows += 1
        self.overlooked()

    def overlooked(self) -> None:
        """Take in that more was told than could be kept: the next scan that begins finds it."""
        self._lost_at = self._clock()

    def begin(self) -> None:
        """Begin a scan of the whole tree."""
        self._scan_began = self._clock()
        self._found = 0

    def saw(self, path: bytes, shape: Fingerprint) -> None:
        """Take in that the scan found a file that is new or written anew, and on its way by no event."""
        if self._armed_at is None or self._scan_began is None or self._lost_at is not None:
            return
        changed_at = _EPOCH + timedelta(microseconds=shape.ctime_ns // 1000)
        is_in_time = self._armed_at + GRACE < changed_at < self._scan_began - GRACE
        if is_in_time and not any(_holds(directory, path) for directory in self._named):
            self._found += 1

    def end(self) -> int:
        """End the scan; return how many files it found that no event had named."""
        began, self._scan_began = self._scan_began, None
        if began is not None:
            self._named = {path: at for path, at in self._named.items() if at >= began}
            if self._lost_at is not None and self._lost_at < began:
                self._lost_at = None
        self.total += self._found
        return self._found


def _holds(directory: bytes, path: bytes) -> bool:
    return directory == b"" or path.startswith(directory + b"/")
