"""The limit of inotify watches is reached, and the error that says so reads like a full disk.

Elsewhere "no space left on device" ended the service, or sent people to look for space, or was not even told: part of the tree
was watched and the rest was not. Here such a folder is scanned instead, nothing ends, and status and log say which line
makes room; once it has, the watch is armed again without a restart.
"""

import re
from pathlib import Path

import pytest

from tests.field.namespace import Namespace, namespace
from tests.field.seen import folder, said
from tests.harness import house, wait_for
from tests.watching import picture

DIRECTORIES = 30


@pytest.mark.parametrize(
    ("limit", "number"),
    [("watches", 10), ("instances", 0)],
    ids=["too few watches", "no instance"],
)
def test_a_tree_that_cannot_be_watched_is_scanned(tmp_path: Path, limit: str, number: int) -> None:
    """The daemon goes on, says the line to type, judges what is in every directory, and watches when there is room."""
    with namespace() as world, house(tmp_path, folder={"settle_seconds": 0.1, "rescan_seconds": 0.3}) as home:
        for count in range(DIRECTORIES):
            (home.drop / f"{count:02}").mkdir()
        allow(world, limit, number)
        with home.process(through=world.through):
            for name in ("00", f"{DIRECTORIES // 2:02}", f"{DIRECTORIES - 1:02}"):
                picture(home.drop / name / f"{name}.png")
            for name in ("00", f"{DIRECTORIES // 2:02}", f"{DIRECTORIES - 1:02}"):
                home.sidecar(home.drop / name / f"{name}.png")
            seen = folder(home)
            assert ("degraded", "scan") == (seen["health"], seen["mode"])
            line = re.search(rf"run 'sysctl -w user\.max_inotify_{limit}=(\d+)'", seen["reason"])
            assert line is not None, seen["reason"]  # that of the namespace is the lower one
            assert int(line[1]) > DIRECTORIES
            assert [seen["reason"]] == [one["reason"] for one in said(home, "folder degraded")]
            assert "No space left" not in home.log.read_text(encoding="utf-8")
            allow(world, limit, 10_000)
            seen = wait_for(lambda: (now := folder(home))["mode"] == "events" and now, "it is watched")
            assert ("ok", None) == (seen["health"], seen["reason"])
        assert 3 == len(home.simulator.state.charged)


def allow(world: Namespace, limit: str, number: int) -> None:
    """Set a limit of inotify for whoever is in that world."""
    world.run("sh", "-c", f"echo {number} > /proc/sys/user/max_inotify_{limit}")
