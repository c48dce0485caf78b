"""Thumbnails on the disk, within a size, the least recently used leaving first; and what had none, for a while.

Several processes may share one directory: files appear by rename, and each process clears up for all. Only names that
are the cache's own are ever read or removed, and no link is followed. It is a cache: a disk that is full or a directory
that cannot be written costs the picture's keeping, never the picture.
"""

import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from identifai_watch.core.model import Media
from identifai_watch.previews.webp import MOST_BYTES

VERSION = 1
"""Of how thumbnails are made; another one makes them anew, and what is there ages out."""

FAILED_SECONDS = 24 * 3600
"""How long a file of which there is no thumbnail is left alone."""

_TOUCHED_SECONDS = 600
"""A picture that is shown again counts as used once in so long."""

_PART_SECONDS = 3600
"""A file that is being written is younger than that."""

_BLOCK = 4096
"""Bytes; what a file takes of a disk is a multiple of it."""

_OWN = re.compile(
    r"[0-9a-f]{64}-(?:image|video|audio)-[0-9]+\.(?P<kind>webp|none)|\.[0-9a-f]{16}\.(?P<part>part)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    name: str
    used: float
    bytes: int


class Cache:
    """The directory, of at most ``limit`` bytes; ``clock`` tells seconds since the epoch."""

    def __init__(self, directory: Path, limit: int, clock: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._limit = limit
        self._clock = clock
        self._unseen = limit
        self.problem: str | None = None
        """Why nothing can be kept, in words; None while it can."""

    def picture(self, sha256: bytes, media: Media) -> bytes | None:
        """Return what is kept of a content, None if that is nothing."""
        name = _name(sha256, media, "webp")
        try:
            with self._opened() as directory:
                descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
                with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
                    content = file.read(MOST_BYTES + 1)
                    if self._clock() - os.fstat(descriptor).st_mtime > _TOUCHED_SECONDS:
                        os.utime(descriptor, (self._clock(),) * 2)
        except OSError:
            return None
        return content

    def has_failed(self, sha256: bytes, media: Media) -> bool:
        """Tell whether there was no thumbnail of a content lately."""
        try:
            with self._opened() as directory:
                mark = os.stat(_name(sha256, media, "none"), dir_fd=directory, follow_symlinks=False)
        except OSError:
            return False
        return self._clock() - mark.st_mtime < FAILED_SECONDS

    def keep(self, sha256: bytes, media: Media, content: bytes) -> None:
        """Keep a picture."""
        self._write(_name(sha256, media, "webp"), content)

    def keep_failure(self, sha256: bytes, media: Media) -> None:
        """Remember that there is no thumbnail of a content."""
        self._write(_name(sha256, media, "none"), b"")

    def _write(self, name: str, content: bytes) -> None:
        part = f".{secrets.token_hex(8)}.part"
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._opened() as directory:
                try:
                    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory)
                    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
                        file.write(content)
                        file.flush()
                        os.utime(descriptor, (self._clock(),) * 2)
                    os.rename(part, name, src_dir_fd=directory, dst_dir_fd=directory)
                except OSError:
                    with suppress(OSError):
                        os.unlink(part, dir_fd=directory)
                    raise
                self._unseen += _on_disk(len(content))
                # Two processes that each add a sixteenth unseen, to what was cleared to seven eighths, are at the limit.
                if self._unseen >= self._limit // 16:
                    self._clear(directory)
                    self._unseen = 0
        except OSError as error:
            self.problem = f"thumbnails cannot be kept in {self._directory}: {error.strerror}"
        else:
            self.problem = None

    def _clear(self, directory: int) -> None:
        """Remove what is too old to be of use, then the least recently used, until there is room again."""
        left = []
        for kept, most_seconds in _own(directory):
            if self._clock() - kept.used > most_seconds:
                _remove(kept, directory)
            else:
                left.append(kept)
        excess = sum(kept.bytes for kept in left) - self._limit * 7 // 8
        for kept in sorted(left, key=lambda kept: kept.used):
            if excess <= 0:
                break
            _remove(kept, directory)
            excess -= kept.bytes

    @contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _own(directory: int) -> Iterator[tuple[_Kept, float]]:
    """Yield what is the cache's own, with the seconds after which it is of no use."""
    with os.scandir(directory) as entries:
        for entry in entries:
            match = _OWN.fullmatch(entry.name)
            if match is None:
                continue
            with suppress(FileNotFoundError):
                found = entry.stat(follow_symlinks=False)
                kept = _Kept(name=entry.name, used=found.st_mtime, bytes=_on_disk(found.st_size))
                ages = {"none": FAILED_SECONDS, "part": _PART_SECONDS}
                yield kept, ages.get(match["kind"] or match["part"], float("inf"))


def _remove(kept: _Kept, directory: int) -> None:
    with suppress(FileNotFoundError):  # another process was quicker
        os.unlink(kept.name, dir_fd=directory)


def _on_disk(size: int) -> int:
    return max(1, -(-size // _BLOCK)) * _BLOCK


def _name(sha256: bytes, media: Media, kind: str) -> str:
    return f"{sha256.hex()}-{media}-{VERSION}.{kind}"
