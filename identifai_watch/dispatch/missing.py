"""What is done about a file that is not where the ledger has it, when it is to be read or delivered."""

from identifai_watch.core.events import Missed
from identifai_watch.core.model import File
from identifai_watch.intake import Intake
from identifai_watch.ledger import Transaction, work
from identifai_watch.ledger.work import Step


def not_found(tx: Transaction, intake: Intake, file: File, step: Step) -> None:
    """Have its directory looked into: whether it is gone is for scans to say, which list it without error.

    Where no scan goes, to a place that it was moved to or a file named singly, each time that it is not there
    counts as one.
    """
    is_in_place = file.lies_at in {None, file.path}
    if is_in_place and intake.patrol.last_scan_at is not None:
        intake.patrol.look_into(file.path.rpartition(b"/")[0])
    else:
        work.advance_file(tx, file.id, Missed(), step)
