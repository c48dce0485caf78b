"""A ledger that was lost, made anew from sidecars that anybody may have written: nothing is believed, nothing paid twice."""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identifai_watch import config
from identifai_watch.config import Options
from identifai_watch.core import salvage
from identifai_watch.core.model import AnalysisState, FileState, Label, Media
from identifai_watch.folder import sidecars
from identifai_watch.ledger import Ledger, views
from identifai_watch.ledger.views import Line
from identifai_watch.simulator import Endpoint, Script, Scripted
from tests.console import at
from tests.harness import SUFFIX, House, house, wait_for
from tests.watching import account, content, lines, order, picture, quiet, says, sha256

CANONICAL = Options().canonical(Media.IMAGE)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """Give a house whose simulator answers at once."""
    with house(tmp_path) as one:
        yield one


def lose(home: House) -> None:
    """Lose the ledger, with all that lies beside it."""
    shutil.rmtree(home.home / "state")


def rebuilt(home: House, *words: str, expected: int = 0) -> dict[str, Any]:
    """Rebuild the ledger, and return what the command says of it."""
    ended = at(home, "ledger", "rebuild", "--json", *words)
    assert expected == ended.status, ended.err
    found: dict[str, Any] = json.loads(ended.out)
    return found


def numbers(found: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return how many sidecars there were, and how many contents were taken, known and refused."""
    return found["sidecars"], found["taken"], found["known"], sum(found["refused"].values())


def forge(path: Path, of: bytes, identifier: str, **changes: Any) -> Path:
    """Write a sidecar as a stranger would: for a content, with an identifier of his choice."""
    document: dict[str, Any] = {
        "schema_version": 1,
        "outcome": "human",
        "reason": None,
        "file": {"name": path.name, "path": path.name, "size": 1, "sha256": of.hex(), "media": "image"},
        "verdict": {"classification": "human", "confidence": 1.0},
        "decision": {"choice": "human", "reason": "trust me", "by": "root", "at": "2026-01-01T00:00:00Z"},
        "analysis": {"identifier": identifier, "sent": {"options": json.loads(CANONICAL)}},
        "tool": {"name": "identifai-watch", "version": "1"},
    }
    beside = path.with_name(path.name + SUFFIX)
    beside.parent.mkdir(parents=True, exist_ok=True)
    beside.write_text(json.dumps(document | changes), encoding="utf-8")
    return beside


def uploads(home: House) -> int:
    """Return how many uploads came to the API."""
    return home.simulator.state.count(Endpoint.UPLOAD)


def settled(home: House) -> list[Line]:
    """Run until all is delivered, and return what the ledger knows then."""
    with home.daemon() as daemon:
        wait_for(lambda: len(lines(daemon)) >= len(list(home.drop.rglob("*.png"))), "all is found")
        quiet(daemon)
        return lines(daemon)


# After a loss.


@pytest.mark.parametrize("action", ["sidecar", "copy"])
def test_what_was_judged_is_not_sent_again_after_a_loss(
    home: House, action: str, record_property: Callable[[str, object], None]
) -> None:
    """The daemon asks for the verdicts, finds the files again, and rewrites their sidecars in place."""
    home.folder = {"action": action}
    paths = [picture(home.drop / f"{number}.png") for number in range(3)]
    picture(home.drop / "sub" / "copy.png", "0.png")
    settled(home)
    before = home.sidecars()
    assert 3 == len(home.simulator.state.charged)
    lose(home)
    home.folder = {"action": action, "existing": "hold", "existing_hold_above": 0}
    found = rebuilt(home)
    assert (3, 0) == (found["taken"], sum(found["refused"].values()))
    assert len(before) == found["sidecars"]
    with home.daemon() as daemon:
        wait_for(lambda: len(lines(daemon)) == 4, "the scan finds all again")
        assert all(line.file.held for line in lines(daemon))
        wait_for(lambda: judged(daemon.shift.ledger) == 3, "the verdicts are asked for")
        order(daemon, "release", node="here")
        quiet(daemon)
        assert {FileState.DELIVERED} == {line.file.state for line in lines(daemon)}
    assert (3, 3) == (len(home.simulator.state.charged), uploads(home))
    for name, number in (("contents", len(paths)), ("uploads", uploads(home))):
        record_property(name, number)
    after = home.sidecars()
    assert set(before) == set(after)
    for name, sidecar in before.items():
        for key in ("outcome", "verdict", "response", "decision"):
            assert sidecar[key] == after[name][key]
        assert sidecar["analysis"]["identifier"] == after[name]["analysis"]["identifier"]
    assert 1 == sum(line.file.duplicate for line in home.lines())
    assert len(paths) == 3


def judged(ledger: Ledger) -> int:
    """Count the contents that have a verdict."""
    with ledger.read() as tx:
        return views.counts(tx).analyses[AnalysisState.JUDGED]


def test_what_was_moved_away_is_found_at_its_destinations(home: House) -> None:
    """Below the folder and outside of it: a copy that comes later costs nothing."""
    abroad = home.home / "abroad"
    home.folder = {"action": "move", "human": str(abroad), "artificial": "made", "uncertain": "made"}
    home.simulator.change(verdicts=(says("a", Label.HUMAN, confidence=1), says("b", Label.ARTIFICIAL)))
    picture(home.drop / "a.png", "a")
    picture(home.drop / "b.png", "b")
    settled(home)
    assert (abroad / f"a.png{SUFFIX}").exists()
    assert (home.drop / "made" / f"b.png{SUFFIX}").exists()
    lose(home)
    assert (2, 2, 0, 0) == numbers(rebuilt(home))
    picture(home.drop / "later.png", "a")
    settled(home)
    assert (2, 2) == (len(home.simulator.state.charged), uploads(home))
    assert (abroad / "later.png").exists()


def test_a_second_rebuild_and_a_rehearsal_change_nothing(home: House) -> None:
    """--dry-run says what would be taken; what is known already is left as it is, whatever a sidecar says."""
    picture(home.drop / "a.png", "a")
    settled(home)
    assert (1, 0, 1, 0) == numbers(rebuilt(home))
    forge(home.drop / "other.png", sha256("a"), "made-up")
    assert (2, 0, 2, 0) == numbers(rebuilt(home))
    lose(home)
    (home.drop / f"other.png{SUFFIX}").unlink()
    rehearsed = rebuilt(home, "--dry-run")
    assert (1, 1, 0, 0) == numbers(rehearsed)
    assert {} == analyses(home)
    assert rehearsed == rebuilt(home)
    before = analyses(home)
    assert (1, 0, 1, 0) == numbers(rebuilt(home))
    assert before == analyses(home)
    shown = home.command("history").stdout
    assert "rebuilt" in shown
    assert f"source: {home.drop}/a.png{SUFFIX}" in shown


def analyses(home: House) -> dict[str, str]:
    """Return the identifier of each content that the ledger knows, by its hash."""
    with Ledger(home.ledger_url, node="here") as ledger, ledger.read() as tx:
        found = tx.exec_driver_sql("SELECT hex(sha256), identifier FROM analyses").all()
    return {sha.lower(): identifier for sha, identifier in found}


def test_a_running_daemon_keeps_its_ledger_to_itself(home: House) -> None:
    """While one runs it is for later; a folder that is not configured is named with those that are."""
    with home.daemon():
        ended = at(home, "ledger", "rebuild")
        assert (75, True) == (ended.status, "a daemon runs on this ledger" in ended.err)
    ended = at(home, "ledger", "rebuild", "--folder", "dorp")
    assert (1, True) == (ended.status, "there is no folder dorp; configured are drop" in ended.err)


def test_people_are_told_what_to_do_next(home: House) -> None:
    """In words: how much there was of what, each sidecar of no use with its reason, and the next commands."""
    forge(home.drop / "a.png", sha256("a"), "id-1")
    (home.drop / f"b.png{SUFFIX}").write_text("{}")
    forge(home.drop / "c.png", sha256("c"), "", analysis=None)
    ended = at(home, "ledger", "rebuild", "--folder", "drop")
    assert 0 == ended.status
    assert (
        "3 sidecars: 1 contents taken, 0 known already, 1 of files that were never sent, 1 of no use."
        in ended.out
    )
    assert "identifai-watch backlog release" in ended.out
    assert f"{home.drop}/b.png{SUFFIX}: it is not ours" in ended.err


# What strangers write.


def test_somebody_else_s_identifier_is_found_out_and_the_file_is_judged(home: House) -> None:
    """The verdict of other bytes is never taken: the file is sent, once, and gets its own."""
    home.simulator.change(verdicts=(says("real", Label.ARTIFICIAL), says("victim", Label.HUMAN)))
    picture(home.drop / "victim.png", "victim")
    settled(home)
    (human,) = home.simulator.state.charged
    lose(home)
    real = picture(home.drop / "real.png", "real")
    forge(real, sha256("real"), human.identifier)
    assert 2 == rebuilt(home)["taken"]
    found = {line.file.path: line for line in settled(home)}
    assert "artificial" == found[b"real.png"].file.outcome
    assert "human" == found[b"victim.png"].file.outcome
    assert None is found[b"real.png"].file.decision
    assert (2, 2) == (len(home.simulator.state.charged), uploads(home))
    assert "artificial" == home.sidecar(real)["outcome"]
    assert ["mismatched"] == happened(home, "real", "mismatched")


def happened(home: House, mark: str, *events: str) -> list[str]:
    """Return which of these events the history has of a content, in order."""
    with Ledger(home.ledger_url, node="here") as ledger, ledger.read() as tx:
        found = tx.exec_driver_sql("SELECT event, detail FROM history ORDER BY id").all()
    return [event for event, detail in found if event in events and sha256(mark).hex() in detail]


def test_an_identifier_whose_bytes_the_api_does_not_name_is_not_believed(home: House) -> None:
    """Of what we sent ourselves a missing hash is no disagreement; of hearsay it is."""
    home.simulator.change(
        verdicts=(
            says("real", Label.ARTIFICIAL),
            Scripted(sha256=sha256("victim").hex(), classification=Label.HUMAN, without=("hash",)),
        )
    )
    picture(home.drop / "victim.png", "victim")
    assert ["human"] == [line.file.outcome for line in settled(home)]
    (human,) = home.simulator.state.charged
    lose(home)
    (home.drop / f"victim.png{SUFFIX}").unlink()
    (home.drop / "victim.png").unlink()
    real = picture(home.drop / "real.png", "real")
    forge(real, sha256("real"), human.identifier)
    assert 1 == rebuilt(home)["taken"]
    assert ["artificial"] == [line.file.outcome for line in settled(home)]
    assert 2 == len(home.simulator.state.charged)


def test_a_made_up_identifier_is_lost_and_only_what_is_there_is_sent(home: House) -> None:
    """A content that no file has is never sent; one that a file has is, once, with the size and kind of that file."""
    forge(home.drop / "nowhere.png", sha256("nowhere"), "made-up-1")
    real = picture(home.drop / "real.png", "real")
    forge(real, sha256("real"), "made-up-2")
    assert (2, 2, 0, 0) == numbers(rebuilt(home))
    with home.daemon() as daemon:
        wait_for(lambda: happened(home, "nowhere", "lost") == ["lost"], "the first is lost")
        wait_for(lambda: [line.file.state for line in lines(daemon)] == ["delivered"], "the second is judged")
        quiet(daemon)
        assert "ok" == account(daemon).state
        with daemon.shift.ledger.read() as tx:
            assert (0, 0) == views.queue(tx), "what no file has is no upload to make"
    picture(home.drop / "nowhere.png", "nowhere")
    settled(home)
    sent, later = home.simulator.state.charged
    assert (sha256("nowhere"), len(content("nowhere"))) == (later.sha256, later.size)
    assert (sha256("real"), len(content("real")), "image/png") == (sent.sha256, sent.size, sent.mime)
    assert 2 == uploads(home)
    assert sent.identifier == home.sidecar(real)["analysis"]["identifier"]


def test_what_a_file_is_sent_with_is_never_what_a_stranger_wrote(home: House) -> None:
    """Rejudged after a rebuild, the upload has the file's own length, though the sidecar said another."""
    path = picture(home.drop / "a.png", "a")
    settled(home)
    lose(home)
    sidecar = home.sidecar(path)
    sidecar["file"]["size"] = 7
    path.with_name(path.name + SUFFIX).write_text(json.dumps(sidecar), encoding="utf-8")
    rebuilt(home)
    with home.daemon() as daemon:
        wait_for(lambda: [line.file.state for line in lines(daemon)] == ["delivered"], "it is known again")
        order(daemon, "rejudge", files=[lines(daemon)[0].file.id])
        quiet(daemon)
    first, second = home.simulator.state.charged
    assert (first.size, first.mime) == (second.size, second.mime) == (len(content("a")), "image/png")


def test_the_time_until_the_next_verdict_is_not_learnt_from_what_was_rebuilt(home: House) -> None:
    """It is not known when that was sent: the daemon starts, asks, and goes on with what it guesses."""
    picture(home.drop / "a.png", "a")
    settled(home)
    lose(home)
    rebuilt(home)
    settled(home)
    with home.daemon() as daemon:
        home.sidecar(picture(home.drop / "b.png", "b"))
        assert daemon.shift.learnt[Media.IMAGE, None].late < timedelta(minutes=1)
    assert 2 == len(home.simulator.state.charged)


GOOD: dict[str, Any] = {"name": "a.png", "path": "a.png", "sha256": "ab" * 32, "media": "image"}


def analysed(identifier: object, options: object) -> dict[str, Any]:
    """Return the part of a sidecar that names an analysis."""
    return {"analysis": {"identifier": identifier, "sent": {"options": options}}}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tool": {"name": "another"}}, "it is not ours"),
        ({"tool": None}, "it is not ours"),
        ({"schema_version": 2}, "it was written by another version"),
        ({"file": GOOD | {"sha256": "AB" * 32}}, "its sha256 is no hash"),
        ({"file": GOOD | {"sha256": "ab" * 31}}, "its sha256 is no hash"),
        ({"file": GOOD | {"sha256": "ab" * 32 + "\n"}}, "its sha256 is no hash"),
        ({"file": GOOD | {"sha256": None}}, "it is not as we write it"),
        ({"file": GOOD | {"media": "text"}}, "its media is not known"),
        ({"file": []}, "it is not as we write it"),
        (analysed("../../api/users", {}), "its identifier is none"),
        (analysed("a b", {}), "its identifier is none"),
        (analysed("x" * 256, {}), "its identifier is none"),
        (analysed("id\u0007", {}), "its identifier is none"),
        (analysed("", {}), "its identifier is none"),
        (analysed(7, {}), "it is not as we write it"),
        (analysed("id", []), "it is not as we write it"),
        (analysed("id", {"no_cache": True}), "its options are none that we would have sent"),
        (analysed("id", {"prevent_c2pa_forces": 1}), "its options are none that we would have sent"),
        (analysed("id", {"prevent_c2pa_forces": False}), "its options are none that we would have sent"),
        (analysed("id", {"frames": 5}), "its options are none that we would have sent"),
        (
            analysed("id", {"webhook_url": "https://example.org"}),
            "its options are none that we would have sent",
        ),
        (analysed("id", {"\ud800": "\ud800"}), "its options are none that we would have sent"),
    ],
)
def test_a_sidecar_that_we_would_not_have_written_is_named_with_the_reason(
    home: House, changes: dict[str, Any], reason: str
) -> None:
    """Whatever is wrong with one, nothing is taken of it, and the others are taken all the same."""
    bad = forge(home.drop / "bad.png", sha256("bad"), "id-1", **changes)
    forge(home.drop / "good.png", sha256("good"), "id-2")
    found = rebuilt(home)
    assert (2, 1, 0, 1) == numbers(found)
    assert [{"path": str(bad), "reason": reason}] == found["named"]
    assert {sha256("good").hex(): "id-2"} == analyses(home)


def test_nothing_outside_is_read_and_nothing_strange_is_opened(home: House) -> None:
    """Links to files and directories, a FIFO, a directory of that name, and a file that is too large give nothing."""
    outside = home.home / "outside"
    secret = forge(outside / "a.png", sha256("a"), "id-1")
    (home.drop / f"link.png{SUFFIX}").symlink_to(secret)
    (home.drop / "linked").symlink_to(outside)
    os.mkfifo(home.drop / f"fifo.png{SUFFIX}")
    (home.drop / f"directory.png{SUFFIX}").mkdir()
    large = home.drop / f"large.png{SUFFIX}"
    with large.open("wb") as file:
        file.truncate(sidecars.LARGEST + 1)
    (home.drop / f"deep.png{SUFFIX}").write_text("[" * 100_000)
    (home.drop / f"bytes.png{SUFFIX}").write_bytes(b"\xff\xfe\x00")
    forge(home.drop / "@eaDir" / "junk.png", sha256("junk"), "id-2")
    aside = forge(home.drop / ".identifai" / "orphans" / "gone.png", sha256("gone"), "id-3")
    found = rebuilt(home)
    assert {sha256("gone").hex(): "id-3"} == analyses(home)
    assert aside.exists()
    reasons = Counter({"it is not JSON": 2, "it is larger than 4,194,304 bytes": 1})
    reasons |= {"it is a symbolic link": 1, "it is a FIFO": 1}
    assert reasons == found["refused"]


def test_a_directory_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    """What lies beside it is read all the same."""
    (tmp_path / "shut").mkdir()
    forge(tmp_path / "a.png", sha256("a"), "id-1")
    if os.geteuid() == 0:
        pytest.skip("root may list everything")
    (tmp_path / "shut").chmod(0)
    found = list(sidecars.sidecars(os.fsencode(tmp_path)))
    (tmp_path / "shut").chmod(0o700)
    assert [b"a.png" + SUFFIX.encode(), b"shut"] == sorted(one.path for one in found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=60) | st.builds(lambda value: json.dumps(value).encode(), JSON))
def test_whatever_a_sidecar_holds_reading_it_raises_nothing(text: bytes) -> None:
    """It is something to take, or the reason why not."""
    assert isinstance(salvage.sent(text), str)


@settings(deadline=None, max_examples=100)
@given(
    st.dictionaries(st.sampled_from(sorted(Options.model_fields)), JSON, max_size=4), st.sampled_from(Media)
)
def test_only_options_in_our_own_form_are_taken(options: dict[str, Any], media: Media) -> None:
    """What is taken is, byte for byte, what this version would have written for a folder that has it so."""
    found = config.canonical_of(media, options)
    if found is not None:
        assert found == json.dumps(options, sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize("media", Media)
@pytest.mark.parametrize(
    "settings_of",
    [{}, {"prevent_c2pa_forces": False}, {"with_heatmap": True, "frames": 10, "key_frames": True}],
)
def test_options_that_we_write_are_taken(media: Media, settings_of: dict[str, Any]) -> None:
    """Whatever a folder is set to, its sidecars can be used after a loss."""
    written = Options(**settings_of).canonical(media)
    assert written == config.canonical_of(media, json.loads(written))


def test_a_simulator_that_forgets_tells_the_account_from_the_identifier(tmp_path: Path) -> None:
    """Many identifiers that the API refuses in bulk end one by one, and the account is not paused for them."""
    script = Script(unknown_in_bulk="403")
    with house(tmp_path, script) as home:
        for number in range(5):
            forge(
                home.drop / f"{number}.png",
                hashlib.sha256(str(number).encode()).digest(),
                f"made-up-{number}",
            )
        real = picture(home.drop / "real.png", "real")
        assert 5 == rebuilt(home)["taken"]
        with home.daemon() as daemon:
            home.sidecar(real)
            wait_for(lambda: lost(home) == 5, "all five are lost")
            assert "ok" == account(daemon).state
        assert 1 == uploads(home)


def lost(home: House) -> int:
    """Count the contents whose identifier the API did not know."""
    with Ledger(home.ledger_url, node="here") as ledger, ledger.read() as tx:
        return int(tx.exec_driver_sql("SELECT count(*) FROM history WHERE event = 'lost'").scalar_one())
