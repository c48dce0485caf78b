"""A mount vanishes, and its empty mount point looks as if every file had been deleted.

Elsewhere libraries were emptied and others' copies removed with them, all was imported again when the disk came back, and
results were written to the system's own disk beneath. Here a folder is known by the file system that its root lies
on. Another one, or none, makes the folder unavailable, with the reason, and that is all: no file is gone, nothing is
written, and when the mount is back, after minutes or weeks, the folder goes on by itself where it stood.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from identifai_watch.core.model import FileState
from identifai_watch.patrol import FIRST_RETRY, Health
from identifai_watch.simulator import Endpoint
from tests.field.clock import Clock
from tests.field.namespace import Namespace, namespace
from tests.field.seen import folder, said
from tests.harness import House, house, wait_for
from tests.watching import folders, intake, picture, scan


class Mounted:
    """A house whose drop folder is a mount, in a world of its own, beside another folder that is none."""

    def __init__(self, world: Namespace, home: House) -> None:
        self.world, self.home = world, home
        self.drop = world.path(home.drop)
        (home.home / "nas").mkdir()
        world.run("mount", "-t", "tmpfs", "nas", home.home / "nas")

    def mount(self) -> None:
        """Mount it, with all that it holds."""
        self.world.run("mount", "--bind", self.home.home / "nas", self.home.drop)

    def unmount(self) -> None:
        """Have it vanish, as a server that is switched off does; its mount point is left, and is empty."""
        self.world.run("umount", "--lazy", self.home.drop)


@contextmanager
def mounted(home: Path, *, rescan_seconds: float) -> Iterator[Mounted]:
    """Build a house with a mount to drop into."""
    with namespace() as world, house(home) as built:
        built.more["folder"] = folders(built, drop={"rescan_seconds": rescan_seconds}, other={})
        yield Mounted(world, built)


def await_said(home: House, event: str) -> dict[str, Any]:
    """Wait until the log has said it, and return how it did."""
    return wait_for(lambda: said(home, event), f"{event} is said")[-1]


def states(home: House) -> set[tuple[FileState, int]]:
    """Return how the files of the folder stand, and in how many scans they were missed."""
    return {(line.file.state, line.file.missing) for line in home.lines() if line.file.folder == "drop"}


def test_what_vanishes_between_two_scans_is_not_gone(tmp_path: Path) -> None:
    """Verdicts that find no file have the root looked at: nothing is written beneath, and all is delivered later."""
    with mounted(tmp_path, rescan_seconds=600) as place:
        home = place.home
        place.mount()
        with home.process(through=place.world.through):
            home.sidecar(picture(place.drop / "a.png"))
            home.simulator.change(delay=3600)
            pending = [picture(place.drop / name) for name in ("b.png", "deep/c.png", "d.png")]
            wait_for(lambda: len(home.simulator.state.charged) == 4, "all are sent")
            place.unmount()
            home.simulator.change(delay=0)
            reason = await_said(home, "folder unavailable")["reason"]
            assert "was on nas (tmpfs, /) and is now on " in reason
            home.sidecar(picture(tmp_path / "other" / "meanwhile.png"))
            wait_for(lambda: len(said(home, "answered")) == 5, "all verdicts are there")
            seen = folder(home)
            assert ("unavailable", reason) == (seen["health"], seen["reason"])
            assert {(FileState.WAITING, 0), (FileState.DELIVERED, 0)} == states(home)
            place.mount()
            for path in pending:
                home.sidecar(path)
        assert {(FileState.DELIVERED, 0)} == states(home)
        assert 5 == len(home.simulator.state.charged) == home.simulator.state.arrived(Endpoint.UPLOAD)
        assert [] == list(home.drop.iterdir()), "nothing was ever written beneath"


def test_a_start_before_the_mount_is_up_waits_for_it(tmp_path: Path) -> None:
    """What is known of the folder stays known; mounted, or vanished and mounted again, it goes on by itself."""
    with mounted(tmp_path, rescan_seconds=0.3) as place:
        home = place.home
        place.mount()
        with home.process(through=place.world.through):
            home.sidecar(picture(place.drop / "a.png"))
        place.unmount()
        with home.process(through=place.world.through):
            await_said(home, "folder unavailable")
            place.mount()
            home.sidecar(picture(place.drop / "b.png"))
            place.unmount()
            wait_for(lambda: folder(home)["health"] == "unavailable", "it has vanished again")
            place.mount()
            home.sidecar(picture(place.drop / "c.png"))
            seen = folder(home)
            assert ("ok", "events", None) == (seen["health"], seen["mode"], seen["reason"])
        assert 2 == len(said(home, "folder available again"))
        assert {(FileState.DELIVERED, 0)} == states(home)
        assert 3 == len(home.simulator.state.charged) == home.simulator.state.arrived(Endpoint.UPLOAD)
        assert [] == list(home.drop.iterdir())


def test_a_root_that_is_renamed_away_and_back_has_lost_nothing(tmp_path: Path) -> None:
    """Its path is made by nobody meanwhile, and what was put into it elsewhere is judged when it is back."""
    with house(tmp_path, folder={"settle_seconds": 0.1, "rescan_seconds": 0.3}) as home, home.process():
        home.sidecar(picture(home.drop / "deep" / "a.png"))
        home.drop.rename(tmp_path / "away")
        assert "No such file" in await_said(home, "folder unavailable")["reason"]
        picture(tmp_path / "away" / "deep" / "meanwhile.png")
        assert not home.drop.exists()
        (tmp_path / "away").rename(home.drop)
        home.sidecar(home.drop / "deep" / "meanwhile.png")
        wait_for(lambda: states(home) == {(FileState.DELIVERED, 0)}, "all is as it was")
        assert 2 == len(home.simulator.state.charged) == home.simulator.state.arrived(Endpoint.UPLOAD)


def test_an_absent_root_is_looked_for_at_longer_and_longer_intervals(tmp_path: Path) -> None:
    """After 1 s, then twice as long each time, at most every five minutes, for ever; back, it begins anew."""
    clock = Clock(speed=0)
    with house(tmp_path, folder={"rescan_seconds": 600.0}) as home, home.daemon(clock=clock) as daemon:
        scan(daemon)
        patrol = intake(daemon).patrol
        home.drop.rename(tmp_path / "away")
        patrol.rescan()
        daemon.shift.workers.wake()
        for expected in (1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300):
            due = wait_for(
                lambda: patrol.next_due() if patrol.next_due() != clock() else None, "it is looked for"
            )
            assert expected == (due - clock()).total_seconds()
            clock.wind(daemon, expected)
        (tmp_path / "away").rename(home.drop)
        clock.wind(daemon, 300)
        wait_for(lambda: patrol.health is Health.OK, "it is back")
        assert patrol._retry == FIRST_RETRY
