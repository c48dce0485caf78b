"""A sidecar never speaks of what does not lie beside it: it says pending, or it is put aside."""

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from identifai_watch.core import lifecycle
from identifai_watch.core.model import FileState, Label, Outcome
from identifai_watch.simulator import Script
from tests.harness import SUFFIX, House, house, wait_for
from tests.watching import content, line, lines, order, picture, quiet, says, scan, sha256

SCHEMA = json.loads(
    (Path(__file__).parent.parent / "identifai_watch/schema/sidecar.schema.json").read_text(encoding="utf-8")
)
VERDICTS = (says("old", Label.HUMAN), says("new", Label.ARTIFICIAL))


def beside(path: Path) -> dict[str, Any] | None:
    """Return the sidecar beside a path, which the schema describes; None if there is none."""
    try:
        found: dict[str, Any] = json.loads(path.with_name(path.name + SUFFIX).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    jsonschema.validate(found, SCHEMA)
    return found


def told(path: Path, outcome: Outcome, seconds: float = 30) -> dict[str, Any]:
    """Wait until the sidecar beside a path tells an outcome, and return it."""

    def look() -> dict[str, Any] | None:
        found = beside(path)
        return found if found is not None and found["outcome"] == outcome else None

    found = wait_for(look, f"the sidecar of {path.name} says {outcome}", seconds)
    assert found is not None
    return found


def aside(home: House) -> set[str]:
    """Return what was put aside, by its path below the place for that."""
    place = home.drop / ".identifai" / "orphans"
    return {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}


def charged(home: House) -> list[bytes]:
    """Return the hashes of what was paid for, in order."""
    return [submission.sha256 for submission in home.simulator.state.charged]


def test_a_judged_file_that_is_written_to_is_pending_before_it_has_settled(tmp_path: Path) -> None:
    """While somebody still writes, nobody reads the verdict of the content that was there before."""
    with house(tmp_path, Script(verdicts=VERDICTS)) as home, home.daemon():
        path = picture(home.drop / "a.png", "old")
        told(path, Outcome.HUMAN)
        with path.open("r+b") as writer:
            writer.write(content("new"))
            writer.flush()
            pending = told(path, Outcome.PENDING)
            assert [sha256("old")] == charged(home)
        judged = told(path, Outcome.ARTIFICIAL)
        assert [sha256("old"), sha256("new")] == charged(home)
    assert (None, None, None) == (pending["verdict"], pending["response"], pending["file"]["sha256"])
    previous = pending["previous"]
    assert ("human", sha256("old").hex()) == (previous["outcome"], previous["sha256"])
    assert "human" == previous["verdict"]["classification"]
    assert "previous" not in judged


def test_a_judged_file_that_is_replaced_is_pending_until_the_new_one_is_judged(tmp_path: Path) -> None:
    """Another file renamed over it is whole at once; its sidecar says pending while identifAI is at it."""
    with house(tmp_path, Script(verdicts=VERDICTS)) as home, home.daemon():
        path = picture(home.drop / "a.png", "old")
        told(path, Outcome.HUMAN)
        home.simulator.change(delay=3600)
        fresh = tmp_path / "fresh.png"
        fresh.write_bytes(content("new"))
        fresh.rename(path)
        wait_for(lambda: len(charged(home)) == 2, "the new content is sent")
        pending = told(path, Outcome.PENDING)
        wait_for(
            lambda: (beside(path) or {})["file"]["sha256"] == sha256("new").hex(), "it is about the new one"
        )
        pending = beside(path) or {}
        home.simulator.change(delay=0)
        told(path, Outcome.ARTIFICIAL)
    assert "human" == pending["previous"]["outcome"]
    assert pending["verdict"] is None


def test_a_decision_on_the_old_content_is_not_the_new_ones(tmp_path: Path) -> None:
    """What the desk said of the file that lay there before stands under ``previous`` and ends with it."""
    with house(tmp_path, Script(verdicts=VERDICTS)) as home, home.daemon() as daemon:
        path = picture(home.drop / "a.png", "old")
        told(path, Outcome.HUMAN)
        found = line(daemon, "a.png")
        assert found is not None
        order(daemon, "decide", files=[found.file.id], choice="artificial", reason="seen it made")
        told(path, Outcome.ARTIFICIAL)
        home.simulator.change(delay=3600)
        path.write_bytes(content("new"))
        pending = told(path, Outcome.PENDING)
        assert ("artificial", "seen it made") == (
            pending["previous"]["outcome"],
            pending["previous"]["decision"]["reason"],
        )
        home.simulator.change(delay=0, verdicts=[says("new", Label.HUMAN)])
        assert told(path, Outcome.HUMAN)["decision"] is None


def test_a_judged_file_that_was_only_touched_gets_its_verdict_back(tmp_path: Path) -> None:
    """Another time and the same bytes: it is read, not paid, and the verdict stands again."""
    with house(tmp_path, Script(verdicts=VERDICTS)) as home, home.daemon() as daemon:
        path = picture(home.drop / "a.png", "old")
        before = told(path, Outcome.HUMAN)
        os.utime(path, ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))
        scan(daemon)
        quiet(daemon)
        after = told(path, Outcome.HUMAN)
        assert [sha256("old")] == charged(home)
        assert 1 == len(lines(daemon))
    assert before["verdict"] == after["verdict"]
    assert before["file"]["modified_at"] != after["file"]["modified_at"]


def test_a_restart_in_between_forgets_nothing(tmp_path: Path) -> None:
    """A daemon that stops while a judged file is written to finds it again, and ends what the other began."""
    with house(tmp_path, Script(verdicts=VERDICTS)) as home:
        path = picture(home.drop / "a.png", "old")
        with home.daemon():
            told(path, Outcome.HUMAN)
            writer = path.open("r+b")
            writer.write(content("new"))
            writer.flush()
            told(path, Outcome.PENDING)
        writer.close()
        with home.daemon():
            told(path, Outcome.ARTIFICIAL)


@pytest.mark.parametrize("orphans", ["aside", "keep"])
def test_the_sidecar_of_a_file_that_is_gone_is_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orphans: str
) -> None:
    """A day after it was missed it lies in ``.identifai/orphans`` under its path, unless ``orphans`` says to keep it."""
    monkeypatch.setattr(lifecycle, "ORPHAN_AFTER", timedelta(0))
    script = Script(verdicts=VERDICTS)
    with house(tmp_path, script, folder={"orphans": orphans}) as home, home.daemon() as daemon:
        path = picture(home.drop / "a" / "a.png", "old")
        told(path, Outcome.HUMAN)
        path.unlink()
        scan(daemon)
        scan(daemon)
        gone = wait_for(lambda: line(daemon, "a/a.png"), "it is known")
        assert gone is not None
        assert FileState.GONE is gone.file.state
        if orphans == "keep":
            quiet(daemon)
            assert beside(path) is not None
            assert set() == aside(home)
        else:
            wait_for(lambda: aside(home) == {"a/a.png.identifai.json"}, "it is put aside")
            assert beside(path) is None
            picture(path, "old")
            told(path, Outcome.HUMAN)
        assert [sha256("old")] == charged(home)


def test_a_day_is_waited_before_a_sidecar_is_put_aside(tmp_path: Path) -> None:
    """A file that is missed for a while, as on a share that is tidied up, finds its sidecar where it was."""
    assert timedelta(hours=24) == lifecycle.ORPHAN_AFTER
    with house(tmp_path, Script(verdicts=VERDICTS)) as home, home.daemon() as daemon:
        path = picture(home.drop / "a.png", "old")
        told(path, Outcome.HUMAN)
        path.rename(tmp_path / "a.png")
        scan(daemon)
        scan(daemon)
        quiet(daemon)
        assert beside(path) is not None
        (tmp_path / "a.png").rename(path)
        scan(daemon)
        quiet(daemon)
        assert [sha256("old")] == charged(home)
        found = line(daemon, "a.png")
    assert found is not None
    assert FileState.DELIVERED is found.file.state
    assert set() == aside(home)


def test_a_file_that_is_moved_in_the_tree_takes_verdict_and_decision_along(tmp_path: Path) -> None:
    """Its sidecar is where it is now, what the desk decided goes with it, and nothing is left where it was."""
    with house(tmp_path, Script(verdicts=VERDICTS)) as home, home.daemon() as daemon:
        path = picture(home.drop / "a.png", "old")
        told(path, Outcome.HUMAN)
        found = line(daemon, "a.png")
        assert found is not None
        order(daemon, "decide", files=[found.file.id], choice="artificial", reason="seen it made")
        told(path, Outcome.ARTIFICIAL)
        target = home.drop / "b" / "b.png"
        target.parent.mkdir()
        path.rename(target)
        scan(daemon)
        scan(daemon)
        assert "seen it made" == told(target, Outcome.ARTIFICIAL)["decision"]["reason"]
        wait_for(lambda: aside(home) == {"a.png.identifai.json"}, "the old sidecar is put aside")
        assert beside(path) is None
        assert [sha256("old")] == charged(home)


def test_a_file_that_is_moved_while_it_is_awaited_gets_its_verdict_where_it_is(tmp_path: Path) -> None:
    """It is paid once, and the verdict finds it under its new name."""
    with house(tmp_path, Script(verdicts=VERDICTS, delay=3600)) as home, home.daemon() as daemon:
        path = picture(home.drop / "a.png", "old")
        wait_for(lambda: charged(home), "it is sent")
        target = home.drop / "b.png"
        path.rename(target)
        scan(daemon)
        home.simulator.change(delay=0)
        told(target, Outcome.HUMAN)
        scan(daemon)
        quiet(daemon)
        assert beside(path) is None
        assert [sha256("old")] == charged(home)


def test_a_file_that_becomes_no_media_leaves_no_verdict_beside_it(tmp_path: Path) -> None:
    """What lies there now is left alone; the sidecar of what was there before is put aside at once."""
    with house(tmp_path, Script(verdicts=VERDICTS)) as home, home.daemon():
        path = picture(home.drop / "a.png", "old")
        told(path, Outcome.HUMAN)
        path.write_text("a list of things to buy\n" * 50)
        wait_for(lambda: aside(home) == {"a.png.identifai.json"}, "it is put aside")
        assert beside(path) is None


def test_a_heatmap_of_the_old_content_is_put_aside(tmp_path: Path) -> None:
    """A picture of where the old content looks generated must not lie beside the new one."""
    wanted = {"options": {"with_heatmap": True}}
    with house(tmp_path, Script(verdicts=VERDICTS), folder=wanted) as home, home.daemon():
        path = picture(home.drop / "a.png", "old")
        heatmap = path.with_name("a.png.identifai.heatmap.png")
        wait_for(heatmap.exists, "its heatmap is there")
        home.simulator.change(delay=3600)
        path.write_bytes(content("new"))
        told(path, Outcome.PENDING)
        assert not heatmap.exists()
        assert {"a.png.identifai.heatmap.png"} == aside(home)
        home.simulator.change(delay=0)
        told(path, Outcome.ARTIFICIAL)
        wait_for(heatmap.exists, "the new one is there")


def test_a_sidecar_of_somebody_else_is_never_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of that name that is not ours stays where it is, whatever becomes of the file that it lies beside."""
    monkeypatch.setattr(lifecycle, "ORPHAN_AFTER", timedelta(0))
    with house(tmp_path, Script(verdicts=VERDICTS)) as home, home.daemon() as daemon:
        foreign = home.drop / f"a.png{SUFFIX}"
        foreign.write_text('{"somebody": "else"}')
        path = picture(home.drop / "a.png", "old")
        wait_for((home.drop / f"a.png.2{SUFFIX}").exists, "ours is numbered")
        path.unlink()
        scan(daemon)
        scan(daemon)
        wait_for(lambda: aside(home), "ours is put aside")
        assert {f"a.png.2{SUFFIX}"} == aside(home)
        assert '{"somebody": "else"}' == foreign.read_text()
