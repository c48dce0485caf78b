"""Tables as they are stored: rows of plain numbers, texts and bytes in the order of their keys, the same on each engine."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from identifai_watch.ledger import dialects, schema

Row = tuple[Any, ...]

PAGE = 2_000
"""Rows that are read at a time."""

HEAVY_PAGE = 50
"""Rows that are read at a time where one may have megabytes: an answer with its heatmap, a notice with its document."""

HEAVY = frozenset({"answers", "notices", "stamps"})

TABLES: tuple[sa.Table, ...] = tuple(
    table for table in schema.metadata.sorted_tables if table is not schema.copying
)
"""All that a ledger holds, each behind those that it refers to."""

BY_NODE = frozenset({"commands", "notices", "flows", "alarms"})
"""Tables of what a host alone does: in a file, which one host has, its rows are under no name (``Ledger.member``)."""


@dataclass(frozen=True, slots=True)
class Renaming:
    """What the node that the rows are of is called in the other ledger."""

    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Difference:
    """The first row that is not the same on both sides, by its key; None where there is none."""

    table: str
    key: str
    here: bool
    there: bool

    def __str__(self) -> str:
        """Say it as a person would."""
        if self.here and self.there:
            return f"{self.table}: the row {self.key} is not the same in both"
        return f"{self.table}: the row {self.key} is only in {'the first' if self.here else 'the second'}"


@dataclass(slots=True)
class Sum:
    """How many rows there were, and the checksum of their values in their order."""

    rows: int = 0
    _hash: Any = field(default_factory=hashlib.sha256)

    def add(self, row: Row) -> None:
        """Count a row. Numbers, texts, bytes and None have one ``repr`` each, and a real number's is exact."""
        self.rows += 1
        self._hash.update(repr(row).encode())

    @property
    def checksum(self) -> str:
        """SHA-256 of the rows so far, in hexadecimal digits."""
        return str(self._hash.hexdigest())


class Plain:
    """One table's rows as they are stored; with a ``renaming`` those of one node are read under its other name."""

    def __init__(self, table: sa.Table, dialect: str, renaming: Renaming | None = None) -> None:
        self.name = table.name
        self.columns = [column.name for column in table.columns]
        self.keys = [column.name for column in table.primary_key.columns]
        self.stored = sa.table(table.name, *(sa.column(one.name, _type(one)) for one in table.columns))
        self._at = [self.columns.index(key) for key in self.keys]
        self._page = HEAVY_PAGE if self.name in HEAVY else PAGE
        told = {name: self._told(name, renaming) for name in self.columns}
        by = [dialects.bytewise(told[key], dialect) for key in self.keys]
        self._first = sa.select(*told.values()).order_by(*by).limit(self._page)
        marks = [sa.bindparam(f"after_{key}", type_=self.stored.c[key].type) for key in self.keys]
        is_behind = by[0] > marks[0] if len(by) == 1 else sa.tuple_(*by) > sa.tuple_(*marks)
        self._next = self._first.where(is_behind)
        self._last = (
            sa.select(*(told[key] for key in self.keys)).order_by(*(one.desc() for one in by)).limit(1)
        )

    def _told(self, name: str, renaming: Renaming | None) -> sa.ColumnElement[Any]:
        column = self.stored.c[name]
        if renaming is None or name != "node" or self.name not in BY_NODE:
            return column
        return sa.case((column == renaming.before, sa.literal(renaming.after)), else_=column).label(name)

    def rows(self, connection: sa.Connection, after: Row | None = None) -> Iterator[Row]:
        """Iterate over the rows behind the key ``after`` in short transactions, each a page."""
        while True:
            with connection.begin():
                if after is None:
                    page = connection.execute(self._first).all()
                else:
                    behind = {f"after_{key}": value for key, value in zip(self.keys, after, strict=True)}
                    page = connection.execute(self._next, behind).all()
            yield from map(tuple, page)
            if len(page) < self._page:
                return
            after = self.key(tuple(page[-1]))

    def last(self, connection: sa.Connection) -> Row | None:
        """Return the key of the last row; None if there is none."""
        with connection.begin():
            found = connection.execute(self._last).first()
        return None if found is None else tuple(found)

    def key(self, row: Row) -> Row:
        """Return the key of a row."""
        return tuple(row[at] for at in self._at)

    def shown(self, row: Row) -> str:
        """Return the key of a row for people."""
        return ", ".join(f"{name} {row[at]!r}" for name, at in zip(self.keys, self._at, strict=True))

    def count(self, tx: sa.Connection) -> int:
        """Return how many rows there are."""
        return int(tx.execute(sa.select(sa.func.count()).select_from(self.stored)).scalar_one())

    def insert(self, tx: sa.Connection, rows: Sequence[Row]) -> None:
        """Write rows as they are."""
        tx.execute(sa.insert(self.stored), [dict(zip(self.columns, row, strict=True)) for row in rows])


def differing(table: Plain, here: Iterable[Row], there: Iterable[Row]) -> tuple[Sum, Sum, Difference | None]:
    """Sum up both sides of a table up to the first row that differs, and return that."""
    sums = Sum(), Sum()
    for one, other in zip_longest(here, there):
        for summed, row in zip(sums, (one, other), strict=True):
            if row is not None:
                summed.add(row)
        if one == other:
            continue
        # What has the lesser key is what the other side has not.
        is_here = other is None or (one is not None and table.key(one) <= table.key(other))
        is_there = one is None or (other is not None and table.key(other) <= table.key(one))
        return *sums, Difference(table.name, table.shown(one if is_here else other), is_here, is_there)
    return *sums, None


def _type(column: sa.Column[Any]) -> sa.types.TypeEngine[Any]:
    """Return what a column is stored as."""
    kind = column.type
    return kind.impl_instance if isinstance(kind, TypeDecorator) else kind
