"""Cost and quality on the page, the evidence bundle by a button, and the path that people see."""

import asyncio
import hashlib
import json
import os
import re
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pexpect
import pytest
from openapi_core import OpenAPI
from openapi_core.contrib.requests import RequestsOpenAPIRequest, RequestsOpenAPIResponse

from identifai_watch.core.costs import Cost, Costs, Spent, nothing
from identifai_watch.core.model import Label, Media
from identifai_watch.evidence import checking
from identifai_watch.ledger import Ledger
from identifai_watch.shift import utc_now
from identifai_watch.simulator import Script, Scripted
from identifai_watch.web import Page, Role, Server, bundles, charts, users
from identifai_watch.web.bundles import Bundles, NotNowError
from identifai_watch.web.reckoning import KEPT_SECONDS, Kept
from tests.browsing import HOST, Browser, served
from tests.console import at
from tests.harness import MEDIA, House, house, wait_for

MARKUP = 'a"; filename=evil.exe; <b>\u00e9.jpg'
LONG_AGO = timedelta(days=10)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def of(sample: str) -> str:
    """Return the hash of a sample."""
    return hashlib.sha256((MEDIA / sample).read_bytes()).hexdigest()


VERDICTS = (
    Scripted(sha256=of("sample.jpg"), classification=Label.ARTIFICIAL, confidence=0.95),
    Scripted(sha256=of("sample.png"), classification=Label.HUMAN, confidence=0.65),
    Scripted(media="video", errors="it cannot be read"),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Give a house with a picture of ten days ago, and of today its copy, others, decisions and a refusal."""
    options = {"shown_as": "smb://nas/drop & more"}
    with house(
        tmp_path_factory.mktemp("sums"), Script(verdicts=VERDICTS), folder=options, api={"posts_per_day": 50}
    ) as one:
        one.put("sample.jpg", MARKUP)
        with one.daemon(clock=lambda: utc_now() - LONG_AGO, node=HOST):
            one.sidecar(one.drop / MARKUP)
        one.put("sample.jpg", "copy.jpg")
        one.put("sample.png")
        one.put("sample.wav")
        one.put("sample.mp4")
        assert at(one, "once").status in {0, 1}
        for name, choice in ((MARKUP, "artificial"), ("copy.jpg", "human"), ("sample.png", "confirmed")):
            assert 0 == at(one, "decide", one.drop / name, choice, "--reason", "looked at").status
        at(one, "once")
        yield one


@pytest.fixture(scope="module")
def browser(home: House) -> Iterator[Browser]:
    """Give what asks the page of that house."""
    with served(home, node=HOST) as one:
        yield one


def number(home: House, name: str) -> int:
    """Return the number of a file."""
    return next(line.file.id for line in home.lines() if line.file.path == os.fsencode(name))


# Cost and quality.


def test_what_it_cost_is_told_as_the_command_tells_it(home: House, browser: Browser) -> None:
    """Page, API and command count the same, and a period leaves out what was before it."""
    since = f"{(datetime.now(UTC) - timedelta(days=29)).date()}"
    told = browser.json("/api/v1/costs")
    printed = json.loads(at(home, "costs", "--since", since, "--json").out)
    assert printed["days"] == told["days"]
    assert (4, 1) == (told["posts"], told["copies"])
    page = browser.seen("/costs")
    assert "4 contents" == page.text("costs-sent")
    assert "1 copy that cost nothing, 20% of what came" == page.text("costs-saved")
    assert "left" in page.text("costs-credits")
    assert "a day" in page.text("costs-pace")
    assert re.fullmatch(r"\d+ of 50 posts_per_day left", page.text("costs-purse"))
    assert "drop 4 1" == page.text("costs-folders").partition("Copies ")[2]
    old = (datetime.now(UTC) - LONG_AGO).date()
    assert f"{old} drop 1 0 0 0" in page.text("costs-rows")
    week = browser.seen("/costs?days=7")
    assert ("3 contents", False) == (week.text("costs-sent"), str(old) in week.text("costs-rows"))
    assert "7 days" == week.one(r'aria-current="true">([^<]+)<')


def test_quality_is_told_as_the_command_tells_it(home: House, browser: Browser) -> None:
    """By confidence, kind and model, with the share in which the desk agreed."""
    since = f"{(datetime.now(UTC) - timedelta(days=89)).date()}"
    printed = json.loads(at(home, "quality", "--since", since, "--json").out)
    assert printed == browser.json("/api/v1/quality?days=90")
    assert (3, 3) == (printed["decided"], sum(one["human"] + one["artificial"] for one in printed["by_band"]))
    page = browser.seen("/costs?days=90")
    assert page.text("quality-decided").startswith("3 files with a verdict were decided")
    assert "0.90 to 1.00 found 1 1 0 50%" in page.text("quality-band")
    assert "0.60 to 0.70 none found 1 0 0 100%" in page.text("quality-band")
    assert "image found 1 1 0 50%" in page.text("quality-media")
    for one in printed["by_model"]:
        assert one["name"] in page.text("quality-model")


def test_bars_are_drawn_without_style(browser: Browser) -> None:
    """Each bar is a rectangle with its text; nothing that the policy of the page would refuse is needed."""
    page = browser.seen("/costs")
    assert not re.search(r"<style|\sstyle=|<script(?! type=\"module\" src)", page.html)
    bars = re.findall(r'<rect class="day day-(\w+)"[^>]*><title>([^<]+)</title></rect>', page.html)
    today = datetime.now(UTC).date()
    assert {("sent", f"{today}: 3 sent, 1 saved"), ("saved", f"{today}: 3 sent, 1 saved")} <= set(bars)
    assert "Cost and quality" == page.one(r'href="/costs" aria-current="page">([^<]+)<')


@pytest.mark.parametrize("path", ["/costs?days=8", "/api/v1/costs?days=x", "/api/v1/quality?days=0"])
def test_other_periods_are_refused(browser: Browser, path: str) -> None:
    """A period that is not kept is not reckoned for whoever asks."""
    answer = browser.get(path)
    assert (400, True) == (answer.status_code, "none of 7, 30, 90" in answer.text)


@pytest.mark.parametrize("path", ["/api/v1/costs?days=7", "/api/v1/costs?days=90", "/api/v1/quality?days=30"])
def test_answers_are_as_they_are_described(browser: Browser, path: str) -> None:
    """Request and answer both pass the OpenAPI document that the page hands out, in every field."""
    described = OpenAPI.from_dict(browser.json("/api/v1/openapi.json"))
    answer = browser.get(path, Accept="application/json")
    described.validate_request(RequestsOpenAPIRequest(answer.request))
    described.validate_response(RequestsOpenAPIRequest(answer.request), RequestsOpenAPIResponse(answer))


def test_it_is_reckoned_once_a_minute_and_blocks_nobody() -> None:
    """However many ask at once, one thread reckons, and the loop turns meanwhile."""
    begun, may_end, now = threading.Event(), threading.Event(), [0.0]
    reckoned: list[datetime] = []

    def reckon(since: datetime, _until: datetime) -> datetime:
        begun.set()
        assert may_end.wait(20)
        reckoned.append(since)
        return since

    async def ask() -> None:
        kept = Kept(reckon, asyncio.Lock(), clock=lambda: now[0])
        asking = [asyncio.create_task(kept.of(days)) for days in (7, 7, 30, 7)]
        await asyncio.to_thread(begun.wait, 20)
        may_end.set()  # which the loop could not, if it were blocked
        found = await asyncio.gather(*asking)
        assert (2, found[0], found[0]) == (len(reckoned), found[1], found[3])
        assert timedelta(days=23) == found[0] - found[2]
        now[0] += KEPT_SECONDS - 1
        await kept.of(7)
        assert 2 == len(reckoned)
        now[0] += 2
        await kept.of(7)
        assert 3 == len(reckoned)

    asyncio.run(ask())


def test_bars_stand_within_their_place() -> None:
    """The highest day fills its place, the least is seen, layers stand on each other, and nothing draws nothing."""
    lines = tuple(
        Cost(day=date(2026, 3, day), folder="drop", media=Media.IMAGE, posts=posts, copies=copies)
        for day, posts, copies in ((10, 9_000, 1_000), (9, 1, 0), (4, 0, 2))
    )
    empty = nothing(NOW - timedelta(days=6), NOW)
    used = Costs(
        since=empty.since,
        until=NOW,
        lines=lines,
        resent=0,
        spent=(Spent(day=date(2026, 3, 9), credits=2.5, added=0.0),),
        left=empty.left,
    )
    drawn = charts.contents(used)
    assert drawn is not None
    assert ("10,000", date(2026, 3, 4), date(2026, 3, 10)) == (drawn.most, drawn.first, drawn.last)
    assert ["saved", "sent", "sent", "saved"] == [one.layer for one in drawn.bars]
    sent, saved = drawn.bars[2:]
    assert sent.y + sent.height == pytest.approx(100)
    assert saved.y + saved.height == pytest.approx(sent.y)
    assert 0 <= saved.y <= 7
    assert all(one.height >= 3 and 0 <= one.x <= 1_000 - one.width for one in drawn.bars)
    went = charts.credits_spent(used)
    assert went is not None
    assert ["2026-03-09: 2.50 spent"] == [one.says for one in went.bars]
    assert charts.contents(empty) is charts.credits_spent(empty) is None


# Evidence by a button.


def bundled(browser: Browser, file: int, **form: str) -> "tuple[int, dict[str, str], bytes]":
    """Press the button of a file, and return what comes."""
    page = browser.seen(f"/files/{file}")
    token = re.search(r'name="token" value="(\w+)"', page.form(f"/files/{file}/bundle"))
    assert token is not None
    answer = browser.post(f"/files/{file}/bundle", {"token": token[1]} | form)
    return answer.status_code, dict(answer.headers), answer.content


def test_the_button_makes_the_bundle_of_the_command(home: House, browser: Browser, tmp_path: Path) -> None:
    """It is whole by its own check, holds what the command's holds, and its name is plain whatever the file's is."""
    status, headers, body = bundled(browser, number(home, MARKUP))
    assert (200, "application/zip", str(len(body))) == (
        status,
        headers["content-type"],
        headers["content-length"],
    )
    assert re.fullmatch(
        r'attachment; filename="evidence-[A-Za-z0-9._-]+\.jpg\.zip"', headers["content-disposition"]
    )
    mine, theirs = tmp_path / "mine.zip", tmp_path / "theirs.zip"
    mine.write_bytes(body)
    assert checking.verify(mine).ok
    assert 0 == at(home, "bundle", home.drop / MARKUP, "-o", theirs).status
    with zipfile.ZipFile(mine) as one, zipfile.ZipFile(theirs) as other:
        assert one.namelist() == other.namelist()
        original = next(name for name in one.namelist() if "/original/" in name)
        assert one.read(original) == (home.drop / MARKUP).read_bytes()


def test_a_bundle_writes_nothing(home: House, browser: Browser) -> None:
    """Neither a line of history nor a file is left."""
    before = [(line.file, line.analysis) for line in home.lines()]
    history = browser.seen(f"/files/{number(home, 'copy.jpg')}").text("history")
    tree = sorted(home.home.rglob("*"))
    assert 200 == bundled(browser, number(home, "copy.jpg"))[0]
    assert before == [(line.file, line.analysis) for line in home.lines()]
    assert history == browser.seen(f"/files/{number(home, 'copy.jpg')}").text("history")
    assert tree == sorted(home.home.rglob("*"))


def test_without_our_form_there_is_none(home: House, browser: Browser) -> None:
    """Neither a link, nor another site's form, nor one without its token makes the disk work."""
    path = f"/files/{number(home, MARKUP)}/bundle"
    assert 405 == browser.get(path).status_code
    assert 403 == browser.post(path, {"token": "made up"}).status_code
    token = browser.token(f"/files/{number(home, MARKUP)}")
    assert 403 == browser.post(path, {"token": token}, Sec_Fetch_Site="cross-site").status_code
    assert 404 == browser.post("/files/9999/bundle", {"token": token}).status_code


def test_whoever_may_look_may_have_it(home: House, tmp_path: Path) -> None:
    """A user of the role view may, for all of it is shown; whoever is not known may not."""
    looks, token = users.made("ann", Role.VIEW)
    users.write(tmp_path / "users", {"ann": looks})
    with served(home, node=HOST, users_file=str(tmp_path / "users")) as browser:
        file = number(home, MARKUP)
        assert 401 == browser.post(f"/files/{file}/bundle", {"token": "x"}).status_code
        browser.headers["Authorization"] = f"Bearer {token}"
        assert 200 == bundled(browser, file)[0]
        answer = browser.post(f"/files/{file}/decide", {"token": browser.token(f"/files/{file}")})
        assert (403, True) == (answer.status_code, "You may look" in answer.text)


def test_a_refusal_is_a_page_that_says_why(home: House, browser: Browser) -> None:
    """What was changed, or never judged, is refused with the remedy at hand, and bundled for whoever ticks the box."""
    changed = home.drop / "sample.wav"
    content = changed.read_bytes()
    status = changed.stat()
    try:
        changed.write_bytes(b"\0" * len(content))
        for name, why in (("sample.wav", "it changed since it was judged"), ("sample.mp4", "has no verdict")):
            file = number(home, name)
            code, headers, body = bundled(browser, file)
            assert (400, "text/html; charset=utf-8") == (code, headers["content-type"])
            assert why in body.decode()
            assert "tick the box" in body.decode()
            assert "--partial" not in body.decode()
            code, headers, body = bundled(browser, file, partial="1")
            assert (200, "application/zip") == (code, headers["content-type"])
    finally:
        changed.write_bytes(content)
        os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_disk_without_room_is_told(home: House, browser: Browser, tmp_path: Path) -> None:
    """The ledger may lie on the same disk: it is spared, and what cannot be written there is no fault of the visitor."""
    (tmp_path / "file").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CACHE_DIRECTORY", str(tmp_path / "file" / "cache"))
        status, headers, body = bundled(browser, number(home, MARKUP))
    assert (503, "text/html; charset=utf-8") == (status, headers["content-type"])
    assert "It cannot be written here" in body.decode()
    with Ledger(home.ledger_url, node=HOST) as ledger:
        page = Page(config=home.config, ledger=ledger)
        line = page.line(number(home, MARKUP))
        full = Bundles(tmp_path, spared=1 << 60)
        with pytest.raises(NotNowError, match="no room"):
            asyncio.run(full.made(page, line, is_partial=False))


@contextmanager
def with_bundles(home: House, made: Bundles) -> Iterator[Browser]:
    """Serve the page of a house with bundles of these bounds."""
    home.more = home.more | {"web": {"listen": "127.0.0.1:0"}}
    config = home.config()
    with (
        Ledger(home.ledger_url, node=HOST) as ledger,
        Server(Page(config=lambda: config, ledger=ledger), ("127.0.0.1", 0)) as server,
    ):
        server._server.config.app._app.state.bundles = made
        yield Browser(f"http://127.0.0.1:{server.port}")


def test_few_are_there_at_once(home: House, tmp_path: Path) -> None:
    """Those that are asked for at once come one after the other; whoever waits too long is told to try again."""
    file = number(home, MARKUP)
    few = Bundles(tmp_path, spared=0, turn_seconds=20)
    with with_bundles(home, few) as browser, ThreadPoolExecutor(8) as threads:
        asking = [threads.submit(bundled, Browser(browser.url), file) for _ in range(8)]
        assert [200] * 8 == [one.result()[0] for one in asking]
    hurried = Bundles(tmp_path, spared=0, turn_seconds=0.1)
    with with_bundles(home, hurried) as browser:
        turn = hurried.turn("drop")
        with turn:
            status, _, body = bundled(browser, file)
        assert (503, True) == (status, "Another bundle of this folder is being made" in body.decode())
        for _ in range(bundles.AT_ONCE):
            asyncio.run(hurried.room.acquire())
        status, _, body = bundled(browser, file)
        assert (503, True) == (status, "Other bundles are being made" in body.decode())
        hurried.room.release()
        assert 200 == bundled(browser, file)[0]
        assert 200 == bundled(browser, file)[0]  # its room was free again
    assert [] == list(tmp_path.iterdir())


def test_a_large_file_takes_no_memory(tmp_path: Path) -> None:
    """A file of 90 MB is bundled and sent in blocks: the process grows by far less."""
    large = 90_000_000
    with house(tmp_path) as home:
        path = home.drop / "large.mp4"
        path.write_bytes((MEDIA / "sample.mp4").read_bytes())
        os.truncate(path, large)
        home.once()
        with with_bundles(home, Bundles(tmp_path, spared=0)) as browser:
            page = f"/files/{number(home, 'large.mp4')}"
            token = browser.token(page)
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            before = _peak()
            with browser.session.post(
                f"{browser.url}{page}/bundle", data={"token": token}, stream=True, timeout=60
            ) as answer:
                assert 200 == answer.status_code
                assert large < sum(len(block) for block in answer.iter_content(65_536))
            assert _peak() - before < large / 4
        _is_left_in_the_lurch(home, tmp_path)


def _is_left_in_the_lurch(home: House, directory: Path) -> None:
    """Whoever takes nothing for long, or goes away, is left: the next one has his room."""
    impatient = Bundles(directory, spared=0, stalled_seconds=0.3)
    with with_bundles(home, impatient) as browser:
        page = f"/files/{number(home, 'large.mp4')}"
        form = {"token": browser.token(page)}
        for is_gone in (False, True):
            with browser.session.post(f"{browser.url}{page}/bundle", data=form, stream=True) as answer:
                assert (200, bundles.AT_ONCE - 1) == (answer.status_code, impatient.room._value)
                if is_gone:
                    answer.raw.close()
                wait_for(lambda: impatient.room._value == bundles.AT_ONCE, "his room is free again")


def _peak() -> int:
    """Return the most bytes that this process had at once since that was last reset."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    assert found is not None
    return int(found[1]) * 1000


# The path that people see.


def test_people_see_the_path_that_they_know(home: House, browser: Browser) -> None:
    """shown_as stands where folders and files are shown, and in what machines are told, as in the commands."""
    assert "smb://nas/drop & more" in browser.seen("/now").text("now-folders")
    facts = browser.seen(f"/files/{number(home, 'copy.jpg')}").text("facts")
    assert "Shown as smb://nas/drop & more/copy.jpg" in facts
    assert str(home.drop / "copy.jpg") in facts
    told = {one["id"]: one["shown_at"] for one in browser.json("/api/v1/files")["files"]}
    assert "smb://nas/drop & more/copy.jpg" == told[number(home, "copy.jpg")]


def test_an_xmp_file_that_was_left_alone_is_told(tmp_path: Path) -> None:
    """Why the verdict does not stand in the file that an editor opens is in the history of its picture."""
    with house(tmp_path, folder={"xmp": True}) as home:
        home.put("sample.jpg")
        (home.drop / "sample.xmp").write_text("no XML at all", encoding="ascii")
        home.once()
        with served(home) as browser:
            history = browser.seen(f"/files/{number(home, 'sample.jpg')}").text("history")
    assert "XMP file left alone" in history
    assert "it is no XML" in history


# The demonstration.


def test_the_demonstration_has_a_page() -> None:
    """It is named at the beginning and at the end, on this machine alone, and shows what was dropped until a key is pressed."""
    demo = pexpect.spawn(
        sys.executable, ["-m", "identifai_watch", "demo"], encoding="utf-8", timeout=60, dimensions=(50, 120)
    )
    try:
        demo.expect(r"Its page is at \S*(http://127\.0\.0\.1:\d+)")
        url = demo.match[1]
        demo.expect(rf"in a browser: \S*{url}")
        browser = Browser(url)
        assert "harbour.jpg" in browser.seen("/").text("files")
        assert "1 copy that cost nothing" in browser.seen("/costs").text("costs-saved")
        demo.expect("Press any key")
        demo.send("q")
        demo.expect(pexpect.EOF)
    finally:
        demo.close()
    assert 0 == demo.exitstatus
