"""One folder: is it there, on what does it lie, may we write where we have to, and do its rules let anything in?"""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from identifai_watch.cli.preflight import tally
from identifai_watch.cli.preflight.finding import Finding, error, ok, warning
from identifai_watch.cli.preflight.patience import Progress
from identifai_watch.cli.preflight.probing import probe, rename_there_and_back, tells_writers
from identifai_watch.cli.preflight.tally import MOST_ENTRIES, Tally
from identifai_watch.config import Folder
from identifai_watch.core.mounts import below, mount_of
from identifai_watch.core.routing import Action
from identifai_watch.core.sidecar import shown
from identifai_watch.delivery.tree import DIRECTORY, Place
from identifai_watch.folder.opening import FolderError
from identifai_watch.folder.roots import Root, inspect_root, read_mounts
from identifai_watch.places import rules_of
from identifai_watch.sentry import wants_events, why_scanned

_CAP_LEASE = 28


@dataclass(slots=True, kw_only=True)
class FolderLook:
    """A look at one folder; ``directories`` and ``is_watched`` are what the limits of inotify are held against."""

    folder: Folder
    tally: Tally = field(default_factory=Tally)
    is_watched: bool = False

    @property
    def about(self) -> str:
        """What the findings are about."""
        return f"folder {self.folder.name}"

    @property
    def directories(self) -> int:
        """How many watches it needs."""
        return self.tally.directories if self.folder.recursive else 1

    def look(self, progress: Progress) -> Iterator[Finding]:
        """Look at the folder, told step by step to ``progress``."""
        progress.at(f"opening {self.folder.path}")
        try:
            root = inspect_root(self.folder.root)
        except FolderError as wrong:
            yield error(
                self.about,
                f"{self.folder.path} is unavailable: {wrong}",
                "Make or mount it, or let this user read and enter it; the other folders work without it.",
            )
            return
        self.is_watched = wants_events(self.folder, root)
        yield self._there(root)
        reason = why_scanned(self.folder, root)
        if reason is not None:
            yield warning(
                self.about,
                f"{reason}: changes are found within rescan_seconds = {self.folder.rescan_seconds:g}",
                "Lower rescan_seconds if that is too late; a local folder is told of at once.",
            )
        progress.at(f"counting what lies in {self.folder.path}")
        with suppress(FolderError):  # it went away: the next step tells
            tally.count(
                self.folder.root,
                rules_of(self.folder),
                self.tally,
                lambda: progress.at(f"counting what lies in {self.folder.path}"),
                all_directories=self.is_watched and self.folder.recursive,
            )
        yield from self._hidden()
        yield from self._of_all_hosts()
        if self.folder.action is not Action.RECORD:
            yield from self._written(root, progress)

    def _there(self, root: Root) -> Finding:
        mounts = read_mounts()
        own, inside = mount_of(mounts, root.path), below(mounts, root.path)
        mode = "by events" if self.is_watched else "by scanning alone"
        more = "".join(f"; {shown(each.point)} in it on {each.source} ({each.fstype})" for each in inside)
        return ok(self.about, f"{self.folder.path}, watched {mode}, on {own.source} ({own.fstype}){more}")

    def _hidden(self) -> Iterator[Finding]:
        found = self.tally
        if not found.media or found.hidden < found.media:
            return
        of = "" if not found.is_full else f" of the first {MOST_ENTRIES:,}"
        yield warning(
            self.about,
            f"its rules hide every picture, video and sound in it: all {found.hidden:,}{of}; the first by: {found.rule}",
            "Change include, exclude, recursive or .identifai-ignore; identifai-watch explain PATH names a file's rule.",
        )

    def _of_all_hosts(self) -> Iterator[Finding]:
        """Warn of what another host that shares the folder may not have: it delivers there when it takes over."""
        places = sorted({str(place) for place in self.folder.foreign_places().values()})
        if self.folder.shared and places:
            yield warning(
                self.about,
                f"hosts share it, and its results go outside of it: {', '.join(map(shown, places))}",
                "Name places inside the folder, or have the same one at that path on every host.",
            )

    # What is written.

    def _written(self, root: Root, progress: Progress) -> Iterator[Finding]:
        """Make the probe file in the folder, and carry it where its results would go."""
        progress.at(f"writing in {self.folder.path}")
        top = -1
        try:
            top = os.open(root.path, DIRECTORY | os.O_CLOEXEC)
            with probe(top) as probed:
                progress.at(f"asking who writes in {self.folder.path}")
                yield self._writers(probed, root)
                yield from self._destinations(probed, progress)
        except OSError as wrong:
            yield self._cannot(str(self.folder.path), wrong)
        finally:
            if top >= 0:
                os.close(top)

    def _writers(self, probed: Place, root: Root) -> Finding:
        settle = f"settle_seconds = {self.folder.settle_seconds:g}"
        if root.network:
            return ok(
                self.about, "can be written; on a network a file is whole when it was quiet for 10 s or more"
            )
        if not tells_writers(probed):
            return warning(
                self.about,
                f"can be written; its file system does not tell who writes: files are whole by {settle} alone",
                "Raise settle_seconds above the longest pause of whoever writes there, or have files renamed into place.",
            )
        if self.tally.strangers and not has_lease():
            return warning(
                self.about,
                f"can be written; of the {self.tally.strangers:,} files of other users nobody tells who writes: they "
                f"are whole by {settle} alone",
                "Give the service CAP_LEASE, as the unit does.",
            )
        return ok(self.about, "can be written, and tells who writes to a file")

    def _destinations(self, probed: Place, progress: Progress) -> Iterator[Finding]:
        if self.folder.action not in {Action.MOVE, Action.COPY}:
            return
        outcomes: dict[bytes, list[str]] = {}
        for outcome, place in self.folder.destinations().items():
            outcomes.setdefault(place, []).append(outcome)
        for place, named in outcomes.items():
            progress.at(f"writing in {shown(place)}")
            try:
                said = self._reached(probed, place)
            except OSError as wrong:
                yield self._cannot(shown(place), wrong)
            else:
                yield ok(self.about, f"{', '.join(named)}: to {shown(place)}, {said}")

    def _reached(self, probed: Place, place: bytes) -> str:
        """Try a destination with the probe file, and say how files get there."""
        directory, missing = standing(probed.directory, place)
        made = ", which is made by the first" if missing else ""
        try:
            if self.folder.action is Action.COPY:
                with probe(directory):
                    return f"by copy{made}"
            try:
                rename_there_and_back(probed, directory)
            except OSError as wrong:
                if wrong.errno != errno.EXDEV:
                    raise
                with probe(directory):
                    return f"copied and verified across file systems{made}"
            return f"by rename{made}"
        finally:
            os.close(directory)

    def _cannot(self, where: str, wrong: OSError) -> Finding:
        remedy = {
            errno.EROFS: "Mount it writable; for the service, name it in ReadWritePaths= of its drop-in.",
            errno.ENOSPC: "Make room there.",
            errno.EDQUOT: "Make room there, or raise the quota.",
            errno.ENOTDIR: "What has that name is no directory, perhaps a link: move it away, or name the place itself.",
        }
        return error(
            self.about,
            f"{where} cannot be written by user {os.geteuid()}: {wrong.strerror}",
            remedy.get(wrong.errno or 0, 'Let its group write there, or set action = "record".'),
        )


def standing(top: int, place: bytes) -> tuple[int, bool]:
    """Open a destination, or the nearest directory above it that is there, and say whether it is still missing.

    Below the folder, whose root is open as ``top``, no link is followed; an absolute one is the operator's word.
    """
    if place.startswith(b"/"):
        for parent in (path := Path(os.fsdecode(place)), *path.parents):
            with suppress(FileNotFoundError):
                return os.open(parent, DIRECTORY | os.O_CLOEXEC), parent != path
    current = os.dup(top)
    for name in place.split(b"/"):
        try:
            following = os.open(name, DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current)
        except FileNotFoundError:
            return current, True
        except OSError:
            os.close(current)
            raise
        os.close(current)
        current = following
    return current, False


def has_lease() -> bool:
    """Tell whether this process may ask who writes to the files of others (capabilities(7))."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> _CAP_LEASE & 1)
