"""What identifAI found in one file, for ``show``: the words, then heuristics, models, frames, clips, objects, C2PA."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from identifai_watch.cli.printing import facts
from identifai_watch.core.findings import Clip, Findings, Frame, Opinion, Sound
from identifai_watch.core.manifests import Declared, Manifest
from identifai_watch.core.wording import Signs, Words, signs_of

COLOURS = {
    Signs.NONE_FOUND: "green",
    Signs.UNCLEAR: "yellow",
    Signs.FOUND: "magenta",
    Signs.NOT_YET: "dim",
    Signs.NOT_EXAMINED: "dim",
}

LONGEST_TABLE = 40
"""Rows of a table that a person reads; ``--json`` has all."""

BAR_WIDTH = 20

_DECLARED = {
    Declared.GENERATED: "generated",
    Declared.OTHERWISE: "not generated",
    Declared.NOTHING: "nothing of how it was made",
}


def told(words: Words, findings: Findings | None) -> Group:
    """Return what is to be said of a file, and all that was found; ``findings`` is None where nothing was."""
    parts: list[RenderableType] = [Text(words.headline, style=f"bold {COLOURS[words.signs]}")]
    parts += [facts(("", said) for said in words.because)] if words.because else []
    numbers = [] if words.confidence is None else [("Confidence", words.confidence)]
    limits = [("" if place else "Limits", said) for place, said in enumerate(words.limits)]
    parts += [facts([*numbers, *limits])] if numbers or limits else []
    for title, block in [] if findings is None else _blocks(findings):
        parts += [Text(), Text(title, style="bold underline"), block]
    return Group(*parts)


def _blocks(findings: Findings) -> Iterator[tuple[str, RenderableType]]:
    if findings.rulings:
        rows = [
            (
                f"{one.heuristic}{' (the verdict)' if one.is_main else ''}",
                signs_of(one.classification, unknown=one.unknown),
                one.confidence,
                "" if one.count is None else f"{one.count:,} agree",
            )
            for one in findings.rulings
        ]
        yield "Heuristics", _signs(rows)
    if findings.opinions:
        yield "Models", _opinions(findings.opinions)
    if findings.frames:
        yield "Frames", _frames(findings.frames)
    for place, sound in enumerate(findings.sounds, 1):
        yield from _sound(sound, f"Sound {place}" if findings.frames else "Sound")
    if findings.detections:
        yield "Objects", _objects(findings)
    if findings.manifest is not None:
        yield "C2PA manifest", facts(_manifest(findings.manifest))
    said = (
        ("Not safe for work", None if findings.nsfw is None else "found" if findings.nsfw else "not found"),
        ("API version", findings.api_version),
        ("Vendor's page", findings.result_url),
    )
    if any(value for _, value in said):
        yield "The answer", facts((name, value) for name, value in said if value)


def _sound(sound: Sound, title: str) -> Iterator[tuple[str, RenderableType]]:
    if sound.opinions:
        yield f"{title}: models", _opinions(sound.opinions)
    if sound.clips:
        yield f"{title}: clips", _clips(sound.clips)


def _opinions(opinions: Sequence[Opinion]) -> Table:
    """Return each model with its scores; the order of the labels is made the same for all."""
    table = _table("Model", "Says", "Score", "")
    for one in islice(opinions, LONGEST_TABLE):
        scores = sorted(one.scores, key=lambda score: score.label)
        name = Text(one.model)
        name.append(" (could not tell)" if one.unknown else "", style="yellow")
        table.add_row(
            name,
            "\n".join(score.label for score in scores),
            "\n".join(f"{score.score:.2f}" for score in scores),
            Text("\n").join(_bar(score.score) for score in scores),
        )
    return _ended(table, len(opinions))


def _frames(frames: Sequence[Frame]) -> Table:
    rows = [
        (
            f"{one.place}",
            signs_of(one.classification, unknown=one.unknown),
            one.confidence,
            one.name or "",
        )
        for one in frames
    ]
    return _signs(rows)


def _clips(clips: Sequence[Clip]) -> Table:
    rows = [
        (
            f"{_clock(one.begin)} - {_clock(one.end)}",
            signs_of(one.classification, unknown=one.unknown),
            one.confidence,
            "",
        )
        for one in clips
    ]
    return _signs(rows)


def _signs(rows: Sequence[tuple[str, Signs, float | None, str]]) -> Table:
    """Return what was found in each of several parts, with its confidence."""
    table = _table("", "Signs", "", "", "")
    for name, found, confidence, more in islice(rows, LONGEST_TABLE):
        number = "" if confidence is None else f"{confidence:.2f}"
        bar = Text() if confidence is None else _bar(confidence)
        table.add_row(name, Text(found, style=COLOURS[found]), number, bar, more)
    return _ended(table, len(rows))


def _objects(findings: Findings) -> Table:
    table = _table("Object", "Confidence", "Box")
    for one in islice(findings.detections, LONGEST_TABLE):
        sides = (one.box.x1, one.box.y1, one.box.x2, one.box.y2)
        table.add_row(
            one.says or "unnamed",
            "" if one.confidence is None else f"{one.confidence:.2f}",
            "{:g},{:g} to {:g},{:g}".format(*sides),
        )
    return _ended(table, len(findings.detections))


def _manifest(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield a manifest's facts: who signed it, with what it was made, whether it holds, what it declares."""
    source = "" if manifest.source_type is None else f" ({manifest.source_type})"
    said = (
        ("Valid", manifest.validity if manifest.state is None else f"{manifest.validity} ({manifest.state})"),
        ("Declares", f"{_DECLARED[manifest.declared]}{source}"),
        ("Signed by", ", ".join(one for one in (manifest.signer, manifest.issuer) if one)),
        ("Signed at", manifest.signed_at),
        ("Made with", ", ".join(manifest.tools)),
        ("Title", manifest.title),
    )
    yield from ((name, value) for name, value in said if value)
    yield from _under(
        "Steps", (_with(one.action, one.tool, one.source_type, one.when) for one in manifest.actions)
    )
    yield from _under(
        "Made from", (_with(one.title, one.format, one.relationship) for one in manifest.ingredients)
    )
    yield from _under("Fails", manifest.failures)
    if manifest.others:
        yield "Others", f"{manifest.others:,} further manifests, of what it was made from"


def _under(name: str, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for place, line in enumerate(islice(lines, LONGEST_TABLE)):
        yield "" if place else name, line


def _with(first: str, *more: str | None) -> str:
    said = [one for one in more if one]
    return f"{first} ({', '.join(said)})" if said else first


def _bar(share: float) -> Text:
    """Return a share of 1 as a bar; the number stands beside it."""
    full = round(share * BAR_WIDTH)
    bar = Text("█" * full)
    bar.append("·" * (BAR_WIDTH - full), style="dim")
    return bar


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{minutes:.0f}:{rest:04.1f}"


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold", header_style="dim")
    return table


def _ended(table: Table, rows: int) -> Table:
    """Say how many rows are not shown."""
    if rows > LONGEST_TABLE:
        table.add_row(Text(f"and {rows - LONGEST_TABLE:,} more", style="dim"))
    return table
