"""The mark of a ledger into which another is being copied: until the copy is whole and verified nobody uses it."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from identifai_watch.errors import LedgerError
from identifai_watch.ledger.schema import copying


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Which ledger is being copied (its address), since when, and the digest of the state that it was in."""

    origin: str
    since: datetime
    digest: bytes


def mark(tx: sa.Connection) -> Mark | None:
    """Return the mark of a ledger; None if none is being copied into it."""
    found = tx.execute(sa.select(copying.c.origin, copying.c.since, copying.c.digest)).first()
    return None if found is None else Mark(origin=found.origin, since=found.since, digest=found.digest)


def refuse(tx: sa.Connection) -> None:
    """Raise LedgerError if another ledger is being copied into this one."""
    # Every command asks; so it is asked in the fewest words, and what there is to say only where there is something.
    if tx.exec_driver_sql("SELECT 1 FROM copying").first() is None:
        return
    found = mark(tx)
    if found is not None:
        raise LedgerError(
            f"ledger.url: {found.origin} is being copied into this ledger since {found.since:%Y-%m-%d %H:%M} UTC and is not "
            "whole yet; run identifai-watch ledger copy once more, with the same addresses: it goes on where it stopped"
        )


def begin(tx: sa.Connection, made: Mark) -> None:
    """Set the mark."""
    tx.execute(sa.insert(copying).values(id=1, origin=made.origin, since=made.since, digest=made.digest))


def end(tx: sa.Connection) -> None:
    """Take the mark away: the ledger is whole."""
    tx.execute(sa.delete(copying))


def digest_of(values: object) -> bytes:
    """Return the digest of plain values: numbers, texts, bytes, and tuples of such."""
    return hashlib.sha256(repr(values).encode()).digest()
