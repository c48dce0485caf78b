"""Reading one element of a result: the verdict is required, everything else may be missing or misshapen."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core.model import Label, Media, Provenance
from identifai_watch.core.verdicts import escaped, number, verdict

SAID = {"heuristic": "Majority", "confidence": 0.9, "classification": "human", "models": ["a", "b"]}
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
OTHER_KEYS = [
    "force_classification", "is_nsfw", "c2pa", "has_heatmap", "results", "details", "verdicts",
    "chunk_details", "api_version", "result_url", "ref_id", "name", "errors",
]  # fmt: skip
TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
CAPTURE = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"


def manifest(*sources: str, label: str = "c2pa.actions.v2", active: str = "urn:1") -> dict[str, Any]:
    """Build C2PA data whose manifest urn:1 has one action for each source type."""
    actions = [{"action": "c2pa.edited", "digitalSourceType": source} for source in sources]
    return {
        "validation_state": "Valid",
        "active_manifest": active,
        "manifests": {
            "urn:1": {
                "signature_info": {"issuer": "Leica Camera AG"},
                "assertions": [{"label": "stds.exif"}, {"label": label, "data": {"actions": actions}}],
            }
        },
    }


def test_a_whole_verdict_is_read() -> None:
    """Each field stands where the Verdict has it."""
    element = {
        "verdict": SAID, "force_classification": "artificial", "is_nsfw": False, "has_heatmap": True,
        "api_version": "1.1.0", "result_url": "https://app.example/r/1", "c2pa": manifest(CAPTURE),
    }  # fmt: skip
    read = verdict(element, Media.IMAGE)
    assert read is not None
    assert (Label.HUMAN, 0.9, "Majority", ("a", "b")) == (
        read.classification, read.confidence, read.heuristic, read.models,
    )  # fmt: skip
    assert (Label.ARTIFICIAL, False, True) == (read.forced, read.nsfw, read.has_heatmap)
    assert ("1.1.0", "https://app.example/r/1") == (read.api_version, read.result_url)
    assert Provenance(state="Valid", issuer="Leica Camera AG", digital_source_type=CAPTURE) == read.c2pa


@pytest.mark.parametrize(
    "changes",
    [
        {"classification": None}, {"classification": "robot"}, {"classification": ["human"]},
        {"confidence": None}, {"confidence": True}, {"confidence": "high"}, {"confidence": 93},
        {"confidence": -0.1}, {"confidence": float("nan")}, {"confidence": 10**400},
    ],
)  # fmt: skip
def test_a_verdict_needs_its_label_and_its_confidence(changes: dict[str, object]) -> None:
    """Without a label, or a confidence from 0 to 1, there is no verdict to deliver."""
    assert verdict({"verdict": SAID | changes}, Media.IMAGE) is None


@pytest.mark.parametrize("said", [None, [], "human", 1, {}])
def test_a_verdict_of_another_shape_is_none(said: object) -> None:
    """Nothing is guessed from it, nor from the other heuristics."""
    assert verdict({"verdict": said, "verdicts": [SAID]}, Media.IMAGE) is None


@given(
    others=st.dictionaries(st.sampled_from(OTHER_KEYS), JSON),
    extra=st.dictionaries(st.text(max_size=8), JSON, max_size=3),
    media=st.sampled_from(Media),
)
def test_nothing_below_the_verdict_costs_the_verdict(
    others: dict[str, object], extra: dict[str, object], media: Media
) -> None:
    """Whatever the other fields hold, label and confidence are read; this is note 19."""
    read = verdict(extra | others | {"verdict": SAID}, media)
    assert read is not None
    assert (Label.HUMAN, 0.9) == (read.classification, read.confidence)


@given(st.dictionaries(st.sampled_from(["verdict", *OTHER_KEYS]), JSON), st.sampled_from(Media))
def test_no_element_raises(element: dict[str, object], media: Media) -> None:
    """Any JSON gives a verdict or none."""
    read = verdict(element, media)
    assert read is None or 0 <= read.confidence <= 1


@pytest.mark.parametrize(
    ("media", "element", "expected"),
    [
        (Media.IMAGE, {"results": [{"unknown": True}, {"unknown": True}]}, True),
        (Media.IMAGE, {"results": [{"unknown": True}, {"unknown": False}]}, False),
        (Media.IMAGE, {"results": [{"unknown": True}, {}]}, False),
        (Media.AUDIO, {"results": []}, False),
        (Media.AUDIO, {"results": {"images": [[{"unknown": True}]]}}, False),
        (Media.VIDEO, {"verdict": SAID | {"unknown": True}}, True),
        (Media.VIDEO, {"results": {"images": [{"results": [{"unknown": True}]}], "audios": []}}, True),
        (Media.VIDEO, {"results": {"images": [[{"unknown": True}], [{"unknown": False}]]}}, False),
        (Media.VIDEO, {"results": {"images": [], "audios": [{"results": [{"unknown": True}]}]}}, True),
        (Media.VIDEO, {"results": [{"unknown": True}]}, False),
    ],
)
def test_unknown_is_the_verdicts_or_all_models(
    media: Media, element: dict[str, object], *, expected: bool
) -> None:
    """The verdict itself is binary; that nobody knows shows in its flag or in every model's."""
    read = verdict({"verdict": SAID} | element, media)
    assert read is not None
    assert expected is read.unknown


@pytest.mark.parametrize(
    ("c2pa", "expected"),
    [
        (manifest(CAPTURE, TRAINED), TRAINED),
        (manifest(CAPTURE), CAPTURE),
        (manifest(TRAINED, label="c2pa.actions"), TRAINED),
        (manifest(TRAINED, label="c2pa.ingredient"), None),
        (manifest(TRAINED, active="urn:2"), None),
        (manifest(), None),
        ({"validation_state": "Valid"}, None),
    ],
)
def test_the_source_type_is_the_active_manifests(c2pa: dict[str, Any], expected: str | None) -> None:
    """Of several actions the one that declares generated media counts; other manifests do not."""
    read = verdict({"verdict": SAID, "c2pa": c2pa}, Media.IMAGE)
    assert read is not None
    assert read.c2pa is not None
    assert expected == read.c2pa.digital_source_type


@pytest.mark.parametrize("c2pa", [None, {}, [], "Valid"])
def test_no_manifest_is_no_provenance(c2pa: object) -> None:
    """A null is normal."""
    read = verdict({"verdict": SAID, "c2pa": c2pa}, Media.IMAGE)
    assert read is not None
    assert read.c2pa is None


@pytest.mark.parametrize("address", ["javascript:alert(1)", "", None, 7, "//host/x"])
def test_only_a_web_address_is_a_link(address: object) -> None:
    """The result's address is shown as a link, so it must be one."""
    read = verdict({"verdict": SAID, "result_url": address}, Media.IMAGE)
    assert read is not None
    assert read.result_url is None


@given(st.text())
def test_escaped_texts_can_be_shown_and_stored(value: str) -> None:
    """No control character, no lone surrogate is left."""
    shown = escaped(value)
    assert shown == "" or shown.isprintable()
    assert shown == shown.encode().decode()


@pytest.mark.parametrize(
    ("value", "expected"), [(1, 1.0), ("0.5", 0.5), (True, None), ("", None), ("inf", None), ([], None)]
)
def test_numbers_may_be_written_as_strings(value: object, expected: float | None) -> None:
    """Only finite ones are numbers."""
    assert expected == number(value)
