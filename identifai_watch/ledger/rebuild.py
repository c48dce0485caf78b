"""After a loss: enter what sidecars say was paid for, as something that identifAI is still to be asked about.

A sidecar may be anybody's work, so nothing of it is believed but that this content may have been sent under this
identifier: the question costs nothing, and its answer brings the verdict and the hash. Reading sidecars is left to
others.
"""

from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from identifai_watch.core.model import Analysis, AnalysisState, Media
from identifai_watch.ledger import history, reading, rows
from identifai_watch.ledger.admission import UNFITTED
from identifai_watch.ledger.schema import analyses
from identifai_watch.ledger.step import Step

PATIENCE = timedelta(days=7)
"""How long the answers are awaited: a daemon may be started later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """That a content was sent: ``options`` are canonical JSON, ``source`` is where the sidecar lies, for the history."""

    sha256: bytes
    media: Media
    options: str
    identifier: str
    source: str


def is_known(tx: sa.Connection, claim: Claim) -> bool:
    """Tell whether there is an analysis of that content already."""
    query = sa.select(analyses.c.id).where(
        analyses.c.sha256 == claim.sha256,
        analyses.c.media == claim.media,
        analyses.c.options == claim.options,
    )
    return tx.execute(query.limit(1)).first() is not None


def enter(tx: sa.Connection, claim: Claim, step: Step) -> bool:
    """Enter a claim, to be asked about; return False if its content is known, which is then left as it is.

    It is not known when it was sent, nor its size and kind of bytes: those of the file that is admitted for it count.
    """
    if is_known(tx, claim):
        return False
    values = rows.analysis_values(
        Analysis(
            id=0,
            sha256=claim.sha256,
            media=claim.media,
            mime=UNFITTED,
            options=claim.options,
            size=0,
            noticed_at=step.now,
            state=AnalysisState.AWAITING,
            backlog=True,
            due=step.now,
            identifier=claim.identifier,
            deadline=step.now + PATIENCE,
        )
    )
    key = tx.execute(sa.insert(analyses).values(values).returning(analyses.c.id)).scalar_one()
    history.record(tx, step, "rebuilt", analysis=reading.analysis(tx, key), source=claim.source)
    return True
