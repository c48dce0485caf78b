"""A daemon that ended without a chance to say so: the ledger is looked through at the next start, and only then."""

import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from identifai_watch.core.lifecycle import Policy
from identifai_watch.errors import LedgerError
from identifai_watch.ledger import Ledger, desk, history, sqlite
from identifai_watch.ledger.step import Step
from tests.console import at
from tests.harness import House, house, wait_for
from tests.watching import order

CHECKED = "unclean stop, ledger checked"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """Give a house whose simulator answers at once."""
    with house(tmp_path) as one:
        yield one


def checked(home: House) -> list[float]:
    """Return how many seconds each look took that the log tells of."""
    return [line["seconds"] for line in home.logged() if line["event"] == CHECKED]


def ended_at(home: House) -> list[int | None]:
    """Return what the ledger says of the ends of its daemons."""
    with closing(sqlite3.connect(home.home / "state" / "ledger.db")) as connection:
        return [instant for (instant,) in connection.execute("SELECT ended_at FROM nodes")]


def test_only_an_end_that_was_not_meant_has_the_ledger_looked_through(home: House) -> None:
    """Neither the first start nor one after a clean stop looks; one after kill -9 does, and goes on."""
    with home.process():
        home.sidecar(home.put("sample.jpg"))
        assert [None] == ended_at(home)
    assert None not in ended_at(home)
    home.log.unlink()
    with home.process() as process:
        assert [None] == ended_at(home)
        process.kill()
        process.wait()
    assert ([None], []) == (ended_at(home), checked(home))
    home.log.unlink()
    with home.process():
        (seconds,) = checked(home)
        assert 0 <= seconds < 60
        home.sidecar(home.put("sample.png"))
    assert None not in ended_at(home)


def failing(home: House) -> None:
    """Run a daemon into an error of its ledger."""

    def fail(*_: object) -> None:
        raise LedgerError("as if the disk had failed")

    with home.daemon() as daemon:
        order(daemon, "pause")
        daemon.shift.workers.tell(fail)
        wait_for(daemon.shift.stopping.is_set, "the error ends it")


def test_a_run_that_failed_is_no_end_that_was_meant(home: House) -> None:
    """A daemon that an error ended does not say that it ended well; one that is stopped does, in every run."""
    with Ledger(home.ledger_url, node="here") as ledger:
        home.once()
        with ledger.read() as tx:
            assert not desk.is_unended(tx, "here")
    with pytest.raises(AssertionError):  # the harness tells of the error
        failing(home)
    with Ledger(home.ledger_url, node="here") as ledger, ledger.read() as tx:
        assert desk.is_unended(tx, "here")


def damaged(home: House) -> Path:
    """Fill the ledger of a daemon that was killed, and overwrite pages in its middle."""
    path = home.home / "state" / "ledger.db"
    with Ledger(home.ledger_url, node="test") as ledger, ledger.write() as tx:
        for number in range(300):
            history.record(tx, Step(now=NOW, policy=Policy()), "paused", why=f"{number} " * 1000)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 4 // 4096 * 4096)
        file.write(os.urandom(size // 2 // 4096 * 4096))
    return path


def test_a_damaged_ledger_is_refused_until_it_is_repaired(home: House) -> None:
    """After kill -9 and damage the daemon ends with 78 and says what to do; with its backup back it goes on."""
    with home.process() as process:
        home.sidecar(home.put("sample.jpg"))
        assert 0 == at(home, "ledger", "backup", home.home / "backup.db").status
        process.send_signal(signal.SIGKILL)
        process.wait()
    path = damaged(home)
    ended = home.command("run")
    assert 78 == ended.returncode, ended.stderr
    assert f"the ledger {path} is damaged" in ended.stderr
    assert "ledger restore FROM" in ended.stderr
    assert "ledger rebuild" in ended.stderr
    assert [None] == ended_at(home)
    assert 1 == len(home.simulator.state.charged)
    assert 0 == at(home, "ledger", "restore", home.home / "backup.db").status
    home.log.unlink()
    with home.process():
        home.sidecar(home.put("sample.png"))
    assert [] == checked(home)
    assert 2 == len(home.simulator.state.charged)


def test_damage_that_is_met_while_it_runs_is_told_with_its_remedy(home: House) -> None:
    """A page that cannot be read is the ledger's damage, no bug: it says so, with the status 78."""
    home.lines()
    Ledger(home.ledger_url, node="test").close()
    damaged(home)
    with Ledger(home.ledger_url, node="test") as ledger:
        with (
            pytest.raises(LedgerError, match=r"is damaged .*ledger restore FROM") as raised,
            ledger.read() as tx,
        ):
            tx.exec_driver_sql("SELECT max(detail) FROM history").scalar_one()
        assert 78 == raised.value.exit


def test_a_ledger_that_is_whole_passes(tmp_path: Path) -> None:
    """The look finds nothing where nothing is wrong, and names the file where something is."""
    path = tmp_path / "ledger.db"
    with Ledger(f"sqlite:///{path}", node="here") as ledger:
        ledger.examine()
    shutil.copy(path, tmp_path / "cut.db")
    with (tmp_path / "cut.db").open("r+b") as file:
        file.truncate(path.stat().st_size // 2 // 4096 * 4096)
    with pytest.raises(LedgerError, match=r"cut\.db is damaged"):
        sqlite.examine(tmp_path / "cut.db")
