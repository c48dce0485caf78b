"""Which identifiers to ask for next, and when, from their ages, what verdicts took before, and what the budget has left.

Three questions, each of them put to values:

- When is an identifier to be asked for? ``next_ask``. Until its verdict is expected a few times, at ages that double:
  whatever was learnt, a verdict is found at four times its age at the latest. While it is expected, about once a
  second; what is overdue waits for a share of that, up to a minute. The answer is kept in its row.
- Whose turn is it? ``whose``: the kinds and the heatmaps share the GETs, by how much one could bring and how long ago
  the last one was. A GET takes everything of its kind along that may be done, so that fifty verdicts cost as much
  as one.
- When may it go? ``opening``: what is left of a minute's requests is spread over it; only what is sure to bring many
  goes as fast as the windows let it. ``gate`` has the last word.

What is learnt of a kind and a size are the latest durations; each is known from above only, since it ends when we
asked. What was sent later is not done earlier: a full GET that brings nothing speaks for the rest of its size too
(``presumed``), so that a thousand that are awaited together are looked for by one GET, not by twenty.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from identifai_watch.core import gate
from identifai_watch.core.gate import Window
from identifai_watch.core.model import Analysis, Media

AT_ONCE = 50
"""Identifiers in one GET: a hundred encoded ones make a request line over 8,192 bytes (api-notes 12)."""

FIRST_LOOK = timedelta(seconds=2)
LEAST = timedelta(seconds=0.75)
CLOSEST = timedelta(seconds=1.25)
MOST = timedelta(seconds=60)
FURTHEST = timedelta(minutes=10)
SHARE = 0.25
EAGERNESS = 0.95

LATEST = 40
"""So many durations are enough to know a size by, and soon replaced when the API becomes faster or slower."""

FEWEST = 5
"""With fewer than so many of its own a size is taken as its kind."""

MANY = 10
"""A GET that is expected to bring so many verdicts does not wait for the others."""

BURST = 0.1
"""This part of a minute's requests may go as fast as the windows let them; the others are spread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The ages between which most verdicts of a kind and size come."""

    early: timedelta
    late: timedelta

    @property
    def gap(self) -> timedelta:
        """How long to wait between questions while a verdict is expected."""
        return min(CLOSEST, max(LEAST, (self.late - self.early) / 20))


GUESS: Mapping[Media, Outlook] = {
    Media.IMAGE: Outlook(early=timedelta(seconds=1), late=timedelta(seconds=1)),
    Media.AUDIO: Outlook(early=timedelta(seconds=2), late=timedelta(seconds=2)),
    Media.VIDEO: Outlook(early=timedelta(seconds=2), late=timedelta(seconds=2)),
}
"""What is assumed of a kind before its first verdict; no interval is documented."""

Took = tuple[int, timedelta]
"""The size of a content in bytes, and how long its verdict took."""

Learnt = Mapping[tuple[Media, int | None], Outlook]
"""What verdicts took, by kind and order of size; with None for all sizes of a kind."""


def order_of(size: int) -> int:
    """Return the order of a size in bytes: its power of ten."""
    return len(str(size)) - 1


def learn(media: Media, took: Sequence[Took]) -> dict[tuple[Media, int | None], Outlook]:
    """Return what the verdicts of one kind, the latest first, say of it and of its sizes."""
    sizes: dict[int | None, list[timedelta]] = {}
    for size, duration in took:
        for key in (order_of(size), None):
            known = sizes.setdefault(key, [])
            if len(known) < LATEST:
                known.append(duration)
    return {
        (media, key): _outlook(known) for key, known in sizes.items() if key is None or len(known) >= FEWEST
    }


def _outlook(durations: Sequence[timedelta]) -> Outlook:
    """Return the ages between which nine in ten verdicts came; a little earlier, since each may have been done before."""
    ordered = sorted(durations)
    few = len(ordered) // 20
    return Outlook(early=ordered[few] * EAGERNESS, late=ordered[-1 - few])


def outlook(learnt: Learnt, row: Analysis) -> Outlook:
    """Return what is known of rows like this one: of its size, else of its kind, else what is assumed."""
    by_kind = learnt.get((row.media, None), GUESS[row.media])
    return learnt.get((row.media, order_of(row.size)), by_kind)


def next_ask(row: Analysis, now: datetime, learnt: Learnt) -> datetime:
    """Return when to ask for an awaiting row that was sent, or answered to be pending, at ``now``."""
    sent_at = _sent_at(row)
    age = max(timedelta(0), now - sent_at)
    of = outlook(learnt, row)
    if age < of.early:
        return min(max(sent_at + _look(age, of), now + LEAST / 2), now + FURTHEST)
    return now + min(MOST, max(of.gap, (age - of.late) * SHARE))


def _look(age: timedelta, of: Outlook) -> timedelta:
    """Return the age at which to look next at what is not expected yet: a power of two seconds, or when it is."""
    look = FIRST_LOOK
    while look <= age:
        look *= 2
    return look if look <= of.early / 2 else of.early


def presumed(
    batch: Iterable[Analysis],
    pending: Collection[int],
    others: Iterable[Analysis],
    now: datetime,
    learnt: Learnt,
) -> dict[int, datetime]:
    """Return when to ask for those of ``others`` that are presumed to be pending, since none of a ``batch`` was done.

    ``pending`` are the ids of the rows of the batch that its GET found to be so. What was sent later than the
    rows of its order of size is taken as asked for at ``now``; where no verdict is expected at its age anyway it waits
    for the next question to them. They come before those then: else fifty that are never done would hide the rest.
    """
    silent: dict[int, list[Analysis]] = {}
    for row in batch:
        silent.setdefault(order_of(row.size), []).append(row)
    asked = {
        order: _Silence.of(rows, now, learnt)
        for order, rows in silent.items()
        if all(row.id in pending for row in rows)
    }
    found: dict[int, datetime] = {}
    for row in others:
        silence = asked.get(order_of(row.size))
        if silence is None or row.due is None or _sent_at(row) < silence.latest:
            continue
        age, of = now - _sent_at(row), outlook(learnt, row)
        due = next_ask(row, now, learnt)
        if age * 2 >= now - silence.latest and not of.early <= age <= of.late:
            due = max(due, silence.again)
        if due > row.due:
            found[row.id] = due - timedelta(milliseconds=1)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Silence:
    """What a GET brought nothing of: when the ``latest`` was sent, and when the first is asked for ``again``."""

    latest: datetime
    again: datetime

    @classmethod
    def of(cls, rows: Sequence[Analysis], now: datetime, learnt: Learnt) -> "_Silence":
        return cls(latest=max(map(_sent_at, rows)), again=min(next_ask(row, now, learnt) for row in rows))


def _sent_at(row: Analysis) -> datetime:
    """Return when a row was sent; where the ledger was rebuilt, and does not say, when it was noticed."""
    return row.submitted_at or row.noticed_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Something that wants a GET: a kind of media, or the heatmaps.

    ``due`` is how many could be had by one GET, which takes ``most``, ``asked_at`` when the last one went, and
    ``yielded`` which part of those that it asked for was there.
    """

    what: str
    due: int
    most: int = AT_ONCE
    asked_at: datetime | None = None
    yielded: float = 0.0

    def weight(self, now: datetime) -> float:
        """Return what counts in its favour; the waiting is shared evenly if it grows with the square of the time."""
        since = MOST if self.asked_at is None else min(timedelta(hours=1), now - self.asked_at)
        return self.due * max(0.0, since.total_seconds()) ** 2

    @property
    def is_rich(self) -> bool:
        """Whether a GET is sure to bring many."""
        return self.due * self.yielded >= MANY


def whose(turns: Iterable[Turn], now: datetime) -> Turn | None:
    """Return whose turn it is, if anything is due."""
    return max((turn for turn in turns if turn.due), key=lambda turn: turn.weight(now), default=None)


def opening(turn: Turn, sent: Sequence[datetime], windows: Sequence[Window], now: datetime) -> datetime:
    """Return from when on the GET of this turn may go; ``sent`` are the latest requests, ascending."""
    instant = gate.next_instant(sent, windows, now)
    if turn.asked_at is not None and turn.due < turn.most:
        instant = max(instant, turn.asked_at + LEAST / 2)
    if turn.is_rich:
        return instant
    for window in windows:
        used = [at for at in sent if at > now - window.span]
        if used and window.span >= gate.MINUTE:
            instant = max(instant, _steadily(used, window), _evenly(used, window))
    return instant


def _steadily(used: Sequence[datetime], window: Window) -> datetime:
    """Return when the next request may go if a few go at once, and the others so that the window is never used up."""
    few = max(1, int(window.count * BURST))
    apart = window.span / (window.count - few) if window.count > few else window.span
    full_at = used[0]
    for at in used:
        full_at = min(max(full_at, at) + apart, at + few * apart)
    return full_at - (few - 1) * apart


def _evenly(used: Sequence[datetime], window: Window) -> datetime:
    """Return when the next request may go if what is left lasts until the first of those made leaves the window."""
    left = window.count - len(used)
    if left <= 0 or left > len(used):
        return used[-1]
    return used[-1] + (used[0] + window.span - used[-1]) / (left + 1)
