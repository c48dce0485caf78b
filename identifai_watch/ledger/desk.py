"""What operators ask for: one row a command, always legal; the daemon carries it out, or the command itself."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from identifai_watch.ledger import closing
from identifai_watch.ledger.schema import SHARED, commands, folders, nodes

_OPEN = (
    sa.select(commands)
    .where(commands.c.node == sa.bindparam("node"), sa.text("done_at IS NULL"))
    .order_by(commands.c.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something an operator asked for: ``verb`` with ``arguments``; ``answer`` is what came of it."""

    id: int
    at: datetime
    who: str
    verb: str
    arguments: dict[str, Any]
    answer: dict[str, Any] | None


def ask(
    tx: sa.Connection, verb: str, arguments: dict[str, Any], *, who: str, now: datetime, node: str = ""
) -> int:
    """Write a command for the daemon of a ``node`` down, "" in a ledger of one host; return its number."""
    values = {"at": now, "who": who, "verb": verb, "arguments": json.dumps(arguments), "node": node}
    key = tx.execute(sa.insert(commands).values(values).returning(commands.c.id)).scalar_one()
    closing.stir(tx, node=node or None)
    return int(key)


def open_commands(tx: sa.Connection, node: str = "") -> list[Command]:
    """Return what the daemon of a ``node`` was asked for and has not carried out yet, in order."""
    return [_command(row) for row in tx.execute(_OPEN, {"node": node})]


def command(tx: sa.Connection, number: int) -> Command:
    """Return one command."""
    return _command(tx.execute(sa.select(commands).where(commands.c.id == number)).one())


def answered(tx: sa.Connection, number: int, answer: dict[str, Any], now: datetime) -> None:
    """Write down that a command is carried out, and what came of it."""
    tx.execute(
        sa.update(commands).where(commands.c.id == number).values(done_at=now, answer=json.dumps(answer))
    )


def put_node(
    tx: sa.Connection, node: str, *, process: int, since: datetime, now: datetime, report: dict[str, Any]
) -> None:
    """Write what this daemon alone knows, for other processes to read; by that it has not ended."""
    values = {
        "process": process,
        "since": since,
        "seen_at": now,
        "report": json.dumps(report),
        "ended_at": None,
    }
    if tx.execute(sa.update(nodes).where(nodes.c.node == node).values(values)).rowcount == 0:
        tx.execute(sa.insert(nodes).values(node=node, **values))


def end_node(tx: sa.Connection, node: str, now: datetime) -> None:
    """Write that the node's daemon ended as it was meant to."""
    tx.execute(sa.update(nodes).where(nodes.c.node == node).values(ended_at=now))


def is_unended(tx: sa.Connection, node: str) -> bool:
    """Tell whether the node's last daemon ended without a chance to say so."""
    query = sa.select(nodes.c.node).where(nodes.c.node == node, nodes.c.ended_at.is_(None))
    return tx.execute(query).first() is not None


def node_report(tx: sa.Connection, node: str) -> tuple[datetime, dict[str, Any]] | None:
    """Return since when the node's last daemon ran, and what it reported last."""
    found = tx.execute(sa.select(nodes).where(nodes.c.node == node)).first()
    return None if found is None else (found.since, json.loads(found.report))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """What the last daemon of a node told: ``ended_at`` is when it ended as it was meant to, None if it did not."""

    name: str
    since: datetime
    seen_at: datetime
    ended_at: datetime | None
    report: dict[str, Any]


def node_rows(tx: sa.Connection) -> list[NodeRow]:
    """Return all nodes that ever had a daemon, by name."""
    return [
        NodeRow(
            name=row.node,
            since=row.since,
            seen_at=row.seen_at,
            ended_at=row.ended_at,
            report=json.loads(row.report),
        )
        for row in tx.execute(sa.select(nodes).order_by(nodes.c.node))
    ]


def node_names(tx: sa.Connection) -> set[str]:
    """Return the names of all hosts that the ledger knows: that had a daemon, or have a folder."""
    query = sa.union(sa.select(nodes.c.node), sa.select(folders.c.node).where(folders.c.node != SHARED))
    return set(tx.execute(query).scalars())


def sums(tx: sa.Connection, node: str) -> dict[str, Any] | None:
    """Return what the node's daemons counted so far, as they keep it; None if none ever did."""
    found = node_report(tx, node)
    return None if found is None else found[1].get("tally")


def seen_at(tx: sa.Connection, node: str) -> datetime | None:
    """Return when the node's daemon last told how it is; None if none ever did."""
    return tx.execute(sa.select(nodes.c.seen_at).where(nodes.c.node == node)).scalar()


def _command(row: sa.Row[Any]) -> Command:
    return Command(
        id=row.id,
        at=row.at,
        who=row.who,
        verb=row.verb,
        arguments=json.loads(row.arguments),
        answer=None if row.answer is None else json.loads(row.answer),
    )
