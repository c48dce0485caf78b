"""A drop folder that takes no writes for a while: verdicts wait, files stay where they are, and all is delivered later."""

from pathlib import Path

import pytest

from identifai_watch.core.model import AnalysisState
from identifai_watch.simulator import Script
from tests.harness import SUFFIX, House, house, wait_for
from tests.namespaces import mount_memory, own_mounts, remount
from tests.test_crash import outcome_of
from tests.watching import content, picture

NAMES = {"a.png", "b.png"}


def lying(home: House) -> set[str]:
    """Return the names of all files below the drop folder, hidden or not."""
    return {str(path.relative_to(home.drop)) for path in home.drop.rglob("*") if path.is_file()}


def states(home: House) -> list[AnalysisState | None]:
    """Return how the content of each file stands."""
    return [None if line.analysis is None else line.analysis.state for line in home.lines()]


@pytest.mark.parametrize("action", ["sidecar", "move"])
def test_a_read_only_folder_is_waited_for(tmp_path: Path, action: str) -> None:
    """What cannot be delivered is tried again and stays whole where it is; writable again, it is delivered, paid once."""
    with house(tmp_path, Script(delay=3600), folder={"action": action}) as home, own_mounts():
        mount_memory(home.drop, "disk")
        with home.process() as process:
            for name in NAMES:
                picture(home.drop / name)
            wait_for(lambda: states(home) == [AnalysisState.AWAITING] * 2, "the verdicts are awaited")
            remount(home.drop, writable=False)
            home.simulator.change(delay=0)
            wait_for(lambda: min(line.file.failures for line in home.lines()) >= 2, "each is tried again")
            assert NAMES == lying(home)
            remount(home.drop, writable=True)
            places = {name: _place(name) if action == "move" else name for name in NAMES}
            for place in places.values():
                assert home.sidecar(home.drop / place)["verdict"] is not None
            expected = {ending for place in places.values() for ending in (place, place + SUFFIX)}
            wait_for(lambda: lying(home) == expected, "each file lies where it belongs, and nothing else")
            assert process.poll() is None
        assert {name: content(name) for name in NAMES} == {
            name: (home.drop / place).read_bytes() for name, place in places.items()
        }
        assert len(NAMES) == len(home.simulator.state.charged)


def _place(name: str) -> str:
    """Return where the file of this name is moved to."""
    return f"{outcome_of(content(name))}/{name}"
