"""When the loop leaves rounds out, and what ends that at once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from identifai_watch import daemon as daemons
from identifai_watch.core.events import Barred, Resumed
from identifai_watch.core.model import Fingerprint, Media, PauseReason
from identifai_watch.daemon import Daemon
from identifai_watch.intake import Intake
from identifai_watch.ledger import Ledger, admission, budget, desk, dues
from identifai_watch.ledger.admission import Content
from identifai_watch.ledger.whereabouts import Arrival
from identifai_watch.rest import LONGEST
from identifai_watch.shift import Shift
from tests import watching
from tests.harness import KEY, House, house, wait_for

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


def other(home: House) -> Ledger:
    """Open the ledger as a command does."""
    return Ledger(home.ledger_url, node="here")


def ask(home: House, verb: str) -> int:
    """Ask the daemon for something, as a command does."""
    with other(home) as ledger, ledger.write() as tx:
        return desk.ask(tx, verb, {}, who="ann", now=NOW)


def queue(daemon: Daemon, due: datetime) -> None:
    """Have one content wait for its upload, which is due then, in a folder that is not scanned."""
    shape = Fingerprint(size=1, mtime_ns=1, ctime_ns=1, inode=1)
    folder = Intake(daemon.shift, daemon.shift.config.folders[0], scans=False)
    with daemon.shift.ledger.write() as tx:
        folder.open(tx)
        daemon._intakes[folder.folder_id] = folder
        arrival = Arrival(folder_id=folder.folder_id, path=b"a.jpg", fingerprint=shape, noticed_at=due)
        content = Content(sha256=bytes(32), media=Media.IMAGE, mime="image/jpeg", options="{}")
        admission.admit(tx, arrival, content, daemon.shift.step())


def rested(daemon: Daemon) -> bool:
    """Tell whether the daemon may rest after a round that does nothing."""
    daemon._rest.mark()
    daemon._rest.begin()
    return daemon._rest.lasts()


def test_an_order_ends_a_rest(tmp_path: Path) -> None:
    """By a clock that stands still no rest ends by itself: that another process wrote is seen all the same."""
    with house(tmp_path) as home, home.daemon(clock=lambda: NOW) as daemon:
        wait_for(daemon._rest.lasts, "there is nothing to do")
        number = ask(home, "pause")

        def answer() -> object:
            with other(home) as ledger, ledger.read() as tx:
                return desk.command(tx, number).answer

        assert {"state": "paused"} == wait_for(answer, "the order is carried out")
        wait_for(daemon._rest.lasts, "there is nothing to do again")


def test_an_order_that_comes_with_an_event_is_seen_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round that only takes in what was heard looks for no order: no rest begins after it."""
    monkeypatch.setattr(daemons, "HINTS_FOR", 3600.0)
    with house(tmp_path) as home, home.daemon(clock=lambda: NOW) as daemon:
        wait_for(daemon._rest.lasts, "there is nothing to do")
        number = ask(home, "pause")
        daemon.shift.workers.tell(lambda _tx: None, stirs=False)

        def answer() -> object:
            with other(home) as ledger, ledger.read() as tx:
                return desk.command(tx, number).answer

        assert {"state": "paused"} == wait_for(answer, "the order is carried out")


def test_a_daemon_at_rest_does_nothing(tmp_path: Path) -> None:
    """While nothing is due and nobody writes, waking up is all: no transaction, no line, no byte."""
    with house(tmp_path, folder={"rescan_seconds": 3600.0}) as home, home.daemon(clock=lambda: NOW) as daemon:
        patrol = watching.intake(daemon).patrol
        wait_for(
            lambda: patrol.is_idle() and daemon._rest.lasts(), "it has scanned, and there is nothing to do"
        )
        before = daemon.shift.ledger.version()
        turns = 0

        def turned() -> bool:
            nonlocal turns
            turns += daemon._rest.lasts()
            return turns >= 20

        wait_for(turned, "it rests")
        assert before == daemon.shift.ledger.version()


def test_a_rest_ends_when_it_is_time(tmp_path: Path) -> None:
    """It lasts until the first instant that anything is due at, and no longer than the most."""
    now = NOW
    with house(tmp_path) as home, other(home) as ledger:
        daemon = Daemon(Shift(config=home.config(), ledger=ledger, clock=lambda: now), lambda: KEY)
        assert rested(daemon)
        now += LONGEST
        assert not daemon._rest.lasts()
        queue(daemon, now + timedelta(seconds=2))
        assert rested(daemon)
        assert 0.5 == daemon._rest.patience(0.5)
        assert 2.0 == daemon._rest.patience(10)
        now += timedelta(seconds=2)
        assert not daemon._rest.lasts()
        assert not rested(daemon), "what is due and cannot go yet is tried again"


def test_what_waits_for_the_account_disturbs_no_rest(tmp_path: Path) -> None:
    """While the account is paused no upload is due."""
    with house(tmp_path) as home, other(home) as ledger:
        daemon = Daemon(Shift(config=home.config(), ledger=ledger, clock=lambda: LATER), lambda: KEY)
        queue(daemon, NOW)
        assert not rested(daemon)
        with ledger.write() as tx:
            budget.advance_account(tx, Barred(PauseReason.OPERATOR, "by hand"), NOW, 0.5)
        assert rested(daemon)
        reach = {1: ledger.node}
        with ledger.write() as tx:
            assert dues.soonest(tx, reach, uploads=False) is None
            assert NOW == dues.soonest(tx, reach, uploads=True)
            budget.advance_account(tx, Resumed(), NOW, 0.5)
        assert not daemon._rest.lasts(), "somebody wrote"
        assert not rested(daemon)


def test_the_version_changes_with_what_is_written(tmp_path: Path) -> None:
    """It tells of every transaction that changes something, by whomever, and of no other."""
    with house(tmp_path) as home, other(home) as ledger:
        before = ledger.version()
        assert before is not None
        with ledger.write(), other(home) as second, second.read():
            pass
        assert before == ledger.version()
        ask(home, "pause")
        after = ledger.version()
        assert before != after
        with ledger.write() as tx:
            desk.ask(tx, "resume", {}, who="ann", now=NOW)
        assert after != ledger.version()


def test_a_ledger_that_cannot_be_looked_at_has_no_version(tmp_path: Path) -> None:
    """Then there is no rest: the round finds out what is the matter."""
    with house(tmp_path) as home, other(home) as ledger:
        daemon = Daemon(Shift(config=home.config(), ledger=ledger, clock=lambda: NOW), lambda: KEY)
        ledger._store.engine.dispose()
        (tmp_path / "state" / "ledger.db").rename(tmp_path / "state" / "elsewhere")
        assert ledger.version() is None
        daemon._rest.mark()
        assert not daemon._rest.lasts()
