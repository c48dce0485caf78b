"""Reading a large file leaves the page cache as it was, so far as it was the reader that filled it."""

import ctypes
import mmap
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from identifai_watch.folder import pages
from identifai_watch.folder.digest import digest
from identifai_watch.folder.look import fingerprint
from identifai_watch.folder.pages import LARGE, WINDOW, wake
from tests.harness import MEDIA, house
from tests.test_folders import SCANNED

SIZE = LARGE + 3 * WINDOW // 2
"""Bytes: large, and ending inside a window."""


def cached(path: Path) -> int:
    """Bytes of a file that are in the page cache, as util-linux tells."""
    command = ["fincore", "--bytes", "--noheadings", "--output", "RES", str(path)]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


def uncached(path: Path, size: int, begin: bytes = b"") -> Path:
    """Make a file of which nothing is in the page cache; skip where the file system keeps it in memory."""
    path.write_bytes(begin)
    os.truncate(path, size)
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    if shutil.which("fincore") is None or cached(path):
        pytest.skip("the page cache cannot be looked at here")
    return path


def read(path: Path) -> None:
    """Take the digest of a file as the daemon does."""
    expected = fingerprint(path.stat(), network=False)
    digest(os.fsencode(path.parent), os.fsencode(path.name), expected=expected, network=False)


def test_a_large_file_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    """Neither its windows nor what is left behind the last one, nor what the kernel read ahead."""
    path = uncached(tmp_path / "video.mp4", SIZE)
    read(path)
    assert 0 == cached(path)


def test_a_small_file_stays_in_the_cache(tmp_path: Path) -> None:
    """The upload reads it again soon."""
    path = uncached(tmp_path / "picture.jpg", LARGE)
    read(path)
    assert cached(path) >= LARGE


def test_what_was_in_the_cache_before_stays_there(tmp_path: Path) -> None:
    """Somebody else put it there: it is left alone by the window; what a look at the first bytes left is not."""
    path = uncached(tmp_path / "video.mp4", SIZE)
    with path.open("rb") as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(opened.fileno(), 8192, 0)
        for window in (5, SIZE // WINDOW):
            os.pread(opened.fileno(), WINDOW, window * WINDOW)
    looked_at = 8192
    assert WINDOW + SIZE % WINDOW + looked_at <= cached(path)
    read(path)
    assert -(-(WINDOW + SIZE % WINDOW) // mmap.PAGESIZE) * mmap.PAGESIZE == cached(path)


def test_an_upload_leaves_nothing_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first look to the delivery: a video is read twice, and a picture is there for the next who wants it."""
    monkeypatch.setattr(pages, "LARGE", 2 * WINDOW)
    with house(tmp_path, folder=SCANNED) as home:
        begin = (MEDIA / "sample.mp4").read_bytes()
        video = uncached(home.drop / "video.mp4", 2 * WINDOW + 1, begin)
        small = uncached(home.drop / "small.mp4", 2 * WINDOW, begin)
        with home.daemon():
            for path in (video, small):
                home.sidecar(path)
    assert 0 == cached(video)
    assert 2 * WINDOW == cached(small)


def test_what_a_reader_that_stops_has_passed_is_let_go(tmp_path: Path) -> None:
    """A stop in the middle leaves no more than what the kernel read ahead of it."""
    path = uncached(tmp_path / "video.mp4", SIZE)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with wake(descriptor, SIZE) as behind:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
            behind.passed(len(os.read(descriptor, WINDOW + 1000)))
            assert cached(path) < WINDOW
    finally:
        os.close(descriptor)
    assert 0 == cached(path)


def test_a_file_that_only_others_may_write_counts_as_not_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel says of it that all is cached, whatever is: it is not asked."""
    path = uncached(tmp_path / "video.mp4", SIZE)
    descriptor = os.open(path, os.O_RDONLY)
    monkeypatch.setattr(os, "geteuid", lambda: os.fstat(descriptor).st_uid + 1)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_: pytest.fail("it was asked"))
    try:
        os.pread(descriptor, 1, 0)
        assert not any(pages._cached(descriptor, SIZE))
    finally:
        os.close(descriptor)
