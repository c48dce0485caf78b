"""Processing fails, and the original is deleted all the same.

Elsewhere a consumed file was removed although nothing had been stored of it, or a move to a full or read-only disk ended in a half
file here and none there. Here nothing is ever deleted. A file is moved only after its verdict is committed and its
sidecar lies at the destination, and what cannot be moved stays where it is, byte for byte, until it can.
"""

from pathlib import Path

from identifai_watch.core.model import Label
from identifai_watch.simulator import Endpoint, Fault, FaultKind, Script, Scripted
from tests.field.namespace import namespace
from tests.field.seen import said
from tests.harness import SUFFIX, house, wait_for
from tests.watching import content, says, sha256

QUICK = {"settle_seconds": 0.1, "rescan_seconds": 0.5, "action": "move"}


def media(*places: Path) -> dict[str, bytes]:
    """Return every file that is no sidecar, hidden ones too, by its name."""
    found = [path for place in places for path in place.rglob("*") if path.is_file()]
    return {path.name: path.read_bytes() for path in found if not path.name.endswith(SUFFIX)}


def test_what_is_refused_or_fails_is_still_there(tmp_path: Path) -> None:
    """One is refused by identifAI, on another it fails, and we refuse a third: each lies whole beside its sidecar."""
    no = Fault(kind=FaultKind.STATUS, match=Endpoint.UPLOAD, status=400, body={"image": ["It is broken."]})
    errs = Scripted(sha256=sha256("errored").hex(), errors="It cannot be analysed.")
    with house(tmp_path, Script(verdicts=(errs,)), folder=QUICK) as home:
        home.more["limits"] = {"image": 5_000}
        originals = {
            "refused.png": content("refused"),
            "errored.png": content("errored"),
            "large.png": content("large" * 1000),
        }
        home.simulator.change(faults=(no,))
        with home.process():
            for name, whole in originals.items():
                (home.drop / name).write_bytes(whole)
                assert "rejected" == home.sidecar(home.drop / "rejected" / name)["outcome"]
        assert originals == media(home.drop)
        assert originals == media(home.drop / "rejected")


def test_what_cannot_be_moved_stays_as_it_is_until_it_can(tmp_path: Path) -> None:
    """One destination is read-only, one is full, one is another's file: nothing is lost, cut short or left over."""
    human, artificial, uncertain = (tmp_path / name for name in ("human", "artificial", "uncertain"))
    verdicts = (
        says("to the read-only disk", Label.HUMAN),
        says("to the full disk" + "." * 400_000, Label.ARTIFICIAL),
        says("nowhere", Label.HUMAN, unknown=True),
    )
    places = {"human": str(human), "artificial": str(artificial), "uncertain": str(uncertain)}
    with namespace() as world, house(tmp_path, Script(verdicts=verdicts), folder=QUICK | places) as home:
        for place in (human, artificial):
            place.mkdir()
        uncertain.write_text("somebody's file, where a directory should be")
        world.run("mount", "-t", "tmpfs", "-o", "ro", "disk", human)
        world.run("mount", "-t", "tmpfs", "-o", "size=64k", "disk", artificial)
        originals = {
            "a.png": content("to the read-only disk"),
            "b.png": content("to the full disk" + "." * 400_000),
            "c.png": content("nowhere"),
        }
        with home.process(through=world.through):
            for name, whole in originals.items():
                (home.drop / name).write_bytes(whole)
            wait_for(
                lambda: {line["path"] for line in said(home, "not delivered")} == set(originals), "all failed"
            )
            reasons = {line["path"]: line["reason"] for line in said(home, "not delivered")}
            assert "Read-only file system" in reasons["a.png"]
            assert "No space left" in reasons["b.png"]
            assert originals == media(home.drop)
            assert {} == media(world.path(human), world.path(artificial))

            world.run("mount", "-o", "remount,rw", human)
            world.run("mount", "-o", "remount,size=10m", artificial)
            uncertain.rename(tmp_path / "moved by its owner")
            for name, place in {
                "a.png": world.path(human),
                "b.png": world.path(artificial),
                "c.png": uncertain,
            }.items():
                home.sidecar(place / name, 60)
                wait_for(lambda name=name: not (home.drop / name).exists(), f"{name} has come over", 60)  # type: ignore[misc] - bound at once
                assert originals[name] == (place / name).read_bytes()
        assert {} == media(home.drop)
        assert 3 == len(home.simulator.state.charged)
