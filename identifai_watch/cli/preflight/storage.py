"""The ledger: where it lies, whether there is room, what state it is in. It is not opened for writing, nor migrated."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from identifai_watch import ledger
from identifai_watch.cli.preflight.finding import Finding, error, ok, warning
from identifai_watch.cli.preflight.patience import Progress
from identifai_watch.config import Config
from identifai_watch.core.mounts import Mount, is_network, mount_of
from identifai_watch.errors import LedgerError
from identifai_watch.folder.roots import read_mounts

ABOUT = "ledger"
LEAST_SQLITE = (3, 35)
"""The first that knows RETURNING (sqlite.org/lang_returning.html)."""

ROOM_WARNING = 1_000_000_000
ROOM_ERROR = 50_000_000
"""Bytes: a million files take about a gigabyte; without room nothing is sent any more."""


def look(config: Config, progress: Progress) -> Iterator[Finding]:
    """Look at the ledger's file, or at the place where it will be made; or at the server that it is on."""
    path = config.ledger.path
    if path is None:
        progress.at(f"asking {ledger.shown(config.ledger.url)}")
        yield _of_server(config)
        return
    progress.at(f"looking for {path}")
    above = next(parent for parent in path.parents if _is_there(parent))
    mount = mount_of(read_mounts(), os.fsencode(above.resolve()))
    yield of_sqlite(sqlite3.sqlite_version)
    if is_network(mount.fstype):
        yield misplaced(path, mount)
        return
    progress.at(f"opening {path}")
    yield _state(config, path, above)
    progress.at(f"looking for room in {above}")
    yield room(path, mount, _free(above))


def of_sqlite(version: str) -> Finding:
    """Say which SQLite there is, and whether it is new enough."""
    if tuple(map(int, version.split(".")[:2])) < LEAST_SQLITE:
        least = ".".join(map(str, LEAST_SQLITE))
        return error(
            ABOUT, f"SQLite {version} is too old", f"Use a Python that brings SQLite {least} or newer."
        )
    return ok(ABOUT, f"SQLite {version}")


def misplaced(path: Path, mount: Mount) -> Finding:
    """Say that the ledger would lie where its log is not safe."""
    return error(
        ABOUT,
        f"{path} is on a network file system ({mount.fstype} from {mount.source})",
        "Set ledger.url to a place on a local disk, for instance /var/lib/identifai-watch/ledger.db.",
    )


def room(path: Path, mount: Mount, free: int) -> Finding:
    """Say what the ledger lies on, and whether it has room to grow there; ``free`` is in bytes."""
    said = f"{free / 1e9:,.1f} GB are free on {mount.source} ({mount.fstype}), where {path} lies"
    remedy = "Make room there: without it nothing is sent any more."
    if free < ROOM_ERROR:
        return error(ABOUT, said, remedy)
    return warning(ABOUT, said, remedy) if free < ROOM_WARNING else ok(ABOUT, said)


def _is_there(path: Path) -> bool:
    """Tell whether this user can see a file there; pathlib raises where a directory above is closed to us."""
    return os.path.exists(path)  # noqa: PTH110 - see above


def _free(above: Path) -> int:
    found = os.statvfs(above)
    return found.f_bavail * found.f_frsize


def _state(config: Config, path: Path, above: Path) -> Finding:
    """Say what the ledger is, and whether this user may write it."""
    remedy = "Run this as the service's user, or set ledger.url to another place."
    if not _is_there(path):
        if not os.access(above, os.W_OK | os.X_OK):
            return error(
                ABOUT, f"{path} cannot be made: user {os.geteuid()} may not write in {above}", remedy
            )
        return ok(ABOUT, f"{path} is made at the first start")
    try:
        found = ledger.standing(config.ledger.url, node=config.node.name)
    except LedgerError as wrong:
        return error(ABOUT, str(wrong))
    if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)):
        return error(
            ABOUT, f"{path} cannot be written by user {os.geteuid()}, or not in its directory", remedy
        )
    return _of_standing(
        str(path), found, "a daemon runs on it" if found.is_running else "no daemon runs on it"
    )


def _of_server(config: Config) -> Finding:
    """Say what the ledger on a server is, and whether this node's daemon runs."""
    node = config.node.name
    try:
        found = ledger.standing(config.ledger.url, node=node)
    except LedgerError as wrong:
        return error(ABOUT, str(wrong))
    runs = f"the daemon of node {node} runs" if found.is_running else f"no daemon of node {node} runs"
    return _of_standing(ledger.shown(config.ledger.url), found, runs)


def _of_standing(place: str, found: ledger.Standing, runs: str) -> Finding:
    if found.revision is None:
        return ok(ABOUT, f"{place} is empty; it is made at the first start; {runs}")
    if found.revision > ledger.REVISION:
        return error(
            ABOUT,
            f"{place} was written by a newer version (revision {found.revision})",
            "Install that version, or put the ledger's backup back.",
        )
    is_older = found.revision < ledger.REVISION
    coming = f", which the next start brings to {ledger.REVISION}" if is_older else ""
    return ok(ABOUT, f"{place}, revision {found.revision}{coming}; {runs}")
