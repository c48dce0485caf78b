"""A backup put back: cut at any instant the old or the new ledger opens, nothing is deleted, nothing is paid twice."""

import errno
import hashlib
import os
import shutil
import sqlite3
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import pytest

from identifai_watch.core.lifecycle import Policy
from identifai_watch.errors import LaterError, LedgerError, RefusedError
from identifai_watch.ledger import Ledger, backup, desk, history, intake, restore, sqlite, views
from identifai_watch.ledger.step import Step
from identifai_watch.simulator import Endpoint
from tests.console import at
from tests.harness import House, house, wait_for
from tests.watching import admitted, order, picture, quiet

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STEP = Step(now=NOW, policy=Policy())
KILLED = 9

WRITING = frozenset(
    {"open", "write", "ftruncate", "fchmod", "chmod", "chown", "link", "replace", "rename", "unlink", "fsync"}
)
ASKING = frozenset({"connect", "backup", "close"})
CHANGING = frozenset({"_forgo", "_alone_on"})
"""The functions whose every statement changes something; the other ones only read."""


def opened(path: Path) -> Ledger:
    """Open a ledger in a file."""
    return Ledger(f"sqlite:///{path}", node="studio")


def holding(path: Path) -> set[str]:
    """Return the folders that a ledger knows: by these the old one and the new one are told apart."""
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM folders")}


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an empty ledger that was made by the migrations."""
    path = tmp_path_factory.mktemp("original") / "ledger.db"
    opened(path).close()
    return path


def made(original: Path, path: Path, folder: str) -> Path:
    """Make a ledger that knows one folder."""
    path.parent.mkdir(exist_ok=True)
    shutil.copy(original, path)
    with opened(path) as ledger, ledger.write() as tx:
        intake.folder(tx, "studio", folder)
        for number in range(20):
            history.record(tx, STEP, "paused", why=f"{number} " * 1000)
    return path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    """Give a ledger that knows the folder ``old``."""
    return made(original, tmp_path / "state" / "ledger.db", "old")


@pytest.fixture
def source(original: Path, tmp_path: Path) -> Path:
    """Give a backup of one that knows the folder ``new``."""
    whole = made(original, tmp_path / "other" / "ledger.db", "new")
    return backup.make(whole, tmp_path / "backup.db").path


def put_back(path: Path, source: Path) -> restore.Restored:
    """Put a backup in a ledger's place."""
    return restore.restore(f"sqlite:///{path}", source, now=NOW)


def names(path: Path) -> set[str]:
    """Return what lies beside a ledger, its lock aside."""
    return {entry.name for entry in path.parent.iterdir()} - {path.name + ".lock"}


def test_a_backup_takes_the_ledger_s_place_and_the_old_one_stays(path: Path, source: Path) -> None:
    """What was there lies beside it with all that it held, and the backup is as it was."""
    before = source.read_bytes()
    path.chmod(0o640)
    done = put_back(path, source)
    aside = path.with_name("ledger.db.replaced-20260301T120000Z")
    assert aside == done.replaced
    assert {"ledger.db", aside.name} == names(path)
    assert 0o640 == path.stat().st_mode & 0o777
    assert {"new"} == holding(path)
    assert {"old"} == holding(aside)
    assert before == source.read_bytes()


def test_what_is_still_in_the_log_is_moved_aside_too(path: Path, source: Path) -> None:
    """Commits of a daemon that was killed, which are in the write-ahead log alone, are kept with the old one."""
    child = os.fork()
    if child == 0:
        ledger = opened(path)
        with ledger.write() as tx:
            intake.folder(tx, "studio", "last words")
        os._exit(KILLED)
    os.waitpid(child, 0)
    assert path.with_name("ledger.db-wal").stat().st_size > 0
    aside = put_back(path, source).replaced
    assert aside is not None
    assert {"new"} == holding(path)
    assert {"old", "last words"} == holding(aside)


def test_where_there_was_no_ledger_a_backup_becomes_one(source: Path, tmp_path: Path) -> None:
    """On a new disk the directory is made too."""
    path = tmp_path / "new disk" / "state" / "ledger.db"
    assert put_back(path, source).replaced is None
    assert {"new"} == holding(path)


def test_a_second_restore_in_the_same_second_keeps_both(path: Path, source: Path) -> None:
    """What was moved aside before is not overwritten."""
    put_back(path, source)
    put_back(path, source)
    stem = "ledger.db.replaced-20260301T120000Z"
    assert {"ledger.db", stem, f"{stem}-2"} == names(path)
    assert {"old"} == holding(path.with_name(stem))
    assert {"new"} == holding(path.with_name(f"{stem}-2"))


@pytest.mark.parametrize("lost", ["its beginning", "its middle", "all of it"])
def test_a_damaged_ledger_is_moved_aside_as_it_is(path: Path, source: Path, lost: str) -> None:
    """Be it past opening: its bytes are kept, with those of its log."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096 if lost == "its middle" else 0)
        file.write(os.urandom(4096))
        if lost == "all of it":
            file.truncate(4096)
    path.with_name("ledger.db-wal").write_bytes(b"the log of it")
    kept = path.read_bytes()
    aside = put_back(path, source).replaced
    assert aside is not None
    assert {"new"} == holding(path)
    assert "ledger.db-wal" not in names(path)
    if lost != "its middle":
        assert kept == aside.read_bytes()
        assert b"the log of it" == aside.with_name(aside.name + "-wal").read_bytes()
    else:
        assert len(kept) == aside.stat().st_size


# What is refused, with everything as it was.


def newer(source: Path) -> None:
    """Make a backup one of a newer version."""
    with closing(sqlite3.connect(source)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")


def foreign(source: Path) -> None:
    """Make a backup another program's database."""
    source.unlink()
    with closing(sqlite3.connect(source)) as connection, connection:
        connection.execute("CREATE TABLE photos (id INTEGER)")


def damaged(source: Path) -> None:
    """Damage a backup in its middle."""
    with source.open("r+b") as file:
        file.seek(source.stat().st_size // 2 // 4096 * 4096)
        file.write(os.urandom(4096 * 4))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (newer, "newer version"),
        (foreign, "is no ledger"),
        (damaged, "damaged|cannot be read"),
        (Path.unlink, "there is no ledger at"),
        (lambda source: source.write_bytes(b"no database" * 1000), "cannot be read"),
    ],
    ids=["newer", "foreign", "damaged", "missing", "no database"],
)
def test_what_is_no_whole_backup_is_refused_and_nothing_changes(
    path: Path, source: Path, spoil: Callable[[Path], object], said: str
) -> None:
    """The backup is looked through before anything of the ledger is touched."""
    spoil(source)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=said):
        put_back(path, source)
    assert ({"ledger.db"}, before) == (names(path), path.read_bytes())


def test_a_daemon_or_a_reader_is_not_robbed_of_its_ledger(path: Path, source: Path) -> None:
    """While a daemon runs, or somebody reads, it is for later; the ledger itself is no backup of itself."""
    with opened(path) as ledger:
        assert ledger.lock.take()
        with pytest.raises(LaterError, match="a daemon runs on"):
            put_back(path, source)
        ledger.lock.release()
        with ledger.read() as tx:
            views.folder_ids(tx, "studio")
            with pytest.raises(LaterError, match="somebody still reads"):
                put_back(path, source)
    with pytest.raises(RefusedError, match="is the ledger itself"):
        put_back(path, path)
    assert ({"ledger.db"}, {"old"}) == (names(path), holding(path))


# Cut at any instant.


def killed_after(calls: int, path: Path, source: Path) -> bool:
    """Put a backup back in a child that dies right after so many calls; tell whether it came to that."""
    with warnings.catch_warnings():
        # Python warns of threads that other tests left; the child calls nothing that they may hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        left = calls

        def count(frame: FrameType, event: str, called: object) -> None:
            nonlocal left
            name = getattr(called, "__name__", None)
            of_system = getattr(called, "__module__", None) == "posix" and name in WRITING
            of_sqlite = isinstance(getattr(called, "__self__", None), sqlite3.Connection) and (
                name in ASKING or frame.f_code.co_name in CHANGING
            )
            if event == "c_return" and (of_system or of_sqlite):
                left -= 1
                if left == 0:
                    os._exit(KILLED)

        try:
            sys.setprofile(count)
            put_back(path, source)
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, KILLED)
    return status == KILLED


@pytest.fixture(params=["links", "no links"])
def naming(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the hard links from the system, or leave them."""

    def no_links(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "no hard links here")

    if request.param == "no links":
        monkeypatch.setattr(os, "link", no_links)


@pytest.mark.usefixtures("naming")
def test_cut_at_any_instant_the_old_or_the_new_ledger_opens(
    original: Path, source: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Killed after the n-th call, for every n: a whole ledger is in place, the old one is somewhere, another try ends it."""
    template = made(original, tmp_path / "template" / "ledger.db", "old")
    seen: set[str] = set()
    calls, is_killed = 0, True
    while is_killed:
        calls += 1
        path = tmp_path / str(calls) / "ledger.db"
        path.parent.mkdir()
        shutil.copy(template, path)
        is_killed = killed_after(calls, path, source)
        sqlite.examine(path)
        found = holding(path)
        assert found in ({"old"}, {"new"}), calls
        seen |= found
        put_back(path, source)
        assert {"new"} == holding(path)
        kept = [holding(one) for one in path.parent.glob("ledger.db.replaced-*Z")]
        assert {"old"} in kept, calls
        assert not list(path.parent.glob(".*"))
        shutil.rmtree(path.parent)
    assert {"old", "new"} == seen
    assert calls > 20
    record_property("cuts", calls)


# The daemon goes on.


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """Give a house whose simulator answers at once."""
    with house(tmp_path) as one:
        yield one


def test_after_a_restore_nothing_is_charged_twice(
    home: House, record_property: Callable[[str, object], None]
) -> None:
    """What was sent since the backup is found by the scan and sent again, and the API answers from what it has."""
    copied = home.home / "backup.db"
    first = picture(home.drop / "first.png")
    with home.process():
        home.sidecar(first)
        assert 0 == at(home, "ledger", "backup", copied).status
        later = [picture(home.drop / f"later-{number}.png") for number in range(3)]
        for path in later:
            home.sidecar(path)
        refused = at(home, "ledger", "restore", copied)
        assert (75, True) == (refused.status, "a daemon runs on" in refused.err)
    assert (4, 4) == (len(home.simulator.state.charged), home.simulator.state.count(Endpoint.UPLOAD))
    ended = at(home, "ledger", "restore", copied)
    assert (0, True) == (ended.status, "1 file," in ended.out)
    assert 1 == len(home.lines())
    home.log.unlink()
    with home.process():
        wait_for(
            lambda: [line.file.state for line in home.lines()] == ["delivered"] * 4, "all four are delivered"
        )
    state = home.simulator.state
    assert (4, 7) == (len(state.charged), state.count(Endpoint.UPLOAD))
    for name, number in (
        ("contents", 4),
        ("uploads", state.count(Endpoint.UPLOAD)),
        ("charged", len(state.charged)),
    ):
        record_property(name, number)
    assert {hashlib.sha256(path.read_bytes()).digest() for path in (first, *later)} == {
        one.sha256 for one in state.charged
    }
    assert not any(one.no_cache for one in state.charged)
    assert 4 == len(home.sidecars())
    assert "unclean stop, ledger checked" not in [line["event"] for line in home.logged()]
    (said,) = [line for line in home.command("history").stdout.splitlines() if "restored" in line]
    assert str(copied) in said
    assert 0 == at(home, "history", "verify").status


def test_what_was_to_be_paid_anew_is_not_paid_twice_after_a_restore(home: House) -> None:
    """A rejudge that was ordered before the backup and sent after it is in doubt, and resent without no_cache."""
    copied = home.home / "backup.db"
    path = picture(home.drop / "a.png")
    with home.daemon() as daemon:
        home.sidecar(path)
        quiet(daemon)
        line = admitted(daemon, "a.png")
        order(daemon, "pause")
        order(daemon, "rejudge", files=[line.file.id])
        backup.make(home.home / "state" / "ledger.db", copied)
        order(daemon, "resume")
        wait_for(lambda: len(home.simulator.state.charged) == 2, "it is paid anew, as it was asked for")
        quiet(daemon)
    assert 0 == at(home, "ledger", "restore", copied).status
    with Ledger(home.ledger_url, node="here") as ledger, ledger.write() as tx:
        assert 1 == views.counts(tx).doubt
        assert [] == desk.open_commands(tx)
    with home.daemon() as daemon:
        order(daemon, "resume")
        quiet(daemon)
    state = home.simulator.state
    assert (2, 3) == (len(state.charged), state.count(Endpoint.UPLOAD))


def test_an_order_that_was_open_at_the_backup_is_not_carried_out_again(home: House) -> None:
    """It may have been carried out since: whoever asked is told to ask again."""
    with Ledger(home.ledger_url, node="here") as ledger:
        with ledger.write() as tx:
            number = desk.ask(tx, "rejudge", {"files": [1]}, who="anna", now=NOW)
        backup.make(home.home / "state" / "ledger.db", home.home / "backup.db")
    assert 0 == at(home, "ledger", "restore", home.home / "backup.db", "--json").status
    with Ledger(home.ledger_url, node="here") as ledger, ledger.read() as tx:
        assert [] == desk.open_commands(tx)
        assert {"error": "the ledger was restored since; ask again"} == desk.command(tx, number).answer
