"""Ask for a thumbnail: from the cache, or made by the one thread that has the confined process work, in turn."""

import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

from identifai_watch.core.model import Media
from identifai_watch.previews.cache import Cache
from identifai_watch.previews.decoder import Decoder, Failure
from identifai_watch.previews.webp import Thumbnail, thumbnail

_WAITING = 64
"""Files that wait their turn, each with its descriptor open; whoever asks for more gets nothing, now."""

_LASTING = frozenset({Failure.REFUSED, Failure.LATE, Failure.DIED})
"""What is a matter of the content, and would come again."""


MISSING = "there are no thumbnails: they need pip install 'identifai-watch[previews]'"
"""What people are told where ``available`` says no."""


def available() -> bool:
    """Tell whether the libraries that decode are installed; none of them is imported for it."""
    return all(find_spec(library) is not None for library in ("PIL", "av"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    sha256: bytes
    media: Media
    descriptor: int
    future: "Future[Thumbnail | None]" = field(default_factory=Future)


class Previews:
    """Thumbnails, kept in ``directory`` within ``megabytes``; with 0 of them, or without the libraries, there are none.

    ``seconds`` is how long the confined process may take over one file; ``clock`` tells seconds since the epoch.
    """

    def __init__(
        self,
        directory: Path,
        megabytes: int,
        *,
        seconds: float = 20,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._are_wanted = megabytes > 0 and available()
        self._cache = Cache(directory, megabytes * 1_000_000, clock)
        self._decoder = Decoder(seconds)
        self._waiting: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._under_way: dict[tuple[bytes, Media], _Job] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def problem(self) -> str | None:
        """Why no thumbnail can be kept, in words; None while they can."""
        return self._cache.problem

    def thumbnail(
        self,
        sha256: bytes,
        media: Media,
        open_file: Callable[[], int],
        within: timedelta = timedelta(seconds=5),
    ) -> Thumbnail | None:
        """Return the thumbnail of a content; None if there is none, or none within that time.

        Any thread may ask. What is late is made all the same, and there the next time. ``open_file`` is called in the
        caller's thread, if at all; it opens a file for reading that has this content, by its fingerprint (a descriptor,
        which is closed here), and what it raises is raised.
        """
        if not self._are_wanted:
            return None
        kept = self._kept(sha256, media)
        if kept is not None or self._cache.has_failed(sha256, media):
            return kept
        job = self._under_way.get((sha256, media)) or self._queued(sha256, media, open_file)
        try:
            return None if job is None else job.future.result(within.total_seconds())
        except TimeoutError:
            return None

    def _kept(self, sha256: bytes, media: Media) -> Thumbnail | None:
        content = self._cache.picture(sha256, media)
        return None if content is None else thumbnail(content)

    def close(self) -> None:
        """End the thread and its process; what waits gets nothing."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._are_wanted = False
        if thread is not None:
            self._waiting.put(None)

    def _queued(self, sha256: bytes, media: Media, open_file: Callable[[], int]) -> _Job | None:
        if len(self._under_way) >= _WAITING:
            return None
        mine = _Job(sha256=sha256, media=media, descriptor=open_file())
        with self._lock:
            job = self._under_way.get((sha256, media))
            if job is None and self._are_wanted:
                job = self._under_way[sha256, media] = mine
                self._waiting.put(mine)
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._work, name="previews", daemon=True)
                    self._thread.start()
        if job is not mine:
            os.close(mine.descriptor)
        return job

    def _work(self) -> None:
        try:
            while (job := self._waiting.get()) is not None:
                made = None
                try:
                    made = self._made(job)
                finally:
                    os.close(job.descriptor)
                    with self._lock:
                        del self._under_way[job.sha256, job.media]
                    job.future.set_result(made)
            with suppress(queue.Empty):
                while (job := self._waiting.get_nowait()) is not None:
                    os.close(job.descriptor)
                    job.future.set_result(None)
        finally:
            self._decoder.stop()

    def _made(self, job: _Job) -> Thumbnail | None:
        # Another process on the same cache, or the job before, may have been quicker.
        kept = self._kept(job.sha256, job.media)
        if kept is not None:
            return kept
        answer = self._decoder.decode(job.descriptor, job.media)
        if answer is Failure.DIED:
            # Perhaps not of this file: the system may have been short of memory. Once more tells.
            answer = self._decoder.decode(job.descriptor, job.media)
        made = thumbnail(answer) if isinstance(answer, bytes) else None
        if made is not None:
            self._cache.keep(job.sha256, job.media, made.content)
        elif isinstance(answer, bytes) or answer in _LASTING:
            self._cache.keep_failure(job.sha256, job.media)
        return made
