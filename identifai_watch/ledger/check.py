"""Is a ledger whole? The file, the references, the constraints, the queue, the guard of the history, its chain, the revision.

Nothing is changed, and no daemon is needed; one that runs is not kept waiting.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from identifai_watch.errors import LedgerAwayError, LedgerError
from identifai_watch.ledger import REVISION, queue, schema, sqlite, trail
from identifai_watch.ledger.trail import Head

MOST = 20
"""Problems of one kind that are told one by one."""

GUARD = frozenset({"history_no_update", "history_no_delete"})
"""The triggers by which the engine itself refuses to change or delete a line of history."""

Say = Callable[[str], None]
"""Told what is looked at next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found: ``head`` is the end of the history's chain, ``problems`` are lines for people."""

    revision: str
    head: Head | None
    problems: tuple[str, ...]


def check(path: Path, *, full: bool, say: Say = lambda _: None) -> Report:
    """Look at all of a ledger; ``full`` compares its indexes with its rows too.

    Raises:
        LedgerError: It is not there, cannot be opened, or is no ledger.
    """
    if not path.is_file():
        raise LedgerError(f"there is no ledger at {path}")
    try:
        with closing(sqlite.reader(path)) as raw:
            revision = sqlite.revision_of(raw)
            if revision is None:
                raise LedgerError(f"{path} is no ledger")
            return _report(raw, path, revision, say, full=full)
    except sqlite3.DatabaseError as error:
        if sqlite.is_passing(error):
            raise LedgerAwayError(f"{path} cannot be opened now: {error}") from error
        raise LedgerError(f"{path} cannot be opened ({error}); {sqlite.REMEDY}") from error


def _report(raw: sqlite3.Connection, path: Path, revision: str, say: Say, *, full: bool) -> Report:
    say("the file")
    problems = list(_attempted(lambda: sqlite.quick_check(raw, full=full)))
    say("the references")
    problems += _attempted(lambda: _strays(raw))
    if revision != REVISION:
        problems += _of_another_version(revision)
        return Report(revision=revision, head=None, problems=tuple(problems))
    say("the constraints")
    for table in schema.metadata.sorted_tables:
        problems += _attempted(partial(_violations, raw, table))
    problems += _attempted(lambda: _unguarded(raw))
    engine = sa.create_engine("sqlite://", creator=lambda: sqlite.reader(path), poolclass=sa.NullPool)
    head, broken = None, []
    try:
        say("the queue")
        problems += _attempted(lambda: _misplaced(engine))
        say("the history")
        head, gap = trail.walk(engine.connect)
        broken = [] if gap is None else [gap_text(gap)]
    except DBAPIError as error:
        broken = [f"the history cannot be read: {error.orig}"]
    finally:
        engine.dispose()
    return Report(revision=revision, head=head, problems=tuple(problems + broken))


def gap_text(gap: trail.Gap) -> str:
    """Say where the chain of the history is broken."""
    at = "an instant that no calendar knows" if gap.at is None else gap.at.isoformat()
    return f"history: the chain is broken at line {gap.id} ({at}, {gap.event})"


def _attempted(look: Callable[[], Any]) -> Iterator[str]:
    """Give what a look found; a page that cannot be read is a find as well."""
    try:
        found = list(look())
    except sqlite3.DatabaseError as error:
        if sqlite.is_passing(error):
            raise
        found = [str(error)]
    yield from found[:MOST]
    if len(found) > MOST:
        yield f"... and {len(found) - MOST} more"


def _of_another_version(revision: str) -> Iterator[str]:
    from identifai_watch.ledger import migrate  # noqa: PLC0415 - 0.2 s that a ledger of this version need not pay

    if revision in migrate.known():
        return  # the next start brings it to this version's, with a copy beside it
    yield f"it was written by a newer version (revision {revision}); constraints and history were not looked at"


def _strays(connection: sqlite3.Connection) -> Iterator[str]:
    """Find rows that refer to nothing."""
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield f"{table}: row {row} refers to a row of {parent} that is not there"


def _violations(connection: sqlite3.Connection, table: sa.Table) -> Iterator[str]:
    """Find rows that break a CHECK, with one look at each row."""
    checks = sorted(
        (str(one.name), str(one.sqltext)) for one in table.constraints if isinstance(one, sa.CheckConstraint)
    )
    if not checks:
        return
    counted = ", ".join(f"count(CASE WHEN NOT ({text}) THEN 1 END)" for _, text in checks)
    numbers = connection.execute(f'SELECT {counted} FROM "{table.name}"').fetchone()  # noqa: S608 - our own schema
    for (name, _), number in zip(checks, numbers, strict=True):
        if number:
            yield f"{table.name}: {number} rows break {name}"


def _misplaced(engine: sa.Engine) -> Iterator[str]:
    """Find what waits for its upload and does not stand in the queue, and what stands there and does not wait."""
    try:
        with engine.connect() as connection:
            missing, spare = queue.differing(connection)
    except DBAPIError as error:
        yield f"the queue cannot be read: {error.orig}"
        return
    if missing:
        yield f"queue: {missing} uploads that are to be made do not stand in it"
    if spare:
        yield f"queue: {spare} uploads stand in it that are not to be made"


def _unguarded(connection: sqlite3.Connection) -> Iterator[str]:
    """Find triggers of the history that are gone."""
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    for name in sorted(GUARD - there):
        yield f"history: the trigger {name} is gone, by which its lines cannot be changed"
