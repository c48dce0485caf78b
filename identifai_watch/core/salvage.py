"""What a sidecar says was sent, for a ledger that was lost; whoever wrote it is not believed.

Taken are the content's hash, its kind, the options and the identifier: enough to ask identifAI, which is free and
brings both the verdict and the hash that it is about. Reading files is left to ``folder``, what options there are to
``config``.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from identifai_watch.core.model import Media
from identifai_watch.core.replies import is_identifier
from identifai_watch.core.sidecar import SCHEMA_VERSION, TOOL

_SHA256 = re.compile(r"[0-9a-f]{64}")

NEVER_SENT = "it names no analysis: nothing was paid for"
"""Said of a sidecar that is right and has nothing to take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a sidecar says was sent; ``options`` are as they stand there, whatever that is."""

    sha256: bytes
    media: Media
    options: Mapping[str, object]
    identifier: str


def sent(text: bytes) -> Sent | str:
    """Return what a sidecar says was sent, or why nothing can be taken from it."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return "it is not JSON"
    match document:
        case {"tool": {"name": str(name)}, "schema_version": int(version)} if name == TOOL:
            if version != SCHEMA_VERSION:
                return "it was written by another version"
        case _:
            return "it is not ours"
    match document:
        case {"analysis": None} | {"analysis": {"identifier": None}}:
            return NEVER_SENT
        case {
            "file": {"sha256": str(sha256), "media": str(media)},
            "analysis": {"identifier": str(identifier), "sent": {"options": dict(options)}},
        }:
            return _checked(sha256, media, identifier, options)
        case _:
            return "it is not as we write it"


def _checked(sha256: str, media: str, identifier: str, options: Mapping[str, object]) -> Sent | str:
    if _SHA256.fullmatch(sha256) is None:
        return "its sha256 is no hash"
    if media not in set(Media):
        return "its media is not known"
    if not is_identifier(identifier):
        return "its identifier is none"
    return Sent(sha256=bytes.fromhex(sha256), media=Media(media), options=options, identifier=identifier)
