"""What operators keep from being sent: folders that are paused, and files that are withdrawn."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from identifai_watch.core.model import AnalysisState, File, FileState
from identifai_watch.ledger import intake, rows, work
from identifai_watch.ledger.intake import Arrival
from identifai_watch.ledger.schema import analyses, files, folders
from identifai_watch.ledger.work import Step

LEFT_WITHDRAWN = intake.LEFT_WITHDRAWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Nothing of the folder ``folder`` is sent ``until`` then, or until somebody resumes it; ``by`` whom and ``why``."""

    folder_id: int
    folder: str
    at: datetime
    until: datetime | None
    by: str
    why: str


def pause(tx: sa.Connection, folder_id: int, step: Step, *, why: str, until: datetime | None) -> None:
    """Let nothing of a folder be sent."""
    values = {"paused_at": step.now, "paused_until": until, "paused_by": step.who, "paused_why": why}
    tx.execute(sa.update(folders).where(folders.c.id == folder_id).values(values))


def resume(tx: sa.Connection, folder_id: int) -> bool:
    """Let the files of a folder be sent again; return whether it was paused."""
    nothing = dict.fromkeys(("paused_at", "paused_until", "paused_by", "paused_why"))
    is_paused = sa.and_(folders.c.id == folder_id, folders.c.paused_at.is_not(None))
    return tx.execute(sa.update(folders).where(is_paused).values(nothing)).rowcount > 0


def pauses(tx: sa.Connection) -> list[Pause]:
    """Return the folders that are paused, those whose time is over included."""
    query = sa.select(folders).where(folders.c.paused_at.is_not(None)).order_by(folders.c.id)
    return [
        Pause(
            folder_id=row.id,
            folder=row.name,
            at=row.paused_at,
            until=row.paused_until,
            by=row.paused_by or "",
            why=row.paused_why or "",
        )
        for row in tx.execute(query)
    ]


def withdraw(tx: sa.Connection, file: File, reason: str, step: Step) -> bool:
    """Keep a file from being sent until somebody asks for it; return False if there is nothing to keep back any more.

    What was sent, or is being sent, is paid for: it goes its way.
    """
    if file.state is not FileState.WAITING or file.refusal is not None:
        return False
    analysis = None if file.analysis_id is None else work.analysis(tx, file.analysis_id)
    if analysis is not None and analysis.state is not AnalysisState.QUEUED:
        return False
    arrival = Arrival(
        folder_id=_folder_of(tx, file),
        path=file.path,
        fingerprint=file.fingerprint,
        noticed_at=file.noticed_at,
    )
    intake.leave(tx, arrival, reason, LEFT_WITHDRAWN, step)
    work.record(tx, step, "withdrawn", file=file, analysis=analysis, reason=reason)
    return True


def take_back(tx: sa.Connection, file: File, step: Step) -> bool:
    """Let a file be sent again that was withdrawn: the next scan finds it; return whether it was."""
    folder_id = _folder_of(tx, file)
    left = intake.left_as(tx, folder_id, file.path)
    if left is None or left[0] != LEFT_WITHDRAWN:
        return False
    intake.unleave(tx, folder_id, [file.path])
    work.record(tx, step, "taken back", file=file)
    return True


def _folder_of(tx: sa.Connection, file: File) -> int:
    return int(tx.execute(sa.select(files.c.folder_id).where(files.c.id == file.id)).scalar_one())


def queued(tx: sa.Connection, folder_id: int) -> list[File]:
    """Return the files of a folder that wait for their upload, or for being looked at before it; held ones too."""
    query = (
        work.select_files()
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
