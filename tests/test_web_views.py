"""The page's views: how things stand, what to review, the files, one file, over real HTTP and a real ledger."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from identifai_watch.core.model import Label
from identifai_watch.simulator import Script, Scripted
from identifai_watch.web import listing
from tests.browsing import Browser, served
from tests.harness import MEDIA, House, house

MARKUP = '<img src=x onerror=alert(1)> & "quoted".jpg'


def content(sample: str, extra: bytes = b"") -> str:
    """Return the hash of a sample as the simulator is told of it."""
    return hashlib.sha256((MEDIA / sample).read_bytes() + extra).hexdigest()


VERDICTS = (
    Scripted(sha256=content("sample.jpg"), classification=Label.ARTIFICIAL, confidence=0.93),
    Scripted(sha256=content("sample.png"), classification=Label.HUMAN, confidence=0.8),
    Scripted(sha256=content("sample.wav"), classification=Label.HUMAN, confidence=0.7),
    Scripted(sha256=content("sample.mp4"), classification=Label.ARTIFICIAL, confidence=0.6, unknown=True),
    Scripted(sha256=content("sample.gif"), errors="the model could not read it"),
    Scripted(sha256=content("sample.jpg", b"markup"), classification=Label.HUMAN, confidence=0.5),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Give a house in which files of every kind were judged."""
    with house(tmp_path_factory.mktemp("views"), Script(verdicts=VERDICTS)) as one:
        for sample in ("sample.jpg", "sample.png", "sample.wav", "sample.mp4", "sample.gif"):
            one.put(sample)
        one.put("sample.jpg", "archive/copy of it.jpg")
        one.put("sample.jpg", MARKUP, extra=b"markup")
        one.put("sample.png", "Ärger.PNG", extra=b"text")
        one.once()
        yield one


@pytest.fixture(scope="module")
def browser(home: House) -> Iterator[Browser]:
    """Give a browser at the page of that house."""
    with served(home) as one:
        yield one


def number(home: House, name: str) -> int:
    """Return the number of a file by the end of its path."""
    return next(line.file.id for line in home.lines() if line.file.path.decode().endswith(name))


def test_the_overview_lists_the_newest_without_a_script(home: House, browser: Browser) -> None:
    """What is to be reviewed comes first, then the newest files; all of it is in the page as it is sent."""
    page = browser.seen("/")
    assert page.ids.index("now") < page.ids.index("review") < page.ids.index("newest")
    assert sorted(page.rows(), reverse=True) == sorted((line.file.id for line in home.lines()), reverse=True)
    reviewed = {number(home, "sample.jpg"), number(home, "copy of it.jpg"), number(home, "sample.mp4")}
    assert reviewed == set(page.rows("reviews"))
    assert "3 files wait for the desk" in page.text("review-count")


def test_nobody_is_called_human(browser: Browser) -> None:
    """A verdict is told as signs of generation, and never that somebody or something is human."""
    page = browser.seen("/")
    assert {"none found", "found", "unclear", "not examined"} == set(
        re.findall(r'class="sign sign-\w+">([^<]+)<', page.html)
    )
    assert "is human" not in page.html
    assert ">human<" not in page.html


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("outcome=artificial", {"sample.jpg", "copy of it.jpg"}),
        ("outcome=uncertain", {"sample.mp4"}),
        ("outcome=rejected", {"sample.gif"}),
        ("media=audio", {"sample.wav"}),
        ("media=video&outcome=human", set()),
        ("text=%C3%84RGER", {"Ärger.PNG"}),
        ("text=a%CC%88rger", {"Ärger.PNG"}),
        ("text=archive/", {"copy of it.jpg"}),
        ("text=onerror", {MARKUP}),
        ("text=" + content("sample.jpg"), {"sample.jpg", "copy of it.jpg"}),
        ("decision=human", set()),
        ("folder=drop&decision=none&media=image&state=delivered&outcome=rejected", {"sample.gif"}),
        ("folder=nowhere", set()),
        ("state=held", set()),
        ("state=stuck", set()),
        ("state=doubt", set()),
        ("state=gone", set()),
    ],
)
def test_files_are_filtered(browser: Browser, query: str, expected: set[str]) -> None:
    """Each filter leaves what it names, also together; a text is found whatever its case or its accents' form."""
    assert expected == names(browser, query)


def names(browser: Browser, query: str) -> set[str]:
    """Return the names of the files that the page and the API both give for a query."""
    shown = browser.seen(f"/files?{query}").rows()
    told = browser.json(f"/api/v1/files?{query}")["files"]
    assert shown == [one["id"] for one in told]
    return {one["path"].rpartition("/")[2] if "<" not in one["path"] else one["path"] for one in told}


def test_pages_follow_by_key(home: House, browser: Browser) -> None:
    """The pages of a list hold each file once, newest first, and end."""
    after, seen = "", []
    while True:
        page = browser.json(f"/api/v1/files?limit=3&after={after}")
        seen += [one["id"] for one in page["files"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert [line.file.id for line in home.lines()] == seen


@pytest.mark.parametrize(
    "query", ["outcome=wrong", "media=x", "state=x", "decision=x", "after=x", "after=1-", "after=9-9-9"]
)
def test_what_is_not_known_is_answered(browser: Browser, query: str) -> None:
    """A query that names nothing known is refused with what is, and is no error of ours."""
    for path in ("/files", "/api/v1/files"):
        assert 400 == browser.get(f"{path}?{query}").status_code


def test_a_name_that_is_markup_is_only_shown(home: House, browser: Browser) -> None:
    """Names come from strangers: in a list, in the page of a file and in what is live they are text."""
    row = number(home, MARKUP)
    for path in ("/", f"/files/{row}"):
        assert "<img src=x" not in browser.seen(path).html
    assert MARKUP == browser.seen(f"/files/{row}").text("file-title")
    with browser.live("/live?view=files") as events:
        data = next(data for name, data in events if name == "rows")
    assert "<img src=x" not in data["rows"][str(row)]["html"]


@pytest.mark.parametrize(
    ("name", "signs", "means"),
    [
        ("sample.jpg", "found", "not the part of it that was generated"),
        ("sample.png", "none found", "how sure the heuristic"),
        ("sample.wav", "none found", "Each clip has its own"),
    ],
)
def test_one_file_says_what_its_verdict_means(
    home: House, browser: Browser, name: str, signs: str, means: str
) -> None:
    """The page of a file tells the signs, what the confidence means for that kind, and what was not examined."""
    page = browser.seen(f"/files/{number(home, name)}")
    assert signs == page.text("signs-are")
    assert means in page.text("confidence-means")
    assert page.has("limits")


def test_a_video_that_cannot_be_told_shows_no_confidence(home: House, browser: Browser) -> None:
    """Where identifAI could not tell the number means nothing, and that only some frames were looked at is said."""
    page = browser.seen(f"/files/{number(home, 'sample.mp4')}")
    assert "unclear" == page.text("signs-are")
    assert "means nothing here" in page.text("confidence")
    assert "<meter" not in page.html.split('id="confidence"')[1].split("</p>")[0]
    assert "at which second they lie is not told" in page.text("limits")


def test_one_file_shows_history_sidecar_and_copies(home: House, browser: Browser) -> None:
    """What happened, the sidecar as it lies beside the file, and the files with the same content are all there."""
    page = browser.seen(f"/files/{number(home, 'sample.jpg')}")
    assert "copy of it.jpg" in page.text("copies")
    for event in ("noticed and hashed", "uploaded", "judged", "delivered"):
        assert event in page.text("history")
    shown = browser.json(f"/files/{number(home, 'sample.jpg')}/sidecar")
    lies = json.loads(Path(home.drop / "sample.jpg.identifai.json").read_text(encoding="utf-8"))
    del shown["times"]["delivered_at"], lies["times"]["delivered_at"]
    assert lies == shown


def test_now_says_how_things_stand(browser: Browser) -> None:
    """Account, budget, purse, backlog, folders and what is under way are told, with what to do."""
    page = browser.seen("/now")
    assert "does not run" in page.text("now-daemon")
    assert "identifai-watch run" in page.text("now-daemon")
    assert "all right" in page.text("now-account")
    assert "no limits are set" in page.text("now-budget")
    assert "nothing waits" in page.text("now-backlog")
    assert "drop" in page.text("now-folders")
    for what in ("settling", "uploading", "awaiting", "doubt", "stuck"):
        assert page.has(f"way-{what}")


def test_nothing_is_loaded_from_elsewhere(home: House, browser: Browser) -> None:
    """A page names no other host but identifAI's, in a link; scripts and styles stand in files of ours."""
    for path in ("/", "/now", "/files", f"/files/{number(home, 'sample.jpg')}"):
        page = browser.seen(path).html
        assert "<script>" not in page
        assert " style=" not in page
        assert "<style" not in page
        for attribute in ("src", "srcset", "action"):
            assert f'{attribute}="http' not in page
    for name in ("page.js", "live.js", "dialogs.js", "page.css", "icons.svg"):
        address = browser.seen("/").one(r'href="(/static/\w+)/page.css"')
        answer = browser.get(f"{address}/{name}")
        assert (200, True) == (answer.status_code, "immutable" in answer.headers["Cache-Control"])
        assert "http://www.w3.org/2000/svg" in answer.text or "http" not in answer.text


@pytest.mark.parametrize(
    "path",
    ["/files/99999", "/files/99999999999999999999", "/nowhere", "/static/x/nothing.js", "/files/1/nothing"],
)
def test_what_is_not_there_is_not_found(browser: Browser, path: str) -> None:
    """An address that leads nowhere is answered with 404, by a page that leads back."""
    answer = browser.get(path)
    assert 404 == answer.status_code
    assert 'href="/"' in answer.text


def test_a_text_is_looked_for_as_long_as_there_is_time(
    home: House, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the time is over before the page is full it says how far it looked, and the next page goes on from there."""
    monkeypatch.setattr(listing, "PIECE", 2)
    monkeypatch.setattr(listing, "LOOK_SECONDS", 0.0)
    path, found, pages = "/files?text=sample", [], 0
    while True:
        page = browser.seen(path)
        found += page.rows()
        pages += 1
        if not page.has("older"):
            break
        assert "there are older ones" in page.text("looked-to")
        assert "Look further back" == page.text("older")
        path = page.one(r'id="older" rel="next" href="([^"]+)"')
    assert pages > 2
    assert {line.file.id for line in home.lines() if b"sample" in line.file.path} == set(found)
