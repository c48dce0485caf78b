"""From a verdict to an outcome, and from an outcome to a name: where a file goes and what lies beside it.

Names and paths are bytes. Whether a name is free is left to ``delivery``, which looks at the disk.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from identifai_watch.core.model import Choice, Decision, Label, Media, Outcome, Provenance, Verdict

NAME_MAX = 255
"""Bytes that a name may have on the file systems of Linux."""

SIDECAR_SUFFIX = b".identifai.json"
HEATMAP_SUFFIX = b".identifai.heatmap.png"

LONGEST_EXTENSION = 16
"""Bytes, dot included: what follows a dot later than this is part of a title, as in ``Mr. Smith goes home``."""

GENERATED = frozenset(
    {
        "trainedalgorithmicmedia",
        "compositewithtrainedalgorithmicmedia",
        "algorithmicmedia",
        "compositesynthetic",
        "trainedalgorithmicdata",
    }
)
"""Digital source types (IPTC NewsCodes, and one of C2PA's own) that declare generated media, in lower case."""

VALID_STATES = frozenset({"valid", "trusted"})
"""What a C2PA validator says of a manifest whose signature holds, in lower case."""


ROUTED = (Outcome.HUMAN, Outcome.ARTIFICIAL, Outcome.UNCERTAIN, Outcome.REJECTED, Outcome.UNCHECKED)
"""The outcomes that a moved or copied file has a place for; while its verdict is pending it stays."""

COULD_NOT_TELL = "identifAI could not tell"
"""The reason of an outcome whose verdict is ``unknown``: its label means nothing."""


class Action(StrEnum):
    """What is done with a file once its outcome is known; ``record`` writes nothing but the ledger."""

    SIDECAR = "sidecar"
    MOVE = "move"
    COPY = "copy"
    RECORD = "record"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How one folder routes its files.

    ``destinations`` are directories in bytes, relative to the folder or absolute. ``min_confidence`` is the
    least confidence, 0 to 1, at which a label is believed; what it does not name is believed at any.
    """

    action: Action
    keep_tree: bool
    destinations: Mapping[Outcome, bytes]
    min_confidence: Mapping[Media, Mapping[Label, float]]
    c2pa_generated: Literal["artificial", "uncertain", "ignore"]


def outcome(
    *,
    verdict: Verdict | None,
    refusal: str | None,
    decision: Decision | None,
    media: Media | None,
    rules: Rules,
) -> tuple[Outcome, str | None]:
    """Return where a file ends, and why in words when that is not plainly the verdict's doing.

    The desk's decision counts first, then the vendor's forced label, then the verdict under the folder's rules.
    ``refusal`` is why there is no verdict, ours or the API's.

    Raises:
        ValueError: There is neither a verdict, nor a refusal, nor a decision that needs none.
    """
    if decision is not None:
        match decision.choice:
            case Choice.HUMAN | Choice.ARTIFICIAL:
                return Outcome(decision.choice.value), _decided(decision)
            case Choice.INCONCLUSIVE:
                return Outcome.UNCERTAIN, _decided(decision)
            case Choice.CONFIRMED:
                pass
    if verdict is None:
        if refusal is None:
            msg = "an outcome needs a verdict, a refusal or a decision"
            raise ValueError(msg)
        return Outcome.REJECTED, refusal
    if decision is not None:
        return _confirmed(verdict, decision)
    return _judged(verdict, media, rules)


def _decided(decision: Decision) -> str:
    return f"decided by {decision.by}: {decision.choice.value} ({decision.reason})"


def _confirmed(verdict: Verdict, decision: Decision) -> tuple[Outcome, str]:
    """Believe the verdict without thresholds; an ``unknown`` has no label that could be confirmed."""
    if verdict.forced is None and verdict.unknown:
        return Outcome.UNCERTAIN, _decided(decision)
    return Outcome((verdict.forced or verdict.classification).value), _decided(decision)


def _judged(verdict: Verdict, media: Media | None, rules: Rules) -> tuple[Outcome, str | None]:
    if verdict.forced is not None:
        reason = None if verdict.forced is verdict.classification else "the label was forced at identifAI"
        return Outcome(verdict.forced.value), reason
    plain = _plain(verdict, media, rules)
    if rules.c2pa_generated == "ignore" or verdict.c2pa is None:
        return plain
    declared = generated(verdict.c2pa)
    ruled = Outcome(rules.c2pa_generated)
    if declared is None or plain[0] is ruled:
        return plain
    return ruled, f"a valid C2PA manifest declares generated media ({declared})"


def _plain(verdict: Verdict, media: Media | None, rules: Rules) -> tuple[Outcome, str | None]:
    if verdict.unknown:
        return Outcome.UNCERTAIN, COULD_NOT_TELL
    thresholds = {} if media is None else rules.min_confidence.get(media, {})
    least = thresholds.get(verdict.classification, 0.0)
    if verdict.confidence < least:
        return (
            Outcome.UNCERTAIN,
            f"{verdict.classification.value} with a confidence of {verdict.confidence:g}, below {least:g}",
        )
    return Outcome(verdict.classification.value), None


def generated(c2pa: Provenance) -> str | None:
    """Return the digital source type, without its vocabulary's address, if a valid manifest declares generated media."""
    if c2pa.state is None or c2pa.digital_source_type is None or c2pa.state.lower() not in VALID_STATES:
        return None
    term = c2pa.digital_source_type.rstrip("/").rpartition("/")[2]
    return term if term.lower() in GENERATED else None


def destination(path: bytes, outcome: Outcome, rules: Rules) -> bytes | None:
    """Return where a moved or copied file is wanted, or None where the action leaves it in its place.

    ``path`` is where it was noticed, so that a second decision goes the same way as the first.
    """
    if rules.action in (Action.SIDECAR, Action.RECORD):
        return None
    kept = path if rules.keep_tree else path.rpartition(b"/")[2]
    return rules.destinations[outcome].rstrip(b"/") + b"/" + kept


def numbered(name: bytes, n: int) -> bytes:
    """Return the n-th name to try: ``x.jpg``, ``x-2.jpg``, ``x-3.jpg``; a long one is cut between characters."""
    if n == 1:
        return name
    stem, extension = split_name(name)
    tail = b"-%d" % n + extension
    return _cut(stem, NAME_MAX - len(tail)) + tail


def split_name(name: bytes) -> tuple[bytes, bytes]:
    """Split a name into stem and extension; the extension carries its dot, or is empty."""
    dot = name.rfind(b".")
    if dot <= 0 or len(name) - dot > LONGEST_EXTENSION or b" " in name[dot:]:
        return name, b""
    return name[:dot], name[dot:]


def sidecar_name(name: bytes, n: int = 1) -> bytes:
    """Return the name of the sidecar of a file called ``name``; ``n`` above 1 avoids a foreign file of that name."""
    return _beside(name, n, SIDECAR_SUFFIX)


def heatmap_name(name: bytes, n: int = 1) -> bytes:
    """Return the name of the heatmap of a file called ``name``; ``n`` above 1 avoids a foreign file of that name."""
    return _beside(name, n, HEATMAP_SUFFIX)


def _beside(name: bytes, n: int, suffix: bytes) -> bytes:
    """Keep the suffix whole in every case: the watched folder knows our own files by it."""
    tail = suffix if n == 1 else b".%d" % n + suffix
    room = NAME_MAX - len(tail)
    if len(name) > room:
        mark = b"~" + hashlib.sha256(name).hexdigest()[:16].encode()
        name = _cut(name, room - len(mark)) + mark
    return name + tail


def _cut(name: bytes, length: int) -> bytes:
    """Shorten to at most ``length`` bytes without splitting a UTF-8 character, which has at most 4 bytes."""
    if len(name) <= length:
        return name
    end = length
    while end > length - 4 and name[end] & 0xC0 == 0x80:
        end -= 1
    return name[:end]
