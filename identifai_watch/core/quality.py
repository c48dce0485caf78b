"""Does the desk agree with identifAI? What it decided against what was found, by confidence, kind and model.

Only what the desk decided is counted: it looks at what is doubtful first, so that this is no sample of all that came.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from identifai_watch.core.findings import Findings
from identifai_watch.core.model import Choice, Label, Media, Verdict
from identifai_watch.core.sidecar import timestamp
from identifai_watch.core.wording import Signs, signs_of

BANDS = (0.0, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Where the bands of confidence begin and end; the last one holds its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One file that the desk decided, with the verdict and the answer that it was decided against."""

    media: Media
    choice: Choice
    verdict: Verdict
    findings: Findings | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How the desk decided what was found alike: ``said`` is what was found, the numbers are files.

    ``name`` is that of the band, the kind or the model. ``open`` is what the desk left inconclusive.
    """

    name: str
    said: Signs
    human: int
    artificial: int
    open: int

    @property
    def agreed(self) -> int | None:
        """Return how often the desk agreed; None where there was nothing to agree with."""
        match self.said:
            case Signs.FOUND:
                return self.artificial
            case Signs.NONE_FOUND:
                return self.human
            case _:
                return None

    @property
    def disagreed(self) -> int | None:
        """Return how often it did not; None where there was nothing to disagree with."""
        return None if self.agreed is None else self.human + self.artificial - self.agreed

    @property
    def share(self) -> float | None:
        """Return the part of what the desk could tell in which it agreed: its precision, as the desk sees it."""
        told = self.human + self.artificial
        return None if self.agreed is None or told == 0 else self.agreed / told


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How the ``decided`` files compare; ``unjudged`` of the desk's decisions had no verdict to compare with.

    ``is_whole`` is whether all were counted, and not the newest ones alone.
    """

    since: datetime | None
    decided: int
    unjudged: int
    is_whole: bool
    by_band: tuple[Tally, ...]
    by_media: tuple[Tally, ...]
    by_model: tuple[Tally, ...]


@dataclass(slots=True)
class Sums:
    """The sums that a quality is made of, filled file by file."""

    decided: int = 0
    bands: dict[tuple[str, Signs], Counter[Label | None]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    media: dict[tuple[str, Signs], Counter[Label | None]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    models: dict[tuple[str, Signs], Counter[Label | None]] = field(
        default_factory=lambda: defaultdict(Counter)
    )

    def add(self, one: Judged) -> None:
        """Count one file."""
        self.decided += 1
        desk = decided_as(one.choice, one.verdict)
        said = signs_of(one.verdict.classification, unknown=one.verdict.unknown)
        self.bands[band(one.verdict.confidence), said][desk] += 1
        self.media[one.media, said][desk] += 1
        for model, label in models_labels(one.findings):
            self.models[model, signs_of(label, unknown=False)][desk] += 1

    def quality(self, *, since: datetime | None, unjudged: int = 0, is_whole: bool = True) -> Quality:
        """Return what was counted."""
        return Quality(
            since=since,
            decided=self.decided,
            unjudged=unjudged,
            is_whole=is_whole,
            by_band=_tallies(self.bands),
            by_media=_tallies(self.media),
            by_model=_tallies(self.models),
        )


def decided_as(choice: Choice, verdict: Verdict) -> Label | None:
    """Return the label that the desk gave; None for what it left open, or confirmed although nothing could be told."""
    match choice:
        case Choice.HUMAN | Choice.ARTIFICIAL:
            return Label(choice.value)
        case Choice.INCONCLUSIVE:
            return None
        case Choice.CONFIRMED:
            return verdict.forced or (None if verdict.unknown else verdict.classification)


def band(confidence: float) -> str:
    """Return the name of the band that a confidence lies in."""
    low, high = next((low, high) for low, high in pairwise(BANDS) if confidence < high or high == 1)
    return f"{low:.2f} to {high:.2f}"


def models_labels(findings: Findings | None) -> Iterator[tuple[str, Label | None]]:
    """Yield each model with the label that it holds for the likeliest; of a video that of most of its frames."""
    if findings is None:
        return
    votes: dict[str, Counter[Label | None]] = defaultdict(Counter)
    opinions = findings.opinions or (one for frame in findings.frames for one in frame.opinions)
    for opinion in opinions:
        votes[opinion.model][opinion.classification] += 1
    for model, of_model in votes.items():
        human, artificial = of_model[Label.HUMAN], of_model[Label.ARTIFICIAL]
        if max(human, artificial) * 2 <= of_model.total():
            yield model, None
        else:
            yield model, Label.HUMAN if human > artificial else Label.ARTIFICIAL


def quality_json(quality: Quality) -> dict[str, Any]:
    """Return a quality as JSON's own values."""
    return {
        "since": timestamp(quality.since),
        "decided": quality.decided,
        "unjudged": quality.unjudged,
        "is_whole": quality.is_whole,
        "by_band": _rows(quality.by_band),
        "by_media": _rows(quality.by_media),
        "by_model": _rows(quality.by_model),
    }


def _rows(tallies: Iterable[Tally]) -> list[dict[str, Any]]:
    return [
        asdict(one) | {"agreed": one.agreed, "disagreed": one.disagreed, "share": one.share}
        for one in tallies
    ]


def _tallies(sums: Mapping[tuple[str, Signs], Counter[Label | None]]) -> tuple[Tally, ...]:
    order = list(Signs)
    return tuple(
        Tally(
            name=name,
            said=said,
            human=counted[Label.HUMAN],
            artificial=counted[Label.ARTIFICIAL],
            open=counted[None],
        )
        for (name, said), counted in sorted(sums.items(), key=lambda of: (of[0][0], order.index(of[0][1])))
    )
