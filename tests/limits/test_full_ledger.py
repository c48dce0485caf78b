"""No room for the ledger: nothing more is sent, nothing is lost or paid twice, and with room all goes on."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from identifai_watch.core.model import AnalysisState
from identifai_watch.errors import Exit
from identifai_watch.simulator import Endpoint, Script
from tests.harness import KEY, House, house, wait_for
from tests.namespaces import fill, mount_memory, own_mounts
from tests.watching import picture, sha256

NAMES = ["a.png", "b.png", "c.png"]


@contextmanager
def served(home: House) -> Iterator[list[int]]:
    """Run the daemon as systemd does: started again when it fails, but for what only a person can mend.

    Lends the exit statuses that it ended with so far.
    """
    statuses: list[int] = []
    command = [sys.executable, "-m", "identifai_watch", "run", "--config", str(home.config_path)]
    stopping = Event()
    current: list[subprocess.Popen[bytes]] = []

    def serve() -> None:
        while not stopping.is_set() and not {Exit.ACCOUNT, Exit.CONFIG} & set(statuses):
            with home.log.open("ab") as log:
                process = subprocess.Popen(command, env=os.environ | {"IDENTIFAI_API_KEY": KEY}, stderr=log)
            current[:] = [process]
            statuses.append(process.wait())

    thread = Thread(target=serve)
    thread.start()
    try:
        yield statuses
    finally:
        stopping.set()
        current[0].terminate()
        thread.join(30)
        assert not thread.is_alive()


def is_away(home: House) -> bool:
    """Tell whether the daemon has said that it cannot use its ledger."""
    return any(line["event"] == "ledger away" for line in home.logged())


def endure_a_full_disk(home: House, is_noticed: Callable[[], bool]) -> None:
    """Fill the ledger's disk while a verdict is awaited, drop more meanwhile, then make room; all is judged in the end."""
    picture(home.drop / NAMES[0])
    wait_for(lambda: is_awaited(home), "a verdict is awaited")
    filler = fill(home.home / "state")
    home.simulator.change(delay=0)
    picture(home.drop / NAMES[1])
    wait_for(is_noticed, "the full disk is noticed", 60)
    sent = home.simulator.state.arrived(Endpoint.UPLOAD)
    picture(home.drop / NAMES[2])
    wait_for(is_noticed, "it is still full")
    assert sent == home.simulator.state.arrived(Endpoint.UPLOAD)
    filler.unlink()
    for name in NAMES:
        assert home.sidecar(home.drop / name, 60)["verdict"] is not None


def is_awaited(home: House) -> bool:
    """Tell whether the first file's verdict is awaited."""
    (state,) = {line.analysis.state for line in home.lines() if line.analysis is not None} or {None}
    return state is AnalysisState.AWAITING


def test_a_full_disk_under_the_ledger_is_borne(tmp_path: Path) -> None:
    """A daemon that ends for it says 75, so that it is started again; what came meanwhile is judged, all of it once."""
    with house(tmp_path, Script(delay=3600)) as home, own_mounts():
        mount_memory(tmp_path / "state", "ledger", size="4m")
        with served(home) as statuses:
            endure_a_full_disk(home, lambda: is_away(home) or len(statuses) > 1)
            assert {Exit.LATER} >= set(statuses)
        assert sorted(map(sha256, NAMES)) == sorted(one.sha256 for one in home.simulator.state.charged)


def test_the_daemon_lives_through_a_full_disk_under_its_ledger(tmp_path: Path) -> None:
    """The same process goes on once there is room."""
    with house(tmp_path, Script(delay=3600)) as home, own_mounts():
        mount_memory(tmp_path / "state", "ledger", size="4m")
        with home.process() as process:

            def is_borne() -> bool:
                assert process.poll() is None, "the process has ended"
                return is_away(home)

            endure_a_full_disk(home, is_borne)
        assert sorted(map(sha256, NAMES)) == sorted(one.sha256 for one in home.simulator.state.charged)
