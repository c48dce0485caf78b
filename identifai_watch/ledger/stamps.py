"""Heads of the history's chain that an RFC 3161 authority stamps: at most one waits for it, for each covers all before."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from identifai_watch.ledger import schema
from identifai_watch.ledger.schema import stamps
from identifai_watch.ledger.trail import Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """A head of the chain, the digest of the line ``history_id``, that was stamped or is still to be.

    ``answer`` is the authority's, as it came, and ``stamped_at`` the instant that it vouches for. ``trouble`` is why the
    last attempt failed, ``due`` when the next one is made.
    """

    id: int
    history_id: int
    lines: int
    digest: bytes
    asked_at: datetime
    due: datetime | None = None
    failures: int = 0
    trouble: str | None = None
    authority: str | None = None
    stamped_at: datetime | None = None
    answer: bytes | None = None


_NOT_YET = stamps.c.answer.is_(None)


def want(tx: sa.Connection, head: Head, now: datetime) -> bool:
    """Have a head stamped, unless it is or waits for that; an older one that still waits is given up for it."""
    known = sa.select(stamps.c.id).where(stamps.c.digest == head.digest)
    if tx.execute(known).first() is not None:
        return False
    tx.execute(sa.delete(stamps).where(_NOT_YET, stamps.c.digest != head.digest))
    values = {"history_id": head.id, "lines": head.lines, "digest": head.digest}
    # Every host wants the day's head, at the same midnight.
    return tx.execute(schema.new(stamps).values(**values, asked_at=now, due=now)).rowcount > 0


def take(tx: sa.Connection, now: datetime, until: datetime) -> Stamp | None:
    """Return the head whose turn it is to be stamped; should nothing come of that, it is due again at ``until``."""
    is_due = sa.and_(_NOT_YET, stamps.c.due <= now)
    found = tx.execute(sa.select(stamps).where(is_due)).first()
    if found is None:
        return None
    taken = tx.execute(sa.update(stamps).where(stamps.c.id == found.id, is_due).values(due=until))
    return _stamp(found) if taken.rowcount else None  # else another host was quicker


def stamped(tx: sa.Connection, digest: bytes, *, answer: bytes, authority: str, stamped_at: datetime) -> None:
    """Write down what the authority answered about a head that waits for it."""
    values = {
        "answer": answer,
        "authority": authority,
        "stamped_at": stamped_at,
        "due": None,
        "trouble": None,
    }
    tx.execute(sa.update(stamps).where(stamps.c.digest == digest, _NOT_YET).values(values))


def failed(tx: sa.Connection, digest: bytes, *, why: str, due: datetime) -> None:
    """Write down why a head could not be stamped, and when that is tried again."""
    values = {"trouble": why, "due": due, "failures": stamps.c.failures + 1}
    tx.execute(sa.update(stamps).where(stamps.c.digest == digest, _NOT_YET).values(values))


def every(tx: sa.Connection) -> list[Stamp]:
    """Return all of them, in the order of the chain."""
    return [_stamp(row) for row in tx.execute(sa.select(stamps).order_by(stamps.c.history_id))]


def first_from(tx: sa.Connection, line: int) -> Stamp | None:
    """Return the first stamped head that covers a line of history."""
    query = sa.select(stamps).where(stamps.c.history_id >= line, stamps.c.answer.is_not(None))
    found = tx.execute(query.order_by(stamps.c.history_id).limit(1)).first()
    return None if found is None else _stamp(found)


def _stamp(row: sa.Row[Any]) -> Stamp:
    return Stamp(**row._asdict())
