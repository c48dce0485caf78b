"""Events of real files through the real inotify, as hints."""

import ctypes
import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from watchdog.observers.inotify import InotifyEmitter

from identifai_watch.folder.watch import (
    Gust,
    Notice,
    NoticeKind,
    UnwatchableError,
    Watch,
)
from tests.harness import wait_for

PATIENCE = 30.0
"""Seconds that a test waits for what must come."""


@dataclass
class Ear:
    """Hears the notices and waits for them."""

    heard: list[Notice] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, notice: Notice) -> None:
        """Hear one, on the watch's own thread."""
        with self.news:
            self.heard.append(notice)
            self.news.notify_all()

    def wait_for(self, kind: NoticeKind, path: bytes) -> None:
        """Wait until this has been heard."""
        expected = Notice(path=path, kind=kind)
        with self.news:
            assert self.news.wait_for(lambda: expected in self.heard, PATIENCE), (expected, self.heard[-20:])


def comes_true(condition: Callable[[], bool]) -> bool:
    """Wait for what another thread brings about and does not tell."""
    deadline = time.monotonic() + PATIENCE
    nobody = threading.Event()
    while not condition() and time.monotonic() < deadline:
        nobody.wait(0.01)
    return condition()


@pytest.fixture
def ear() -> Ear:
    """Hears what the watch of the test tells."""
    return Ear()


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """An empty folder."""
    (tmp_path / "drop").mkdir()
    return tmp_path / "drop"


@pytest.fixture
def watch(drop: Path, ear: Ear) -> Iterator[Watch]:
    """A watch of the folder, under way."""
    watch = Watch(os.fsencode(drop), ear, recursive=True)
    watch.start()
    yield watch
    watch.stop()


@pytest.mark.usefixtures("watch")
def test_a_written_file_is_noticed(drop: Path, ear: Ear) -> None:
    """By its path below the root."""
    (drop / "a.jpg").write_bytes(b"x")
    ear.wait_for(NoticeKind.FILE, b"a.jpg")


@pytest.mark.usefixtures("watch")
def test_names_are_bytes(drop: Path, ear: Ear) -> None:
    """A name that is no UTF-8 is told as it is."""
    (drop / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"x")
    ear.wait_for(NoticeKind.FILE, b"caf\xe9.jpg")


@pytest.mark.usefixtures("watch")
def test_a_rename_within_the_folder_is_noticed(drop: Path, ear: Ear) -> None:
    """A file is written as .part and then gets its final name."""
    (drop / "a.jpg.part").write_bytes(b"x")
    (drop / "a.jpg.part").rename(drop / "a.jpg")
    ear.wait_for(NoticeKind.RENAMED, b"a.jpg")


@pytest.mark.usefixtures("watch")
def test_a_rename_into_the_folder_is_noticed(drop: Path, ear: Ear) -> None:
    """From outside, where nothing was watched."""
    outside = drop.parent / "a.jpg"
    outside.write_bytes(b"x")
    outside.rename(drop / "a.jpg")
    ear.wait_for(NoticeKind.RENAMED, b"a.jpg")


@pytest.mark.usefixtures("watch")
def test_a_hard_link_is_noticed(drop: Path, ear: Ear) -> None:
    """It is created and never closed."""
    outside = drop.parent / "a.jpg"
    outside.write_bytes(b"x")
    (drop / "a.jpg").hardlink_to(outside)
    ear.wait_for(NoticeKind.FILE, b"a.jpg")


@pytest.mark.usefixtures("watch")
def test_new_directories_are_noticed_and_watched(drop: Path, ear: Ear) -> None:
    """Created or moved in: each asks for a scan, and what is written there later is noticed."""
    (drop / "new").mkdir()
    ear.wait_for(NoticeKind.DIRECTORY, b"new")
    (drop / "new" / "a.jpg").write_bytes(b"x")
    ear.wait_for(NoticeKind.FILE, b"new/a.jpg")
    (drop.parent / "outside" / "deep").mkdir(parents=True)
    (drop.parent / "outside").rename(drop / "moved")
    ear.wait_for(NoticeKind.DIRECTORY, b"moved")
    (drop / "moved" / "deep" / "b.jpg").write_bytes(b"x")
    ear.wait_for(NoticeKind.FILE, b"moved/deep/b.jpg")


@pytest.mark.usefixtures("watch")
def test_a_renamed_directory_goes_by_its_new_name(drop: Path, ear: Ear) -> None:
    """What is written there is noticed where it lies now."""
    (drop / "old").mkdir()
    ear.wait_for(NoticeKind.DIRECTORY, b"old")
    (drop / "old").rename(drop / "new")
    ear.wait_for(NoticeKind.DIRECTORY, b"new")
    (drop / "new" / "a.jpg").write_bytes(b"x")
    ear.wait_for(NoticeKind.FILE, b"new/a.jpg")


@pytest.mark.usefixtures("watch")
def test_reading_moving_out_and_deleting_ask_for_nothing(drop: Path, ear: Ear) -> None:
    """Our own hashing must not flood the queue; that something is gone is for the scan to find."""
    (drop / "a.jpg").write_bytes(b"x")
    (drop / "b.jpg").write_bytes(b"x")
    ear.wait_for(NoticeKind.FILE, b"b.jpg")
    ear.heard.clear()
    (drop / "a.jpg").read_bytes()
    (drop / "a.jpg").unlink()
    (drop / "b.jpg").rename(drop.parent / "b.jpg")
    (drop / "last.jpg").write_bytes(b"x")
    ear.wait_for(NoticeKind.FILE, b"last.jpg")
    assert {b"last.jpg"} == {notice.path for notice in ear.heard if notice.path not in {b"a.jpg", b"b.jpg"}}
    assert not any(notice.kind is NoticeKind.RENAMED for notice in ear.heard)


def test_a_folder_that_is_not_recursive_hears_of_itself_alone(drop: Path, ear: Ear) -> None:
    """What happens in a sub-directory is not told."""
    (drop / "sub").mkdir()
    watch = Watch(os.fsencode(drop), ear, recursive=False)
    watch.start()
    try:
        (drop / "sub" / "a.jpg").write_bytes(b"x")
        (drop / "b.jpg").write_bytes(b"x")
        ear.wait_for(NoticeKind.FILE, b"b.jpg")
        assert {b"b.jpg"} == {notice.path for notice in ear.heard}
    finally:
        watch.stop()


def test_a_root_that_is_a_link_is_watched(drop: Path, ear: Ear) -> None:
    """The operator means the directory, and paths are below it."""
    link = drop.parent / "link"
    link.symlink_to(drop)
    watch = Watch(os.fsencode(link), ear, recursive=True)
    watch.start()
    try:
        (link / "a.jpg").write_bytes(b"x")
        ear.wait_for(NoticeKind.FILE, b"a.jpg")
        assert watch.problem() is None
    finally:
        watch.stop()


def test_a_full_queue_is_told(drop: Path, ear: Ear, watch: Watch) -> None:
    """The kernel drops events when too many are unread: we ask for a scan, and what follows is noticed again."""
    events = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    paths = [drop / "a.jpg", drop / "b.jpg"]
    for path in paths:
        path.write_bytes(b"x")
    observer = watch._observer
    assert observer is not None
    with observer._inotify_fd._lock:  # its reader waits meanwhile
        for number in range(2 * events):  # by turns, for equal events in a row are joined
            os.utime(paths[number % 2])
    ear.wait_for(NoticeKind.OVERFLOW, b"")
    (drop / "later.jpg").write_bytes(b"x")
    ear.wait_for(NoticeKind.FILE, b"later.jpg")
    assert watch.problem() is None


def test_a_stopped_watch_listens_no_more(drop: Path, ear: Ear) -> None:
    """Nor does it leave threads or descriptors behind."""
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    threads = threading.active_count()
    watch = Watch(os.fsencode(drop), ear, recursive=True)
    watch.start()
    assert watch.problem() is None
    watch.stop()
    assert watch.problem() == "the watch is not started"
    assert comes_true(lambda: threading.active_count() <= threads)
    assert descriptors == len(list(Path("/proc/self/fd").iterdir()))
    watch.stop()


def test_a_watch_can_be_started_again(drop: Path, ear: Ear) -> None:
    """That is the remedy for each of its problems."""
    watch = Watch(os.fsencode(drop), ear, recursive=True)
    for name in ("a.jpg", "b.jpg"):
        watch.start()
        (drop / name).write_bytes(b"x")
        ear.wait_for(NoticeKind.FILE, os.fsencode(name))
        watch.stop()


def test_a_deleted_root_is_a_problem(drop: Path, watch: Watch) -> None:
    """Also when another directory was made in its place: the emitter is dead, though watchdog seems alive."""
    shutil.rmtree(drop)
    drop.mkdir()
    assert comes_true(
        lambda: watch.problem() == "the watch has ended, as it does when its directory is deleted"
    )


def test_a_root_that_was_renamed_is_a_problem(drop: Path, watch: Watch) -> None:
    """There are no more events and all threads are alive: its inode tells."""
    drop.rename(drop.parent / "away")
    assert watch.problem() == "it cannot be watched: No such file or directory"
    drop.mkdir()
    assert watch.problem() == "another directory lies at the folder's path now"


def test_a_dead_reader_is_a_problem(watch: Watch) -> None:
    """The thread that reads the queue is nobody's to see but ours."""
    observer = watch._observer
    assert observer is not None
    observer._inotify_fd.stop()
    assert comes_true(lambda: watch.problem() is not None)


def test_a_root_that_is_not_there_cannot_be_watched(drop: Path, ear: Ear) -> None:
    """The error says why, and nothing is left running."""
    threads = threading.active_count()
    with pytest.raises(UnwatchableError, match="No such file or directory"):
        Watch(os.fsencode(drop / "none"), ear, recursive=True).start()
    assert comes_true(lambda: threading.active_count() <= threads)


LIMITED = """
import os, pathlib, sys
from identifai_watch.folder.watch import UnwatchableError, Watch
pathlib.Path("/proc/sys/user/" + sys.argv[2]).write_text(sys.argv[3])
watch = Watch(os.fsencode(sys.argv[1]), print, recursive=True)
try:
    watch.start()
    print(watch.problem())
except UnwatchableError as error:
    print("unwatchable:", error)
"""


def limited(drop: Path, limit: str, number: int) -> str:
    """Watch the folder in a user namespace of its own, where a limit can be set without harm to others."""
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        sys.executable,
        "-c",
        LIMITED,
        str(drop),
        limit,
        str(number),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode != 0:
        pytest.skip(f"no user namespace here: {done.stderr.splitlines()[-1:]}")
    return done.stdout.strip()


def test_too_few_watches_are_told_with_the_remedy(drop: Path) -> None:
    """Of a sub-directory that could not be watched watchdog says nothing; the line names the limit that holds."""
    for number in range(30):
        (drop / str(number)).mkdir()
    found = limited(drop, "max_inotify_watches", 10)
    told = "unwatchable: the limit of inotify watches is reached (10 allowed): run 'sysctl -w "
    assert found.startswith(told)
    proposed = int(found.removesuffix("'").removeprefix(f"{told}user.max_inotify_watches="))
    assert proposed > 31


def test_the_limit_of_the_whole_system_is_named_where_the_own_is_no_lower(drop: Path, ear: Ear) -> None:
    """Outside of containers it is fs.inotify that is raised, to more than it was."""
    allowed = int(Path("/proc/sys/fs/inotify/max_user_watches").read_text())
    told = Watch(os.fsencode(drop), ear, recursive=True)._explained(OSError(errno.ENOSPC, "no space"))
    head, _, proposed = told.removesuffix("'").rpartition("=")
    assert (
        f"the limit of inotify watches is reached ({allowed:,} allowed): run 'sysctl -w fs.inotify.max_user_watches"
        == head
    )
    assert int(proposed) > allowed


def test_no_watch_at_all_is_told_with_the_remedy(drop: Path) -> None:
    """If even the root cannot be watched, the start says so."""
    found = limited(drop, "max_inotify_watches", 0)
    assert found.startswith("unwatchable: the limit of inotify watches is reached")


def test_no_instance_is_told_with_the_remedy(drop: Path) -> None:
    """Another limit, another line."""
    found = limited(drop, "max_inotify_instances", 0)
    assert "(0 allowed): run 'sysctl -w user.max_inotify_instances=" in found


def test_enough_watches_are_no_problem(drop: Path) -> None:
    """The same way, with room."""
    assert limited(drop, "max_inotify_watches", 1000) == "None"


def test_other_errors_are_told_in_the_systems_words(drop: Path, ear: Ear) -> None:
    """What is no limit needs no sysctl."""
    watch = Watch(os.fsencode(drop), ear, recursive=True)
    error = OSError(errno.EACCES, os.strerror(errno.EACCES))
    assert watch._explained(error) == "it cannot be watched: Permission denied"


def test_a_stop_that_stumbles_leaves_no_thread_behind(drop: Path, ear: Ear) -> None:
    """As after a swap, watchdog knows of a watch whose path it has lost: it ends whole all the same."""
    (drop / "one").mkdir()
    before = {thread.ident for thread in threading.enumerate()}
    watch = Watch(os.fsencode(drop), ear, recursive=True)
    watch.start()
    assert watch._observer is not None
    (emitter,) = watch._observer.emitters
    assert isinstance(emitter, InotifyEmitter)
    assert emitter._inotify is not None
    del emitter._inotify._active_callbacks_by_path[os.fsencode(drop / "one")]
    watch.stop()
    wait_for(
        lambda: {thread.ident for thread in threading.enumerate()} <= before, "every thread of it has ended"
    )


def test_a_watch_over_directories_that_were_swapped_ends_whole(drop: Path, ear: Ear) -> None:
    """Directories that take each other's places at full speed leave neither a thread nor an instance behind."""
    libc = ctypes.CDLL(None, use_errno=True)
    one, other = drop / "one", drop / "other"
    for each in (one, other):
        (each / "below").mkdir(parents=True)
    before = {thread.ident for thread in threading.enumerate()}
    for _ in range(5):
        watch = Watch(os.fsencode(drop), ear, recursive=True)
        watch.start()
        for _ in range(300):
            assert 0 == libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), 2)
        watch.stop()
    wait_for(
        lambda: {thread.ident for thread in threading.enumerate()} <= before, "every thread of it has ended"
    )


def test_a_storm_is_told_once_and_then_nothing_more(
    drop: Path, ear: Ear, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reader has ended, so that what follows costs nothing; a new start hears again."""
    monkeypatch.setattr("identifai_watch.folder.watch.STORM", 50)
    watch.stop()
    watch.start()
    for number in range(200):
        (drop / f"{number:03}.jpg").touch()
    ear.wait_for(NoticeKind.STORM, b"")
    assert watch.has_given_way
    assert "the watch has given way to a storm" == watch.problem()
    assert watch._observer is not None
    reader = watch._observer._inotify_fd
    wait_for(lambda: not reader.is_alive(), "nothing is read any more")
    heard = list(ear.heard)
    (drop / "unheard.jpg").touch()
    assert heard == ear.heard
    assert 1 == sum(notice.kind is NoticeKind.STORM for notice in heard)
    assert 51 > len({notice.path for notice in heard if notice.kind is NoticeKind.FILE})
    watch.stop()
    watch.start()
    (drop / "heard.jpg").touch()
    ear.wait_for(NoticeKind.FILE, b"heard.jpg")
    assert not watch.has_given_way
    assert watch.problem() is None


def test_a_storm_of_directories_is_one_too(
    drop: Path, ear: Ear, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them would ask for a scan of its own."""
    monkeypatch.setattr("identifai_watch.folder.watch.STORM", 50)
    watch.stop()
    watch.start()
    for number in range(200):
        (drop / f"{number:03}").mkdir()
    ear.wait_for(NoticeKind.STORM, b"")


def test_a_gust_counts_the_names_of_one_second() -> None:
    """However often one of them is told; what came a second ago is forgotten."""
    gust = Gust(2)
    assert [False] * 5 == [gust.grows(name, 10.0) for name in (b"a", b"b", b"a", b"b", b"a")]
    assert gust.grows(b"c", 10.9)
    assert not gust.grows(b"d", 11.0)
    assert not gust.grows(b"e", 11.5)
    assert gust.grows(b"f", 11.9)


@pytest.mark.usefixtures("watch")
def test_a_burst_of_renames_costs_no_more_than_each_of_them(drop: Path, ear: Ear) -> None:
    """None of them is kept to be paired with where it came from: watchdog's queue stays empty."""
    outside = drop.parent / "outside"
    outside.mkdir()
    for number in range(500):
        (outside / f"{number:03}.jpg").touch()
    for number in range(500):
        (outside / f"{number:03}.jpg").rename(drop / f"{number:03}.jpg")
    ear.wait_for(NoticeKind.RENAMED, b"499.jpg")
    assert {(f"{number:03}.jpg".encode(), NoticeKind.RENAMED) for number in range(500)} == {
        (notice.path, notice.kind) for notice in ear.heard
    }
