"""What is PostgreSQL's own: how its sessions are, what its tables refuse, and how its queries find their rows."""

import fcntl
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import DBAPIError, IntegrityError

from benchmarks import servers
from identifai_watch.core.events import Delivered, Destined, Judged, Pending
from identifai_watch.core.model import Choice, FileState, Label, Media, Outcome, Verdict
from identifai_watch.core.trail import Entry
from identifai_watch.errors import LedgerAwayError
from identifai_watch.ledger import (
    REVISION,
    Ledger,
    admission,
    budget,
    intake,
    lists,
    notices,
    schema,
    stamps,
    trail,
    views,
    whereabouts,
    work,
)
from identifai_watch.ledger.admission import Content
from identifai_watch.ledger.lists import Wanted
from identifai_watch.ledger.whereabouts import Arrival
from tests import plans
from tests.plans import Plan
from tests.postgres import Cluster
from tests.questions import FILTERED, NOW, QUERIES, SHAPE, SHOWN, SPOT, STEP, Question
from tests.violations import ROWS, VIOLATIONS, checks, put

FILES = 100_000


@pytest.fixture(scope="module")
def ledger(postgres: Cluster) -> Iterator[Ledger]:
    """Give an empty ledger; what a test writes there, it takes back."""
    url = postgres.database()
    with Ledger(url, node="studio") as made:
        yield made
    postgres.drop(url)


@pytest.fixture
def tx(ledger: Ledger) -> Iterator[sa.Connection]:
    """Give a transaction that writes, and is taken back."""
    with ledger._store.engine.execution_options(write=True).connect() as connection:
        yield connection
        connection.rollback()


# Its sessions.


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("statement_timeout", "10s"),
        ("lock_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("tcp_keepalives_idle", "4"),
        ("tcp_user_timeout", "10000"),
        ("synchronous_commit", "on"),
        ("plan_cache_mode", "force_custom_plan"),
        ("enable_seqscan", "off"),
        ("enable_bitmapscan", "off"),
        ("jit", "off"),
    ],
)
def test_every_session_is_safe(ledger: Ledger, setting: str, expected: str) -> None:
    """No statement lasts or waits for ever, a commit is on the disk, and each plan is for what is asked."""
    if setting.startswith(
        "tcp"
    ):  # what the server can do depends on its system; told in milliseconds or seconds
        expected = expected.replace("10s", "10000")
    for transaction in (ledger.read, ledger.write, ledger.glances):
        with transaction() as connection:
            found = connection.exec_driver_sql(f"SHOW {setting}").scalar_one()
            assert expected == {"10000ms": "10000", "10s": "10s"}.get(found, found)
    assert ledger.lock.take()
    with ledger.write() as connection:
        assert ledger.lock.session() is connection  # type: ignore[attr-defined] # PostgreSQL's lock
        assert expected == connection.exec_driver_sql(f"SHOW {setting}").scalar_one()
    ledger.lock.release()


def test_who_reads_sees_one_state_and_writes_nothing(ledger: Ledger) -> None:
    """A transaction that reads is REPEATABLE READ and READ ONLY; one that writes sees each row as it is by then."""
    with ledger.read() as reading:
        assert "repeatable read" == reading.exec_driver_sql("SHOW transaction_isolation").scalar_one()
        with pytest.raises(LedgerAwayError, match="read-only transaction"):
            put(reading, "folders", {})
    with ledger.write() as writing:
        assert "read committed" == writing.exec_driver_sql("SHOW transaction_isolation").scalar_one()


# The schema.


def test_the_schema_is_the_one_that_the_program_speaks(tx: sa.Connection) -> None:
    """Tables, columns, keys and indexes are those of the metadata, by Alembic's own comparison."""
    context = MigrationContext.configure(tx, opts={"compare_type": True})
    assert REVISION == context.get_current_revision()
    assert [] == compare_metadata(context, schema.metadata)


def test_a_partial_index_holds_what_it_says(tx: sa.Connection) -> None:
    """An index has its condition, no other, and the order of its columns: Alembic does not look at these."""
    query = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    made = {row.indexname: row.indexdef for row in tx.exec_driver_sql(query)}
    expected = {index.name: index for table in schema.metadata.tables.values() for index in table.indexes}
    assert set(expected) <= set(made)
    for name, index in expected.items():
        text = made[name]
        assert index.unique == text.startswith("CREATE UNIQUE")
        where = "" if index.info["where"] is None else str(index.info["where"])
        assert bool(where) == (" WHERE " in text), text
        columns = set(re.findall(r"[a-z_]+", where)) & set(index.table.c.keys())
        assert columns <= set(re.findall(r"[a-z_]+", text.partition(" WHERE ")[2])), text
        descending = [column for column in index.expressions if "DESC" in str(column)]
        assert len(descending) == text.count(" DESC"), text


def test_every_check_is_there(tx: sa.Connection) -> None:
    """Alembic compares no CHECKs, so they are counted by name."""
    query = "SELECT conname, conrelid::regclass::text AS its FROM pg_constraint WHERE contype = 'c' AND conname ~ '^ck_'"
    assert checks() == {row.conname: row.its for row in tx.exec_driver_sql(query)}


@pytest.mark.parametrize("check", VIOLATIONS)
def test_every_check_refuses_its_violation(tx: sa.Connection, check: str) -> None:
    """What must hold is kept by the engine, by a constraint that says what was broken."""
    put(tx, "folders", {"id": 1})
    if "analysis_id" in VIOLATIONS[check]:
        put(tx, "analyses", {"id": 1})
    with pytest.raises(IntegrityError) as raised:
        put(tx, checks()[check], VIOLATIONS[check])
    assert check == raised.value.orig.diag.constraint_name  # type: ignore[union-attr] # psycopg's error


@pytest.mark.parametrize("table", ROWS)
def test_a_row_without_a_violation_is_taken(tx: sa.Connection, table: str) -> None:
    """It is the violation that is refused, not the row."""
    if table == "files":
        put(tx, "folders", {"id": 1})
    put(tx, table, {})


@pytest.mark.parametrize("column", ["folder_id", "analysis_id"])
def test_a_file_of_nothing_is_refused(tx: sa.Connection, column: str) -> None:
    """A reference to a row that is not there is refused."""
    put(tx, "folders", {"id": 1})
    with pytest.raises(IntegrityError, match="violates foreign key constraint"):
        put(tx, "files", {"sha256": b"\x01" * 32, column: 99})


@pytest.mark.parametrize(
    "changes", [{}, {"parent": b""}, {"state": "gone"}], ids=["as it is", "in the root", "gone"]
)
def test_one_row_stands_for_a_place(tx: sa.Connection, changes: dict[str, Any]) -> None:
    """A second file at a path is refused, unless the first was moved away or replaced."""
    put(tx, "folders", {"id": 1})
    put(tx, "files", {"state": "superseded"})
    put(tx, "files", {"lies_at": b"human/a.jpg"})
    put(tx, "files", changes)
    with pytest.raises(IntegrityError, match="uq_files_place"):
        put(tx, "files", {})


def test_a_content_is_paid_once(tx: sa.Connection) -> None:
    """A second analysis of the same content, kind and options must be another edition."""
    put(tx, "analyses", {})
    for other in ({"edition": 1}, {"media": "video"}, {"options": "[]"}, {"sha256": b"\x02" * 32}):
        put(tx, "analyses", other)
    with pytest.raises(IntegrityError, match="uq_analyses_sha256"):
        put(tx, "analyses", {})


@pytest.mark.parametrize(
    "statement", ["UPDATE history SET who = 'nobody'", "DELETE FROM history", "TRUNCATE history"]
)
def test_history_is_append_only(tx: sa.Connection, statement: str) -> None:
    """No line is changed or deleted, be it by hand, and be there no line yet."""
    with pytest.raises(DBAPIError, match="history is append-only"):
        tx.exec_driver_sql(statement)


# How queries find their rows, of 100,000 files, nine of ten of them in one directory.


@pytest.fixture(scope="session")
def full(postgres: Cluster) -> str:
    """Give the address of a ledger of many files, whose server tells how it finds them; made once for all workers."""
    with (postgres.directory / "full.lock").open("a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        url = postgres.url("full")
        if not postgres.administer("SELECT 1 FROM pg_database WHERE datname = 'full'"):
            servers.archive(postgres.database("full"), FILES, now=NOW, folders=10, alone=True)
            plans.tell(postgres, url)
    return url


@pytest.fixture(scope="module")
def asked(full: str) -> Iterator[sa.Connection]:
    """Give a session of the ledger's, on a ledger of many files."""
    with plans.asking(full) as connection:
        yield connection


GROWING = frozenset({"analyses", "answers", "files", "history", "left", "queue", "requests"})
MOST = 600
"""Rows that one statement may look at: some more than the largest batch that any of them asks for."""

VERDICT = Verdict(classification=Label.HUMAN, confidence=1, heuristic="Majority")
ARRIVAL = Arrival(folder_id=1, path=b"new.jpg", fingerprint=SHAPE, noticed_at=NOW)
CONTENT = Content(sha256=b"\x01" * 32, media=Media.IMAGE, mime="image/jpeg", options="{}")
LINE = Entry(at=NOW, who="daemon", event="tried", file_id=1, analysis_id=1, detail="{}")


def the_content(tx: sa.Connection, number: int) -> Content:
    """Return the content of an analysis, as a copy of it would be admitted."""
    sha256 = tx.execute(
        sa.select(schema.analyses.c.sha256).where(schema.analyses.c.id == number)
    ).scalar_one()
    return replace(CONTENT, sha256=sha256)


def deliver(tx: sa.Connection) -> None:
    """Deliver a file whose verdict is there."""
    work.advance_file(tx, 113, Destined(Outcome.HUMAN, None, None), STEP)
    assert work.advance_file(tx, 113, Delivered(None, SHAPE), STEP) is not None


HOT: dict[str, Question] = QUERIES | {
    "strange": lambda tx: whereabouts.strange(tx, 1, [b"1.jpg", b"new.jpg"]),
    "at_places": lambda tx: whereabouts.at_places(tx, 1, [b"1.jpg", b"2.jpg"]),
    "admit": lambda tx: admission.admit(tx, ARRIVAL, CONTENT, STEP),
    "admit_all": lambda tx: admission.admit_all(
        tx, [(replace(ARRIVAL, path=b"%d.new.jpg" % n), the_content(tx, 200 + n)) for n in range(20)], STEP
    ),
    "leave": lambda tx: intake.leave(tx, ARRIVAL, "no media", "rules", STEP),
    "asked": lambda tx: work.advance_all(tx, dict.fromkeys((110, 111), Pending()), STEP),
    "judged": lambda tx: work.advance(tx, 110, Judged(VERDICT, b"{}"), STEP),
    "delivered": deliver,
    "account": budget.lock,
    "append": lambda tx: trail.append(tx, [LINE]),
    "stamp": lambda tx: stamps.take(tx, NOW, NOW),
    "heads": lambda tx: notices.heads(tx, "studio"),
}
AS_MANY_AS_THERE_ARE = {"forget_left", "pages", "purse", "reconsider"}
"""What asks for many rows, in pages, once at a start, or of a day: it is no scan all the same."""

BY_DEFAULT = {
    "values": "SET LOCAL plan_cache_mode = force_custom_plan",
    "any values": "SET LOCAL plan_cache_mode = force_generic_plan",
}
FOR_THEIR_VALUES = {"admit_all", "directory", "forget_left", "known", "pages"}
"""What is asked of a directory, which may hold ten files or a million: for these there are settings of ours."""


def assert_found(found: list[Plan], most: float = MOST, growing: Collection[str] = GROWING) -> None:
    """Assert that no table that grows was read from its beginning, and of none more than ``most`` rows."""
    assert found
    for plan in found:
        for read in plan.reads:
            assert read.how != "Seq Scan" or read.table not in growing, plan
            assert read.rows <= most, plan
        assert plan.sorted <= most, plan


@pytest.mark.parametrize("name", HOT)
def test_hot_queries_are_searches(asked: sa.Connection, name: str) -> None:
    """What the loop and a scan ask is found by an index, and hardly a row is looked at that is not wanted."""
    assert_found(plans.carried_out(asked, HOT[name]), float("inf") if name in AS_MANY_AS_THERE_ARE else MOST)


@pytest.mark.parametrize("name", sorted(set(HOT) - FOR_THEIR_VALUES))
@pytest.mark.parametrize("planned_for", BY_DEFAULT)
def test_hot_queries_need_no_settings(asked: sa.Connection, name: str, planned_for: str) -> None:
    """The loop's plans do not hang on ours: the planner comes to them by itself, for given values and for any."""
    by_itself = ("RESET enable_seqscan", "RESET enable_bitmapscan", BY_DEFAULT[planned_for])
    assert_found(
        plans.carried_out(asked, HOT[name], *by_itself),
        float("inf") if name in AS_MANY_AS_THERE_ARE else MOST,
        GROWING - {"queue"},  # it has 500 rows here, which are read at once
    )


LISTS: dict[str, Wanted] = {
    **{f"state {state}": Wanted(state=state) for state in FileState},
    **{f"outcome {outcome}": Wanted(outcome=outcome) for outcome in (Outcome.HUMAN, Outcome.REJECTED)},
    **{f"media {media}": Wanted(media=media) for media in Media},
    "decided": Wanted(decided=True),
    "decision": Wanted(decision=Choice.HUMAN),
    "undecided": Wanted(decided=False),
    "folder": Wanted(folder_ids=(3,)),
    "stuck": Wanted(stuck=True),
    "doubt": Wanted(doubt=True),
    "held": Wanted(held=True),
    "to review": Wanted(to_review=True),
    "what most are": Wanted(
        state=FileState.DELIVERED, outcome=Outcome.HUMAN, media=Media.IMAGE, decided=False
    ),
    "what few are": Wanted(state=FileState.WAITING, media=Media.IMAGE, folder_ids=(1,), held=True),
}
"""What a list may be filtered by, each alone, and together: more filters make no other plan."""


@pytest.mark.parametrize("name", LISTS)
def test_a_list_ends_where_its_page_does(asked: sa.Connection, name: str) -> None:
    """A page of whatever there is enough of is found near its place: nothing is gathered that it does not show."""
    found = plans.carried_out(asked, lambda tx: lists.page(tx, LISTS[name], after=None, limit=10))
    assert_found(found, FILES / 10)
    assert 10 == max(read.rows for read in found[-1].reads), "all of them were shown"


@pytest.mark.parametrize("ask", [lists.page, lists.names])
def test_what_nothing_passes_is_looked_for_in_an_index_alone(asked: sa.Connection, ask: Any) -> None:
    """A filter that no file passes costs a walk through an index, never through the files."""
    found = plans.carried_out(asked, lambda tx: ask(tx, FILTERED, after=SPOT_OF_NOW, limit=10))
    assert {("Index Only Scan", "ix_files_noticed_at")} == {
        (read.how, read.index) for plan in found for read in plan.reads if read.rows > 0
    }


SPOT_OF_NOW = replace(SPOT, id=FILES)


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_shown_is_found_by_an_index(asked: sa.Connection, name: str) -> None:
    """What people ask for of many files is found as what the loop asks for is."""
    found = plans.carried_out(asked, SHOWN[name][1])
    assert_found(found, FILES if name in {"page, filtered", "names"} else 2 * FILES / 100)


def test_what_is_counted_is_counted_in_indexes_alone(asked: sa.Connection) -> None:
    """All that `status` counts is in indexes: no row is read for it."""
    found = plans.carried_out(asked, views.counts)
    assert {"Index Only Scan"} == {read.how for plan in found for read in plan.reads}
