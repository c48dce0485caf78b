"""What the pretend identifAI remembers: its account, its analyses, and every request, for tests to look at.

The server's loop writes; any thread may read, change the script, or wait for something to happen.
"""

import hashlib
import itertools
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import Condition
from typing import Any

from identifai_watch.core.model import Label, Media
from identifai_watch.simulator.limiter import Admissions
from identifai_watch.simulator.script import Endpoint, Fault, Script, changed
from identifai_watch.simulator.upload import Upload
from identifai_watch.simulator.verdicts import Document, Submission, document

_REQUESTS_KEPT = 100_000
_ENDLESS = 1_000_000.0
_NOT_IN_CACHE_KEY = frozenset({"ref_id", "webhook_url", "no_cache"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request: ``at`` is monotonic seconds when its head was read, ``status`` None if it got no answer."""

    endpoint: Endpoint
    method: str
    path: str
    query: str
    at: float
    status: int | None


class State:
    """The account, its analyses and its requests under one script."""

    def __init__(self, script: Script) -> None:
        self._changed = Condition()
        self._script = script
        self._faults: list[list[int | None]] = []
        self._requests: deque[Received] = deque(maxlen=_REQUESTS_KEPT)
        self._arrived: Counter[Endpoint] = Counter()
        self._counts: Counter[tuple[Endpoint, int | None]] = Counter()
        self._analyses: dict[str, Submission] = {}
        self._cache: dict[str, str] = {}
        self._charged: list[Submission] = []
        self._taken: list[Submission] = []
        self._forced: dict[tuple[Media, bytes], Label] = {}
        self._fresh = itertools.count(1)
        self.posts = Admissions()
        self.gets = Admissions()
        self.change({})

    # What tests and other threads use.

    @property
    def script(self) -> Script:
        """Return the script as it is now."""
        return self._script

    @property
    def requests(self) -> tuple[Received, ...]:
        """Return the last 100,000 requests that have ended, in the order in which they ended."""
        with self._changed:
            return tuple(self._requests)

    @property
    def charged(self) -> tuple[Submission, ...]:
        """Return every analysis that was paid for."""
        with self._changed:
            return tuple(self._charged)

    @property
    def taken(self) -> tuple[Submission, ...]:
        """Return what each upload that was taken led to: an analysis paid for, or one that was there already."""
        with self._changed:
            return tuple(self._taken)

    @property
    def throttled(self) -> int:
        """Return how many requests were answered 429."""
        return self.count(status=429)

    def count(self, *endpoints: Endpoint, status: int | None = None) -> int:
        """Return how many requests have ended; only those of ``endpoints`` and with ``status``, if given."""
        with self._changed:
            return sum(
                number
                for (endpoint, given), number in self._counts.items()
                if (not endpoints or endpoint in endpoints) and status in {None, given}
            )

    def arrived(self, endpoint: Endpoint) -> int:
        """Return how many requests to ``endpoint`` have come, those that are under way included."""
        return self._arrived[endpoint]

    def forced(self, media: Media, sha256: bytes) -> Label | None:
        """Return what an override forces for these bytes."""
        return self._forced.get((media, sha256))

    def credits(self) -> tuple[float, int]:
        """Return the credits that are left and those that were spent."""
        granted = _ENDLESS if self._script.credits is None else self._script.credits
        return granted - len(self._charged), len(self._charged)

    def change(self, changes: Mapping[str, Any]) -> Script:
        """Change fields of the script; new faults start afresh. Raise ``ValueError`` for a wrong one."""
        with self._changed:
            self._script = changed(self._script, changes)
            if "faults" in changes or not self._faults:
                self._faults = [[fault.skip, fault.times] for fault in self._script.faults]
            self._changed.notify_all()
            return self._script

    def wait_for(self, reached: Callable[["State"], bool], *, seconds: float = 10.0) -> bool:
        """Wait until ``reached`` holds, looking whenever a request comes or ends; return whether it came to that."""
        with self._changed:
            return self._changed.wait_for(lambda: reached(self), timeout=seconds)

    # What the service does.

    def record(self, received: Received) -> None:
        """Remember a request that has ended."""
        with self._changed:
            self._requests.append(received)
            self._counts[received.endpoint, received.status] += 1
            self._changed.notify_all()

    def arrive(self, endpoint: Endpoint, media: Media | None) -> Fault | None:
        """Count a request that has come, and return what is to go wrong with it."""
        with self._changed:
            self._arrived[endpoint] += 1
            self._changed.notify_all()
            for fault, left in zip(self._script.faults, self._faults, strict=True):
                if fault.match not in {None, endpoint} or fault.media not in {None, media}:
                    continue
                skip, times = left
                if skip:
                    left[0] = skip - 1
                elif times is None or times > 0:
                    left[1] = None if times is None else times - 1
                    return fault
        return None

    def submit(
        self, media: Media, upload: Upload, fields: Mapping[str, str], *, arrived_at: float, at: float
    ) -> Submission | None:
        """Return the analysis of an upload, an earlier one if there is, None if there are no credits for it."""
        options = {name: value for name, value in fields.items() if name not in _NOT_IN_CACHE_KEY}
        no_cache = fields.get("no_cache") == "true"
        keyed = options | ({"ref_id": fields.get("ref_id", "")} if self._script.ref_id_in_cache_key else {})
        key = _digest([media, upload.sha256.hex(), sorted(keyed.items())])
        with self._changed:
            if not no_cache and key in self._cache:
                self._taken.append(self._analyses[self._cache[key]])
                return self._taken[-1]
            if self.credits()[0] < 1:
                return None
            submission = Submission(
                identifier=_digest([key, next(self._fresh)]) if no_cache else key,
                media=media,
                sha256=upload.sha256,
                size=upload.size,
                name=upload.name,
                mime=upload.mime,
                options=options,
                arrived_at=arrived_at,
                at=at,
                ref_id=fields.get("ref_id"),
                no_cache=no_cache,
            )
            self._analyses[submission.identifier] = submission
            self._cache[key] = submission.identifier
            self._charged.append(submission)
            self._taken.append(submission)
            self._changed.notify_all()
            return submission

    def result(self, media: Media, identifier: str) -> Document | None:
        """Return the result as it stands now, None if there is none of that kind by this name."""
        submission = self._analyses.get(identifier)
        if submission is None or submission.media is not media:
            return None
        forced = self.forced(media, submission.sha256)
        return document(submission, self._script, now=time.monotonic(), forced=forced)

    def force(self, media: Media, sha256: bytes, label: Label) -> bool:
        """Force ``label`` for these bytes; False if they were never submitted."""
        with self._changed:
            if not any(_is_of(submission, media, sha256) for submission in self._analyses.values()):
                return False
            self._forced[media, sha256] = label
            self._changed.notify_all()
            return True

    def summary(self) -> Document:
        """Return what other processes are shown: counts, credits, and the analyses that were paid for.

        Each has ``at``, seconds on the clock that all processes of a machine share (clock_gettime(2), CLOCK_MONOTONIC).
        """
        left, spent = self.credits()
        return {
            "requests": {str(endpoint): self.count(endpoint) for endpoint in Endpoint},
            "throttled": self.throttled,
            "credits": {"left": left, "spent": spent},
            "charged": list(map(_shown, self.charged)),
        }


def _is_of(submission: Submission, media: Media, sha256: bytes) -> bool:
    return submission.media is media and submission.sha256 == sha256


def _shown(submission: Submission) -> Document:
    return {
        "identifier": submission.identifier,
        "media": submission.media,
        "sha256": submission.sha256.hex(),
        "size": submission.size,
        "name": submission.name,
        "mime": submission.mime,
        "options": dict(submission.options),
        "ref_id": submission.ref_id,
        "no_cache": submission.no_cache,
        "at": submission.at,
        "arrived_at": submission.arrived_at,
    }


def _digest(parts: Iterable[object]) -> str:
    return hashlib.sha256(json.dumps(list(parts)).encode()).hexdigest()
