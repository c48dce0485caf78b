"""Stamps: once a day an authority is asked to stamp the head of the history, by a thread of its own; nothing waits for it."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from identifai_watch.core.retry import doubling
from identifai_watch.evidence import stamping
from identifai_watch.evidence.stamping import Stamped, StampError
from identifai_watch.ledger import Transaction, passages, stamps
from identifai_watch.ledger.stamps import Stamp
from identifai_watch.ledger.trail import Head
from identifai_watch.shift import Shift
from identifai_watch.workers import Job

LANE = "stamps"

FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=1)
"""Before a head is offered again that could not be stamped: double each time, with some chance."""


LEASE = timedelta(minutes=5)
"""How long nobody else asks: longer than one attempt can take."""


@dataclass(frozen=True, slots=True)
class Stamps:
    """What one shift has stamped; what is due, and what is under way, stands in the ledger."""

    shift: Shift

    def want(self, tx: Transaction, head: Head) -> None:
        """Have a head stamped, if an authority is configured."""
        if self.shift.config.evidence.timestamp_url:
            stamps.want(tx, head, self.shift.clock())

    def tick(self, tx: Transaction) -> None:
        """Hand out what is due, one at a time."""
        evidence, now = self.shift.config.evidence, self.shift.clock()
        due = stamps.take(tx, now, now + LEASE) if evidence.timestamp_url else None
        if due is None:
            return
        parts = passages.preimage(tx, due.history_id)
        if parts is None:
            self._put_off(tx, due, "the line that it was the digest of is not in the history any more")
            return
        ask = partial(
            stamping.stamp,
            evidence.timestamp_url,
            *parts,
            ca_file=evidence.timestamp_ca_file,
            proxy=self.shift.config.api.proxy,
        )
        self.shift.workers.plan(
            Job(
                lane=LANE,
                label=LANE,
                work=partial(_asked, ask),
                then=partial(self._came, due),
                failed=partial(self._failed, due),
            )
        )

    def _came(self, due: Stamp, tx: Transaction, found: Stamped | str) -> None:
        if isinstance(found, str):
            self._put_off(tx, due, found)
            return
        stamps.stamped(
            tx,
            due.digest,
            answer=found.answer,
            authority=found.authority,
            stamped_at=found.stamped_at,
        )
        self.shift.log.info(
            "history stamped", head=due.digest.hex(), by=found.authority, at=found.stamped_at.isoformat()
        )

    def _failed(self, due: Stamp, tx: Transaction, error: Exception) -> None:
        self.shift.bug(error)
        self._put_off(tx, due, f"a bug: {error!r}")

    def _put_off(self, tx: Transaction, due: Stamp, reason: str) -> None:
        wait = doubling(due.failures + 1, FIRST_WAIT, LONGEST_WAIT) * (0.5 + self.shift.chance() / 2)
        again = self.shift.clock() + wait
        stamps.failed(tx, due.digest, why=reason, due=again)
        if reason != due.trouble:
            self.shift.log.warning("history not stamped", reason=reason, again=again.isoformat())


def _asked(ask: "partial[Stamped]") -> Stamped | str:
    try:
        return ask()
    except StampError as error:
        return str(error)
