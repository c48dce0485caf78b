"""All that the page shows of one file: models, heuristics, frames, clips, objects, manifest, heatmap, thumbnail."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from identifai_watch.core.model import Label
from identifai_watch.ledger import Ledger
from identifai_watch.previews import Previews, available
from identifai_watch.simulator import Script, Scripted, Signature
from identifai_watch.web import Page, Server
from tests.browsing import Browser, Seen, served
from tests.harness import MEDIA, House, house, wait_for

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def of(sample: str) -> str:
    """Return the hash of a sample."""
    return hashlib.sha256((MEDIA / sample).read_bytes()).hexdigest()


def ruled(label: Label, confidence: float) -> dict[str, object]:
    """Return a verdict as the API writes it."""
    return {"heuristic": "Majority", "confidence": confidence, "classification": label}


def model(name: str, human: float, *, unknown: bool = False) -> dict[str, object]:
    """Return what one model says, as the API writes it."""
    scores = [{"label": "human", "score": human}, {"label": "artificial", "score": round(1 - human, 4)}]
    return {"model": name, "unknown": unknown, "elapsed_time": 0.5, "classification": scores}


IMAGE = Scripted(
    sha256=of("sample.jpg"),
    classification=Label.ARTIFICIAL,
    confidence=0.93,
    signature=Signature(issuer="Camera <b>Works</b>", digital_source_type=GENERATED),
    fields={
        "results": [model("Zebra II", 0.07), model("Doubting", 0.5, unknown=True), model("<i>Odd</i>", 1.0)],
        "verdicts": [
            ruled(Label.ARTIFICIAL, 0.93) | {"heuristic": "Majority"},
            ruled(Label.HUMAN, 0.5) | {"heuristic": "Average"},
        ],
        "details": [
            {
                "detections": [
                    {
                        "box": {"x1": 10, "y1": 4, "x2": 2, "y2": 8},
                        "verdict": {"classification": "cat", "confidence": 0.4},
                    },
                    {
                        "box": {"x1": 0.1, "y1": 0.2, "x2": 0.5, "y2": 0.6},
                        "verdict": {"classification": "<script>", "confidence": 0.9},
                    },
                ]
            }
        ],
    },
)
VIDEO = Scripted(
    sha256=of("sample.mp4"),
    fields={
        "verdict": ruled(Label.ARTIFICIAL, 0.6) | {"count": 3, "unknown": False},
        "results": {
            "images": [
                {"name": f"frame-{place}", "verdict": ruled(label, 0.9), "results": [model("V01", 0.1)]}
                for place, label in enumerate((Label.ARTIFICIAL, Label.HUMAN, Label.ARTIFICIAL))
            ],
            "audios": [
                {
                    "name": "track",
                    "details": {
                        "clips": [
                            {
                                "index": 0,
                                "start": 0,
                                "end": 4.5,
                                "verdict": ruled(Label.HUMAN, 0.8),
                                "results": [],
                            },
                            {
                                "index": 1,
                                "start": 4.5,
                                "end": 9.0,
                                "verdict": ruled(Label.ARTIFICIAL, 0.7),
                                "results": [],
                            },
                        ]
                    },
                }
            ],
        },
    },
)
AUDIO = Scripted(sha256=of("sample.wav"), classification=Label.HUMAN, confidence=0.7)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Give a house with one file of each kind, whose answers say all that there is to be said."""
    script = Script(verdicts=(IMAGE, VIDEO, AUDIO))
    options = {"options": {"with_heatmap": True}}
    with house(tmp_path_factory.mktemp("one"), script, folder=options) as one:
        for sample in ("sample.jpg", "sample.mp4", "sample.wav"):
            one.put(sample)
        with one.daemon():
            wait_for(lambda: list(one.drop.glob("*heatmap.png")), "the heatmap is there")
            wait_for(lambda: len(one.sidecars()) == 3, "all are delivered")
        yield one


@pytest.fixture(scope="module")
def browser(home: House) -> Iterator[Browser]:
    """Give a browser at the page of that house."""
    with served(home) as one:
        yield one


def page_of(home: House, browser: Browser, name: str) -> Seen:
    """Look at the page of a file."""
    return browser.seen(f"/files/{number(home, name)}")


def number(home: House, name: str) -> int:
    """Return the number of a file."""
    return next(line.file.id for line in home.lines() if line.file.path == name.encode())


def test_models_are_bars_and_doubt_is_said(home: House, browser: Browser) -> None:
    """Each model's scores are bars with their numbers; one that could not tell says so, whatever its scores."""
    page = page_of(home, browser, "sample.jpg")
    models = page.text("models")
    assert "Zebra II" in models
    assert "could not tell" in models
    assert "<i>Odd</i>" in models, "a model's name is text"
    assert '<meter min="0" max="1" value="0.07" aria-label="human">' in page.html
    assert "1 of 3 models could not tell: Doubting" in page.text("limits")


def test_every_heuristic_is_shown(home: House, browser: Browser) -> None:
    """The account's heuristic is marked, and the others stand beside it with their own verdicts."""
    said = page_of(home, browser, "sample.jpg").text("heuristics")
    assert "your account's: the verdict" in said
    assert "Average none found" in said


def test_a_manifest_is_readable(home: House, browser: Browser) -> None:
    """Who signed, which tool, whether it holds and what it declares are told; a stranger's words are text."""
    page = page_of(home, browser, "sample.jpg")
    said = page.text("c2pa")
    assert "Camera <b>Works</b>" in said
    assert "<b>Works" not in page.html
    assert "identifai-watch simulator" in said
    assert page.text("c2pa-validity").startswith("valid")
    assert "that it was generated" in page.text("c2pa-declares")
    assert "declares generated media" in page.text("because")


def test_objects_are_boxes_with_a_table_beside(home: House, browser: Browser) -> None:
    """What was detected is drawn over the picture, in its own unit, and stands as text with the same numbers."""
    page = page_of(home, browser, "sample.jpg")
    parts, pixels = (page.one(rf'data-unit="{unit}"[^>]*>(<rect[^>]*>)') for unit in ("parts", "pixels"))
    assert [0.1, 0.2, 0.4, 0.4] == pytest.approx(
        [float(value) for value in re.findall(r'="([\d.]+)"', parts)]
    )
    assert ["2.0", "4.0", "8.0", "4.0"] == re.findall(r'="([\d.]+)"', pixels), "corners in any order"
    assert "cat" in page.text("object-1")
    assert "<script>" in page.text("object-2")
    assert "<script>" not in page.html


def test_the_heatmap_lies_over_the_picture(home: House, browser: Browser) -> None:
    """The heatmap is the one that was delivered, with a slider; it is handed out in a sandbox."""
    page = page_of(home, browser, "sample.jpg")
    assert page.has("heatmap")
    assert page.has("heat")
    answer = browser.get(f"/files/{number(home, 'sample.jpg')}/heatmap")
    delivered = (home.drop / "sample.jpg.identifai.heatmap.png").read_bytes()
    assert (delivered, "image/png") == (answer.content, answer.headers["Content-Type"])
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert 404 == browser.get(f"/files/{number(home, 'sample.wav')}/heatmap").status_code


def test_a_videos_frames_are_a_timeline_with_its_sound_beneath(home: House, browser: Browser) -> None:
    """Each frame has its own verdict, by shape and as text; the clips of the sound follow at their seconds."""
    page = page_of(home, browser, "sample.mp4")
    assert ["found", "none_found", "found"] == re.findall(
        r'<rect class="bar bar-(\w+)"', page.html.split('id="frames"')[1].split("</svg>")[0]
    )
    assert page.ids.index("frames") < page.ids.index("sound-1")
    assert "share of the frames looked at" in page.text("confidence")
    assert re.findall(r'data-at="([\d.]+)"', page.html.split('id="sound-1"')[1].split("</svg>")[0]) == [
        "0.0",
        "4.5",
    ]
    assert "<video" in page.html


def test_an_audio_file_is_played_from_its_clips(home: House, browser: Browser) -> None:
    """Clips lie along the sound, with buttons that play from there beside the player."""
    page = page_of(home, browser, "sample.wav")
    assert "<audio" in page.html
    assert "Each of the" in page.text("clips-1")
    assert re.search(r'<button type="button" class="seek" data-at="0.0"', page.html)


def test_what_was_pruned_is_said(home: House, browser: Browser) -> None:
    """Of an answer that is no longer kept the verdict alone is shown, and that is said."""
    with Ledger(home.ledger_url, node="here") as ledger, ledger.write() as tx:
        before = tx.exec_driver_sql("SELECT analysis_id, raw FROM answers").fetchall()
        tx.exec_driver_sql("UPDATE answers SET raw = x'789c030000000001'")
    try:
        page = page_of(home, browser, "sample.mp4")
        assert "no longer kept" in page.text("limits")
        assert not page.has("frames")
        assert page.has("heuristics")
    finally:
        with Ledger(home.ledger_url, node="here") as ledger, ledger.write() as tx:
            for key, raw in before:
                tx.exec_driver_sql("UPDATE answers SET raw = ? WHERE analysis_id = ?", (raw, key))


def test_without_thumbnails_there_are_icons(home: House, browser: Browser) -> None:
    """Each kind has an icon of its own, which may run nothing."""
    icons = {
        name: browser.get(f"/files/{number(home, name)}/thumbnail")
        for name in ("sample.jpg", "sample.mp4", "sample.wav")
    }
    assert 3 == len({answer.text for answer in icons.values()})
    for answer in icons.values():
        assert ("image/svg+xml", True) == (
            answer.headers["Content-Type"],
            "sandbox" in answer.headers["Content-Security-Policy"],
        )


@pytest.mark.skipif(not available(), reason="the extra previews is not installed")
def test_thumbnails_are_made_where_they_can_be(home: House, tmp_path: Path) -> None:
    """With the extra installed a picture, a video and a sound have small pictures, from the files that were judged."""
    previews = Previews(tmp_path / "cache", 10, seconds=30)
    try:
        with (
            Ledger(home.ledger_url, node="here") as ledger,
            Server(Page(config=home.config, ledger=ledger, previews=previews), ("127.0.0.1", 0)) as server,
        ):
            browser = Browser(server.url)
            for name in ("sample.jpg", "sample.mp4", "sample.wav"):
                path = f"/files/{number(home, name)}/thumbnail"
                wait_for(
                    lambda path=path: browser.get(path).headers["Content-Type"] == "image/webp",
                    f"{name} has one",
                )
            home.put("sample.png", "sample.jpg")
            assert (
                "image/webp"
                == browser.get(f"/files/{number(home, 'sample.jpg')}/thumbnail").headers["Content-Type"]
            )
    finally:
        previews.close()
        home.put("sample.jpg")
