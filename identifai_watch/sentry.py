"""The watch over one folder: armed where events work, set aside in a storm, and what it hears, handed on in batches.

``Sentry`` lives in the loop; arming and setting aside run in the folder's own thread, and hearing in the watch's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock, Thread

from identifai_watch.config import Events, Folder
from identifai_watch.folder.roots import Root
from identifai_watch.folder.watch import Notice, NoticeKind, UnwatchableError, Watch
from identifai_watch.ledger import Transaction
from identifai_watch.shift import Shift
from identifai_watch.witness import Witness

STORMY = "more files came at once than events are worth: it is scanned until that is over"

_OF_FILES = frozenset({NoticeKind.FILE, NoticeKind.RENAMED})


class Mode(StrEnum):
    """How changes are noticed between scans."""

    EVENTS = "events"
    SCAN = "scan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Armed:
    """What came of arming: the watch, or why there is none though events are wanted."""

    watch: Watch | None = None
    unwatchable: str | None = None


class Sentry:
    """The watch over one folder while the daemon runs; ``heard`` is called in the loop with each notice."""

    def __init__(self, shift: Shift, folder: Folder, heard: Callable[[Transaction, Notice], None]) -> None:
        self._shift = shift
        self._folder = folder
        self._heard = heard
        self._log = shift.log.bind(folder=folder.name)
        self.witness = Witness(shift.clock)
        self._watch: Watch | None = None
        self._is_stormy = False
        self._hearing = Lock()
        self._untold: dict[tuple[bytes, bool], Notice] = {}

    @property
    def mode(self) -> Mode:
        """How changes are noticed now."""
        return Mode.SCAN if self._watch is None or self._is_stormy else Mode.EVENTS

    @property
    def remark(self) -> str | None:
        """Why changes are not noticed as they are wont to be, in a storm."""
        return STORMY if self._is_stormy else None

    # In the folder's thread.

    def arm(self, root: Root, distrust: str | None) -> Armed:
        """See that there is a watch that hears, where events are wanted and not distrusted; else set it aside."""
        watch = self._watch
        if self._shift.once or distrust is not None or not wants_events(self._folder, root):
            if watch is not None:
                watch.stop()
            return Armed(unwatchable=distrust)
        if watch is not None:
            problem = watch.problem()
            if problem is None:
                return Armed(watch=watch)
            if not watch.has_given_way:
                self._log.warning("watch lost, arming again", reason=problem)
            watch.stop()
        fresh = Watch(self._folder.root, self._hear, recursive=self._folder.recursive)
        try:
            fresh.start()
        except UnwatchableError as error:
            return Armed(unwatchable=str(error))
        return Armed(watch=fresh)

    # In the watch's threads.

    def _hear(self, notice: Notice) -> None:
        """Keep a notice until the loop takes all that there are: what is said twice of a file is said once."""
        key = (notice.path, notice.kind in _OF_FILES)
        with self._hearing:
            is_first = not self._untold
            self._untold.pop(key, None)  # what was said last stands last
            self._untold[key] = notice
        if is_first:
            self._shift.workers.tell(self._tell, stirs=False)

    # In the loop.

    def take(self, armed: Armed) -> None:
        """Take what came of arming, and hold the events of a watch that is new against the scans from now on."""
        if armed.watch is not self._watch:
            self._watch = armed.watch
            (self.witness.disarmed if armed.watch is None else self.witness.armed)()

    def put_down(self) -> None:
        """End the watch; it joins its threads, of which one may hang on a mount: that is not the loop's to wait for."""
        watch, self._watch = self._watch, None
        if watch is not None:
            Thread(target=watch.stop, name=f"{self._folder.name}/unwatch", daemon=True).start()

    def storm(self) -> None:
        """Take in that a storm has ended the watch: what it brought, the scan finds, and no event had to name it."""
        self.witness.overlooked()
        if not self._is_stormy:
            self._is_stormy = True
            self._log.warning("storm of files, scanning")

    def rest(self) -> None:
        """End a whole scan: the storm is over if the watch that was armed before it has not given way."""
        if self._is_stormy and (self._watch is None or not self._watch.has_given_way):
            self._is_stormy = False
            self._log.info("storm over")

    def _tell(self, tx: Transaction) -> None:
        """Hand on what was heard since; what one notice keeps from being handed on comes with the next round."""
        with self._hearing:
            heard, self._untold = self._untold, {}
        notices = iter(list(heard.values()))
        try:
            for notice in notices:
                self._heard(tx, notice)
        finally:
            for notice in notices:
                self._hear(notice)


def wants_events(folder: Folder, root: Root) -> bool:
    """Tell whether to watch a root: with ``auto`` where its own file system tells of changes."""
    match folder.events:
        case Events.ON:
            return True
        case Events.OFF:
            return False
        case Events.AUTO:
            return not any(_holds(mount.point, root.path) for mount in root.scanned)


def why_scanned(folder: Folder, root: Root) -> str | None:
    """Return why changes on some of a tree are only found by scanning; None where that is as asked."""
    if folder.events is Events.OFF:
        return None
    kinds = sorted({mount.fstype for mount in root.scanned})
    return f"no events on {', '.join(kinds)}" if kinds else None


def _holds(point: bytes, path: bytes) -> bool:
    return path == point or path.startswith(point.rstrip(b"/") + b"/")
