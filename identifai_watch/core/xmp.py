"""The verdict as an XMP file says it: properties of a namespace of our own, and a keyword that editors can search for.

Nothing personal is in it, for pictures are passed on with their XMP: who decided, and why, stays in sidecar and ledger.
"""

from dataclasses import dataclass

from identifai_watch.core.model import Analysis, File, Interim, Outcome
from identifai_watch.core.sidecar import TOOL, shown, timestamp

NAMESPACE = "urn:identifai-watch:xmp:1.0/"
PREFIX = "identifai"

_ROOT = "identifAI"
KEYWORDS = frozenset(f"{_ROOT}|{outcome}" for outcome in Outcome)
"""The keywords that are ours to replace; whatever else somebody put below ``identifAI`` is theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What is to stand in an XMP file: one of KEYWORDS, and properties by name, in the order in which they are written."""

    keyword: str
    properties: tuple[tuple[str, str], ...]


def marks(file: File, analysis: Analysis | None, *, version: str) -> Marks:
    """Return the marks of a file whose outcome is known; while a verdict is pending nothing of an earlier one is in them.

    Raises:
        ValueError: The file has no outcome yet.
    """
    if file.outcome is None:
        msg = f"file {file.id} has no outcome yet"
        raise ValueError(msg)
    is_pending = file.outcome is Outcome.PENDING
    sha256 = None if is_pending and file.interim is Interim.CHANGING else file.sha256
    verdict = None if analysis is None or is_pending else analysis.verdict
    decision = None if is_pending else file.decision
    judged_at = None if analysis is None or is_pending else analysis.judged_at
    identifier = None if analysis is None or is_pending else analysis.identifier
    said = (
        ("outcome", file.outcome.value),
        ("classification", None if verdict is None else verdict.classification.value),
        ("confidence", None if verdict is None else f"{verdict.confidence:.6g}"),
        ("decision", None if decision is None else decision.choice.value),
        ("sha256", None if sha256 is None else sha256.hex()),
        ("judgedAt", timestamp(judged_at)),
        ("identifier", None if identifier is None else shown(identifier)),
        ("tool", f"{TOOL} {version}"),
    )
    properties = tuple((name, value) for name, value in said if value is not None)
    return Marks(keyword=f"{_ROOT}|{file.outcome}", properties=properties)
