"""Row 23: what failed is never tried again, or a restart begins with everything anew.

As met elsewhere: a tool that keeps what it has seen in memory, or compares with the time of its last pass, reads and
sends a whole archive again after each restart; one that remembers a failure as "done" never comes back to it, and the
file is found months later.

Here every file is a row. A start costs one look at each from outside: no file is opened, hashed or sent again. What
failed has its next attempt in the ledger, ``due``, and whoever runs then makes it.
"""

from pathlib import Path

from identifai_watch.simulator import Endpoint, Fault, FaultKind, Script
from tests.harness import House, house, wait_for
from tests.opens import counted
from tests.watching import picture, sha256

FILES = 40
QUICK = {"settle_seconds": 0.2, "rescan_seconds": 0.3, "events": "off"}
"""Without events only a scan finds anything: what is taken shows that scans were made."""


def names() -> list[str]:
    """Return the names of the archive."""
    return [f"{number:03}.png" for number in range(FILES)]


def charged(home: House) -> list[bytes]:
    """Return the hashes that were paid for, sorted."""
    return sorted(submission.sha256 for submission in home.simulator.state.charged)


def test_a_restart_opens_no_file_that_is_known(tmp_path: Path) -> None:
    """Of forty judged files none is opened by the next daemon in three scans, which take what is new."""
    with house(tmp_path, folder=QUICK) as home, counted(home.drop) as opens:
        with home.process():
            for name in names():
                picture(home.drop / name)
            wait_for(lambda: len(home.sidecars()) == FILES, "all are judged", 120)
            wait_for(lambda: all(opens[name] > 2 for name in names()), "each was opened, looked at and read")
        wait_for(lambda: set(charged(home)) == {sha256(name) for name in names()}, "all are charged")
        requests = home.simulator.state.arrived(Endpoint.UPLOAD)
        opens.clear()
        with home.process():
            for name in ("new.png", "newer.png", "newest.png"):
                home.sidecar(picture(home.drop / name))
        assert {} == {name: opens[name] for name in names() if opens[name]}
        assert opens["newest.png"] > 2
        assert FILES == requests
        assert FILES + 3 == len(charged(home)) == home.simulator.state.arrived(Endpoint.UPLOAD)


def test_what_failed_is_tried_again_by_whoever_runs_when_it_is_due(tmp_path: Path) -> None:
    """An API that answers 500 leaves a row with its next attempt; the daemon is killed; the next one makes it."""
    broken = Fault(kind=FaultKind.STATUS, status=500, match=Endpoint.UPLOAD, times=None)
    with house(tmp_path, Script(faults=(broken,)), folder=QUICK) as home:
        with home.process() as process:
            path = picture(home.drop / "x.png")
            wait_for(lambda: home.simulator.state.count(Endpoint.UPLOAD, status=500), "it has failed")
            wait_for(lambda: any((one.analysis and one.analysis.failures) for one in home.lines()), "told")
            process.kill()
            process.wait()
        (line,) = home.lines()
        assert line.analysis is not None
        assert line.analysis.due is not None
        home.simulator.change(faults=())
        with home.process():
            assert sha256("x.png").hex() == home.sidecar(path, 90)["file"]["sha256"]
        assert [sha256("x.png")] == charged(home)
