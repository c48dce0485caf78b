"""The audit trail's chain: each line of history carries a digest of itself and of the line before it.

Whoever changes, inserts or removes a line breaks every digest after it, and whoever knows a later head (the log has
one for each day) can tell that the whole chain was made anew. A line goes into the chain by its own SHA-256, so that a
part of the chain can be shown to others without the lines that are not their matter. Reading and writing the lines is
left to ``ledger``.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime

BEGINNING = bytes(32)
"""What stands before the first line."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of history: what happened, by whom, to what; ``detail`` is JSON, byte for byte as it is kept."""

    at: datetime
    who: str
    event: str
    file_id: int | None
    analysis_id: int | None
    detail: str


def microseconds(at: datetime) -> int:
    """Return an instant as microseconds since 1970 UTC."""
    return (at - _EPOCH) // _EPOCH.resolution


def imprint(entry: Entry) -> bytes:
    """Return the SHA-256 of a line alone.

    What is hashed is the line as a JSON array without blanks in UTF-8: ``[at, who, event, file, analysis, detail]``,
    with ``at`` in microseconds since 1970 UTC. Anybody can compute it from an export.
    """
    line = [microseconds(entry.at), entry.who, entry.event, entry.file_id, entry.analysis_id, entry.detail]
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()


def link(before: bytes, line: bytes) -> bytes:
    """Return the digest that follows: the SHA-256 of the digest ``before`` and of the line's own imprint."""
    return hashlib.sha256(before + line).digest()


def digest(before: bytes, entry: Entry) -> bytes:
    """Return the digest of a line that stands behind the digest ``before``."""
    return link(before, imprint(entry))
