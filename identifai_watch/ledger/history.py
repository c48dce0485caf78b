"""What history is told: which events are news, and what the line of one says.

``trail`` keeps the lines, each chained to the one before.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import is_dataclass
from typing import Any

import sqlalchemy as sa

from identifai_watch.core.events import Absent, AnalysisEvent, Delivered, FileEvent, Judged, Present
from identifai_watch.core.model import Analysis, File, Outcome
from identifai_watch.core.sidecar import shown
from identifai_watch.core.trail import Entry
from identifai_watch.ledger import closing, rows
from identifai_watch.ledger.step import Step


def record(
    tx: sa.Connection,
    step: Step,
    event: object,
    *,
    file: File | None = None,
    analysis: Analysis | None = None,
    **detail: Any,
) -> None:
    """Write one line of history: what happened, by whom, to what, with the hash and the identifier that it is about."""
    closing.tell(tx, [line(step, event, file=file, analysis=analysis, **detail)])


def record_admitted(tx: sa.Connection, step: Step, taken: Sequence[tuple[File, Analysis]]) -> None:
    """Write the lines of files that were admitted together, each with the analysis of its content."""
    told = [
        line(
            step,
            "admitted",
            file=file,
            analysis=analysis,
            folder=file.folder,
            path=file.path,
            duplicate=file.duplicate,
        )
        for file, analysis in taken
    ]
    closing.tell(tx, told)


def line(
    step: Step, event: object, *, file: File | None = None, analysis: Analysis | None = None, **detail: Any
) -> Entry:
    """Return the line of an event, or of what has a name only, with what it is about and what more there is to say."""
    name = event if isinstance(event, str) else type(event).__name__.lower()
    said = {} if isinstance(event, str) else _said(event)
    return Entry(
        at=step.now,
        who=step.who,
        event=name,
        file_id=None if file is None else file.id,
        analysis_id=analysis.id if analysis is not None else None if file is None else file.analysis_id,
        detail=json.dumps(_subject(file, analysis) | said | detail, default=_plain),
    )


def _subject(file: File | None, analysis: Analysis | None) -> dict[str, Any]:
    """Return what a line of history is about, for whoever reads it without the rows that it points to."""
    sha256 = analysis.sha256 if analysis is not None else None if file is None else file.sha256
    identifier = None if analysis is None else analysis.identifier
    named = {"sha256": None if sha256 is None else sha256.hex(), "identifier": identifier}
    return {name: value for name, value in named.items() if value is not None}


def is_news(before: Analysis, after: Analysis, event: AnalysisEvent) -> bool:
    """Tell whether history should know: a change of state, doubt, or giving up; not each look."""
    if isinstance(event, Absent | Present):
        return False
    told = (before.state, before.doubt, before.stuck_at, before.verdict)
    return told != (after.state, after.doubt, after.stuck_at, after.verdict)


def is_news_of_file(before: File, after: File) -> bool:
    """Tell whether history should know: a change of state, of what people are told, or giving up; not each look."""
    told = (before.state, before.stuck_at, before.interim, before.outcome is Outcome.PENDING)
    return told != (after.state, after.stuck_at, after.interim, after.outcome is Outcome.PENDING)


def answered(event: AnalysisEvent) -> dict[str, Any]:
    """Return the SHA-256 of the API's answer that a verdict stands in: the chain then vouches for the answer too."""
    return {"answer_sha256": hashlib.sha256(event.raw).hexdigest()} if isinstance(event, Judged) else {}


def ending(file: File, event: FileEvent) -> dict[str, Any]:
    """Return what was told of a file that is delivered: outcome and reason, and the desk's decision if it counted."""
    if not isinstance(event, Delivered):
        return {}
    choice = None if file.decision is None else file.decision.choice
    said = {"outcome": file.outcome, "reason": file.reason, "decision": choice}
    return {name: value for name, value in said.items() if value is not None}


def _said(event: object) -> dict[str, Any]:
    """Return what an event says, without the raw answer, which has a table of its own."""
    names = getattr(type(event), "__dataclass_fields__", {})
    return {name: getattr(event, name) for name in names if name not in {"raw", "fingerprint", "counts"}}


def _plain(value: object) -> object:
    """Return what JSON cannot hold in a form that it can: a value's fields, the bytes of a path as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return rows.held(value)
    return shown(value) if isinstance(value, bytes) else str(value)
