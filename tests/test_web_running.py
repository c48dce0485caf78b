"""The page beside a daemon, and alone: what is live, what is under way, a port that is taken, what it costs others."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
import structlog

from identifai_watch import vigil
from identifai_watch.cli.running import page_beside
from identifai_watch.core.moment import Doing
from identifai_watch.daemon import Daemon
from identifai_watch.shift import utc_now
from tests.browsing import HOST, Browser, served
from tests.console import at
from tests.harness import House, house, wait_for


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """Give a house whose daemon serves a page."""
    with house(tmp_path, more={"web": {"listen": "127.0.0.1:0"}}) as one:
        yield one


def address(home: House) -> str:
    """Wait for the address that the daemon's log tells."""
    found = wait_for(
        lambda: [line["url"] for line in home.logged() if line.get("event") == "page"], "the page is up"
    )
    return str(found[0])


def test_run_serves_the_page_until_it_stops(home: House) -> None:
    """The daemon's own process answers at [web] listen; new files appear and change without a reload."""
    with home.process() as process:
        browser = Browser(address(home))
        assert "runs" in browser.seen("/").text("now-daemon")
        assert 200 == browser.get("/healthz").status_code
        with browser.live("/live?view=home") as events:
            seen = threading.Event()
            marks: list[str] = []

            def hear() -> None:
                for name, data in events:
                    if name == "rows" and data["id"] == "files" and data["rows"]:
                        marks.extend(row["html"] for row in data["rows"].values())
                        if re.search('class="sign sign-(none_found|found|unclear)"', marks[-1]):
                            seen.set()
                            return

            thread = threading.Thread(target=hear, daemon=True)
            thread.start()
            home.put("sample.jpg")
            assert seen.wait(20), marks
            thread.join(20)
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(10)


def test_a_port_that_is_taken_stops_no_daemon(home: House) -> None:
    """The log says what is taken and what to do; files are judged all the same, and the page comes once it can."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        home.more = {"web": {"listen": f"127.0.0.1:{port}"}}
        path = home.put("sample.jpg")
        with home.process():
            home.sidecar(path)
            alone = home.command("web")
            other.close()
            wait_for(
                lambda: [line for line in home.logged() if line.get("event") == "page"], "the page is up"
            )
            beside_it = home.command("web")
        [said] = [line["reason"] for line in home.logged() if line.get("event") == "no page"]
        assert f"web.listen: 127.0.0.1:{port} cannot be had" in said
        assert "choose another port" in said
        assert (1, True) == (alone.returncode, "choose another port" in alone.stderr)
        assert (1, True) == (
            beside_it.returncode,
            "a daemon runs, and serves the page already" in beside_it.stderr,
        )


@contextmanager
def beside(home: House, clock: Callable[[], datetime] = utc_now) -> Iterator[tuple[Browser, Daemon]]:
    """Run a daemon in a thread with its page, as ``run`` does, once the page is up."""
    with structlog.testing.capture_logs() as lines, home.daemon(clock=clock) as daemon, page_beside(daemon):
        found = wait_for(lambda: [one["url"] for one in lines if one["event"] == "page"], "the page is up")
        yield Browser(found[0]), daemon


def test_now_shows_what_is_under_way(home: House) -> None:
    """What settles, and how many bytes of an upload have left, is told while it lasts."""
    home.api = {"upload_megabits_per_second": 2}
    with beside(home) as (browser, daemon):
        browser.get("/now")
        size = home.put("sample.jpg", extra=b"x" * 3_000_000).stat().st_size
        wait_for(
            lambda: any(one.doing is Doing.UPLOADING and one.done for one in daemon.moment().motions),
            "it is sent",
        )
        [motion] = daemon.moment().doing(Doing.UPLOADING)
        assert (size, True) == (motion.size, 0 < (motion.done or 0) < size)
        page = browser.seen("/now")
        assert "Uploading: 1" in page.text("now-ways")
        assert re.search(rf'<progress max="{size}" value="\d+" aria-label="sent of sample.jpg">', page.html)
        home.put("sample.png", "growing.png")
        wait_for(lambda: "growing.png" in browser.seen("/now").text("now-ways"), "it settles")


def test_the_health_of_a_loop_that_stands_still(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon whose loop does not turn any more is not well, though its process is there; until it turns again."""
    monkeypatch.setattr(vigil, "STALLED", 3.0)
    turns = threading.Event()
    turns.set()

    def clock() -> datetime:
        turns.wait(30)
        return utc_now()

    with beside(home, clock=clock) as (browser, _):
        wait_for(lambda: browser.get("/healthz").status_code == 200, "it turns")
        turns.clear()
        wait_for(lambda: browser.get("/healthz").status_code == 503, "it is seen to stand still")
        turns.set()
        wait_for(lambda: browser.get("/healthz").status_code == 200, "it turns again")


def test_the_page_alone_says_what_the_ledger_tells(home: House) -> None:
    """Without a daemon `identifai-watch web` serves the same files; nothing under way is made up."""
    home.put("sample.jpg")
    home.once()
    command = [sys.executable, "-m", "identifai_watch", "web", "--config", str(home.config_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        browser = Browser(re.search(r"http://[\d.:]+\d", process.stderr.readline())[0])  # type: ignore[index]
        page = browser.seen("/")
        assert [1] == page.rows()
        assert "does not run" in page.text("now-daemon")
        process.send_signal(signal.SIGINT)
        assert 0 == process.wait(10)


def test_the_page_makes_no_ledger(home: House) -> None:
    """Where no daemon ever ran there is nothing to show, and nothing is made."""
    ended = home.command("web")
    assert (1, True) == (ended.returncode, "there is no ledger yet" in ended.stderr)
    assert not (home.home / "state" / "ledger.db").exists()


def test_live_lists_follow_filters_and_pages(home: House) -> None:
    """What is live is the list that is looked at: its filters, its page, its order."""
    home.put("sample.jpg")
    home.put("sample.wav")
    home.once()
    with served(home) as browser:
        with browser.live("/live?view=files&media=audio") as events:
            name, data = next(events)
        audio = next(line.file.id for line in home.lines() if line.file.media == "audio")
        assert ("rows", [audio]) == (name, data["order"])
        with browser.live("/live?view=file&id=1") as events:
            name, data = next(events)
        assert ("part", "file-body") == (name, data["id"])
        for path, status in (
            ("?view=files&outcome=x", 400),
            ("?view=file&id=99", 404),
            ("?view=x", 404),
            ("", 404),
        ):
            assert status == browser.get(f"/live{path}").status_code


def test_a_change_by_somebody_else_is_live(home: House) -> None:
    """What a command writes from another process is seen by whoever looks."""
    path = home.put("sample.jpg")
    assert 0 == at(home, "once").status
    with served(home, node=HOST) as browser, browser.live("/live?view=file&id=1") as events:
        assert "Nobody has decided." in next(events)[1]["html"]
        assert 0 == home.command("decide", str(path), "human", "--reason", "her own camera").returncode
        assert "her own camera" in next(events)[1]["html"]


@pytest.mark.parametrize("words", [["--help"], ["status", "--json"], ["list"]])
def test_other_commands_do_not_pay_for_the_page(home: House, words: list[str]) -> None:
    """What serves the page is not imported by who does not serve it."""
    code = (
        "import sys, json\n"
        "from identifai_watch.cli import main\n"
        "sys.argv = ['identifai-watch', *json.loads(sys.argv[1])]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'starlette', 'uvicorn', 'jinja2', 'identifai_watch.web'} & set(sys.modules)\n"
        "print(heavy, file=sys.stderr)\n"
    )
    options = [] if words == ["--help"] else ["--config", str(home.config_path)]
    ended = subprocess.run(
        [sys.executable, "-c", code, json.dumps([*words, *options])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "set()" == ended.stderr.strip().splitlines()[-1]


def test_who_looks_later_sees_what_is_there_then(home: House) -> None:
    """What was made for those who looked before is not shown to somebody who comes when they are gone."""
    home.put("sample.jpg")
    home.once()
    with served(home) as browser:
        with browser.live("/live?view=files") as events:
            assert [1] == next(events)[1]["order"]
        home.put("sample.png")
        home.once()
        with browser.live("/live?view=files") as events:
            assert [2, 1] == next(events)[1]["order"]
