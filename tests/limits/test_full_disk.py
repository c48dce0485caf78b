"""No room for the sidecars: none is written by halves, and all are once there is room."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from identifai_watch.core.model import AnalysisState
from identifai_watch.simulator import Script
from tests.console import at
from tests.harness import SUFFIX, House, house, wait_for
from tests.namespaces import fill, mount_memory, own_mounts
from tests.watching import folders, picture

NAMES = {"a.png", "b.png"}


@contextmanager
def full_disk(home: House) -> Iterator[Path]:
    """Drop files on a disk that is full by the time that their verdicts come; lend what fills it.

    The simulator waits with every verdict.
    """
    with own_mounts():
        mount_memory(home.drop, "disk", size="1m")
        with home.process():
            for name in NAMES:
                picture(home.drop / name)
            wait_for(lambda: awaited(home) == NAMES, "the verdicts are awaited")
            filler = fill(home.drop)
            home.simulator.change(delay=0)
            yield filler


def awaited(home: House) -> set[str]:
    """Return the files whose verdict is awaited."""
    return {
        line.file.path.decode()
        for line in home.lines()
        if line.analysis is not None and line.analysis.state is AnalysisState.AWAITING
    }


def failures(home: House) -> list[int]:
    """Return how often each file of the full disk could not be delivered."""
    return [line.file.failures for line in home.lines() if line.file.folder == "drop"]


def lying(home: House) -> set[str]:
    """Return the names of all that lies in the drop folder, hidden or not."""
    return {str(path.relative_to(home.drop)) for path in home.drop.rglob("*")}


def test_sidecars_wait_for_room(tmp_path: Path) -> None:
    """They are tried again and nothing of them lies about, while others go on; with room they are whole, paid once."""
    with house(tmp_path, Script(delay=3600)) as home:
        home.more = {"folder": [*home.document()["folder"], *folders(home, other={})]}
        with full_disk(home) as filler:
            home.sidecar(picture(tmp_path / "other" / "other.png"))
            wait_for(lambda: min(failures(home)) >= 3, "each is tried again")
            wait_for(lambda: lying(home) == NAMES | {filler.name}, "nothing else lies there")
            filler.unlink()
            for name in NAMES:
                assert home.sidecar(home.drop / name)["verdict"] is not None
            wait_for(
                lambda: lying(home) == NAMES | {name + SUFFIX for name in NAMES}, "no hidden file is left"
            )
        assert len(NAMES) + 1 == len(home.simulator.state.charged)


def test_that_there_is_no_room_is_said_where_people_look(tmp_path: Path) -> None:
    """``explain`` gives the disk's own words while the delivery is still tried."""
    with house(tmp_path, Script(delay=3600)) as home, full_disk(home):
        wait_for(lambda: min(failures(home)) >= 1, "it is tried")
        assert "No space left on device" in at(home, "explain", home.drop / "a.png").out
