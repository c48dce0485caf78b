"""What one result of identifAI says: an element of its JSON -> a Verdict.

Only the verdict itself is required. Whatever else is missing, null or of another shape is left out and never
costs the verdict (api-notes 19). What the answer as a whole means is left to ``answers``.
"""

import math
from collections.abc import Iterator, Mapping

from identifai_watch.core.model import Label, Media, Provenance, Verdict
from identifai_watch.core.routing import GENERATED


def verdict(element: Mapping[str, object], media: Media) -> Verdict | None:
    """Read the verdict of ``element``, a result of kind ``media``; None where there is none that can be read."""
    said = mapping(element.get("verdict"))
    classification = label(said.get("classification"))
    confidence = number(said.get("confidence"))
    if classification is None or confidence is None or not 0 <= confidence <= 1:
        return None
    return Verdict(
        classification=classification,
        confidence=confidence,
        heuristic=text(said.get("heuristic")) or "unnamed",
        models=tuple(name for name in map(text, sequence(said.get("models"))) if name is not None),
        unknown=said.get("unknown") is True or _no_model_knows(element, media),
        forced=label(element.get("force_classification")),
        nsfw=_flag(element.get("is_nsfw")),
        c2pa=provenance(mapping(element.get("c2pa"))),
        api_version=text(element.get("api_version")),
        result_url=link(element.get("result_url")),
        has_heatmap=element.get("has_heatmap") is True,
    )


def label(value: object) -> Label | None:
    """Read a label, None where ``value`` is none."""
    try:
        return Label(value.strip().lower()) if isinstance(value, str) else None
    except ValueError:
        return None


def number(value: object) -> float | None:
    """Read a finite number, which may be written as a string; None where ``value`` is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        read = float(value)
    except (ValueError, OverflowError):
        return None
    return read if math.isfinite(read) else None


def text(value: object) -> str | None:
    """Read a text that can be stored and shown: control characters and lone surrogates are escaped."""
    return escaped(value) if isinstance(value, str) and value else None


def escaped(value: str) -> str:
    """Escape every character that is not printable, so that a foreign text cannot write to a terminal or a log."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in value
    )


def mapping(value: object) -> Mapping[str, object]:
    """Return ``value`` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[object]:
    """Return ``value`` if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def link(value: object) -> str | None:
    """Keep only a web address: it is shown as a link."""
    found = text(value)
    return found if found is not None and found.startswith(("https://", "http://")) else None


def _no_model_knows(element: Mapping[str, object], media: Media) -> bool:
    """Tell whether there are models' results and every one says ``unknown`` (api-notes 16)."""
    results = list(_models_results(element, media))
    return bool(results) and all(result.get("unknown") is True for result in results)


def _models_results(element: Mapping[str, object], media: Media) -> Iterator[Mapping[str, object]]:
    """List the models' results: flat for images and audio, by frame and track for videos (api-notes 19)."""
    results = element.get("results")
    if media is not Media.VIDEO:
        yield from map(mapping, sequence(results))
        return
    for part in ("images", "audios"):
        for frame in sequence(mapping(results).get(part)):
            # The oldest pages have one array of results a frame where the newer ones have an object.
            inner = frame if isinstance(frame, list) else sequence(mapping(frame).get("results"))
            yield from map(mapping, inner)


def provenance(c2pa: Mapping[str, object]) -> Provenance | None:
    """Read the active manifest; None where the content carries no C2PA data."""
    if not c2pa:
        return None
    manifests = mapping(c2pa.get("manifests"))
    named = c2pa.get("active_manifest")
    active = mapping(manifests.get(named)) if isinstance(named, str) else {}
    return Provenance(
        state=text(c2pa.get("validation_state")),
        issuer=text(mapping(active.get("signature_info")).get("issuer")),
        digital_source_type=_source_type(active),
    )


def _source_type(manifest: Mapping[str, object]) -> str | None:
    """Find how the content came about: the action that declares generated media, else the first that says."""
    found = [
        source
        for assertion in map(mapping, sequence(manifest.get("assertions")))
        if is_of_actions(assertion)
        for action in map(mapping, sequence(mapping(assertion.get("data")).get("actions")))
        if (source := text(action.get("digitalSourceType"))) is not None
    ]
    generated = [source for source in found if term(source).lower() in GENERATED]
    return next(iter(generated or found), None)


def is_of_actions(assertion: Mapping[str, object]) -> bool:
    """Tell whether an assertion of a manifest lists the steps of its making."""
    named = assertion.get("label")
    return isinstance(named, str) and named.startswith("c2pa.actions")


def term(source: str) -> str:
    """Return a digital source type without the address of its vocabulary."""
    return source.rstrip("/").rpartition("/")[2]
