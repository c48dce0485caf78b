"""What operators order: carried out by the daemon if one runs, else by the command itself."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from identifai_watch.core.model import Label, Media, Outcome
from identifai_watch.ledger import Ledger, desk, intake, views
from identifai_watch.ledger.views import Line
from identifai_watch.simulator import Endpoint, Fault, FaultKind, Scripted
from tests.console import Typed, at, talk, typed
from tests.harness import House, house, wait_for


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """Give a house whose simulator answers at once."""
    with house(tmp_path) as one:
        yield one


def runs(home: House) -> bool:
    """Tell whether the daemon process has begun."""
    return any(line["event"] == "started" for line in home.logged())


def orders(home: House) -> list[desk.Command]:
    """Return the orders that nobody has carried out."""
    with Ledger(home.ledger_url, node="test") as ledger, ledger.read() as tx:
        return desk.open_commands(tx)


def judged(home: House, sample: str = "sample.jpg") -> Path:
    """Have a file judged, and return it."""
    path = home.put(sample)
    assert at(home, "once").status in {0, 1}
    return path


def line_of(home: House, name: str) -> Line:
    """Return what the ledger has of a file by its name, the newest first."""
    return next(line for line in home.lines() if os.path.basename(line.file.path) == name.encode())  # noqa: PTH119 - bytes


def said(ended: Typed) -> dict[str, Any]:
    """Return the JSON that a command printed."""
    found: dict[str, Any] = json.loads(ended.out)
    return found


# The account.


def test_pause_and_resume_without_a_daemon(home: House) -> None:
    """A pause stands in the ledger: a run sends nothing until it is lifted."""
    home.put("sample.jpg")
    assert at(home, "pause", "--why", "budget talks").status == 0
    ended = at(home, "once")
    assert (75, 0) == (ended.status, home.simulator.state.count(Endpoint.UPLOAD))
    assert "budget talks" in ended.err
    assert "Sending again." in at(home, "resume").out
    assert at(home, "once").status == 0


def test_orders_reach_a_running_daemon(home: House) -> None:
    """With a daemon the command waits for what came of it."""
    with home.process():
        wait_for(lambda: runs(home), "the daemon runs")
        assert {"queued": False, "state": "paused"} == said(at(home, "pause", "--json"))
        path = home.put("sample.jpg")
        wait_for(lambda: home.lines() != [], "the file is admitted")
        assert said(at(home, "resume", "--json"))["state"] == "ok"
        home.sidecar(path)
    assert [] == orders(home)


def test_an_order_that_nobody_takes_stays_queued(home: House) -> None:
    """Where a daemon holds the lock and does not come to it, the command says so, and the order stays."""
    home.lines()
    with Ledger(home.ledger_url, node="held") as ledger:
        assert ledger.lock.take()
        assert said(at(home, "pause", "--json")) == {"queued": True}
    assert ["pause"] == [order.verb for order in orders(home)]


# The backlog.


@pytest.fixture
def archive(home: House) -> House:
    """Give a house whose daemon found three files there, and held them."""
    home.folder = {"existing": "hold", "existing_hold_above": 0}
    for age, name in enumerate(("sample.jpg", "sample.png", "sample.wav")):
        path = home.put(name)
        then = path.stat().st_mtime - age * 86400
        os.utime(path, (then, then))
    with home.process():
        wait_for(lambda: [line.file.held for line in home.lines()] == [True] * 3, "three files are held")
    return home


def test_the_backlog_is_shown(archive: House) -> None:
    """What is held is shown by folder and kind, in words and as JSON."""
    found = json.loads(at(archive, "backlog", "--json").out)
    assert [("drop", "audio", 1), ("drop", "image", 2)] == sorted(
        (row["folder"], row["media"], row["files"]) for row in found
    )
    shown = at(archive, "backlog").out
    assert "image" in shown
    assert "identifai-watch backlog release" in shown


def test_the_newest_are_released_first(archive: House) -> None:
    """--limit releases the newest; the rest stays held."""
    ended = at(archive, "backlog", "release", "--limit", "1")
    assert "Released 1 file; 2 stay held." in ended.out
    assert [b"sample.jpg"] == [line.file.path for line in archive.lines() if not line.file.held]


@pytest.mark.parametrize(("since", "released"), [("36h", 2), ("2d", 2), ("30m", 1), ("1999-01-01", 3)])
def test_releasing_what_is_new(archive: House, since: str, released: int) -> None:
    """--newer-than takes a date or how long ago, and goes by the modification."""
    assert released == said(at(archive, "backlog", "release", "--newer-than", since, "--json"))["released"]


def test_a_release_of_an_unknown_folder_is_refused(archive: House) -> None:
    """A folder that is not configured is named with those that are."""
    ended = at(archive, "backlog", "release", "--folder", "dorp")
    assert (1, True) == (ended.status, "there is no folder dorp; configured are drop" in ended.err)


def test_a_release_is_rehearsed(archive: House) -> None:
    """--dry-run counts what would be released, by folder, and releases nothing."""
    ended = at(archive, "backlog", "release", "--limit", "2", "--dry-run")
    assert "2 files (drop: 2) would be released; nothing was done." in ended.out
    found = said(at(archive, "backlog", "release", "--newer-than", "36h", "--dry-run", "--json"))
    assert {"releasable": 2, "folders": {"drop": 2}} == {
        name: found[name] for name in ("releasable", "folders")
    }
    assert [True] * 3 == [line.file.held for line in archive.lines()]


def test_a_release_is_asked_for_on_a_terminal(archive: House) -> None:
    """On a terminal it says what a release costs, and asks; no releases nothing, and --yes is the answer beforehand."""
    words = ["backlog", "release", "--config", str(archive.config_path)]
    status, shown = talk(words, ["n\n"])
    assert (1, True) == (status, "3 files (drop: 3) released" in shown)
    assert "costs a post and a credit" in shown
    assert [True] * 3 == [line.file.held for line in archive.lines()]
    assert 0 == talk([*words, "--yes"], [])[0]
    assert [False] * 3 == [line.file.held for line in archive.lines()]


def test_no_backlog_is_said(home: House) -> None:
    """Without anything held, that is said; an instant that cannot be read is a usage error."""
    assert "Nothing is held." in at(home, "backlog").out
    assert at(home, "backlog", "release", "--newer-than", "soon").status == 2


# Retrying.


def test_a_refused_file_is_tried_again(home: House) -> None:
    """A content that identifAI refused is sent again after retry, and only then."""
    fault = Fault(match=Endpoint.UPLOAD, kind=FaultKind.STATUS, status=413, times=1)
    home.simulator.change(faults=(fault,))
    path = judged(home)
    assert line_of(home, "sample.jpg").file.outcome is Outcome.REJECTED
    assert "1 file tried again." in at(home, "retry", path).out
    assert at(home, "once").status == 0
    assert line_of(home, "sample.jpg").file.outcome is not Outcome.REJECTED


def test_what_stands_is_not_retried(home: House) -> None:
    """A verdict needs no other attempt: nothing is done, and nothing is paid."""
    path = judged(home)
    assert "Nothing to try again" in at(home, "retry", path).out
    assert said(at(home, "retry", "--stuck", "--json"))["retried"] == 0


def test_unknown_paths_are_all_named(home: House) -> None:
    """Paths that the ledger does not know are named, nothing is done to the others, and the status is 1."""
    path = judged(home)
    ended = at(home, "retry", path, home.drop / "one.jpg", home.home / "two.jpg")
    assert ended.status == 1
    for name in (home.drop / "one.jpg", home.home / "two.jpg"):
        assert f"the ledger does not know {name}" in ended.err


def test_a_file_that_was_left_alone_is_told(home: House) -> None:
    """A file that the ledger left alone is told as such, with the reason."""
    path = home.drop / "notes.jpg"
    path.write_text("no media")
    at(home, "once")
    ended = at(home, "retry", path)
    assert (1, True) == (ended.status, f"{path} was left alone: " in ended.err)


def test_retry_wants_one_of_three(home: House) -> None:
    """Paths, --stuck and --folder exclude each other, and one of them is needed."""
    assert at(home, "retry").status == 2
    assert at(home, "retry", "--stuck", "--folder", "drop").status == 2


def pinned(home: House, filesystem: str) -> None:
    """Write down that the folder was on another file system."""
    with Ledger(home.ledger_url, node=os.uname().nodename) as ledger, ledger.write() as tx:
        intake.pin(tx, intake.folder(tx, ledger.node, "drop").id, filesystem, ledger.node)


def test_another_file_system_is_accepted_without_a_daemon(home: House) -> None:
    """A folder on another file system is unavailable until retry --folder accepts that."""
    judged(home)
    pinned(home, "ext4 of another disk")
    home.put("sample.png")
    ended = at(home, "once")
    assert (75, True) == (ended.status, "unavailable: drop" in ended.err)
    assert at(home, "retry", "--folder", "drop").status == 0
    assert at(home, "once").status == 0


def test_another_file_system_is_accepted_by_the_daemon(home: House) -> None:
    """The running daemon takes the folder up again when it is told to."""
    judged(home)
    pinned(home, "ext4 of another disk")
    path = home.put("sample.png")
    with home.process():
        wait_for(
            lambda: any(line["event"] == "folder unavailable" for line in home.logged()), "it is set aside"
        )
        assert said(at(home, "retry", "--folder", "drop", "--json")) == {"queued": False, "folder": "drop"}
        home.sidecar(path)


# Deciding.


def scripted(home: House, label: str) -> None:
    """Have every file judged as ``label``."""
    home.simulator.change(verdicts=(Scripted(classification=Label(label), confidence=0.9, unknown=False),))


def test_a_decision_moves_the_file(home: House) -> None:
    """The file goes where the desk says; the verdict stays as it was, and the sidecar says both."""
    home.folder = {"action": "move"}
    scripted(home, "human")
    path = judged(home)
    lies = home.drop / "human" / "sample.jpg"
    assert lies.exists()
    ended = at(home, "decide", path, "artificial", "--reason", "seen it made")
    assert (0, True) == (ended.status, "is artificial" in ended.out)
    assert at(home, "once").status == 0
    found = home.sidecars()["artificial/sample.jpg"]
    assert ("artificial", "human") == (found["outcome"], found["verdict"]["classification"])
    assert "seen it made" == found["decision"]["reason"]


def test_uncertain_is_inconclusive(home: House) -> None:
    """The outcome's word is taken for the decision's, and the help says what each of them means."""
    path = judged(home)
    ended = at(home, "decide", path, "uncertain", "--reason", "r")
    assert (0, True) == (ended.status, "is inconclusive" in ended.out)
    assert at(home, "once").status == 0
    assert line_of(home, "sample.jpg").file.outcome is Outcome.UNCERTAIN
    assert "a word for it too" in typed("decide", "--help").out


def test_a_moved_file_is_found_where_it_lies(home: House) -> None:
    """A path names a file also by where a move took it, inside the folder or out of it."""
    away = home.home / "away"
    home.folder = {"action": "move", "human": str(away), "artificial": "fakes"}
    scripted(home, "human")
    judged(home)
    assert at(home, "decide", away / "sample.jpg", "artificial", "--reason", "r").status == 0
    assert at(home, "once").status == 0
    assert at(home, "decide", home.drop / "fakes" / "sample.jpg", "human", "--reason", "r").status == 0
    assert at(home, "once").status == 0
    assert (away / "sample.jpg").exists()


def test_the_daemon_carries_a_decision_out(home: House) -> None:
    """With a daemon a decision is delivered at once."""
    home.folder = {"action": "move"}
    scripted(home, "artificial")
    path = home.put("sample.jpg")
    with home.process():
        wait_for((home.drop / "artificial" / "sample.jpg").exists, "it is moved")
        assert at(home, "decide", path, "human", "--reason", "the author was there").status == 0
        wait_for((home.drop / "human" / "sample.jpg").exists, "it is moved again")


def test_a_decision_about_an_unknown_file_is_refused(home: House) -> None:
    """A path that is not known ends with 1; a choice that does not exist and an empty reason are usage errors."""
    path = judged(home)
    assert at(home, "decide", home.drop / "none.jpg", "human", "--reason", "r").status == 1
    assert at(home, "decide", path, "fake", "--reason", "r").status == 2
    assert at(home, "decide", path, "human", "--reason", " ").status == 2


def test_the_vendor_is_told_only_when_asked_and_confirmed(home: House) -> None:
    """--tell-vendor forces the label at identifAI and in our verdict, within the budget; without --yes it asks."""
    scripted(home, "human")
    path = judged(home)
    unasked = at(home, "decide", path, "artificial", "--reason", "r", "--tell-vendor")
    assert (2, 0) == (unasked.status, home.simulator.state.count(Endpoint.OVERRIDE))
    assert line_of(home, "sample.jpg").file.decision is None
    ended = at(home, "decide", path, "artificial", "--reason", "r", "--tell-vendor", "--yes")
    assert (0, True) == (ended.status, "now forces artificial" in ended.out)
    line = line_of(home, "sample.jpg")
    assert line.analysis is not None
    assert line.analysis.verdict is not None
    assert line.analysis.verdict.forced is Label.ARTIFICIAL
    assert home.simulator.state.forced(Media.IMAGE, line.analysis.sha256) is Label.ARTIFICIAL
    with Ledger(home.ledger_url, node="test") as ledger, ledger.read() as tx:
        assert ["overridden"] == [
            happening.event
            for happening in views.history_of(tx, line.file)
            if happening.event == "overridden"
        ]


def test_the_vendor_cannot_be_told_everything(home: House) -> None:
    """Inconclusive is nothing that the vendor knows; and there must be a verdict to override."""
    path = judged(home)
    assert at(home, "decide", path, "inconclusive", "--reason", "r", "--tell-vendor", "--yes").status == 2
    home.folder = {"unsupported": "reject"}
    rejected = judged(home, "sample.heic")
    assert at(home, "decide", rejected, "human", "--reason", "r", "--tell-vendor", "--yes").status == 1
    assert home.simulator.state.count(Endpoint.OVERRIDE) == 0


@pytest.mark.parametrize(("status", "ends"), [(401, 77), (403, 1), (503, 75)])
def test_an_override_that_is_not_taken(home: House, status: int, ends: int) -> None:
    """The decision stands here, and the command says that the vendor was not told, or may not have been."""
    path = judged(home)
    fault = Fault(match=Endpoint.OVERRIDE, kind=FaultKind.STATUS, status=status, times=1)
    home.simulator.change(faults=(fault,))
    ended = at(home, "decide", path, "human", "--reason", "r", "--tell-vendor", "--yes")
    assert (ends, True) == (ended.status, "the decision stands here" in ended.err)
    assert line_of(home, "sample.jpg").file.decision is not None


def test_a_paused_account_is_told_nothing(home: House) -> None:
    """While the operator paused, no override leaves, and nothing is decided."""
    path = judged(home)
    at(home, "pause")
    ended = at(home, "decide", path, "human", "--reason", "r", "--tell-vendor", "--yes")
    assert (75, 0) == (ended.status, home.simulator.state.count(Endpoint.OVERRIDE))
    assert line_of(home, "sample.jpg").file.decision is None
