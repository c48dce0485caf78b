"""The API is down for hours, and the files of those hours are given up, lost, or fill the memory.

Elsewhere a number of attempts was the end of a file, a queue in memory was gone with the next restart, and a backlog of
thousands made the service larger and larger until it was killed. Here the queue is the ledger. What is the network's
or the vendor's matter is tried for ever, ever slower, one request at a time; when it is over, every file gets its verdict,
and each is charged once.
"""

import gc
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from identifai_watch.candidates import MOST_IN_BATCH, Entry
from identifai_watch.core.model import Analysis, AnalysisState, File
from identifai_watch.daemon import Daemon
from identifai_watch.hashing import DIGESTS_AT_ONCE
from identifai_watch.ledger import views
from identifai_watch.simulator import Endpoint, Fault, FaultKind, Script, Simulator
from tests.field.clock import Clock
from tests.harness import KEY, house, wait_for
from tests.watching import in_loop, lines, picture

QUICK = {"settle_seconds": 0.1, "rescan_seconds": 600.0}
ATTEMPTS, BACKLOG = 40, 1000
LONG = 60.0
"""Seconds after which whatever waits for the network is tried again."""


@pytest.mark.parametrize(
    "outage",
    [
        Fault(kind=FaultKind.STATUS, status=503, times=None),
        Fault(kind=FaultKind.STATUS, status=429, times=None),
        Fault(kind=FaultKind.HTML, status=500, times=None),
        Fault(kind=FaultKind.RESET_BEFORE, times=None),
    ],
    ids=["503", "429", "500", "resets"],
)
def test_nothing_is_given_up_however_often_it_fails(tmp_path: Path, outage: Fault) -> None:
    """Forty attempts, and then it works: nothing is stuck, all is delivered, and each content was charged once."""
    clock = Clock()
    names = [f"{number}.png" for number in range(4)]
    with house(tmp_path, Script(faults=(outage,)), folder=QUICK) as home, home.daemon(clock=clock) as daemon:
        state = home.simulator.state
        for name in names:
            picture(home.drop / name)
        wait_for(lambda: queued(daemon) == len(names), "all are queued")
        dispatch = daemon._dispatch
        while state.count(Endpoint.UPLOAD) < ATTEMPTS:
            begun = dispatch.uploads.begun
            clock.wind(daemon, LONG)
            wait_for(
                lambda begun=begun: in_loop(  # type: ignore[misc] - bound at once
                    daemon, lambda _: dispatch.uploads.begun > begun and dispatch.is_idle()
                ),
                "what was tried has failed",
            )
            assert {None} == {line.analysis.stuck_at for line in lines(daemon) if line.analysis is not None}
        assert 0 == len(state.charged)
        home.simulator.change(faults=())
        for name in names:
            clock.wind(daemon, LONG)
            home.sidecar(home.drop / name)
        assert len(names) == len(state.charged)


def test_the_backlog_of_an_outage_is_not_in_memory(tmp_path: Path) -> None:
    """However many files wait, no more of them is kept than the last batches that were hashed, which the next replace."""
    others = {
        kind: kept(kind) for kind in (Entry, File, Analysis)
    }  # of tests that ran in this process before
    with house(tmp_path, folder=QUICK) as home, home.daemon() as daemon:
        home.simulator.stop()
        for number in range(BACKLOG):
            picture(home.drop / f"{number}.png")
        wait_for(lambda: queued(daemon) == BACKLOG, "all are queued", 60)
        batches = DIGESTS_AT_ONCE * MOST_IN_BATCH
        found = in_loop(daemon, lambda _: {kind: kept(kind) - others[kind] for kind in others})
        assert found[Entry] <= batches < BACKLOG // 2
        assert found[File] + found[Analysis] < 20


def test_an_outage_outlives_a_crash(tmp_path: Path) -> None:
    """Nobody answers at all, the machine loses its power, and the API is back: the next start brings every verdict."""
    names = [f"{number}.png" for number in range(60)]
    with house(tmp_path, folder=QUICK) as home:
        home.simulator.stop()
        with home.process() as process:
            for name in names:
                picture(home.drop / name)
            wait_for(lambda: len(home.lines()) == len(names), "all are queued")
            process.kill()
            process.wait()
        with Simulator(Script(key=KEY), port=urlsplit(home.simulator.url).port or 0) as back, home.process():
            for name in names:
                assert home.sidecar(home.drop / name)["verdict"] is not None
            assert len(names) == len(back.state.charged) == back.state.arrived(Endpoint.UPLOAD)


def queued(daemon: Daemon) -> int:
    """Count the contents that wait to be sent."""
    with daemon.shift.ledger.read() as tx:
        return views.counts(tx).analyses[AnalysisState.QUEUED]


def kept(kind: type) -> int:
    """Count the values of a kind that this process holds, whoever holds them."""
    gc.collect()
    return sum(type(found) is kind for found in gc.get_objects())
