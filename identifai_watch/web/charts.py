"""Days along a line, with what came on each as bars upon each other. Numbers only, for the templates.

Each layer has a shape of its own beside its colour, and all that is drawn stands as text in a table beneath.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from identifai_watch.core.costs import Costs
from identifai_watch.core.words import amount
from identifai_watch.web.drawing import HEIGHT, WIDTH

_LOWEST = 3
"""What is drawn of the least: it must be seen that there is something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One layer of a day: its rectangle, within WIDTH and HEIGHT, and what it ``says``."""

    layer: str
    x: float
    y: float
    width: float
    height: float
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """The bars of all days from ``first`` to ``last``; ``most`` is what the highest day has."""

    bars: Sequence[Bar]
    first: date
    last: date
    most: str


def contents(used: Costs) -> Chart | None:
    """Draw what was sent, and on it what was saved; None where there was nothing."""
    sent: dict[date, float] = {}
    saved: dict[date, float] = {}
    for one in used.lines:
        sent[one.day] = sent.get(one.day, 0) + one.posts
        saved[one.day] = saved.get(one.day, 0) + one.copies
    return _chart(used, {"sent": sent, "saved": saved})


def credits_spent(used: Costs) -> Chart | None:
    """Draw the credits that went; None where the balance does not show any."""
    return _chart(used, {"spent": {one.day: one.credits for one in used.spent}})


def _chart(used: Costs, layers: Mapping[str, Mapping[date, float]]) -> Chart | None:
    first, last = used.since.date(), used.until.date()
    days = [first + timedelta(days=place) for place in range((last - first).days + 1)]
    most = max(sum(layer.get(day, 0) for layer in layers.values()) for day in days)
    if most <= 0:
        return None
    bars: list[Bar] = []
    step = WIDTH / len(days)
    for place, day in enumerate(days):
        bars += _stack(day, place * step, step * 0.8, layers, most)
    return Chart(bars=bars, first=first, last=last, most=amount(most))


def _stack(
    day: date, x: float, width: float, layers: Mapping[str, Mapping[date, float]], most: float
) -> list[Bar]:
    """Put the layers of one day upon each other."""
    says = f"{day.isoformat()}: " + ", ".join(
        f"{amount(layer.get(day, 0))} {name}" for name, layer in layers.items()
    )
    bars: list[Bar] = []
    top = float(HEIGHT)
    for name, layer in layers.items():
        number = layer.get(day, 0)
        if number <= 0:
            continue
        height = max(_LOWEST, number / most * (HEIGHT - _LOWEST * len(layers)))
        top -= height
        bars.append(
            Bar(
                layer=name,
                x=round(x, 2),
                y=round(top, 2),
                width=round(width, 2),
                height=round(height, 2),
                says=says,
            )
        )
    return bars
