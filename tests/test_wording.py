"""The words: never that something is real, but which signs were found, what the number means, and how far it goes."""

import dataclasses
import itertools
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core import findings, wording
from identifai_watch.core.findings import Findings
from identifai_watch.core.model import (
    Analysis,
    AnalysisState,
    Choice,
    Decision,
    File,
    FileState,
    Fingerprint,
    Interim,
    Label,
    Media,
    Outcome,
    Verdict,
)
from identifai_watch.core.wording import Signs, Words

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLAIMS = re.compile(
    r"\b(?:is|was) (?:human|real|genuine|authentic|artificial|fake|true|a human)\b|\bgenuine\b|\bauthentic\b",
    re.IGNORECASE,
)
SIGNED = {"active_manifest": "a", "manifests": {"a": {}}, "validation_state": "Valid"}
TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def verdict(label: Label = Label.HUMAN, **more: Any) -> Verdict:
    """Return a verdict of 0.6 by a majority of two models."""
    return Verdict(classification=label, confidence=0.6, heuristic="Majority", models=("a", "b"), **more)


def analysis(said: Verdict | None = None, media: Media = Media.IMAGE, **more: Any) -> Analysis:
    """Return the analysis of a content: judged, if there is a verdict."""
    state = AnalysisState.QUEUED if said is None else AnalysisState.JUDGED
    values: dict[str, Any] = {"mime": "", "options": "{}", "size": 1, "state": state} | more
    return Analysis(id=1, sha256=bytes(32), media=media, noticed_at=NOW, verdict=said, **values)


def file(outcome: Outcome | None = None, **more: Any) -> File:
    """Return a file, delivered if it has an outcome."""
    state = FileState.WAITING if outcome is None else FileState.DELIVERED
    shape = Fingerprint(size=1, mtime_ns=1, ctime_ns=1, inode=1)
    return File(
        id=1, folder="drop", path=b"a.jpg", fingerprint=shape, noticed_at=NOW, outcome=outcome, **{"state": state} | more
    )  # fmt: skip


def decided(choice: Choice) -> Decision:
    """Return a decision of the desk."""
    return Decision(choice=choice, reason="the raw was sent", by="anna", at=NOW)


def said(of: File, by: Analysis | None = None, raw: object = None) -> Words:
    """Return the words for a file, whose answer is ``raw``."""
    kept = None if raw is None else json.dumps(raw).encode()
    return wording.words(of, by, wording.found_in(of, by, kept))


def found(media: Media, raw: dict[str, Any]) -> Findings:
    """Read an answer."""
    return findings.of(raw, media)


@pytest.mark.parametrize(
    ("of", "by", "expected"),
    [
        (file(Outcome.HUMAN), verdict(), Signs.NONE_FOUND),
        (file(Outcome.ARTIFICIAL), verdict(Label.ARTIFICIAL), Signs.FOUND),
        (file(Outcome.UNCERTAIN), verdict(unknown=True), Signs.UNCLEAR),
        (file(Outcome.UNCERTAIN, reason="human with a confidence of 0.6, below 0.8"), verdict(), Signs.UNCLEAR),
        (file(Outcome.ARTIFICIAL, reason="a valid C2PA manifest declares generated media"), verdict(), Signs.FOUND),
        (file(), verdict(Label.ARTIFICIAL), Signs.FOUND),  # judged, and still to be delivered
        (file(Outcome.UNCHECKED, interim=Interim.LATE), verdict(), Signs.NONE_FOUND),  # it came after all
        (file(Outcome.PENDING, interim=Interim.CHANGING), verdict(), Signs.NOT_YET),
        (file(Outcome.HUMAN, decision=decided(Choice.HUMAN)), verdict(Label.ARTIFICIAL), Signs.FOUND),
        (file(Outcome.HUMAN), verdict(Label.ARTIFICIAL, forced=Label.HUMAN), Signs.FOUND),
        (file(Outcome.REJECTED, refusal="too large"), None, Signs.NOT_EXAMINED),
        (file(Outcome.HUMAN, refusal="x", decision=decided(Choice.HUMAN)), None, Signs.NOT_EXAMINED),
        (file(Outcome.UNCHECKED, interim=Interim.LATE), None, Signs.NOT_EXAMINED),
        (file(state=FileState.GONE), None, Signs.NOT_EXAMINED),
        (file(), None, Signs.NOT_YET),
    ],
)  # fmt: skip
def test_the_signs_are_what_the_examination_came_to(of: File, by: Verdict | None, expected: Signs) -> None:
    """By the folder's rules, but whatever the desk decided or somebody forced."""
    assert expected is wording.signs(of, analysis(by))
    assert f"Signs of generation: {expected}" == wording.headline(of, analysis(by)).partition(";")[0]


@pytest.mark.parametrize(
    ("of", "by", "words"),
    [
        (file(), None, "It waits to be read."),
        (file(), analysis(), "It waits to be sent."),
        (file(), analysis(doubt=True), "It waits to be sent once more: the answer to an earlier upload was lost."),
        (file(), analysis(state=AnalysisState.SENDING), "It is being sent."),
        (file(), analysis(state=AnalysisState.AWAITING), "It is at identifAI, and its verdict is waited for."),
        (
            file(), analysis(stuck_at=NOW, reason="500: Oops."),
            "It is stuck and not tried again by itself: 500: Oops.",
        ),
        (file(stuck_at=NOW, trouble="disk full"), analysis(), "It is stuck and not tried again by itself: disk full."),
        (file(Outcome.REJECTED, refusal="60 MB, over 50"), None, "It was refused: 60 MB, over 50."),
        (
            file(Outcome.REJECTED), analysis(state=AnalysisState.REFUSED, reason="400: no image"),
            "It was refused: 400: no image.",
        ),
        (file(Outcome.UNCHECKED, interim=Interim.LATE), analysis(), "It was let go unchecked: its verdict did not come in time."),
        (file(held=True), None, "It is held: it was there before the daemon, and is sent when it is released."),
        (file(state=FileState.GONE), analysis(), "It went away before it was examined."),
        (file(state=FileState.SUPERSEDED), analysis(), "Its content was replaced before it was examined."),
        (
            file(Outcome.PENDING, interim=Interim.CHANGING, state=FileState.WAITING), analysis(verdict()),
            "It was changed: an earlier verdict is not about what lies there now.",
        ),
        (
            file(Outcome.PENDING, interim=Interim.REPLACED, state=FileState.WAITING), analysis(),
            "It took the place of another file, whose verdict is not about it.",
        ),
    ],
)  # fmt: skip
def test_what_is_not_examined_says_why(of: File, by: Analysis | None, words: str) -> None:
    """Waiting, refused, stuck, let go, held, gone, changed: and no number that could be taken for a finding."""
    told = said(of, by)
    assert (words,) == told.because
    assert (None, ()) == (told.confidence, told.limits)
    assert told.signs not in wording.EXAMINED


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Choice.HUMAN, "the desk decided: human"),
        (Choice.ARTIFICIAL, "the desk decided: artificial"),
        (Choice.INCONCLUSIVE, "the desk left it open"),
        (Choice.CONFIRMED, "the desk confirmed it"),
    ],
)
def test_what_the_desk_decided_stands_beside_what_was_found(choice: Choice, words: str) -> None:
    """Neither is told as the other."""
    told = said(file(Outcome.HUMAN, decision=decided(choice)), analysis(verdict(Label.ARTIFICIAL)))
    assert f"Signs of generation: found; {words}" == told.headline
    capital = words[0].upper() + words[1:]
    assert f"{capital} (anna, 2026-03-01 12:00 UTC: the raw was sent)." == told.because[0]


def test_a_forced_label_is_told_as_forced() -> None:
    """It is somebody's word, not a finding."""
    told = said(file(Outcome.HUMAN), analysis(verdict(Label.ARTIFICIAL, forced=Label.HUMAN)))
    assert "Signs of generation: found; labelled human at identifAI by hand" == told.headline
    assert (
        "forced the label human at identifAI; the examination itself said artificial 0.60." in told.because[0]
    )


def test_the_folders_rules_are_named_where_they_decided() -> None:
    """A number below what the folder asks for is why it is unclear."""
    reason = "human with a confidence of 0.6, below 0.8"
    told = said(file(Outcome.UNCERTAIN, reason=reason), analysis(verdict()))
    assert (f"By the folder's rules: {reason}.",) == told.because


@pytest.mark.parametrize(
    ("options", "state", "words"),
    [
        ("{}", "Valid", ["may have called it artificial for that alone", "declares generated media"]),
        ('{"prevent_c2pa_forces":true}', "Valid", ["which is valid, declares generated media (trainedAlgor"]),
        ('{"prevent_c2pa_forces":true}', "Invalid", ["is not valid: nobody vouches for that"]),
        ('{"prevent_c2pa_forces":true}', "Unknown", ["whether it is valid is not known"]),
    ],
)
def test_what_a_signature_adds_is_told(options: str, state: str, words: list[str]) -> None:
    """Whether it may have forced the verdict, and what it declares, valid or not."""
    action = {"action": "c2pa.created", "digitalSourceType": TRAINED}
    made = {"assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}]}
    c2pa = SIGNED | {"manifests": {"a": made}, "validation_state": state}
    told = said(
        file(Outcome.ARTIFICIAL), analysis(verdict(Label.ARTIFICIAL), options=options), {"c2pa": c2pa}
    )
    assert len(words) == len(told.because)
    assert all(word in because for word, because in zip(words, told.because, strict=True))


# What the number means.


@pytest.mark.parametrize(
    ("media", "words"),
    [
        (Media.IMAGE, "0.60 of 1 is how sure the heuristic Majority over 2 models is of this: no proof"),
        (Media.AUDIO, "Each clip has its own."),
        (Media.VIDEO, "0.60 is the share of the frames looked at that say so, by the heuristic Majority"),
    ],
)
def test_what_the_number_means_depends_on_the_kind(media: Media, words: str) -> None:
    """A video's is a share of its frames, the others' a heuristic's."""
    told = said(file(Outcome.HUMAN), analysis(verdict(), media))
    assert told.confidence is not None
    assert words in told.confidence


@pytest.mark.parametrize(("count", "frames", "words"), [(3, 5, "say so (3 of 5), by"), (3, 9, "say so, by"), (None, 5, "say so, by")])  # fmt: skip
def test_frames_are_counted_where_the_count_fits(count: int | None, frames: int, words: str) -> None:
    """Else the number is told alone: what count means is inferred."""
    main = {"heuristic": "Majority", "classification": "human", "confidence": 0.6, "count": count}
    raw = {"verdict": main, "results": {"images": [{}] * frames}}
    told = said(file(Outcome.HUMAN), analysis(verdict(), Media.VIDEO), raw)
    assert words in (told.confidence or "")


def test_where_it_could_not_tell_the_number_means_nothing() -> None:
    """Nobody is to take it for a tendency."""
    told = said(file(Outcome.UNCERTAIN), analysis(verdict(unknown=True)))
    assert "0.60, which means nothing here: identifAI could not tell." == told.confidence


# How far it goes.


def limits(media: Media, raw: object = None, **more: Any) -> str:
    """Return what is said of how far the examination of a file went."""
    return " ".join(
        said(file(Outcome.HUMAN), analysis(verdict(), media, **more), {} if raw is None else raw).limits
    )


def test_what_was_not_asked_for_is_named_with_its_option() -> None:
    """Of a kind that takes the option; what was asked for is not named."""
    told = limits(Media.IMAGE, options='{"with_tampering":true}')
    assert "not asked for: merged faces (with_morphing), nudity and the like (with_nsfw)." in told
    assert "with_" not in limits(Media.AUDIO)
    every = '{"with_tampering":true,"with_morphing":true,"with_nsfw":true}'
    assert "not asked for" not in limits(Media.VIDEO, options=every)


def test_of_a_video_frames_and_sound_are_told() -> None:
    """How many frames were looked at, of how many it could not be told, and whether its sound was."""
    frames = [{"verdict": {"classification": "human", "confidence": 1, "unknown": True}}, {}, {}]
    told = limits(Media.VIDEO, {"results": {"images": frames, "audios": []}})
    assert "Only 3 frames of it were looked at; at which second they lie is not told." in told
    assert "Of 1 of these 3 frames identifAI could not tell." in told
    assert "Its sound was not examined" in told
    assert "Its sound" not in limits(Media.VIDEO, {"results": {"audios": [{}]}})


@pytest.mark.parametrize(
    ("seconds", "words"), [(2, "too little to rely on"), (8, ", little to rely on"), (10, None), (0, None)]
)
def test_of_sound_it_is_told_what_is_too_short(seconds: float, words: str | None) -> None:
    """By what the vendor's guide asks for; and that the models are made for speech."""
    clips = [{"start": 0, "end": seconds / 2}, {"start": seconds / 2, "end": seconds}]
    told = limits(Media.AUDIO, {"details": {"clips": clips}})
    assert "made for speech" in told
    assert ("were examined" in told) is (words is not None)
    assert words is None or words in told


def test_of_a_video_that_is_judged_as_sound_the_pictures_were_not_examined() -> None:
    """``mp4_as`` sends it so."""
    assert "pictures" in limits(Media.AUDIO, mime="video/mp4")
    assert "pictures" not in limits(Media.AUDIO, mime="audio/mpeg")


def test_models_that_could_not_tell_are_named() -> None:
    """The others may still have said something."""
    results = [{"model": "V01", "unknown": True}, {"model": "V02"}]
    assert "1 of 2 models could not tell: V01." in limits(Media.IMAGE, {"results": results})


def test_that_none_were_found_is_told_as_no_proof() -> None:
    """Nor is it said where some were found."""
    assert "That none were found does not prove that there are none." in limits(Media.IMAGE)
    other = said(file(Outcome.ARTIFICIAL), analysis(verdict(Label.ARTIFICIAL)), {})
    assert "none were found" not in " ".join(other.limits)


def test_of_a_pruned_answer_it_is_told_that_it_is_not_kept() -> None:
    """Nobody looks for models that cannot be shown."""
    told = said(file(Outcome.HUMAN), analysis(verdict()), None)
    assert "The answer itself is no longer kept" in " ".join(told.limits)


# For every file there is.

FILES = [
    file(
        outcome, state=state, decision=None if choice is None else decided(choice), interim=interim, held=held
    )
    for outcome, state, choice, interim, held in itertools.product(
        (None, *Outcome), FileState, (None, *Choice), (None, *Interim), (False, True)
    )
]
ANALYSES = [
    None,
    *(analysis(state=state, stuck_at=NOW if state is AnalysisState.QUEUED else None) for state in AnalysisState if state is not AnalysisState.JUDGED),
    *(
        analysis(verdict(label, unknown=unknown, forced=forced), media)
        for label, unknown, forced, media in itertools.product(Label, (False, True), (None, *Label), Media)
    ),
]  # fmt: skip


@given(of=st.sampled_from(FILES), by=st.sampled_from(ANALYSES), is_kept=st.booleans())
def test_nothing_is_ever_said_to_be_real(of: File, by: Analysis | None, is_kept: bool) -> None:  # noqa: FBT001 - Hypothesis gives it by name
    """Whatever the state: the signs are named, sentences end, and no sentence claims to know what a file is."""
    told = said(of, by, {"c2pa": SIGNED} if is_kept else None)
    sentences = [told.headline, *told.because, told.confidence or "", *told.limits]
    assert told.headline.startswith("Signs of generation: ")
    assert not any(CLAIMS.search(sentence) for sentence in sentences)
    assert all(one.endswith(".") for one in sentences[1:] if one)
    assert (told.confidence is not None) == (told.signs in wording.EXAMINED)
    if of.outcome is Outcome.PENDING:
        assert told.signs is Signs.NOT_YET


def test_what_others_wrote_cannot_write_to_a_terminal() -> None:
    """Reasons come from the API, from disks and from people."""
    decision = dataclasses.replace(decided(Choice.HUMAN), reason="seen\x1b[2J\u202e\n", by="an\x1bna")
    told = said(file(Outcome.REJECTED, refusal="bad\x1b]8;;x", decision=decision))
    assert all(line.isprintable() for line in told.because)


def test_words_are_json() -> None:
    """For machines the same is said."""
    told = said(file(Outcome.HUMAN), analysis(verdict()))
    document = json.loads(json.dumps(wording.words_json(told)))
    assert ("none found", told.headline) == (document["signs"], document["headline"])
    assert list(told.limits) == document["limits"]
