"""A mount that hangs in the midst of life: what else is shown of such a mount stands in tests/field/test_26_hung_mounts.py.

The call that hangs cannot be cut: only its thread is left behind.
"""

import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from identifai_watch import vigil
from identifai_watch.core.model import FileState
from identifai_watch.daemon import Daemon
from identifai_watch.errors import Exit
from identifai_watch.ledger import desk
from identifai_watch.simulator import Script
from tests.harness import House, house, wait_for
from tests.hung import hung_mount
from tests.test_daemon import manager
from tests.watching import folders, picture

WATCHDOG_SECONDS = 4
SCANNED = {"events": "off", "rescan_seconds": 0.3}


def told(daemon: Daemon, folder: str, health: str) -> dict[str, Any]:
    """Wait until the daemon tells this of a folder, for ``status`` to show, and return all that it tells of it."""

    def look() -> dict[str, Any] | None:
        with daemon.shift.ledger.read() as tx:
            found = desk.node_report(tx, "here")
        folders = [] if found is None else found[1]["folders"]
        return next((one for one in folders if (one["name"], one["health"]) == (folder, health)), None)

    return wait_for(look, f"{folder} is {health}") or {}


def awaited(home: House, *names: str) -> bool:
    """Tell whether these files are known, and sent."""
    known = {line.file.path.decode() for line in home.lines() if line.analysis is not None}
    return known >= set(names) and len(home.simulator.state.charged) >= len(names)


def test_a_folder_that_hangs_in_mid_life_comes_back_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is set aside with the reason while others go on; once it answers, what waited is delivered, none gone or paid anew."""
    monkeypatch.setattr(vigil, "HUNG_AFTER", 2.0)
    monkeypatch.setattr(vigil, "RENEW_EVERY", timedelta(seconds=0.5))
    with house(tmp_path, Script(delay=3600)) as home:
        home.more = {"folder": folders(home, nas=SCANNED, other={})}
        with home.daemon() as daemon:
            waiting = [picture(tmp_path / "nas" / name) for name in ("a.png", "b.png")]
            wait_for(lambda: awaited(home, "a.png", "b.png"), "their verdicts are awaited")
            with hung_mount(tmp_path / "nas"):
                found = told(daemon, "nas", "unavailable")
                home.simulator.change(delay=0)
                home.sidecar(picture(tmp_path / "other" / "other.png"))
                told(daemon, "other", "ok")
                assert {FileState.WAITING, FileState.DELIVERED} >= {line.file.state for line in home.lines()}
            for path in waiting:
                home.sidecar(path, 60)
            told(daemon, "nas", "ok")
            home.sidecar(picture(tmp_path / "nas" / "c.png"))
        assert 4 == len(home.simulator.state.charged) == len(home.lines())
    assert "not answered" in found["reason"]


def test_the_watchdog_is_fed_while_a_mount_hangs(tmp_path: Path) -> None:
    """A mount that hangs is its folder's matter: systemd hears in time that all is well, and a stop ends with 0."""
    with house(tmp_path) as home, manager(tmp_path / "notify") as systemd:
        home.more = {"folder": folders(home, nas=SCANNED, other={})}
        around = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": f"{WATCHDOG_SECONDS}000000"}
        with home.process(environ=around) as process:
            home.sidecar(picture(tmp_path / "nas" / "a.png"))
            with hung_mount(tmp_path / "nas"):
                before = sum("WATCHDOG" in message for message in systemd.heard)
                home.sidecar(picture(tmp_path / "other" / "other.png"))
                for _ in range(3):
                    systemd.hear("WATCHDOG")  # which fails if it waits for longer than the watchdog does
                process.send_signal(signal.SIGTERM)
                assert Exit.OK == process.wait(5)
                assert before + 3 <= sum("WATCHDOG" in message for message in systemd.heard)
