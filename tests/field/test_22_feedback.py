"""Row 22: what the tool writes is taken for something new to work on.

As met elsewhere: reports, previews and sorted files lie in the watched tree, are noticed, worked on, and written
again, each time one level deeper or with one more suffix, until the disk or the account is empty.

Here our own sidecars, heatmaps and hidden files are never candidates, by their names; neither is a destination
below the folder, by its place. A configuration in which one folder's results are another's input is refused in words
before anything starts. Where only the disk shows it, because a link leads from the destination into the folder, the
delivery is refused in words, and the file stays where it is.
"""

import json
from pathlib import Path

import pytest

from identifai_watch.core.model import Label
from identifai_watch.errors import Exit
from identifai_watch.simulator import Script, Scripted
from tests.console import at
from tests.harness import House, house, wait_for
from tests.watching import content, folders, picture

QUICK = {"settle_seconds": 0.2, "rescan_seconds": 0.3}
HUMANS = Script(verdicts=(Scripted(classification=Label.HUMAN, unknown=False),))
OUTCOMES = ("human", "artificial", "uncertain", "rejected")


def files(home: House) -> set[str]:
    """Return every file below the drop folder."""
    return {str(path.relative_to(home.drop)) for path in home.drop.rglob("*") if path.is_file()}


def results(name: str) -> set[str]:
    """Return what a copied picture leaves below the drop folder, itself included."""
    beside = {f"{name}.identifai.json", f"{name}.identifai.heatmap.png"}
    return {name} | beside | {f"human/{each}" for each in beside | {name}}


def taken(home: House) -> set[str]:
    """Return the names that the process has hashed."""
    return {line["path"] for line in home.logged() if line["event"] == "admitted"}


def test_our_own_results_are_never_candidates(tmp_path: Path) -> None:
    """Copies, sidecars and heatmaps, which are pictures, lie in the tree; neither events, scans nor a start take them."""
    settings = QUICK | {"action": "copy", "options": {"with_heatmap": True}}
    before, after = ("a.png", "b.png", "c.png"), ("d.png", "e.png")
    with house(tmp_path, HUMANS, folder=settings) as home:
        for names in (before, after):
            with home.process():
                for name in names:
                    picture(home.drop / name)
                    wait_for(lambda name=name: files(home) >= results(name), f"{name} is delivered")  # type: ignore[misc]
            picture(home.drop / ".identifai-0123456789abcdef", "a copy that a crash left half done")
        names = (*before, *after)
        expected = {file for name in names for file in results(name)}
        assert expected | {".identifai-0123456789abcdef"} == files(home)
        assert set(names) == taken(home)
        assert len(names) == len(home.simulator.state.charged) == home.simulator.state.arrived("upload")
        for name, rule in {
            "a.png.identifai.json": "written by identifai-watch itself",
            "a.png.identifai.heatmap.png": "written by identifai-watch itself",
            ".identifai-0123456789abcdef": "written by identifai-watch itself",
            "human/a.png": "this folder's own destination: human",
        }.items():
            assert rule == json.loads(at(home, "explain", home.drop / name, "--json").out)["rule"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"human": "."}, "one.human:#is the folder itself or lies above it; its results would be its input"),
        ({"human": ".."}, "one.human:#is the folder itself or lies above it; its results would be its input"),
        (
            {"human": "{home}/two/done"},
            "one.human:#lies inside folder.two#which would judge the results again; name a place outside",
        ),
        ({"human": "{home}/two"}, "one.human:#lies inside folder.two#which would judge the results again"),
    ],
)
def test_a_configuration_that_feeds_itself_is_refused(
    tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    """The daemon does not begin: it says which setting of which folder, what would happen, and what to write."""
    with house(tmp_path) as home:
        fed = {key: value.format(home=tmp_path) for key, value in settings.items()}
        home.more = {"folder": folders(home, one={"action": "move"} | fed, two={})}
        ended = at(home, "run")
        assert Exit.CONFIG == ended.status
        words = " ".join(ended.err.split())
        assert all(part in words for part in said.split("#")), words
        assert not home.simulator.state.count()


def test_a_destination_that_a_link_leads_back_into_the_folder_is_refused(tmp_path: Path) -> None:
    """No name tells it, the disk does: nothing is moved, nothing is judged twice, and the log says what to write."""
    link = tmp_path / "out"
    places = {outcome: str(link / outcome) for outcome in OUTCOMES}
    with house(tmp_path, HUMANS, folder=QUICK | {"action": "move"} | places) as home:
        (home.drop / "sub").mkdir()
        link.symlink_to(home.drop / "sub")
        with home.process():
            picture(home.drop / "x.png")
            told = wait_for(
                lambda: [line["reason"] for line in home.logged() if line["event"] == "not delivered"],
                "it is not delivered",
            )
            for name in ("y.png", "z.png"):
                picture(home.drop / name)
                wait_for(lambda name=name: name in taken(home), f"{name} is taken")  # type: ignore[misc] - at once
        assert f"{link}/human/x.png lies in the folder {home.drop} itself by another name" in told[0]
        assert "write the destination relative to the folder, or name a place outside of it" in told[0]
        assert {"x.png", "y.png", "z.png"} == files(home) == taken(home)
        assert content("x.png") == (home.drop / "x.png").read_bytes()
