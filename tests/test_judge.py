"""``judge`` and ``rejudge``: one file now, whatever waits; and contents anew, paid for again."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from identifai_watch.core.model import Label
from identifai_watch.simulator import Endpoint, Scripted
from tests.console import at, talk
from tests.harness import KEY, MEDIA, House, house, wait_for


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """Give a house whose simulator judges everything human, at once."""
    with house(tmp_path) as one:
        one.simulator.change(verdicts=(Scripted(classification=Label.HUMAN, confidence=0.75, unknown=False),))
        yield one


def posts(home: House) -> int:
    """Return how many uploads the simulator was sent."""
    return home.simulator.state.count(Endpoint.UPLOAD)


def runs(home: House) -> bool:
    """Tell whether the daemon process has begun."""
    return any(line["event"] == "started" for line in home.logged())


def outside(home: House, sample: str = "sample.png", name: str | None = None) -> Path:
    """Put a file where no folder is."""
    path = home.home / (name or sample)
    shutil.copyfile(MEDIA / sample, path)
    return path


def test_a_file_of_a_folder_is_delivered_as_the_folder_says(home: House) -> None:
    """Without a daemon the file alone is judged, with its sidecar; what else waits is not touched."""
    path = home.put("sample.jpg")
    home.put("sample.png")
    ended = at(home, "judge", path)
    assert (0, 1, {"sample.jpg"}) == (ended.status, posts(home), set(home.sidecars()))
    assert "human; identifAI says human with a confidence of 0.75" in ended.out


def test_what_was_queued_before_stays_queued(home: House) -> None:
    """Contents of the same folder that wait already are neither sent nor lost by a judge."""
    first = home.put("sample.jpg")
    at(home, "pause")
    at(home, "once")
    at(home, "resume")
    assert posts(home) == 0
    second = home.put("sample.png")
    assert at(home, "judge", second).status == 0
    assert (1, {"sample.png"}) == (posts(home), set(home.sidecars()))
    assert at(home, "judge", first).status == 0
    assert (2, {"sample.jpg", "sample.png"}) == (posts(home), set(home.sidecars()))


def test_a_file_outside_every_folder(home: House) -> None:
    """Any file can be judged; nothing is written beside it, and --json says what its sidecar would."""
    path = outside(home)
    before = set(home.home.iterdir())
    ended = at(home, "judge", path, "--json")
    found = json.loads(ended.out)
    assert (0, "human", "image") == (ended.status, found["outcome"], found["file"]["media"])
    assert {"identifai-watch.toml", "state"} >= {new.name for new in set(home.home.iterdir()) - before}


def test_a_judged_content_costs_nothing_again(home: House) -> None:
    """The second time, and for a copy, the verdict is the known one."""
    path = outside(home)
    at(home, "judge", path)
    assert at(home, "judge", path).status == 0
    assert at(home, "judge", outside(home, name="copy.png")).status == 0
    assert posts(home) == 1


def test_a_held_file_is_judged(home: House) -> None:
    """A held file that the operator names is released, it alone."""
    home.folder = {"existing": "hold", "existing_hold_above": 0}
    path = home.put("sample.jpg")
    home.put("sample.png")
    with home.process():
        wait_for(lambda: [line.file.held for line in home.lines()] == [True, True], "both are held")
    assert at(home, "judge", path).status == 0
    assert [True] == [line.file.held for line in home.lines() if line.file.path == b"sample.png"]


def test_the_daemon_judges_it_first(home: House) -> None:
    """With a daemon the order goes to it, and the command waits for the verdict."""
    home.folder = {"existing": "hold", "existing_hold_above": 0}
    held = home.put("sample.jpg")
    with home.process():
        wait_for(lambda: [line.file.held for line in home.lines()] == [True], "it is held")
        ended = at(home, "judge", held)
        assert (0, True) == (ended.status, "human" in ended.out)
        assert at(home, "judge", outside(home)).status == 0
    assert set(home.sidecars()) == {"sample.jpg"}


def test_a_daemon_that_takes_longer_keeps_it(home: House) -> None:
    """After --wait-minutes the command ends with 75 and says what is waited for; the daemon goes on."""
    home.simulator.change(delay=3600.0)
    path = outside(home)
    with home.process():
        wait_for(lambda: runs(home), "the daemon runs")
        assert home.simulator.state.count() == 0
        ended = at(home, "judge", path, "--wait-minutes", "0.02")
        assert (75, True) == (ended.status, "it stays queued" in ended.err)
        assert home.simulator.state.wait_for(lambda state: state.count(Endpoint.UPLOAD) == 1, seconds=30)


def test_ctrl_c_says_that_the_daemon_keeps_it(home: House) -> None:
    """Ctrl-C ends the waiting alone, and says where the verdict is told."""
    home.simulator.change(delay=3600.0)
    path = outside(home)
    with home.process():
        wait_for(lambda: runs(home), "the daemon runs")
        status, said = talk(
            ["judge", str(path), "--config", str(home.config_path)], ["\x03"], after=b"identifAI is at it"
        )
    assert (130, True) == (status, f"It stays with the daemon; identifai-watch show {path}" in said)


def test_what_identifai_could_not_tell_has_no_label(home: House) -> None:
    """Where identifAI could not tell, its label is not said, and a decision is said once."""
    home.simulator.change(verdicts=(Scripted(classification=Label.HUMAN, confidence=0.5, unknown=True),))
    path = home.put("sample.jpg")
    said = at(home, "judge", path).out
    assert ("identifAI says" in said, said.count("identifAI could not tell")) == (False, 1)
    at(home, "decide", path, "human", "--reason", "seen it made")
    at(home, "once")
    said = at(home, "judge", path).out
    assert (1, 1) == (said.count("seen it made"), said.count("identifAI could not tell"))


def test_without_a_daemon_it_ends_in_time_too(home: House) -> None:
    """After --wait-minutes the command ends with 75; what was sent is not sent again by the next run."""
    home.simulator.change(delay=3600.0)
    path = outside(home)
    ended = at(home, "judge", path, "--wait-minutes", "0.15")
    assert (75, True, 1) == (ended.status, "identifAI is at it" in ended.err, posts(home))
    home.simulator.change(delay=0.0)
    assert (0, 0, 1) == (at(home, "once").status, at(home, "judge", path).status, posts(home))


def test_what_is_no_media_is_left_alone(home: House) -> None:
    """A text is not sent; the command says why, and ends with 1."""
    path = home.home / "notes.txt"
    path.write_text("no media")
    ended = at(home, "judge", path)
    assert (1, True) == (ended.status, "left alone: no media" in ended.err)


def test_what_identifai_does_not_take(home: House) -> None:
    """What the API refuses is said with its reason, and ends with 1."""
    home.simulator.change(max_bytes={"image": 10, "video": 10, "audio": 10})
    ended = at(home, "judge", outside(home))
    assert (1, True) == (ended.status, "rejected" in ended.out)


@pytest.mark.parametrize(("name", "says"), [("none.jpg", "cannot be judged"), ("", "cannot be judged")])
def test_what_is_no_file_is_refused(home: House, name: str, says: str) -> None:
    """A file that is not there, or a directory, is refused before anything is done."""
    ended = at(home, "judge", home.home / name)
    assert (1, True) == (ended.status, says in ended.err)


def test_what_its_owner_keeps_is_not_sent(home: House) -> None:
    """A .identifai-ignore above a file holds for judge too."""
    (home.drop / ".identifai-ignore").touch()
    ended = at(home, "judge", home.put("sample.jpg"))
    assert (1, 0, True) == (ended.status, posts(home), ".identifai-ignore" in ended.err)


def test_a_moved_file_is_not_moved_again(home: House) -> None:
    """A file that lies where its verdict took it gives that verdict."""
    home.folder = {"action": "move"}
    home.put("sample.jpg")
    at(home, "once")
    lies = home.drop / "human" / "sample.jpg"
    ended = at(home, "judge", lies)
    assert (0, True, 1) == (ended.status, lies.exists(), posts(home))
    assert "it lies at human/sample.jpg" in ended.out


def test_a_replaced_file_gives_the_new_verdict(home: House) -> None:
    """What is printed is about the bytes that are there now."""
    path = home.put("sample.jpg")
    at(home, "judge", path)
    home.put("sample.jpg", extra=b"another edition")
    home.simulator.change(
        verdicts=(Scripted(classification=Label.ARTIFICIAL, confidence=0.5, unknown=False),)
    )
    assert "artificial; identifAI says artificial" in at(home, "judge", path).out


def test_a_refused_account_ends_it(home: House) -> None:
    """A key that identifAI does not take ends judge with 77."""
    ended = at(home, "judge", outside(home), environ={"IDENTIFAI_API_KEY": "another"})
    assert (77, True) == (ended.status, "the account is refused" in ended.err)
    assert KEY not in ended.err


def test_rejudging_is_paid_again_and_says_so(home: House) -> None:
    """Rejudging asks first; then the content is sent anew without the vendor's cache, and both verdicts are kept."""
    path = home.put("sample.jpg")
    at(home, "once")
    assert (2, 1) == (at(home, "rejudge", path).status, posts(home))
    ended = at(home, "rejudge", path, "--yes")
    assert (0, True) == (ended.status, "paid for again" in ended.out)
    ended = at(home, "once")
    assert (0, True) == (ended.status, "1 file done" in ended.out)
    assert (2, 2) == (posts(home), len(home.simulator.state.charged))
    assert {"judged": 2} == {
        state: number
        for state, number in json.loads(at(home, "status", "--json").out)["analyses"].items()
        if number
    }


def test_rejudging_what_was_never_sent_is_refused(home: House) -> None:
    """A file without an analysis, and one that is not known, end with 1."""
    home.folder = {"unsupported": "reject"}
    path = home.put("sample.heic")
    at(home, "once")
    assert at(home, "rejudge", path, "--yes").status == 1
    assert at(home, "rejudge", home.drop / "none.jpg", "--yes").status == 1
