"""What a transaction does last: the lines of history are chained, and other nodes are told what waits for them.

Where several hosts write, one at a time may add to the chain. So the lines of a transaction are gathered and written at
its very end, when nothing is left to wait for: nobody waits for the chain longer than a commit takes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import sqlalchemy as sa

from identifai_watch.core.trail import Entry
from identifai_watch.ledger import dialects, trail
from identifai_watch.ledger.schema import folders

_KEY = "identifai_watch"


@dataclass(slots=True)
class _Last:
    """What is left to do: lines of history in their order, and folders of which files wait for their nodes."""

    told: list[Entry] = field(default_factory=list)
    stirred: set[int] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)


@contextmanager
def gathered(tx: sa.Connection, node: str) -> Iterator[None]:
    """Gather what is to be done last while the block lasts, then do it; nothing of that if it raises."""
    info = tx.info  # kept: a connection that is lost meanwhile does not even give this
    last = info[_KEY] = _Last()
    try:
        yield
        if last.told:
            dialects.chain(tx)
            trail.append(tx, last.told)
        if last.stirred or last.nodes:
            dialects.ring(tx, (_nodes_of(tx, last.stirred) | last.nodes) - {node})
    finally:
        info.pop(_KEY, None)


@contextmanager
def part(tx: sa.Connection) -> Iterator[None]:
    """Do a part of a transaction: what it wrote is taken back if it raises, and the rest stands.

    A LedgerError is no part's matter: it ends the transaction.
    """
    last: _Last | None = tx.info.get(_KEY)
    told = 0 if last is None else len(last.told)
    with dialects.part(tx):
        try:
            yield
        except BaseException:
            if last is not None:
                del last.told[told:]
            raise


def tell(tx: sa.Connection, entries: Sequence[Entry]) -> None:
    """Write lines of history with the end of the transaction; at once in one that gathers nothing."""
    last: _Last | None = tx.info.get(_KEY)
    if last is None:
        trail.append(tx, entries)
    else:
        last.told += entries


def stir(tx: sa.Connection, *, folder_ids: set[int] | None = None, node: str | None = None) -> None:
    """Have the nodes of some folders, or a node, told that something waits for them."""
    last: _Last | None = tx.info.get(_KEY)
    if last is not None and tx.dialect.name != dialects.SQLITE:
        last.stirred |= folder_ids or set()
        last.nodes |= set() if node is None else {node}


def _nodes_of(tx: sa.Connection, folder_ids: set[int]) -> set[str]:
    """Return the nodes that the folders are of; of one that several share, the node that has it."""
    if not folder_ids:
        return set()
    whose = sa.case((folders.c.node == "", folders.c.claimed_by), else_=folders.c.node)
    query = sa.select(whose).where(folders.c.id.in_(folder_ids)).distinct()
    return {node for node in tx.execute(query).scalars() if node}
