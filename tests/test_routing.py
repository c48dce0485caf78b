"""From verdicts to outcomes and from outcomes to names."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from identifai_watch.core import routing
from identifai_watch.core.model import Choice, Decision, Label, Media, Outcome, Provenance, Verdict
from identifai_watch.core.routing import Action, Rules

NAMES = st.binary(min_size=1, max_size=255).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)


def some_rules(**changes: Any) -> Rules:
    """Build rules that move, with thresholds for images alone."""
    values: dict[str, Any] = {
        "action": Action.MOVE,
        "keep_tree": True,
        "destinations": {outcome: outcome.value.encode() for outcome in Outcome},
        "min_confidence": {Media.IMAGE: {Label.HUMAN: 0.6, Label.ARTIFICIAL: 0.8}},
        "c2pa_generated": "artificial",
    }
    return Rules(**(values | changes))


def a_verdict(label: str = "human", confidence: float = 0.9, **changes: Any) -> Verdict:
    """Build a verdict."""
    return Verdict(classification=Label(label), confidence=confidence, heuristic="Majority", **changes)


def a_decision(choice: str) -> Decision:
    """Build the desk's decision."""
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return Decision(choice=Choice(choice), reason="seen the original", by="desk", at=at)


def a_manifest(state: str | None = "Valid", kind: str | None = "trainedAlgorithmicMedia") -> Provenance:
    """Build a C2PA manifest of a digital source type."""
    address = None if kind is None else f"http://cv.iptc.org/newscodes/digitalsourcetype/{kind}"
    return Provenance(state=state, issuer="Somebody", digital_source_type=address)


def an_outcome(rules: Rules | None = None, **given: Any) -> tuple[str, str | None]:
    """Return the outcome as its word, with the reason."""
    values: dict[str, Any] = {"verdict": None, "refusal": None, "decision": None, "media": Media.IMAGE}
    outcome, reason = routing.outcome(**(values | given), rules=rules or some_rules())
    return outcome.value, reason


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (a_verdict("human", 0.9), ("human", None)),
        (a_verdict("artificial", 0.8), ("artificial", None)),
        (a_verdict("artificial", 0.79), ("uncertain", "artificial with a confidence of 0.79, below 0.8")),
        (a_verdict("human", 0.5), ("uncertain", "human with a confidence of 0.5, below 0.6")),
        (a_verdict("human", 0.99, unknown=True), ("uncertain", "identifAI could not tell")),
        (
            a_verdict("human", 0.1, forced=Label.ARTIFICIAL),
            ("artificial", "the label was forced at identifAI"),
        ),
        (a_verdict("human", 0.1, forced=Label.HUMAN), ("human", None)),
        (a_verdict("human", 0.1, forced=Label.HUMAN, unknown=True, c2pa=a_manifest()), ("human", None)),
    ],
)
def test_a_verdict_under_the_rules(verdict: Verdict, expected: tuple[str, str | None]) -> None:
    """The forced label counts before the rules; unknown or too little confidence is uncertain, and says so."""
    assert expected == an_outcome(verdict=verdict)


def test_a_media_without_threshold_is_believed() -> None:
    """A threshold holds for the media that it names."""
    assert an_outcome(verdict=a_verdict("human", 0.01), media=Media.VIDEO) == ("human", None)
    assert an_outcome(verdict=a_verdict("human", 0.01), media=None) == ("human", None)


def test_a_refusal_is_rejected() -> None:
    """The refusal's words are the reason."""
    assert an_outcome(refusal="camera raw") == ("rejected", "camera raw")


def test_nothing_to_go_by_is_a_bug() -> None:
    """Without verdict, refusal and decision there is no outcome."""
    with pytest.raises(ValueError, match="needs a verdict"):
        an_outcome()


@pytest.mark.parametrize(
    ("choice", "verdict", "refusal", "expected"),
    [
        ("human", a_verdict("artificial"), None, "human"),
        ("artificial", a_verdict("human", forced=Label.HUMAN), None, "artificial"),
        ("inconclusive", a_verdict("human"), None, "uncertain"),
        ("confirmed", a_verdict("human", 0.1), None, "human"),
        ("confirmed", a_verdict("human", 0.1, c2pa=a_manifest()), None, "human"),
        ("confirmed", a_verdict("human", 0.1, forced=Label.ARTIFICIAL), None, "artificial"),
        ("confirmed", a_verdict("human", unknown=True), None, "uncertain"),
        ("confirmed", None, "camera raw", "rejected"),
        ("human", None, "camera raw", "human"),
        ("inconclusive", None, None, "uncertain"),
    ],
)
def test_the_desk_decides(choice: str, verdict: Verdict | None, refusal: str | None, expected: str) -> None:
    """A decision counts before everything; ``confirmed`` believes the verdict without thresholds."""
    outcome, reason = an_outcome(verdict=verdict, refusal=refusal, decision=a_decision(choice))
    assert expected == outcome
    if refusal is None:
        assert f"decided by desk: {choice} (seen the original)" == reason


@pytest.mark.parametrize(
    ("rule", "manifest", "expected"),
    [
        ("artificial", a_manifest(), "artificial"),
        ("uncertain", a_manifest(), "uncertain"),
        ("ignore", a_manifest(), "human"),
        ("artificial", a_manifest("Trusted", "compositeWithTrainedAlgorithmicMedia"), "artificial"),
        ("artificial", a_manifest("Invalid"), "human"),
        ("artificial", a_manifest(None), "human"),
        ("artificial", a_manifest("Valid", "digitalCapture"), "human"),
        ("artificial", a_manifest("Valid", None), "human"),
    ],
)
def test_a_manifest_that_declares_generated_media(rule: Any, manifest: Provenance, expected: str) -> None:
    """Only a valid one counts, only if it declares generation, and only as the folder wants it."""
    outcome, reason = an_outcome(some_rules(c2pa_generated=rule), verdict=a_verdict(c2pa=manifest))
    assert expected == outcome
    assert (expected == "human") == (reason is None)


def test_a_manifest_that_agrees_needs_no_words() -> None:
    """Where verdict and manifest say the same, the outcome is plainly the verdict's."""
    assert an_outcome(verdict=a_verdict("artificial", c2pa=a_manifest())) == ("artificial", None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, b"human/a/b.jpg"),
        ({"keep_tree": False}, b"human/b.jpg"),
        ({"destinations": {Outcome.HUMAN: b"/srv/human/"}, "action": Action.COPY}, b"/srv/human/a/b.jpg"),
        ({"action": Action.SIDECAR}, None),
        ({"action": Action.RECORD}, None),
    ],
)
def test_where_a_file_goes(changes: dict[str, Any], expected: bytes | None) -> None:
    """The tree is kept or not; a sidecar or a record leaves the file in its place."""
    assert expected == routing.destination(b"a/b.jpg", Outcome.HUMAN, some_rules(**changes))


@pytest.mark.parametrize(
    ("name", "n", "expected"),
    [
        (b"x.jpg", 1, b"x.jpg"),
        (b"x.jpg", 2, b"x-2.jpg"),
        (b"x", 12, b"x-12"),
        (b".x", 2, b".x-2"),
        (b"Mr. Smith goes home", 2, b"Mr. Smith goes home-2"),
        ("é".encode() * 125 + b".jpg", 2, "é".encode() * 124 + b"-2.jpg"),
    ],
)
def test_numbered_names(name: bytes, n: int, expected: bytes) -> None:
    """The number stands before the extension, and a long name is cut between characters."""
    assert expected == routing.numbered(name, n)


@settings(deadline=None)
@given(NAMES, st.integers(1, 9999))
@example(b"\x80" * 255, 2)
def test_every_made_name_fits(name: bytes, n: int) -> None:
    """No name that is made is longer than a file system takes, and our own keep their whole suffix."""
    assert len(routing.numbered(name, n)) <= 255
    for made, suffix in (
        (routing.sidecar_name(name, n), b".identifai.json"),
        (routing.heatmap_name(name, n), b".identifai.heatmap.png"),
    ):
        assert len(made) <= 255
        assert made.endswith(suffix)


@settings(deadline=None)
@given(st.text(min_size=60, max_size=120, alphabet="aé漢😀"), st.integers(2, 99))
def test_a_cut_name_is_still_text(name: str, n: int) -> None:
    """Cutting never splits a character."""
    routing.numbered(name.encode()[:255].decode(errors="ignore").encode() + b".jpg", n).decode()


def test_names_beside() -> None:
    """The sidecar and the heatmap are named after the whole file name; a number avoids a foreign one."""
    assert routing.sidecar_name(b"photo.jpg") == b"photo.jpg.identifai.json"
    assert routing.sidecar_name(b"photo.jpg", 2) == b"photo.jpg.2.identifai.json"
    assert routing.heatmap_name(b"photo.jpg") == b"photo.jpg.identifai.heatmap.png"


def test_long_names_beside() -> None:
    """Up to 240 bytes a name stays whole; longer ones are cut and told apart by a hash."""
    assert routing.sidecar_name(b"x" * 240) == b"x" * 240 + b".identifai.json"
    one, other = routing.sidecar_name(b"x" * 250 + b".jpg"), routing.sidecar_name(b"x" * 250 + b".png")
    assert one != other
    assert len(one) == 255
