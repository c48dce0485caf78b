"""Passages of the history's chain: what it takes to follow it from a file's lines to a head that others know.

Such a head is one that an authority stamped, else the one that the day ended with, which the log tells, else the newest.
The lines in between are given by their imprints alone: they are other files' matter.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from identifai_watch.core.trail import BEGINNING, imprint, link
from identifai_watch.errors import RefusedError
from identifai_watch.ledger import stamps, trail
from identifai_watch.ledger.schema import history
from identifai_watch.ledger.stamps import Stamp
from identifai_watch.ledger.trail import PAGE, Line, Transact

MOST = 1_000_000
"""Lines that may lie between a line and the stamp that covers it: each takes about 75 bytes of a bundle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """The lines from ``first`` to ``last`` with the digests before and at their end, and who else knows that head.

    ``day`` is the day whose head it is in the log, ``stamp`` what an authority said of it; neither for the newest line.
    """

    first: int
    last: int
    before: bytes
    head: bytes
    day: date | None = None
    stamp: Stamp | None = None


def passages(tx: sa.Connection, lines: Sequence[Line], now: datetime) -> list[Passage]:
    """Return the passages that the lines lie in, each line in one; the lines ascend."""
    found: list[Passage] = []
    for line in lines:
        if not found or line.id > found[-1].last:
            found.append(_from(tx, line, now))
    return found


def _from(tx: sa.Connection, line: Line, now: datetime) -> Passage:
    begun = Passage(first=line.id, last=line.id, before=_before(tx, line.id), head=line.digest)
    stamp = stamps.first_from(tx, line.id)
    if stamp is not None and stamp.history_id - line.id <= MOST:
        return replace(begun, last=stamp.history_id, head=stamp.digest, stamp=stamp)
    midnight = line.entry.at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    is_over = midnight <= now
    end = trail.head(tx, before=midnight if is_over else None)
    if end is None or end.id < line.id:  # the clock was set back meanwhile
        return begun
    day = (midnight - timedelta(days=1)).date() if is_over else None
    return replace(begun, last=end.id, head=end.digest, day=day)


def _before(tx: sa.Connection, line: int) -> bytes:
    query = sa.select(history.c.digest).where(history.c.id < line).order_by(history.c.id.desc()).limit(1)
    found: bytes | None = tx.execute(query).scalar()
    return BEGINNING if found is None else found


def imprints(read: Transact, passage: Passage) -> Iterator[tuple[int, bytes]]:
    """Give the number and the imprint of each line of a passage, read in many short transactions.

    Raises:
        RefusedError: The chain is broken there.
    """
    after, before = passage.first - 1, passage.before
    while after < passage.last:
        with read() as tx:
            page = [line for line in trail.lines(tx, after=after, limit=PAGE) if line.id <= passage.last]
        if not page:
            break
        for line in page:
            found = imprint(line.entry)
            before = link(before, found)
            yield line.id, found
        after = page[-1].id
    if before != passage.head:
        raise RefusedError("the history's chain is broken; identifai-watch history verify says where")


def preimage(tx: sa.Connection, line: int) -> tuple[bytes, bytes] | None:
    """Return the digest before a line and the line's imprint, which its own digest is made of; None if it is not there."""
    found = next(trail.lines(tx, after=line - 1, limit=1), None)
    return None if found is None or found.id != line else (_before(tx, line), imprint(found.entry))
