"""The sidecar: its shape, its words, and that its schema and the code agree."""

import base64
import functools
import json
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from importlib import resources
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identifai_watch.core import sidecar
from identifai_watch.core.model import (
    Analysis,
    AnalysisState,
    Choice,
    Decision,
    File,
    Fingerprint,
    Label,
    Media,
    Outcome,
    Provenance,
    Verdict,
)

BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHA256 = bytes(range(32))

# None of these lies beyond the first plane, nor ever will: Unicode keeps their categories as they are.
CONTROLS = {
    chr(code) for code in range(0x10000) if unicodedata.category(chr(code)) in {"Cc", "Zl", "Zp", "Cs"}
}
TURNING = {chr(code) for code in range(0x3000) if unicodedata.bidirectional(chr(code)) in BIDI}
UNSEEMLY = CONTROLS | TURNING
"""What a foreign text must never bring to a terminal, by the tables of Unicode itself."""


def a_file(**changes: Any) -> File:
    """Build the row of a judged image."""
    values: dict[str, Any] = {
        "id": 7,
        "folder": "drop",
        "path": b"a/photo.jpg",
        "fingerprint": Fingerprint(size=123, mtime_ns=1_700_000_000_123_456_789, ctime_ns=1, inode=9),
        "noticed_at": NOON,
        "media": Media.IMAGE,
        "sha256": SHA256,
        "outcome": Outcome.ARTIFICIAL,
        "hashed_at": NOON + timedelta(seconds=1),
    }
    return File(**(values | changes))


def an_analysis(**changes: Any) -> Analysis:
    """Build the row of its analysis."""
    values: dict[str, Any] = {
        "id": 3,
        "sha256": SHA256,
        "media": Media.IMAGE,
        "mime": "image/jpeg",
        "options": '{"prevent_c2pa_forces":true}',
        "size": 123,
        "noticed_at": NOON,
        "state": AnalysisState.JUDGED,
        "identifier": "f" * 64,
        "sent_name": "000102030405.jpg",
        "submitted_at": NOON + timedelta(seconds=2),
        "judged_at": NOON + timedelta(seconds=3),
        "verdict": Verdict(
            classification=Label.ARTIFICIAL,
            confidence=0.93,
            heuristic="Majority",
            models=("alpha",),
            c2pa=Provenance(state="Valid", issuer="Camera Co", digital_source_type=None),
            api_version="1.2.0",
            result_url="https://example.net/r/1",
        ),
    }
    return Analysis(**(values | changes))


def a_document(file: File, analysis: Analysis | None = None, response: object = None) -> dict[str, Any]:
    """Build the sidecar as it is at its delivery."""
    return sidecar.document(
        file, analysis, response=response, version="0.1.0", now=NOON + timedelta(seconds=4)
    )


@functools.cache
def validator() -> jsonschema.Draft202012Validator:
    """Return the schema that ships in the package, ready to check."""
    schema = json.loads(
        resources.files("identifai_watch").joinpath("schema/sidecar.schema.json").read_bytes()
    )
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


def checked(document: dict[str, Any]) -> dict[str, Any]:
    """Write a document, hold it against the schema and read it."""
    read: dict[str, Any] = json.loads(sidecar.encoded(document))
    validator().validate(read)
    return read


def test_a_judged_file() -> None:
    """The whole document of a judged file, key by key and in the order in which people read it."""
    expected = {
        "schema_version": 1,
        "outcome": "artificial",
        "reason": None,
        "file": {
            "name": "photo.jpg",
            "path": "a/photo.jpg",
            "size": 123,
            "sha256": SHA256.hex(),
            "media": "image",
            "modified_at": "2023-11-14T22:13:20.123456Z",
        },
        "verdict": {
            "classification": "artificial",
            "confidence": 0.93,
            "heuristic": "Majority",
            "models": ["alpha"],
            "unknown": False,
            "forced": None,
            "nsfw": None,
            "c2pa": {"state": "Valid", "issuer": "Camera Co", "digital_source_type": None},
        },
        "decision": None,
        "analysis": {
            "identifier": "f" * 64,
            "result_url": "https://example.net/r/1",
            "api_version": "1.2.0",
            "sent": {
                "name": "000102030405.jpg",
                "ref_id": None,
                "options": {"prevent_c2pa_forces": True},
            },
        },
        "duplicate": False,
        "times": {
            "noticed_at": "2026-03-01T12:00:00.000000Z",
            "hashed_at": "2026-03-01T12:00:01.000000Z",
            "submitted_at": "2026-03-01T12:00:02.000000Z",
            "judged_at": "2026-03-01T12:00:03.000000Z",
            "delivered_at": "2026-03-01T12:00:04.000000Z",
        },
        "tool": {"name": "identifai-watch", "version": "0.1.0"},
        "response": {"hash": "x"},
    }
    actual = checked(a_document(a_file(), an_analysis(), {"hash": "x"}))
    assert expected == actual
    assert list(expected) == list(actual)


def test_a_file_rejected_unread() -> None:
    """Without analysis, verdict and hash the document is still valid, and says why."""
    refused = a_file(outcome=Outcome.REJECTED, reason="too large", sha256=None, hashed_at=None, media=None)
    read = checked(a_document(refused))
    assert (
        read["verdict"],
        read["analysis"],
        read["response"],
        read["file"]["sha256"],
    ) == (None, None, None, None)
    assert read["reason"] == "too large"


def test_a_refused_analysis_has_no_identifier() -> None:
    """What was sent is told even where the API refused it."""
    refused = an_analysis(state=AnalysisState.REFUSED, identifier=None, verdict=None, judged_at=None)
    read = checked(a_document(a_file(outcome=Outcome.REJECTED, reason="not taken"), refused))
    assert read["analysis"]["identifier"] is None
    assert read["analysis"]["sent"]["name"] == "000102030405.jpg"
    assert read["verdict"] is None


def test_a_decided_file() -> None:
    """The desk's decision stands beside the verdict, which it leaves alone; any zone becomes UTC."""
    at = datetime(2026, 3, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    decision = Decision(choice=Choice.HUMAN, reason="met the photographer", by="desk", at=at)
    read = checked(a_document(a_file(decision=decision, outcome=Outcome.HUMAN), an_analysis()))
    assert read["decision"]["at"] == "2026-03-01T12:00:00.000000Z"
    assert read["verdict"]["classification"] == "artificial"


def test_an_outcome_is_needed() -> None:
    """There is no sidecar of a file that still waits."""
    with pytest.raises(ValueError, match="no outcome"):
        a_document(a_file(outcome=None))


def test_a_name_that_is_no_utf8() -> None:
    """Its bytes are shown as escapes and given whole in base64."""
    read = checked(a_document(a_file(path=b"a/caf\xe9\n.jpg")))
    assert read["file"]["path"] == r"a/caf\xe9\n.jpg"
    assert read["file"]["name"] == r"caf\xe9\n.jpg"
    assert base64.b64decode(read["file"]["path_bytes"]) == b"a/caf\xe9\n.jpg"


@settings(deadline=None)
@given(st.binary(min_size=1).filter(lambda path: not path.endswith(b"/")))
def test_every_path_can_be_told_from_its_sidecar(path: bytes) -> None:
    """Whatever the bytes are: the path is what is shown, unless ``path_bytes`` gives it."""
    block = checked(a_document(a_file(path=path)))["file"]
    given_whole = block.get("path_bytes")
    assert path == (block["path"].encode() if given_whole is None else base64.b64decode(given_whole))
    assert not UNSEEMLY & set(block["path"])


@settings(deadline=None)
@given(st.binary() | st.text(st.characters()))
def test_what_is_shown_is_harmless(name: str | bytes) -> None:
    """Whatever a file is called, what is shown of it is one printable line that UTF-8 can write."""
    shown = sidecar.shown(name)
    assert len(shown.splitlines()) <= 1
    assert shown.encode().decode() == shown
    assert not UNSEEMLY & set(shown)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"caf\xe9.jpg", r"caf\xe9.jpg"),
        ("caf\udce9.jpg", r"caf\xe9.jpg"),
        ("caf\u00e9 \u5199\u771f.jpg", "caf\u00e9 \u5199\u771f.jpg"),
        ("a\tb\u202egpj.exe", r"a\tb\u202egpj.exe"),
    ],
)
def test_names_are_readable(name: str | bytes, expected: str) -> None:
    """Letters of every script stay; only what is no letter for a reader is escaped."""
    assert expected == sidecar.shown(name)


@pytest.mark.parametrize("mtime_ns", [10**27, -(10**27)])
def test_a_time_beyond_the_calendar(mtime_ns: int) -> None:
    """A file's time that no calendar knows is null, and no reason to fail."""
    fingerprint = Fingerprint(size=1, mtime_ns=mtime_ns, ctime_ns=0, inode=None)
    assert checked(a_document(a_file(fingerprint=fingerprint)))["file"]["modified_at"] is None


def test_what_json_does_not_know() -> None:
    """NaN in the API's element becomes null, and a lone surrogate does not break the writing."""
    read = checked(a_document(a_file(), None, {"score": float("nan"), "name": "\ud800"}))
    assert read["response"] == {"score": None, "name": "\ud800"}


def test_nothing_in_a_sidecar_can_turn_a_terminal() -> None:
    """Whatever the API's own element holds, the file's bytes hold no control character but its line ends."""
    told = " ".join(sorted(UNSEEMLY))  # two halves of a character must not meet: JSON would join them
    document = a_document(a_file(), None, {"name": told, told: "\u5199"})
    written = sidecar.encoded(document)
    assert json.loads(written)["response"] == {"name": told, told: "\u5199"}
    assert not UNSEEMLY & set(written.decode()) - {"\n"}
    assert "\u5199" in written.decode()


def test_whose_sidecar_it_is() -> None:
    """The same path or the same content is the same matter; another tool's document never is."""
    mine = a_document(a_file())
    moved = a_document(a_file(path=b"b/photo.jpg"))
    replaced = a_document(a_file(sha256=b"x" * 32))
    other = a_document(a_file(path=b"b/photo.jpg", sha256=b"x" * 32))
    foreign = mine | {"tool": {"name": "another", "version": "1"}}
    theirs = [mine, moved, replaced, other, foreign, None, [], {"tool": 1}]
    expected = [True, True, True, False, False, False, False, False]
    assert expected == [sidecar.is_same_matter(mine, document) for document in theirs]
    assert not sidecar.is_same_matter(None, None)


def test_hashes_that_are_not_known_are_not_the_same() -> None:
    """Two files that were rejected unread have nothing in common but that."""
    one, other = a_document(a_file(sha256=None)), a_document(a_file(sha256=None, path=b"other.jpg"))
    assert not sidecar.is_same_matter(one, other)


def test_one_row_is_known_by_when_it_was_noticed() -> None:
    """The same content under the same path is the same file, but not the same row."""
    mine, later = a_document(a_file()), a_document(a_file(noticed_at=NOON + timedelta(microseconds=1)))
    assert sidecar.is_same_file(mine, later)
    assert not sidecar.is_same_row(mine, later)
    assert sidecar.is_same_row(mine, dict(mine))
    assert not sidecar.is_same_row(None, None)
