"""What a content says of its own making: a C2PA manifest, as identifAI's answer tells it, made readable.

Nothing is verified here: whether a signature holds is identifAI's finding. Whether the manifest decides an outcome is
left to ``routing``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from identifai_watch.core.model import Label, Provenance
from identifai_watch.core.replies import one_line
from identifai_watch.core.routing import GENERATED, VALID_STATES
from identifai_watch.core.verdicts import is_of_actions, mapping, provenance, sequence, term

AT_MOST = 100
"""Parts of one list that are looked at: a manifest may have as many as its maker likes."""


class Validity(StrEnum):
    """Does the signature hold, and is the content what was signed?"""

    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


class Declared(StrEnum):
    """What the manifest says of how the content came about."""

    GENERATED = "generated"
    OTHERWISE = "otherwise"  # a camera's, a scan, an edit: the source type says which
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One step of the making: what was done, with which tool, and of what kind the source was (an IPTC term)."""

    action: str
    tool: str | None
    source_type: str | None
    when: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredient:
    """Something that the content was made from, and how it is related."""

    title: str
    format: str | None
    relationship: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The active manifest of a content.

    ``state`` is identifAI's own word for its ``validity``. ``signer`` is the name in the certificate, ``issuer`` its
    organisation; ``tools`` are what made the claim. ``source_type`` is the term by which it ``declared`` how the
    content came about. ``failures`` are what does not hold, ``others`` how many further manifests there are.
    """

    state: str | None
    validity: Validity
    issuer: str | None
    declared: Declared
    source_type: str | None
    signer: str | None = None
    algorithm: str | None = None
    signed_at: str | None = None
    tools: tuple[str, ...] = ()
    title: str | None = None
    actions: tuple[Action, ...] = ()
    ingredients: tuple[Ingredient, ...] = ()
    failures: tuple[str, ...] = ()
    others: int = 0


def read(c2pa: Mapping[str, object]) -> Manifest | None:
    """Read the active manifest of C2PA data; None where the content carries none."""
    known = provenance(c2pa)
    if known is None:
        return None
    manifests, named = mapping(c2pa.get("manifests")), c2pa.get("active_manifest")
    active = mapping(manifests.get(named)) if isinstance(named, str) else {}
    signature = mapping(active.get("signature_info"))
    return replace(
        of(known),
        signer=_line(signature.get("common_name")),
        algorithm=_line(signature.get("alg")),
        signed_at=_line(signature.get("time")),
        tools=tuple(_tools(active)),
        title=_line(active.get("title")),
        actions=tuple(_actions(active)),
        ingredients=tuple(_ingredients(active)),
        failures=tuple(dict.fromkeys(_failures(c2pa))),
        others=max(0, len(manifests) - 1),
    )


def of(known: Provenance) -> Manifest:
    """Return what a verdict keeps of a manifest."""
    source_type = None if known.digital_source_type is None else term(known.digital_source_type)
    return Manifest(
        state=_line(known.state),
        validity=_validity(known.state),
        issuer=_line(known.issuer),
        declared=_declared(source_type),
        source_type=_line(source_type),
    )


def may_have_forced(
    manifest: Manifest | None, classification: Label | None, options: Mapping[str, object]
) -> bool:
    """Tell whether the verdict may be the signature's doing and not the models'.

    Unless ``prevent_c2pa_forces`` was sent, the API calls every signed content artificial, also what a camera signed;
    its answer does not say when it did (api-notes 18). ``options`` are those that were sent.
    """
    prevented = options.get("prevent_c2pa_forces") is True
    return manifest is not None and classification is Label.ARTIFICIAL and not prevented


def _validity(state: str | None) -> Validity:
    said = "" if state is None else state.lower()
    if said in VALID_STATES:
        return Validity.VALID
    return Validity.INVALID if said == "invalid" else Validity.UNKNOWN


def _declared(source_type: str | None) -> Declared:
    if source_type is None:
        return Declared.NOTHING
    return Declared.GENERATED if source_type.lower() in GENERATED else Declared.OTHERWISE


def _tools(manifest: Mapping[str, object]) -> Iterator[str]:
    """List what made the claim: newer manifests have an object for each, older ones one text."""
    listed = sequence(manifest.get("claim_generator_info"))[:AT_MOST]
    found = [tool for tool in map(_tool, listed) if tool is not None]
    older = _line(manifest.get("claim_generator"))
    yield from found or ([] if older is None else [older])


def _tool(value: object) -> str | None:
    """Read a tool, which is a text or an object with name and version."""
    if isinstance(value, str):
        return _line(value)
    said = mapping(value)
    name, version = _line(said.get("name")), _line(said.get("version"))
    return name if name is None or version is None else f"{name} {version}"


def _actions(manifest: Mapping[str, object]) -> Iterator[Action]:
    for assertion in map(mapping, sequence(manifest.get("assertions"))[:AT_MOST]):
        if not is_of_actions(assertion):
            continue
        for said in map(mapping, sequence(mapping(assertion.get("data")).get("actions"))[:AT_MOST]):
            action, source = _line(said.get("action")), _line(said.get("digitalSourceType"))
            if action is not None or source is not None:
                yield Action(
                    action=action or "unnamed",
                    tool=_tool(said.get("softwareAgent")),
                    source_type=None if source is None else term(source),
                    when=_line(said.get("when")),
                )


def _ingredients(manifest: Mapping[str, object]) -> Iterator[Ingredient]:
    for said in map(mapping, sequence(manifest.get("ingredients"))[:AT_MOST]):
        title = _line(said.get("title")) or _line(said.get("label"))
        if title is not None:
            yield Ingredient(
                title=title,
                format=_line(said.get("format")),
                relationship=_line(said.get("relationship")),
            )


def _failures(c2pa: Mapping[str, object]) -> Iterator[str]:
    """List what does not hold; of an invalid manifest what its status says is that, too."""
    results = mapping(mapping(c2pa.get("validation_results")).get("activeManifest"))
    listed = sequence(results.get("failure"))[:AT_MOST]
    if _validity(_line(c2pa.get("validation_state"))) is Validity.INVALID:
        listed += sequence(c2pa.get("validation_status"))[:AT_MOST]
    for said in map(mapping, listed):
        told = [_line(said.get(name)) for name in ("code", "explanation")]
        if any(told):
            yield ": ".join(one for one in told if one is not None)


def _line(value: object) -> str | None:
    return one_line(value) or None
