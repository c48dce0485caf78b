"""Time as a test gives it, for what a daemon does within minutes, hours and days."""

import time
from datetime import UTC, datetime, timedelta

from identifai_watch.daemon import Daemon


class Clock:
    """Runs ``speed`` times as fast as the world's clock, which 0 makes stand still; it can be wound ahead at will."""

    def __init__(self, *, speed: float = 1.0) -> None:
        self._speed = speed
        self._began = datetime.now(UTC)
        self._began_at = time.monotonic()

    def __call__(self) -> datetime:
        """Return the instant, with its zone."""
        return self._began + timedelta(seconds=(time.monotonic() - self._began_at) * self._speed)

    def hasten(self, daemon: Daemon, speed: float) -> None:
        """Run at another speed from now on."""
        self._began, self._began_at, self._speed = self(), time.monotonic(), speed
        daemon.shift.workers.wake()

    def wind(self, daemon: Daemon, seconds: float) -> None:
        """Let so much time pass at once, and have the daemon look at its clock."""
        self._began += timedelta(seconds=seconds)
        daemon.shift.workers.wake()
