"""No room for the ledger: nothing more is sent, nothing is lost or paid twice, and with room all goes on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from identifai_watch.core.model import AnalysisState
from identifai_watch.errors import Exit
from identifai_watch.simulator import Endpoint, Script
from tests.field.seen import said
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


def await_a_verdict(home: House) -> None:
    """Drop the first file, and wait until its verdict is awaited."""
    picture(home.drop / NAMES[0])
    wait_for(lambda: AnalysisState.AWAITING in states(home), "a verdict is awaited")


def states(home: House) -> set[AnalysisState]:
    """Return how the contents stand that the ledger knows."""
    return {line.analysis.state for line in home.lines() if line.analysis is not None}


def sent(home: House) -> int:
    """Return how many uploads have arrived."""
    return home.simulator.state.arrived(Endpoint.UPLOAD)


def assert_all_are_judged_once(home: House) -> None:
    """Each file has its sidecar, and each content was charged once."""
    assert set(NAMES) == set(home.sidecars())
    assert sorted(map(sha256, NAMES)) == sorted(one.sha256 for one in home.simulator.state.charged)


def test_the_daemon_lives_through_a_full_disk_under_its_ledger(tmp_path: Path) -> None:
    """It says so and sends nothing more; the same process goes on with room, with the verdict that came meanwhile."""
    with house(tmp_path, Script(delay=3600)) as home, own_mounts():
        mount_memory(tmp_path / "state", "ledger", size="4m")
        with home.process() as process:
            await_a_verdict(home)
            filler = fill(tmp_path / "state")
            home.simulator.change(delay=0)
            picture(home.drop / NAMES[1])
            away = wait_for(
                lambda: said(home, "ledger away") or process.poll() is not None, "it is noticed", 60
            )
            assert process.poll() is None
            before = sent(home)
            picture(home.drop / NAMES[2])
            filler.unlink()
            assert before == sent(home)
            for name in NAMES:
                home.sidecar(home.drop / name, 60)
        assert_all_are_judged_once(home)
    assert "disk is full" in str(away)


def test_a_start_on_a_full_disk_is_made_again(tmp_path: Path) -> None:
    """It ends with 75, which has systemd start it again, until there is room; then all goes on where it stood."""
    with house(tmp_path, Script(delay=3600)) as home, own_mounts():
        mount_memory(tmp_path / "state", "ledger", size="4m")
        with home.process():
            await_a_verdict(home)
        filler = fill(tmp_path / "state")
        home.simulator.change(delay=0)
        for name in NAMES[1:]:
            picture(home.drop / name)
        with served(home) as statuses:
            wait_for(lambda: len(statuses) >= 2, "it was started twice", 60)
            assert 1 == sent(home)
            filler.unlink()
            for name in NAMES:
                home.sidecar(home.drop / name, 60)
            assert {Exit.LATER} == set(statuses)
        assert_all_are_judged_once(home)
