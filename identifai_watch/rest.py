"""When the loop may leave rounds out: nothing is under way or due, and nobody else wrote into the ledger."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from identifai_watch.core.model import AccountState
from identifai_watch.dispatch import Dispatch
from identifai_watch.intake import Intake, reach
from identifai_watch.ledger import budget, dues
from identifai_watch.shares import Shares
from identifai_watch.shift import Shift

BUSY_TICK = 0.2
IDLE_TICK = 1.0

LONGEST = timedelta(seconds=5)
"""How long a rest lasts at most. What may be a little late needs no instant of its own: heatmaps, probes, orphans."""


class Rest:
    """The pauses of one shift's loop.

    A round in which nothing is to be done takes a hundred times as long as to see whether somebody wrote into the
    ledger: while the loop rests it wakes for that alone, as often as ever, so that an order is carried out at once.
    """

    def __init__(
        self, shift: Shift, intakes: Mapping[int, Intake], shares: Shares, dispatch: Dispatch
    ) -> None:
        self._shift = shift
        self._intakes = intakes
        self._shares = shares
        self._dispatch = dispatch
        self._version: int | None = None
        self._until: datetime | None = None

    def end(self) -> None:
        """Let the next round be made."""
        self._until = None

    def mark(self) -> None:
        """Wake up, and note how the ledger is before the round: what others write from now on it may not see."""
        self.end()
        self._version = self._shift.ledger.version()

    def begin(self) -> None:
        """Rest after a round, until anything is due; not at all where something is that cannot be done yet."""
        shift = self._shift
        now = shift.clock()
        if shift.once or self._is_busy():
            return
        with shift.ledger.read() as tx:
            uploads = budget.account(tx).state is AccountState.OK
            due = dues.soonest(tx, reach(self._intakes), uploads=uploads)
        known = [now + LONGEST, *self._soon(), *(() if due is None else (due,))]
        if min(known) > now:
            self._until = min(known)

    def lasts(self) -> bool:
        """Tell whether the next round may be left out."""
        return (
            self._until is not None
            and self._shift.clock() < self._until
            and self._version is not None
            and self._version == self._shift.ledger.version()
        )

    def patience(self, longest: float) -> float:
        """Return for how many seconds the loop may wait for what comes, at most ``longest``."""
        now = self._shift.clock()
        if self._until is not None:
            return max(0.0, min((self._until - now).total_seconds(), longest))
        soonest = self._soon()
        is_busy = self._is_busy()
        if not is_busy:
            with self._shift.ledger.read() as tx:
                resting = (dues.resting(tx, reach(self._intakes), now), budget.account(tx).hold_until)
            soonest += [due for due in resting if due is not None and due > now]
        seconds = min(((due - now).total_seconds() for due in soonest), default=IDLE_TICK)
        return max(0.0, min(seconds, BUSY_TICK if is_busy else longest))

    def _is_busy(self) -> bool:
        return not self._dispatch.is_idle() or any(one.settling for one in self._intakes.values())

    def _soon(self) -> list[datetime]:
        """Return when the folders, the questions that the minute's GETs keep waiting, and the notices are due."""
        dues = [one.next_due() for one in self._intakes.values()]
        dues.append(self._shares.next_due())
        dues += [self._dispatch.polls.opens_at, self._dispatch.notices.due_at]
        return [due for due in dues if due is not None]
