"""What must not end the daemon: an order that cannot be carried out, a bug about one row, a ledger that is locked."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from identifai_watch import vigil
from identifai_watch.errors import Exit
from identifai_watch.ledger import Ledger, desk, sqlite
from tests.harness import KEY, House, house, wait_for
from tests.watching import account


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
