"""A day of a newsroom and an API that takes its time, on a virtual clock: what polling is measured against.

The decisions are those of the real ``core/polling``, ``core/lifecycle`` and ``core/gate``; here stand only the rows, as the ledger
keeps them, and the API's answers.
"""

import heapq
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count

from identifai_watch.core import gate, lifecycle, polling
from identifai_watch.core.events import Judged, Pending, Uploaded
from identifai_watch.core.gate import Limits
from identifai_watch.core.lifecycle import Policy
from identifai_watch.core.model import Analysis, AnalysisState, Label, Media, Verdict

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ROUND_TRIP = 0.15 * SECOND
HEATMAP = "heatmap"
KEPT = 200

SINGLES = (3, 2, 2, 2, 3, 8, 20, 40, 60, 70, 60, 50, 40, 50, 60, 60, 70, 80, 70, 50, 30, 20, 10, 5)
"""Files that come one by one, in each hour of the day."""

BURSTS = (0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 2, 2, 1, 2, 2, 2, 3, 3, 2, 2, 1, 1, 0, 0)
"""Deliveries of a wire or a card, of 10 to 80 files within seconds, in each hour of the day."""

SLOW = (timedelta(hours=14), timedelta(hours=14, minutes=30))
"""For this half hour the API takes five times as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Something that comes to be judged ``at`` an instant, and takes so long once it is sent."""

    at: datetime
    media: Media
    size: int
    takes: timedelta
    heatmap: bool = False


@dataclass(slots=True, kw_only=True)
class Seen:
    """What came of a simulation: ``waits`` are the seconds from done to known, of verdicts and of ``heatmaps``."""

    gets: int = 0
    waits: list[float] = field(default_factory=list)
    heatmaps: list[float] = field(default_factory=list)
    heatmap_gets: int = 0

    @property
    def per_verdict(self) -> float:
        """GETs for a verdict, without those for heatmaps."""
        return (self.gets - self.heatmap_gets) / max(1, len(self.waits))


def day(hours: int, seed: int = 1) -> list[Content]:
    """Return what comes in the ``hours`` from 9 o'clock on, around the clock."""
    chance = random.Random(seed)
    found: list[Content] = []
    for hour in range(hours):
        of_day = (9 + hour) % 24
        begins = MIDNIGHT + timedelta(hours=hour)
        found += [
            _content(chance, begins + chance.random() * 3600 * SECOND, of_day) for _ in range(SINGLES[of_day])
        ]
        for _ in range(BURSTS[of_day]):
            at = begins + chance.random() * 3600 * SECOND
            found += [
                _content(chance, at + chance.random() * 5 * SECOND, of_day)
                for _ in range(chance.randint(10, 80))
            ]
    return sorted(found, key=lambda one: one.at)


def _content(chance: random.Random, at: datetime, of_day: int) -> Content:
    """Return a content of a newsroom's mix: its time grows with its size, and has a long tail."""
    media = chance.choices((Media.IMAGE, Media.VIDEO, Media.AUDIO), (80, 12, 8))[0]
    match media:
        case Media.IMAGE:
            size, seconds = chance.lognormvariate(math.log(2.5e6), 1.0), 3.0
        case Media.VIDEO:
            size = chance.lognormvariate(math.log(8e7), 1.3)
            seconds = 25.0 * (size / 8e7) ** 0.4
        case Media.AUDIO:
            size, seconds = chance.lognormvariate(math.log(4e6), 0.6), 10.0
    seconds *= chance.lognormvariate(0, 0.4)
    if chance.random() < 0.02:
        seconds *= 10
    since_midnight = timedelta(hours=of_day, minutes=at.minute)
    if SLOW[0] <= since_midnight < SLOW[1]:
        seconds *= 5
    heatmap = media is Media.IMAGE and chance.random() < 0.2
    return Content(at=at, media=media, size=int(size), takes=seconds * SECOND, heatmap=heatmap)


VERDICT = Verdict(
    classification=Label.HUMAN, confidence=0.9, heuristic="Majority", api_version="1.1.0", has_heatmap=True
)


class Rows:
    """The daemon's polling on a virtual clock: rows in memory, the real decisions, an API that answers as it is told."""

    def __init__(
        self,
        contents: Sequence[Content],
        *,
        limits: Limits,
        learnt: Sequence[polling.Took] = (),
        kind: Media = Media.IMAGE,
    ) -> None:
        self.seen = Seen()
        self._limits = limits
        self._windows = limits.windows("GET")
        self._events: list[tuple[datetime, int, Callable[[datetime], None]]] = []
        self._order = count()
        self._rows: dict[int, Analysis] = {}
        self._done_at: dict[int, datetime] = {}
        self._content: dict[int, Content] = {}
        self._heatmaps: list[datetime] = []
        self._sent: list[datetime] = []
        self._again = MIDNIGHT
        self._asking: set[str] = set()
        self._asked: dict[str, tuple[datetime, float]] = {}
        self._took: dict[Media, list[polling.Took]] = {media: [] for media in Media}
        self._took[kind] = list(learnt)
        self._learnt = polling.learn(kind, learnt)
        for number, (at, content) in enumerate(_sent(contents, limits)):
            self._at(at, lambda now, number=number, content=content: self._uploaded(number, content, now))

    def run(self) -> Seen:
        """Let everything come and be judged."""
        while self._events:
            now, _, do = heapq.heappop(self._events)
            do(now)
            self._decide(now)
        return self.seen

    def _at(self, instant: datetime, do: Callable[[datetime], None]) -> None:
        heapq.heappush(self._events, (instant, next(self._order), do))

    def _step(self, row: Analysis, event: Uploaded | Pending | Judged, now: datetime) -> Analysis:
        return lifecycle.advance(row, event, now, Policy(learnt=self._learnt))

    def _uploaded(self, number: int, content: Content, now: datetime) -> None:
        row = Analysis(
            id=number,
            sha256=number.to_bytes(32),
            media=content.media,
            mime="",
            options='{"with_heatmap": true}' if content.heatmap else "{}",
            size=content.size,
            noticed_at=content.at,
            state=AnalysisState.SENDING,
        )
        self._rows[number] = self._step(row, Uploaded(identifier=str(number)), now)
        self._done_at[number] = now + content.takes

    def _decide(self, now: datetime) -> None:
        """Do what the daemon does in a round, and come again when something is due or may go."""
        due = sorted((row.due, row.id) for row in self._rows.values() if row.due is not None)
        reach = max((window.count for window in self._windows), default=1)
        while True:
            turns = [turn for turn in self._turns(due, now) if turn.what not in self._asking]
            turn = polling.whose(turns, now)
            if turn is None:
                again = next((at for at, _ in due if at > now), None)
                break
            again = polling.opening(turn, self._sent[-reach:], self._windows, now)
            if again > now:
                break
            self._ask(turn, now)
        if again is not None and not now < self._again <= again:
            self._again = again
            self._at(again, lambda _: None)

    def _turns(self, due: Sequence[tuple[datetime, int]], now: datetime) -> Iterator[polling.Turn]:
        for media in Media:
            ripe = sum(1 for at, key in due if at <= now and self._rows[key].media is media)
            asked_at, yielded = self._asked.get(media, (None, 0.0))
            yield polling.Turn(what=media, due=min(ripe, polling.AT_ONCE), asked_at=asked_at, yielded=yielded)
        asked_at, _ = self._asked.get(HEATMAP, (None, 0.0))
        yield polling.Turn(what=HEATMAP, due=int(bool(self._heatmaps)), most=1, asked_at=asked_at)

    def _ask(self, turn: polling.Turn, now: datetime) -> None:
        self._sent.append(now)
        self.seen.gets += 1
        self._asking.add(turn.what)
        if turn.what == HEATMAP:
            self.seen.heatmap_gets += 1
            self._at(now + ROUND_TRIP, self._heatmap_came)
            return
        rows = [row for row in self._rows.values() if row.media == turn.what and row.due is not None]
        likely = [row for row in rows if row.due is not None and row.due <= now + polling.MOST]
        batch = sorted(likely, key=lambda row: row.due or now)[: polling.AT_ONCE]
        left = [row for row in rows if row not in batch] if len(batch) == polling.AT_ONCE else []
        self._at(now + ROUND_TRIP, lambda at: self._answered(turn, batch, left, at))

    def _heatmap_came(self, now: datetime) -> None:
        self._asking.discard(HEATMAP)
        self._asked[HEATMAP] = (now - ROUND_TRIP, 1.0)
        self.seen.heatmaps.append((now - self._heatmaps.pop(0)).total_seconds())

    def _answered(
        self, turn: polling.Turn, batch: Sequence[Analysis], left: Sequence[Analysis], now: datetime
    ) -> None:
        self._asking.discard(turn.what)
        judged = [row for row in batch if self._done_at[row.id] <= now - ROUND_TRIP / 2]
        self._asked[turn.what] = (now - ROUND_TRIP, len(judged) / len(batch))
        for row in judged:
            after = self._step(row, Judged(VERDICT, b""), now)
            self.seen.waits.append((now - self._done_at[row.id]).total_seconds())
            self._took[row.media].insert(0, (row.size, now - (row.submitted_at or now)))
            if after.heatmap_due is not None:
                self._heatmaps.append(after.heatmap_due)
            del self._rows[row.id]
        if judged:
            media = judged[0].media
            del self._took[media][KEPT:]
            self._learnt = {key: of for key, of in self._learnt.items() if key[0] is not media}
            self._learnt |= polling.learn(media, self._took[media])
        pending = {row.id for row in batch} - {row.id for row in judged}
        for row in batch:
            if row.id in pending:
                self._rows[row.id] = self._step(row, Pending(), now)
        for key, at in polling.presumed(batch, pending, left, now, self._learnt).items():
            self._rows[key] = replace(self._rows[key], due=at)


def _sent(contents: Sequence[Content], limits: Limits) -> Iterator[tuple[datetime, Content]]:
    """Yield when each content is sent, within the account's windows for POST."""
    windows = limits.windows("POST")
    sent: list[datetime] = []
    for content in contents:
        at = gate.next_instant(sent, windows, content.at)
        sent = [*sent[-60:], at]
        yield at, content


def naive(contents: Sequence[Content], *, limits: Limits, every: timedelta = 5 * SECOND) -> Seen:
    """Ask for each identifier by itself, every 5 s, as fast as the windows let the requests through."""
    seen = Seen()
    windows = limits.windows("GET")
    reach = max((window.count for window in windows), default=1)
    sent: list[datetime] = []
    line = [
        (at + every, number, at + content.takes)
        for number, (at, content) in enumerate(_sent(contents, limits))
    ]
    heapq.heapify(line)
    while line:
        due, number, done_at = heapq.heappop(line)
        at = gate.next_instant(sent, windows, max(due, sent[-1]) if sent else due)
        sent = [*sent[-reach:], at]
        seen.gets += 1
        if done_at <= at + ROUND_TRIP / 2:
            seen.waits.append((at + ROUND_TRIP - done_at).total_seconds())
        else:
            heapq.heappush(line, (at + every, number, done_at))
    return seen
