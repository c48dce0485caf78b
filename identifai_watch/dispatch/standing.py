"""How the account stands: what answers mean for it, written down and said when it changes."""

from dataclasses import dataclass

from identifai_watch.core.events import AccountEvent, Cleared
from identifai_watch.core.model import Account, AccountState, PauseReason
from identifai_watch.ledger import Transaction, budget
from identifai_watch.shift import Shift


@dataclass(frozen=True, slots=True)
class Standing:
    """The account's one row, advanced by answers."""

    shift: Shift

    def advance(self, tx: Transaction, event: AccountEvent | None) -> None:
        """Take in what an answer means for the account, if anything."""
        if event is not None:
            before, after = budget.advance_account(tx, event, self.shift.clock(), self.shift.chance())
            self._say(before, after)

    def terms_hold(self, tx: Transaction) -> None:
        """Take in that a submission was answered as it should be: the terms are accepted."""
        if budget.account(tx).reason is PauseReason.TERMS:
            self.advance(tx, Cleared())

    def _say(self, before: Account, after: Account) -> None:
        log = self.shift.log
        if (before.state, before.reason) != (after.state, after.reason):
            if after.state is AccountState.PAUSED:
                log.error(
                    "account paused",
                    reason=after.reason,
                    detail=after.detail,
                    next_probe_at=after.next_probe_at,
                )
            else:
                log.info("account all right")
        elif after.holds and not before.holds:
            log.warning("identifAI holds us", until=after.hold_until)
        elif before.holds and not after.holds:
            log.info("identifAI answers again")
