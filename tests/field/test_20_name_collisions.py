"""Row 20: a file goes where another of its name lies already.

As met elsewhere: cameras count from 0001 again and again, and a sorter that moves what it judged lays one picture
over the other, or stops for ever at the second; what belongs to a picture is left behind, or goes to the wrong one.

Here nothing is ever overwritten: the second file gets ``-2`` before its extension, and its sidecar, its XMP files and
its heatmap are named after it. The same content is paid once, however many files hold it, and each keeps its file
and gets its sidecar. Only a copy of ours that is made again, of the same file, stays the one copy that it is.
"""

import json
from pathlib import Path
from typing import Any

from identifai_watch.core.model import Label
from identifai_watch.simulator import Script, Scripted
from tests.harness import SUFFIX, House, house, wait_for
from tests.watching import content, picture, sha256

QUICK = {"settle_seconds": 0.2, "rescan_seconds": 0.5, "keep_tree": False}
HUMANS = Script(verdicts=(Scripted(classification=Label.HUMAN, unknown=False),))
CAMERAS = {"a": "one", "b": "two", "c": "one"}
"""Directories with a file of the same name each, by the mark of its content: a and c hold the same."""


def drop(home: House) -> None:
    """Drop the same name from three cameras, with an XMP of each."""
    for camera, mark in CAMERAS.items():
        (home.drop / camera).mkdir()
        (home.drop / camera / "1.xmp").write_text(f"of {camera}")
        picture(home.drop / camera / "1.png", mark)


def read(path: Path) -> dict[str, Any]:
    """Return the sidecar of a file."""
    document: dict[str, Any] = json.loads(path.with_name(path.name + SUFFIX).read_text())
    return document


def test_each_file_keeps_its_bytes_its_name_and_its_companions(tmp_path: Path) -> None:
    """Three of one name meet a fourth: four pictures lie there, each with what is its own; two contents are paid."""
    with house(tmp_path, HUMANS, folder=QUICK | {"action": "move"}) as home:
        human = home.drop / "human"
        picture(human / "1.png", "somebody's own")
        (human / "1.xmp").write_text("somebody's own")
        with home.process():
            drop(home)
            wait_for(lambda: len(list(human.glob("*.xmp"))) == 4, "all are delivered", 60)
        found = {path.name: path for path in human.glob("*.png")}
        assert {"1.png", "1-2.png", "1-3.png", "1-4.png"} == set(found)
        assert content("somebody's own") == found.pop("1.png").read_bytes()
        assert "somebody's own" == (human / "1.xmp").read_text()
        whose: dict[str, Path] = {}
        for path in found.values():
            sidecar = read(path)
            camera = Path(sidecar["file"]["path"]).parent.name
            whose[camera] = path
            assert content(CAMERAS[camera]) == path.read_bytes()
            assert sha256(CAMERAS[camera]).hex() == sidecar["file"]["sha256"] == sidecar["response"]["hash"]
            assert f"of {camera}" == path.with_suffix(".xmp").read_text()
        assert set(CAMERAS) == set(whose)
        assert not any((home.drop / camera / "1.png").exists() for camera in CAMERAS)
        charged = [submission.sha256 for submission in home.simulator.state.charged]
        assert sorted([sha256("one"), sha256("two")]) == sorted(charged)


def test_a_copy_that_is_delivered_again_stays_the_one_it_is(tmp_path: Path) -> None:
    """The desk decides and takes it back: the same copy goes there and back, and no second one is left."""
    with house(tmp_path, HUMANS, folder=QUICK | {"action": "copy"}) as home, home.process():
        path = picture(home.drop / "a" / "1.png", "one")
        there, back = (home.drop / place / "1.png" for place in ("artificial", "human"))
        wait_for(back.with_name(back.name + SUFFIX).exists, "it is copied")
        for choice, place in (("artificial", there), ("human", back)):
            ended = home.command("decide", str(path), choice, "--reason", "seen")
            assert 0 == ended.returncode, ended.stderr
            wait_for(lambda place=place: is_at(place), f"it lies in {place.parent.name}")  # type: ignore[misc] - at once
            wait_for(lambda place=place: copies(home) == [place], "it is the only one")  # type: ignore[misc] - at once
        assert content("one") == back.read_bytes() == path.read_bytes()
        assert 1 == len(home.simulator.state.charged)


def copies(home: House) -> list[Path]:
    """Return every copy that lies in a destination."""
    return [*home.drop.glob("human/*.png"), *home.drop.glob("artificial/*.png")]


def is_at(place: Path) -> bool:
    """Tell whether a file was decided about and lies there with its sidecar."""
    beside = place.with_name(place.name + SUFFIX)
    return place.exists() and beside.exists() and json.loads(beside.read_text())["decision"] is not None
