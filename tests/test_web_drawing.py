"""Where frames, clips and boxes are drawn: always within their picture, whatever an answer says."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core.findings import Box, Clip, Detection, Findings, Frame, Sound
from identifai_watch.core.model import Label, Media
from identifai_watch.web import drawing
from identifai_watch.web.drawing import HEIGHT, WIDTH
from identifai_watch.web.ranges import part

SHARES = st.none() | st.floats(0, 1)
LABELS = st.none() | st.sampled_from(Label)
SECONDS = st.floats(0, 1e9)


@given(st.lists(st.tuples(LABELS, SHARES, st.booleans()), max_size=300))
def test_frames_stand_side_by_side(said: list[tuple[Label | None, float | None, bool]]) -> None:
    """Frames follow each other without lying over each other, within the picture, however many there are."""
    frames = tuple(
        Frame(
            place=place,
            name=None,
            classification=label,
            confidence=sure,
            unknown=unknown,
            opinions=(),
            detections=(),
        )
        for place, (label, sure, unknown) in enumerate(said, 1)
    )
    bars = drawing.drawn(Findings(media=Media.VIDEO, frames=frames)).frames
    assert len(frames) == len(bars)
    assert all(0 <= bar.x and bar.x + bar.width <= WIDTH + 0.02 and bar.width > 0 for bar in bars)
    assert all(0 <= bar.y and abs(bar.y + bar.height - HEIGHT) < 0.02 for bar in bars)
    assert all(before.x + before.width <= after.x + 0.02 for before, after in pairwise(bars))


@given(st.lists(st.tuples(SECONDS, SECONDS), max_size=50))
def test_clips_lie_at_their_seconds(said: list[tuple[float, float]]) -> None:
    """A clip begins where its second is along the whole, and is seen however short it is."""
    clips = tuple(
        Clip(begin=min(pair), end=max(pair), classification=None, confidence=None, unknown=False, opinions=())
        for pair in said
    )
    sound = Sound(name=None, rulings=(), opinions=(), clips=clips)
    [line] = drawing.drawn(Findings(media=Media.AUDIO, sounds=(sound,))).lines
    assert len(line.bars) in {0, len(clips)}
    for bar, clip in zip(line.bars, clips, strict=False):
        assert abs(bar.x - clip.begin / line.seconds * WIDTH) <= 0.01
        assert bar.width >= 1
        assert clip.begin == bar.at


@given(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4))
def test_boxes_have_their_corners_in_order(sides: list[float]) -> None:
    """Corners may come in any order; what is drawn has a width and a height that are not negative."""
    x1, y1, x2, y2 = sides
    detection = Detection(box=Box(x1=x1, y1=y1, x2=x2, y2=y2), says=None, confidence=None, opinions=())
    drawn = drawing.drawn(Findings(media=Media.IMAGE, detections=(detection,)))
    [spot] = [*drawn.spots, *drawn.pixels]
    assert spot.box.x1 <= spot.box.x2
    assert spot.box.y1 <= spot.box.y2


@given(st.text(alphabet="bytes=0123456789-, ", max_size=30), st.integers(0, 10**12))
def test_a_part_lies_within_the_file(asked: str, size: int) -> None:
    """Whatever a header says, what is handed out lies within the file; an empty file has no parts but its whole."""
    found = part(asked, size)
    assert found is None or (0 <= found.start <= found.stop <= size)
