"""A root that is another file system for a while: nothing is written there, and nothing is taken for gone."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from identifai_watch.core.model import AnalysisState, FileState
from identifai_watch.folder.roots import inspect_root
from identifai_watch.simulator import Script
from tests.console import at, status_of
from tests.harness import House, house, wait_for
from tests.namespaces import bind, mount_memory, own_mounts, unmount
from tests.watching import folders, picture

AWAITED = ["a.png", "b.png", "c.png"]

Change = Callable[[House], None]


def is_covered(home: House) -> None:
    """Mount something else over the root."""
    mount_memory(home.drop, "stranger")


def is_taken_away(home: House) -> None:
    """Unmount the disk, so that the bare mount point is there to be seen."""
    unmount(home.drop)


def is_uncovered(home: House) -> None:
    """Take away what was mounted over it."""
    unmount(home.drop)


def is_put_back(home: House) -> None:
    """Mount the same disk again."""
    bind(home.home / "disk", home.drop)


def put_on_a_disk(home: House) -> None:
    """Have the drop folder on a disk of its own."""
    mount_memory(home.home / "disk", "disk")
    is_put_back(home)


def known_as(path: Path) -> str:
    """Return the name of the file system that a directory lies on."""
    return inspect_root(os.fsencode(path)).identity


def lying(home: House) -> set[str]:
    """Return the names of all that lies in the drop folder, hidden or not."""
    return {str(path.relative_to(home.drop)) for path in home.drop.rglob("*")}


def states(home: House) -> dict[str, tuple[FileState, AnalysisState | None]]:
    """Return how each file of the drop folder stands, by its path."""
    return {
        os.fsdecode(line.file.path): (line.file.state, None if line.analysis is None else line.analysis.state)
        for line in home.lines()
        if line.file.folder == "drop"
    }


def all_are(home: House, state: AnalysisState) -> bool:
    """Tell whether the verdicts of all that wait have come so far."""
    return states(home) == dict.fromkeys(AWAITED, (FileState.WAITING, state))


@pytest.mark.parametrize(("goes", "comes_back"), [(is_covered, is_uncovered), (is_taken_away, is_put_back)])
def test_another_file_system_at_the_root_gets_nothing(
    tmp_path: Path, goes: Change, comes_back: Change
) -> None:
    """The folder is unavailable, with both names; its verdicts wait, others' do not; back, it goes on by itself."""
    with house(tmp_path, Script(delay=3600)) as home, own_mounts():
        put_on_a_disk(home)
        home.more = {"folder": [*home.document()["folder"], *folders(home, other={})]}
        before = known_as(home.drop)
        with home.process():
            for name in AWAITED:
                picture(home.drop / name)
            wait_for(lambda: all_are(home, AnalysisState.AWAITING), "the verdicts are awaited")
            goes(home)
            reason = status_of(home, "drop", "unavailable")["reason"]
            now = known_as(home.drop)
            if goes is is_covered:
                picture(home.drop / "on the wrong disk.png")
            there = lying(home)
            home.simulator.change(delay=0)
            home.sidecar(picture(tmp_path / "other" / "other.png"))
            wait_for(lambda: all_are(home, AnalysisState.JUDGED), "the verdicts have come")
            assert there == lying(home)
            comes_back(home)
            for name in AWAITED:
                home.sidecar(home.drop / name)
            status_of(home, "drop", "ok", mode="events")
            home.sidecar(picture(home.drop / "d.png"))
            assert {*AWAITED, "d.png"} == set(states(home))
        assert {*AWAITED, "d.png"} == set(home.sidecars())
        assert len(AWAITED) + 2 == len(home.simulator.state.charged)

    assert "disk (tmpfs, /)" == before
    assert reason.startswith(f"its root was on {before} and is now on {now};")


def test_a_verdict_that_comes_before_anybody_noticed_that_the_disk_is_away(tmp_path: Path) -> None:
    """Between two looks at the root a delivery finds no file: it writes nothing, and takes nothing for gone."""
    with house(tmp_path, Script(delay=3600), folder={"rescan_seconds": 600.0}) as home, own_mounts():
        put_on_a_disk(home)
        with home.process():
            status_of(home, "drop", "ok", mode="events")
            for name in AWAITED:
                picture(home.drop / name)
            wait_for(lambda: all_are(home, AnalysisState.AWAITING), "the verdicts are awaited")
            is_taken_away(home)
            home.simulator.change(delay=0)
            wait_for(lambda: is_unavailable(home) or gone(home), "the other file system is noticed")
            assert set() == gone(home)
            assert set() == lying(home)
            is_put_back(home)
            for name in AWAITED:
                home.sidecar(home.drop / name)
        assert len(AWAITED) == len(home.simulator.state.charged)


def is_unavailable(home: House) -> bool:
    """Tell whether ``status --json`` says that the drop folder is unavailable."""
    return bool("unavailable" == json.loads(at(home, "status", "--json").out)["folders"][0]["health"])


def gone(home: House) -> set[str]:
    """Return the files that the ledger takes for gone."""
    return {path for path, (state, _) in states(home).items() if state is FileState.GONE}
