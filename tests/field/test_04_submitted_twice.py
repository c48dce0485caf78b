"""One content is submitted, and paid for, more than once.

Elsewhere two events for one file, or an event and a scan, started two jobs; a copy under another name was a new
document; and what was in flight was known to the memory of a process alone, so that a restart sent it again. Here what
is paid for is the content, one row under a unique key that is committed before anything is sent; events and scans
only say where to look, and a copy waits for the verdict of its twin.
"""

import os
import shutil
from pathlib import Path

from identifai_watch.core.model import AnalysisState
from identifai_watch.simulator import Endpoint, Script
from tests.harness import House, house, wait_for
from tests.watching import content, folders, picture, sha256

NAMES = ["drop/first.png", "drop/copy.png", "drop/deep/down/copy.png", "drop/moved.png", "drop/linked.png"]
OTHERS = ["other/copy.png", "other/late.png"]


def sent(home: House) -> tuple[int, int]:
    """Return how many uploads came, and how many of them were charged."""
    return home.simulator.state.arrived(Endpoint.UPLOAD), len(home.simulator.state.charged)


def known(home: House) -> int:
    """Return how many files the ledger has a content for."""
    return sum(line.analysis is not None for line in home.lines())


def test_one_content_is_sent_once_however_often_it_is_named(tmp_path: Path) -> None:
    """Events and scans name it all the time, it lies under seven names in two folders, and a restart comes between."""
    with house(tmp_path, Script(delay=3600)) as home:
        busy = {"rescan_seconds": 0.1}
        home.more["folder"] = folders(home, drop=busy, other=busy)
        with home.process():
            first = picture(home.drop / "first.png", "one")
            wait_for(lambda: sent(home) == (1, 1), "it is sent")
            picture(home.drop / "copy.png", "one")
            picture(home.drop / "deep" / "down" / "copy.png", "one")
            picture(tmp_path / "other" / "copy.png", "one")
            picture(tmp_path / "moved.png", "one").rename(home.drop / "moved.png")
            (home.drop / "linked.png").hardlink_to(first)
            for instant in range(30):  # neither its time nor its mode nor an event is another content
                os.utime(first, (instant, instant))
            first.chmod(0o600)
            wait_for(lambda: known(home) == 6, "all are known")
            assert {AnalysisState.AWAITING} == {line.analysis.state for line in home.lines()}  # type: ignore[union-attr] - they have one
        with home.process():
            shutil.copy2(first, tmp_path / "other" / "late.png")
            wait_for(lambda: known(home) == 7, "so is the last one")
            home.simulator.change(delay=0)
            sidecars = [home.sidecar(tmp_path / name) for name in NAMES + OTHERS]
        assert (1, 1) == sent(home)
    assert 1 == len({sidecar["analysis"]["identifier"] for sidecar in sidecars})
    assert {sha256("one").hex()} == {sidecar["file"]["sha256"] for sidecar in sidecars}
    assert [False] + 6 * [True] == [sidecar["duplicate"] for sidecar in sidecars]


def test_a_content_that_was_paid_for_long_ago_costs_nothing(tmp_path: Path) -> None:
    """Its file is gone, the daemon has been restarted: a copy that comes in now has its verdict at once."""
    with house(tmp_path, folder={"settle_seconds": 0.1, "rescan_seconds": 0.2}) as home:
        with home.process():
            path = picture(home.drop / "a.png")
            verdict = home.sidecar(path)["verdict"]
            path.unlink()
            wait_for(lambda: ["gone"] == [str(line.file.state) for line in home.lines()], "it is gone")
        with home.process():
            (home.drop / "b.png").write_bytes(content("a.png"))
            sidecar = home.sidecar(home.drop / "b.png")
        assert (1, 1) == sent(home)
    assert (verdict, True) == (sidecar["verdict"], sidecar["duplicate"])
