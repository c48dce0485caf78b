"""How what was found in a file looks in the terminal: at 80 columns, with nothing in colour alone."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest

from identifai_watch.cli import judgement, paper
from identifai_watch.core import findings
from identifai_watch.core.findings import Findings
from identifai_watch.core.model import Media
from identifai_watch.core.wording import Signs, Words
from tests.test_manifests import CAMERA

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WORDS = Words(
    signs=Signs.FOUND,
    headline="Signs of generation: found; the desk confirmed it",
    because=("The desk confirmed it (anna, 2026-03-01 12:00 UTC: " + "because " * 30 + ").",),
    confidence="0.60 is the share of the frames looked at that say so. " * 3,
    limits=(
        "That none were found does not prove that there are none.",
        "Only 3 frames of it were looked at.",
    ),
)
LONG = "Revelio IV of a very long name that no table can hold in one line of it " * 2
RESULT = {
    "model": LONG,
    "unknown": True,
    "classification": [{"label": "human", "score": 0.25}, {"label": "artificial", "score": 0.75}],
}
VERDICT = {"heuristic": "Majority", "confidence": 0.6, "classification": "artificial", "count": 3}
BOX = {"x1": 154, "y1": 7.5, "x2": 194, "y2": 63}
CLIP = {"start": 59.96, "end": 64.5, "verdict": VERDICT, "results": [RESULT]}


def printed(found: Findings | None, words: Words = WORDS) -> str:
    """Return what a person reads in a pipe, 80 columns wide."""
    out = io.StringIO()
    console = paper.console(out)
    console.width = 80
    console.print(judgement.told(words, found))
    return out.getvalue()


def read(media: Media, **element: Any) -> Findings:
    """Read an answer."""
    return findings.of(
        {"verdict": VERDICT, "verdicts": [VERDICT | {"heuristic": "Average"}]} | element, media
    )


def lines(text: str) -> list[str]:
    """Return the lines of a text, each with its blanks as one."""
    return [" ".join(line.split()) for line in text.splitlines()]


WHOLE = [
    read(Media.IMAGE, results=[RESULT], details=[{"detections": [{"box": BOX, "verdict": VERDICT}]}], c2pa=CAMERA),
    read(Media.AUDIO, results=[RESULT], details={"clips": [CLIP] * 100}),
    read(
        Media.VIDEO, is_nsfw=True, result_url="https://a.example/" + "x" * 200,
        results={"images": [{"name": LONG, "verdict": VERDICT}] * 100, "audios": [{"details": {"clips": [CLIP]}}] * 2},
    ),
]  # fmt: skip


@pytest.mark.parametrize("found", [*WHOLE, None], ids=["image", "audio", "video", "nothing"])
def test_it_fits_eighty_columns(found: Findings | None) -> None:
    """Also with names and addresses that are longer; the words come first."""
    told = printed(found)
    assert max(map(len, told.splitlines())) <= 80
    assert told.startswith("Signs of generation: found; the desk confirmed it\n")
    assert "Limits" in told


def test_an_image_has_its_models_its_objects_and_its_manifest() -> None:
    """Scores as numbers beside the bars, the same label first for every model."""
    told = lines(printed(WHOLE[0]))
    assert "Majority (the verdict) found 0.60 ████████████········ 3 agree" in told
    assert any(line.endswith("artificial 0.75 ███████████████·····") for line in told)
    assert any("(could not tell)" in line for line in told)
    assert "artificial 0.60 154,7.5 to 194,63" in told
    assert "Valid valid (Valid)" in told
    assert "Declares not generated (digitalCapture)" in told
    assert "Signed by M11-P, Leica Camera AG" in told
    assert "Made with M11-P 2.0, c2pa-rs" in told
    assert "Made from raw.dng (image/x-adobe-dng, parentOf)" in told


def test_a_video_has_its_frames_and_its_sounds() -> None:
    """What no person reads to its end says how much more there is; clips are told by the clock."""
    told = lines(printed(WHOLE[2]))
    assert any(line.startswith("40 found 0.60") for line in told)
    assert "and 60 more" in told
    assert {"Frames", "Sound 1: clips", "Sound 2: clips"} <= set(told)
    assert "1:00.0 - 1:04.5 unclear 0.60 ████████████········" in told
    assert "Not safe for work found" in told


def test_names_are_no_markup() -> None:
    """A model, a tool or a reason may be called anything."""
    words = Words(signs=Signs.FOUND, headline="x", because=("[bold]a[/bold]",), confidence=None, limits=())
    found = read(Media.IMAGE, results=[RESULT | {"model": "[red]m[/red] :smile:"}])
    told = printed(found, words)
    assert "[bold]a[/bold]" in told
    assert "[red]m[/red] :smile:" in told
