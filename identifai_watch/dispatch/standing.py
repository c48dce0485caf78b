"""How the account stands: what answers mean for it, written down and said when it changes."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from identifai_watch.core import gate
from identifai_watch.core.events import AccountEvent, Cleared, Healthy
from identifai_watch.core.model import Account, AccountState, PauseReason
from identifai_watch.ledger import Transaction, budget
from identifai_watch.shift import Shift

NOTED_EVERY = timedelta(seconds=1)

PROBED_FOR = timedelta(minutes=2)
"""For how long a probe that nothing was heard of keeps other hosts from another one."""


@dataclass(slots=True)
class Standing:
    """The account's one row, advanced by answers; of all hosts one at a time probes whether a pause is over."""

    shift: Shift
    _probe: datetime | None = field(init=False, default=None)

    @property
    def is_probing(self) -> bool:
        """Whether a probe of ours is under way: what is known of the account is from before it."""
        return self._probe is not None

    def wants_probe(self, tx: Transaction, account: Account) -> bool:
        """Tell whether it is our turn to look at the balance of a paused ``account``; nobody else does then."""
        if not gate.wants_probe(account, self.shift.clock()):
            return False
        if not gate.wants_probe(budget.locked_account(tx), self.shift.clock()):
            return False
        self.take_probe(tx)
        return True

    def take_probe(self, tx: Transaction) -> None:
        """Probe the paused account, whose row is locked, and let nobody else."""
        self._probe = self.shift.clock() + PROBED_FOR
        budget.take_probe(tx, self._probe)

    def end_probe(self, tx: Transaction) -> None:
        """Let what was answered to our probe count, if one was under way."""
        if self._probe is not None:
            budget.end_probe(tx, self._probe, self.shift.clock())
            self._probe = None

    def advance(self, tx: Transaction, event: AccountEvent | None) -> None:
        """Take in what an answer means for the account, if anything."""
        if isinstance(event, Healthy) and self._is_known(tx):
            return
        if event is not None:
            before, after = budget.advance_account(tx, event, self.shift.clock(), self.shift.chance())
            self._say(before, after)

    def _is_known(self, tx: Transaction) -> bool:
        """Tell whether an answer changes nothing of an account that several hosts use but when one came last.

        That is noted once a second: for each answer, by each host, all would wait for the account's row.
        """
        account, now = budget.account(tx), self.shift.clock()
        if not self.shift.ledger.member or account.holds or account.hold_until is not None:
            return False
        if account.succeeded_at is None or now - account.succeeded_at > NOTED_EVERY:
            budget.got_through(tx, now)
        return True

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
