"""Thumbnails as the page asks for them: kept within a size, made once, and never waited for too long."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from identifai_watch import previews
from identifai_watch.config import default_cache
from identifai_watch.core.model import Media
from identifai_watch.folder.opening import FolderError, open_inside
from identifai_watch.previews import Previews
from identifai_watch.previews.cache import FAILED_SECONDS, Cache
from identifai_watch.previews.thumbnails import _WAITING
from tests.harness import MEDIA, wait_for

NOW, SOON = timedelta(0), timedelta(seconds=60)
PNG = MEDIA / "sample.png"
START = 1_700_000_000.0


def sha256(number: int) -> bytes:
    """Return a content's hash."""
    return hashlib.sha256(number.to_bytes(4, "big")).digest()


def opening(path: Path = PNG) -> Callable[[], int]:
    """Return what opens a file."""
    return lambda: os.open(path, os.O_RDONLY)


def never() -> int:
    """Open nothing; the test fails if it is asked to."""
    raise AssertionError("a file was opened")


@contextmanager
def asked(directory: Path, megabytes: int = 10, **options: Any) -> Iterator[Previews]:
    """Lend what the page asks, and see that it ends."""
    previews = Previews(directory, megabytes, **options)
    try:
        yield previews
    finally:
        thread = previews._thread
        previews.close()
        if thread is not None:
            thread.join(20)
            assert not thread.is_alive()


@contextmanager
def silent() -> Iterator[Callable[[], int]]:
    """Lend what opens a file whose reading never ends."""
    reading, writing = os.pipe()
    try:
        yield lambda: os.dup(reading)
    finally:
        os.close(writing)
        os.close(reading)


def started(previews: Previews) -> int:
    """Wait until its process runs, and return it."""
    return wait_for(lambda: previews._decoder.pid, "the process runs") or 0


def total(directory: Path) -> int:
    """Return what a directory's files take of a disk."""
    return sum(-(-path.stat().st_size // 4096) * 4096 or 4096 for path in directory.iterdir())


# Asking


def test_made_once_and_kept(tmp_path: Path) -> None:
    """A thumbnail is made from the file, and the next time comes from the cache, after a restart too."""
    with asked(tmp_path / "cache") as asking:
        made = asking.thumbnail(sha256(1), Media.IMAGE, opening(), SOON)
    with asked(tmp_path / "cache") as asking:
        kept = asking.thumbnail(sha256(1), Media.IMAGE, never)
        assert asking._decoder.pid is None
    assert made is not None
    assert made == kept
    assert (64, 64) == (made.width, made.height)


def test_what_has_none_is_left_alone_for_a_day(tmp_path: Path) -> None:
    """A file that cannot be shown is not decoded at every view; a day later it is tried again."""
    now = START
    noise = tmp_path / "noise"
    noise.write_bytes(os.urandom(100))
    with asked(tmp_path / "cache", clock=lambda: now) as asking:
        assert asking.thumbnail(sha256(1), Media.IMAGE, opening(noise), SOON) is None
        assert asking.thumbnail(sha256(1), Media.IMAGE, never) is None
        now += FAILED_SECONDS
        assert asking.thumbnail(sha256(1), Media.IMAGE, opening(), SOON) is not None
        assert asking.thumbnail(sha256(1), Media.IMAGE, never) is not None


def test_a_process_that_is_killed_is_started_again(tmp_path: Path) -> None:
    """After a kill -9 while a file is with the process: the file is given to another one."""
    with asked(tmp_path) as asking:
        assert asking.thumbnail(sha256(1), Media.IMAGE, opening(), SOON) is not None
        first = started(asking)
        os.kill(first, signal.SIGSTOP)
        assert asking.thumbnail(sha256(2), Media.IMAGE, opening(), NOW) is None
        os.kill(first, signal.SIGKILL)
        assert asking.thumbnail(sha256(2), Media.IMAGE, opening(), SOON) is not None
        assert first != started(asking)


def test_a_file_over_which_the_process_dies_twice_is_left_alone(tmp_path: Path) -> None:
    """Two deaths over one file are the file's matter."""
    with asked(tmp_path) as asking, silent() as open_silent:
        asking.thumbnail(sha256(1), Media.IMAGE, open_silent, NOW)
        first = started(asking)
        os.kill(first, signal.SIGKILL)
        second = wait_for(
            lambda: asking._decoder.pid not in {None, first} and asking._decoder.pid, "another one"
        )
        os.kill(int(second), signal.SIGKILL)
        wait_for(lambda: Cache(tmp_path, 1).has_failed(sha256(1), Media.IMAGE), "it is remembered")
        assert asking.thumbnail(sha256(1), Media.IMAGE, never) is None
        assert asking.thumbnail(sha256(2), Media.IMAGE, opening(), SOON) is not None


def test_nobody_waits_beyond_the_deadline(tmp_path: Path) -> None:
    """What is late is nothing for now, asked for by how many whatever, and there once it is made."""
    with asked(tmp_path, seconds=30) as asking, silent() as open_silent:
        asking.thumbnail(sha256(0), Media.IMAGE, open_silent, NOW)
        opened: list[int] = []

        def open_png() -> int:
            opened.append(os.open(PNG, os.O_RDONLY))
            return opened[-1]

        for _ in range(3):
            assert asking.thumbnail(sha256(1), Media.IMAGE, open_png, NOW) is None
        assert 1 == len(opened), "made once, however often it is asked for"
        for number in range(2, _WAITING):
            assert asking.thumbnail(sha256(number), Media.IMAGE, opening(), NOW) is None
        assert asking.thumbnail(sha256(_WAITING), Media.IMAGE, never, SOON) is None, "the queue is full"
        first = started(asking)
        os.kill(first, signal.SIGKILL)
        second = wait_for(
            lambda: asking._decoder.pid not in {None, first} and asking._decoder.pid, "another one"
        )
        os.kill(int(second), signal.SIGKILL)
        kept = Cache(tmp_path, 1)
        wait_for(lambda: kept.picture(sha256(_WAITING - 1), Media.IMAGE), "all are made in turn")
        assert asking.thumbnail(sha256(1), Media.IMAGE, never) is not None


def test_a_close_ends_it_all(tmp_path: Path) -> None:
    """What waits at the end gets nothing; no process, thread or descriptor is left."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    with silent() as open_silent, asked(tmp_path, seconds=0.5) as asking:
        asking.thumbnail(sha256(0), Media.IMAGE, open_silent, NOW)
        child = started(asking)
        asking.thumbnail(sha256(1), Media.IMAGE, opening(), NOW)
        thread = asking._thread
        asking.close()
        assert thread is not None
        thread.join(20)
        assert not thread.is_alive()
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
        assert asking.thumbnail(sha256(1), Media.IMAGE, never) is None
    assert before == len(list(Path("/proc/self/fd").iterdir()))


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    """What opening raises reaches whoever asked, and costs nothing."""
    with asked(tmp_path) as asking:
        with pytest.raises(FileNotFoundError):
            asking.thumbnail(sha256(1), Media.IMAGE, opening(tmp_path / "gone"), SOON)
        assert asking.thumbnail(sha256(1), Media.IMAGE, opening(), SOON) is not None


def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    """Opened beneath its folder's root, as the page does it, a link shows nothing of what it leads to."""
    folder = tmp_path / "drop"
    (folder / "in").mkdir(parents=True)
    (folder / "link.png").symlink_to(PNG)
    (folder / "away").symlink_to(MEDIA)
    shutil.copy(PNG, folder / "in" / "a.png")
    root = os.fsencode(folder)
    with asked(tmp_path / "cache") as asking:
        for path in (b"link.png", b"away/sample.png"):
            with pytest.raises(FolderError):
                asking.thumbnail(sha256(1), Media.IMAGE, partial(open_inside, root, path), SOON)
        assert (
            asking.thumbnail(sha256(1), Media.IMAGE, partial(open_inside, root, b"in/a.png"), SOON)
            is not None
        )


def test_a_file_that_cannot_be_read_is_tried_again(tmp_path: Path) -> None:
    """An error of the disk is no matter of the content: nothing is remembered."""
    with asked(tmp_path) as asking:
        # /proc/self/mem cannot be read at 0: EIO, as from a bad disk.
        assert asking.thumbnail(sha256(1), Media.IMAGE, opening(Path("/proc/self/mem")), SOON) is None
        assert asking.thumbnail(sha256(1), Media.IMAGE, opening(), SOON) is not None


def test_the_process_ends_with_us(tmp_path: Path) -> None:
    """A daemon that is killed leaves no process behind."""
    program = f"""
import os, sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from identifai_watch.previews import Previews
from identifai_watch.core.model import Media
from identifai_watch.folder.opening import FolderError, open_inside
asking = Previews(Path({str(tmp_path)!r}), 1, seconds=100)
reading, writing = os.pipe()
asking.thumbnail(bytes(32), Media.IMAGE, lambda: os.open({str(PNG)!r}, os.O_RDONLY), timedelta(seconds=60))
asking.thumbnail(bytes(31) + b"1", Media.IMAGE, lambda: reading, timedelta(0))
print(asking._decoder.pid, flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        place = Path(f"/proc/{child}")
        assert place.exists()
        process.kill()
        process.wait()
        wait_for(lambda: not place.exists() or "Z" in (place / "stat").read_text().split()[2], "it is gone")


# Without


def test_without_the_libraries_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package works without them and says how to have them; it never imports them itself."""
    assert previews.available()
    monkeypatch.setitem(sys.modules, "av", None)
    assert not previews.available()
    assert "identifai-watch[previews]" in previews.MISSING
    with asked(tmp_path) as asking:
        assert asking.thumbnail(sha256(1), Media.IMAGE, never) is None
    program = "import sys, identifai_watch.previews; sys.exit(bool({'PIL', 'av'} & set(sys.modules)))"
    assert 0 == subprocess.run([sys.executable, "-c", program], check=False).returncode


def test_none_are_wanted(tmp_path: Path) -> None:
    """With previews_megabytes = 0 nothing is decoded or written."""
    with asked(tmp_path / "cache", megabytes=0) as asking:
        assert asking.thumbnail(sha256(1), Media.IMAGE, never) is None
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        (
            {"CACHE_DIRECTORY": "/var/cache/identifai-watch:/x", "HOME": "/h"},
            "/var/cache/identifai-watch/previews",
        ),
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c/identifai-watch/previews"),
        ({"HOME": "/h"}, "/h/.cache/identifai-watch/previews"),
    ],
)
def test_where_they_are_kept(environ: dict[str, str], place: str) -> None:
    """In systemd's cache directory, else the user's."""
    assert Path(place) == default_cache(environ)


# The cache


def test_the_least_recently_used_leave_first(tmp_path: Path) -> None:
    """The cache keeps to its size; what was shown lately stays."""
    now = START
    cache = Cache(tmp_path, 1_000_000, lambda: now)
    for number in range(60):
        now += 1000
        cache.keep(sha256(number), Media.IMAGE, bytes(40_000))
        assert cache.picture(sha256(0), Media.IMAGE) is not None
        assert total(tmp_path) <= 1_000_000
    left = [number for number in range(60) if cache.picture(sha256(number), Media.IMAGE) is not None]
    assert 0 == left[0]
    assert list(range(61 - len(left), 60)) == left[1:]
    assert len(left) >= 20, "it is used"


def test_only_its_own_is_removed(tmp_path: Path) -> None:
    """What others put into the directory stays, and no link is followed in or out of it."""
    now = START
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"RIFF")
    directory = tmp_path / "cache"
    directory.mkdir()
    foreign = [directory / name for name in ("notes.txt", f"{sha256(1).hex()}.webp", ".part")]
    for path in foreign:
        path.write_bytes(bytes(50_000))
        os.utime(path, (0, 0))
    link = directory / f"{sha256(2).hex()}-image-1.webp"
    link.symlink_to(elsewhere)
    stale = directory / ".0123456789abcdef.part"
    stale.write_bytes(b"")
    os.utime(stale, (0, 0))
    cache = Cache(directory, 200_000, lambda: now)
    assert cache.picture(sha256(2), Media.IMAGE) is None
    for number in range(3, 30):
        now += 1
        cache.keep(sha256(number), Media.IMAGE, bytes(40_000))
    assert all(path.exists() for path in foreign)
    assert not stale.exists(), "what a killed process left is cleared up"
    assert b"RIFF" == elsewhere.read_bytes()


def test_what_is_broken_in_the_cache_is_made_anew(tmp_path: Path) -> None:
    """A file that was cut short on the disk is no thumbnail."""
    with asked(tmp_path) as asking:
        made = asking.thumbnail(sha256(1), Media.IMAGE, opening(), SOON)
        [path] = tmp_path.iterdir()
        path.write_bytes(path.read_bytes()[:-3])
        assert made == asking.thumbnail(sha256(1), Media.IMAGE, opening(), SOON)
        assert asking.thumbnail(sha256(1), Media.IMAGE, never) == made


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Pictures are shown all the same, and the page can say why each is made anew."""
    (tmp_path / "file").write_text("")
    with asked(tmp_path / "file" / "cache") as asking:
        assert asking.problem is None
        assert asking.thumbnail(sha256(1), Media.IMAGE, opening(), SOON) is not None
        assert f"thumbnails cannot be kept in {tmp_path}/file/cache: Not a directory" == asking.problem


def test_two_processes_on_one_cache(tmp_path: Path) -> None:
    """Both write, read and clear up; what there is stays whole and within its size, but for what is being written."""
    program = f"""
import sys
from pathlib import Path
from typing import Any
from identifai_watch.previews.cache import Cache
from identifai_watch.core.model import Media
from identifai_watch.folder.opening import FolderError, open_inside
cache = Cache(Path({str(tmp_path)!r}), 1_000_000)
for number in range(300):
    content = bytes([number % 256]) * 20_000
    cache.keep(number.to_bytes(32, "big"), Media.IMAGE, content)
    assert cache.picture(number.to_bytes(32, "big"), Media.IMAGE) in (None, content)
    assert cache.problem is None, cache.problem
"""
    both = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(2)]
    assert [0, 0] == [process.wait(60) for process in both]
    assert total(tmp_path) <= 1_000_000
    assert {20_000} == {path.stat().st_size for path in tmp_path.iterdir()}


def test_two_daemons_share_what_is_made(tmp_path: Path) -> None:
    """What one process made, another one shows."""
    with asked(tmp_path) as one, asked(tmp_path) as other:
        made = one.thumbnail(sha256(1), Media.IMAGE, opening(), SOON)
        assert made is not None
        assert made == other.thumbnail(sha256(1), Media.IMAGE, never)


def test_many_threads_at_once(tmp_path: Path) -> None:
    """A page full of pictures is asked for by many threads, and each gets its own."""
    samples = sorted(MEDIA.glob("sample.[bgjpt][inpm]*g"))
    found: dict[int, object] = {}

    def ask(asking: Previews, number: int) -> None:
        found[number] = asking.thumbnail(
            sha256(number), Media.IMAGE, opening(samples[number % len(samples)]), SOON
        )

    with asked(tmp_path) as asking:
        threads = [threading.Thread(target=ask, args=(asking, number)) for number in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert 24 == len(found)
    assert None not in found.values()
    assert all(found[number] == found[number + len(samples)] for number in range(24 - len(samples)))
