"""What people are told of a file: never that it is real, but which signs of generation were found, how, and how far.

The one place for these words: commands, page and report say the same. What the numbers mean is the vendor's
documentation's (docs/api-notes.md); of a video it is inferred from its samples.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from identifai_watch.core import findings, manifests
from identifai_watch.core.findings import Findings
from identifai_watch.core.manifests import Declared, Manifest, Validity
from identifai_watch.core.model import (
    Analysis,
    AnalysisState,
    Choice,
    Decision,
    File,
    FileState,
    Interim,
    Label,
    Media,
    Outcome,
    Verdict,
)
from identifai_watch.core.routing import COULD_NOT_TELL
from identifai_watch.core.sidecar import shown


class Signs(StrEnum):
    """Were signs of generation found?"""

    NONE_FOUND = "none found"
    UNCLEAR = "unclear"
    FOUND = "found"
    NOT_YET = "not examined yet"
    NOT_EXAMINED = "not examined"


EXAMINED = frozenset({Signs.NONE_FOUND, Signs.UNCLEAR, Signs.FOUND})


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """All that is to be said of one file, in whole sentences but for ``signs``.

    ``because`` is why people see what they see, ``confidence`` what the number means, ``limits`` what was not examined
    and what the finding does not prove.
    """

    signs: Signs
    headline: str
    because: tuple[str, ...]
    confidence: str | None
    limits: tuple[str, ...]


def found_in(file: File, analysis: Analysis | None, raw: bytes | None) -> Findings | None:
    """Return what was found in a file: None while it is not examined, the verdict alone if the answer is not kept.

    ``raw`` is what the ledger kept of the answer (``views.raw_answer``).
    """
    if analysis is None or analysis.verdict is None or signs(file, analysis) not in EXAMINED:
        return None
    return findings.read(raw, analysis.media) or findings.of_verdict(analysis.verdict, analysis.media)


def words(file: File, analysis: Analysis | None, found: Findings | None) -> Words:
    """Return what is to be said of a file in which so much was ``found`` (see ``found_in``)."""
    confidence: str | None = None
    limits: tuple[str, ...] = ()
    if analysis is not None and analysis.verdict is not None and found is not None:
        confidence = _confidence(analysis.verdict, found)
        limits = tuple(_limits(signs(file, analysis), analysis, found))
    return Words(
        signs=signs(file, analysis),
        headline=headline(file, analysis),
        because=tuple(map(shown, _because(file, analysis, found))),  # reasons come from anybody
        confidence=confidence,
        limits=limits,
    )


def words_json(said: Words) -> dict[str, Any]:
    """Return words as JSON's own values."""
    return asdict(said)


def headline(file: File, analysis: Analysis | None) -> str:
    """Return the one line that everybody reads."""
    said = f"Signs of generation: {signs(file, analysis)}"
    verdict = None if analysis is None else analysis.verdict
    if file.decision is not None:
        return f"{said}; {_CHOSEN[file.decision.choice]}"
    if verdict is not None and verdict.forced is not None and file.outcome is not Outcome.PENDING:
        return f"{said}; labelled {verdict.forced} at identifAI by hand"
    return said


def signs(file: File, analysis: Analysis | None) -> Signs:
    """Return what the examination came to, whatever the desk decided or somebody forced since."""
    verdict = None if analysis is None else analysis.verdict
    if file.outcome is Outcome.PENDING:
        return Signs.NOT_YET  # what lies there now is not what was judged
    if verdict is None:
        return Signs.NOT_EXAMINED if _is_over(file, analysis) else Signs.NOT_YET
    if file.decision is None and verdict.forced is None and file.outcome in _BY_OUTCOME:
        return _BY_OUTCOME[file.outcome]
    return signs_of(verdict.classification, unknown=verdict.unknown)


def signs_of(classification: Label | None, *, unknown: bool) -> Signs:
    """Return the signs that a label stands for: of a heuristic, a model, a frame or a clip."""
    if unknown or classification is None:
        return Signs.UNCLEAR
    return Signs.FOUND if classification is Label.ARTIFICIAL else Signs.NONE_FOUND


_BY_OUTCOME: Mapping[Outcome | None, Signs] = {
    Outcome.HUMAN: Signs.NONE_FOUND,
    Outcome.ARTIFICIAL: Signs.FOUND,
    Outcome.UNCERTAIN: Signs.UNCLEAR,
}

_CHOSEN = {
    Choice.HUMAN: "the desk decided: human",
    Choice.ARTIFICIAL: "the desk decided: artificial",
    Choice.INCONCLUSIVE: "the desk left it open",
    Choice.CONFIRMED: "the desk confirmed it",
}


def _is_over(file: File, analysis: Analysis | None) -> bool:
    """Tell whether a file without a verdict is not going to have one by itself."""
    is_refused = file.refusal is not None or (
        analysis is not None and analysis.state is AnalysisState.REFUSED
    )
    is_away = file.state in {FileState.GONE, FileState.SUPERSEDED}
    return is_refused or is_away or file.outcome in {Outcome.REJECTED, Outcome.UNCHECKED}


# Why.


def _because(file: File, analysis: Analysis | None, found: Findings | None) -> Iterator[str]:
    verdict = None if analysis is None else analysis.verdict
    if file.decision is not None:
        yield _decided(file.decision)
    if file.outcome is Outcome.PENDING:
        yield _pending(file)
    elif analysis is None or verdict is None:
        yield _unjudged(file, analysis)
    else:
        yield from _judged(file, verdict)
        if found is not None and found.manifest is not None:
            yield from of_manifest(found.manifest, verdict, options_of(analysis))


def _decided(decision: Decision) -> str:
    chosen = _CHOSEN[decision.choice]
    why = f": {decision.reason}" if decision.reason else ""
    return f"{chosen[0].upper()}{chosen[1:]} ({decision.by}, {decision.at:%Y-%m-%d %H:%M} UTC{why})."


def _pending(file: File) -> str:
    if file.interim is Interim.REPLACED:
        return "It took the place of another file, whose verdict is not about it."
    return "It was changed: an earlier verdict is not about what lies there now."


def _unjudged(file: File, analysis: Analysis | None) -> str:
    """Say what a file without a verdict waits for, or why it has none."""
    given_up = file.stuck_at or (None if analysis is None else analysis.stuck_at)
    refusal = file.refusal or (
        analysis.reason if analysis is not None and analysis.state is AnalysisState.REFUSED else None
    )
    if file.state is FileState.SUPERSEDED:
        return "Its content was replaced before it was examined."
    if file.state is FileState.GONE:
        return "It went away before it was examined."
    if refusal is not None:
        return _ended(f"It was refused: {refusal}")
    if given_up is not None:
        why = file.trouble or (None if analysis is None else analysis.reason) or "no reason is known"
        return _ended(f"It is stuck and not tried again by itself: {why}")
    if file.outcome is Outcome.UNCHECKED:
        return "It was let go unchecked: its verdict did not come in time."
    if file.held:
        return "It is held: it was there before the daemon, and is sent when it is released."
    return _waiting(analysis)


def _waiting(analysis: Analysis | None) -> str:
    if analysis is None:
        return "It waits to be read."
    again = " once more: the answer to an earlier upload was lost" if analysis.doubt else ""
    match analysis.state:
        case AnalysisState.QUEUED:
            return f"It waits to be sent{again}."
        case AnalysisState.SENDING:
            return f"It is being sent{again}."
        case _:
            return "It is at identifAI, and its verdict is waited for."


def _judged(file: File, verdict: Verdict) -> Iterator[str]:
    if file.outcome is Outcome.UNCHECKED:
        yield "It was let go unchecked before this came, and stays where it was put."
    if verdict.forced is not None:
        yield (
            f"Somebody with the account forced the label {verdict.forced} at identifAI; the examination itself said "
            f"{_labelled(verdict)}."
        )
    elif verdict.unknown:
        yield f"{COULD_NOT_TELL}: its models or its heuristic say so."
    elif file.decision is None and file.reason is not None and file.outcome in _BY_OUTCOME:
        yield _ended(f"By the folder's rules: {file.reason}")


def _labelled(verdict: Verdict) -> str:
    return (
        "that it could not tell" if verdict.unknown else f"{verdict.classification} {verdict.confidence:.2f}"
    )


def of_manifest(manifest: Manifest, verdict: Verdict, options: Mapping[str, object]) -> Iterator[str]:
    """Say what a C2PA manifest adds to a verdict, or may have done to it."""
    if manifests.may_have_forced(manifest, verdict.classification, options):
        yield (
            "It carries a C2PA manifest, and prevent_c2pa_forces was not sent: identifAI may have called it artificial "
            "for that alone."
        )
    if manifest.declared is not Declared.GENERATED:
        return
    match manifest.validity:
        case Validity.VALID:
            yield f"Its own C2PA manifest, which is valid, declares generated media ({manifest.source_type})."
        case Validity.INVALID:
            yield "Its C2PA manifest declares generated media, but is not valid: nobody vouches for that."
        case Validity.UNKNOWN:
            yield "Its C2PA manifest declares generated media; whether it is valid is not known."


# What the number means.


def _confidence(verdict: Verdict, found: Findings) -> str:
    if verdict.unknown:
        return f"{verdict.confidence:.2f}, which means nothing here: {COULD_NOT_TELL}."
    models = len(verdict.models)
    over = f" over {_number(models, 'model')}" if models else ""
    by = f"the heuristic {verdict.heuristic}{over}"
    if found.media is Media.VIDEO:
        return (
            f"{verdict.confidence:.2f} is the share of the frames looked at that say so{_counted(found)}, by {by}: "
            "no probability, and nothing about the frames in between."
        )
    own = " Each clip has its own." if found.media is Media.AUDIO else ""
    return (
        f"{verdict.confidence:.2f} of 1 is how sure {by} is of this: no proof, and not the part of it that was "
        f"generated.{own}"
    )


def _counted(found: Findings) -> str:
    """Say how many frames agree, where the answer's own count fits its confidence."""
    if not found.rulings or not found.frames:
        return ""
    main, frames = found.rulings[0], len(found.frames)
    if main.count is None or main.confidence is None or round(main.confidence * frames) != main.count:
        return ""
    return f" ({main.count} of {frames})"


# What was not examined, and what a finding does not prove.

_OPTIONAL = {
    "with_tampering": "edits without generation",
    "with_morphing": "merged faces",
    "with_nsfw": "nudity and the like",
}
_SOUND_OF_A_VIDEO = frozenset({"video/mp4", "audio/3gp"})
SHORT_SECONDS, LONG_ENOUGH_SECONDS = 3, 10
"""What the vendor's guide asks of speech: at least, and at best."""


def _limits(of: Signs, analysis: Analysis, found: Findings) -> Iterator[str]:
    if of is Signs.NONE_FOUND:
        yield "That none were found does not prove that there are none."
    if not found.is_whole:
        yield "The answer itself is no longer kept: its models, frames and clips cannot be shown."
    yield from _unsure(found)
    match found.media:
        case Media.VIDEO:
            yield from _limits_of_video(found)
        case Media.AUDIO:
            yield from _limits_of_audio(analysis, found)
        case Media.IMAGE:
            pass
    options = options_of(analysis)
    yield "Never examined: where and when it was made, and whether it shows what it is said to show."
    unasked = [f"{what} ({name})" for name, what in _OPTIONAL.items() if options.get(name) is not True]
    if unasked and found.media is not Media.AUDIO:
        yield f"Not examined, for it was not asked for: {', '.join(unasked)}."


def _unsure(found: Findings) -> Iterator[str]:
    unsure = [one.model for one in found.opinions if one.unknown]
    if unsure:
        yield f"{len(unsure)} of {_number(len(found.opinions), 'model')} could not tell: {', '.join(unsure[:10])}."
    if found.left_out:
        yield f"The answer has more parts than can be shown: {found.left_out:,} were left out."


def _limits_of_video(found: Findings) -> Iterator[str]:
    if not found.is_whole:
        return
    frames, unsure = len(found.frames), sum(frame.unknown for frame in found.frames)
    if frames:
        yield f"Only {_number(frames, 'frame')} of it were looked at; at which second they lie is not told."
    if unsure:
        yield f"Of {unsure} of these {_number(frames, 'frame')} identifAI could not tell."
    if not found.sounds:
        yield "Its sound was not examined: the answer tells of none."


def _limits_of_audio(analysis: Analysis, found: Findings) -> Iterator[str]:
    yield "identifAI's audio models are made for speech; music and noise they may misjudge."
    if analysis.mime in _SOUND_OF_A_VIDEO:
        yield "Only its sound was examined; if there are pictures in it, they were not."
    seconds = sum(clip.end - clip.begin for sound in found.sounds for clip in sound.clips)
    if 0 < seconds < LONG_ENOUGH_SECONDS:
        least = "too little to rely on" if seconds < SHORT_SECONDS else "little to rely on"
        yield (
            f"Only {seconds:.1f} s were examined, {least}: the vendor asks for {SHORT_SECONDS} s at the least, "
            f"{LONG_ENOUGH_SECONDS} s at best."
        )


def options_of(analysis: Analysis) -> Mapping[str, object]:
    """Return the options that were sent with an analysis."""
    found = json.loads(analysis.options) if analysis.options else {}
    return found if isinstance(found, dict) else {}


def _ended(sentence: str) -> str:
    """End a sentence whose last words are somebody else's."""
    return f"{sentence.rstrip('. ')}."


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
