"""Polls: verdicts, heatmaps and the balance, asked for as the budget allows."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from identifai_watch import duties
from identifai_watch.api import Api
from identifai_watch.core import gate, polling, retry
from identifai_watch.core.answers import Heatmap
from identifai_watch.core.events import Absent, Barred, Credited, Healthy, Unanswered
from identifai_watch.core.model import (
    Account,
    AccountState,
    Analysis,
    AnalysisState,
    FileState,
    Media,
    PauseReason,
)
from identifai_watch.dispatch.standing import Standing
from identifai_watch.dispatch.uploads import has_instant
from identifai_watch.duties import Balance, Polled
from identifai_watch.ledger import Transaction, budget, claims, work
from identifai_watch.ledger.work import Step
from identifai_watch.shift import Shift
from identifai_watch.workers import Job

THREADS = 4
CREDITS_EVERY = timedelta(minutes=10)

Result = TypeVar("Result")


class Polls:
    """What one shift asks of the API for free: at most one GET of each kind of media at a time."""

    def __init__(self, shift: Shift, api: Api, standing: Standing) -> None:
        self._shift = shift
        self._api = api
        self._standing = standing
        self._asking: set[str] = set()
        self._balance_at: datetime | None = None
        self._begun_at_balance = 0

    @property
    def in_flight(self) -> int:
        """How many questions are under way."""
        return len(self._asking)

    def tick(self, tx: Transaction, *, in_flight: int, begun: int) -> None:
        """Ask for what is due; ``in_flight`` are the uploads under way, ``begun`` is how many there ever were."""
        self._mind_balance(tx, begun)
        for media in Media:
            if self._may_ask(tx, media, in_flight):
                self._poll(tx, media)
        if self._may_ask(tx, "heatmap", in_flight):
            self._fetch_heatmap(tx)

    def _may_ask(self, tx: Transaction, what: str, in_flight: int) -> bool:
        shift = self._shift
        if what in self._asking or not gate.may_poll(
            budget.account(tx), shift.clock(), in_flight + self.in_flight
        ):
            return False
        return has_instant(tx, shift, "GET", self.in_flight)

    # Verdicts.

    def _poll(self, tx: Transaction, media: Media) -> None:
        """Ask for the verdicts of a kind that are due, and take along those that may be done soon."""
        shift = self._shift
        ahead = max(shift.expected[media], polling.LEAST)
        now = shift.clock()
        batch = claims.claim_polls(tx, shift.claimant, now, media, ahead=ahead, limit=polling.AT_ONCE)
        if batch:
            ask = partial(duties.poll, self._api, batch, now=shift.clock)
            self._plan(
                media, ask, partial(self._polled, media, batch), partial(self._poll_failed, media, batch)
            )

    def _polled(self, media: Media, batch: Sequence[Analysis], tx: Transaction, polled: Polled) -> None:
        self._asking.discard(media)
        shift = self._shift
        step = shift.step()
        for row in batch:
            event = polled.events.get(row.id, Unanswered("no answer", counts=False))
            after = work.advance(tx, row.id, event, step, shift.claimant)
            if after is not None and after.state is not row.state:
                shift.log.info("answered", identifier=row.identifier, state=after.state, reason=after.reason)
            if after is not None and after.state is AnalysisState.QUEUED:
                _mind_presence(tx, row.id, step)
        for standing in polled.account:
            self._standing.advance(tx, standing)
        for status in polled.unknown_statuses:
            shift.log.warning("unknown status", status=status)
        shift.learn(tx)

    def _poll_failed(
        self, media: Media, batch: Sequence[Analysis], tx: Transaction, error: Exception
    ) -> None:
        self._asking.discard(media)
        shift = self._shift
        shift.bug(error)
        for row in batch:
            work.advance(tx, row.id, Unanswered(f"a bug: {error!r}"), shift.step(), shift.claimant)

    # Heatmaps.

    def _fetch_heatmap(self, tx: Transaction) -> None:
        shift = self._shift
        row = claims.claim_heatmap(tx, shift.claimant, shift.clock())
        if row is not None:
            ask = partial(duties.heatmap, self._api, row, now=shift.clock)
            self._plan("heatmap", ask, partial(self._heatmap_came, row), partial(self._heatmap_failed, row))

    def _heatmap_came(self, row: Analysis, tx: Transaction, found: Heatmap) -> None:
        """Keep a heatmap, or ask again later; none is worth failing a file for (api-notes 30)."""
        self._asking.discard("heatmap")
        shift = self._shift
        failures = row.heatmap_failures + 1
        again = found.png is None and found.again and failures < retry.GIVE_UP_AFTER
        due = shift.clock() + retry.backoff(failures, shift.chance()) if again else None
        work.keep_heatmap(tx, row, found.png, due, shift.step())
        self._standing.advance(tx, found.account)
        if found.png is None:
            shift.log.warning("no heatmap", identifier=row.identifier, reason=found.why, again=again)

    def _heatmap_failed(self, row: Analysis, tx: Transaction, error: Exception) -> None:
        self._shift.bug(error)
        self._heatmap_came(row, tx, Heatmap(png=None, why=f"a bug: {error!r}"))

    # The balance.

    def _mind_balance(self, tx: Transaction, begun: int) -> None:
        """Look at the balance when that may lift a pause, and as it nears the floor, where there is one to it."""
        shift, now = self._shift, self._shift.clock()
        account = budget.account(tx)
        has_floor = account.state is AccountState.OK and shift.limits.credits_floor > 0
        is_wanted = has_floor and (
            self._is_old(now) or self._is_spent(account, begun - self._begun_at_balance)
        )
        if "balance" not in self._asking and (gate.wants_probe(account, now) or is_wanted):
            self._balance_at, self._begun_at_balance = now, begun
            self._plan(
                "balance",
                partial(duties.balance, self._api, now=shift.clock),
                self._balanced,
                self._balance_failed,
            )

    def _is_old(self, now: datetime) -> bool:
        return self._balance_at is None or now - self._balance_at > CREDITS_EVERY

    def _is_spent(self, account: Account, uploads: int) -> bool:
        """Tell whether half of what the account had above the floor may be gone; an upload costs about a credit."""
        left = (account.credits or 0) - self._shift.limits.credits_floor
        return uploads > 0 and uploads * 2 >= left

    def _balanced(self, tx: Transaction, found: Balance) -> None:
        self._asking.discard("balance")
        if found.credits is not None:
            self._standing.advance(tx, Healthy())
            self._standing.advance(tx, Credited(found.credits, floor=self._shift.limits.credits_floor))
        elif found.account is None:
            self._still_barred(tx, found.why or "the balance cannot be read")
        else:
            self._standing.advance(tx, found.account)
            self._still_barred(tx, found.why or "refused")

    def _still_barred(self, tx: Transaction, why: str) -> None:
        """Let a pause that the probe did not lift go on, probing ever slower."""
        account = budget.account(tx)
        if gate.wants_probe(account, self._shift.clock()):
            self._standing.advance(tx, Barred(account.reason or PauseReason.KEY, account.detail or why))

    def _balance_failed(self, tx: Transaction, error: Exception) -> None:
        self._asking.discard("balance")
        self._shift.bug(error)
        self._still_barred(tx, repr(error))

    def _plan(
        self,
        what: str,
        ask: Callable[[], Result],
        then: Callable[[Transaction, Result], None],
        failed: Callable[[Transaction, Exception], None],
    ) -> None:
        self._asking.add(what)
        job = Job(lane="network", label=f"ask {what}", work=ask, then=then, failed=failed, threads=THREADS)
        self._shift.workers.plan(job)


def _mind_presence(tx: Transaction, analysis_id: int, step: Step) -> None:
    """Let a content that is to be sent anew rest while no file has it: it counts as no upload to make."""
    present = {FileState.WAITING, FileState.DELIVERED}
    if not any(file.state in present for file in work.files_of(tx, analysis_id)):
        work.advance(tx, analysis_id, Absent(), step)
