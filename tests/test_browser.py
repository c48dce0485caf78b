"""The page in a real browser: Chromium at what `run` serves, while real files come in. Skipped where there is no Chromium.

SCREENSHOTS=1 writes the pictures of the README anew.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from identifai_watch.core.model import Label, Outcome
from identifai_watch.evidence import checking
from identifai_watch.simulator import Endpoint, Script, Scripted, Signature
from tests import scenes
from tests.harness import MEDIA, House, house, wait_for
from tests.windows import CHROMIUM, PHONE, SHOTS, Desk, Window, chromium, expect

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

ROOT = Path(__file__).parent.parent
MARKUP = "<img src=x onerror=alert(1)>.jpg"
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MOST_BYTES = 120_000


def said(label: Label, confidence: float, **more: object) -> dict[str, object]:
    """Return a verdict as the API writes it."""
    return {"heuristic": "Majority", "confidence": confidence, "classification": label} | more


def model(name: str, human: float, *, unknown: bool = False) -> dict[str, object]:
    """Return what one model says, as the API writes it."""
    scores = [{"label": "human", "score": human}, {"label": "artificial", "score": round(1 - human, 4)}]
    return {"model": name, "unknown": unknown, "elapsed_time": 0.5, "classification": scores}


def clips(*found: tuple[Label, float]) -> dict[str, object]:
    """Return the clips of a sound, of 4.5 seconds each, as the API writes them."""
    return {
        "clips": [
            {
                "index": place,
                "start": 4.5 * place,
                "end": 4.5 * (place + 1),
                "verdict": said(label, confidence),
                "results": [],
            }
            for place, (label, confidence) in enumerate(found)
        ]
    }


BOXES = {
    "detections": [
        {"box": {"x1": 0.18, "y1": 0.08, "x2": 0.42, "y2": 0.4}, "verdict": said(Label.ARTIFICIAL, 0.91)},
        {"box": {"x1": 480, "y1": 330, "x2": 900, "y2": 620}, "verdict": said(Label.HUMAN, 0.64)},
    ]
}
VERDICTS = (
    Scripted(
        name="harbour.jpg",
        classification=Label.ARTIFICIAL,
        confidence=0.93,
        signature=Signature(issuer="Example Image Works", digital_source_type=GENERATED),
        fields={
            "results": [model("M01", 0.07), model("M02", 0.04), model("M03", 0.5, unknown=True)],
            "details": [BOXES],
        },
    ),
    Scripted(
        name="parade.mp4",
        fields={
            "verdict": said(Label.ARTIFICIAL, 0.6, count=3, unknown=False),
            "results": {
                "images": [
                    {
                        "name": f"frame-{place}",
                        "verdict": said(label, confidence),
                        "results": [model("V01", round(1 - confidence, 2))],
                    }
                    for place, (label, confidence) in enumerate(
                        (
                            (Label.ARTIFICIAL, 0.92),
                            (Label.ARTIFICIAL, 0.85),
                            (Label.HUMAN, 0.55),
                            (Label.HUMAN, 0.72),
                            (Label.ARTIFICIAL, 0.66),
                        )
                    )
                ],
                "audios": [{"name": "track", "details": clips((Label.HUMAN, 0.8), (Label.ARTIFICIAL, 0.7))}],
            },
        },
    ),
    Scripted(
        name="statement.wav",
        classification=Label.HUMAN,
        confidence=0.71,
        fields={"details": clips((Label.HUMAN, 0.83), (Label.ARTIFICIAL, 0.58), (Label.HUMAN, 0.77))},
    ),
    Scripted(name="ridge.jpg", classification=Label.HUMAN, confidence=0.97),
    Scripted(name="meadow.jpg", classification=Label.ARTIFICIAL, confidence=0.55, unknown=True),
    Scripted(name="*.gif", errors="the model could not read it"),
    Scripted(name="late.png", delay=3600),
    Scripted(name="new-*", classification=Label.ARTIFICIAL, confidence=0.8),
    Scripted(classification=Label.HUMAN, confidence=0.9),
)
VIEWS = ("/", "/now", "/review", "/files")
FILES = ("harbour.jpg", "parade.mp4", "statement.wav", "late.png")
MORE = ("ridge.jpg", "meadow.jpg", "broken.gif")


def filled(home: House) -> None:
    """Drop what the desk finds in the morning."""
    scenes.picture(home.drop / "ridge.jpg", hour=0.7, seed=3)
    scenes.picture(home.drop / "meadow.jpg", hour=0.95, seed=1)
    scenes.picture(home.drop / "broken.gif", hour=0.3, seed=2)
    scenes.sound(home.drop / "statement.wav")
    scenes.film(home.drop / "parade.mp4")
    scenes.picture(home.drop / "harbour.jpg", hour=0.1)
    scenes.picture(home.drop / "late.png", hour=0.8, seed=5)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Give a desk with files of each kind, a daemon that goes on, ann who decides and bob who looks."""
    place = tmp_path_factory.mktemp("desk")
    both = {"settle_seconds": 0.3, "rescan_seconds": 1.0, "existing": "judge"}
    incoming = {
        "path": str(place / "drop"),
        "name": "incoming",
        "shown_as": "smb://nas/incoming",
        "options": {"with_heatmap": True},
    }
    wire = {"path": str(place / "wire"), "name": "wire", "shown_as": "smb://nas/wire"}
    (place / "wire").mkdir()
    with house(
        place,
        Script(verdicts=VERDICTS, credits=5000),
        api={"send_names": True, "posts_per_minute": 600, "gets_per_minute": 1200, "posts_per_day": 1000},
        more={
            "web": {"listen": "127.0.0.1:0", "users_file": str(place / "users")},
            "folder": [incoming | both, wire | both],
        },
    ) as home:
        filled(home)
        tokens = {
            name: home.command("web", "add-user", name, "--role", role).stdout.strip()
            for name, role in (("ann", "edit"), ("bob", "view"))
        }
        with home.process(environ={"XDG_CACHE_HOME": str(place / "cache")}), chromium() as browser:
            url = wait_for(
                lambda: [line["url"] for line in home.logged() if line.get("event") == "page"],
                "the page is up",
            )
            for name in (*MORE, *FILES[:3]):
                home.sidecar(home.drop / name)
            wait_for(lambda: list(home.drop.glob("harbour*heatmap.png")), "the heatmap is there")
            yield Desk(home, url[0], browser, tokens)


def file_of(desk: Desk, window: Window, name: str) -> None:
    """Open the page of a file, and wait until it follows what changes."""
    window.look(f"/files/{desk.number(name)}")
    expect(window.at("h1")).to_have_text(name)
    window.live()


def test_each_view_is_seen_and_pictured(desk: Desk, tmp_path: Path) -> None:
    """Each view shows what it is for, in light and dark and on a phone; its picture is small enough for the README."""
    place = SHOTS if "SCREENSHOTS" in os.environ else tmp_path
    place.mkdir(exist_ok=True)
    with desk.window() as window:
        for name in (*FILES, *MORE):
            small = f"{desk.url}/files/{desk.number(name)}/thumbnail"
            wait_for(
                lambda small=small: window.page.request.get(small).headers["content-type"] == "image/webp",
                f"{name} has a thumbnail",
            )
        _settled(window, "/files")
        assert {*FILES, *MORE} <= set(window.names())
        window.shot(place / "files.png")
        window.look("/now")
        window.live()
        expect(window.at("#now-daemon")).to_contain_text("runs")
        expect(window.at("#now-credits")).to_contain_text("left")
        expect(window.at("#now-purse")).to_contain_text("of 1,000 uploads left")
        expect(window.at("#now-folders")).to_contain_text("smb://nas/incoming")
        expect(window.at("#now-ways")).to_contain_text("late.png")
        window.shot(place / "now.png")
        for name, picture in (("harbour.jpg", "image"), ("parade.mp4", "video"), ("statement.wav", "audio")):
            file_of(desk, window, name)
            if picture == "image":
                window.at("#heat").fill("45")
                window.at("#heat").blur()
            if picture == "video":
                film = window.at("#original")
                film.evaluate("film => Object.assign(film, {muted: true, currentTime: 2}).play()")
                window.becomes("document.getElementById('original').currentTime > 4")
                film.evaluate("film => { film.pause(); film.muted = false; }")
            window.shot(place / f"{picture}.png")
        window.look("/costs")
        expect(window.at("#costs-folders")).to_contain_text("incoming")
        window.shot(place / "costs.png")
    with desk.window(color_scheme="dark") as window:
        _settled(window, "/")
        assert "rgb(20, 23, 28)" == window.page.evaluate(
            "getComputedStyle(document.documentElement).backgroundColor"
        )
        window.shot(place / "dark.png")
    with desk.window(viewport=PHONE) as window:
        _settled(window, "/review")
        window.shot(place / "phone.png")
    pictures = {path.stem: path.stat().st_size for path in place.glob("*.png")}
    assert {"now", "files", "image", "video", "audio", "costs", "phone", "dark"} == set(pictures)
    assert max(pictures.values()) < MOST_BYTES, pictures


def _settled(window: Window, path: str) -> None:
    """Open a list, and wait until it is live and what is in sight has its thumbnail."""
    window.look(path)
    window.live()
    window.becomes(
        """names => [...document.querySelectorAll('.files tbody tr')]
        .filter(row => names.includes(row.querySelector('.name a').textContent))
        .filter(row => row.getBoundingClientRect().top < innerHeight)
        .every(row => row.querySelector('img').complete && row.querySelector('img').naturalWidth > 64)""",
        arg=[*FILES, *MORE],
    )


def test_the_pictures_of_the_readme_are_those_of_the_tests() -> None:
    """Each picture stands in the README, and is small."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in SHOTS.glob("*.png"):
        assert f"(docs/screenshots/{path.name})" in readme
        assert path.stat().st_size < MOST_BYTES, path.name


def test_files_come_in_while_one_looks(desk: Desk) -> None:
    """Rows come and change without a reload, the newest first; what needs the desk comes to To review as well."""
    with desk.window() as window:
        window.look("/")
        expect(window.at("#live")).to_have_text("Live")
        window.page.evaluate("window.isTheSame = true")
        for kind in ("jpg", "mp4", "mp3"):
            desk.home.put(f"sample.{kind}", f"today/new-{kind}.{kind}")
        for kind in ("jpg", "mp4", "mp3"):
            for of in ("files", "reviews"):
                expect(window.row(f"new-{kind}.{kind}", of).locator(".sign")).to_have_text("found")
        expect(window.at("#live")).to_have_text(re.compile(r"Live: \d new files?"))
        assert {"new-jpg.jpg", "new-mp4.mp4", "new-mp3.mp3"} == set(window.names()[:3])
        expect(window.row("new-jpg.jpg")).to_contain_text("incoming/today")
        expect(window.row("new-jpg.jpg").get_by_label("Confidence")).to_have_attribute("value", "0.8")
        assert window.page.evaluate("window.isTheSame")


def test_lists_are_filtered_and_paged(desk: Desk) -> None:
    """To review has what waits for a decision; a form filters; pages follow; what is live stays within the filter."""
    series = [f"series-{number:02}.webp" for number in range(53)]
    for name in series:
        (desk.home.home / "wire" / name).write_bytes((MEDIA / "sample.webp").read_bytes())
    with desk.window() as window:
        window.look("/review")
        window.live()
        assert {"harbour.jpg", "meadow.jpg", "parade.mp4"} <= set(window.names())
        assert not {"ridge.jpg", "statement.wav", "broken.gif", "late.png"} & set(window.names())

        for label, choice, expected in (
            ("Signs of generation", "unclear", ["meadow.jpg"]),
            ("Signs of generation", "not taken", ["broken.gif"]),
            ("State", "waits for its verdict or delivery", ["late.png"]),
        ):
            window.look("/files")
            window.page.get_by_label(label).select_option(choice)
            window.page.get_by_role("button", name="Show").click()
            expect(window.at("#files-rows .name a")).to_have_text(expected)
        window.look("/")
        window.page.get_by_label("Name or path").fill("PARADE")
        window.page.get_by_label("Kind").select_option("video")
        window.page.keyboard.press("Enter")
        expect(window.at("#files-rows .name a")).to_have_text(["parade.mp4"])
        window.live()
        desk.home.put("sample.webm", "new-parade.webm")
        desk.home.put("sample.wav", "parade.wav")
        expect(window.at("#files-rows .name a")).to_have_text(["new-parade.webm", "parade.mp4"])
        window.page.get_by_role("link", name="Show all").click()
        expect(window.row("parade.wav")).to_be_visible()

        window.page.get_by_label("Folder").select_option("wire")
        wait_for(lambda: len(list((desk.home.home / "wire").glob("*.json"))) == 53, "the series is delivered")
        window.page.get_by_role("button", name="Show").click()
        expect(window.at("#files-rows > tr")).to_have_count(50)
        first = window.names()
        window.page.get_by_role("link", name="Older files").click()
        expect(window.at("#files-rows > tr")).to_have_count(3)
        assert sorted(series) == sorted(first + window.names())
        window.page.get_by_role("link", name="Newest").click()
        expect(window.at("#files-rows > tr")).to_have_count(50)
        assert first == window.names()


def test_an_image_is_looked_through(desk: Desk) -> None:
    """The heatmap fades in by a slider, boxes lie over what they are around, models and manifest are told."""
    with desk.window() as window:
        file_of(desk, window, "harbour.jpg")
        heatmap = window.at("#heatmap")
        expect(heatmap).to_have_css("opacity", "0")
        window.page.get_by_label("Heatmap over the picture").fill("60")
        expect(heatmap).to_have_css("opacity", "0.6")
        assert window.at("#original").bounding_box() == heatmap.bounding_box()

        picture = window.at("#original").bounding_box()
        parts, pixels = (
            window.at(f".boxes[data-unit={unit}] rect").bounding_box() for unit in ("parts", "pixels")
        )
        assert picture is not None
        assert parts is not None
        assert pixels is not None
        assert 0.18 == pytest.approx((parts["x"] - picture["x"]) / picture["width"], abs=0.01)
        assert 480 / 960 == pytest.approx((pixels["x"] - picture["x"]) / picture["width"], abs=0.01)
        assert 330 / 640 == pytest.approx((pixels["y"] - picture["y"]) / picture["height"], abs=0.01)
        window.page.get_by_role("checkbox", name="Boxes around what was detected").uncheck()
        expect(window.at(".boxes").first).to_be_hidden()

        expect(window.at("#models")).to_contain_text("could not tell")
        expect(window.at("#models tbody tr").first.get_by_label("artificial")).to_have_attribute(
            "value", "0.93"
        )
        expect(window.at("#c2pa")).to_contain_text("Example Image Works")
        expect(window.at("#facts")).to_contain_text("smb://nas/incoming/harbour.jpg")


def test_a_video_is_looked_through(desk: Desk) -> None:
    """The frames are a timeline, each with its verdict; the sound is one beneath, and both are played from a clip."""
    with desk.window() as window:
        file_of(desk, window, "parade.mp4")
        bars = window.at("#frames .timeline .bar")
        assert ["found", "found", "none_found", "none_found", "found"] == [
            (bar.get_attribute("class") or "").removeprefix("bar bar-") for bar in bars.all()
        ]
        heights = [(bar.bounding_box() or {})["height"] for bar in bars.all()]
        assert heights[0] == max(heights), "the higher, the surer"
        window.at("#frames summary").click()
        expect(window.at("#frames-table tbody tr")).to_have_count(5)
        window.becomes("document.getElementById('original').readyState >= 1")
        window.at("#sound-1 .timeline .bar").nth(1).click()
        window.becomes("document.getElementById('original').currentTime > 4.5")


def test_an_audio_file_is_heard(desk: Desk) -> None:
    """The clips are a timeline with a player; a clip's button plays from there, and a line says where it is."""
    with desk.window() as window:
        file_of(desk, window, "statement.wav")
        expect(window.at("#sound-1 .timeline .bar")).to_have_count(3)
        window.at("#clips-1 summary").click()
        window.page.get_by_role("button", name="9.0 s").click()
        window.becomes("document.getElementById('original').currentTime > 9")
        window.becomes("document.querySelector('.playhead').getAttribute('x1') > 600")


def test_one_decides_by_click(desk: Desk) -> None:
    """A question says what it does and costs, and wants a reason; history bears the name, and others see it at once."""
    path = desk.home.put("sample.jpeg", "new-decision.jpeg")
    desk.home.sidecar(path)
    with desk.window() as window, desk.window("bob") as other:
        other.look("/review")
        expect(other.row(path.name)).to_be_visible()
        other.live()
        file_of(desk, window, path.name)
        window.at("#decide").click()
        dialog = window.page.get_by_role("dialog", name="Decide")
        expect(dialog.locator("#confirm-costs")).to_have_text("Nothing.")
        dialog.get_by_label("made by people").check()
        dialog.locator("#confirm-do").click()
        assert not dialog.get_by_label("Why?").evaluate("field => field.validity.valid"), "a reason is wanted"
        dialog.get_by_label("Why?").fill("the photographer sent the <b>negatives</b>")
        dialog.locator("#confirm-do").click()
        expect(window.at("#done")).to_be_visible()
        expect(window.at("#decision")).to_contain_text("made by people, decided by ann at")
        expect(window.at("#decision")).to_contain_text("the photographer sent the <b>negatives</b>")
        expect(window.at("#history tr").filter(has_text="decided by the desk")).to_contain_text("ann")
        expect(other.row(path.name)).to_have_count(0)
        other.look("/files")
        expect(other.row(path.name)).to_contain_text("desk: made by people")
        wait_for(lambda: desk.home.sidecar(path)["outcome"] == Outcome.HUMAN, "the sidecar follows")
        file_of(desk, other, path.name)
        expect(other.at("#decide")).to_have_count(0)


def test_one_retries_by_click(desk: Desk) -> None:
    """What was refused is tried again after a question, and its verdict appears on the same page."""
    path = desk.home.put("sample.gif", "retry.gif", extra=b"retry")
    desk.home.sidecar(path)
    sent = desk.home.simulator.state.count(Endpoint.UPLOAD)
    with desk.window() as window:
        file_of(desk, window, path.name)
        expect(window.at("#signs-are")).to_have_text("not examined")
        desk.home.simulator.change(verdicts=(Scripted(classification=Label.HUMAN, confidence=0.9), *VERDICTS))
        try:
            window.at("#retry").click()
            dialog = window.page.get_by_role("dialog")
            expect(dialog.locator("#confirm-costs")).to_contain_text("Nothing is paid twice")
            dialog.locator("#confirm-do").click()
            expect(window.at("#signs-are")).to_have_text("none found")
        finally:
            desk.home.simulator.change(verdicts=VERDICTS)
        expect(window.at("#history tr").filter(has_text="tried again").first).to_contain_text("ann")
        expect(window.at("#retry")).to_have_count(0)
    assert sent + 1 == desk.home.simulator.state.count(Endpoint.UPLOAD)


def test_a_name_that_is_markup_is_a_name(desk: Desk) -> None:
    """It is text wherever it stands, also where it comes in live; nothing of it runs, and the policy has nothing to forbid."""
    with desk.window() as window:
        window.look("/")
        window.live()
        path = desk.home.put("sample.jpg", MARKUP, extra=b"markup")
        expect(window.row(MARKUP)).to_be_visible()
        desk.home.sidecar(path)
        window.look("/files?text=onerror")
        window.row(MARKUP).get_by_role("link").click()
        expect(window.at("h1")).to_have_text(MARKUP)
        window.live()
        window.at("#decide").click()
        expect(window.page.get_by_role("dialog")).to_contain_text(MARKUP)
        expect(window.at("img[src=x]")).to_have_count(0)
        expect(window.at("#original")).to_have_attribute("alt", f"The picture {MARKUP}")


def test_it_works_without_javascript(desk: Desk) -> None:
    """Lists, filters and decisions are links and forms."""
    path = desk.home.put("sample.jpg", "new-plain.jpg", extra=b"plain")
    desk.home.sidecar(path)
    with desk.window(java_script_enabled=False) as window:
        window.look("/")
        expect(window.row("harbour.jpg", "reviews")).to_be_visible()
        window.page.get_by_label("Name or path").fill("new-plain")
        window.page.get_by_role("button", name="Show").click()
        expect(window.at("#files-rows > tr")).to_have_count(1)
        window.page.get_by_role("link", name=path.name).click()
        window.at("#decide").click()
        expect(window.at("h1")).to_contain_text("Decide")
        window.page.get_by_label("cannot be told").check()
        window.page.get_by_label("Why?").fill("too small")
        window.at("#confirm-do").click()
        expect(window.at("#decision")).to_contain_text("cannot be told, decided by ann")


def test_dark_and_light_are_chosen_and_kept(desk: Desk) -> None:
    """The page is as the system is, until one chooses; the choice holds on the next page."""
    dark = "rgb(20, 23, 28)"
    with desk.window(color_scheme="dark") as window:
        window.look("/")
        html = window.at("html")
        expect(html).to_have_css("background-color", dark)
        window.page.get_by_role("button", name="Use light colours").click()
        expect(html).to_have_css("background-color", "rgb(255, 255, 255)")
        window.look("/files")
        expect(html).to_have_css("background-color", "rgb(255, 255, 255)")
        window.page.get_by_role("button", name="Use dark colours").click()
        expect(html).to_have_css("background-color", dark)


def test_it_fits_a_phone(desk: Desk) -> None:
    """Down to 320 pixels no view has to be scrolled sideways, nor a question."""
    desk.home.put("sample.png", "a-name-" + "without-any-end" * 10 + ".png", extra=b"long")
    with desk.window(viewport={"width": 320, "height": 640}, is_mobile=True, has_touch=True) as window:
        for path in (*VIEWS, *(f"/files/{desk.number(name)}" for name in FILES)):
            window.look(path)
            window.live()
            window.unfold()
            assert [] == window.is_too_wide(), path
        file_of(desk, window, "harbour.jpg")
        window.at("#decide").tap()
        expect(window.page.get_by_role("dialog")).to_be_visible()
        assert [] == window.is_too_wide()


def test_the_keyboard_is_enough(desk: Desk) -> None:
    """From the first Tab to a decision no mouse is needed; a question holds the keyboard and gives it back."""
    path = desk.home.put("sample.jpg", "new-keys.jpg", extra=b"keys")
    desk.home.sidecar(path)
    number = desk.number(path.name)
    with desk.window() as window:
        keys = window.page.keyboard
        window.look("/files?text=new-keys")
        window.live()
        keys.press("Tab")
        keys.press("Enter")
        assert window.page.url.endswith("#main"), "the first Tab leads past what is on every page"
        window.tab_to(f"/files/{number}")
        keys.press("Enter")
        expect(window.at("h1")).to_have_text(path.name)
        window.live()
        window.tab_to("heat")
        keys.press("ArrowRight")
        expect(window.at("#heatmap")).not_to_have_css("opacity", "0")
        window.tab_to("decide")
        keys.press("Enter")
        dialog = window.page.get_by_role("dialog", name="Decide")
        expect(dialog).to_be_visible()
        keys.press("Escape")
        expect(dialog).to_have_count(0)
        assert "decide" == window.focused()
        keys.press("Enter")
        expect(dialog).to_be_visible()
        for _ in range(12):
            keys.press("Tab")
            assert window.page.evaluate(
                "document.activeElement === document.body || document.activeElement.closest('dialog') !== null"
            ), "nothing behind a question has the keyboard"
        dialog.get_by_role("radio").first.focus()
        keys.press("ArrowDown")
        window.tab_to("reason")
        keys.type("by keys alone")
        window.tab_to("confirm-do")
        keys.press("Enter")
        expect(window.at("#decision")).to_contain_text("by keys alone")


def test_what_changes_leaves_the_reader_where_he_is(desk: Desk) -> None:
    """When a page changes what was unfolded stays so, and the keyboard speaks to what it spoke to."""
    path = desk.home.put("sample.jpg", "new-reading.jpg", extra=b"reading")
    desk.home.sidecar(path)
    with desk.window("bob") as window:
        file_of(desk, window, path.name)
        window.at("#sidecar summary").click()
        window.at("#limits summary").focus()
        window.page.keyboard.press("Enter")
        told = desk.home.command("decide", str(path), "human", "--reason", "his own camera")
        assert 0 == told.returncode, told.stderr
        expect(window.at("#decision")).to_contain_text("his own camera")
        expect(window.at("#sidecar pre")).to_be_visible()
        expect(window.at("#limits ul")).to_be_visible()
        expect(window.at("#limits summary")).to_be_focused()


def test_costs_are_read_by_all_and_evidence_comes_by_a_click(desk: Desk, tmp_path: Path) -> None:
    """Cost and quality are told for a period by axe-core's leave and on a phone; a bundle is one click, and whole.

    Bob only looks: that is enough.
    """
    with desk.window("bob") as window:
        window.look("/costs")
        window.at("#periods").get_by_role("link", name="90 days").click()
        expect(window.at("#periods [aria-current]")).to_have_text("90 days")
        window.unfold()
        assert [] == window.findings()
        file_of(desk, window, "harbour.jpg")
        with window.page.expect_download() as coming:
            window.page.get_by_role("button", name="Make the evidence bundle").click()
        assert "evidence-harbour.jpg.zip" == coming.value.suggested_filename
        coming.value.save_as(tmp_path / "case.zip")
        assert checking.verify(tmp_path / "case.zip").ok
    with desk.window(viewport={"width": 320, "height": 640}) as window:
        window.look("/costs?days=7")
        window.unfold()
        assert [] == window.is_too_wide()


def test_axe_finds_nothing(desk: Desk) -> None:
    """No view has what axe-core calls a violation, serious or not, in light or dark, with all of it unfolded."""
    paths = [
        *VIEWS[:3],
        "/files?folder=incoming",
        "/files?text=nothing-of-this-name",
        *(f"/files/{desk.number(name)}" for name in FILES),
    ]
    found = []
    with desk.window() as window:
        for path in paths:
            window.look(path)
            window.live()
            window.unfold()
            found += window.findings()
        file_of(desk, window, "harbour.jpg")
        window.at("#decide").click()
        expect(window.page.get_by_role("dialog")).to_be_visible()
        found += window.findings()
    with desk.window(None) as window:
        window.look("/login")
        found += window.findings()
    assert [] == found
