"""What PostgreSQL really did for a statement: auto_explain tells it of each that is carried out."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from psycopg.errors import Diagnostic

from identifai_watch.ledger.postgres.connecting import engine
from tests.postgres import Cluster
from tests.questions import Question

_TOLD = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",
}
_LAST = "SELECT 1"
_SCANS = {"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Bitmap Index Scan"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One look at a table: how, by which index, and how many rows were met, those that were passed over too."""

    how: str
    table: str
    index: str | None
    rows: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one statement was carried out."""

    text: str
    reads: list[Read]
    sorted: float
    """How many rows were sorted."""

    def __str__(self) -> str:
        return f"{self.text}\n" + "\n".join(map(str, [*self.reads, f"sorted: {self.sorted}"]))


class _UndoneError(Exception):
    """What was written is taken back."""


def tell(postgres: Cluster, url: str) -> None:
    """Have the server tell every session of the database at ``url`` how it carries its statements out."""
    name = url.rpartition("/")[2]
    for key, value in _TOLD.items():
        postgres.administer(f"ALTER DATABASE \"{name}\" SET {key} = '{value}'")


@contextmanager
def asking(url: str) -> Iterator[sa.Connection]:
    """Open a connection as the ledger does, to a database of which the server ``tell``s."""
    made = engine(sa.make_url(url)).execution_options(write=True)
    with made.connect() as connection:
        yield connection
    made.dispose()


def carried_out(connection: sa.Connection, ask: Question, *before: str) -> list[Plan]:
    """Return how the server carried out what ``ask`` said to it, after ``before``; all is taken back."""
    told: list[str] = []
    raw = cast("psycopg.Connection[Any]", connection.connection.driver_connection)

    def hear(notice: Diagnostic) -> None:
        told.append(notice.message_primary or "")

    with suppress(_UndoneError), connection.begin():
        for statement in before:
            connection.exec_driver_sql(statement)
        raw.add_notice_handler(hear)
        try:
            ask(connection)
            connection.exec_driver_sql(_LAST)  # a statement is told of when the next one begins
        finally:
            raw.remove_notice_handler(hear)
        raise _UndoneError
    return [_plan(json.loads(one[one.index("{") :])) for one in told if _LAST not in one]


def _plan(told: dict[str, Any]) -> Plan:
    nodes = list(_nodes(told["Plan"]))
    return Plan(
        text=told["Query Text"],
        reads=[
            Read(
                how=node["Node Type"],
                table=node.get("Relation Name", ""),
                index=node.get("Index Name"),
                rows=node["Actual Loops"]
                * (
                    node["Actual Rows"]
                    + node.get("Rows Removed by Filter", 0)
                    + node.get("Rows Removed by Index Recheck", 0)
                ),
            )
            for node in nodes
            if node["Node Type"] in _SCANS
        ],
        sorted=max(
            (node["Actual Rows"] * node["Actual Loops"] for node in nodes if "Sort" in node["Node Type"]),
            default=0,
        ),
    )


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", []):
        yield from _nodes(below)
