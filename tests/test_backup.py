"""Copies of the ledger: whole, verified, never over anything, beside a running daemon and before each migration."""

import errno
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command

from identifai_watch.core.lifecycle import Policy
from identifai_watch.errors import LaterError, LedgerError, RefusedError
from identifai_watch.ledger import (
    REVISION,
    Ledger,
    backup,
    check,
    history,
    intake,
    migrate,
    sqlite,
    trail,
    views,
)
from identifai_watch.ledger.step import Step
from tests.console import at, talk
from tests.harness import House, house, wait_for

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STEP = Step(now=NOW, policy=Policy())
TIMES = [NOW - timedelta(days=days) for days in range(5)]


def opened(path: Path) -> Ledger:
    """Open a ledger in a file."""
    return Ledger(f"sqlite:///{path}", node="studio")


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an empty ledger that was made by the migrations, to be copied: that is quicker than making each anew."""
    path = tmp_path_factory.mktemp("original") / "ledger.db"
    opened(path).close()
    return path


@pytest.fixture
def ledger(original: Path, tmp_path: Path) -> Iterator[Ledger]:
    """Give a ledger with a folder and a line of history."""
    path = tmp_path / "state" / "ledger.db"
    path.parent.mkdir()
    shutil.copy(original, path)
    made = opened(path)
    with made.write() as tx:
        intake.folder(tx, "studio", "drop")
        history.record(tx, STEP, "paused", why="the first line")
    yield made
    made.close()


@pytest.fixture
def path(ledger: Ledger) -> Path:
    """Give the file that the ledger lies in."""
    return sqlite.path_of(ledger._store.engine.url)


def of_old(path: Path) -> Path:
    """Make a ledger of the first version, with a folder in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = sqlite.engine(sa.make_url(f"sqlite:///{path}"))
    settings = migrate.config()
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0001")
        connection.exec_driver_sql("INSERT INTO folders (node, name) VALUES ('studio', 'drop')")
    engine.dispose()
    return path


def there(directory: Path) -> set[str]:
    """Return the names of all that lies in a directory."""
    return {entry.name for entry in directory.iterdir()}


# A copy.


def test_a_copy_is_one_file_that_opens_as_the_ledger(path: Path, tmp_path: Path) -> None:
    """It holds all rows, needs no log beside it, and only its owner reads it."""
    made = backup.make(path, tmp_path / "copy.db")
    assert (tmp_path / "copy.db", REVISION, 1) == (made.path, made.revision, made.rows["folders"])
    assert 0o600 == stat.S_IMODE(made.path.stat().st_mode)
    assert {"state", "copy.db"} == there(tmp_path)
    with closing(sqlite3.connect(f"{made.path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        assert [("delete",)] == connection.execute("PRAGMA journal_mode").fetchall()
    again = opened(made.path)
    with again.read() as tx:
        assert {"drop": 1} == views.folder_ids(tx, "studio")
    again.close()


def test_nothing_is_overwritten(path: Path, tmp_path: Path) -> None:
    """A file, an empty one and a dangling link in the way stay as they are, and nothing is left beside them."""
    (tmp_path / "there").write_text("somebody's")
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("there", "empty", "link"):
        with pytest.raises(RefusedError, match="is there already and was not touched"):
            backup.make(path, tmp_path / name)
    assert {"state", "there", "empty", "link"} == there(tmp_path)
    assert "somebody's" == (tmp_path / "there").read_text()


def test_a_name_that_was_taken_meanwhile_is_left_alone(path: Path, tmp_path: Path) -> None:
    """Whoever is quicker keeps the name: it is given by a link, which never replaces anything."""
    target = tmp_path / "copy.db"

    def be_quicker(done: int, pages: int) -> None:
        if done == pages:
            target.write_text("somebody's")

    with pytest.raises(RefusedError, match="is there already"):
        backup.make(path, target, be_quicker)
    assert ({"state", "copy.db"}, "somebody's") == (there(tmp_path), target.read_text())


def test_without_hard_links_a_copy_gets_its_name_all_the_same(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On file systems that know no links the name is reserved first; one that is taken is still left alone."""

    def no_links(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    made = backup.make(path, tmp_path / "copy.db")
    assert backup.verified(made.path).rows == made.rows
    assert {"state", "copy.db"} == there(tmp_path)


def test_what_a_killed_copy_left_is_taken_over(path: Path, tmp_path: Path) -> None:
    """The hidden file of a copy that was killed neither stays nor keeps the next one from being made."""
    (tmp_path / ".copy.db.partial").write_bytes(b"half a copy" * 1000)
    (tmp_path / ".copy.db.partial-journal").write_bytes(b"of another")
    assert 1 == backup.make(path, tmp_path / "copy.db").rows["folders"]
    assert {"state", "copy.db"} == there(tmp_path)


def test_two_copies_to_one_place_do_not_disturb_each_other(path: Path, tmp_path: Path) -> None:
    """While one is being made, another one to the same place is for later."""
    with (
        backup.reserved(tmp_path / ".copy.db.partial"),
        pytest.raises(LaterError, match="being written by another copy"),
    ):
        backup.make(path, tmp_path / "copy.db")
    assert backup.make(path, tmp_path / "copy.db").rows["folders"] == 1


def test_a_writer_neither_waits_for_a_copy_nor_begins_it_anew(
    path: Path, tmp_path: Path, ledger: Ledger
) -> None:
    """A daemon that writes at every step is not held up, and the copy is of the state at which it began."""
    with ledger.write() as tx:
        for number in range(600):
            history.record(tx, STEP, "paused", why=f"{number} " * 4000)
    steps = []

    def write(done: int, _pages: int) -> None:
        steps.append(done)
        with ledger.write() as tx:
            history.record(tx, STEP, "paused", why="written meanwhile")

    made = backup.make(path, tmp_path / "copy.db", write)
    assert sorted(set(steps)) == steps
    assert len(steps) > 1
    assert 601 == made.rows["history"]
    with ledger.read() as tx:
        assert 601 + len(steps) == tx.exec_driver_sql("SELECT count(*) FROM history").scalar_one()


def test_a_disk_that_is_full_leaves_nothing_behind(tmp_path: Path, path: Path) -> None:
    """A copy that does not fit is refused in words, and its half is taken away."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=False).returncode:
        pytest.skip("it is not allowed to mount")
    try:
        with pytest.raises(RefusedError, match=r"cannot be written: .*; nothing was changed"):
            backup.make(path, small / "copy.db")
        assert set() == there(small)
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "no ledger"), (b"no database at all" * 100, "cannot be read"), (None, "there is no ledger at")],
)
def test_what_is_no_ledger_is_not_copied(tmp_path: Path, content: bytes | None, said: str) -> None:
    """The error names the file and says what it is."""
    source = tmp_path / "source.db"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(LedgerError, match=said):
        backup.make(source, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def damage(path: Path) -> None:
    """Overwrite pages in the middle of a file, as a failing disk does."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)  # behind the first pages of all tables
        file.write(os.urandom(4096) * (size // 3 // 4096))


def test_a_damaged_ledger_is_not_passed_off_as_a_backup(ledger: Ledger, path: Path, tmp_path: Path) -> None:
    """What was copied is looked through before it gets its name."""
    with ledger.write() as tx:
        for number in range(300):
            history.record(tx, STEP, "paused", why=f"{number} " * 200)
    ledger.close()
    damage(path)
    with pytest.raises(LedgerError, match=r"damaged|cannot be read"):
        backup.make(path, tmp_path / "copy.db")
    assert {"state"} == there(tmp_path)


# A directory of them.


def test_the_newest_stay_and_nothing_else_is_touched(path: Path, tmp_path: Path) -> None:
    """--keep removes the oldest dated copies alone: files of other names, links and directories stay."""
    target = tmp_path / "backups"
    for instant in reversed(TIMES):
        backup.make_dated(path, target, None, instant)
    strangers = {
        "ledger-2020.db",
        "ledger-20200101T000000Z.db.bak",
        "xledger-20200101T000000Z.db",
        "notes.txt",
    }
    for name in strangers:
        (target / name).touch()
    (target / "ledger-20200101T000000Z.db").symlink_to(path)
    (target / "ledger-20200102T000000Z.db").mkdir()
    strangers |= {"ledger-20200101T000000Z.db", "ledger-20200102T000000Z.db"}
    made = backup.make_dated(path, target, 3, NOW + timedelta(days=1))
    assert "ledger-20260302T120000Z.db" == made.path.name
    assert 0o700 == stat.S_IMODE(target.stat().st_mode)
    expected = {"ledger-20260302T120000Z.db", "ledger-20260301T120000Z.db", "ledger-20260228T120000Z.db"}
    assert expected | strangers == there(target)


def test_a_clock_that_was_set_back_does_not_cost_the_new_copy(path: Path, tmp_path: Path) -> None:
    """The copy just made stays, although others seem to be newer."""
    target = tmp_path / "backups"
    backup.make_dated(path, target, 1, NOW)
    backup.make_dated(path, target, 1, NOW - timedelta(days=30))
    assert {"ledger-20260130T120000Z.db"} == there(target)


# By hand, beside a daemon.


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """Give a house whose simulator answers at once."""
    with house(tmp_path) as one:
        yield one


def test_a_running_daemon_s_ledger_is_copied_and_the_copy_is_whole(home: House) -> None:
    """The command names the copy with its size and rows; check finds nothing wrong with either."""
    with home.process():
        home.sidecar(home.put("sample.jpg"))
        ended = at(home, "ledger", "backup", home.home / "copy.db", "--json")
        assert (0, "") == (ended.status, ended.err)
        said = json.loads(ended.out)
        ended = at(home, "ledger", "backup", home.home / "backups", "--keep", "2")
        assert 0 == ended.status
        assert re.fullmatch(
            r".*/ledger-\d{8}T\d{6}Z\.db: [\d,]+ bytes, 1 file, \d+ lines of history, verified\.\n",
            ended.out,
        )
        assert 0 == at(home, "ledger", "check").status
    assert (1, REVISION) == (said["rows"]["files"], said["revision"])
    assert () == check.check(home.home / "copy.db", full=True).problems


def test_where_there_is_no_ledger_there_is_nothing_to_copy(home: House) -> None:
    """The command says so with 78 and makes none."""
    for words in (["backup", home.home / "copy.db"], ["check"], ["prune", "--older-than", "1d"]):
        ended = at(home, "ledger", *words)
        assert (78, True) == (ended.status, "there is no ledger at" in ended.err)
    assert not (home.home / "state").exists()


def test_a_terminal_shows_how_far_a_copy_is(home: House) -> None:
    """At a terminal the copy is made with a bar, and its end is the same."""
    home.lines()
    opened(home.home / "state" / "ledger.db").close()
    words = ["ledger", "backup", str(home.home / "copy.db"), "--config", str(home.config_path)]
    status, said = talk(words, [])
    assert (0, True) == (status, "verified." in said)


# Before a migration.


def test_a_ledger_is_copied_before_its_schema_changes(tmp_path: Path) -> None:
    """The copy beside it is of the old version and whole, and whoever opens it is told."""
    path = of_old(tmp_path / "ledger.db")
    with opened(path) as ledger, ledger.read() as tx:
        assert {"drop": 1} == views.folder_ids(tx, "studio")
        assert tmp_path / f"ledger.db.before-{REVISION}" == ledger.copied_to
    copied = tmp_path / f"ledger.db.before-{REVISION}"
    assert ("0001", 1) == (backup.verified(copied).revision, backup.verified(copied).rows["folders"])
    assert 0o600 == stat.S_IMODE(copied.stat().st_mode)
    with opened(path) as ledger:
        assert ledger.copied_to is None
    assert {copied.name} == {name for name in there(tmp_path) if "before" in name}


def test_a_new_ledger_needs_no_copy(tmp_path: Path) -> None:
    """Where there was nothing before, nothing lies beside it afterwards."""
    opened(tmp_path / "ledger.db").close()
    assert {"ledger.db"} == there(tmp_path)


def test_a_migration_without_a_copy_is_not_begun(tmp_path: Path) -> None:
    """Where the copy cannot be made the ledger stays at its version, and the error says why."""
    path = of_old(tmp_path / "ledger.db")
    (tmp_path / f".ledger.db.before-{REVISION}.partial").mkdir()
    before = path.read_bytes()
    with pytest.raises(
        LedgerError, match="was not brought to this version, for no copy of it could be made"
    ) as raised:
        opened(path)
    assert 78 == raised.value.exit
    assert before == path.read_bytes()


def test_a_migration_that_is_tried_again_does_not_fill_the_disk(tmp_path: Path) -> None:
    """A copy of just this state that lies there serves; that of another state stays, and the new one gets a number."""
    path = of_old(tmp_path / "ledger.db")
    target = tmp_path / "before"
    for _ in range(2):
        made = backup.make_before_migration(path, target, "0001")
        assert made is not None
        assert target == made.path
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO folders (node, name) VALUES ('studio', 'wires')")
    made = backup.make_before_migration(path, target, "0001")
    assert made is not None
    assert ("before-2", 2) == (made.path.name, made.rows["folders"])
    assert 1 == backup.verified(target).rows["folders"]


def test_two_who_migrate_at_once_make_one_copy(tmp_path: Path) -> None:
    """Whoever comes second finds the schema changed, and copies nothing."""
    path = of_old(tmp_path / "ledger.db")
    ready, made = threading.Barrier(2), []

    def migrate_it() -> None:
        ready.wait(10)
        made.append(opened(path))

    threads = [threading.Thread(target=migrate_it) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for one in made:
        one.close()
    assert (2, {f"ledger.db.before-{REVISION}"}) == (len(made), {n for n in there(tmp_path) if "before" in n})


def test_a_command_says_on_standard_error_that_it_made_a_copy(home: House) -> None:
    """Be it a reading one: whoever runs the new version first is told."""
    of_old(home.home / "state" / "ledger.db")
    code = "import sys; from identifai_watch.cli import main; sys.argv = sys.argv[1:]; main()"
    words = ["identifai-watch", "status", "--json", "--config", str(home.config_path)]
    ended = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert f"{home.home}/state/ledger.db.before-{REVISION} is what it was before." in ended.stderr
    assert json.loads(ended.stdout)["held"] == 0


# Is it whole?


def test_check_says_what_there_is(path: Path, ledger: Ledger) -> None:
    """A whole ledger has its revision and the head of its history told."""
    with ledger.read() as tx:
        head = trail.head(tx)
    for full in (False, True):
        assert check.Report(revision=REVISION, head=head, problems=()) == check.check(path, full=full)


TAMPERINGS = {
    "a broken constraint": (
        "PRAGMA ignore_check_constraints=ON; INSERT INTO requests (at, method) VALUES (1, 'PUT')",
        "requests: 1 rows break ck_requests_method_known",
    ),
    "a reference to nothing": (
        "PRAGMA foreign_keys=OFF; INSERT INTO left VALUES (99, x'', x'61', 1, 1, 1, 1, 'r', 'r', 1)",
        "left: row",
    ),
    "a line of history that was changed": (
        "DROP TRIGGER history_no_update; UPDATE history SET who = 'somebody else'",
        "history: the chain is broken at line 1",
    ),
    "a guard that is gone": (
        "DROP TRIGGER history_no_delete",
        "history: the trigger history_no_delete is gone",
    ),
    "an instant that no calendar knows": (
        "DROP TRIGGER history_no_update; UPDATE history SET at = 9000000000000000000",
        "an instant that no calendar knows",
    ),
    "a newer version": ("UPDATE alembic_version SET version_num = '0999'", "written by a newer version"),
    "an index that lacks a row": (
        """PRAGMA writable_schema=ON;
        UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'ix_files_claim')
        WHERE name = 'ix_requests_at'""",
        "ix_requests_at",
    ),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_check_names_what_is_wrong(home: House, what: str) -> None:
    """Each kind of damage has a line of its own and the status 1."""
    path = home.home / "state" / "ledger.db"
    with opened(path) as ledger, ledger.write() as tx:
        history.record(tx, STEP, "paused", why="the first line")
        tx.exec_driver_sql("INSERT INTO requests (at, method) VALUES (1, 'GET')")
    script, said = TAMPERINGS[what]
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    ended = at(home, "ledger", "check", "--full")
    assert (1, True) == (ended.status, said in ended.out), ended
    found = json.loads(at(home, "ledger", "check", "--full", "--json").out)
    assert (False, True) == (found["ok"], any(said in problem for problem in found["problems"]))


def test_check_of_a_damaged_file_names_the_damage_or_cannot_open_it(home: House) -> None:
    """Pages overwritten in the middle are a find; a file whose beginning is lost cannot be opened, with a remedy."""
    path = home.home / "state" / "ledger.db"
    with opened(path) as ledger, ledger.write() as tx:
        for number in range(300):  # so long that the middle of the file is history alone
            history.record(tx, STEP, "paused", why=f"{number} " * 2000)
    damage(path)
    ended = at(home, "ledger", "check")
    assert (1, True) == (ended.status, "is not whole" in ended.out)
    with path.open("r+b") as file:
        file.write(os.urandom(4096))
    ended = at(home, "ledger", "check")
    assert (78, True) == (ended.status, "identifai-watch ledger restore FROM" in ended.err)


def test_check_of_an_older_version_finds_nothing_wrong_with_that(tmp_path: Path) -> None:
    """The next start brings it to this version, with a copy beside it."""
    path = of_old(tmp_path / "ledger.db")
    assert check.Report(revision="0001", head=None, problems=()) == check.check(path, full=True)


def test_check_does_not_disturb_a_daemon(home: House) -> None:
    """While somebody writes, check sees one state and keeps nobody waiting."""
    with home.daemon() as daemon:
        home.sidecar(home.put("sample.jpg"))
        with daemon.shift.ledger.write() as tx:
            history.record(tx, STEP, "paused", why="under way")
            assert 0 == at(home, "ledger", "check").status
        wait_for(lambda: at(home, "ledger", "check").status == 0, "check finds nothing wrong")
