"""Contents judged anew: another edition of an analysis, for every file that has the content."""

import sqlalchemy as sa

from identifai_watch.core.events import Reopened
from identifai_watch.core.lifecycle import SETTLED
from identifai_watch.core.model import Analysis, File
from identifai_watch.ledger import history, queue, reading, rows, work
from identifai_watch.ledger.schema import analyses, files
from identifai_watch.ledger.step import Step


def new_edition(tx: sa.Connection, file: File, step: Step) -> Analysis | None:
    """Have the content of a file judged anew, for every file that has it; None while that is under way already.

    A file that missed an edition, since it was away then, takes that one: it is paid for.
    """
    if file.analysis_id is None:
        return None
    # Locked before anything is looked at: of two who ask for it at once, the second finds the edition of the first.
    [locked] = reading.rows_of(tx, reading.ANALYSES_TO_ADVANCE, [file.analysis_id])
    old = rows.analysis(locked)
    latest = _latest_edition(tx, old)
    if old.state not in SETTLED or latest.state not in SETTLED:
        return None
    if latest.id != old.id:
        _put_edition(tx, file, latest, step)
        work.advance_file(tx, file.id, Reopened(), step)
        return latest
    values = rows.analysis_values(
        Analysis(
            id=0,
            sha256=old.sha256,
            media=old.media,
            mime=old.mime,
            options=old.options,
            size=old.size,
            noticed_at=step.now,
            edition=old.edition + 1,
            no_cache=True,
            priority=old.priority + 1,
            due=step.now,
        )
    )
    key = tx.execute(sa.insert(analyses).values(values).returning(analyses.c.id)).scalar_one()
    fresh = reading.analysis(tx, key)
    work.rest_files(tx, old.id)
    for copy in reading.files_of(tx, old.id):
        if copy.state in reading.THERE:
            _put_edition(tx, copy, fresh, step)
    queue.enter(tx, [fresh.id])
    return fresh


def _latest_edition(tx: sa.Connection, of: Analysis) -> Analysis:
    """Return the newest analysis of the same content under the same options."""
    query = sa.select(*rows.ANALYSIS_COLUMNS).where(
        analyses.c.sha256 == of.sha256, analyses.c.media == of.media, analyses.c.options == of.options
    )
    return rows.analysis(tx.execute(query.order_by(analyses.c.edition.desc()).limit(1)).one())


def _put_edition(tx: sa.Connection, file: File, edition: Analysis, step: Step) -> None:
    """Let a file have another edition of its analysis."""
    tx.execute(sa.update(files).where(files.c.id == file.id).values(analysis_id=edition.id))
    history.record(tx, step, "rejudged", file=file, analysis=edition, edition=edition.edition)
