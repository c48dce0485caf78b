"""The account's rate limits: how long a request at this instant would have had to wait."""

from collections import deque


class Admissions:
    """When the requests of one class were let through, over the last minute."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def wait(self, now: float, *, per_second: int, per_minute: int) -> float:
        """Return the seconds until both windows have room, 0 if they have it ``now``; a limit of 0 is none."""
        waits = [
            self._times[-limit] + window - now
            for limit, window in ((per_second, 1.0), (per_minute, 60.0))
            if 0 < limit <= len(self._times)
        ]
        return max([0.0, *waits])

    def admit(self, now: float) -> None:
        """Count a request that was let through; what was refused does not count."""
        while self._times and self._times[0] <= now - 60:
            self._times.popleft()
        self._times.append(now)
