"""How cost grows, drawn as one SVG from what ``python -m benchmarks all --json FILE`` wrote.

``python -m benchmarks plot FILE TARGET.svg``; matplotlib comes with the ``bench`` extra.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

Panel = tuple[str, str, str, Mapping[str, tuple[str, str, str]]]
"""Title, the axes' names, and the lines: by label the benchmark, how its figures' names begin, and which value."""

PANELS: Sequence[Panel] = (
    (
        "A scan of an unchanged tree",
        "files",
        "seconds",
        {"scan": ("scan", "scan of", "value"), "find -printf": ("scan", "scan of", "yardstick")},
    ),
    (
        "Memory of such a scan, above idle",
        "files",
        "MB",
        {"resident": ("scan", "  memory above idle", "value")},
    ),
    (
        "A ledger of many years",
        "files in the ledger",
        "seconds",
        {
            "run until ready": ("long_life", "run until ready", "value"),
            "status --json": ("long_life", "status --json", "value"),
            "list to its first line": ("long_life", "list to its first line", "value"),
        },
    ),
    (
        "Questions for a verdict",
        "pending at once, done within 20 s",
        "GETs a verdict",
        {"identifai-watch": ("polling", "", "value")},
    ),
)


@click.command()
@click.argument("measured", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
def plot(measured: Path, target: Path) -> None:
    """Draw how cost grows, as SVG, from the figures in MEASURED."""
    import matplotlib as mpl  # noqa: PLC0415 - of the bench extra, which the other benchmarks do without

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - likewise, once it is told to draw SVG

    documents = {one["benchmark"]: one["figures"] for one in json.loads(measured.read_text(encoding="utf-8"))}
    mpl.rcParams |= {"svg.hashsalt": "identifai-watch", "svg.fonttype": "none", "font.size": 9}
    figure, axes = plt.subplots(2, 2, figsize=(9, 6), constrained_layout=True)
    for panel, axis in zip(PANELS, axes.flat, strict=True):
        _draw(axis, panel, documents)
    figure.savefig(target, format="svg", metadata={"Date": None})


def _draw(axis: Any, panel: Panel, documents: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    title, across, up, lines = panel
    for label, (benchmark, begins, which) in lines.items():
        points = points_of(documents.get(benchmark, ()), begins, which)
        if not points:
            raise click.ClickException(
                f"{title}: there is no figure of {benchmark} that begins with {begins!r}"
            )
        axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label)
    axis.set(title=title, xlabel=across, ylabel=up, xscale="log", ylim=(0, None))
    axis.grid(visible=True, alpha=0.3)
    if len(lines) > 1:
        axis.legend(frameon=False)


def points_of(figures: Sequence[Mapping[str, Any]], begins: str, which: str) -> list[tuple[float, float]]:
    """Return the first figure for each size of those whose name begins so, ascending by size."""
    found: dict[float, float] = {}
    for one in figures:
        if one["at"] is not None and one[which] is not None and one["what"].startswith(begins):
            found.setdefault(one["at"], one[which])
    return sorted(found.items())
