"""``explain``: what rules, ledger, account and one look at the disk say of a path, put together."""

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from identifai_watch import circumstances
from identifai_watch.cli import elsewhere
from identifai_watch.cli.gathering import Place, lines_at, nowhere
from identifai_watch.config import Config, Folder
from identifai_watch.core import explaining
from identifai_watch.core.explaining import Circumstances, Explanation
from identifai_watch.core.model import FileState
from identifai_watch.core.sidecar import shown
from identifai_watch.errors import RefusedError
from identifai_watch.folder.ignores import ignored
from identifai_watch.folder.look import fingerprint, ignore_sigio, look
from identifai_watch.folder.opening import FolderError, MissingError, NotRegularError, UnreadableError
from identifai_watch.folder.roots import inspect_root
from identifai_watch.folder.rules import why_not_directory, why_not_file
from identifai_watch.ledger import Ledger, views
from identifai_watch.ledger.views import Left, Line
from identifai_watch.overview import lies_at
from identifai_watch.places import rules_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the ledger knows of a place: the file that stands for it, or why it was left alone."""

    line: Line | None
    left: Left | None
    around: Circumstances


def explain(
    config: Config, ledger: Ledger | None, place: Place, now: datetime
) -> tuple[Explanation, Circumstances]:
    """Return why the file at ``place`` was or was not judged, and what that was decided from.

    Raises:
        RefusedError: The path lies in no watched folder, or there is nothing, and the ledger does not know it.
    """
    elsewhere.check_node(config, ledger, place.node)
    known = _known(config, ledger, place, now)
    if place.node != config.node.name:
        return _there(known, place), known.around
    line, around, folder = known.line, known.around, place.folder
    exists = around.trouble is None and os.path.lexists(place.absolute)
    if line is not None:
        around = _looked(config, line, around)
        found = explaining.of_row(line.file, line.analysis, around)
        if folder is None or not exists:
            return found, around
        if line.file.state is FileState.GONE:
            back = "It was gone, and is there again: the next scan takes it up."
            return replace(found, says=back, remedy=None), around
        if found.state == "waiting":
            return _from_disk(config, folder, place, known), around
        return _with_today(found, folder, place, line), around
    if folder is None:
        raise nowhere(config, place)
    if around.trouble is not None:
        says = f"The ledger does not know it, and its folder is out of reach: {around.trouble}."
        return Explanation(state="not noticed yet", says=says), around
    if not exists:
        raise RefusedError(
            f"there is nothing at {shown(place.absolute)}, and the ledger has never known anything there"
        )
    return _from_disk(config, folder, place, known), around


def _there(known: Known, place: Place) -> Explanation:
    """Explain a file of another host: by the ledger alone, for its disk cannot be looked at from here."""
    if known.line is not None:
        found = explaining.of_row(known.line.file, known.line.analysis, known.around)
    elif known.left is not None:
        found = explaining.of_rule(known.left.reason)
    else:
        raise elsewhere.nowhere(place.node, place.absolute)
    where = f"it lies on {shown(place.node)}: a look at the disk, by explain there, may tell more"
    return replace(found, notes=(*found.notes, where))


def _known(config: Config, ledger: Ledger | None, place: Place, now: datetime) -> Known:
    """Ask the ledger for all that concerns a place, in one transaction."""
    name = "" if place.folder is None else place.folder.name
    if ledger is None:
        around = circumstances.blank(config, shown(place.absolute), name, now)
        return Known(line=None, left=None, around=around)
    with ledger.read() as tx:
        line = next(
            (line for line in lines_at(tx, config, place) if line.file.state is not FileState.SUPERSEDED),
            None,
        )
        number = views.folder_ids(tx, config.node.name, config.shared).get(name)
        left = None if number is None or line is not None else views.left_at(tx, number, place.path)
        if place.node != config.node.name:
            name = "" if line is None else line.file.folder
            left = None if line is not None else elsewhere.left_at(tx, place.node, place.absolute)
        around = circumstances.gathered(
            tx, config, ledger, line, path=shown(place.absolute), folder=name, now=now
        )
    return Known(line=line, left=left, around=around)


def _looked(config: Config, line: Line, around: Circumstances) -> Circumstances:
    """Return the circumstances with where a file lies, and whether it does: a folder out of reach is not asked."""
    path = lies_at(config, line.file)
    if path is None:
        return around
    is_there = os.path.lexists(path) if around.trouble is None else None
    return replace(around, lies_at=shown(path), is_there=is_there)


def _with_today(found: Explanation, folder: Folder, place: Place, line: Line) -> Explanation:
    """Add what a look at the disk tells beyond the ledger: it was changed since, or today's rules leave it alone."""
    notes = list(found.notes)
    rule = _rule(folder, place.path)
    if rule is not None and line.file.lies_at is None:
        notes.append(f"by today's rules it would be left alone ({rule}); what the ledger knows goes on")
    then, now = line.file.fingerprint, fingerprint(os.lstat(place.absolute), network=False)
    as_written = replace(now, ctime_ns=then.ctime_ns, inode=then.inode)
    if not as_written.is_like(then, folder.timestamp_granularity):
        notes.append("it was changed since: when it has settled, it is judged as a new content")
    return replace(found, notes=tuple(notes))


def _rule(folder: Folder, path: bytes) -> str | None:
    """Return the rule of the configuration, or of a file in the tree, by which a path is left alone."""
    try:
        return why_not_file(path, rules_of(folder)) or ignored(folder.root, path)
    except FolderError:
        return None  # its root does not answer: the look tells


def _from_disk(config: Config, folder: Folder, place: Place, known: Known) -> Explanation:
    """Explain a path that no analysis stands for, by its rules and by one look at it."""
    if not os.path.islink(place.absolute) and os.path.isdir(place.absolute):  # noqa: PTH112, PTH114 - bytes
        return _directory(folder, place.path)
    rule = _rule(folder, place.path)
    if rule is not None:
        return explaining.of_rule(rule)
    if known.left is not None:
        found = explaining.of_rule(known.left.reason)
        since = known.left.left_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return replace(found, notes=(f"found so at {since}; looked at again when it or the rules change",))
    ignore_sigio()
    try:
        network = inspect_root(folder.root).network
        seen = look(folder.root, place.path, network=network)
    except FolderError as error:
        return _unseen(error)
    return explaining.of_look(
        place.path.rpartition(b"/")[2],
        seen.sniffed,
        seen.sample,
        folder.media_policy(config.limits.by_media()),
        folder.settle_policy(network=network),
        known.around,
    )


def _directory(folder: Folder, path: bytes) -> Explanation:
    rules = rules_of(folder)
    # A name below it that only a rule for the whole directory takes.
    rule = why_not_directory(path, rules) or _rule(folder, (path + b"/" if path else b"") + b"anything")
    if rule is not None and not rule.startswith("not in include"):
        return explaining.of_rule(rule)
    return Explanation(state="watched", says="It is a directory: the files in it are watched.")


def _unseen(error: FolderError) -> Explanation:
    says = f"It cannot be looked at: {error}."
    match error:
        case NotRegularError():
            return replace(explaining.of_rule(str(error)), remedy=f"{explaining.NOTHING}: {error}")
        case UnreadableError():
            return Explanation(
                state="unreadable", says=says, remedy="give the daemon's user the right to read it"
            )
        case MissingError():
            return Explanation(state="gone", says="It went away while it was looked at.")
        case _:
            return Explanation(state="unavailable", says=says, remedy="it is tried again by itself")
