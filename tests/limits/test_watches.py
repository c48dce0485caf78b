"""inotify has limits of its own: a folder that cannot be watched whole is scanned, and says which line helps."""

import re
from pathlib import Path

from tests.console import status_of
from tests.harness import house, wait_for
from tests.namespaces import set_inotify_limit, with_inotify_limits
from tests.watching import picture

DIRECTORIES = 12
WATCHES = 5
"""Enough for the tree as it is at first, and not for all the directories that it gets."""


def test_a_tree_that_outgrows_the_watches_is_scanned(tmp_path: Path) -> None:
    """It is degraded, with the line that helps; what no event tells of is judged; with room it is ok by itself."""
    within = with_inotify_limits(max_inotify_watches=WATCHES)
    with house(tmp_path) as home:
        (home.drop / "0").mkdir()
        with home.process(through=within) as process:
            status_of(home, "drop", "ok", mode="events")
            for number in range(1, DIRECTORIES):
                (home.drop / str(number)).mkdir()
            found = status_of(home, "drop", "degraded", mode="scan")
            for number in range(DIRECTORIES):
                picture(home.drop / str(number) / f"{number}.png")
            wait_for(lambda: len(home.sidecars()) == DIRECTORIES, "all are judged")
            set_inotify_limit(process, "max_inotify_watches", 10 * DIRECTORIES)
            status_of(home, "drop", "ok", mode="events")
            home.sidecar(picture(home.drop / "11" / "more.png"))
        assert DIRECTORIES + 1 == len(home.simulator.state.charged) == len(home.lines())

    proposed = re.search(
        r"\((\d+) allowed\): run 'sysctl -w user\.max_inotify_watches=(\d+)'", found["reason"]
    )
    assert proposed is not None, found["reason"]
    assert WATCHES == int(proposed[1])
    assert int(proposed[2]) > DIRECTORIES


def test_without_an_instance_of_inotify_a_folder_is_scanned(tmp_path: Path) -> None:
    """It is degraded, with the line that helps; what comes is judged; with room it is ok by itself."""
    within = with_inotify_limits(max_inotify_instances=0)
    with house(tmp_path) as home, home.process(through=within) as process:
        found = status_of(home, "drop", "degraded", mode="scan")
        home.sidecar(picture(home.drop / "a.png"))
        set_inotify_limit(process, "max_inotify_instances", 8)
        status_of(home, "drop", "ok", mode="events")
        home.sidecar(picture(home.drop / "b.png"))
        assert 2 == len(home.simulator.state.charged) == len(home.lines())

    assert "(0 allowed): run 'sysctl -w user.max_inotify_instances=" in found["reason"]
