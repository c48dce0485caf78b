"""The requests made and the account's one row: what the gate decides from, in one transaction with its answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from identifai_watch.core import gate
from identifai_watch.core.gate import Limits
from identifai_watch.core.model import Account, AccountState
from identifai_watch.ledger import rows, schema
from identifai_watch.ledger.schema import requests

if TYPE_CHECKING:
    from identifai_watch.core.events import AccountEvent

_KEEP = gate.DAY + timedelta(minutes=5)
_AHEAD = timedelta(minutes=10)
"""No request takes an instant further ahead than this: what stands there was written by a clock that was wrong."""


_ACCOUNT = sa.select(schema.account)
_PUT_ACCOUNT = sa.update(schema.account)
_LOCK = sa.select(schema.account.c.id).with_for_update()
_OPEN = schema.new(schema.account).values(id=1, state=AccountState.OK)
_LOG = sa.insert(requests)


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """A request that left at an instant, in the backlog's name or not."""

    at: datetime
    method: str
    backlog: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """How many posts the sliding day still has: for anything, and for the backlog; None is without limit."""

    left: int | None
    backlog_left: int | None


def sent(tx: sa.Connection, method: str, now: datetime, *, latest: int | None = None) -> list[datetime]:
    """Return the instants of the requests of ``method`` in the last minute, ascending; of the ``latest`` only."""
    query = (
        sa.select(requests.c.at)
        .where(
            requests.c.method == method,
            requests.c.at > now - gate.MINUTE - timedelta(seconds=1),
            requests.c.at <= now + _AHEAD,
        )
        .order_by(requests.c.at.desc())
        .limit(latest)
    )
    return list(tx.execute(query).scalars())[::-1]


def depart(
    tx: sa.Connection, method: str, limits: Limits, now: datetime, *, backlog: bool = False
) -> datetime:
    """Take the next instant that the windows leave free and write it down; the request leaves at it, not before.

    With the account's row locked, and ``now`` told after that: whoever waited for it is not to take an instant of before.
    """
    windows = limits.windows(method)
    reach = max((window.count for window in windows), default=0)
    made = sent(tx, method, now, latest=reach) if windows else []
    instant = gate.next_instant(made, windows, now)
    tx.execute(sa.insert(requests).values(at=instant, method=method, backlog=backlog))
    return instant


def log(tx: sa.Connection, departed: Sequence[Departure]) -> None:
    """Write down requests that left while nothing limited them."""
    if departed:
        values = [{"at": one.at, "method": one.method, "backlog": one.backlog} for one in departed]
        tx.execute(_LOG, values)


def purse(tx: sa.Connection, limits: Limits, now: datetime) -> Purse:
    """Return what the sliding day's purse has left."""
    whole, share = limits.purse(backlog=False), limits.purse(backlog=True)
    if whole is None or share is None:
        return Purse(left=None, backlog_left=None)
    query = sa.select(
        sa.func.count(), sa.func.coalesce(sa.func.sum(sa.type_coerce(requests.c.backlog, sa.Integer)), 0)
    ).where(requests.c.method == "POST", requests.c.at > now - gate.DAY)
    posts, from_backlog = tx.execute(query).one()
    left = max(0, whole.count - posts)
    return Purse(left=left, backlog_left=min(left, max(0, share.count - int(from_backlog))))


def purse_refills_at(tx: sa.Connection, now: datetime) -> datetime | None:
    """Return when the oldest post of the sliding day leaves it."""
    query = sa.select(sa.func.min(requests.c.at)).where(
        requests.c.method == "POST", requests.c.at > now - gate.DAY
    )
    oldest = tx.execute(query).scalar()
    return None if oldest is None else oldest + gate.DAY


def prune(tx: sa.Connection, now: datetime) -> None:
    """Forget the requests that no window reaches any more."""
    for method in ("GET", "POST"):  # by name, so that the index serves
        tx.execute(sa.delete(requests).where(requests.c.method == method, requests.c.at < now - _KEEP))


def lock(tx: sa.Connection) -> None:
    """Have the account's one row for this transaction alone, made if there is none: one host at a time takes an instant."""
    if tx.execute(_LOCK).first() is None:
        tx.execute(_OPEN)
        tx.execute(_LOCK)


def account(tx: sa.Connection) -> Account:
    """Return the account as the ledger knows it."""
    return rows.account(tx.execute(_ACCOUNT).first())


def advance_account(
    tx: sa.Connection, event: "AccountEvent", now: datetime, chance: float
) -> tuple[Account, Account]:
    """Advance the account by ``event``; return it as it was and as it is."""
    from identifai_watch.core import standing  # noqa: PLC0415 - all its events are a twentieth of what status takes

    lock(tx)
    before = account(tx)
    after = standing.after(before, event, now, chance)
    if after != before:
        values = {name: getattr(after, name) for name in Account.__dataclass_fields__}
        tx.execute(_PUT_ACCOUNT, values)
    return before, after
