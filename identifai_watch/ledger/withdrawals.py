"""Files that operators keep from being sent until they ask for them."""

import sqlalchemy as sa

from identifai_watch.core.model import AnalysisState, File, FileState
from identifai_watch.ledger import history, intake, reading, rows
from identifai_watch.ledger.intake import LEFT_WITHDRAWN
from identifai_watch.ledger.schema import analyses, files
from identifai_watch.ledger.step import Step
from identifai_watch.ledger.whereabouts import Arrival


def withdraw(tx: sa.Connection, file: File, reason: str, step: Step) -> bool:
    """Keep a file from being sent until somebody asks for it; return False if there is nothing to keep back any more.

    What was sent, or is being sent, is paid for: it goes its way.
    """
    if file.state is not FileState.WAITING or file.refusal is not None:
        return False
    analysis = None if file.analysis_id is None else reading.analysis(tx, file.analysis_id)
    if analysis is not None and analysis.state is not AnalysisState.QUEUED:
        return False
    arrival = Arrival(
        folder_id=_folder_of(tx, file),
        path=file.path,
        fingerprint=file.fingerprint,
        noticed_at=file.noticed_at,
    )
    intake.leave(tx, arrival, reason, LEFT_WITHDRAWN, step)
    history.record(tx, step, "withdrawn", file=file, analysis=analysis, reason=reason)
    return True


def take_back(tx: sa.Connection, file: File, step: Step) -> bool:
    """Let a file be sent again that was withdrawn: the next scan finds it; return whether it was."""
    folder_id = _folder_of(tx, file)
    left = intake.left_as(tx, folder_id, file.path)
    if left is None or left[0] != LEFT_WITHDRAWN:
        return False
    intake.unleave(tx, folder_id, [file.path])
    history.record(tx, step, "taken back", file=file)
    return True


def _folder_of(tx: sa.Connection, file: File) -> int:
    return int(tx.execute(sa.select(files.c.folder_id).where(files.c.id == file.id)).scalar_one())


def queued(tx: sa.Connection, folder_id: int) -> list[File]:
    """Return the files of a folder that wait for their upload, or for being looked at before it; held ones too."""
    query = (
        rows.select_files()
        .outerjoin(analyses, analyses.c.id == files.c.analysis_id)
        .where(
            files.c.folder_id == folder_id,
            files.c.state == FileState.WAITING,
            files.c.refusal.is_(None),
            sa.or_(files.c.analysis_id.is_(None), analyses.c.state == AnalysisState.QUEUED),
        )
        .order_by(files.c.id)
    )
    return [rows.file(row) for row in tx.execute(query)]
