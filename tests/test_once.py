"""``once``: all that is there is judged, and how that ended is said by its status."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from identifai_watch.cli import gauge, running
from identifai_watch.errand import Ending
from identifai_watch.ledger import Ledger
from identifai_watch.shift import utc_now
from identifai_watch.simulator import Endpoint, Fault, FaultKind
from tests.console import at, typed
from tests.harness import KEY, House, house, wait_for


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """Give a house whose simulator answers at once."""
    with house(tmp_path) as one:
        yield one


def posts(home: House) -> int:
    """Return how many uploads the simulator was sent."""
    return home.simulator.state.count(Endpoint.UPLOAD)


def test_all_that_is_there_is_judged(home: House) -> None:
    """Everything there gets its sidecar, copies cost nothing, and the status is 0."""
    home.put("sample.jpg")
    home.put("sample.jpg", "copy.jpg")
    home.put("sample.wav", "deep/down/sample.wav")
    ended = at(home, "once")
    assert (0, "") == (ended.status, re.sub(r"3 files done: .*\.\n", "", ended.out))
    assert {"sample.jpg", "copy.jpg", "deep/down/sample.wav"} == set(home.sidecars())
    assert posts(home) == 2


def test_a_key_that_was_refused_before_is_no_answer_of_now(home: House) -> None:
    """An API that cannot be reached ends a run with 75, whatever it said to the run before."""
    home.put("sample.jpg")
    assert 77 == at(home, "once", environ={"IDENTIFAI_API_KEY": "another"}).status
    home.simulator.stop()
    ended = at(home, "once", "--give-up-minutes", "0.02")
    assert (75, True) == (ended.status, "could not be reached" in ended.err)


def test_progress_is_plain_where_there_is_no_terminal(home: House) -> None:
    """Where standard error is no terminal, lines say how far it is."""
    home.put("sample.jpg")
    assert "1 of 1 file done" in at(home, "once").err


def test_json_says_what_came_of_it(home: House) -> None:
    """With --json standard output holds one object."""
    home.put("sample.jpg")
    found = json.loads(at(home, "once", "--json").out)
    assert (1, 0, [], [], None, None) == tuple(
        found[name] for name in ("files", "left", "stuck", "growing", "account", "later")
    )
    assert sum(found["outcomes"].values()) == 1


def test_nothing_there_is_all_right(home: House) -> None:
    """An empty folder ends with 0."""
    assert at(home, "once").status == 0


def test_held_files_are_judged_too(home: House) -> None:
    """What a daemon held is released first."""
    home.folder = {"existing": "hold", "existing_hold_above": 0}
    home.put("sample.jpg")
    home.put("sample.png")
    with home.process():
        wait_for(lambda: [line.file.held for line in home.lines()] == [True, True], "both files are held")
    assert posts(home) == 0
    assert at(home, "once").status == 0
    assert {"sample.jpg", "sample.png"} == set(home.sidecars())


def test_a_refused_file_is_a_problem(home: House) -> None:
    """A file that is rejected makes the status 1, and is counted."""
    home.folder = {"unsupported": "reject"}
    home.put("sample.heic")
    ended = at(home, "once")
    assert (1, True) == (ended.status, "1 rejected" in ended.out)


def test_a_refused_key_ends_it(home: House) -> None:
    """A key that identifAI does not take ends the run with 77, and fails no file."""
    home.put("sample.jpg")
    ended = at(home, "once", environ={"IDENTIFAI_API_KEY": "another"})
    assert (77, True) == (ended.status, "the account is refused: key" in ended.err)
    assert at(home, "once").status == 0


def test_no_key_names_three_places(home: House) -> None:
    """Without a key the status is 77, and the three places are named where it is looked for."""
    home.api = {"key_file": str(home.home / "no-such-key")}
    ended = at(home, "once", environ={"IDENTIFAI_API_KEY": ""})
    assert ended.status == 77
    for place in ("IDENTIFAI_API_KEY", "systemd credential", str(home.home / "no-such-key")):
        assert place in ended.err


def test_no_credits_end_it(home: House) -> None:
    """Exhausted credits end the run with 77; what is left stays queued."""
    home.simulator.change(credits=1)
    home.put("sample.jpg")
    home.put("sample.png")
    ended = at(home, "once")
    assert (77, True) == (ended.status, "credits" in ended.err)
    home.simulator.change(credits=5)
    assert at(home, "once").status == 0


@pytest.mark.parametrize(("minutes", "sidecars"), [("1", 1), ("0.02", 0)])
def test_a_verdict_that_is_paid_for_is_awaited(home: House, minutes: str, sidecars: int) -> None:
    """An account without credits ends the run when what it paid for is delivered, or has been awaited for too long."""
    home.simulator.change(credits=1, delay=6.0)
    home.put("sample.jpg")
    home.put("sample.png")
    ended = at(home, "once", "--give-up-minutes", minutes)
    assert (77, sidecars) == (ended.status, len(home.sidecars()))


def test_an_api_that_cannot_be_reached_is_given_up(home: House) -> None:
    """An API that does not answer for --give-up-minutes ends the run with 75."""
    fault = Fault(match=Endpoint.UPLOAD, kind=FaultKind.STATUS, status=503, times=1000)
    home.simulator.change(faults=(fault,))
    home.put("sample.jpg")
    ended = at(home, "once", "--give-up-minutes", "0.01")
    assert (75, True) == (ended.status, "could not be reached" in ended.err)


def test_an_empty_purse_ends_it(home: House) -> None:
    """When posts_per_day are used up the run ends with 75, and what was sent is still delivered."""
    home.api = {"posts_per_day": 1, "backlog_share": 1.0}
    home.put("sample.jpg")
    home.put("sample.png")
    ended = at(home, "once")
    assert (75, 1, True) == (ended.status, len(home.sidecars()), "purse" in ended.err)
    assert "1 file left" in ended.out


def test_an_exhausted_share_of_the_backlog_ends_it(home: House) -> None:
    """What was there before may use its share of the purse alone; then the run ends, though the purse is not empty."""
    home.api = {"posts_per_day": 4, "backlog_share": 0.25}
    home.put("sample.jpg")
    home.put("sample.png")
    assert (75, 1) == (at(home, "once").status, len(home.sidecars()))


def test_an_unavailable_folder_is_for_later(home: House) -> None:
    """The folders that can be reached are judged; the other one makes the status 75."""
    other = home.home / "other"
    home.more = {"folder": [*home.document()["folder"], {"path": str(other)}]}
    home.put("sample.jpg")
    ended = at(home, "once")
    assert (75, 1, True) == (ended.status, len(home.sidecars()), "unavailable: other" in ended.err)


def test_two_daemons_do_not_share_a_ledger(home: House) -> None:
    """While a daemon runs, once and a second run end with 75."""
    with home.process():
        wait_for(lambda: any(line["event"] == "started" for line in home.logged()), "the daemon runs")
        assert (75, 75) == (at(home, "once").status, home.command("run").returncode)


def test_five_mistakes_five_messages(home: House) -> None:
    """Five mistakes are told at once, each by its dotted name, misspelt keys with a suggestion; the status is 78."""
    config = home.home / "wrong.toml"
    config.write_text(
        f"""
        [api]
        uploads = 0
        post_per_minute = 3
        [web]
        listen = "nowhere"
        [[folder]]
        path = "{home.drop}"
        name = "news"
        settle_secnds = 4
        action = "sidcar"
        """,
        encoding="utf-8",
    )
    ended = typed("once", "--config", config)
    said = [line.strip() for line in ended.err.splitlines()[1:]]
    names = {line.partition(":")[0] for line in said}
    wanted = {
        "api.uploads",
        "api.post_per_minute",
        "web.listen",
        "folder.news.settle_secnds",
        "folder.news.action",
    }
    assert (78, wanted, 5) == (ended.status, names, len(said))
    for suggestion in ("posts_per_minute?", "settle_seconds?", "sidecar?"):
        assert f"did you mean {suggestion}" in ended.err


# The rehearsal.


def test_a_rehearsal_sends_and_writes_nothing(home: House) -> None:
    """--dry-run counts files, contents, bytes and posts by kind, and what is left; no ledger is made."""
    home.put("sample.jpg")
    home.put("sample.jpg", "copy.jpg")
    home.put("sample.wav")
    home.put("sample.heic")
    home.simulator.change(credits=7)
    ended = at(home, "once", "--dry-run", "--json")
    found = json.loads(ended.out)
    size = (home.drop / "sample.jpg").stat().st_size
    image = {"files": 2, "bytes": 2 * size, "contents": 1, "posts": 1, "post_bytes": size}
    assert (0, image, 2, 7) == (ended.status, found["kinds"]["image"], found["posts"], found["credits"])
    assert [("left alone", "heic", 1)] == [
        (rest["fate"], rest["extension"], rest["files"]) for rest in found["not_sent"]
    ]
    assert (0, False) == (posts(home), (home.home / "state").exists())


def test_a_rehearsal_knows_what_is_paid(home: House) -> None:
    """What was judged before is a content, but no post."""
    home.put("sample.jpg")
    at(home, "once")
    home.put("sample.jpg", "copy.jpg")
    found = json.loads(at(home, "once", "--dry-run", "--json").out)
    assert (2, 1, 0) == tuple(found["kinds"]["image"][name] for name in ("files", "contents", "posts"))


def test_a_rehearsal_in_words(home: House) -> None:
    """On paper it says posts, time at the account's limits and credits, and that nothing was sent."""
    home.api = {"posts_per_minute": 1}
    home.put("sample.jpg")
    home.put("sample.png")
    home.simulator.change(credits=1)
    said = at(home, "once", "--dry-run").out
    for words in ("2 posts, about 60 s at", "Credits available: 1.", "too little by 1", "Nothing was sent."):
        assert words in said


def test_a_rehearsal_needs_no_key(home: House) -> None:
    """Without a key all but the credits is said."""
    home.api = {"key_file": str(home.home / "none")}
    ended = at(home, "once", "--dry-run", environ={"IDENTIFAI_API_KEY": ""})
    assert (0, True) == (ended.status, "not known (there is no API key" in ended.out)


# The end that a person makes.


def test_ctrl_c_ends_it_without_a_traceback_and_loses_nothing(home: House) -> None:
    """Ctrl-C ends with 130 and one line; the next run takes up what was sent, and pays nothing again."""
    home.simulator.change(delay=3600.0)
    home.put("sample.jpg")
    command = [sys.executable, "-m", "identifai_watch", "once", "--config", str(home.config_path)]
    with subprocess.Popen(
        command, env=os.environ | {"IDENTIFAI_API_KEY": KEY}, stderr=subprocess.PIPE, text=True
    ) as process:
        assert home.simulator.state.wait_for(lambda state: state.count(Endpoint.UPLOAD) == 1, seconds=30)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert (130, False, True) == (
        process.returncode,
        "Traceback" in said,
        "Stopped. What is left stays queued for the next run." in said,
    )
    home.simulator.change(delay=0.0)
    assert (0, 1) == (at(home, "once").status, len(home.simulator.state.charged))


def test_a_terminal_shows_a_bar(home: House) -> None:
    """On a terminal standard error shows how many are done, in place."""
    home.put("sample.jpg")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "identifai_watch", "once", "--config", str(home.config_path)]
    around = os.environ | {"IDENTIFAI_API_KEY": KEY, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, env=around, stderr=theirs, stdout=subprocess.PIPE) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # a terminal whose other end is closed says so by an error
            pass
        finally:
            os.close(ours)
        process.communicate(timeout=20)
    assert (0, True, True) == (process.returncode, b"1/1" in shown, b"\x1b[" in shown)


def test_files_that_still_grow_are_named(home: House, capsys: pytest.CaptureFixture[str]) -> None:
    """What did not become whole is named with the reason; by itself that is no failure."""
    ending = Ending(growing=(("drop", b"big\n.mp4", "somebody is writing to it"),))
    config = home.config()
    with Ledger(home.ledger_url, node="here") as ledger:
        progress = gauge.progress(ledger, config, utc_now())
        assert running.report(ledger, config, ending, progress, as_json=False) == 0
    assert "still growing: drop/big\\n.mp4 (somebody is writing to it)" in capsys.readouterr().out
