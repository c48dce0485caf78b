"""A ledger taken elsewhere: from SQLite to PostgreSQL and back, cut at any moment, row by row the same."""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from identifai_watch.core.trail import Entry
from identifai_watch.errors import LaterError, LedgerAwayError, LedgerError, RefusedError, WatchError
from identifai_watch.ledger import Ledger, copy, copying, dialects, plain, trail
from identifai_watch.ledger.sqlite import NodeLock
from identifai_watch.simulator.service import Endpoint
from tests.console import at, talk, typed
from tests.harness import House, house, wait_for
from tests.postgres import Cluster
from tests.wires import Wire

NODE = "here"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MOST = 2**63 - 1
ROOT = Path(__file__).resolve().parent.parent


# What there is to copy.


def put(tx: sa.Connection, table: str, **values: object) -> None:
    """Insert a row as an engine stores it."""
    named = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    tx.execute(sa.text(f"INSERT INTO {table} ({named}) VALUES ({marks})"), values)  # noqa: S608 - names of ours


def strange(tx: sa.Connection) -> None:
    """Write rows with every value that an engine may take for another, in each table."""
    put(tx, "folders", id=70, node="attic", name="Ärger 🗄 'quoted'", filesystem="", archived_at=-1)
    judged = {"media": "image", "options": "{}", "mime": "", "noticed_at": -(2**62), "state": "judged"}
    for number in (-5, 70, MOST - 1):
        digest = hashlib.sha256(str(number).encode()).digest()
        more = {"size": MOST, "verdict": '{"a": "\\u0000"}', "priority": -(2**31), "edition": 2**31 - 1}
        put(tx, "analyses", id=number, sha256=digest, **judged, **more)
    for whose in ("b", "B", "/70"):
        put(
            tx,
            "queue",
            analysis_id=70,
            whose=whose,
            backlog=1,
            priority=-(2**31),
            noticed_at=-(2**62),
            due=MOST,
        )
    put(tx, "answers", analysis_id=70, raw=b"", heatmap=bytes(range(256)) * 4_000)
    put(tx, "answers", analysis_id=MOST - 1, raw=b"\0\xff\xfe", heatmap=None)
    file = {"folder_id": 70, "size": 0, "mtime_ns": -MOST, "ctime_ns": MOST, "noticed_at": 0, "state": "gone"}
    for number, parent, name in (
        (70, b"", b"\xff\xfe\x00 no text"),
        (71, b"a/\xc3\x28", b"tab\tline\n\\N"),
        (72, b"\\x00", b""),
    ):
        put(tx, "files", id=number, parent=parent, name=name, trouble="\\N\ttab\r\n\x7f\u2028 ''", **file)
    tx.execute(sa.text("UPDATE files SET supersedes = 72 WHERE id = 70"))  # a later one
    tx.execute(sa.text("UPDATE files SET supersedes = 70 WHERE id = 71"))
    for name in (b"b", b"B", b"a", b"\xff", b""):
        rest = {"size": 1, "mtime_ns": 1, "ctime_ns": 1, "reason": "", "rules": "é", "left_at": 1}
        put(tx, "left", folder_id=70, parent=b"\xe9", name=name, **rest)
    put(tx, "stamps", history_id=1, lines=1, digest=b"\1" * 32, asked_at=1, answer=b"\x30\0", stamped_at=2)
    for second, left in (
        (1, 0.1 + 0.2),
        (2, -0.0),
        (3, 5e-324),
        (4, 1.7976931348623157e308),
        (5, float("inf")),
    ):
        put(tx, "balances", at=second, credits=left)
    for node, verb in (("", "pause"), ("attic", "resume")):
        put(tx, "commands", at=1, who="ann\u00e9", verb=verb, arguments="{}", node=node)
        put(tx, "flows", node=node, state="{}")
        for name in ("b", "B", "a", "Ä"):  # a language sorts them in another order than their bytes
            put(tx, "alarms", node=node, name=name, began_at=1, said="")
        put(tx, "notices", uid=f"of {node}", made_at=1, kind="outcome", document=b"\0", node=node)
    for channel in ("b", "B", "a"):
        put(tx, "tellings", channel=channel, notice_id=1, due=1)


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a ledger in a file that a daemon has written, with strange rows besides."""
    home = tmp_path_factory.mktemp("lived")
    with house(home, more={"node": {"name": NODE}}) as one:
        one.put("sample.jpg")
        one.put("sample.jpg", "copy.jpg")
        one.once()
    url = f"sqlite:///{home}/state/ledger.db"
    with Ledger(url, node=NODE) as ledger, ledger.write() as tx:
        tx.exec_driver_sql("DELETE FROM flows")
        strange(tx)
        told = Entry(
            at=NOW, who="ann", event="paused", file_id=71, analysis_id=-5, detail='{"why": "\\u0000"}'
        )
        trail.append(tx, [told] * 150)
        tx.execute(
            sa.text("INSERT INTO requests (at, method) VALUES (:at, 'GET')"),
            [{"at": n} for n in range(150)],
        )
    return home / "state" / "ledger.db"


@pytest.fixture
def source(lived: Path, tmp_path: Path) -> str:
    """Give the address of a copy of it that a test may change."""
    return f"sqlite:///{shutil.copy(lived, tmp_path / 'from.db')}"


@pytest.fixture
def server(postgres: Cluster) -> Iterator[str]:
    """Give the address of an empty database."""
    url = postgres.database()
    yield url
    postgres.drop(url)


def file(tmp_path: Path, name: str = "to.db") -> str:
    """Return the address of a file that is not there."""
    return f"sqlite:///{tmp_path / name}"


def quiet(_what: str, _done: int, _whole: int) -> None:
    """Tell nobody."""


def taken(source: str, target: str, node: str = NODE) -> copy.Compared:
    """Copy a ledger."""
    return copy.copy(source, target, node=node, now=NOW, tell=quiet)


def compared(source: str, target: str) -> list[str]:
    """Return what differs."""
    return [str(one) for one in copy.compare(source, target, node=NODE, tell=quiet).differences]


def stored(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of a ledger in a file, read by SQLite alone."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as opened:
        return {
            table.name: sorted(opened.execute(f'SELECT * FROM "{table.name}"').fetchall(), key=repr)  # noqa: S608 - our own
            for table in plain.TABLES
        }


def writing(url: str, statement: str, **values: object) -> None:
    """Change a ledger behind everybody's back."""
    engine = sa.create_engine(url)
    with engine.begin() as tx:
        tx.execute(sa.text(statement), values)
    engine.dispose()


# There and back.


def test_a_ledger_goes_to_a_server_and_back_and_is_what_it_was(
    source: str, server: str, tmp_path: Path
) -> None:
    """All rows of all tables are the same, and so are numbers and checksums on both sides; one has more than a page."""
    with Ledger(source, node=NODE) as ledger, ledger.write() as tx:
        tx.execute(
            sa.text("INSERT INTO requests (at, method) VALUES (:at, 'GET')"),
            [{"at": -number} for number in range(2 * plain.PAGE)],
        )
    before = stored(source)
    assert [] == [table for table, rows in before.items() if not rows and table != "account"]
    done = taken(source, server)
    assert (0, sum(map(len, before.values()))) == (done.found, done.written)
    sums = {table: (one.rows, one.checksum) for table, (one, _) in done.sums.items()}
    assert sums == {table: (other.rows, other.checksum) for table, (_, other) in done.sums.items()}
    assert {table: len(rows) for table, rows in before.items()} == {
        table: rows for table, (rows, _) in sums.items()
    }
    taken(server, file(tmp_path))
    assert before == stored(file(tmp_path))
    assert [] == compared(source, server) == compared(server, file(tmp_path))


def test_a_ledger_goes_to_another_of_its_kind(
    source: str, server: str, postgres: Cluster, tmp_path: Path
) -> None:
    """From file to file, and from server to server."""
    taken(source, file(tmp_path))
    assert stored(source) == stored(file(tmp_path))
    taken(source, server)
    other = postgres.database()
    taken(server, other)
    assert [] == compared(server, other)
    postgres.drop(other)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_is_copied_is_guarded_chained_and_numbered_as_it_was(
    source: str, server: str, tmp_path: Path, kind: str
) -> None:
    """The history has the same head and takes no change, and what is new gets the next number of its table."""
    target = server if kind == "postgresql" else file(tmp_path)
    done = taken(source, target)
    with Ledger(source, node=NODE) as ledger:
        head, _ = trail.walk(ledger.read)
    with Ledger(target, node=NODE) as ledger:
        assert (head, None) == trail.walk(ledger.read) == (done.head, done.gap)
        for change in ("UPDATE history SET who = 'nobody'", "DELETE FROM history"):
            with pytest.raises(DBAPIError, match="append-only"), ledger.write() as tx:
                tx.exec_driver_sql(change)
        for table in ("folders", "history", "requests", "commands", "stamps"):
            new = {
                "folders": {"node": "x", "name": "y"},
                "history": {"at": 1, "who": "", "event": "", "digest": b""},
                "requests": {"at": 1, "method": "GET"},
                "commands": {"at": 1, "who": "", "verb": "", "arguments": ""},
                "stamps": {"history_id": 1, "lines": 1, "digest": b"\2" * 32, "asked_at": 1},
            }[table]
            with ledger.write() as tx:
                last = tx.exec_driver_sql(f"SELECT max(id) FROM {table}").scalar_one()  # noqa: S608 - from above
                put(tx, table, **new)
                assert last + 1 == tx.exec_driver_sql(f"SELECT max(id) FROM {table}").scalar_one()  # noqa: S608


def test_what_is_copied_is_not_written(source: str, server: str, tmp_path: Path) -> None:
    """The file has the same bytes, also one that may not be written; on a server no transaction may write."""
    path = Path(source.removeprefix("sqlite:///"))
    before = path.read_bytes()
    taken(source, server)
    assert before == path.read_bytes()
    with closing(psycopg_of(server)) as connection:
        written = "SELECT max(greatest(xmin::text::bigint, xmax::text::bigint)) FROM history"
        last = connection.execute(written).fetchone()
        taken(server, file(tmp_path))
        assert last == connection.execute(written).fetchone()


def psycopg_of(url: str) -> Any:
    """Connect to a database with nothing of ours between."""
    import psycopg  # noqa: PLC0415 - only where there is a server

    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


# Whose rows they are.


def of_nodes(url: str) -> dict[str, list[str]]:
    """Return whose the rows are that are a node's own."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = {
            table: sorted(connection.exec_driver_sql(f"SELECT DISTINCT node FROM {table}").scalars())  # noqa: S608 - our own
            for table in sorted(plain.BY_NODE)
        }
    engine.dispose()
    return found


def test_the_rows_of_the_node_have_its_name_on_a_server_and_none_in_a_file(
    source: str, server: str, tmp_path: Path
) -> None:
    """Those of other nodes keep theirs, which is told; folders stay their nodes'."""
    assert {("", "attic")} == {tuple(nodes) for nodes in of_nodes(source).values()}
    assert ["attic"] == taken(source, server).others
    assert {("attic", NODE)} == {tuple(nodes) for nodes in of_nodes(server).values()}
    assert ["attic"] == taken(server, file(tmp_path)).others
    assert {("", "attic")} == {tuple(nodes) for nodes in of_nodes(file(tmp_path)).values()}
    with pytest.raises(RefusedError, match="keeps orders and notices under attic and under no name too"):
        taken(source, server, node="attic")


def test_a_node_that_has_no_folder_is_refused(source: str, server: str) -> None:
    """A host that is called otherwise by now would find none of its folders: those that there are, are named."""
    with pytest.raises(RefusedError, match="are of attic, here: name it with --node"):
        taken(source, server, node="elsewhere")
    with Ledger(server, node=NODE) as ledger, ledger.read() as tx:
        assert None is copying.mark(tx)


# Cut.

CHILD = """
import os, signal, sys
from datetime import UTC, datetime
import sqlalchemy as sa
from identifai_watch.ledger import copy, migrate, plain, postgres
copy.BATCH, plain.PAGE = 40, 60
def attempt(at):
    left = at
    def passes(_):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    sa.event.listen(sa.Engine, "commit", passes)
    copy.copy(*sys.argv[1:], node="here", now=datetime.now(UTC), tell=lambda *_: None)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        attempt(int(line))
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""
"""Copies in a process of its own for each number that it is told, which sends itself SIGKILL right before so many COMMITs."""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_killed_at_any_commit_the_next_run_goes_on(
    source: str, server: str, tmp_path: Path, kind: str
) -> None:
    """Nobody can use the ledger before it is whole; in the end every row is there once, and the mark is gone."""
    target = server if kind == "postgresql" else file(tmp_path)
    command = [sys.executable, "-c", CHILD, source, target]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload] - the same for both
        commits, killed = 1, 0
        while True:
            process.stdin.write(f"{commits}\n")
            process.stdin.flush()
            status = int(process.stdout.readline())
            if status == 0:
                break
            assert signal.SIGKILL == os.WTERMSIG(status), "it ended otherwise"
            killed += 1
            commits = commits * 2 + 1
            if marked(target):
                with pytest.raises(LedgerError, match="is being copied into this ledger"):
                    Ledger(target, node=NODE)
        process.stdin.close()
    assert killed > 4
    assert not marked(target)
    assert [] == compared(source, target)
    with Ledger(target, node=NODE) as ledger:
        assert None is trail.walk(ledger.read)[1]


def marked(url: str) -> bool:
    """Tell whether a ledger is there and marked as an unfinished copy."""
    with dialects.reserved(dialects.parsed(url), is_read=False) as (connection, found):
        if found is None:
            return False
        with connection.begin():
            return copying.mark(connection) is not None


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """Give a house whose host is the node of the tests."""
    with house(tmp_path, more={"node": {"name": NODE}}) as one:
        yield one


def through(wire: Wire, url: str) -> str:
    """Return the address of a database behind a wire."""
    host, port = wire.address
    return f"{url.partition('@')[0]}@{host}:{port}/{url.rpartition('/')[2]}"


@pytest.mark.parametrize("how", ["killed", "interrupted", "cut"])
def test_a_copy_that_ended_in_the_middle_goes_on(
    home: House, source: str, server: str, postgres: Cluster, how: str
) -> None:
    """The real command, in the middle, by kill -9, Ctrl-C or a broken wire: the next one does the rest."""
    Ledger(server, node=NODE).close()
    with Wire(("127.0.0.1", postgres.port)) as wire, closing(psycopg_of(server)) as looking:
        words = ["ledger", "copy", source, through(wire, server), "--json", "--config", str(home.config_path)]
        looking.execute("BEGIN")
        looking.execute("LOCK TABLE history IN SHARE MODE")  # it is read, and nobody adds to it
        process = subprocess.Popen(
            [sys.executable, "-m", "identifai_watch", *words], stderr=subprocess.PIPE, text=True
        )
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'history'::regclass"
        wait_for(lambda: looking.execute(waiting).fetchone()[0], "the copy is at the history")
        if how == "cut":
            wire.cut()
        else:
            process.send_signal(signal.SIGKILL if how == "killed" else signal.SIGINT)
        complained = process.communicate(timeout=30)[1]
        looking.execute("COMMIT")
        status, remedy = {
            "killed": (-signal.SIGKILL, ""),
            "interrupted": (130, "the same once more"),
            "cut": (75, "the same once more, and it goes on"),
        }[how]
        assert (status, True) == (process.returncode, remedy in complained), complained
        (found,) = looking.execute("SELECT count(*) FROM requests").fetchone()
        assert (True, (0,)) == (
            found >= 150,
            looking.execute("SELECT count(*) FROM history").fetchone(),
        )
        refused = typed("status", "--config", with_ledger(home, server))
        assert (78, True) == (refused.status, f"{source} is being copied into this ledger" in refused.err)
        wire.mend()
        done = typed(*words)
    assert 0 == done.status, done.err
    told = json.loads(done.out)
    assert (True, True) == (told["ok"], told["found"] >= found)
    assert [] == compared(source, server)


def with_ledger(home: House, url: str) -> Path:
    """Return the configuration of a house whose ledger lies elsewhere."""
    home.more["ledger"] = {"url": url}
    path = home.config_path
    del home.more["ledger"]
    return path


# Refused.


def test_what_holds_anything_else_is_not_touched(source: str, server: str, tmp_path: Path) -> None:
    """A ledger, an older one, another program's database, a copy of another ledger: nothing of them changes."""
    other = file(tmp_path, "other.db")
    taken(source, other)
    taken(source, server)
    for target in (other, server):
        with pytest.raises(RefusedError, match=r"holds a ledger already \(\w+\), and was not touched"):
            taken(source, target)
        assert [] == compared(source, target)
    (tmp_path / "old.db").write_bytes(Path(other.removeprefix("sqlite:///")).read_bytes())
    writing(file(tmp_path, "old.db"), "UPDATE alembic_version SET version_num = '0006'")
    with pytest.raises(RefusedError, match="holds a ledger already, and was not touched"):
        taken(source, file(tmp_path, "old.db"))
    writing(file(tmp_path, "strange.db"), "CREATE TABLE theirs (a INTEGER)")
    with pytest.raises(LedgerError, match="is another program's database"):
        taken(source, file(tmp_path, "strange.db"))
    with pytest.raises(RefusedError, match="is the ledger itself"):
        taken(source, source)


def unfinished(source: str, target: str) -> None:
    """Copy a ledger until some rows are there."""
    enough = 200

    def tell(_what: str, done: int, _whole: int) -> None:
        if done > enough:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy.copy(source, target, node=NODE, now=NOW, tell=tell)


def test_a_ledger_that_changed_since_is_told(source: str, tmp_path: Path) -> None:
    """A line of history, a row that is gone, a daemon that ran, another node: copied anew is what is to be done."""
    unfinished(source, file(tmp_path))
    for number, change in enumerate(
        (
            "INSERT INTO history (at, who, event, digest) VALUES (1, '', '', x'')",
            "DELETE FROM requests WHERE id = 5",
            "UPDATE nodes SET seen_at = seen_at + 1",
        )
    ):
        place = tmp_path / f"changed-{number}.db"
        shutil.copy(source.removeprefix("sqlite:///"), place)
        writing(f"sqlite:///{place}", change)
        place.replace(source.removeprefix("sqlite:///"))
        with pytest.raises(RefusedError, match=r"is not what it was when .* remove that file, and copy anew"):
            taken(source, file(tmp_path))


def test_an_unfinished_copy_of_another_ledger_is_not_touched(source: str, tmp_path: Path) -> None:
    """Its origin is named; as a source it is refused too."""
    unfinished(source, file(tmp_path))
    other = f"sqlite:///{shutil.copy(source.removeprefix('sqlite:///'), tmp_path / 'other.db')}"
    with pytest.raises(RefusedError, match=f"is an unfinished copy of {source}, and was not touched"):
        taken(other, file(tmp_path))
    with pytest.raises(LedgerError, match="is being copied into this ledger"):
        taken(file(tmp_path), file(tmp_path, "further.db"))
    assert not (tmp_path / "further.db").exists() or [] == [
        table for table, rows in stored(file(tmp_path, "further.db")).items() if rows
    ]
    assert 0 < taken(source, file(tmp_path)).found


def test_a_change_during_the_copy_is_found(source: str, tmp_path: Path) -> None:
    """A command that wrote meanwhile is told, and the copy is not taken for whole."""

    def tell(what: str, _done: int, _whole: int) -> None:
        if what == "comparing":
            writing(source, "UPDATE folders SET paused_why = 'x' WHERE id = 70")

    with pytest.raises(
        RefusedError, match=r"is not what .* is \(folders: the row id 70 is not the same in both\)"
    ):
        copy.copy(source, file(tmp_path), node=NODE, now=NOW, tell=tell)
    with pytest.raises(LedgerError, match="is being copied"):
        Ledger(file(tmp_path), node=NODE)


def test_ledgers_of_other_versions_are_refused(source: str, tmp_path: Path) -> None:
    """An older one is to be brought to this version first, a newer one wants its own; neither changes."""
    for revision, remedy in (("0006", "a start of the daemon, brings it"), ("9999", "by a newer version")):
        writing(source, "UPDATE alembic_version SET version_num = :it", it=revision)
        with pytest.raises(LedgerError, match=remedy):
            taken(source, file(tmp_path))
    writing(file(tmp_path, "empty.db"), "CREATE TABLE alembic_version (version_num TEXT)")
    for name in ("empty.db", "none.db"):
        with pytest.raises(LedgerError, match=r"is no ledger|there is no ledger"):
            taken(file(tmp_path, name), file(tmp_path))
    assert not (tmp_path / "to.db").exists()


def test_a_password_in_an_address_is_refused_and_not_repeated(source: str) -> None:
    """Everybody on the host could read it; the place for it is told."""
    for address in ("watch:s3cret@db/ledger", "watch@db/ledger?password=s3cret"):
        ended = typed("ledger", "copy", source, f"postgresql+psycopg://{address}", "--node", NODE)
        assert (1, True, False) == (ended.status, "~/.pgpass" in ended.err, "s3cret" in ended.err + ended.out)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE files SET trouble = 'a' || char(0) WHERE id = 71", r"files: .* the row id 71: .*NUL"),
        (
            "UPDATE analyses SET failures = 4294967296 WHERE id = 70",
            r"analyses: .* the row id 70: .*out of range",
        ),
    ],
)
def test_a_row_that_a_server_cannot_hold_is_named(source: str, server: str, change: str, said: str) -> None:
    """No value of ours is such a one, but a file takes it from anybody: a NUL in a text, a number of 33 bits."""
    writing(source, change)
    with pytest.raises(LedgerError, match=said):
        taken(source, server)


# Daemons.


def test_no_daemon_runs_on_what_is_copied(source: str, server: str, tmp_path: Path) -> None:
    """One that runs is told of on either side, and none starts meanwhile, whatever its name."""
    lock = NodeLock(sa.make_url(source))
    assert lock.take()
    with pytest.raises(LaterError, match=r"a daemon runs on .*from.db"):
        taken(source, server)
    lock.release()
    taken(source, server)
    with Ledger(server, node="attic") as daemon:
        assert daemon.lock.take()
        for one, other in ((server, file(tmp_path)), (source, server)):
            with pytest.raises(
                LaterError, match=r"cannot be copied now: it is being copied already|daemons run on it"
            ):
                taken(one, other)
    told: list[str] = []

    def tell(_what: str, _done: int, _whole: int) -> None:
        if not told:
            with (
                Ledger(server, node="attic") as daemon,
                pytest.raises(LaterError, match="is being copied") as why,
            ):
                daemon.lock.take()
            told.append(str(why.value))

    copy.copy(server, file(tmp_path, "again.db"), node=NODE, now=NOW, tell=tell)
    assert 1 == len(told)
    with Ledger(server, node="attic") as daemon:
        assert daemon.lock.take()


def test_a_daemon_does_not_start_on_a_file_that_is_being_copied(source: str, tmp_path: Path) -> None:
    """The lock beside it is the copy's."""
    path = Path(source.removeprefix("sqlite:///") + ".lock")
    held: list[bool] = []

    def tell(_what: str, _done: int, _whole: int) -> None:
        with path.open("rb") as beside:
            try:
                fcntl.flock(beside, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(True)

    copy.copy(source, file(tmp_path), node=NODE, now=NOW, tell=tell)
    assert held


def test_a_daemon_goes_on_where_the_copy_lies_and_pays_nothing_again(
    home: House, server: str, tmp_path: Path
) -> None:
    """On the server, and in a file again: what is known stays known, what is new is judged, the history is one chain."""
    home.put("sample.jpg")
    assert 0 == at(home, "once").status
    state = home.simulator.state
    assert 1 == state.count(Endpoint.UPLOAD)
    home.drop.joinpath("sample.jpg").rename(home.drop / "renamed.jpg")
    assert 0 == at(home, "ledger", "copy", tmp_path / "state" / "ledger.db", server).status
    elsewhere = with_ledger(home, server)
    ended = typed("once", "--config", elsewhere)
    assert (0, 1, 1) == (ended.status, state.count(Endpoint.UPLOAD), len(state.charged)), ended.err
    assert 0 == typed("history", "verify", "--config", elsewhere).status
    assert 0 == at(home, "ledger", "copy", server, tmp_path / "back.db").status
    again = with_ledger(home, f"sqlite:///{tmp_path}/back.db")
    home.put("sample.png")
    ended = typed("once", "--config", again)
    assert (0, 2, 2) == (ended.status, state.count(Endpoint.UPLOAD), len(state.charged)), ended.err
    assert 0 == typed("history", "verify", "--config", again).status
    assert {"renamed.jpg", "sample.png"} <= set(home.sidecars())


# The command.


def test_two_ledgers_are_compared_row_by_row(source: str, server: str) -> None:
    """The first row that differs in each table is named, and the status is 1; neither is written."""
    assert 0 == typed("ledger", "copy", source, server, "--node", NODE).status
    same = typed("ledger", "copy", "--check", source, server, "--node", NODE)
    assert (0, True) == (same.status, "holds the same, row by row: " in same.out)
    writing(server, "UPDATE files SET reason = 'x' WHERE id >= 70")
    writing(server, "DELETE FROM requests WHERE id = 17")
    writing(server, "INSERT INTO flows (node, state) VALUES ('other', '{}')")
    ended = typed("ledger", "copy", "--check", source, server, "--node", NODE, "--json")
    told = json.loads(ended.out)
    assert (1, False) == (ended.status, told["ok"])
    assert [
        "files: the row id 70 is not the same in both",
        "flows: the row node 'other' is only in the second",
        "requests: the row id 17 is only in the first",
    ] == sorted(told["differences"])
    assert told["tables"]["history"]["checksum"] == told["tables"]["history"]["checksum_there"]
    assert told["tables"]["files"]["checksum"] != told["tables"]["files"]["checksum_there"]


def test_a_terminal_shows_how_far_a_copy_is(home: House, source: str, tmp_path: Path) -> None:
    """At a terminal it is made with a bar; files may be named as such."""
    words = ["ledger", "copy", source.removeprefix("sqlite:///"), str(tmp_path / "to.db")]
    status, said = talk([*words, "--config", str(home.config_path)], [])
    assert (0, True, True) == (status, "copying" in said, "holds the same, row by row" in said)


def test_an_empty_ledger_can_be_copied_into(source: str, server: str) -> None:
    """One that was made and holds no row is as good as none; a disk or a server that refuses says so."""
    Ledger(server, node=NODE).close()
    taken(source, server)
    nobody = "postgresql+psycopg://watch@127.0.0.1:9/none"
    with pytest.raises(LedgerAwayError, match="run the same once more"):
        taken(source, nobody)
    with pytest.raises(WatchError):
        taken(source, "sqlite:////proc/none/to.db")
