"""Polls: verdicts, heatmaps and the balance, asked for as the budget allows; whose turn it is says ``core.polling``."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from identifai_watch import duties
from identifai_watch.api import Api
from identifai_watch.core import gate, polling, retry
from identifai_watch.core.answers import Heatmap
from identifai_watch.core.events import (
    AnalysisEvent,
    Barred,
    Credited,
    Healthy,
    Judged,
    Pending,
    Throttled,
    Unanswered,
    Unreachable,
)
from identifai_watch.core.model import (
    Account,
    AccountState,
    Analysis,
    AnalysisState,
    Media,
    PauseReason,
)
from identifai_watch.core.polling import Turn
from identifai_watch.core.tally import Took
from identifai_watch.dispatch.standing import Standing
from identifai_watch.duties import Balance, Polled
from identifai_watch.ledger import Transaction, alarms, budget, claims, work
from identifai_watch.shift import Shift
from identifai_watch.workers import Job

HEATMAP = "heatmap"
THREADS = 4
HORIZON = timedelta(milliseconds=20)
"""A GET is begun when its instant is at most this far ahead: what becomes due or done meanwhile is not in it."""

REST = 1000
"""Of so many that a full GET had no place for it is presumed, when it brings nothing, that they are pending too."""

CREDITS_EVERY = timedelta(minutes=10)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Asked:
    """When something was last asked for, and which part of that was there: learnt again from the next GET."""

    at: datetime | None = None
    yielded: float = 0.0


NEVER = Asked()


class Polls:
    """What one shift asks of the API for free: at most one GET of each kind of media at a time."""

    def __init__(self, shift: Shift, api: Api, standing: Standing) -> None:
        self._shift = shift
        self._api = api
        self._standing = standing
        self._asking: dict[str, tuple[int, ...]] = {}
        self._asked: dict[str, Asked] = {}
        self._opens_at: datetime | None = None
        self._balance_at: datetime | None = None
        self._begun_at_balance = 0

    @property
    def in_flight(self) -> int:
        """How many questions are under way."""
        return len(self._asking)

    @property
    def asked(self) -> list[int]:
        """The analyses that a question under way is about."""
        return [number for numbers in self._asking.values() for number in numbers]

    @property
    def opens_at(self) -> datetime | None:
        """When a GET that is wanted may go; None if none is."""
        return self._opens_at

    def tick(self, tx: Transaction, *, in_flight: int, begun: int) -> None:
        """Ask for what is due; ``in_flight`` are the uploads under way, ``begun`` is how many there ever were."""
        self._mind_balance(tx, begun)
        self._opens_at = None
        account = budget.account(tx)
        for _ in (*Media, HEATMAP):
            now = self._shift.clock()
            if not gate.may_poll(account, now, in_flight + self.in_flight):
                return
            turn = polling.whose(self._turns(tx, now), now)
            if turn is None:
                return
            opens_at = self._opening(tx, turn, now)
            if opens_at > now + HORIZON:
                self._opens_at = opens_at
                return
            if turn.what == HEATMAP:
                self._fetch_heatmap(tx, now)
            else:
                self._poll(tx, Media(turn.what), now)

    def _turns(self, tx: Transaction, now: datetime) -> Iterator[Turn]:
        """Yield what is due of that which is not being asked for already."""
        for media, due in claims.due_polls(tx, now, polling.AT_ONCE).items():
            if media not in self._asking:
                asked = self._asked.get(media, NEVER)
                yield Turn(what=media, due=due, asked_at=asked.at, yielded=asked.yielded)
        if HEATMAP not in self._asking:
            asked = self._asked.get(HEATMAP, NEVER)
            yield Turn(what=HEATMAP, due=int(claims.has_heatmap(tx, now)), most=1, asked_at=asked.at)

    def _opening(self, tx: Transaction, turn: Turn, now: datetime) -> datetime:
        """Return from when on a GET may go, behind those that were begun and have not taken their instants."""
        windows = self._shift.limits.windows("GET")
        latest = max((window.count for window in windows), default=0)
        sent = budget.sent(tx, "GET", now, latest=latest) if windows else []
        begun = [self._asked[what].at or now for what in self._asking]
        waiting = len(begun) - sum(at >= min(begun, default=now) for at in sent)
        return polling.opening(turn, [*sent, *gate.instants(sent, windows, now, waiting)], windows, now)

    # Verdicts.

    def _poll(self, tx: Transaction, media: Media, now: datetime) -> None:
        """Ask for the verdicts of a kind that are due, and take along those that may be done soon."""
        shift = self._shift
        batch = claims.claim_polls(tx, shift.claimant, now, media, ahead=polling.MOST, limit=polling.AT_ONCE)
        if batch:
            ask = partial(duties.poll, self._api, batch, now=shift.clock)
            self._plan(
                media,
                ask,
                partial(self._polled, media, batch),
                partial(self._poll_failed, media, batch),
                about=batch,
            )

    def _polled(self, media: Media, batch: Sequence[Analysis], tx: Transaction, polled: Polled) -> None:
        self._asking.pop(media, None)
        silence = Unanswered("no answer", counts=False)
        events = {row.id: polled.events.get(row.id, silence) for row in batch}
        pending = {key: event for key, event in events.items() if isinstance(event, Pending)}
        self._answered(tx, batch, {key: event for key, event in events.items() if key not in pending})
        self._learn(tx, media, events)
        self._await_further(tx, media, batch, pending)
        for standing in polled.account:
            self._standing.advance(tx, standing)
        for status in polled.unknown_statuses:
            self._shift.log.warning("unknown status", status=status)

    def _answered(
        self, tx: Transaction, batch: Sequence[Analysis], events: Mapping[int, AnalysisEvent]
    ) -> None:
        """Write what a GET brought of those that are no longer pending."""
        shift, step = self._shift, self._shift.step()
        found = work.advance_all(tx, events, step, shift.claimant)
        for row in batch:
            after = found.get(row.id)
            if after is not None and after.state is not row.state:
                shift.log.info("answered", identifier=row.identifier, state=after.state, reason=after.reason)
                if after.judged_at is not None and after.submitted_at is not None:
                    took = after.judged_at - after.submitted_at
                    shift.tally.took(Took.SUBMITTED_TO_JUDGED, after.media, took)
            if after is not None and after.state is AnalysisState.QUEUED:
                work.mind_presence(tx, row.id, step)

    def _learn(self, tx: Transaction, media: Media, events: Mapping[int, AnalysisEvent]) -> None:
        """Learn from a GET how long verdicts take, and how many the next one may bring."""
        judged = sum(isinstance(event, Judged) for event in events.values())
        self._asked[media] = replace(self._asked.get(media, NEVER), yielded=judged / len(events))
        if judged:
            self._shift.learn(tx, media)

    def _await_further(
        self,
        tx: Transaction,
        media: Media,
        batch: Sequence[Analysis],
        pending: Mapping[int, AnalysisEvent],
    ) -> None:
        """Ask later for what is pending, and for what found no place in a full GET that brought nothing of its like."""
        shift, now = self._shift, self._shift.clock()
        work.advance_all(tx, pending, shift.step(), shift.claimant)
        if pending and len(batch) == polling.AT_ONCE:
            others = claims.still_awaited(tx, now, media, ahead=polling.MOST, limit=REST)
            claims.put_off(tx, polling.presumed(batch, pending, others, now, shift.learnt))

    def _poll_failed(
        self, media: Media, batch: Sequence[Analysis], tx: Transaction, error: Exception
    ) -> None:
        self._asking.pop(media, None)
        shift = self._shift
        shift.bug(error)
        events = {row.id: Unanswered(f"a bug: {error!r}") for row in batch}
        work.advance_all(tx, events, shift.step(), shift.claimant)

    # Heatmaps.

    def _fetch_heatmap(self, tx: Transaction, now: datetime) -> None:
        shift = self._shift
        row = claims.claim_heatmap(tx, shift.claimant, now)
        if row is not None:
            ask = partial(duties.heatmap, self._api, row, now=shift.clock)
            came, failed = partial(self._heatmap_came, row), partial(self._heatmap_failed, row)
            self._plan(HEATMAP, ask, came, failed, about=[row])

    def _heatmap_came(self, row: Analysis, tx: Transaction, found: Heatmap) -> None:
        """Keep a heatmap, or ask again later; none is worth failing a file for (api-notes 30)."""
        self._asking.pop(HEATMAP, None)
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
        """Look at the balance when that may lift a pause, as it nears the floor, and to tell how fast it goes."""
        shift, now = self._shift, self._shift.clock()
        account, uploads = budget.account(tx), begun - self._begun_at_balance
        has_floor = shift.limits.credits_floor > 0
        # How fast they go is told by what was sent: while nothing is, nothing is asked either.
        is_reckoned = uploads > 0 or self._balance_at is None
        # Nor while identifAI holds us: the one request that finds out whether that is over is better an upload.
        is_free = account.state is AccountState.OK and account.holds == 0
        is_wanted = is_free and (
            ((has_floor or is_reckoned) and self._is_old(now))
            or (has_floor and self._is_spent(account, uploads))
        )
        if "balance" not in self._asking and (is_wanted or self._standing.wants_probe(tx, account)):
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
        self._asking.pop("balance", None)
        self._standing.end_probe(tx)
        if found.credits is not None:
            self._standing.advance(tx, Healthy())
            self._standing.advance(
                tx, Credited(found.credits, floor=self._shift.limits.credits_floor or None)
            )
            alarms.note_balance(tx, found.credits, self._shift.clock())
        elif found.account is None:
            self._still_barred(tx, found.why or "the balance cannot be read")
        else:
            self._standing.advance(tx, found.account)
            if not isinstance(
                found.account, Throttled | Unreachable
            ):  # these are no answer to what was asked
                self._still_barred(tx, found.why or "refused")

    def _still_barred(self, tx: Transaction, why: str) -> None:
        """Let a pause that the probe did not lift go on, probing ever slower."""
        account = budget.account(tx)
        if gate.wants_probe(account, self._shift.clock()):
            self._standing.advance(tx, Barred(account.reason or PauseReason.KEY, account.detail or why))

    def _balance_failed(self, tx: Transaction, error: Exception) -> None:
        self._asking.pop("balance", None)
        self._standing.end_probe(tx)
        self._shift.bug(error)
        self._still_barred(tx, repr(error))

    def _plan(
        self,
        what: str,
        ask: Callable[[], Result],
        then: Callable[[Transaction, Result], None],
        failed: Callable[[Transaction, Exception], None],
        about: Sequence[Analysis] = (),
    ) -> None:
        self._asking[what] = tuple(row.id for row in about)
        self._asked[what] = replace(self._asked.get(what, NEVER), at=self._shift.clock())
        job = Job(lane="network", label=f"ask {what}", work=ask, then=then, failed=failed, threads=THREADS)
        self._shift.workers.plan(job)
