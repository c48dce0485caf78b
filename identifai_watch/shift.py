"""What all parts of a running daemon share: the configuration, the ledger, the workers, the clock and the log."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from queue import SimpleQueue
from threading import Event
from typing import TypeVar
from uuid import uuid4

import structlog

from identifai_watch.brakes import on_the_wall
from identifai_watch.config import Config
from identifai_watch.core import polling
from identifai_watch.core.gate import SPREAD, Limits
from identifai_watch.core.hours import Local
from identifai_watch.core.lifecycle import Policy
from identifai_watch.core.model import Media
from identifai_watch.core.replies import Answer, status_of
from identifai_watch.core.tally import Counted, Tally
from identifai_watch.errors import LedgerError
from identifai_watch.ledger import Ledger, Transaction, part, reading
from identifai_watch.ledger.step import Claimant, Step
from identifai_watch.workers import Workers

Item = TypeVar("Item")


def utc_now() -> datetime:
    """Return the instant, with its zone."""
    return datetime.now(UTC)


@dataclass(slots=True, kw_only=True)
class Shift:
    """One run of the daemon, from its start to its end; ``config`` is replaced by a reload.

    ``once`` is a run that judges all there is and ends. ``stopping`` is set for every thread to see. With a
    ``least_priority`` only contents of at least that are sent: the others are left for another run.
    """

    config: Config
    ledger: Ledger
    once: bool = False
    least_priority: int | None = None
    clock: Callable[[], datetime] = utc_now
    local: Local = on_the_wall
    chance: Callable[[], float] = random.random
    workers: Workers = field(default_factory=Workers)
    stopping: Event = field(default_factory=Event)
    log: structlog.stdlib.BoundLogger = field(default_factory=structlog.get_logger)
    claimant: Claimant = field(init=False)
    learnt: polling.Learnt = field(init=False, default_factory=dict)
    tally: Tally = field(init=False, default_factory=Tally)
    _ended: SimpleQueue[tuple[str, str]] = field(init=False, default_factory=SimpleQueue)

    def __post_init__(self) -> None:
        self.claimant = Claimant(node=self.ledger.node, token=uuid4().hex)

    @property
    def limits(self) -> Limits:
        """The account's limits and the purse, as configured, and as several hosts keep them together."""
        limits = self.config.api.limits
        return replace(limits, spread=SPREAD) if self.ledger.member else limits

    def is_backlogs_hour(self) -> bool:
        """Tell whether the backlog may be hashed and sent now; a run over all there is was asked for, and waits for no hour."""
        hours = self.config.api.backlog_hours
        return hours is None or self.once or hours.has(self.local(self.clock()))

    def heard(self, kind: str, answer: Answer) -> None:
        """Take in how a request ended; called in the thread that asked, and counted with ``reckon``."""
        status = status_of(answer)
        if status is not None:
            self._ended.put((kind, status))

    def reckon(self) -> Tally:
        """Count the requests that ended since the last time, and return all sums; called in the loop."""
        for _ in range(self._ended.qsize()):
            self.tally.count(Counted.REQUESTS, *self._ended.get_nowait())
        return self.tally

    def step(self) -> Step:
        """Return how rows advance at this instant; of several daemons the history says which one did it."""
        member = self.ledger.member
        policy = Policy(deadline=self.config.api.analysis_deadline, learnt=self.learnt)
        return Step(
            now=self.clock(),
            policy=policy,
            chance=self.chance(),
            who=f"daemon on {member}" if member else "daemon",
        )

    def learn(self, tx: Transaction, *kinds: Media) -> None:
        """Learn from the latest verdicts how long those of ``kinds`` take."""
        kept = {key: of for key, of in self.learnt.items() if key[0] not in kinds}
        self.learnt = kept.copy()
        for media in kinds:
            self.learnt |= polling.learn(media, reading.durations(tx, media))

    def together(
        self,
        tx: Transaction,
        items: Sequence[Item],
        do: Callable[[Transaction, Sequence[Item]], None],
        failed: Callable[[Transaction, Item, Exception], None],
    ) -> None:
        """Do something with several rows at once; after a bug with one of them each for itself, so that it alone waits."""
        if not items:
            return
        planned = self.workers.planned
        try:
            with part(tx):
                do(tx, items)
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug about one row must not keep the others waiting
            self.workers.drop(planned)
            if len(items) == 1:
                self.bug(error)
                failed(tx, items[0], error)
                return
            for item in items:
                self.together(tx, [item], do, failed)

    def bug(self, error: Exception) -> None:
        """Say that something was our own fault; all else goes on."""
        self.log.error("bug", error=repr(error), exc_info=error)
