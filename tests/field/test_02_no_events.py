"""On NFS, SMB and FUSE there are no events, and nothing says so: the folder is watched, and no file ever comes.

Elsewhere people were told to switch polling on, once they had found out that their files had been lying there for
weeks. identifai-watch looks at what every part of a folder's tree is mounted on, scans where events do not work,
and says so in status and log; and as the scan goes over the whole tree in any case, what no event names is found all
the same, also on what was mounted into it later.
"""

from pathlib import Path

from tests.field.clock import Clock
from tests.field.namespace import namespace
from tests.field.seen import folder, said
from tests.field.share import share
from tests.harness import house, wait_for
from tests.watching import content, intake, lines, picture, sha256

SCANNED = {"settle_seconds": 0.1, "rescan_seconds": 0.2}


def test_without_events_the_scan_finds_what_is_new_changed_and_moved(tmp_path: Path) -> None:
    """With ``events = "off"`` nothing is watched, status says so, and each file is judged within a scan."""
    with house(tmp_path, folder=SCANNED | {"events": "off"}) as home, home.process():
        picture(tmp_path / "tree" / "deep" / "moved.png")
        (tmp_path / "tree").rename(home.drop / "tree")
        changing = picture(home.drop / "new.png", "first")
        assert sha256("first").hex() == home.sidecar(changing)["file"]["sha256"]
        home.sidecar(home.drop / "tree" / "deep" / "moved.png")
        picture(changing, "second")
        wait_for(
            lambda: home.sidecar(changing)["file"]["sha256"] == sha256("second").hex(), "it is judged anew"
        )
        seen = folder(home)
        assert ("ok", "scan", None) == (seen["health"], seen["mode"], seen["reason"])
        assert 3 == len(home.simulator.state.charged)


def test_a_share_is_scanned_and_that_is_said(tmp_path: Path) -> None:
    """Nobody has to know of it: ``events = "auto"`` sees what the folder lies on, and says it in status and log."""
    with house(tmp_path, folder=SCANNED) as home, share(home.drop), home.process():
        seen = wait_for(lambda: (found := folder(home))["last_scan_at"] and found, "it is scanned")
        assert ("scan", "no events on fuse.share") == (seen["mode"], seen["reason"])
        assert ["no events on fuse.share"] == [line["reason"] for line in said(home, "folder scanned only")]


def test_what_others_put_on_a_share_is_judged(tmp_path: Path) -> None:
    """It comes and changes on the server, and no event tells of it here; whether below the root or at it."""
    with house(tmp_path, folder=SCANNED | {"action": "record"}) as home, share(home.drop / "share") as server:
        server.put("first.png", content("first"))
        clock = Clock(speed=20)  # on a network a file settles for ten seconds
        with home.daemon(clock=clock) as daemon:

            def judged() -> set[bytes | None]:
                found = [line for line in lines(daemon) if line.analysis and line.analysis.verdict]
                return {line.file.sha256 for line in found}

            wait_for(lambda: judged() == {sha256("first")}, "what was there is judged")
            assert "no events on fuse.share" == intake(daemon).patrol.reason
            server.put("second.png", content("second"))
            server.put("first.png", content("first, changed"))
            picture(home.drop / "here.png", "here")
            everything = {sha256(mark) for mark in ("first", "second", "first, changed", "here")}
            wait_for(lambda: judged() == everything, "so is what came later, there and here")
        assert 4 == len(home.simulator.state.charged)


def test_what_is_mounted_into_the_tree_later_is_seen(tmp_path: Path) -> None:
    """The watch goes on to see what lies beneath: only the scan finds what is in the mount, and it does."""
    with namespace() as world, house(tmp_path, folder=SCANNED) as home:
        (home.drop / "card").mkdir()
        with home.process(through=world.through):
            home.sidecar(picture(home.drop / "card" / "before.png"))
            world.run("mount", "-t", "tmpfs", "card", home.drop / "card")
            card = world.path(home.drop / "card")
            home.sidecar(picture(card / "DCIM" / "first.png"))
            assert "events" == folder(home)["mode"]
            assert not (home.drop / "card" / "DCIM").exists(), "none of it is outside of that world"
        assert 2 == len(home.simulator.state.charged)
