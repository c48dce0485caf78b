"""The hosts of a ledger that several use, each as its daemon last told how it is."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from identifai_watch.core.health import Health
from identifai_watch.core.sidecar import timestamp
from identifai_watch.core.tally import Tally

DOWN, STOPPED = "down", "stopped"
"""The health of a host whose daemon does not run: it died, or was stopped as it was meant to be."""

RETIRED_AFTER = timedelta(days=7)
"""How long somebody waits for a host whose daemon was stopped as it was meant to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One host: ``is_here`` is the one that asks; ``health`` is the worst of its folders', or DOWN, or STOPPED.

    ``since`` is when its last daemon began, ``seen_at`` when that last told how it is, ``ended_at`` when it ended as it
    was meant to: if that was long ago, nobody waits for it any more (``is_retired``). ``settling`` and ``uploading`` are 0 unless it runs.
    """

    name: str
    is_here: bool
    is_running: bool
    health: str
    since: datetime | None = None
    seen_at: datetime | None = None
    ended_at: datetime | None = None
    is_retired: bool = False
    version: str | None = None
    settling: int = 0
    uploading: int = 0
    tally: Tally = field(default_factory=Tally)


def health_of(healths: Iterable[str], ended_at: datetime | None, *, is_running: bool) -> str:
    """Return how a host is, by its folders' health."""
    if not is_running:
        return DOWN if ended_at is None else STOPPED
    found = set(healths)
    return next((state for state in (Health.UNAVAILABLE, Health.DEGRADED) if state in found), Health.OK)


def is_retired(ended_at: datetime | None, now: datetime, *, is_running: bool) -> bool:
    """Tell whether nobody waits for a host any more: its daemon was stopped as it was meant to be, and long ago."""
    return not is_running and ended_at is not None and now - ended_at > RETIRED_AFTER


def node_json(node: Node) -> dict[str, Any]:
    """Return a host as ``status --json`` tells it."""
    return {
        "name": node.name,
        "here": node.is_here,
        "running": node.is_running,
        "health": node.health,
        "since": timestamp(node.since) if node.is_running else None,
        "seen_at": timestamp(node.seen_at),
        "ended_at": timestamp(node.ended_at),
        "version": node.version,
        "settling": node.settling,
        "uploading": node.uploading,
    }
