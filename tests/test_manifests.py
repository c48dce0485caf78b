"""A C2PA manifest made readable: who signed, with which tool, whether it holds, and what it declares."""

from typing import Any

import pytest

from identifai_watch.core import manifests, verdicts
from identifai_watch.core.manifests import Action, Declared, Ingredient, Validity
from identifai_watch.core.model import Label, Provenance
from identifai_watch.core.routing import GENERATED, generated

TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
CAMERA: dict[str, Any] = {
    "active_manifest": "urn:2",
    "validation_state": "Valid",
    "validation_status": [],
    "validation_results": {"activeManifest": {"failure": [], "success": [{"code": "claimSignature.validated"}]}},
    "manifests": {
        "urn:1": {"title": "the raw"},
        "urn:2": {
            "title": "DSC_1.jpg",
            "signature_info": {
                "alg": "Es256", "issuer": "Leica Camera AG", "common_name": "M11-P", "time": "2026-03-01T12:00:00Z",
            },
            "claim_generator_info": [{"name": "M11-P", "version": "2.0"}, {"name": "c2pa-rs"}, {}, 7],
            "assertions": [
                {"label": "stds.exif", "data": {}},
                {
                    "label": "c2pa.actions.v2",
                    "data": {
                        "actions": [
                            {"action": "c2pa.created", "digitalSourceType": f"{TERMS}digitalCapture"},
                            {"action": "c2pa.edited", "softwareAgent": {"name": "Editor"}, "when": "2026-03-02"},
                            {"action": "c2pa.cropped", "softwareAgent": "Old Editor 3"},
                        ]
                    },
                },
            ],
            "ingredients": [{"title": "raw.dng", "format": "image/x-adobe-dng", "relationship": "parentOf"}, {}],
        },
    },
}  # fmt: skip


def declaring(term: str, state: object = "Valid") -> dict[str, Any]:
    """Return C2PA data that declare a source type."""
    actions = [{"action": "c2pa.created", "digitalSourceType": f"{TERMS}{term}"}]
    manifest = {"assertions": [{"label": "c2pa.actions", "data": {"actions": actions}}]}
    return {"active_manifest": "a", "manifests": {"a": manifest}, "validation_state": state}


def test_a_manifest_can_be_read() -> None:
    """Its signer, its tools, its steps and what it was made from, each in words."""
    read = manifests.read(CAMERA)
    assert read is not None
    assert ("M11-P", "Leica Camera AG", "Es256") == (read.signer, read.issuer, read.algorithm)
    assert ("2026-03-01T12:00:00Z", "DSC_1.jpg", 1) == (read.signed_at, read.title, read.others)
    assert ("M11-P 2.0", "c2pa-rs") == read.tools
    assert (Validity.VALID, "Valid", ()) == (read.validity, read.state, read.failures)
    assert (Declared.OTHERWISE, "digitalCapture") == (read.declared, read.source_type)
    assert (
        Action(action="c2pa.created", tool=None, source_type="digitalCapture", when=None),
        Action(action="c2pa.edited", tool="Editor", source_type=None, when="2026-03-02"),
        Action(action="c2pa.cropped", tool="Old Editor 3", source_type=None, when=None),
    ) == read.actions
    assert (
        Ingredient(title="raw.dng", format="image/x-adobe-dng", relationship="parentOf"),
    ) == read.ingredients


def test_an_older_manifest_names_its_tool_in_one_text() -> None:
    """It has no list of tools."""
    read = manifests.read({"active_manifest": "a", "manifests": {"a": {"claim_generator": "Old Tool/1.0"}}})
    assert read is not None
    assert ("Old Tool/1.0",) == read.tools
    assert (Declared.NOTHING, Validity.UNKNOWN) == (read.declared, read.validity)


@pytest.mark.parametrize("c2pa", [{}, None, [], "Valid"])
def test_where_there_is_none_nothing_is_told(c2pa: object) -> None:
    """Null is normal: most files carry none."""
    assert manifests.read(verdicts.mapping(c2pa)) is None


@pytest.mark.parametrize(
    ("state", "validity"),
    [
        ("Valid", Validity.VALID), ("Trusted", Validity.VALID), ("Invalid", Validity.INVALID),
        ("Unknown", Validity.UNKNOWN), (None, Validity.UNKNOWN), (3, Validity.UNKNOWN),
    ],
)  # fmt: skip
def test_only_what_is_said_to_hold_is_valid(state: object, validity: Validity) -> None:
    """What is not said is not known."""
    read = manifests.read(CAMERA | {"validation_state": state})
    assert read is not None
    assert validity is read.validity


@pytest.mark.parametrize("term", [*sorted(GENERATED), "trainedAlgorithmicMedia"])
def test_what_declares_generation_is_what_the_folders_rules_believe(term: str) -> None:
    """Readers and routing agree on the terms; whether it is believed is a matter of its being valid."""
    read = manifests.read(declaring(term))
    assert read is not None
    assert Declared.GENERATED is read.declared
    assert term == generated(Provenance(state="Valid", issuer=None, digital_source_type=f"{TERMS}{term}"))


def test_an_invalid_manifest_says_what_does_not_hold() -> None:
    """Each failure once, with its code and the reason."""
    failure = {"code": "assertion.dataHash.mismatch", "explanation": "hash does not match", "url": "x"}
    c2pa = CAMERA | {
        "validation_state": "Invalid",
        "validation_status": [failure, {"code": "signingCredential.untrusted"}, {}, None],
        "validation_results": {"activeManifest": {"failure": [failure]}},
    }
    read = manifests.read(c2pa)
    assert read is not None
    assert (
        "assertion.dataHash.mismatch: hash does not match",
        "signingCredential.untrusted",
    ) == read.failures


@pytest.mark.parametrize(
    ("classification", "options", "expected"),
    [
        (Label.ARTIFICIAL, {}, True),
        (Label.ARTIFICIAL, {"prevent_c2pa_forces": False}, True),
        (Label.ARTIFICIAL, {"prevent_c2pa_forces": True}, False),
        (Label.HUMAN, {}, False),
        (None, {}, False),
    ],
)
def test_a_signature_may_have_forced_the_verdict_unless_that_was_prevented(
    classification: Label | None, options: dict[str, object], expected: object
) -> None:
    """The API forces artificial alone, and only without prevent_c2pa_forces (api-notes 18)."""
    assert expected is manifests.may_have_forced(manifests.read(CAMERA), classification, options)
    assert not manifests.may_have_forced(None, classification, options)


def test_there_is_an_end_to_a_manifest() -> None:
    """A maker may list as much as he likes; a hundred of each are read."""
    many = {
        "claim_generator_info": [{"name": str(number)} for number in range(10_000)],
        "ingredients": [{"title": str(number)} for number in range(10_000)],
        "assertions": [{"label": "c2pa.actions", "data": {"actions": [{"action": "x"}] * 10_000}}],
    }
    read = manifests.read({"active_manifest": "a", "manifests": {"a": many}})
    assert read is not None
    assert [100] * 3 == [len(one) for one in (read.tools, read.ingredients, read.actions)]
