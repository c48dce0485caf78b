"""Which identifiers to ask for next: when a verdict can be expected, and how patience grows after that.

What has been learnt about a kind of media are its recent durations. Each is known from above only, since it ends when
we asked; so a little less than their median is expected, and asking creeps up to when the verdict really comes. An
identifier is first asked for when its verdict is expected; after that the wait is a share of how overdue it is, from 1 s to 60 s. A GET
takes everything of its kind along that may be done, so that fifty verdicts cost as much as one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from identifai_watch.core.model import Analysis, Media

AT_ONCE = 50
"""Identifiers in one GET: a hundred encoded ones make a request line over 8,192 bytes (api-notes 12)."""

LEAST = timedelta(seconds=1)
MOST = timedelta(seconds=60)
SHARE = 0.25
EAGERNESS = 0.8

GUESS: Mapping[Media, timedelta] = {
    Media.IMAGE: timedelta(seconds=1),
    Media.AUDIO: timedelta(seconds=2),
    Media.VIDEO: timedelta(seconds=2),
}
"""What is assumed of a kind before its first verdict; no interval is documented."""


def expected(durations: Sequence[timedelta], media: Media) -> timedelta:
    """Return how long a verdict of this kind is expected to take, learnt from ``durations``, at most 10 minutes."""
    if not durations:
        return GUESS[media]
    return min(sorted(durations)[len(durations) // 2] * EAGERNESS, timedelta(minutes=10))


def next_ask(row: Analysis, now: datetime, wait: timedelta) -> datetime:
    """Return when to ask for an awaiting row, whose kind is expected to take ``wait``, after an answer at ``now``."""
    ready_at = (row.submitted_at or now) + wait
    if ready_at > now:
        return max(ready_at, now + LEAST / 4)
    return now + min(MOST, max(LEAST, (now - ready_at) * SHARE))


def first_ask(submitted_at: datetime, wait: timedelta) -> datetime:
    """Return when to ask for the first time; a cached content may be done at once, so never later than 5 s."""
    return submitted_at + min(wait, timedelta(seconds=5))
