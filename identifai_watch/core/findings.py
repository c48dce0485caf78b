"""What identifAI found, beyond the verdict: models and their scores, heuristics, frames, clips, objects.

The answer as it was kept (``answers.raw``) -> ``Findings``. Only what can be shown is taken: a part that is missing,
null or of another shape is left out, a text is cut, and there is an end to how many parts are looked at, whatever a
stranger sends (api-notes 16, 19, 20). The words for it stand in ``wording``, a manifest in ``manifests``.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from identifai_watch.core import manifests
from identifai_watch.core.manifests import Manifest
from identifai_watch.core.model import Label, Media, Verdict
from identifai_watch.core.replies import one_line
from identifai_watch.core.verdicts import label, link, mapping, number, sequence

AT_MOST = 2_000
"""Parts of one list that are looked at."""

IN_ALL = 20_000
"""Parts of one answer that are looked at: thirty frames with ten models each have about a thousand."""

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How sure a model is of a label, 0 to 1; the labels of objects and of some models are the vendor's own words."""

    label: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What one model says; ``unknown`` is that it could not tell. ``seconds`` is how long it took.

    A model's version is part of its name: the API tells no other.
    """

    model: str
    unknown: bool
    scores: tuple[Score, ...]
    seconds: float | None

    @property
    def classification(self) -> Label | None:
        """Return the label that it holds for the likeliest; None if it could not tell, or holds none for that."""
        scores = sorted(self.scores, key=lambda one: one.score, reverse=True)
        is_tie = len(scores) > 1 and scores[0].score == scores[1].score
        return None if self.unknown or is_tie or not scores else label(scores[0].label)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What one heuristic makes of the models' opinions; ``count`` is a video's: that of the frames that agree.

    ``is_main`` marks the heuristic that the account has chosen, whose ruling is the verdict.
    """

    heuristic: str
    classification: Label | None
    confidence: float | None
    unknown: bool
    count: int | None
    models: tuple[str, ...]
    is_main: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Where something is, by two opposite corners; in which unit the API does not say (pixels, or parts of the whole)."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def is_relative(self) -> bool:
        """Tell whether the corners can only be parts of the whole, 0 to 1."""
        return all(0 <= side <= 1 for side in (self.x1, self.y1, self.x2, self.y2))

    def within(self, width: float, height: float) -> "Box | None":
        """Return the box in parts of a picture of so many pixels, cut to it; None if nothing of it lies inside."""
        across, down = (1.0, 1.0) if self.is_relative else (width, height)
        if across <= 0 or down <= 0:
            return None
        left, right = sorted(min(max(side / across, 0.0), 1.0) for side in (self.x1, self.x2))
        top, bottom = sorted(min(max(side / down, 0.0), 1.0) for side in (self.y1, self.y2))
        return None if left == right or top == bottom else Box(x1=left, y1=top, x2=right, y2=bottom)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """Something that was detected in a picture and looked at by itself; ``says`` is the vendor's own word for it."""

    box: Box
    says: str | None
    confidence: float | None
    opinions: tuple[Opinion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame of a video; ``place`` is its place among those that were looked at, from 1.

    At which second it lies the API does not say.
    """

    place: int
    name: str | None
    classification: Label | None
    confidence: float | None
    unknown: bool
    opinions: tuple[Opinion, ...]
    detections: tuple[Detection, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A stretch of sound that was judged by itself; ``begin`` and ``end`` are in seconds."""

    begin: float
    end: float
    classification: Label | None
    confidence: float | None
    unknown: bool
    opinions: tuple[Opinion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """A sound track: its ``clips`` in the order of time.

    A video's track has a name, rulings and opinions of its own; those of an audio file are about the whole.
    """

    name: str | None
    rulings: tuple[Ruling, ...]
    opinions: tuple[Opinion, ...]
    clips: tuple[Clip, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that can be shown of one answer.

    ``rulings`` begins with the main one; ``opinions`` are those about the whole, and a video has none. ``sounds`` are its
    tracks, an audio file's one or none. Where it is not ``is_whole`` only the verdict is known, for the answer
    was pruned. ``left_out`` counts the parts that were too many.
    """

    media: Media
    is_whole: bool = True
    rulings: tuple[Ruling, ...] = ()
    opinions: tuple[Opinion, ...] = ()
    frames: tuple[Frame, ...] = ()
    sounds: tuple[Sound, ...] = ()
    detections: tuple[Detection, ...] = ()
    manifest: Manifest | None = None
    nsfw: bool | None = None
    has_heatmap: bool = False
    api_version: str | None = None
    result_url: str | None = None
    left_out: int = 0


def read(raw: bytes | None, media: Media) -> Findings | None:
    """Read an answer as it was kept; None where there is none, or none that is a JSON object. Never raises."""
    try:
        element = None if raw is None else json.loads(raw)
    except (ValueError, RecursionError):  # no JSON, no UTF-8, a number without end, or nested without end
        return None
    return of(element, media) if isinstance(element, dict) else None


def of(element: Mapping[str, object], media: Media) -> Findings:
    """Read one element of a result of kind ``media``."""
    parts = _Parts()
    rulings = _rulings(parts, element)
    opinions = _opinions(parts, element.get("results"))  # of a video these stand with its frames
    found = Findings(
        media=media,
        rulings=rulings,
        opinions=opinions,
        frames=_frames(parts, element) if media is Media.VIDEO else (),
        sounds=_sounds(parts, element, media),
        detections=_detections(parts, element) if media is Media.IMAGE else (),
        manifest=_manifest(element, media),
        nsfw=_flag(element.get("is_nsfw")),
        has_heatmap=element.get("has_heatmap") is True,
        api_version=_name(element.get("api_version")),
        result_url=link(element.get("result_url")),
    )
    return replace(found, left_out=parts.left_out)


def of_verdict(verdict: Verdict, media: Media) -> Findings:
    """Return what is known without the answer, which may have been pruned: the verdict alone."""
    main = Ruling(
        heuristic=verdict.heuristic,
        classification=verdict.classification,
        confidence=verdict.confidence,
        unknown=verdict.unknown,
        count=None,
        models=verdict.models,
        is_main=True,
    )
    return Findings(
        media=media,
        is_whole=False,
        rulings=(main,),
        manifest=None if verdict.c2pa is None else manifests.of(verdict.c2pa),
        nsfw=verdict.nsfw,
        has_heatmap=verdict.has_heatmap,
        api_version=verdict.api_version,
        result_url=verdict.result_url,
    )


def findings_json(findings: Findings) -> dict[str, Any]:
    """Return findings as JSON's own values."""
    return asdict(findings)


class _Parts:
    """Counts the parts that are looked at, so that there is an end to it."""

    def __init__(self) -> None:
        self.left = IN_ALL
        self.left_out = 0

    def read(self, value: object, part: Callable[[Any], Part | None]) -> tuple[Part, ...]:
        """Read the parts of a list as far as there is room; what gives None is none."""
        listed = sequence(value)
        room = min(AT_MOST, self.left)
        self.left -= min(room, len(listed))
        self.left_out += max(0, len(listed) - room)
        return tuple(one for one in map(part, listed[:room]) if one is not None)


def _name(value: object) -> str | None:
    return one_line(value) or None


def _rulings(parts: _Parts, element: Mapping[str, object]) -> tuple[Ruling, ...]:
    main = _ruling(parts, element.get("verdict"), is_main=True)
    others = parts.read(element.get("verdicts"), lambda one: _ruling(parts, one))
    if main is None:
        return others
    return (main, *(one for one in others if one.heuristic != main.heuristic))


def _ruling(parts: _Parts, value: object, *, is_main: bool = False) -> Ruling | None:
    said = mapping(value)
    classification, confidence = label(said.get("classification")), _share(said.get("confidence"))
    if classification is None and confidence is None:
        return None
    counted = number(said.get("count"))
    return Ruling(
        heuristic=_name(said.get("heuristic")) or "unnamed",
        classification=classification,
        confidence=confidence,
        unknown=said.get("unknown") is True,
        count=round(counted) if counted is not None and 0 <= counted < IN_ALL else None,
        models=parts.read(said.get("models"), _name),
        is_main=is_main,
    )


def _opinions(parts: _Parts, value: object) -> tuple[Opinion, ...]:
    def opinion(one: object) -> Opinion | None:
        said = mapping(one)
        scores = parts.read(said.get("classification"), _score)
        model = _name(said.get("model"))
        if model is None and not scores:
            return None
        seconds = number(said.get("elapsed_time"))
        return Opinion(
            model=model or "unnamed",
            unknown=said.get("unknown") is True,
            scores=scores,
            seconds=seconds if seconds is not None and seconds >= 0 else None,
        )

    return parts.read(value, opinion)


def _score(value: object) -> Score | None:
    said = mapping(value)
    named, score = _name(said.get("label")), _share(said.get("score"))
    return None if named is None or score is None else Score(label=named, score=score)


def _frames(parts: _Parts, element: Mapping[str, object]) -> tuple[Frame, ...]:
    numbered = list(enumerate(sequence(mapping(element.get("results")).get("images")), 1))

    def frame(of_place: tuple[int, object]) -> Frame:
        place, one = of_place
        said = mapping(one)
        ruling = _ruling(parts, said.get("verdict"))
        # The oldest pages have one array of results a frame where the newer ones have an object.
        opinions = _opinions(parts, one if isinstance(one, list) else said.get("results"))
        return Frame(
            place=place,
            name=_name(said.get("name")),
            classification=None if ruling is None else ruling.classification,
            confidence=None if ruling is None else ruling.confidence,
            unknown=_is_unknown(ruling, opinions),
            opinions=opinions,
            detections=_detections(parts, said),
        )

    return parts.read(numbered, frame)


def _sounds(parts: _Parts, element: Mapping[str, object], media: Media) -> tuple[Sound, ...]:
    def track(one: object) -> Sound:
        said = mapping(one)
        return Sound(
            name=_name(said.get("name")),
            rulings=_rulings(parts, said),
            opinions=_opinions(parts, one if isinstance(one, list) else said.get("results")),
            clips=_clips(parts, said),
        )

    match media:
        case Media.IMAGE:
            return ()
        case Media.AUDIO:
            clips = _clips(parts, element)
            return (Sound(name=None, rulings=(), opinions=(), clips=clips),) if clips else ()
        case Media.VIDEO:
            return parts.read(mapping(element.get("results")).get("audios"), track)


def _clips(parts: _Parts, element: Mapping[str, object]) -> tuple[Clip, ...]:
    """List the clips in the order of time; on older pages they stand in another place (api-notes 19)."""

    def clip(one: object) -> Clip | None:
        said = mapping(one)
        begin, end = number(said.get("start")), number(said.get("end"))
        if begin is None or end is None or not 0 <= begin <= end:
            return None
        ruling = _ruling(parts, said.get("verdict"))
        opinions = _opinions(parts, said.get("results"))
        return Clip(
            begin=begin,
            end=end,
            classification=None if ruling is None else ruling.classification,
            confidence=None if ruling is None else ruling.confidence,
            unknown=_is_unknown(ruling, opinions),
            opinions=opinions,
        )

    listed = mapping(element.get("details")).get("clips") or element.get("chunk_details")
    return tuple(sorted(parts.read(listed, clip), key=lambda one: (one.begin, one.end)))


def _detections(parts: _Parts, element: Mapping[str, object]) -> tuple[Detection, ...]:
    def detection(one: object) -> Detection | None:
        said = mapping(one)
        box, verdict = _box(mapping(said.get("box"))), mapping(said.get("verdict"))
        if box is None:
            return None
        return Detection(
            box=box,
            says=_name(verdict.get("classification")),
            confidence=_share(verdict.get("confidence")),
            opinions=_opinions(parts, said.get("results")),
        )

    details = element.get("details")
    groups = details if isinstance(details, list) else [details]
    listed = parts.read(groups, lambda one: parts.read(mapping(one).get("detections"), detection))
    return tuple(one for group in listed for one in group)


def _box(said: Mapping[str, object]) -> Box | None:
    x1, y1, x2, y2 = (number(said.get(side)) for side in ("x1", "y1", "x2", "y2"))
    if x1 is None or y1 is None or x2 is None or y2 is None:
        return None
    return Box(x1=x1, y1=y1, x2=x2, y2=y2)


def _manifest(element: Mapping[str, object], media: Media) -> Manifest | None:
    """Read the manifest of the whole; of a video it is told with its frames, and the first one's stands for it."""
    found = manifests.read(mapping(element.get("c2pa")))
    if found is not None or media is not Media.VIDEO:
        return found
    frames = sequence(mapping(element.get("results")).get("images"))[:AT_MOST]
    of_frames = (manifests.read(mapping(mapping(one).get("c2pa"))) for one in frames)
    return next((one for one in of_frames if one is not None), None)


def _is_unknown(ruling: Ruling | None, opinions: tuple[Opinion, ...]) -> bool:
    by_models = bool(opinions) and all(one.unknown for one in opinions)
    return by_models or (ruling is not None and ruling.unknown)


def _share(value: object) -> float | None:
    read_as = number(value)
    return read_as if read_as is not None and 0 <= read_as <= 1 else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None
