"""Where the parts of a picture stand: frames and clips along a line, boxes over an image. Numbers only, for the templates.

Each is drawn with a shape of its own for what was found, so that nothing is told by colour alone, and stands as text in a
table beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from identifai_watch.core import wording
from identifai_watch.core.findings import Box, Clip, Detection, Findings, Frame, Sound
from identifai_watch.core.wording import Signs

WIDTH = 1_000
HEIGHT = 100
_GAP = 4
_LOWEST = 12
"""What is drawn of a confidence of 0, and of one that is not known: it must be seen that there is something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One part of a line: its rectangle, within WIDTH and HEIGHT, and what it ``says``.

    ``at`` is the second at which it begins, None where nobody knows that.
    """

    x: float
    y: float
    width: float
    height: float
    signs: Signs
    says: str
    at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A sound track along a line: ``bars`` are its clips, ``seconds`` how long it is."""

    sound: Sound
    bars: Sequence[Bar]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A detected object over the picture, in its pixels or in parts of it; ``number`` is its place in the table."""

    number: int
    box: Box
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """All that is drawn of what was found. ``spots`` are in parts of the picture, ``pixels`` in its pixels."""

    frames: Sequence[Bar]
    lines: Sequence[Line]
    spots: Sequence[Spot]
    pixels: Sequence[Spot]


def drawn(found: Findings) -> Drawn:
    """Return where everything stands."""
    spots = [_spot(place, one) for place, one in enumerate(found.detections, 1)]
    return Drawn(
        frames=_frames(found.frames),
        lines=[_line(sound) for sound in found.sounds],
        spots=[spot for spot in spots if spot.box.is_relative],
        pixels=[spot for spot in spots if not spot.box.is_relative],
    )


def _frames(frames: Sequence[Frame]) -> list[Bar]:
    """Place frames side by side, each as wide as the other: at which second they lie is not told."""
    if not frames:
        return []
    step = WIDTH / len(frames)
    gap = min(_GAP, step / 4)
    return [
        _bar(
            place * step,
            step - gap,
            wording.signs_of(frame.classification, unknown=frame.unknown),
            frame.confidence,
            f"frame {frame.place}",
        )
        for place, frame in enumerate(frames)
    ]


def _line(sound: Sound) -> Line:
    """Place the clips of a sound at their seconds."""
    seconds = max((clip.end for clip in sound.clips), default=0.0)
    if seconds <= 0:
        return Line(sound=sound, bars=(), seconds=0.0)
    return Line(sound=sound, bars=[_clip(clip, seconds) for clip in sound.clips], seconds=seconds)


def _clip(clip: Clip, seconds: float) -> Bar:
    x, end = clip.begin / seconds * WIDTH, clip.end / seconds * WIDTH
    signs = wording.signs_of(clip.classification, unknown=clip.unknown)
    says = f"{clip.begin:.1f} to {clip.end:.1f} s"
    return _bar(x, max(1.0, end - x - 1), signs, clip.confidence, says, at=clip.begin)


def _bar(
    x: float, width: float, signs: Signs, confidence: float | None, what: str, *, at: float | None = None
) -> Bar:
    height = _LOWEST + (HEIGHT - _LOWEST) * (confidence or 0.0)
    sure = "" if confidence is None else f", {confidence:.2f}"
    return Bar(
        x=round(x, 2),
        y=round(HEIGHT - height, 2),
        width=round(width, 2),
        height=round(height, 2),
        signs=signs,
        says=f"{what}: {signs}{sure}",
        at=at,
    )


def _spot(number: int, detection: Detection) -> Spot:
    box = detection.box
    left, right = sorted((box.x1, box.x2))
    top, bottom = sorted((box.y1, box.y2))
    sure = "" if detection.confidence is None else f", {detection.confidence:.2f}"
    says = f"{number}: {detection.says or 'unnamed'}{sure}"
    return Spot(number=number, box=Box(x1=left, y1=top, x2=right, y2=bottom), says=says)
