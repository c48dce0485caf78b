"""What is wrong for too long is told, once, and once when it is over; and an address is called while nothing is."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from identifai_watch import notify
from identifai_watch.core import alarms
from identifai_watch.core.alarms import STUCK_AFTER, WEEK, Alarm, Stuck, Watch
from identifai_watch.core.model import Account, AccountState
from identifai_watch.core.sidecar import shown
from identifai_watch.dispatch import Notices
from identifai_watch.ledger import Transaction, budget
from identifai_watch.ledger import alarms as ledger
from identifai_watch.notify import Answer
from identifai_watch.places import AD_HOC
from identifai_watch.shares import Shares
from identifai_watch.shift import Shift
from identifai_watch.workers import Job

LOOK_EVERY = timedelta(seconds=10)
BEAT_EVERY = timedelta(seconds=60)
NAMED = 5
"""So many files that are stuck are named."""


class Lookout:
    """What one shift looks out for. What was told stands in the ledger, so that no restart tells it again."""

    def __init__(self, shift: Shift, shares: Shares, notices: Notices) -> None:
        self._shift = shift
        self._shares = shares
        self._notices = notices
        self._looked_at: datetime | None = None
        self._beat_at: datetime | None = None
        self._is_beating = False

    @property
    def is_due(self) -> bool:
        """Whether it is time to look, or to call."""
        now = self._shift.clock()
        return _is_due(self._looked_at, LOOK_EVERY, now) or _is_due(self._beat_at, BEAT_EVERY, now)

    def tick(self, tx: Transaction, *, is_well: bool) -> None:
        """Look at all that may be wrong, and call who waits for it; ``is_well`` is whether systemd is told that we live."""
        now = self._shift.clock()
        if _is_due(self._beat_at, BEAT_EVERY, now):
            self._beat_at = now
            self._beat(tx, is_well=is_well)
        if _is_due(self._looked_at, LOOK_EVERY, now):
            self._looked_at = now
            self._look(tx, now)

    def _look(self, tx: Transaction, now: datetime) -> None:
        if not self._shift.config.notify.has_channels:
            return
        node = self._shift.ledger.member
        known = ledger.known(tx, node)
        changes = alarms.after(known, self._watches(tx, known, now), now)
        ledger.drop(tx, node, changes.over)
        ledger.keep(tx, node, changes.kept)
        for notice in changes.notices:
            self._shift.log.info("alarm", kind=notice.kind, title=notice.title)
            self._notices.tell(tx, notice)

    def _watches(self, tx: Transaction, known: Mapping[str, Alarm], now: datetime) -> Iterator[Watch]:
        account = budget.account(tx)
        yield from alarms.of_account(account)
        yield self._of_stuck(tx, now)
        credits_watch = self._of_credits(tx, known, now)
        if credits_watch is not None:
            yield credits_watch
        for one in self._shares.folders:
            if one.folder.name != AD_HOC:
                yield one.patrol.watch()

    def _of_stuck(self, tx: Transaction, now: datetime) -> Watch:
        found = ledger.stuck(tx, now)
        long_ago = {key: one for key, one in found.items() if now - one[0] >= STUCK_AFTER}
        if not long_ago:
            return alarms.of_stuck(None, is_any=bool(found))
        latest_first = sorted(long_ago, key=lambda key: long_ago[key][0], reverse=True)
        lines = []
        for file in ledger.named(tx, latest_first[:NAMED]):
            folder = self._shift.config.folder_of(file.node, file.folder)
            path = file.path if file.lies_at is None else file.lies_at
            where = f"{file.folder}: {shown(path)}" if folder is None else folder.shown_at(path)
            why = long_ago[file.id][1]
            lines.append(where if why is None else f"{where} ({shown(why)})")
        instants = [at for at, _ in long_ago.values()]
        stuck = Stuck(number=len(long_ago), named=tuple(lines), oldest=min(instants), latest=max(instants))
        return alarms.of_stuck(stuck, is_any=True)

    def _of_credits(self, tx: Transaction, known: Mapping[str, Alarm], now: datetime) -> Watch | None:
        config = self._shift.config
        alarm = known.get(alarms.CREDITS)
        return alarms.of_credits(
            ledger.balances_since(tx, now - WEEK),
            now,
            floor=config.api.credits_floor,
            warn=config.notify.credits_warn,
            is_raised=alarm is not None and alarm.told_at is not None,
        )

    # The heartbeat.

    def _beat(self, tx: Transaction, *, is_well: bool) -> None:
        """Call ``heartbeat_url`` if all is well: whoever waits for it there hears of nothing else from us."""
        address = self._shift.config.notify.heartbeat_url
        if not address or self._is_beating or not is_well or not _is_usable(budget.account(tx)):
            return
        self._is_beating = True
        job = Job(
            lane="notify heartbeat",
            label="notify heartbeat",
            work=lambda: notify.beat(address),
            then=self._beaten,
            failed=self._unbeaten,
            stirs=False,
        )
        self._shift.workers.plan(job)

    def _beaten(self, _tx: Transaction, answer: Answer) -> None:
        self._is_beating = False
        if answer.trouble is not None:
            self._shift.log.warning("no heartbeat", reason=answer.trouble)

    def _unbeaten(self, _tx: Transaction, error: Exception) -> None:
        self._is_beating = False
        self._shift.bug(error)


def _is_usable(account: Account) -> bool:
    return account.state is AccountState.OK


def _is_due(last: datetime | None, every: timedelta, now: datetime) -> bool:
    """Tell whether something is due; also when the clock was set back."""
    return last is None or not last <= now < last + every
