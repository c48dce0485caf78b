"""Events of a folder's tree as hints, from inotify by way of watchdog. Nothing's correctness depends on one.

What watchdog does not tell by itself is asked for by ``Watch.problem``: dead threads, a root that is another
directory now, an exhausted limit. Directories are watchdog's, which keeps the watches of a tree whole; of files we hear
where it reads, before it pairs renames at a cost that grows with the square of their number.
"""

import ctypes
import errno
import os
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.inotify import InotifyEmitter, InotifyObserver
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, WatchDescriptor

# Without the directory classes a directory that is moved in gives nothing; with Opened and ClosedNoWrite our
# own hashing would flood the queue.
_FILTER: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileModifiedEvent,
    DirCreatedEvent,
    DirMovedEvent,
]
_OWN = {"max_user_watches": "user.max_inotify_watches", "max_user_instances": "user.max_inotify_instances"}
_IN_DELETE_SELF = 0x400
_OF_A_FILE = InotifyConstants.IN_CREATE | InotifyConstants.IN_MODIFY | InotifyConstants.IN_CLOSE_WRITE
_NOT_OF_A_FILE = (
    InotifyConstants.IN_ISDIR
    | InotifyConstants.IN_DELETE_SELF
    | InotifyConstants.IN_UNMOUNT
    | InotifyConstants.IN_IGNORED
    | InotifyConstants.IN_Q_OVERFLOW
)

STORM = 5_000
"""Different names told within a second: more than that are a storm, of which a scan learns more cheaply."""


class NoticeKind(StrEnum):
    """What an event asks for."""

    FILE = "file"  # a file was created, written or closed
    RENAMED = "renamed"  # a file got its name by a rename
    DIRECTORY = "directory"  # a directory appeared: scan it
    OVERFLOW = "overflow"  # events were lost: scan all
    STORM = (
        "storm"  # more came than is worth hearing of, and nothing more is told: scan all, and arm a new watch
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One hint; ``path`` is relative to the root, b"" for the root itself."""

    path: bytes
    kind: NoticeKind


class UnwatchableError(Exception):
    """The tree cannot be watched; scanning goes on. Says what the operator can do about it."""


class Watch:
    """Watches the tree below ``root``.

    ``notice`` is called from threads of the watch, for each event; it must be quick and must not raise.
    """

    def __init__(self, root: bytes, notice: Callable[[Notice], None], *, recursive: bool) -> None:
        self._root = os.path.realpath(root)
        self._recursive = recursive
        self._prefix = self._root.rstrip(b"/") + b"/"
        self._notice = notice
        self._observer: _Observer | None = None
        self._place = (0, 0)
        self._telling = threading.Lock()
        self._gust = Gust(STORM)
        self._has_given_way = False

    def start(self) -> None:
        """Arm the watch; what is created from now on is told.

        Raises:
            UnwatchableError: it cannot be armed, or not for all directories; nothing is left running.
        """
        # It warns of a directory that it finds twice, in its listing and by its event, as `mkdir -p` makes them.
        warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
        self._gust, self._has_given_way = Gust(STORM), False
        try:
            observer = self._observer = _Observer(self._told)
            observer.schedule(
                _Handler(self._told), os.fsdecode(self._root), recursive=self._recursive, event_filter=_FILTER
            )
            observer.start()
            self._place = _place(self._root)
            _probe(self._root)
        except OSError as error:
            self.stop()
            raise UnwatchableError(self._explained(error)) from error

    def stop(self) -> None:
        """End the watch and its threads; like ``start`` a matter of the folder's own thread, for it may wait."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()

    @property
    def has_given_way(self) -> bool:
        """Whether a storm has ended it."""
        return self._has_given_way

    def problem(self) -> str | None:
        """Say why events may be missing from now on, None while all is well; to be asked every cycle.

        Looks at the root, so it may hang with the file system; the remedy is to stop and start anew.
        """
        observer = self._observer
        if observer is None:
            return "the watch is not started"
        if self._has_given_way:
            return "the watch has given way to a storm"
        if not observer.is_whole():
            return "the watch has ended, as it does when its directory is deleted"
        try:
            if _place(self._root) != self._place:
                return "another directory lies at the folder's path now"
            _probe(self._root)
        except OSError as error:
            return self._explained(error)
        return None

    def _told(self, path: bytes, kind: NoticeKind) -> None:
        """Hand a notice on; in a storm the one that says so, and then nothing.

        In a storm nothing more is read either: each event would cost the interpreter's lock, which all others wait for.
        """
        if path.startswith(self._prefix):
            path = path[len(self._prefix) :]
        elif path == self._root:
            path = b""
        else:
            return
        with self._telling:
            if self._has_given_way:
                return
            is_storm = kind is not NoticeKind.OVERFLOW and self._gust.grows(path, monotonic())
            self._has_given_way = is_storm
        if not is_storm:
            self._notice(Notice(path=path, kind=kind))
            return
        if self._observer is not None:
            self._observer.end_reading()
        self._notice(Notice(path=b"", kind=NoticeKind.STORM))

    def _explained(self, error: OSError) -> str:
        if error.errno == errno.ENOSPC:
            needed = _power_above(2 * _directories(self._root)) if self._recursive else 0
            return _sysctl("max_user_watches", "the limit of inotify watches is reached", needed)
        if error.errno == errno.EMFILE:
            return _sysctl("max_user_instances", "the limit of inotify instances is reached", 0)
        return f"it cannot be watched: {error.strerror or error}"


class Gust:
    """Counts the different names that are told in one second: a file that is written for long is one, however often told."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: set[bytes] = set()
        self._began = 0.0

    def grows(self, name: bytes, now: float) -> bool:
        """Take in a name that is told at ``now``, in monotonic seconds; tell whether there are too many."""
        if now - self._began >= 1:
            self._began = now
            self._names.clear()
        self._names.add(name)
        return len(self._names) > self._most


class _Observer(InotifyObserver):
    """watchdog's observer, which tells here what it keeps to itself: a lost event, and that its reader is dead.

    It says of a lost event only to its logger, and that before it has put its watches anew: what happens in
    between is lost too, so a scan that begins at once may miss it. Hence the hook, which tells afterwards.
    """

    def __init__(self, told: Callable[[bytes, NoticeKind], None]) -> None:
        super().__init__(generate_full_events=True)
        self._told = told
        self._handle = self._inotify_fd.handle_event
        # Its reader has no other place to hook in; no watch is put yet, so there are no events yet.
        self._inotify_fd.handle_event = self._read  # type: ignore[method-assign]

    def _read(self, event: InotifyEvent) -> None:
        """Take one event, in the reader's thread: of a file it is told at once, all else is watchdog's."""
        above = None if event.mask & _NOT_OF_A_FILE or not event.name else self._path_of(event.wd)
        if above is None:
            self._handle(event)
            if event.is_queue_overflow:
                for emitter in self.emitters:
                    self._told(os.fsencode(emitter.watch.path), NoticeKind.OVERFLOW)
        elif event.mask & (InotifyConstants.IN_MOVED_TO | _OF_A_FILE):
            is_move = event.mask & InotifyConstants.IN_MOVED_TO
            path = above.rstrip(b"/") + b"/" + event.name
            self._told(path, NoticeKind.RENAMED if is_move else NoticeKind.FILE)

    def _path_of(self, descriptor: WatchDescriptor) -> bytes | None:
        """Return the directory that a watch is on; None while its watches are being put."""
        for emitter in self.emitters:
            group = emitter._inotify if isinstance(emitter, InotifyEmitter) else None  # noqa: SLF001 - no other way to it
            if group is not None:
                return group._active_callbacks_by_watch.get(descriptor)  # noqa: SLF001 - likewise
        return None

    def end_reading(self) -> None:
        """Read no more, and have the kernel keep nothing more for us; may be called in the reader's own thread."""
        with suppress(
            KeyError
        ):  # over directories that were swapped, as below; the descriptor is closed by then
            self._inotify_fd.stop()

    def on_thread_stop(self) -> None:
        """End its threads; over directories that were swapped it stumbles, and would leave two of them behind.

        One waits for the next event in a queue that nobody closed, the other reads on.
        """
        groups = [one._inotify for one in self.emitters if isinstance(one, InotifyEmitter)]  # noqa: SLF001 - no other way to it
        try:
            super().on_thread_stop()
        except KeyError:
            for group in groups:
                if group is not None:
                    group._move_event_grouper.close()  # noqa: SLF001 - likewise
            self._inotify_fd.stop()
            self._inotify_fd.join()

    def is_whole(self) -> bool:
        """Say whether all its threads live; watchdog's own word is of one of them."""
        threads: list[threading.Thread] = [self, self._inotify_fd, *self.emitters]
        return bool(self.emitters) and all(thread.is_alive() for thread in threads)


class _Handler(FileSystemEventHandler):
    """Turns watchdog's events into notices and does nothing else: an exception here would end its thread.

    They are of directories, and of the files that it finds in one that has just come.
    """

    def __init__(self, told: Callable[[bytes, NoticeKind], None]) -> None:
        self._told = told

    def dispatch(self, event: FileSystemEvent) -> None:
        # With full events a move out has no destination, one that came from outside no source.
        is_move = isinstance(event, FileMovedEvent | DirMovedEvent)
        path = os.fsencode(event.dest_path if is_move else event.src_path)
        self._told(path, _kind(event, is_move=is_move))


def _kind(event: FileSystemEvent, *, is_move: bool) -> NoticeKind:
    if event.is_directory:
        return NoticeKind.DIRECTORY
    return NoticeKind.RENAMED if is_move else NoticeKind.FILE


def _place(root: bytes) -> tuple[int, int]:
    """Say which directory lies at the path now: another one is there if it was made anew or mounted over."""
    result = os.stat(root)  # noqa: PTH116  (paths are bytes)
    return result.st_dev, result.st_ino


def _probe(root: bytes) -> None:
    """Add one more watch and drop it: watchdog says nothing if one below the root failed.

    That there is no instance left for the probe is no trouble of a watch that has one.

    Raises:
        OSError: the limit of watches is reached.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    if descriptor < 0:
        return
    try:
        if libc.inotify_add_watch(descriptor, root, _IN_DELETE_SELF) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)


def _directories(root: bytes) -> int:
    return sum(1 for _ in os.walk(root))


def _power_above(count: int) -> int:
    return 1 << count.bit_length()


def _sysctl(name: str, what: str, needed: int) -> str:
    """Say the exact line; the limit is doubled, or made so that this tree has room twice.

    ``fs.inotify`` has the limit of the whole system, ``user`` that of our user namespace, a container's for instance:
    the lower one holds, and outside of containers the two are one (inotify(7), namespaces(7)).
    """
    keys = (f"fs.inotify.{name}", _OWN[name])
    limits = {key: limit for key in keys if (limit := _limit(key)) is not None} or {keys[0]: 0}
    key = min(limits, key=limits.__getitem__)
    proposed = max(needed, _power_above(limits[key]), 1024)
    return f"{what} ({limits[key]:,} allowed): run 'sysctl -w {key}={proposed}'"


def _limit(key: str) -> int | None:
    """Return the limit that a sysctl stands for, None if it cannot be read, as in some sandboxes."""
    with suppress(OSError, ValueError), open(f"/proc/sys/{key.replace('.', '/')}", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read())
    return None
