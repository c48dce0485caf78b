"""What is done about a file that is not where, or not what, the ledger has, when it is to be read or delivered."""

from identifai_watch.core.events import Missed
from identifai_watch.core.model import File
from identifai_watch.intake import Intake
from identifai_watch.ledger import Transaction, work
from identifai_watch.ledger.step import Step


def not_found(tx: Transaction, intake: Intake, file: File, step: Step) -> None:
    """Have its directory looked into: whether it is gone is for scans to say, which list it without error.

    Where no scan goes, to a place that it was moved to or a file named singly, each time that it is not there
    counts as one.
    """
    if is_in_place(file) and intake.patrol.last_scan_at is not None:
        intake.patrol.look_into(file.path.rpartition(b"/")[0])
    else:
        work.advance_file(tx, file.id, Missed(), step)


def changed(tx: Transaction, intake: Intake, file: File, step: Step) -> None:
    """Have a file looked at anew that is another than it was; where no scan goes, it is no longer the judged one."""
    if is_in_place(file):
        intake.offer(tx, file.path, intake.folder.priority)
    else:
        work.advance_file(tx, file.id, Missed(), step)


def is_in_place(file: File) -> bool:
    """Tell whether a file lies where it was noticed: no scan looks at what was moved."""
    return file.lies_at in {None, file.path}
