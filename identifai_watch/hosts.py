"""The hosts of a ledger, with their folders: whose a file is, and how each daemon last told that it is.

In a ledger that is a file there is one host, whatever it was called when, and nothing is told of hosts.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from identifai_watch.config import Config
from identifai_watch.core import nodes as core_nodes
from identifai_watch.core import report
from identifai_watch.core.health import Health
from identifai_watch.core.model import File
from identifai_watch.core.nodes import Node
from identifai_watch.core.report import SHARED, WatchedFolder
from identifai_watch.core.sidecar import shown
from identifai_watch.core.tally import tally_of
from identifai_watch.ledger import Ledger, Transaction, desk, holds

Key = tuple[str, str]
"""A folder's host, "" in a file and for a share, and its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the last daemon of a host told, and whether that ``is_running``."""

    name: str
    is_running: bool
    since: datetime | None
    seen_at: datetime | None
    ended_at: datetime | None
    report: Mapping[str, Any]

    @property
    def folders(self) -> list[dict[str, Any]]:
        """Its folders, as it told of them."""
        found: list[dict[str, Any]] = self.report.get("folders", [])
        return found

    @property
    def settling(self) -> int:
        """How many files settle there; what a daemon told that runs no more holds no longer."""
        return int(self.report.get("settling", 0)) if self.is_running else 0

    @property
    def uploading(self) -> int:
        """How many uploads are under way there, likewise."""
        return int(self.report.get("uploading", 0)) if self.is_running else 0


def told(tx: Transaction, ledger: Ledger) -> list[Told]:
    """Return what each host told: this one first, which is there in any case, then the others of a server by name."""
    rows = {one.name: one for one in desk.node_rows(tx)}
    names = [ledger.node, *(name for name in rows if ledger.member and name != ledger.node)]
    alive = ledger.alive(tx, names)
    return [_told(name, rows.get(name), is_running=name in alive) for name in names]


def _told(name: str, row: desk.NodeRow | None, *, is_running: bool) -> Told:
    return Told(
        name=name,
        is_running=is_running,
        since=None if row is None else row.since,
        seen_at=None if row is None else row.seen_at,
        ended_at=None if row is None else row.ended_at,
        report={} if row is None else row.report,
    )


def nodes(told: Sequence[Told], now: datetime) -> tuple[Node, ...]:
    """Return the hosts as people are told of them; the first one is the one that asks."""
    return tuple(
        Node(
            name=one.name,
            is_here=number == 0,
            is_running=one.is_running,
            health=core_nodes.health_of(
                (str(folder["health"]) for folder in one.folders), one.ended_at, is_running=one.is_running
            ),
            since=one.since,
            seen_at=one.seen_at,
            ended_at=one.ended_at,
            is_retired=core_nodes.is_retired(one.ended_at, now, is_running=one.is_running),
            version=one.report.get("version"),
            settling=one.settling,
            uploading=one.uploading,
            tally=tally_of(one.report.get("tally")),
        )
        for number, one in enumerate(told)
    )


def pauses(tx: Transaction, ledger: Ledger) -> dict[Key, str]:
    """Return by whom, why and until when nothing of a folder is sent."""
    return {
        (pause.node if ledger.member else "", pause.folder): report.paused(pause.by, pause.why, pause.until)
        for pause in holds.pauses(tx)
    }


def paused(pauses: Mapping[Key, str], ledger: Ledger, node: str, name: str) -> str | None:
    """Return who paused a folder that ``node`` watches, as its own or as one that several hosts share."""
    own = pauses.get((node if ledger.member else "", name))
    return pauses.get((SHARED, name)) if own is None else own


def watched(
    config: Config, ledger: Ledger, told: Sequence[Told], pauses: Mapping[Key, str]
) -> tuple[WatchedFolder, ...]:
    """Return the folders of this host, as configured, then those of the others, as their daemons told of them."""
    here, *others = told
    found = [
        replace(one, node=ledger.member, paused=paused(pauses, ledger, here.name, one.name))
        for one in configured(config, here.folders, is_running=here.is_running)
    ]
    for other in others:
        for one in other.folders:
            folder = report.folder(one["name"], shown(os.fsencode(one["path"])), one)
            if not other.is_running:  # what it told last holds no longer
                idle = f"no daemon runs on {other.name}"
                folder = replace(folder, health=Health.UNAVAILABLE, reason=idle)
            why = paused(pauses, ledger, other.name, folder.name)
            found.append(replace(folder, node=other.name, paused=why))
    return tuple(found)


def configured(
    config: Config, reported: Sequence[Mapping[str, Any]], *, is_running: bool
) -> tuple[WatchedFolder, ...]:
    """Return the folders of the configuration, then those that a running daemon still has from an older one."""
    by_name = {one["name"]: one for one in reported}
    folders = [
        replace(
            report.folder(one.name, shown(one.root), by_name.pop(one.name, None)), shown_at=one.shown_at(b"")
        )
        for one in config.folders
    ]
    if is_running:
        folders += [
            report.folder(name, shown(os.fsencode(one["path"])), one) for name, one in by_name.items()
        ]
    return tuple(folders)


def elsewhere(config: Config, file: File) -> str | None:
    """Return on which host a file lies that does not lie on this one; of what several share none is told."""
    return None if config.is_here(file.node) else file.node
