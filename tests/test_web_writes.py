"""What is done on the page: decide, retry, rejudge and release, with and without a daemon, after a page that asks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from identifai_watch.core.model import AnalysisState, Label, Outcome
from identifai_watch.ledger import Ledger, views
from identifai_watch.simulator import Endpoint, Script, Scripted
from tests.browsing import HOST, Browser, served
from tests.harness import House, house, wait_for


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """Give a house where everything is judged human, and files move."""
    script = Script(verdicts=(Scripted(classification=Label.HUMAN, confidence=0.9),))
    with house(tmp_path, script, folder={"action": "move"}) as one:
        yield one


def history(home: House, number: int) -> list[tuple[str, str]]:
    """Return who did what to a file."""
    line = next(line for line in home.lines() if line.file.id == number)
    with Ledger(home.ledger_url, node="here") as ledger, ledger.read() as tx:
        return [(one.who, one.event) for one in views.history_of(tx, line.file)]


def asked(browser: Browser, path: str) -> tuple[str, str]:
    """Return what a page says that it does, and what it costs."""
    page = browser.seen(path)
    return page.text("confirm-does"), page.text("confirm-costs")


def test_a_decision_moves_the_file_while_the_daemon_runs(home: House) -> None:
    """The page says where the file goes and that it costs nothing; the daemon then moves it."""
    home.put("sample.jpg")
    with home.daemon(), served(home) as browser:
        wait_for((home.drop / "human" / "sample.jpg").exists, "it is delivered")
        does, costs = asked(browser, "/files/1/decide")
        assert "moves" in does
        assert "identifAI is not told" in does
        assert "Nothing." == costs
        answer = browser.fill("/files/1/decide", choice="artificial", reason="the shadows\r\ndisagree")
        assert "/files/1?done=decided" == answer.headers["Location"]
        wait_for((home.drop / "artificial" / "sample.jpg").exists, "it moved")
        page = browser.seen("/files/1?done=decided")
        assert "generated, decided by page" in page.text("decision")
        assert "the shadows disagree" in page.text("decision")
        assert "none found" == page.text("signs-are"), "what the desk says does not change what was found"
        assert page.has("done")
    assert 1 == home.simulator.state.count(Endpoint.UPLOAD)
    assert 0 == home.simulator.state.count(Endpoint.OVERRIDE)


def test_judging_anew_is_paid_for_and_says_so(home: House) -> None:
    """The page says that it is paid again; the next run sends it once more, and the earlier verdict is kept."""
    home.put("sample.jpg")
    home.once()
    with served(home) as browser:
        does, costs = asked(browser, "/files/1/rejudge")
        assert "sent again" in does
        assert "paid for again" in costs
        assert "/files/1?done=rejudged" == browser.fill("/files/1/rejudge").headers["Location"]
        with home.daemon():
            wait_for(lambda: _states(home) == [AnalysisState.JUDGED], "it is judged anew")
        assert 2 == home.simulator.state.count(Endpoint.UPLOAD)
        assert ("page", "rejudged") in history(home, 1)
        assert 400 == browser.get("/files/1/retry").status_code, "there is nothing to retry"


def test_retry_goes_on_where_it_stood(home: House) -> None:
    """What was refused is tried again by a form, and judged then."""
    home.simulator.change(verdicts=(Scripted(errors="the model is down"),))
    home.put("sample.jpg")
    home.once()
    assert [Outcome.REJECTED] == [line.file.outcome for line in home.lines()]
    home.simulator.change(verdicts=(Scripted(classification=Label.HUMAN, confidence=0.9),))
    with served(home) as browser:
        assert "Nothing is paid twice" in asked(browser, "/files/1/retry")[1]
        assert "/files/1?done=retried" == browser.fill("/files/1/retry").headers["Location"]
        home.once()
        assert "none found" == browser.seen("/files/1").text("signs-are")


def test_what_is_held_is_released_as_many_as_asked(home: House) -> None:
    """The page says how many there are and what they cost at most; a form lets some go."""
    home.folder = {"existing": "hold", "existing_hold_above": 0}
    for name in ("sample.jpg", "sample.png", "sample.wav"):
        home.put(name)
    with home.process():
        wait_for(lambda: [line.file.held for line in home.lines()] == [True] * 3, "three files are held")
    with served(home, node=HOST) as browser:
        assert "3 files in drop" in browser.seen("/now").text("now-held")
        assert "at most 3" in asked(browser, "/release?folder=drop")[1]
        for wrong in ("0", "x", "-1", ""):
            assert 400 == browser.fill("/release?folder=drop", limit=wrong).status_code
        assert 303 == browser.fill("/release?folder=drop", limit="1").status_code
        assert [False, True, True] == sorted(line.file.held for line in home.lines())
        assert 400 == browser.get("/release?folder=nowhere").status_code


def test_what_waits_says_why_and_what_to_do(home: House) -> None:
    """The page of a file that is not judged says what it waits for."""
    home.simulator.change(delay=3600)
    home.put("sample.jpg")
    with home.daemon(), served(home) as browser:
        wait_for(lambda: _states(home) == [AnalysisState.AWAITING], "it is awaited")
        page = browser.seen("/files/1")
        assert ("not examined yet", "identifAI is at it") == (page.text("signs-are"), page.text("standing"))
        assert page.text("explanation") != ""
        assert "sample.jpg" in browser.seen("/now").text("now-ways")


def _states(home: House) -> list[AnalysisState | None]:
    return [None if line.analysis is None else line.analysis.state for line in home.lines()]


def test_the_question_comes_alone_for_a_dialog(home: House) -> None:
    """A script gets the form without the page around it; it is the same form."""
    home.put("sample.jpg")
    home.once()
    with served(home) as browser:
        alone = browser.seen("/files/1/decide?fragment=1").html
        assert "<html" not in alone
        assert browser.seen("/files/1/decide").form("/files/1/decide").strip() in alone.replace(
            "<form ", "", 1
        )
