"""The paths of one folder that settle: what is known of each, and when to look at it next; kept in memory only."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from identifai_watch.core import settling
from identifai_watch.core.settling import Candidate, Policy, Wait
from identifai_watch.folder.look import Look


@dataclass(slots=True, kw_only=True)
class Entry:
    """A path on its way in: what settling knows of it, and how it is to be taken."""

    candidate: Candidate
    due: datetime
    why: str
    backlog: bool = False
    priority: int = 0
    is_looked_at: bool = False
    look: Look | None = None
    is_digested: bool = False

    def hasten(self, priority: int) -> None:
        """Take it as something new with this priority: somebody asks for it, which is no change of the file."""
        self.priority, self.backlog = max(self.priority, priority), False


class Candidates:
    """The candidates of one folder, by path; ``policy`` says how long a file of it settles."""

    def __init__(self, policy: Callable[[], Policy]) -> None:
        self._policy = policy
        self._entries: dict[bytes, Entry] = {}
        self._heap: list[tuple[datetime, bytes]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, path: bytes) -> bool:
        return path in self._entries

    def get(self, path: bytes) -> Entry | None:
        """Return the entry of a path, if it is a candidate."""
        return self._entries.get(path)

    def notice(self, path: bytes, now: datetime, *, renamed: bool, backlog: bool, priority: int) -> None:
        """Take in that a path was named, for the first time or again; what is new of any telling stays so."""
        old = self._entries.get(path)
        entry = Entry(
            candidate=settling.notice(None if old is None else old.candidate, now, renamed=renamed),
            due=now,
            why="it was just noticed",
            backlog=backlog and (old is None or old.backlog),
            priority=priority if old is None else max(priority, old.priority),
            is_looked_at=old is not None and old.is_looked_at,
        )
        self._entries[path] = entry
        self._is_whole(path, entry, now)

    def due(self, now: datetime, most: int) -> list[bytes]:
        """Return the paths that are to be looked at now; each is then under a look until ``looked`` or ``put_off``."""
        paths: list[bytes] = []
        while self._heap and self._heap[0][0] <= now and len(paths) < most:
            due, path = heapq.heappop(self._heap)
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
        entry.candidate = settling.sampled(entry.candidate, found.sample, now)
        return self._entries.pop(path) if self._is_whole(path, entry, now) else None

    def put_off(self, path: bytes, until: datetime, why: str) -> None:
        """Look again at ``until``: it could not be looked at, for the reason ``why``."""
        entry = self._entries[path]
        entry.is_looked_at = False
        entry.due, entry.why = until, why
        heapq.heappush(self._heap, (until, path))

    def drop(self, path: bytes) -> None:
        """Forget a path; an event or a scan may name it again."""
        self._entries.pop(path, None)

    def clear(self) -> None:
        """Forget all of them."""
        self._entries.clear()
        self._heap.clear()

    def next_due(self) -> datetime | None:
        """Return when the next look is due."""
        return self._heap[0][0] if self._heap else None

    def growing(self, since: datetime) -> list[tuple[bytes, str]]:
        """Return those that were noticed before ``since`` and still wait, with the reason."""
        return [
            (path, entry.why) for path, entry in self._entries.items() if entry.candidate.noticed_at <= since
        ]

    def _is_whole(self, path: bytes, entry: Entry, now: datetime) -> bool:
        """Tell whether a candidate is whole; if not, remember when to look at it again."""
        decision = settling.decide(entry.candidate, now, self._policy())
        if isinstance(decision, Wait):
            entry.due, entry.why = decision.until, decision.why
            heapq.heappush(self._heap, (entry.due, path))
        return not isinstance(decision, Wait)
