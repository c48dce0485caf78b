"""What people are still to be told: written with what it is about, and gone once each channel was told."""

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from identifai_watch.core.notices import Flow, Kind, flow_of, flow_text
from identifai_watch.ledger.schema import flows, notices, tellings

_MINE = notices.c.node == sa.bindparam("node")
_FLOW = sa.select(flows.c.state).where(flows.c.node == sa.bindparam("node"))
_CROWD = (
    sa.select(sa.func.count())
    .select_from(tellings)
    .join(notices, notices.c.id == tellings.c.notice_id)
    .where(_MINE)
    .group_by(tellings.c.channel)
)
_FIRST = (
    sa.select(tellings.c.channel, sa.func.min(tellings.c.notice_id).label("notice_id"))
    .join(notices, notices.c.id == tellings.c.notice_id)
    .where(_MINE)
    .group_by(tellings.c.channel)
    .subquery()
)
_HEADS = (
    sa.select(tellings.c.channel, tellings.c.notice_id, tellings.c.due, tellings.c.failures, notices.c.uid)
    .join(
        _FIRST,
        sa.and_(_FIRST.c.channel == tellings.c.channel, _FIRST.c.notice_id == tellings.c.notice_id),
    )
    .join(notices, notices.c.id == tellings.c.notice_id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a channel is told next: it is told one notice after another, the oldest first.

    A number may be given to another notice later, ``uid`` never.
    """

    channel: str
    notice_id: int
    uid: str
    due: datetime
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A notice as it is told: ``document`` is JSON; ``sidecar`` the path of the file's, if it has one."""

    uid: str
    kind: Kind
    document: bytes
    sidecar: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """How many notices wait for a channel, since when, and what went wrong with the first of them."""

    channel: str
    number: int
    since: datetime
    failures: int
    trouble: str | None
    due: datetime


def flow(tx: sa.Connection, node: str) -> Flow:
    """Return how much a node told lately, and the digest that it gathers."""
    return flow_of(tx.execute(_FLOW, {"node": node}).scalar())


def put_flow(tx: sa.Connection, node: str, value: Flow) -> None:
    """Write the flow of a node down."""
    state = flow_text(value)
    if tx.execute(sa.update(flows).where(flows.c.node == node).values(state=state)).rowcount == 0:
        tx.execute(sa.insert(flows).values(node=node, state=state))


def put(tx: sa.Connection, node: str, stored: Stored, channels: Sequence[str], now: datetime) -> None:
    """Write down a notice that each of a node's ``channels`` is to be told."""
    values = {
        "node": node,
        "uid": stored.uid,
        "made_at": now,
        "kind": stored.kind,
        "document": zlib.compress(stored.document),
        "sidecar": stored.sidecar,
    }
    number = tx.execute(sa.insert(notices).values(values).returning(notices.c.id)).scalar_one()
    tx.execute(
        sa.insert(tellings),
        [{"channel": channel, "notice_id": number, "due": now} for channel in channels],
    )


def most_waiting(tx: sa.Connection, node: str) -> int:
    """Return how many notices wait for that of a node's channels for which the most do."""
    return max(tx.execute(_CROWD, {"node": node}).scalars(), default=0)


def heads(tx: sa.Connection, node: str) -> list[Head]:
    """Return what each channel of a node is told next."""
    return [
        Head(
            channel=row.channel,
            notice_id=row.notice_id,
            uid=row.uid,
            due=row.due,
            failures=row.failures,
        )
        for row in tx.execute(_HEADS, {"node": node})
    ]


def stored(tx: sa.Connection, notice_id: int) -> Stored:
    """Return a notice."""
    row = tx.execute(sa.select(notices).where(notices.c.id == notice_id)).one()
    return Stored(
        uid=row.uid, kind=Kind(row.kind), document=zlib.decompress(row.document), sidecar=row.sidecar
    )


def done(tx: sa.Connection, head: Head) -> None:
    """Write that a channel was told, or never will be; the notice goes with the last one."""
    if tx.execute(sa.delete(tellings).where(_of(head))).rowcount:
        _forget(tx, [head.notice_id])


def postpone(tx: sa.Connection, head: Head, *, due: datetime, trouble: str) -> None:
    """Write why a channel could not be told, and when it is tried again."""
    values = {"due": due, "trouble": trouble, "failures": tellings.c.failures + 1}
    tx.execute(sa.update(tellings).where(_of(head)).values(values))


def bring_forward(tx: sa.Connection, node: str, latest: datetime) -> None:
    """Let nothing of a node wait for an instant after ``latest``, which only another clock would reach."""
    of_node = sa.select(notices.c.id).where(notices.c.node == node)
    is_late = sa.and_(tellings.c.due > latest, tellings.c.notice_id.in_(of_node))
    tx.execute(sa.update(tellings).where(is_late).values(due=latest))


def drop_older(tx: sa.Connection, node: str, before: datetime) -> dict[str, int]:
    """Drop what a node was to tell since before an instant; return how much that was for each channel."""
    old = sa.select(notices.c.id).where(notices.c.node == node, notices.c.made_at < before)
    return _drop(tx, tellings.c.notice_id.in_(old))


def drop_channels(tx: sa.Connection, node: str, channels: Collection[str]) -> dict[str, int]:
    """Drop what was to be told by channels that a node has no more; return how much that was for each."""
    of_node = sa.select(notices.c.id).where(notices.c.node == node)
    return _drop(tx, sa.and_(tellings.c.channel.in_(channels), tellings.c.notice_id.in_(of_node)))


def queues(tx: sa.Connection, node: str) -> list[Queue]:
    """Return what waits for each channel of a node."""
    counted = {
        row.channel: (row.number, row.since)
        for row in tx.execute(
            sa.select(
                tellings.c.channel,
                sa.func.count().label("number"),
                sa.func.min(notices.c.made_at).label("since"),
            )
            .join(notices, notices.c.id == tellings.c.notice_id)
            .where(notices.c.node == node)
            .group_by(tellings.c.channel)
        )
    }
    query = _HEADS.add_columns(tellings.c.trouble).order_by(tellings.c.channel)
    return [
        Queue(
            channel=row.channel,
            number=counted[row.channel][0],
            since=counted[row.channel][1],
            failures=row.failures,
            trouble=row.trouble,
            due=row.due,
        )
        for row in tx.execute(query, {"node": node})
    ]


def _drop(tx: sa.Connection, which: sa.ColumnElement[bool]) -> dict[str, int]:
    found = tx.execute(sa.select(tellings.c.channel, tellings.c.notice_id).where(which)).all()
    dropped: dict[str, int] = {}
    for row in found:
        dropped[row.channel] = dropped.get(row.channel, 0) + 1
    if found:
        tx.execute(sa.delete(tellings).where(which))
        _forget(tx, sorted({row.notice_id for row in found}))
    return dropped


def _forget(tx: sa.Connection, numbers: Sequence[int]) -> None:
    """Delete those of the notices that nobody is to be told any more."""
    waiting = sa.select(tellings.c.notice_id).where(tellings.c.notice_id == notices.c.id)
    for start in range(0, len(numbers), 500):
        tx.execute(
            sa.delete(notices).where(notices.c.id.in_(numbers[start : start + 500]), ~waiting.exists())
        )


def _of(head: Head) -> sa.ColumnElement[bool]:
    of_notice = sa.select(notices.c.id).where(notices.c.id == head.notice_id, notices.c.uid == head.uid)
    return sa.and_(tellings.c.channel == head.channel, tellings.c.notice_id == of_notice.scalar_subquery())
