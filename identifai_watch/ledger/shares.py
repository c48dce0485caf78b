"""Folders that several hosts share: which node has one, and how another comes to have it.

A node has a share by a claim on its folder, as on any row that it works on: the claim is renewed, and lapses when it is
not. Who may see the share, and what follows from having it, is left to others.
"""

import json
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from identifai_watch.ledger import closing, dialects, reading, rows, work
from identifai_watch.ledger.claims import TTL
from identifai_watch.ledger.schema import files, folders, nodes
from identifai_watch.ledger.step import Claimant

_IDS: sa.BindParameter[list[int]] = sa.bindparam("ids", expanding=True)
_NAMED = folders.c.id.in_(_IDS)
_OURS = sa.and_(_NAMED, folders.c.claim == sa.bindparam("token"))
# Locked until the transaction ends: as long as it writes of a folder, nobody else comes to have that.
_HOLD = (
    sa.select(folders.c.id, folders.c.claimed_until)
    .where(_OURS)
    .order_by(folders.c.id)
    .with_for_update(key_share=True)
)
_HAD = sa.select(folders.c.id, folders.c.claimed_by, folders.c.claimed_until).where(_NAMED)
_HAD_ALONE = _HAD.with_for_update(skip_locked=True, key_share=True)
_OTHERS = sa.select(nodes.c.node, nodes.c.report).where(
    nodes.c.node != sa.bindparam("node"), nodes.c.ended_at.is_(None)
)


_LYING = (
    sa.select(files.c.parent, files.c.name, files.c.lies_at)
    .where(files.c.folder_id == sa.bindparam("folder"), reading.PRESENT, files.c.missing == 0)
    .order_by(files.c.id.desc())
    .limit(sa.bindparam("most"))
)


class Had(NamedTuple):
    """Who has a share, and until when that holds if it is not renewed; None where nobody ever had it."""

    node: str | None
    until: datetime | None

    def is_by_other(self, node: str, now: datetime) -> bool:
        """Tell whether another node than ``node`` has it."""
        return self.node not in {None, node} and self.until is not None and self.until > now


def had(tx: sa.Connection, ids: Collection[int]) -> dict[int, Had]:
    """Return who has shares, by their numbers."""
    return {row.id: Had(row.claimed_by, row.claimed_until) for row in tx.execute(_HAD, {"ids": list(ids)})}


def hold(tx: sa.Connection, claimant: Claimant, ids: Collection[int]) -> dict[int, datetime]:
    """Return until when this run has those of the shares ``ids`` that it has.

    These nobody else can come to have before the transaction ends.
    """
    if not ids:
        return {}
    found = tx.execute(_HOLD, {"ids": list(ids), "token": claimant.token})
    return {row.id: row.claimed_until for row in found}


def renew(tx: sa.Connection, claimant: Claimant, ids: Collection[int], now: datetime) -> datetime:
    """Hold shares of this run for another 15 s; return until when that is."""
    values = {"claimed_until": now + TTL}
    tx.execute(sa.update(folders).where(_OURS).values(values), {"ids": list(ids), "token": claimant.token})
    return now + TTL


def claim(tx: sa.Connection, claimant: Claimant, folder_id: int, now: datetime) -> datetime | None:
    """Claim a share and return until when; None if another node has it, or is just about to.

    A node that is not alive has nothing: what it had is free at once, not only once its claim lapses.
    """
    row = tx.execute(_HAD_ALONE, {"ids": [folder_id]}).first()
    if row is None:
        return None
    before = Had(row.claimed_by, row.claimed_until)
    if before.is_by_other(claimant.node, now) and is_alive(tx, before.node):
        return None
    values = {"claimed_by": claimant.node, "claim": claimant.token, "claimed_until": now + TTL}
    tx.execute(sa.update(folders).where(folders.c.id == folder_id).values(values))
    return now + TTL


def is_alive(tx: sa.Connection, node: str | None) -> bool:
    """Tell whether a node's daemon runs, as far as its lock tells."""
    return node is not None and node in dialects.alive(tx, [node])


def give_up(tx: sa.Connection, claimant: Claimant, ids: Collection[int]) -> None:
    """Let other nodes have shares that this run has, and tell them."""
    values: dict[str, Any] = {"ids": list(ids), "token": claimant.token}
    if tx.execute(sa.update(folders).where(_OURS).values(work.UNCLAIMED), values).rowcount > 0:
        for node, _ in _others(tx, claimant.node):
            closing.stir(tx, node=node)


def is_wanted(tx: sa.Connection, claimant: Claimant, name: str) -> bool:
    """Tell whether another node that is alive sees the share of that name, and waits for it."""
    for node, report in _others(tx, claimant.node):
        for one in report.get("folders", []):
            waits = one["name"] == name and one.get("watched_by") is not None
            if waits and one["health"] != "unavailable" and is_alive(tx, node):
                return True
    return False


def lying(tx: sa.Connection, folder_id: int, most: int) -> list[bytes]:
    """Return where the newest files of a share lie, relative to it: who sees none of them sees another place."""
    found = tx.execute(_LYING, {"folder": folder_id, "most": most})
    paths = [row.lies_at or rows.join(row.parent, row.name) for row in found]
    return [path for path in paths if not path.startswith(b"/")]


def _others(tx: sa.Connection, node: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the other nodes that did not say that they ended, with what they reported last."""
    for row in tx.execute(_OTHERS, {"node": node}).all():
        yield row.node, json.loads(row.report)
