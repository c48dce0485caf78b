"""What a transaction does last: the lines of history are chained, and other nodes are told what waits for them.

Where several hosts write, one at a time may add to the chain. So the lines of a transaction are gathered and written at
its very end, when nothing is left to wait for: nobody waits for the chain longer than a commit takes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import sqlalchemy as sa

from identifai_watch.core.trail import Entry
from identifai_watch.ledger import dialects, trail
from identifai_watch.ledger.schema import folders

_KEY = "identifai_watch"

Found = TypeVar("Found")
Note = Callable[[sa.Connection], object]
"""Writes what is to be written last."""


@dataclass(slots=True)
class _Last:
    """What is left to do: lines of history in their order, and folders of which files wait for their nodes.

    ``noted`` is written late, for the row is one that every host wants; ``known`` is what was read already.
    """

    told: list[Entry] = field(default_factory=list)
    noted: dict[str, Note] = field(default_factory=dict)
    known: dict[str, Any] = field(default_factory=dict)
    stirred: set[int] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)


@contextmanager
def gathered(tx: sa.Connection, us: str | None) -> Iterator[None]:
    """Gather what is to be done last while the block lasts, then do it; nothing of that if it raises.

    ``us`` is the node that need not be told of it.
    """
    info = tx.info  # kept: a connection that is lost meanwhile does not even give this
    last = info[_KEY] = _Last()
    try:
        yield
        if last.stirred or last.nodes:
            dialects.ring(tx, (_nodes_of(tx, last.stirred) | last.nodes) - {us})
        # The account's row before the chain, as whoever locked that row earlier has it: in one order nobody waits in a ring.
        for write in last.noted.values():
            write(tx)
        trail.append(tx, last.told)
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
                last.known.clear()
            raise


def tell(tx: sa.Connection, entries: Sequence[Entry]) -> None:
    """Write lines of history with the end of the transaction; at once in one that gathers nothing."""
    last: _Last | None = tx.info.get(_KEY)
    if last is None:
        trail.append(tx, entries)
    else:
        last.told += entries


def note(tx: sa.Connection, name: str, write: Note) -> None:
    """Have something written late, the last of a ``name`` alone; at once in a transaction that gathers nothing.

    It must wait for nobody: who waits for the chain behind it would keep its row.
    """
    last: _Last | None = tx.info.get(_KEY)
    if last is None:
        write(tx)
    else:
        last.noted[name] = write


def once(tx: sa.Connection, name: str, read: Callable[[sa.Connection], Found]) -> Found:
    """Return what was read in this transaction under a ``name``; it is read once, where the transaction gathers anything."""
    last: _Last | None = tx.info.get(_KEY)
    if last is None:
        return read(tx)
    if name not in last.known:
        last.known[name] = read(tx)
    return cast("Found", last.known[name])


def forget(tx: sa.Connection, name: str) -> None:
    """Have something read anew: it is another by now, or nobody else can change it from now on."""
    last: _Last | None = tx.info.get(_KEY)
    if last is not None:
        last.known.pop(name, None)


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
