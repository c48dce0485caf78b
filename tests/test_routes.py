"""Routes: a verdict goes where the folder's settings and the desk say, nothing is overwritten, nothing feeds itself."""

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from identifai_watch.core.model import FileState, Label, Outcome
from identifai_watch.daemon import Daemon
from identifai_watch.ledger import views
from identifai_watch.simulator import Endpoint, Script, Signature
from tests.harness import MEDIA, SUFFIX, House, house, wait_for
from tests.watching import content, folders, intake, line, lines, order, picture, quiet, says, scan, sha256

QUICK = {"settle_seconds": 0.1, "rescan_seconds": 600.0, "existing": "judge"}
MOVED = QUICK | {"action": "move"}

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
HUMANS = Script(verdicts=[says(name, Label.HUMAN, confidence=0.9) for name in "abcdefgh"])
"""Whatever is marked with one of these letters is human; other contents are as their hash decides."""


def tree(top: Path) -> set[str]:
    """Return every file below a directory, by its path there."""
    return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}


def with_sidecars(*names: str) -> set[str]:
    """Return the names with those of their sidecars."""
    return {*names, *(name + SUFFIX for name in names)}


def read(path: Path) -> dict[str, Any]:
    """Return the sidecar of a file that is there."""
    found: dict[str, Any] = json.loads(path.with_name(path.name + SUFFIX).read_text(encoding="utf-8"))
    return found


def number(daemon: Daemon, path: str, folder: str = "drop") -> int:
    """Return the number by which orders name the file that was noticed at, or lies at, a path."""
    found = line(daemon, path, folder)
    assert found is not None, path
    return found.file.id


# Actions and outcomes.


def test_every_action_with_every_outcome(tmp_path: Path) -> None:
    """Sidecar, move, copy and record put the four outcomes where they belong, and the same content is paid once."""
    script = Script(
        verdicts=[says("h", Label.HUMAN), says("a", Label.ARTIFICIAL), says("u", Label.HUMAN, unknown=True)]
    )
    marks = {"human": "h", "artificial": "a", "uncertain": "u"}
    with house(tmp_path, script) as home:
        actions = ("sidecar", "move", "copy", "record")
        home.more["folder"] = folders(
            home, **{one: {"action": one, "unsupported": "reject"} for one in actions}
        )
        for action in actions:
            for outcome, mark in marks.items():
                picture(tmp_path / action / "in" / f"{outcome}.png", mark)
            shutil.copyfile(MEDIA / "sample.heic", tmp_path / action / "in" / "rejected.heic")
        with home.daemon() as daemon:
            for action in actions:
                scan(daemon, action)
            quiet(daemon)
            found = {(each.file.folder, each.file.path, each.file.outcome) for each in lines(daemon)}
        names = {f"in/{outcome}.png" for outcome in marks} | {"in/rejected.heic"}
        routed = {f"{Path(name).stem}/{name}" for name in names}
        assert {
            (action, name.encode(), Outcome(Path(name).stem)) for action in actions for name in names
        } == found
        assert with_sidecars(*names) == tree(tmp_path / "sidecar")
        assert with_sidecars(*routed) == tree(tmp_path / "move")
        assert with_sidecars(*names, *routed) == tree(tmp_path / "copy")
        assert names == tree(tmp_path / "record")
        for name in names:
            beside = [read(tmp_path / "copy" / one) for one in (name, f"{Path(name).stem}/{name}")]
            assert beside[0] == beside[1]
            assert (name, Path(name).stem) == (beside[0]["file"]["path"], beside[0]["outcome"])
        assert content("h") == (tmp_path / "copy" / "human" / "in" / "human.png").read_bytes()
        assert 3 == len(home.simulator.state.charged) == home.simulator.state.arrived(Endpoint.UPLOAD)


def test_names_that_are_taken_are_numbered(tmp_path: Path) -> None:
    """Without the tree names meet: each file gets a name of its own, of whatever content, and keeps its companions."""
    with house(tmp_path, HUMANS, folder=MOVED | {"keep_tree": False}) as home:
        picture(home.drop / "human" / "x.png", "was here before")
        (home.drop / "human" / "x-2.xmp").write_text("somebody's")
        with home.daemon() as daemon:
            scan(daemon)
            for directory, mark in (("one", "a"), ("two", "b"), ("three", "a")):
                picture(home.drop / directory / "x.png", mark)
                (home.drop / directory / "x.xmp").write_text(f"of {directory}")
                (home.drop / directory / "x.png.xmp").write_text(f"also of {directory}")
                scan(daemon)
                quiet(daemon)
        place = home.drop / "human"
        assert content("was here before") == (place / "x.png").read_bytes()
        moved = {name: (place / name).read_bytes() for name in ("x-3.png", "x-4.png", "x-5.png")}
        assert {"x-3.png": content("a"), "x-4.png": content("b"), "x-5.png": content("a")} == moved
        told = [
            (place / f"x-{number}{ending}.xmp").read_text() for number in (3, 4, 5) for ending in ("", ".png")
        ]
        assert ["of one", "also of one", "of two", "also of two", "of three", "also of three"] == told
        assert ["one/x.png", "two/x.png", "three/x.png"] == [
            read(place / name)["file"]["path"] for name in sorted(moved)
        ]
        assert [False, False, True] == [read(place / name)["duplicate"] for name in sorted(moved)]
        assert "somebody's" == (place / "x-2.xmp").read_text()
        assert {"human"} == {path.parts[0] for path in map(Path, tree(home.drop))}
        assert 2 == len(home.simulator.state.charged)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory on another file system than the temporary one."""
    memory = Path("/dev") / "shm"
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip(f"{memory} is no other file system here")
    with tempfile.TemporaryDirectory(dir=memory) as made:
        yield Path(made)


def test_a_destination_on_another_file_system(tmp_path: Path, elsewhere: Path) -> None:
    """Across file systems a file is copied whole and then taken away; its time, mode and companions go along."""
    away = MOVED | {
        "human": str(elsewhere / "people"),
        "file_mode": "0640",
        "directory_mode": "0750",
    }
    with house(tmp_path, HUMANS, folder=away) as home, home.daemon() as daemon:
        scan(daemon)
        source = tmp_path / "a.png"
        picture(source, "a").chmod(0o604)
        os.utime(source, (1_000_000_000, 1_000_000_000))
        (home.drop / "deep").mkdir()
        (home.drop / "deep" / "a.xmp").write_text("its companion")
        source.rename(home.drop / "deep" / "a.png")
        place = elsewhere / "people" / "deep"
        wait_for((place / "a.xmp").exists, "it is delivered")
        quiet(daemon)
        assert with_sidecars("people/deep/a.png") | {"people/deep/a.xmp"} == tree(elsewhere)
        assert set() == tree(home.drop)
        status = (place / "a.png").stat()
        assert (1_000_000_000, 0o604) == (int(status.st_mtime), stat.S_IMODE(status.st_mode))
        assert 0o640 == stat.S_IMODE((place / f"a.png{SUFFIX}").stat().st_mode)
        assert 0o750 == stat.S_IMODE(place.stat().st_mode)
        assert content("a") == (place / "a.png").read_bytes()
        lies = bytes(place / "a.png")
        assert lies == line(daemon, "deep/a.png").file.lies_at
        assert {"rejudged": 1} == order(daemon, "rejudge", files=[number(daemon, "deep/a.png")])
        wait_for(
            lambda: read(place / "a.png")["analysis"]["identifier"] != first_identifier(home), "the new one"
        )
        quiet(daemon)
        assert lies == line(daemon, "deep/a.png").file.lies_at
        assert with_sidecars("people/deep/a.png") | {"people/deep/a.xmp"} == tree(elsewhere)


def first_identifier(home: House) -> str:
    """Return the identifier of the first analysis that was paid for."""
    return home.simulator.state.charged[0].identifier


def test_what_is_made_has_the_modes_that_were_asked_for(tmp_path: Path) -> None:
    """Sidecars and directories have the configured modes, whatever the umask, so that people can work with them."""
    before = os.umask(0o077)
    try:
        with house(tmp_path, HUMANS, folder=QUICK | {"action": "copy"}) as home, home.daemon() as daemon:
            scan(daemon)
            home.sidecar(picture(home.drop / "a.png", "a"))
            quiet(daemon)
            assert 0o664 == stat.S_IMODE((home.drop / f"a.png{SUFFIX}").stat().st_mode)
            assert 0o664 == stat.S_IMODE((home.drop / "human" / f"a.png{SUFFIX}").stat().st_mode)
            assert 0o2775 == stat.S_IMODE((home.drop / "human").stat().st_mode)
            assert home.drop.stat().st_gid == (home.drop / "human").stat().st_gid
    finally:
        os.umask(before)


@pytest.mark.parametrize("action", ["move", "copy"])
def test_a_folder_does_not_feed_on_its_own_destinations(tmp_path: Path, action: str) -> None:
    """What was delivered below the folder is never input again: not by an event, a scan, a restart or a look alike."""
    with house(tmp_path, HUMANS, folder=QUICK | {"action": action}) as home:
        with home.daemon() as daemon:
            scan(daemon)
            for mark in ("a", "b"):
                picture(home.drop / f"{mark}.png", mark)
            scan(daemon)
            quiet(daemon)
            picture(home.drop / "human" / "by-hand.png", "put there by hand")
            scan(daemon)
            quiet(daemon)
        before = tree(home.drop)
        uploads = home.simulator.state.count(Endpoint.UPLOAD)
        with home.daemon() as daemon:
            for _ in range(2):
                scan(daemon)
                quiet(daemon)
            found = {(each.file.path, each.file.state) for each in lines(daemon)}
        assert {(b"a.png", FileState.DELIVERED), (b"b.png", FileState.DELIVERED)} == found
        assert before == tree(home.drop)
        assert uploads == home.simulator.state.count(Endpoint.UPLOAD)
        assert 2 == len(home.simulator.state.charged)


def test_a_place_that_was_left_may_be_taken_by_another_file(tmp_path: Path) -> None:
    """A moved file's name is free again: another file there, of other or the same content, is a file of its own."""
    with house(tmp_path, HUMANS, folder=MOVED) as home, home.daemon() as daemon:
        scan(daemon)
        for mark in ("a", "b", "a"):
            picture(home.drop / "x.png", mark)
            wait_for(lambda: not (home.drop / "x.png").exists(), "it is moved")
            quiet(daemon)
        assert with_sidecars("human/x.png", "human/x-2.png", "human/x-3.png") == tree(home.drop)
        assert [content(mark) for mark in ("a", "b", "a")] == [
            (home.drop / "human" / name).read_bytes() for name in ("x.png", "x-2.png", "x-3.png")
        ]
        assert [b"human/x-3.png", b"human/x-2.png", b"human/x.png"] == [
            each.file.lies_at for each in lines(daemon)
        ]
        assert {FileState.DELIVERED} == {each.file.state for each in lines(daemon)}
        assert 2 == len(home.simulator.state.charged)


# The desk.


def decide(daemon: Daemon, path: str, choice: str, why: str = "seen by two of us") -> None:
    """Decide about a file, and wait until it is delivered accordingly."""
    files = [number(daemon, path)]
    assert {"decided": 1} == order(daemon, "decide", files=files, choice=choice, reason=why)
    quiet(daemon)


def test_a_decision_routes_the_file_and_leaves_the_verdict(tmp_path: Path) -> None:
    """The desk's word moves the file with all that goes along, again and again; the verdict stays as it was."""
    with house(tmp_path, HUMANS, folder=MOVED) as home, home.daemon() as daemon:
        scan(daemon)
        picture(home.drop / "in" / "a.png", "a")
        (home.drop / "in" / "a.xmp").write_text("its companion")
        scan(daemon)
        quiet(daemon)
        verdict = read(home.drop / "human" / "in" / "a.png")["verdict"]
        lies = "human/in/a.png"
        for choice, outcome in (
            ("artificial", "artificial"),
            ("inconclusive", "uncertain"),
            ("confirmed", "human"),
            ("artificial", "artificial"),
        ):
            decide(daemon, lies, choice)
            lies = f"{outcome}/in/a.png"
            assert with_sidecars(lies) | {f"{outcome}/in/a.xmp"} == tree(home.drop)
            sidecar = read(home.drop / lies)
            assert (outcome, verdict) == (sidecar["outcome"], sidecar["verdict"])
            assert (choice, "anna") == (sidecar["decision"]["choice"], sidecar["decision"]["by"])
            assert "in/a.png" == sidecar["file"]["path"]
        assert 1 == len(home.simulator.state.charged)


def test_a_decision_before_the_verdict_is_kept_for_it(tmp_path: Path) -> None:
    """A file may be decided while its verdict is awaited: it goes where the desk said once the verdict is there."""
    with house(tmp_path, HUMANS, folder=MOVED) as home, home.daemon() as daemon:
        home.simulator.change(delay=3600)
        picture(home.drop / "a.png", "a")
        wait_for(lambda: home.simulator.state.charged, "it is sent")
        files = [number(daemon, "a.png")]
        assert {"decided": 1} == order(
            daemon, "decide", files=files, choice="artificial", reason="a known fake"
        )
        home.simulator.change(delay=0)
        wait_for((home.drop / "artificial" / f"a.png{SUFFIX}").exists, "it is delivered")
        quiet(daemon)
        assert with_sidecars("artificial/a.png") == tree(home.drop)
        assert "human" == read(home.drop / "artificial" / "a.png")["verdict"]["classification"]


def test_a_decision_moves_a_copy_and_a_refusal_too(tmp_path: Path) -> None:
    """With ``copy`` the copy goes to its new place; a file that we refused may be decided like any other."""
    settings = QUICK | {"action": "copy", "unsupported": "reject"}
    with house(tmp_path, HUMANS, folder=settings) as home, home.daemon() as daemon:
        scan(daemon)
        picture(home.drop / "a.png", "a")
        shutil.copyfile(MEDIA / "sample.heic", home.drop / "b.heic")
        scan(daemon)
        quiet(daemon)
        assert with_sidecars("a.png", "human/a.png", "b.heic", "rejected/b.heic") == tree(home.drop)
        decide(daemon, "a.png", "artificial")
        decide(daemon, "b.heic", "human")
        assert with_sidecars("a.png", "artificial/a.png", "b.heic", "human/b.heic") == tree(home.drop)
        assert ["artificial", "artificial", "human"] == [
            read(home.drop / name)["outcome"] for name in ("a.png", "artificial/a.png", "human/b.heic")
        ]


def test_a_label_that_the_vendor_was_told_is_delivered(tmp_path: Path) -> None:
    """An override forces the label of the bytes, and so of every file that has them."""
    with house(tmp_path, HUMANS, folder=MOVED) as home, home.daemon() as daemon:
        scan(daemon)
        for name in ("one.png", "two.png"):
            picture(home.drop / name, "a")
        scan(daemon)
        quiet(daemon)
        files = [number(daemon, "one.png")]
        assert {"forced": "artificial"} == order(daemon, "overridden", files=files, label="artificial")
        quiet(daemon)
        assert with_sidecars("artificial/one.png", "artificial/two.png") == tree(home.drop)
        assert "artificial" == read(home.drop / "artificial" / "two.png")["verdict"]["forced"]


# Rules of the folder.


def test_thresholds_and_provenance_are_the_folders_own(tmp_path: Path) -> None:
    """``min_confidence`` and ``c2pa_generated`` rule one folder's outcomes; the verdict in the sidecar stays."""
    signed = Signature(digital_source_type=GENERATED)
    broken = Signature(digital_source_type=GENERATED, state="Invalid")
    verdicts = [
        says("weak", Label.HUMAN, confidence=0.7),
        says("strong", Label.HUMAN, confidence=0.95),
        says("fake", Label.ARTIFICIAL, confidence=0.7),
        says("signed", Label.HUMAN, confidence=0.99, signature=signed),
        says("broken", Label.HUMAN, confidence=0.99, signature=broken),
    ]
    with house(tmp_path, Script(verdicts=verdicts)) as home:
        home.more["folder"] = folders(
            home,
            strict={"min_confidence": {"human": 0.9, "artificial": 0.5}, "c2pa_generated": "uncertain"},
            trusting={"c2pa_generated": "ignore"},
            usual={},
        )
        for folder in ("strict", "trusting", "usual"):
            for mark in ("weak", "strong", "fake", "signed", "broken"):
                picture(tmp_path / folder / f"{mark}.png", mark)
        with home.daemon() as daemon:
            for folder in ("strict", "trusting", "usual"):
                scan(daemon, folder)
            quiet(daemon)
        outcomes = {
            folder: {
                mark: read(tmp_path / folder / f"{mark}.png")["outcome"]
                for mark in ("weak", "fake", "signed")
            }
            for folder in ("strict", "trusting", "usual")
        }
        assert {
            "strict": {"weak": "uncertain", "fake": "artificial", "signed": "uncertain"},
            "trusting": {"weak": "human", "fake": "artificial", "signed": "human"},
            "usual": {"weak": "human", "fake": "artificial", "signed": "artificial"},
        } == outcomes
        assert {"human"} == {
            read(tmp_path / folder / f"{mark}.png")["outcome"]
            for folder in ("strict", "trusting", "usual")
            for mark in ("strong", "broken")
        }
        sidecar = read(tmp_path / "usual" / "signed.png")
        assert "human" == sidecar["verdict"]["classification"]
        assert GENERATED == sidecar["verdict"]["c2pa"]["digital_source_type"]
        assert "a valid C2PA manifest declares generated media (trainedAlgorithmicMedia)" == sidecar["reason"]
        assert "human with a confidence of 0.7, below 0.9" == read(tmp_path / "strict" / "weak.png")["reason"]
        assert 5 == len(home.simulator.state.charged)


# Once more.


def test_a_rejudged_file_is_paid_again_and_both_verdicts_are_kept(tmp_path: Path) -> None:
    """``rejudge`` sends the bytes with ``no_cache``, delivers the new verdict to every copy and forgets nothing."""
    with house(tmp_path, HUMANS, folder=MOVED) as home, home.daemon() as daemon:
        scan(daemon)
        for name in ("one.png", "two.png"):
            picture(home.drop / name, "a")
        scan(daemon)
        quiet(daemon)
        assert with_sidecars("human/one.png", "human/two.png") == tree(home.drop)
        first = read(home.drop / "human" / "one.png")
        home.simulator.change(verdicts=[says("a", Label.ARTIFICIAL)])
        assert {"rejudged": 1} == order(daemon, "rejudge", files=[number(daemon, "one.png")])
        wait_for(
            lambda: tree(home.drop) == with_sidecars("artificial/one.png", "artificial/two.png"),
            "the new one",
        )
        quiet(daemon)
        sent = home.simulator.state.charged
        assert [False, True] == [one.no_cache for one in sent]
        assert {sha256("a")} == {one.sha256 for one in sent}
        again = read(home.drop / "artificial" / "one.png")
        assert [one.identifier for one in sent] == [one["analysis"]["identifier"] for one in (first, again)]
        with daemon.shift.ledger.read() as tx:
            editions = views.editions_of(tx, line(daemon, "one.png").analysis)
        assert [Label.ARTIFICIAL, Label.HUMAN] == [one.verdict.classification for one in editions]
        later = picture(home.drop / "three.png", "a")
        wait_for(lambda: not later.exists(), "a later copy is delivered")
        quiet(daemon)
        assert "artificial" == read(home.drop / "artificial" / "three.png")["outcome"]
        assert 2 == len(home.simulator.state.charged)
        assert 0 == intake(daemon).settling


def test_a_moved_file_whose_mode_was_changed_is_rejudged(tmp_path: Path) -> None:
    """No scan looks at a moved file, so that nothing but its content tells whether it is what was judged."""
    with house(tmp_path, HUMANS, folder=QUICK | {"action": "move"}) as home, home.daemon() as daemon:
        scan(daemon)
        picture(home.drop / "a.png", "a")
        moved = home.drop / "human" / "a.png"
        wait_for(moved.exists, "it is moved")
        quiet(daemon)
        moved.chmod(0o600)
        assert {"rejudged": 1} == order(daemon, "rejudge", files=[number(daemon, "a.png")])
        wait_for(lambda: read(moved)["analysis"]["identifier"] != first_identifier(home), "the new one")
        assert 2 == len(home.simulator.state.charged)


def test_a_moved_file_that_was_written_to_keeps_no_other_from_being_rejudged(tmp_path: Path) -> None:
    """It is sent from another file of the same content; what was written over is gone, and stays as it is."""
    with house(tmp_path, HUMANS, folder=QUICK | {"action": "move"}) as home, home.daemon() as daemon:
        scan(daemon)
        for name in ("a.png", "b.png", "c.png"):
            picture(home.drop / name, "same")
            wait_for((home.drop / "human" / name).exists, "it is moved")
        quiet(daemon)
        picture(home.drop / "human" / "a.png", "some")
        picture(home.drop / "human" / "b.png", "same and more")
        assert {"rejudged": 1} == order(daemon, "rejudge", files=[number(daemon, "c.png")])
        moved = home.drop / "human" / "c.png"
        wait_for(lambda: read(moved)["analysis"]["identifier"] != first_identifier(home), "the new one", 60)
        quiet(daemon)
        for name in ("a.png", "b.png"):
            wait_for(
                lambda name=name: FileState.GONE is line(daemon, name).file.state, f"{name} is given up", 60
            )
        assert content("some") == (home.drop / "human" / "a.png").read_bytes()
        assert 2 == len(home.simulator.state.charged)
