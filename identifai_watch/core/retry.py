"""How long to wait before the next attempt, and when to stop trying by ourselves."""

from datetime import datetime, timedelta

FIRST = timedelta(seconds=1)
CAP = timedelta(seconds=60)
FIRST_PROBE = timedelta(seconds=30)
PROBE_CAP = timedelta(minutes=10)
GIVE_UP_AFTER = 5


def doubling(times: int, first: timedelta, cap: timedelta) -> timedelta:
    """Return ``first`` doubled ``times - 1`` times, at most ``cap``; ``times`` counts from 1."""
    return min(cap, first * (1 << min(max(times, 1) - 1, 30)))


def backoff(times: int, chance: float, at_least: timedelta | None = None) -> timedelta:
    """Return the wait after the ``times``-th failure in a row: full jitter over 1 s doubling to 60 s.

    ``chance`` is drawn by the caller from [0, 1); ``at_least`` is the API's own Retry-After.
    """
    return max(doubling(times, FIRST, CAP) * chance, at_least or timedelta(0))


def probe_wait(probes: int) -> timedelta:
    """Return how long a paused account rests before its next probe: 30 s doubling to 10 minutes."""
    return doubling(probes, FIRST_PROBE, PROBE_CAP)


def is_hopeless(failures: int, failing_since: datetime | None, others_at: datetime | None) -> bool:
    """Tell whether a row has failed often enough while others got through.

    Failures alone are no reason to give up: when nothing gets through, the API is at fault.
    """
    if failures < GIVE_UP_AFTER or failing_since is None or others_at is None:
        return False
    return others_at > failing_since
