"""The requests made and the account's one row: what the gate decides from, in one transaction with its answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from identifai_watch.core import gate
from identifai_watch.core.gate import Limits, Window
from identifai_watch.core.model import Account, AccountState
from identifai_watch.ledger import closing, rows, schema
from identifai_watch.ledger.schema import EPOCH, Statement, micros, requests

if TYPE_CHECKING:
    from identifai_watch.core.events import AccountEvent
    from identifai_watch.ledger import Ledger

_KEEP = gate.DAY + timedelta(minutes=5)
_REACH = gate.MINUTE + timedelta(seconds=1)
_AHEAD = timedelta(minutes=10)
"""No request takes an instant further ahead than this: what stands there was written by a clock that was wrong."""


_ACCOUNT = sa.select(schema.account)
_PUT_ACCOUNT = sa.update(schema.account)
_LOCK = sa.select(schema.account.c.id).with_for_update()
_OPEN = schema.new(schema.account).values(id=1, state=AccountState.OK, probes=0, holds=0)
_LOG = sa.insert(requests)
_GOT_THROUGH = (
    sa.update(schema.account)
    .where(
        schema.account.c.id.in_(
            sa.select(schema.account.c.id)
            .where(schema.account.c.holds == 0, schema.account.c.hold_until.is_(None))
            .with_for_update(skip_locked=True)
        )
    )
    .values(succeeded_at=sa.bindparam("now"))
)
_NAME = "account"


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """A request that left at an instant, in the backlog's name or not."""

    at: datetime
    method: str
    backlog: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """An instant that was taken, by the number of its row."""

    id: int
    at: datetime


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
            requests.c.at > now - _REACH,
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
    departure = _departure(method, limits.windows(method), None, backlog=backlog)
    return _instant(tx.execute(departure, {"now": micros(now)}).one().at)


def take(
    ledger: "Ledger",
    method: str,
    limits: Limits,
    clock: Callable[[], datetime],
    *,
    backlog: bool = False,
    instead_of: int | None = None,
) -> Taken:
    """Take the next instant as ``depart`` does, in a transaction of its own that keeps nobody else waiting.

    It comes early enough that the answer is here before it. ``instead_of`` is one that was taken and not used.
    """
    statements: list[Statement] = [_OPEN, _LOCK]
    if instead_of is not None:
        statements.append(_given_back(instead_of))
    departure = _departure(method, limits.windows(method), ledger.moment, backlog=backlog)
    row = ledger.brief([*statements, departure], clock)
    return Taken(id=int(row[0]), at=_instant(row[1]))


def give_back(tx: sa.Connection, taken: int) -> None:
    """Take an instant back that no request left at: it counts in no window."""
    tx.execute(_given_back(taken))


def _given_back(taken: int) -> sa.Delete:
    return sa.delete(requests).where(requests.c.id == taken)


@lru_cache(maxsize=64)
def _departure(method: str, windows: Sequence[Window], moment: str | None, *, backlog: bool) -> Statement:
    """Return the statement that takes the next instant, by the rule of ``gate.next_instant``; ``now`` is ``moment``.

    The engine itself reckons: on a server, where other hosts wait for the account's row meanwhile, what is asked and
    then answered would keep them for as long as it is under way.
    """
    told = sa.bindparam("now", type_=sa.BigInteger())
    by_engine = None if moment is None else sa.literal_column(moment, sa.BigInteger())
    now = sa.select((told if by_engine is None else by_engine).label("now")).cte("moment")
    this = sa.select(now.c.now).scalar_subquery()
    at = sa.type_coerce(requests.c.at, sa.BigInteger)
    sent = (
        sa.select(at.label("at"))
        .where(
            requests.c.method == method,
            at > this - micros(EPOCH + _REACH),
            at <= this + micros(EPOCH + _AHEAD),
        )
        .order_by(requests.c.at.desc())
        .limit(1)
    )
    # Behind the latest one, and behind the one that has to leave each window before there is room for another.
    behind = [(0, timedelta(0)), *((window.count - 1, window.span) for window in windows)] if windows else []
    bounds = [sent.offset(skipped).subquery() for skipped, _ in behind]
    candidates = sa.union_all(
        sa.select(now.c.now.label("at")),
        *(
            sa.select((bound.c.at + micros(EPOCH + span)).label("at"))
            for bound, (_, span) in zip(bounds, behind, strict=True)
        ),
    ).subquery()
    columns: list[sa.ColumnElement[Any]] = [
        sa.func.max(candidates.c.at),
        sa.literal_column(f"'{method}'"),
        schema.YES if backlog else schema.NO,
    ]
    chosen = sa.select(*columns)
    return (
        sa.insert(requests)
        .from_select(["at", "method", "backlog"], chosen, include_defaults=False)
        .returning(requests.c.id, at.label("at"))
    )


def _instant(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


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
    closing.forget(tx, _NAME)
    if tx.execute(_LOCK).first() is None:
        tx.execute(_OPEN)
        tx.execute(_LOCK)


def account(tx: sa.Connection) -> Account:
    """Return the account as the ledger knows it; it is asked for once in a transaction that writes, or has its row locked."""
    return closing.once(tx, _NAME, _account)


def _account(tx: sa.Connection) -> Account:
    return rows.account(tx.execute(_ACCOUNT).first())


def got_through(tx: sa.Connection, now: datetime) -> None:
    """Note that a request got through while nothing holds; last of all, for every host wants the account's row.

    Where somebody has that at this moment it is left: the next request that gets through is noted as well.
    """
    closing.note(tx, _NAME, lambda last: last.execute(_GOT_THROUGH, {"now": now}))


def locked_account(tx: sa.Connection) -> Account:
    """Return the account, which nobody else changes until the transaction ends."""
    lock(tx)
    return account(tx)


def take_probe(tx: sa.Connection, until: datetime) -> None:
    """Let nobody else probe the paused account before then; with its row locked."""
    closing.forget(tx, _NAME)
    tx.execute(_PUT_ACCOUNT, {"next_probe_at": until})


def end_probe(tx: sa.Connection, until: datetime, now: datetime) -> None:
    """Let a probe that was taken ``until`` then be due, for its answer to count; not if there was an answer meanwhile."""
    closing.forget(tx, _NAME)
    tx.execute(_PUT_ACCOUNT.where(schema.account.c.next_probe_at == until), {"next_probe_at": now})


def advance_account(
    tx: sa.Connection, event: "AccountEvent", now: datetime, chance: float
) -> tuple[Account, Account]:
    """Advance the account by ``event``; return it as it was and as it is."""
    from identifai_watch.core import standing  # noqa: PLC0415 - all its events are a twentieth of what status takes

    before = locked_account(tx)
    after = standing.after(before, event, now, chance)
    if after != before:
        values = {name: getattr(after, name) for name in Account.__dataclass_fields__}
        closing.forget(tx, _NAME)
        tx.execute(_PUT_ACCOUNT, values)
    return before, after
