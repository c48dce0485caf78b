"""A directory is copied or moved in, and what is in it is missed.

Elsewhere one event told of the directory and none of what it held, or its files were written before anybody watched it: a card
or a whole day's folder was dropped, and a part of it was never taken. Here a directory that appears has its tree
scanned, however it came and however deep it is.
"""

import os
import shutil
import subprocess
from pathlib import Path

from identifai_watch.core.model import FileState
from identifai_watch.folder.watch import Notice, NoticeKind
from identifai_watch.simulator import Endpoint
from tests.harness import house, wait_for
from tests.watching import in_loop, intake, picture, scan, sha256

BY_EVENTS = {"settle_seconds": 0.1, "rescan_seconds": 600.0}
"""No scan of the whole but the first one comes in time."""

DEEP = Path(*(f"level {number}" for number in range(12)))
CARD = [Path("top.png"), Path("DCIM/100/one.png"), Path("DCIM/101/two.png"), DEEP / "deepest.png"]


def test_whatever_way_a_tree_comes_all_of_it_is_judged(tmp_path: Path) -> None:
    """Moved, copied by two programs, unpacked, and built up from within: every file of each, and once."""
    ways = ("moved", "copied", "copied by cp", "unpacked", "linked")
    trees = {way: {path: picture(tmp_path / way / path, f"{way} {path}") for path in CARD} for way in ways}
    subprocess.run(["tar", "-cf", "tree.tar", "unpacked"], cwd=tmp_path, check=True)
    with house(tmp_path, folder=BY_EVENTS) as home, home.process():
        home.sidecar(picture(home.drop / "first.png"))  # whatever comes now is not found by the first scan
        (tmp_path / "moved").rename(home.drop / "moved")
        shutil.copytree(tmp_path / "copied", home.drop / "copied")
        subprocess.run(["cp", "-a", tmp_path / "copied by cp", home.drop], check=True)
        subprocess.run(["tar", "-xf", "../tree.tar"], cwd=home.drop, check=True)
        for path, source in trees["linked"].items():
            (home.drop / "linked" / path).parent.mkdir(parents=True, exist_ok=True)
            (home.drop / "linked" / path).hardlink_to(source)
        expected = {f"{way}/{path}": sha256(f"{way} {path}").hex() for way in ways for path in CARD}
        for name, hashed in expected.items():
            assert hashed == home.sidecar(home.drop / name)["file"]["sha256"]
        assert 1 + len(expected) == len(home.simulator.state.charged)


def test_one_event_for_the_directory_is_enough(tmp_path: Path) -> None:
    """Not even the library that tells of events need name a file: the directory alone has all below it looked at."""
    quick = {"settle_seconds": 0.1, "rescan_seconds": 600.0, "events": "off"}
    with house(tmp_path, folder=quick) as home, home.daemon() as daemon:
        scan(daemon)
        trees = [picture(home.drop / "card" / path, str(path)) for path in CARD]
        picture(home.drop / "elsewhere" / "not named.png")
        told = Notice(path=b"card", kind=NoticeKind.DIRECTORY)
        in_loop(daemon, lambda tx: intake(daemon)._heard(tx, told))
        for path in trees:
            home.sidecar(path)
        assert len(CARD) == len(home.simulator.state.charged)


def test_a_directory_that_is_renamed_within_costs_nothing(tmp_path: Path) -> None:
    """What was judged is judged there too, by its old verdict; and what is put there later is seen."""
    with house(tmp_path, folder=BY_EVENTS) as home, home.process():
        home.sidecar(picture(home.drop / "inbox" / DEEP / "a.png", "one"))
        os.rename(home.drop / "inbox", home.drop / "done")  # noqa: PTH104 - pathlib's own would say the same
        picture(home.drop / "done" / DEEP / "b.png", "two")
        later = home.sidecar(home.drop / "done" / DEEP / "b.png")
        assert sha256("two").hex() == later["file"]["sha256"]

        def there() -> bool:
            paths = {line.file.path: line.file.state for line in home.lines()}
            return paths.get(os.fsencode("done" / DEEP / "a.png")) is FileState.DELIVERED

        wait_for(there, "it is known where it lies now")
        assert 2 == len(home.simulator.state.charged) == home.simulator.state.arrived(Endpoint.UPLOAD)
