"""The sidecar: what the ledger knows of one file, as the JSON document that lies beside it.

Its shape is described by ``schema/sidecar.schema.json``. Writing it to the disk is left to ``delivery``.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from identifai_watch.core.model import Analysis, Decision, File, Interim, Outcome, Provenance, Verdict
from identifai_watch.core.times import is_known

SCHEMA_VERSION = 1
TOOL = "identifai-watch"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_STRANGE = "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
_UNSEEMLY = re.compile(f"[\x00-\x1f{_STRANGE}]")
"""Control characters, line separators, what turns the direction of text or marks a file's start, halves of characters."""

_UNSEEMLY_IN_LINES = re.compile(f"[\x00-\x09\x0b-\x1f{_STRANGE}]")
"""The same, but for the ends of lines: those of a document are of our own indentation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """What was told of the content that lay at a path before: the ``file`` with its outcome, and its analysis."""

    file: File
    analysis: Analysis | None


def document(
    file: File,
    analysis: Analysis | None,
    *,
    response: object | None,
    version: str,
    now: datetime,
    previous: Previous | None = None,
) -> dict[str, object]:
    """Return the sidecar of a file whose outcome is known.

    ``response`` is the API's own element, parsed; ``now`` is the instant of this delivery, UTC. While a verdict is
    pending nothing of an earlier one stands at the top: it is told under ``previous``.

    Raises:
        ValueError: The file has no outcome yet.
    """
    if file.outcome is None:
        msg = f"file {file.id} has no outcome yet"
        raise ValueError(msg)
    if file.outcome is Outcome.PENDING:
        if file.interim is Interim.CHANGING:
            file, analysis = replace(file, sha256=None), None  # what lies there now was not read yet
        file, response = replace(file, decision=None), None
    made = _document(file, analysis, response=response, version=version, now=now)
    return made if previous is None else made | {"previous": _previous(previous)}


def facts(file: File, analysis: Analysis | None) -> dict[str, object]:
    """Return what is known of a file as the blocks of a sidecar, whether people were told of it yet or not."""
    return _document(file, analysis, response=None, version="", now=file.delivered_at)


def _previous(previous: Previous) -> dict[str, object]:
    file, analysis = previous.file, previous.analysis
    verdict = None if analysis is None else analysis.verdict
    return {
        "outcome": None if file.outcome is None else file.outcome.value,
        "reason": file.reason,
        "sha256": None if file.sha256 is None else file.sha256.hex(),
        "verdict": None if verdict is None else _verdict(verdict),
        "decision": None if file.decision is None else _decision(file.decision),
        "identifier": None if analysis is None else analysis.identifier,
        "judged_at": None if analysis is None else timestamp(analysis.judged_at),
    }


def _document(
    file: File, analysis: Analysis | None, *, response: object | None, version: str, now: datetime | None
) -> dict[str, object]:
    verdict = None if analysis is None else analysis.verdict
    return {
        "schema_version": SCHEMA_VERSION,
        "outcome": None if file.outcome is None else file.outcome.value,
        "reason": file.reason,
        "file": _file(file),
        "verdict": None if verdict is None else _verdict(verdict),
        "decision": None if file.decision is None else _decision(file.decision),
        "analysis": None if analysis is None else _analysis(analysis),
        "duplicate": file.duplicate,
        "times": {
            "noticed_at": timestamp(file.noticed_at),
            "hashed_at": timestamp(file.hashed_at),
            "submitted_at": None if analysis is None else timestamp(analysis.submitted_at),
            "judged_at": None if analysis is None else timestamp(analysis.judged_at),
            "delivered_at": timestamp(now),
        },
        "tool": {"name": TOOL, "version": version},
        "response": response,
    }


def response_of(raw: bytes | None) -> object | None:
    """Return the API's own element, parsed from its bytes; what is no JSON (NaN, Infinity) is null."""
    return None if raw is None else json.loads(raw, parse_constant=lambda _: None)


def encoded(document: Mapping[str, object]) -> bytes:
    r"""Return the document as indented UTF-8 JSON that any reader takes.

    The API's element may hold what Python's parser lets through and JSON or UTF-8 do not know: NaN and the
    infinities become null, a lone surrogate stays the ``\uXXXX`` that it came as. So is everything written that could
    do something to a terminal, whoever wrote it.
    """
    try:
        text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)
    except ValueError:
        finite = json.loads(json.dumps(document), parse_constant=lambda _: None)
        text = json.dumps(finite, ensure_ascii=False, indent=2, allow_nan=False)
    return _UNSEEMLY_IN_LINES.sub(_spelt_in_json, text).encode() + b"\n"


def _spelt_in_json(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def is_same_matter(mine: object, theirs: object) -> bool:
    """Tell whether the document ``theirs`` is this tool's and about the same content or the same path as ``mine``.

    Only such a sidecar may be rewritten; anything else of that name belongs to somebody.
    """
    ours, other = _matter(mine), _matter(theirs)
    if ours is None or other is None:
        return False
    return ours[0] == other[0] or (ours[1] is not None and ours[1] == other[1])


def is_same_file(mine: object, theirs: object) -> bool:
    """Tell whether both documents are this tool's and about the same content under the same path."""
    ours = _matter(mine)
    return ours is not None and ours == _matter(theirs)


def is_same_row(mine: object, theirs: object) -> bool:
    """Tell whether both documents are about one file of the ledger, which is known by when it was noticed.

    Two folders may have the same content under the same relative path; they do not notice it at once.
    """
    return is_same_file(mine, theirs) and _noticed_at(mine) == _noticed_at(theirs)


def _matter(document: object) -> tuple[tuple[object, object], object] | None:
    """Return what a sidecar of ours is about: its path, as shown and in bytes, and its content's hash."""
    match document:
        case {"tool": {"name": str(name)}, "file": {"path": str(path), **rest}} if name == TOOL:
            return (path, rest.get("path_bytes")), rest.get("sha256")
        case _:
            return None


def _noticed_at(document: object) -> object:
    match document:
        case {"times": {"noticed_at": instant}}:
            return instant
        case _:
            return None


def shown(value: str | bytes) -> str:
    r"""Return a name or message as one line that is safe to print; bytes that are no UTF-8 appear as ``\xe9``."""
    line = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
    return _UNSEEMLY.sub(_spelt, line)


def _spelt(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return match[0].encode("unicode_escape").decode("ascii")


def timestamp(instant: datetime | None) -> str | None:
    """Return an instant as ISO 8601 in UTC, with microseconds and ``Z``."""
    if instant is None:
        return None
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _file(file: File) -> dict[str, object]:
    path = shown(file.path)
    block: dict[str, object] = {
        "name": shown(file.path.rpartition(b"/")[2]),
        "path": path,
        "size": file.fingerprint.size,
        "sha256": None if file.sha256 is None else file.sha256.hex(),
        "media": None if file.media is None else file.media.value,
        "modified_at": _modified_at(file.fingerprint.mtime_ns),
    }
    if path.encode() != file.path:
        block["path_bytes"] = base64.b64encode(file.path).decode()
    return block


def _modified_at(mtime_ns: int) -> str | None:
    """Return a file's own time, or None where it lies outside the years that are kept."""
    return timestamp(EPOCH + timedelta(microseconds=mtime_ns // 1000)) if is_known(mtime_ns) else None


def _verdict(verdict: Verdict) -> dict[str, object]:
    return {
        "classification": verdict.classification.value,
        "confidence": verdict.confidence,
        "heuristic": verdict.heuristic,
        "models": list(verdict.models),
        "unknown": verdict.unknown,
        "forced": None if verdict.forced is None else verdict.forced.value,
        "nsfw": verdict.nsfw,
        "c2pa": None if verdict.c2pa is None else _c2pa(verdict.c2pa),
    }


def _c2pa(c2pa: Provenance) -> dict[str, object]:
    return {"state": c2pa.state, "issuer": c2pa.issuer, "digital_source_type": c2pa.digital_source_type}


def _decision(decision: Decision) -> dict[str, object]:
    return {
        "choice": decision.choice.value,
        "reason": decision.reason,
        "by": decision.by,
        "at": timestamp(decision.at),
    }


def _analysis(analysis: Analysis) -> dict[str, object]:
    verdict = analysis.verdict
    return {
        "identifier": analysis.identifier,
        "result_url": None if verdict is None else verdict.result_url,
        "api_version": None if verdict is None else verdict.api_version,
        "sent": {
            "name": analysis.sent_name,
            "ref_id": analysis.ref_id,
            "options": json.loads(analysis.options) if analysis.options else {},
        },
    }
