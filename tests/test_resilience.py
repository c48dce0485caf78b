"""What must not end the daemon: an order that cannot be carried out, a bug about one row, a ledger that is locked."""

import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from identifai_watch import vigil
from identifai_watch.errors import Exit, LedgerAwayError
from identifai_watch.ledger import Ledger, desk, sqlite
from identifai_watch.simulator import Endpoint, Fault, FaultKind, Script
from tests.harness import KEY, House, house, wait_for
from tests.watching import account, admitted, intake, line, lines, order


def asked(home: House, verb: str, arguments: dict[str, object]) -> dict[str, object]:
    """Ask the daemon for something, and return its answer."""
    with Ledger(home.ledger_url, node="here") as ledger:
        with ledger.write() as tx:
            number = desk.ask(tx, verb, arguments, who="anna", now=datetime.now(UTC))

        def answer() -> dict[str, object] | None:
            with ledger.read() as tx:
                return desk.command(tx, number).answer

        found = wait_for(answer, f"{verb} is answered")
    assert found is not None
    return found


def test_an_order_that_cannot_be_carried_out_is_answered(tmp_path: Path) -> None:
    """An order with arguments that make no sense is answered with its error once, and the daemon goes on."""
    with house(tmp_path) as home, home.daemon():
        answer = asked(home, "decide", {"files": [1], "choice": "no such choice", "reason": ""})
        assert "no such choice" in str(answer["error"])
        assert "error" in asked(home, "an order of tomorrow", {})
        assert "human" == home.sidecar(home.put("sample.webp"))["outcome"]


def test_a_result_that_cannot_be_taken_in_ends_nothing(tmp_path: Path) -> None:
    """A bug about one result takes back what that wrote, and neither the others nor the daemon."""

    def broken(tx: object) -> None:
        raise RuntimeError(tx)

    with house(tmp_path) as home, home.daemon() as daemon:
        daemon.shift.workers.tell(broken)
        home.sidecar(home.put("sample.png"))


def test_a_locked_ledger_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another program has the ledger locked nothing is sent; afterwards all goes on without a restart."""
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 200)
    with house(tmp_path) as home, home.daemon() as daemon:
        home.sidecar(home.put("sample.png"))
        posted = len(home.simulator.state.charged)
        with closing(sqlite3.connect(home.home / "state" / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            path = home.put("sample.jpg")
            wait_for(lambda: daemon._away_since, "the daemon has met the lock")
            assert posted == len(home.simulator.state.charged)
            other.execute("ROLLBACK")
        home.sidecar(path)
        assert daemon._away_since is None


def test_a_stop_while_the_ledger_is_locked_ends_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop does not fail for what it cannot write: the next start finds it."""
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 200)
    with house(tmp_path) as home:
        with home.daemon() as daemon:
            home.sidecar(home.put("sample.png"))
            with closing(sqlite3.connect(home.home / "state" / "ledger.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                wait_for(lambda: daemon._away_since, "the daemon has met the lock")
                daemon.stop()
                wait_for(lambda: not daemon.shift.ledger.lock.is_taken(), "it has ended")
                other.execute("ROLLBACK")
        assert Exit.OK == home.command("status").returncode


def test_a_changed_key_file_is_tried_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A paused account is probed when the key's file changes, not only when its probe is due."""
    monkeypatch.setattr(vigil, "RENEW_EVERY", vigil.RENEW_EVERY / 50)
    key_file = tmp_path / "key"
    key_file.write_text("a-key-that-is-wrong\n")
    key_file.chmod(0o600)
    with (
        house(tmp_path, api={"key_file": str(key_file)}) as home,
        home.daemon(key=key_file.read_text) as daemon,
    ):
        path = home.put("sample.png")
        wait_for(lambda: account(daemon).reason, "the account is paused")
        fresh = tmp_path / "fresh"
        fresh.write_text(f"{KEY}\n")
        fresh.rename(key_file)
        home.sidecar(path)


class Wound:
    """The machine's clock, that a test may set back."""

    def __init__(self) -> None:
        self.back = timedelta(0)

    def __call__(self) -> datetime:
        """Return the instant that the machine would show."""
        return datetime.now(UTC) - self.back


def test_a_ledger_that_fails_in_mid_round_is_gone_on_with(tmp_path: Path) -> None:
    """A disk that is full in the midst of a transaction ends nothing: all is made anew from what was committed."""
    with house(tmp_path) as home, home.daemon() as daemon:
        home.sidecar(home.put("sample.png"))
        full = threading.Event()
        full.set()

        def no_room(_tx: object) -> None:
            if full.is_set():
                raise LedgerAwayError("the ledger cannot be used now: database or disk is full")

        before = intake(daemon)
        daemon.shift.workers.tell(no_room)
        wait_for(lambda: daemon._away_since, "the ledger has failed")
        path = home.put("sample.jpg")
        full.clear()
        home.sidecar(path)
        assert before is not intake(daemon)
        assert daemon._away_since is None
        assert 2 == len(home.simulator.state.charged)


def test_an_upload_under_way_while_the_ledger_fails_is_not_lost(tmp_path: Path) -> None:
    """What its thread brings is written when the ledger is back: no doubt, no second upload."""
    late = Fault(kind=FaultKind.SLOW, match=Endpoint.UPLOAD, seconds=2)
    with house(tmp_path, Script(faults=(late,))) as home, home.daemon() as daemon:
        path = home.put("sample.png")
        assert home.simulator.state.wait_for(lambda state: state.arrived(Endpoint.UPLOAD) == 1)
        failed = threading.Event()

        def no_room(_tx: object) -> None:
            if not failed.is_set():
                failed.set()
                raise LedgerAwayError("the ledger cannot be used now: disk I/O error")

        daemon.shift.workers.tell(no_room)
        assert failed.wait(20)
        home.sidecar(path)
        (found,) = lines(daemon)
        assert found.analysis is not None
        assert not found.analysis.doubt
        assert 1 == home.simulator.state.arrived(Endpoint.UPLOAD)


def test_a_question_under_way_while_the_ledger_fails_keeps_its_claim(tmp_path: Path) -> None:
    """It is held for as long as the question lasts, though all else is made anew from the ledger; the answer counts."""
    late = Fault(kind=FaultKind.SLOW, match=Endpoint.RESULT, seconds=2)
    with house(tmp_path, Script(faults=(late,))) as home, home.daemon() as daemon:
        path = home.put("sample.png")
        assert home.simulator.state.wait_for(lambda state: state.arrived(Endpoint.RESULT) == 1)
        asked = daemon._dispatch.polls

        def no_room(_tx: object) -> None:
            if daemon._dispatch.polls is asked:
                raise LedgerAwayError("the ledger cannot be used now: disk I/O error")

        daemon.shift.workers.tell(no_room)
        wait_for(lambda: daemon._dispatch.polls is not asked, "all is made anew")
        assert ([1], []) == (daemon._dispatch.asked, daemon._dispatch.polls.asked)
        home.sidecar(path)
        wait_for(lambda: daemon._dispatch.asked == [], "nothing is asked any more")
        assert 1 == home.simulator.state.arrived(Endpoint.RESULT)


def test_what_a_daemon_of_an_earlier_version_left_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It knew of no queue, and ran on when a command had brought the ledger to this version."""
    with house(tmp_path) as home:
        home.simulator.change(key="another")
        with home.daemon() as daemon:
            wait_for(lambda: account(daemon).reason, "the account is paused")
            path = home.put("sample.png")
            admitted(daemon, path.name)
        with closing(sqlite3.connect(home.home / "state" / "ledger.db", isolation_level=None)) as raw:
            assert 1 == raw.execute("DELETE FROM queue").rowcount
        home.simulator.change(key=KEY)
        with home.daemon():
            home.sidecar(path)
        assert 1 == len(home.simulator.state.charged)
    assert "queue mended" in capsys.readouterr().out


def test_a_clock_that_is_set_back_delays_nothing(tmp_path: Path) -> None:
    """Scans, settling, backoffs and the account's wait go on at once, though their instants lie an hour ahead."""
    clock = Wound()
    with (
        house(tmp_path, folder={"events": "off", "rescan_seconds": 0.5}) as home,
        home.daemon(clock=clock) as daemon,
    ):
        home.sidecar(home.put("sample.png"))
        order(daemon, "pause", why="to have something queued")
        queued = home.put("sample.webp")
        wait_for(lambda: line(daemon, "sample.webp"), "it is admitted")
        clock.back = timedelta(hours=1)
        order(daemon, "resume")
        home.sidecar(queued)
        home.sidecar(home.put("sample.jpg"))
