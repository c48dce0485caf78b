"""No file is held hostage: one that waits too long is let go unchecked, and people can pause, resume and withdraw."""

import json
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from identifai_watch.core.model import AccountState, FileState, Label, Outcome
from identifai_watch.errors import Exit
from identifai_watch.ledger import budget, holds
from identifai_watch.simulator import Endpoint, Script
from tests.console import at
from tests.harness import SUFFIX, House, house, wait_for
from tests.test_never_stale import SCHEMA, beside, charged, told
from tests.watching import account, content, folders, line, lines, order, picture, quiet, says, scan, sha256

SOON = {"release_after_minutes": 0.005}
HERE = socket.gethostname()
NEVER = Script(delay=3600, verdicts=(says("a", Label.HUMAN),))


def explained(home: House, path: Path) -> dict[str, Any]:
    """Return what ``explain`` says of a path."""
    found: dict[str, Any] = json.loads(home.command("explain", "--json", str(path)).stdout)
    return found


def withdrawn(home: House, *words: str) -> dict[str, Any]:
    """Withdraw files, and return what came of it."""
    found: dict[str, Any] = json.loads(home.command("withdraw", *words, "--json").stdout)
    return found


# Let go.


def test_a_file_that_is_not_judged_in_time_is_let_go_and_told_later(tmp_path: Path) -> None:
    """Its sidecar says unchecked and why; when the verdict comes it is told there, and nothing is paid twice."""
    with house(tmp_path, NEVER, folder=SOON) as home, home.daemon(node=HERE):
        path = picture(home.drop / "a.png", "a")
        early = told(path, Outcome.UNCHECKED)
        assert "its verdict is still to come" in " ".join(explained(home, path)["notes"])
        home.simulator.change(delay=0)
        late = told(path, Outcome.HUMAN)
        assert [sha256("a")] == charged(home)
    assert early["verdict"] is None
    assert "not judged within 0.005 minutes" in early["reason"]
    assert "human" == late["verdict"]["classification"]


def test_a_moved_file_is_let_go_to_its_own_place_and_stays_there(tmp_path: Path) -> None:
    """It goes to ``unchecked``; the later verdict is told beside it, and it is not moved again."""
    with house(tmp_path, NEVER, folder=SOON | {"action": "move"}) as home, home.daemon(node=HERE) as daemon:
        path = picture(home.drop / "in" / "a.png", "a")
        lies = home.drop / "unchecked" / "in" / "a.png"
        told(lies, Outcome.UNCHECKED)
        assert not path.exists()
        home.simulator.change(delay=0)
        told(lies, Outcome.HUMAN)
        quiet(daemon)
        assert content("a") == lies.read_bytes()
        found = line(daemon, "in/a.png")
        assert found is not None
        order(daemon, "decide", files=[found.file.id], choice="artificial", reason="the desk moves it")
        told(home.drop / "artificial" / "in" / "a.png", Outcome.ARTIFICIAL)
        assert [sha256("a")] == charged(home)


def test_a_copied_file_is_let_go_as_one_copy(tmp_path: Path) -> None:
    """The copy that was made unchecked gets the verdict; there is no second one."""
    with house(tmp_path, NEVER, folder=SOON | {"action": "copy"}) as home, home.daemon(node=HERE) as daemon:
        path = picture(home.drop / "a.png", "a")
        copy = home.drop / "unchecked" / "a.png"
        told(copy, Outcome.UNCHECKED)
        home.simulator.change(delay=0)
        told(copy, Outcome.HUMAN)
        told(path, Outcome.HUMAN)
        quiet(daemon)
        assert {path, copy} == {one for one in home.drop.rglob("*.png") if one.is_file()}


def test_without_a_time_nothing_is_let_go(tmp_path: Path) -> None:
    """0 minutes is never: a file waits for its verdict as long as it takes."""
    with house(tmp_path, NEVER) as home, home.daemon(node=HERE) as daemon:
        path = picture(home.drop / "a.png", "a")
        wait_for(lambda: charged(home), "it is sent")
        (found,) = lines(daemon)
        assert found.file.release_at is None
        assert beside(path) is None


def test_what_is_let_go_is_let_go_by_the_next_daemon_too(tmp_path: Path) -> None:
    """When a file is let go stands in the ledger: a restart in between changes nothing."""
    with house(tmp_path, NEVER, folder={"release_after_minutes": 0.05}) as home:
        path = picture(home.drop / "a.png", "a")
        with home.daemon(node=HERE):
            wait_for(lambda: charged(home), "it is sent")
        with home.daemon(node=HERE):
            told(path, Outcome.UNCHECKED)
        assert [sha256("a")] == charged(home)


def test_a_file_is_let_go_while_the_account_is_refused(tmp_path: Path) -> None:
    """That is what it is for: nothing can be sent, and nobody waits for it."""
    script = Script(credits=0)
    with house(tmp_path, script, folder=SOON | {"action": "move"}) as home, home.daemon(node=HERE):
        picture(home.drop / "a.png", "a")
        sidecar = told(home.drop / "unchecked" / "a.png", Outcome.UNCHECKED)
        jsonschema.validate(sidecar, SCHEMA)
        assert "it was not sent yet" in sidecar["reason"]
        home.simulator.change(credits=5)
        at(home, "resume")
        found = told(home.drop / "unchecked" / "a.png", Outcome(judged(home)), 60)
        assert found["verdict"] is not None


def judged(home: House) -> str:
    """Return the outcome that the pretend identifAI gives the content of these tests."""
    home.simulator.change(verdicts=[says("a", Label.ARTIFICIAL)])
    return "artificial"


def test_a_run_over_all_there_is_lets_nothing_go(tmp_path: Path) -> None:
    """``once`` waits for every verdict: that is what it was asked for."""
    script = Script(delay=2, verdicts=(says("a", Label.HUMAN),))
    with house(tmp_path, script, folder=SOON) as home:
        path = picture(home.drop / "a.png", "a")
        assert Exit.OK == at(home, "once").status
        assert "human" == (beside(path) or {})["outcome"]


# Pause and resume.


def test_a_paused_folder_sends_nothing_and_the_others_go_on(tmp_path: Path) -> None:
    """The pause stands in status with who, why and until when; ``resume --folder`` ends it."""
    with house(tmp_path) as home:
        home.more = {"folder": folders(home, quiet={}, loud={})}
        assert Exit.OK == at(home, "pause", "--folder", "quiet", "--why", "an embargo").status
        with home.daemon(node=HERE) as daemon:
            held = picture(home.home / "quiet" / "held.png")
            sent = picture(home.home / "loud" / "sent.png")
            wait_for(lambda: beside(sent), "the other folder goes on")
            wait_for(lambda: line(daemon, "held.png", "quiet"), "it is admitted")
            assert [sha256("sent.png")] == charged(home)
            status = json.loads(home.command("status", "--json").stdout)
            paused = {one["name"]: one["paused"] for one in status["folders"]}
            assert paused["loud"] is None
            assert "an embargo" in paused["quiet"]
            assert "an embargo" in " ".join(home.command("status").stdout.split())
            wait_for(lambda: explained(home, held)["state"] == "paused", "explain says so")
            at(home, "resume", "--folder", "quiet")
            wait_for(lambda: beside(held), "it is sent")


@pytest.mark.parametrize("folder", [None, "drop"])
def test_a_pause_for_a_time_ends_by_itself(tmp_path: Path, folder: str | None) -> None:
    """``--for`` holds through a restart, and is over when its time is."""
    name = [] if folder is None else ["--folder", folder]
    with house(tmp_path) as home:
        assert Exit.OK == at(home, "pause", "--for", "0.05m", *name).status
        with home.daemon(node=HERE) as daemon:
            path = picture(home.drop / "a.png", "a")
            wait_for(lambda: beside(path), "it is sent")
            assert AccountState.OK is account(daemon).state
            with daemon.shift.ledger.read() as tx:
                assert [] == holds.pauses(tx)


def test_a_pause_holds_without_daemon_or_key_and_through_a_restart(tmp_path: Path) -> None:
    """It is a row in the ledger: any command can write it, and every daemon reads it."""
    with house(tmp_path) as home:
        keyless = {"IDENTIFAI_API_KEY": ""}
        assert Exit.OK == at(home, "pause", "--why", "a quiet night", environ=keyless).status
        for _ in range(2):
            with home.daemon(node=HERE) as daemon:
                picture(home.drop / "a.png", "a")
                wait_for(lambda: line(daemon, "a.png"), "it is admitted")
                assert "a quiet night" == account(daemon).detail
        assert 0 == home.simulator.state.arrived(Endpoint.UPLOAD)


def test_a_length_that_is_none_is_refused(tmp_path: Path) -> None:
    """What cannot be read as a length of time is a usage error that says how to write one."""
    with house(tmp_path) as home:
        for length in ("soon", "0m", "-2h"):
            typed = at(home, "pause", f"--for={length}")
            assert Exit.USAGE == typed.status
            assert "30m, 2h, 7d or 1w" in typed.err


# Withdraw.


def test_a_withdrawn_file_is_never_sent_until_somebody_asks(tmp_path: Path) -> None:
    """It is left alone through restarts, scans and a touch of its mode; ``retry`` has it judged after all."""
    keyless = {"IDENTIFAI_API_KEY": ""}
    with house(tmp_path, folder={"rescan_seconds": 0.3}) as home:
        at(home, "pause")
        path = picture(home.drop / "a.png", "a")
        with home.daemon(node=HERE) as daemon:
            wait_for(lambda: line(daemon, "a.png"), "it is admitted")
        typed = at(home, "withdraw", path, "--why", "the source asked", environ=keyless)
        assert (Exit.OK, "Withdrew 1 file") == (typed.status, typed.out[:15])
        at(home, "resume")
        with home.daemon(node=HERE) as daemon:
            scan(daemon)
            path.chmod(0o600)
            scan(daemon)
            quiet(daemon)
            assert [] == charged(home)
            found = explained(home, path)
            assert ("left alone", True) == (found["state"], "the source asked" in found["rule"])
            typed = at(home, "retry", path)
            assert "1 file tried again" in typed.out.lower()
            wait_for(lambda: beside(path), "it is judged")


def test_all_that_waits_in_a_folder_is_withdrawn_and_what_was_sent_is_not(tmp_path: Path) -> None:
    """``--folder F --state queued`` takes back what costs nothing yet; a verdict that is paid for comes in."""
    with (
        house(tmp_path, Script(delay=3600), folder={"rescan_seconds": 0.3}) as home,
        home.daemon(node=HERE) as daemon,
    ):
        sent = picture(home.drop / "sent.png")
        wait_for(lambda: charged(home), "it is sent")
        at(home, "pause")
        for number in range(3):
            picture(home.drop / f"{number}.png")
        wait_for(lambda: sum(one.analysis is not None for one in lines(daemon)) == 4, "they are admitted")
        answer = withdrawn(home, "--folder", "drop", "--state", "queued")
        assert (3, 0) == (answer["withdrawn"], answer["kept"])
        refused = withdrawn(home, str(sent))
        assert (0, 1) == (refused["withdrawn"], refused["kept"])
        at(home, "resume")
        home.simulator.change(delay=0)
        wait_for(lambda: beside(sent), "its verdict comes in")
        scan(daemon)
        quiet(daemon)
        assert [sha256("sent.png")] == charged(home)
        assert {"sent.png"} == set(home.sidecars())


def test_a_copy_that_is_not_withdrawn_is_sent(tmp_path: Path) -> None:
    """What is withdrawn is a file: its content is sent for another file that has it."""
    with house(tmp_path) as home, home.daemon(node=HERE) as daemon:
        at(home, "pause")
        one = picture(home.drop / "one.png", "same")
        other = picture(home.drop / "other.png", "same")
        wait_for(lambda: sum(found.analysis is not None for found in lines(daemon)) == 2, "both are admitted")
        at(home, "withdraw", one)
        at(home, "resume")
        wait_for(lambda: beside(other), "the other is judged")
        quiet(daemon)
        assert beside(one) is None
        assert [sha256("same")] == charged(home)


def test_a_pause_of_a_folder_is_told_in_history(tmp_path: Path) -> None:
    """Who paused what, until when and why is kept."""
    with house(tmp_path) as home, home.daemon(node=HERE) as daemon:
        order(daemon, "pause", node=HERE, folder="drop", why="an embargo", until=None)
        with daemon.shift.ledger.read() as tx:
            (pause,) = holds.pauses(tx)
            assert AccountState.OK is budget.account(tx).state
        assert ("drop", "anna", "an embargo", None) == (pause.folder, pause.by, pause.why, pause.until)
        assert timedelta(0) < daemon.shift.clock() - pause.at + timedelta(seconds=1)


def test_the_states_of_files_that_were_let_go(tmp_path: Path) -> None:
    """A file that was let go counts as delivered; its outcome says that nobody judged it."""
    with house(tmp_path, NEVER, folder=SOON) as home, home.daemon(node=HERE) as daemon:
        path = picture(home.drop / "a.png", "a")
        told(path, Outcome.UNCHECKED)
        found = wait_for(lambda: line(daemon, "a.png"), "it is known")
        assert found is not None
        wait_for(
            lambda: (line(daemon, "a.png") or found).file.state is FileState.DELIVERED, "it is delivered"
        )
        listed = json.loads(home.command("list", "--json", "--outcome", "unchecked").stdout)
        assert ("a.png", "unchecked") == (listed["path"], listed["outcome"])
        assert path.with_name(path.name + SUFFIX).exists()
