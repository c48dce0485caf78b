"""What is read of an answer beyond its verdict: whole documents, older shapes, and whatever a stranger sends."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core import findings, verdicts
from identifai_watch.core.findings import AT_MOST, IN_ALL, Box, Findings, Opinion, Score
from identifai_watch.core.model import Label, Media
from identifai_watch.simulator import Script, Scripted, Signature
from identifai_watch.simulator.verdicts import Submission, document

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
SCRIPT = Script(verdicts=(Scripted(confidence=0.8, classification=Label.ARTIFICIAL, signature=Signature()),))


def answer(
    media: Media, content: bytes = b"content", script: Script = SCRIPT, **options: str
) -> dict[str, Any]:
    """Return the pretend identifAI's whole answer about a content."""
    submission = Submission(
        identifier="id-1",
        media=media,
        sha256=hashlib.sha256(content).digest(),
        size=len(content),
        name=f"a.{media}",
        mime="",
        options=options,
        arrived_at=0.0,
        at=0.0,
    )
    return document(submission, script, now=1.0, forced=None)


def with_objects() -> dict[str, Any]:
    """Return an answer about an image in which something was detected."""
    found = (answer(Media.IMAGE, bytes([number])) for number in range(256))
    return next(one for one in found if one["details"])


def with_sound() -> dict[str, Any]:
    """Return an answer about a video that has a sound track."""
    found = (answer(Media.VIDEO, bytes([number])) for number in range(256))
    return next(one for one in found if one["results"]["audios"])


WHOLE = {Media.IMAGE: with_objects(), Media.AUDIO: answer(Media.AUDIO), Media.VIDEO: with_sound()}


def read(element: dict[str, Any], media: Media = Media.IMAGE) -> Findings:
    """Read an element as the ledger keeps it."""
    found = findings.read(json.dumps(element).encode(), media)
    assert found is not None
    return found


def test_an_image_shows_its_models_its_heuristics_and_its_objects() -> None:
    """Each model with its scores, whichever comes first; the verdict's heuristic first, and none of them twice."""
    found = read(with_objects() | {"is_nsfw": True})
    assert ["simulated-1", "simulated-2"] == [one.model for one in found.opinions]
    assert {("artificial", 0.8), ("human", 0.2)} == {
        (score.label, score.score) for one in found.opinions for score in one.scores
    }
    assert [Label.ARTIFICIAL] * 2 == [one.classification for one in found.opinions]
    assert [("Majority", True), ("Average", False), ("TopRelevant", False)] == [
        (one.heuristic, one.is_main) for one in found.rulings
    ]
    [thing] = found.detections
    assert ("artificial", 0.8, 2) == (thing.says, thing.confidence, len(thing.opinions))
    assert (40, 56) == (thing.box.x2 - thing.box.x1, thing.box.y2 - thing.box.y1)
    assert (True, "1.1.0", (), ()) == (found.nsfw, found.api_version, found.frames, found.sounds)
    assert found.manifest is not None


def test_a_video_shows_its_frames_in_order_and_its_sound_beneath() -> None:
    """The number of frames is whatever came back; the heuristics count those that agree."""
    found = read(with_sound(), Media.VIDEO)
    assert [1, 2, 3, 4, 5] == [one.place for one in found.frames]
    assert {(Label.ARTIFICIAL, 0.8, False)} == {
        (one.classification, one.confidence, one.unknown) for one in found.frames
    }
    assert {2} == {len(one.opinions) for one in found.frames}
    assert [4, 4, 4] == [one.count for one in found.rulings]
    [sound] = found.sounds
    assert 2 == len(sound.opinions)
    assert sound.clips
    assert () == found.opinions


def test_an_audio_file_shows_its_clips_in_the_order_of_time() -> None:
    """Whatever order they come in; one that ends before it begins is none."""
    element = answer(Media.AUDIO)
    clip = element["details"]["clips"][0]
    times = [(9, 12), (0, 4.5), (4.5, 9), (8, 2), ("x", 3), (-1, 2)]
    element["details"]["clips"] = [clip | {"start": start, "end": end} for start, end in times]
    [sound] = read(element, Media.AUDIO).sounds
    assert [(0, 4.5), (4.5, 9), (9, 12)] == [(one.begin, one.end) for one in sound.clips]
    assert {(Label.ARTIFICIAL, 0.8)} == {(one.classification, one.confidence) for one in sound.clips}
    assert 2 == len(read(element, Media.AUDIO).opinions)


def test_older_shapes_are_read_too() -> None:
    """Frames that are arrays of results, clips in ``chunk_details``, objects that are not in an array."""
    result = {"model": "V01", "classification": [{"label": "human", "score": 0.9}]}
    video = read({"results": {"images": [[result], [result]], "audios": []}}, Media.VIDEO)
    expected = Opinion(model="V01", unknown=False, scores=(Score(label="human", score=0.9),), seconds=None)
    assert [(expected,), (expected,)] == [one.opinions for one in video.frames]
    assert [None, None] == [one.classification for one in video.frames]
    audio = read({"chunk_details": [{"start": 0, "end": 2, "results": [result]}]}, Media.AUDIO)
    assert [2] == [one.end for one in audio.sounds[0].clips]
    box = {"x1": 0, "x2": 1, "y1": 0, "y2": 1}
    assert 1 == len(read({"details": {"detections": [{"box": box}]}}).detections)


def test_what_a_model_could_not_tell_is_no_label() -> None:
    """Nor is a tie; a label that the API does not document is kept as it is said, but is neither."""
    said = [
        {"model": "unsure", "unknown": True, "classification": [{"label": "human", "score": 1}]},
        {"model": "tie", "classification": [{"label": "human", "score": 0.5}, {"label": "artificial", "score": 0.5}]},
        {"model": "morphing", "classification": [{"label": "morphed", "score": 0.9}]},
        {"model": "none", "classification": None},
    ]  # fmt: skip
    found = read({"results": said}).opinions
    assert [None] * 4 == [one.classification for one in found]
    assert ["morphed"] == [one.label for one in found[2].scores]


@pytest.mark.parametrize("score", [None, True, "much", -0.1, 1.5, 93, [0.5]])
def test_a_score_that_is_no_share_makes_no_bar(score: object) -> None:
    """A number outside of 0 to 1 means nothing that we know."""
    said = {"model": "a", "classification": [{"label": "human", "score": score}]}
    assert () == read({"results": [said]}).opinions[0].scores


def test_of_a_video_whose_frame_is_signed_the_manifest_is_told() -> None:
    """Videos have none of their own in the documents, frames may."""
    element = with_sound()
    element["results"]["images"][3]["c2pa"] = answer(Media.IMAGE)["c2pa"]
    found = read(element, Media.VIDEO).manifest
    assert found is not None
    assert "Simulated Camera Works" == found.issuer


@pytest.mark.parametrize(
    ("box", "size", "expected"),
    [
        (Box(x1=10, y1=20, x2=30, y2=40), (100, 200), Box(x1=0.1, y1=0.1, x2=0.3, y2=0.2)),
        (Box(x1=30, y1=40, x2=10, y2=20), (100, 200), Box(x1=0.1, y1=0.1, x2=0.3, y2=0.2)),
        (Box(x1=0.25, y1=0.5, x2=1, y2=1), (100, 200), Box(x1=0.25, y1=0.5, x2=1, y2=1)),
        (Box(x1=-50, y1=-1, x2=50, y2=1e9), (100, 200), Box(x1=0, y1=0, x2=0.5, y2=1)),
        (Box(x1=150, y1=10, x2=300, y2=20), (100, 200), None),
        (Box(x1=10, y1=10, x2=20, y2=20), (0, 0), None),
    ],
)  # fmt: skip
def test_a_box_is_laid_over_a_picture_of_any_size(
    box: Box, size: tuple[int, int], expected: Box | None
) -> None:
    """In parts of the picture, cut to it, whichever corner is named first."""
    assert expected == box.within(*size)


def test_without_the_answer_the_verdict_is_what_is_known() -> None:
    """It may have been pruned; what was found is not whole then."""
    verdict = verdicts.verdict(WHOLE[Media.IMAGE], Media.IMAGE)
    assert verdict is not None
    found, whole = findings.of_verdict(verdict, Media.IMAGE), read(WHOLE[Media.IMAGE])
    assert (False, whole.rulings[:1]) == (found.is_whole, found.rulings)
    assert whole.manifest is not None
    assert found.manifest is not None
    assert (whole.manifest.issuer, whole.manifest.validity) == (
        found.manifest.issuer,
        found.manifest.validity,
    )


# Whatever a stranger sends.


@pytest.mark.parametrize(
    "raw",
    [None, b"", b"[]", b"null", b"\xff\xfe", b'{"a":', b"[" * 100_000, b'{"a":' * 100_000, b'{"a":' + b"9" * 9999 + b"}"],
)  # fmt: skip
def test_what_is_no_object_gives_nothing(raw: bytes | None) -> None:
    """Nested without end, a number without end, no UTF-8: nothing is raised."""
    assert findings.read(raw, Media.VIDEO) is None


def test_what_is_nested_as_deep_as_json_goes_is_passed_over() -> None:
    """At no depth is anything raised, also where JSON is only just read."""
    head, tail = '{"c2pa":{"active_manifest":"a","manifests":{"a":{"assertions":[{"label":', "}]}}}}"
    nested = (f"{head}{'[' * depth}{']' * depth}{tail}".encode() for depth in range(500, 1000))
    found = [findings.read(raw, Media.IMAGE) for raw in nested]
    assert (True, True) == (found[0] is not None, found[-1] is None)


def places(value: object) -> Iterator[tuple[Any, Any]]:
    """Yield every place of a document, as its container and key."""
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in entries:
        yield value, key
        yield from places(inner)


@given(data=st.data(), media=st.sampled_from(Media))
def test_another_shape_anywhere_costs_that_part_at_most(data: st.DataObject, media: Media) -> None:
    """Whatever stands at whichever place, something is read, every share is one, and every text can be shown."""
    element = json.loads(json.dumps(WHOLE[media]))
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(list(places(element))))
        container[key] = data.draw(JSON)
    found = findings.read(json.dumps(element).encode(), media)
    assert found is not None
    seen = list(leaves(findings.findings_json(found)))
    assert all(text.isprintable() and len(text) <= 300 for _, text in seen if isinstance(text, str))
    assert all(
        0 <= share <= 1 for name, share in seen if name in {"score", "confidence"} and share is not None
    )


def leaves(value: object, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every leaf of a document with its name."""
    match value:
        case dict():
            for key, inner in value.items():
                yield from leaves(inner, key)
        case list() | tuple():
            for inner in value:
                yield from leaves(inner, name)
        case _:
            yield name, value


@pytest.mark.parametrize(("frames", "models"), [(50_000, 1), (300, 300), (1, 60_000)])
def test_there_is_an_end_to_what_is_looked_at(frames: int, models: int) -> None:
    """However many parts there are; how many were left out is told."""
    result = {"model": "m", "classification": [{"label": "human", "score": 1}] * 2}
    found = findings.of({"results": {"images": [{"results": [result] * models}] * frames}}, Media.VIDEO)
    assert found.left_out > 0
    assert len(found.frames) <= AT_MOST
    parts = [opinion for frame in found.frames for opinion in frame.opinions]
    assert len(found.frames) + len(parts) + sum(len(one.scores) for one in parts) <= IN_ALL


def test_a_long_name_is_cut_and_made_harmless() -> None:
    """What comes from elsewhere cannot write to a terminal, nor fill a page."""
    [opinion] = read({"results": [{"model": "\x1b[2J\u202e<b>" + "x" * 100_000}]}).opinions
    assert opinion.model.startswith("\\x1b[2J\\u202e<b>xxx")
    assert 300 == len(opinion.model)


def test_findings_are_values() -> None:
    """What is shown cannot be changed by whoever shows it."""
    found = read(WHOLE[Media.VIDEO], Media.VIDEO)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.left_out = 1  # type: ignore[misc]
    assert hash(found) == hash(read(WHOLE[Media.VIDEO], Media.VIDEO))
