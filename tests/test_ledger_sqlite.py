"""What is SQLite's own: how it is opened, what its tables refuse, and how its queries find their rows."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import IntegrityError

from identifai_watch.core.model import Label, Media, Verdict
from identifai_watch.errors import LedgerAwayError, LedgerError
from identifai_watch.ledger import (
    REVISION,
    Ledger,
    admission,
    archive,
    desk,
    intake,
    migrate,
    queue,
    rows,
    schema,
    sqlite,
    views,
)
from identifai_watch.ledger.admission import Content
from identifai_watch.ledger.whereabouts import Arrival
from tests.questions import ME, NOW, QUERIES, SHAPE, SHOWN, STEP, statements
from tests.violations import ROWS, VIOLATIONS, checks, put

VERDICT = rows.verdict_text(Verdict(classification=Label.HUMAN, confidence=1, heuristic="Majority"))


def opened(path: Path) -> Ledger:
    """Open a ledger in a file."""
    return Ledger(f"sqlite:///{path}", node="studio")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the file that the ledger of a test lies in."""
    return tmp_path / "state" / "ledger.db"


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an empty ledger that was made by the migrations, to be copied: that is quicker than making each anew."""
    path = tmp_path_factory.mktemp("original") / "ledger.db"
    opened(path).close()
    return path


@pytest.fixture
def ledger(original: Path, path: Path) -> Iterator[Ledger]:
    """Give an empty ledger."""
    path.parent.mkdir()
    shutil.copy(original, path)
    made = opened(path)
    yield made
    made.close()


@pytest.fixture
def tx(ledger: Ledger) -> Iterator[sa.Connection]:
    """Give a transaction that writes."""
    with ledger.write() as connection:
        yield connection


# Opening.


@pytest.mark.parametrize(
    ("pragma", "expected"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("trusted_schema", 0)],
)
def test_every_connection_is_safe(ledger: Ledger, pragma: str, expected: object) -> None:
    """The log is written ahead, a commit is on the disk, and references are kept."""
    for transaction in (ledger.read, ledger.write):
        with transaction() as tx:
            assert expected == tx.exec_driver_sql(f"PRAGMA {pragma}").scalar_one()


def test_a_commit_outlives_the_process_that_made_it(path: Path) -> None:
    """What was committed is there although the process was killed before it closed anything."""
    code = (
        "import os, sys\n"
        "from identifai_watch.ledger import Ledger, intake\n"
        "ledger = Ledger(f'sqlite:///{sys.argv[1]}', node='studio')\n"
        "with ledger.write() as tx:\n"
        "    intake.folder(tx, 'studio', 'drop')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, path], check=False)
    assert -9 == ended.returncode
    again = opened(path)
    with again.read() as tx:
        assert {"drop": 1} == views.folder_ids(tx, "studio")
    again.close()


def test_the_directory_of_a_new_ledger_is_made(path: Path) -> None:
    """A first start needs no preparation; an empty file is a ledger still to be made."""
    assert not path.parent.exists()
    opened(path).close()
    empty = path.with_name("empty.db")
    empty.touch()
    opened(empty).close()
    assert path.stat().st_size == empty.stat().st_size > 0


def test_a_ledger_of_this_version_is_opened_without_alembic(path: Path) -> None:
    """A command that reads the ledger does not pay for the import of the migrations."""
    opened(path).close()
    code = (
        "import sys\n"
        "from identifai_watch.ledger import Ledger\n"
        "Ledger(f'sqlite:///{sys.argv[1]}', node='studio').close()\n"
        "sys.exit('alembic' in sys.modules)\n"
    )
    assert 0 == subprocess.run([sys.executable, "-c", code, path], check=False).returncode


def test_two_who_make_a_ledger_at_once_make_one(path: Path) -> None:
    """Whoever comes second finds the schema there."""
    ready, made = Barrier(2), []

    def make() -> None:
        ready.wait(10)
        made.append(opened(path))

    threads = [Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for one in made:
        one.close()
    assert 2 == len(made)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ledger.db", "is no database URL"),
        ("mysql://localhost/ledger", "mysql is not supported"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_a_url_that_names_no_ledger_is_refused(url: str, said: str) -> None:
    """The error names the key and what to write."""
    with pytest.raises(LedgerError, match=said) as raised:
        Ledger(url, node="studio")
    assert "ledger.url" in str(raised.value)
    assert "sqlite:////path/to/ledger.db" in str(raised.value)


def test_a_ledger_of_a_newer_version_is_refused_untouched(path: Path) -> None:
    """An older program does not touch what it does not understand."""
    opened(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"newer version \(revision 0999\)"):
        opened(path)
    assert before == path.read_bytes()


def test_another_program_s_database_is_refused_untouched(tmp_path: Path) -> None:
    """Not even its journal mode is changed."""
    path = tmp_path / "photos.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE photos (id INTEGER)")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="another program's database"):
        opened(path)
    assert before == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_a_file_that_is_no_database_is_refused_untouched(tmp_path: Path) -> None:
    """A photo in the ledger's place is not overwritten."""
    path = tmp_path / "ledger.db"
    path.write_bytes(b"\xff\xd8\xff" * 5000)
    with pytest.raises(LedgerError, match="file is not a database"):
        opened(path)
    assert b"\xff\xd8\xff" * 5000 == path.read_bytes()


def test_a_ledger_that_was_cut_short_is_refused_untouched(path: Path) -> None:
    """A copy that was broken off is noticed at once, not when its missing pages are met."""
    opened(path).close()
    os.truncate(path, path.stat().st_size - 8192)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"malformed.*ledger restore FROM puts a backup back"):
        opened(path)
    assert before == path.read_bytes()


def test_a_ledger_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    """A directory in its place, or a file in its directory's, is the configuration's matter."""
    (tmp_path / "ledger.db").mkdir()
    (tmp_path / "file").touch()
    for where in (tmp_path / "ledger.db", tmp_path / "file" / "ledger.db"):
        with pytest.raises(LedgerError, match=re.escape(str(where))):
            opened(where)


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("nfs4", "server:/export"),
        ("cifs", "//server/share"),
        ("9p", "share"),
        ("fuse.sshfs", "me@server:"),
        ("virtiofs", "share"),
    ],
)
def test_a_ledger_on_a_network_file_system_is_refused(kind: str, source: str) -> None:
    """The error names the kind and the source, and another place."""
    mountinfo = (
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"36 22 0:45 / /nowhere/net\\040share rw,relatime shared:1 - {kind} {source} rw\n"
    ).encode()
    with pytest.raises(LedgerError, match=re.escape(f"({kind} from {source})")) as raised:
        sqlite.refuse_network(Path("/nowhere/net share/watch/ledger.db"), mountinfo)
    assert "/var/lib/identifai-watch" in str(raised.value)
    sqlite.refuse_network(Path("/nowhere/net/ledger.db"), mountinfo)


def test_without_a_table_of_mounts_nothing_is_refused() -> None:
    """In a sandbox that hides /proc the ledger is opened all the same."""
    sqlite.refuse_network(Path("/nowhere/ledger.db"), b"")


def test_a_link_to_a_network_file_system_is_refused(tmp_path: Path) -> None:
    """What counts is where the file lies, not what it is called."""
    far = tmp_path / "far"
    far.mkdir()
    (tmp_path / "near").symlink_to(far)
    mountinfo = f"36 22 0:45 / {far.resolve()} rw - nfs4 server:/export rw\n".encode()
    with pytest.raises(LedgerError, match="network file system"):
        sqlite.refuse_network(tmp_path / "near" / "ledger.db", mountinfo)


# The schema.


def test_the_revision_is_the_newest_migration() -> None:
    """What the program says that it speaks is what Alembic would bring a ledger to."""
    assert REVISION == ScriptDirectory.from_config(migrate.config()).get_current_head()


def test_a_fresh_ledger_is_at_the_revision(tx: sa.Connection) -> None:
    """The ledger says which version it is of."""
    assert REVISION == MigrationContext.configure(tx).get_current_revision()


def checked(table: str) -> set[tuple[str, str]]:
    """Return the named CHECKs of a table's SQL, be they written with a column or by themselves."""
    found = set()
    for match in re.finditer(r"CONSTRAINT (ck_\w+) CHECK \(", table):
        depth, end = 1, match.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(table[end], 0)
            end += 1
        found.add((match[1], table[match.end() : end - 1]))
    return found


def described(connection: sa.Connection) -> dict[str, Any]:
    """Describe every table: columns, constraints, indexes with their conditions, and whether it is STRICT."""
    found: dict[str, Any] = {}
    listed = connection.exec_driver_sql("PRAGMA table_list").all()
    strict = {row.name: row.strict for row in listed}
    for (name,) in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").all():
        if name in {"alembic_version", "sqlite_sequence"}:
            continue
        text = connection.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)
        ).scalar_one()
        indexes = connection.exec_driver_sql(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ?", (name,)
        )
        found[name] = {
            "columns": {tuple(row[1:]) for row in connection.exec_driver_sql(f"PRAGMA table_info('{name}')")},
            "checks": checked(text),
            "indexes": {(index, re.sub(r"\s+", " ", sql or "")) for index, sql in indexes},
            "foreign keys": {
                tuple(row[2:]) for row in connection.exec_driver_sql(f"PRAGMA foreign_key_list('{name}')")
            },
            "strict": strict[name],
        }
    return found


def test_the_migrated_schema_is_the_one_that_the_program_speaks(tx: sa.Connection) -> None:
    """Columns, constraints, foreign keys and indexes of the migrations are those of the metadata."""
    engine = sa.create_engine("sqlite://")
    with engine.begin() as fresh:
        schema.metadata.create_all(fresh)
        expected, actual = described(fresh), described(tx)
    engine.dispose()
    assert set(expected) == set(actual)
    for table, description in expected.items():
        assert description == actual[table]


def test_every_table_is_strict(tx: sa.Connection) -> None:
    """No column takes a value of another type than its own."""
    assert {1} == {description["strict"] for description in described(tx).values()}


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("analyses", "due", "tomorrow"),
        ("analyses", "sha256", "ab" * 16),
        ("files", "size", "large"),
        ("files", "name", "a.jpg"),
        ("requests", "at", 1.5),
        ("account", "credits", "many"),
    ],
)
def test_a_value_of_another_type_is_refused(
    tx: sa.Connection, table: str, column: str, value: object
) -> None:
    """STRICT keeps text out of numbers and names out of bytes."""
    with pytest.raises(
        IntegrityError, match=f"cannot store (TEXT|REAL) value in \\w+ column {table}.{column}"
    ):
        put(tx, table, {column: value})


def test_every_check_has_a_violation() -> None:
    """The table above is complete."""
    assert set(checks()) == set(VIOLATIONS)


@pytest.mark.parametrize("check", VIOLATIONS)
def test_every_check_refuses_its_violation(tx: sa.Connection, check: str) -> None:
    """What must hold is kept by the engine, by a constraint that says what was broken."""
    table = checks()[check]
    put(tx, "folders", {})
    if "analysis_id" in VIOLATIONS[check]:
        put(tx, "analyses", {})
    with pytest.raises(
        IntegrityError, match=f"CHECK constraint failed: {check}$|CHECK constraint failed: {check}\n"
    ):
        put(tx, table, VIOLATIONS[check])


@pytest.mark.parametrize("table", ROWS)
def test_a_row_without_a_violation_is_taken(tx: sa.Connection, table: str) -> None:
    """It is the violation that is refused, not the row."""
    if table == "files":
        put(tx, "folders", {})
    put(tx, table, {})


@pytest.mark.parametrize("column", ["folder_id", "analysis_id"])
def test_a_file_of_nothing_is_refused(tx: sa.Connection, column: str) -> None:
    """A reference to a row that is not there is refused."""
    put(tx, "folders", {})
    with pytest.raises(IntegrityError, match="FOREIGN KEY constraint failed"):
        put(tx, "files", {"sha256": b"\x01" * 32, column: 99})


def test_a_content_is_paid_once(tx: sa.Connection) -> None:
    """A second analysis of the same content, kind and options must be another edition."""
    put(tx, "analyses", {})
    with pytest.raises(IntegrityError, match="UNIQUE constraint failed: analyses"):
        put(tx, "analyses", {})
    for other in ({"edition": 1}, {"media": "video"}, {"options": "[]"}, {"sha256": b"\x02" * 32}):
        put(tx, "analyses", other)


def test_one_row_stands_for_a_place(tx: sa.Connection) -> None:
    """A second file at a path is refused, unless the first was moved away or replaced."""
    put(tx, "folders", {})
    put(tx, "files", {"state": "superseded"})
    put(tx, "files", {"lies_at": b"human/a.jpg"})
    put(tx, "files", {"state": "gone"})
    with pytest.raises(IntegrityError, match="UNIQUE constraint failed"):
        put(tx, "files", {})
    put(tx, "files", {"parent": b"a"})


# How queries find their rows.


@pytest.fixture
def full(ledger: Ledger) -> Ledger:
    """Give a ledger in which every function below finds something."""
    with ledger.write() as tx:
        drop = intake.folder(tx, ME.node, "drop").id
        for n in range(30):
            arrival = Arrival(folder_id=drop, path=b"%d.jpg" % n, fingerprint=SHAPE, noticed_at=NOW)
            content = Content(sha256=bytes([n]) * 32, media=Media.IMAGE, mime="image/jpeg", options="{}")
            admission.admit(tx, arrival, content, STEP)
        later = NOW - timedelta(minutes=1)
        sent = {"due": None, "submitted_at": later}
        for first, values in (
            (5, sent | {"state": "awaiting", "identifier": "id", "deadline": NOW, "due": later}),
            (10, sent | {"state": "judged", "verdict": VERDICT, "judged_at": NOW}),
            (20, {"state": "sending", "due": None}),
        ):
            some = schema.analyses.c.id.between(first, first + 4)
            tx.execute(sa.update(schema.analyses).where(some).values(values))
            queue.renew(tx, range(first, first + 5))
        decided = {"decision": "human", "decided_at": NOW}
        tx.execute(sa.update(schema.files).where(schema.files.c.id == 1).values(decided))
        due = schema.files.c.analysis_id.between(10, 14)
        tx.execute(sa.update(schema.files).where(due).values(due=later))
        free = Arrival(folder_id=drop, path=b"held.jpg", fingerprint=SHAPE, noticed_at=NOW)
        archive.hold(tx, [free])
        intake.leave(
            tx,
            Arrival(folder_id=drop, path=b"notes.txt", fingerprint=SHAPE, noticed_at=NOW),
            "no media",
            "rules",
            STEP,
        )
        desk.ask(tx, "pause", {}, who="ann", now=NOW)
    return ledger


IN_ORDER = {
    "begin_upload": "queue",
    "begin_oldest": "queue",
    "claim_polls": "analyses",
    "still_awaited": "analyses",
    "claim_deliveries": "files",
    "claim_orphans": "files",
    "expire": "files",
    "to_admit": "files",
    "sent": "requests",
    "durations": "analyses",
}
"""Where rows must come in their order from an index: sorting all that waits each round would cost too much."""


@pytest.mark.parametrize("name", QUERIES)
def test_hot_queries_are_searches(full: Ledger, name: str) -> None:
    """What the loop asks every round is found by an index: no table that grows is read from end to end."""
    with full.write() as tx:
        said = statements(tx, QUERIES[name])
        plans = {text: plan(tx, text, parameters) for text, parameters in said}
    assert plans
    for text, steps in plans.items():
        for step in steps:
            assert not re.match(r"SCAN (analyses|files|left|history|queue|requests)\b", step), (text, steps)
            if f"FROM {IN_ORDER.get(name)}" in text:
                assert "FOR ORDER BY" not in step, (text, steps)
    if name != "forget_left":
        assert any(
            re.match(r"(SEARCH|SCAN commands) .*USING .*INDEX", step)
            for steps in plans.values()
            for step in steps
        )


IN_PART = {"reviews", "held"}
"""What is read from end to end all the same: a small index, as far as it is asked for."""


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_shown_is_found_by_an_index(full: Ledger, name: str) -> None:
    """What people ask for of a million rows is sought where it stands, and read from one end for a list alone."""
    index, ask = SHOWN[name]
    with full.read() as tx:
        steps = [step for said in statements(tx, ask) for step in plan(tx, *said)]
    read = [step for step in steps if re.match(r"SCAN (analyses|files|left|history|queue|requests)\b", step)]
    assert any(index in step for step in steps), steps
    from_one_end = name == "newest" or name in IN_PART
    assert read == ([step for step in steps if index in step] if from_one_end else []), steps


@pytest.mark.parametrize("name", ["page", "page, filtered"])
def test_what_a_list_passes_over_is_read_in_an_index_alone(full: Ledger, name: str) -> None:
    """A filter that hardly any of a million files passes costs a walk through an index, never through their rows."""
    with full.read() as tx:
        text, parameters = statements(tx, SHOWN[name][1])[0]
        steps = plan(tx, text, parameters)
    [step] = steps
    assert "COVERING INDEX" in step
    assert "noticed_at" in step, "it begins where the page before ended"


def plan(tx: sa.Connection, text: str, parameters: Any) -> list[str]:
    """Return the steps by which SQLite would carry a statement out."""
    return [row.detail for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters)]


# The lock that says that a daemon is alive.


def test_one_daemon_has_a_ledger(path: Path) -> None:
    """A second daemon does not get the lock until the first gives it back."""
    first, second = opened(path), opened(path)
    assert (False, True, True) == (first.lock.is_taken(), first.lock.take(), second.lock.is_taken())
    assert (False, True) == (second.lock.take(), first.lock.is_taken())
    first.close()
    assert (False, True) == (second.lock.is_taken(), second.lock.take())
    second.close()
    second.lock.release()


def test_the_lock_of_a_process_that_was_killed_is_free(path: Path) -> None:
    """The kernel gives the lock back, so that nothing is left to be cleared away."""
    code = (
        "import sys\n"
        "from identifai_watch.ledger import Ledger\n"
        "ledger = Ledger(f'sqlite:///{sys.argv[1]}', node='studio')\n"
        "print(ledger.lock.take(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as daemon:
        assert daemon.stdout is not None
        assert "True\n" == daemon.stdout.readline()
        ledger = opened(path)
        assert (True, False) == (ledger.lock.is_taken(), ledger.lock.take())
        daemon.kill()
        daemon.wait(10)
        assert (False, True) == (ledger.lock.is_taken(), ledger.lock.take())
        ledger.close()


def test_whoever_asks_does_not_keep_a_daemon_from_starting(path: Path) -> None:
    """Commands that look at the lock all the time have it only for an instant."""
    daemon, asking = opened(path), opened(path)
    daemon.lock.take()
    daemon.lock.release()
    ended = Barrier(2)
    taken: list[bool] = []

    def ask() -> None:
        while not taken:
            asking.lock.is_taken()
        ended.wait(10)

    thread = Thread(target=ask)
    thread.start()
    taken.append(daemon.lock.take())
    ended.wait(10)
    thread.join(10)
    assert [True] == taken
    daemon.close()
    asking.close()


# Two processes.


def test_a_writer_waits_for_the_other(path: Path) -> None:
    """Two processes that write at once lose nothing: a write transaction has the lock from its beginning."""
    opened(path).close()
    code = (
        "import sys\n"
        "from identifai_watch.ledger import Ledger, desk\n"
        "from datetime import UTC, datetime\n"
        "ledger = Ledger(f'sqlite:///{sys.argv[1]}', node='studio')\n"
        "now = datetime.now(UTC)\n"
        "for n in range(40):\n"
        "    with ledger.write() as tx:\n"
        "        known = len(desk.open_commands(tx))\n"
        "        desk.ask(tx, 'count', {'known': known}, who=sys.argv[2], now=now)\n"
        "ledger.close()\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, path, who]) for who in ("ann", "bob")]
    assert [0, 0] == [process.wait(60) for process in both]
    ledger = opened(path)
    with ledger.read() as tx:
        assert list(range(80)) == [command.arguments["known"] for command in desk.open_commands(tx)]
    ledger.close()


def ask(tx: sa.Connection, *verbs: str, error: Exception | None = None) -> None:
    """Write down what was asked for, each in a part within the one before it; then raise ``error``, if there is one."""
    if verbs:
        with sqlite.part(tx):
            desk.ask(tx, verbs[0], {}, who="desk", now=NOW)
            ask(tx, *verbs[1:], error=error)
    elif error is not None:
        raise error


def fail_with_all(tx: sa.Connection) -> None:
    """Have SQLite end the transaction, and fail."""
    tx.exec_driver_sql("ROLLBACK")
    raise LookupError


def asked(ledger: Ledger) -> list[str]:
    """Return what is written down."""
    with ledger.read() as tx:
        return [command.verb for command in desk.open_commands(tx)]


def test_what_a_part_wrote_is_taken_back_if_it_raises_and_the_rest_stands(ledger: Ledger) -> None:
    """What a part of a transaction wrote is taken back if it raises, parts within it too; the rest stands."""
    with ledger.write() as tx:
        ask(tx, "pause", "resume")
        with pytest.raises(LookupError):
            ask(tx, "retry", "judge", error=LookupError())
        ask(tx, "reach")
    assert ["pause", "resume", "reach"] == asked(ledger)


def test_a_part_within_another_is_taken_back_alone(ledger: Ledger) -> None:
    """If a part within another raises, and that one bears it, what the other wrote stands."""
    with ledger.write() as tx, sqlite.part(tx):
        ask(tx, "pause")
        with pytest.raises(LookupError):
            ask(tx, "retry", error=LookupError())
    assert ["pause"] == asked(ledger)


def test_an_error_of_the_ledger_in_a_part_takes_all_of_the_transaction_back(ledger: Ledger) -> None:
    """An error of the ledger ends the transaction that it is raised in a part of."""
    with pytest.raises(LedgerAwayError), ledger.write() as tx:
        ask(tx, "pause", error=LedgerAwayError("its disk is full"))
    assert [] == asked(ledger)


def test_a_part_that_cannot_be_taken_back_ends_the_transaction(ledger: Ledger) -> None:
    """Where SQLite has ended a transaction by itself, as on a full disk, no part of it is taken for one that failed alone."""
    with pytest.raises(LedgerAwayError, match="no such savepoint"), ledger.write() as tx, sqlite.part(tx):
        fail_with_all(tx)
    assert [] == asked(ledger)


def test_a_reader_sees_one_state_and_keeps_nobody_waiting(ledger: Ledger) -> None:
    """While somebody writes, and after it was committed, a reader sees what was when it began."""
    with ledger.read() as reading:
        assert {} == views.folder_ids(reading, "studio")
        with ledger.write() as tx:
            intake.folder(tx, "studio", "drop")
        assert {} == views.folder_ids(reading, "studio")
    with ledger.read() as reading:
        assert {"drop": 1} == views.folder_ids(reading, "studio")


def test_a_copy_made_while_a_daemon_runs_is_a_ledger(ledger: Ledger, tmp_path: Path) -> None:
    """SQLite's own backup of a ledger in use can be opened in its place."""
    with ledger.write() as tx:
        intake.folder(tx, "studio", "drop")
    copy = tmp_path / "copy.db"
    with ledger.read() as tx, closing(sqlite3.connect(copy)) as target:
        tx.connection.driver_connection.backup(target)  # type: ignore[union-attr] # a sqlite3.Connection
    restored = opened(copy)
    with restored.read() as tx:
        assert {"drop": 1} == views.folder_ids(tx, "studio")
    restored.close()
    shutil.rmtree(tmp_path / "state", ignore_errors=True)


def test_a_transaction_that_reads_cannot_write_by_mistake_after_another_wrote(ledger: Ledger) -> None:
    """A write from a stale snapshot is refused by SQLite instead of undoing what came between."""
    with ledger.read() as stale:
        views.folder_ids(stale, "studio")
        with ledger.write() as tx:
            intake.folder(tx, "studio", "drop")
        with pytest.raises(LedgerAwayError, match="database is locked"):
            intake.folder(stale, "studio", "other")
