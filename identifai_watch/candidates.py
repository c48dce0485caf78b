"""The paths of one folder on their way in, kept in memory only.

``Candidates`` are those that settle: what is known of each, and when to look at it next. ``Whole`` are those that
have settled and wait for their digest, in the order in which they are read.
"""

import heapq
from collections.abc import Callable, ItemsView, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Generic, TypeVar

from identifai_watch.core import settling
from identifai_watch.core.settling import Candidate, Policy, Wait
from identifai_watch.folder.look import Look

MOST_IN_BATCH = 200
MOST_BYTES = 64 * 1024 * 1024
"""Bytes of a batch of digests, so that what comes later and is more urgent does not wait long."""

BIG = 100_000_000
"""Bytes: files above this never take all threads that hash, nor all slots for uploads."""

_LATEST = datetime.max.replace(tzinfo=UTC)
_Urgency = tuple[bool, int, timedelta]
_Line = list[tuple[_Urgency, int, bytes]]

Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(slots=True, kw_only=True, eq=False)
class Batch(Generic[Item, Found]):
    """Items that one job takes one after another; ``found`` grows with each, so that it is known which one failed.

    ``taken`` counts those whose result the loop has taken in.
    """

    items: Sequence[Item]
    found: list[Found] = field(default_factory=list)
    taken: int = 0

    def run(self, do: Callable[[Item], Found]) -> "Batch[Item, Found]":
        """Do every item, in the job's thread."""
        for item in self.items:
            self.found.append(do(item))
        return self

    @property
    def failed_at(self) -> int:
        """Which item raised: in its thread, or where the loop took its result in."""
        return len(self.found) if len(self.found) < len(self.items) else self.taken


@dataclass(slots=True, kw_only=True)
class Entry:
    """A path on its way in: what settling knows of it, and how it is to be taken.

    ``noticed_at`` is its place in the order: an archive's file that was released is no newer than the archive.
    ``whole_at`` is when it had settled.
    """

    candidate: Candidate
    due: datetime
    why: str
    noticed_at: datetime
    backlog: bool = False
    priority: int = 0
    is_looked_at: bool = False
    look: Look | None = None
    is_digested: bool = False
    whole_at: datetime | None = None

    @property
    def urgency(self) -> _Urgency:
        """Its place in line: what is new before the backlog, then by priority, then the newest."""
        return self.backlog, -self.priority, _LATEST - self.noticed_at

    @property
    def size(self) -> int:
        """Its bytes at the last look."""
        return 0 if self.look is None else self.look.fingerprint.size

    @property
    def is_big(self) -> bool:
        """Whether it must leave a thread to the others."""
        return self.size > BIG

    def hasten(self, priority: int) -> None:
        """Take it as something new with this priority: somebody asks for it, which is no change of the file."""
        self.priority, self.backlog = max(self.priority, priority), False


class Candidates:
    """The candidates of one folder, by path; ``policy`` says how long a file of it settles."""

    def __init__(self, policy: Callable[[], Policy]) -> None:
        self._policy = policy
        self._entries: dict[bytes, Entry] = {}
        self._heaps: tuple[list[tuple[datetime, bytes]], ...] = ([], [], [])
        """What is to be looked at, and when: first what needs one look only, then what is new, then the backlog."""

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, path: bytes) -> bool:
        return path in self._entries

    def get(self, path: bytes) -> Entry | None:
        """Return the entry of a path, if it is a candidate."""
        return self._entries.get(path)

    def items(self) -> ItemsView[bytes, Entry]:
        """Return the candidates with their entries, as they were noticed."""
        return self._entries.items()

    def notice(
        self,
        path: bytes,
        now: datetime,
        *,
        renamed: bool,
        backlog: bool,
        priority: int,
        noticed_at: datetime | None = None,
    ) -> None:
        """Take in that a path was named, for the first time or again; what is new of any telling stays so.

        ``noticed_at`` is its place in the order, if that is not ``now``.
        """
        old = self._entries.get(path)
        is_news = old is None or (old.backlog and not backlog)
        entry = Entry(
            candidate=settling.notice(None if old is None else old.candidate, now, renamed=renamed),
            due=now,
            why="it was just noticed",
            noticed_at=noticed_at or now if old is None or is_news else old.noticed_at,
            backlog=backlog and (old is None or old.backlog),
            priority=priority if old is None else max(priority, old.priority),
            is_looked_at=old is not None and old.is_looked_at,
        )
        self._entries[path] = entry
        self._is_whole(path, entry, now)

    def due(self, now: datetime, most: int) -> list[bytes]:
        """Return the paths that are to be looked at now; each is then under a look until ``looked`` or ``put_off``."""
        paths: list[bytes] = []
        for heap in self._heaps:
            while heap and heap[0][0] <= now and len(paths) < most:
                due, path = heapq.heappop(heap)
                entry = self._entries.get(path)
                if entry is not None and entry.due == due and not entry.is_looked_at:
                    entry.is_looked_at = True
                    paths.append(path)
        return paths

    def looked(self, path: bytes, found: Look, now: datetime) -> Entry | None:
        """Take in a look; return the entry, which is a candidate no more, if the file is whole."""
        entry = self._entries.get(path)
        if entry is None:
            return None
        entry.is_looked_at = False
        entry.look = found
        entry.candidate = settling.sampled(entry.candidate, found.sample, now, self._policy().granularity)
        return self._entries.pop(path) if self._is_whole(path, entry, now) else None

    def put_off(self, path: bytes, until: datetime, why: str) -> None:
        """Look again at ``until``: it could not be looked at, for the reason ``why``."""
        entry = self._entries[path]
        entry.is_looked_at = False
        self._wait(path, entry, until, why)

    def drop(self, path: bytes) -> None:
        """Forget a path; an event or a scan may name it again."""
        self._entries.pop(path, None)

    def next_due(self) -> datetime | None:
        """Return when the next look is due."""
        return min((heap[0][0] for heap in self._heaps if heap), default=None)

    def growing(self, since: datetime) -> list[tuple[bytes, str]]:
        """Return those that were noticed before ``since`` and still wait, with the reason."""
        return [
            (path, entry.why) for path, entry in self._entries.items() if entry.candidate.noticed_at <= since
        ]

    def _is_whole(self, path: bytes, entry: Entry, now: datetime) -> bool:
        """Tell whether a candidate is whole; if not, remember when to look at it again."""
        decision = settling.decide(entry.candidate, now, self._policy())
        if isinstance(decision, Wait):
            self._wait(path, entry, decision.until, decision.why)
        return not isinstance(decision, Wait)

    def _wait(self, path: bytes, entry: Entry, until: datetime, why: str) -> None:
        entry.due, entry.why = until, why
        heap = self._heaps[2 if entry.backlog else 0 if entry.candidate.renamed else 1]
        heapq.heappush(heap, (until, path))


class Whole:
    """The whole files of one folder that wait for their digest or are being read, by path."""

    def __init__(self) -> None:
        self._entries: dict[bytes, Entry] = {}
        self._lines: dict[bool, _Line] = {is_big: [] for is_big in (False, True)}
        self._turns = count()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, path: bytes) -> bool:
        return path in self._entries

    def items(self) -> ItemsView[bytes, Entry]:
        """Return the files with their entries, as they came."""
        return self._entries.items()

    def put(self, path: bytes, entry: Entry) -> None:
        """Put a file in line."""
        entry.is_digested = False
        self._entries[path] = entry
        heapq.heappush(self._lines[entry.is_big], (entry.urgency, next(self._turns), path))

    def hasten(self, path: bytes, priority: int) -> None:
        """Let a file go ahead in line."""
        entry = self._entries[path]
        entry.hasten(priority)
        if not entry.is_digested:
            self.put(path, entry)

    def is_current(self, path: bytes, entry: Entry) -> bool:
        """Tell whether what is read of a path is still awaited: it may have been noticed again."""
        return self._entries.get(path) is entry

    def drop(self, path: bytes) -> None:
        """Forget a path: it is admitted, or settles anew."""
        self._entries.pop(path, None)

    def backlog(self) -> list[tuple[bytes, Entry]]:
        """Return what was there before the daemon and is not being read."""
        return [item for item in self._entries.items() if item[1].backlog and not item[1].is_digested]

    def batch(self, *, big: bool = True) -> list[tuple[bytes, Entry]]:
        """Take what is to be read next, the most urgent first; one file at least, however large, if ``big`` ones may go."""
        kinds = [is_big for is_big in self._lines if big or not is_big]
        taken: list[tuple[bytes, Entry]] = []
        size = 0
        while len(taken) < MOST_IN_BATCH:
            line = min((self._lines[is_big] for is_big in kinds if self._has(is_big=is_big)), default=None)
            if line is None:
                break
            path = line[0][-1]
            entry = self._entries[path]
            size += entry.size
            if taken and size > MOST_BYTES:
                break
            heapq.heappop(line)
            entry.is_digested = True
            taken.append((path, entry))
        return taken

    def _has(self, *, is_big: bool) -> bool:
        """Tell if any wait in a line; drop from its front what is read already, gone from here, or has another place."""
        line = self._lines[is_big]
        while line:
            urgency, _, path = line[0]
            entry = self._entries.get(path)
            if (
                entry is not None
                and not entry.is_digested
                and (entry.urgency, entry.is_big) == (urgency, is_big)
            ):
                return True
            heapq.heappop(line)
        return False
