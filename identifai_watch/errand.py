"""A run over all there is, or over single files: when has it ended, and why?"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from identifai_watch.core.health import Health
from identifai_watch.core.model import Account, AccountState, PauseReason
from identifai_watch.dispatch import Dispatch
from identifai_watch.intake import Intake
from identifai_watch.ledger import budget, runs
from identifai_watch.shares import Shares
from identifai_watch.shift import Shift

GROWING_PATIENCE = timedelta(seconds=60)
"""How long a file is watched that does not become whole when all else is done."""


POLLED_PAUSES = frozenset({PauseReason.CREDITS, PauseReason.FLOOR, PauseReason.OPERATOR})
"""The pauses in which verdicts still come in: a run waits for those that are paid for."""

COUNT_EVERY = timedelta(seconds=1)
"""How often what is left is counted: that reads every row that waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """How many files wait, how many of them for a purse that is empty, and which are not admitted yet.

    ``awaited`` are those whose verdict is paid for.
    """

    waiting: int
    awaited: int
    unpayable: int
    unadmitted: frozenset[tuple[int, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Why a run ended: all is done, or ``account`` or ``later`` say why it could not go on."""

    account: str | None = None
    later: str | None = None
    growing: tuple[tuple[str, bytes, str], ...] = ()


class Errand:
    """One run that ends: it never hangs on an account, an API, a purse, a folder or a file that grows.

    ``give_up`` is how long an API that does not answer is borne, and verdicts are awaited while the account is paused;
    ``targets`` are the single files that the run is
    over, by folder and path, None for all there is.
    """

    def __init__(
        self,
        shift: Shift,
        intakes: Mapping[int, Intake],
        shares: Shares,
        dispatch: Dispatch,
        *,
        give_up: timedelta,
    ) -> None:
        self.targets: list[tuple[int, bytes]] | None = None
        self._shift = shift
        self._intakes = intakes
        self._shares = shares
        self._dispatch = dispatch
        self._give_up = give_up
        self._unreachable_since: datetime | None = None
        self._paused_since: datetime | None = None
        self._count_at = shift.clock()
        self._stalled: tuple[frozenset[tuple[int, bytes]], datetime] | None = None

    def ending(self) -> Ending | None:
        """Tell whether the run has ended, and why; None while there is something to wait for."""
        now = self._shift.clock()
        near = [key for key, one in self._intakes.items() if one.patrol.health is not Health.UNAVAILABLE]
        with self._shift.ledger.read() as tx:
            account = budget.account(tx)
        if self._is_out_of_patience(account, now):
            return Ending(later=f"identifAI could not be reached for {self._give_up}")
        is_refused = self._is_refused(account, now)
        is_paused = account.state is AccountState.PAUSED
        self._paused_since = (self._paused_since or now) if is_paused else None
        is_quiet = self._dispatch.is_idle() and not self._is_busy(near, now) and not self._shares.is_undecided
        if now < self._count_at or not (is_refused or is_quiet) or self._is_telling():
            return None
        self._count_at = now + COUNT_EVERY
        left = self._left(near, now)
        if left.waiting and is_refused:
            if left.awaited and self._can_await(account, now):
                return None
            why = f"{account.reason}: {account.detail}"
            return Ending(later=why) if account.reason is PauseReason.OPERATOR else Ending(account=why)
        return self._ended(near, left, now) if is_quiet and not self._is_settling(near, left, now) else None

    def _ended(self, near: list[int], left: Left, now: datetime) -> Ending | None:
        """Tell how a run ends whose folders and requests are quiet, with ``left`` to do; None if that can be done."""
        growing = self._growing(left, now)
        unadmitted = len(left.unadmitted)
        if left.waiting > unadmitted + left.unpayable or (unadmitted and not self._is_stalled(now)):
            return None
        if left.unpayable:
            return Ending(later="the purse of posts_per_day is empty", growing=growing)
        away = [one.folder.name for key, one in self._intakes.items() if key not in near]
        away += [one.folder.name for one in self._shares.waiting]
        return Ending(later=f"unavailable: {', '.join(away)}" if away else None, growing=growing)

    def _left(self, near: list[int], now: datetime) -> Left:
        """Count what is left to do, and note since when it is the same files that are not even admitted."""
        places = self._places(near)
        with self._shift.ledger.read() as tx:
            purse = budget.purse(tx, self._shift.limits, now)
            left = Left(
                waiting=sum(runs.unsettled(tx, *place) for place in places),
                awaited=sum(runs.awaited(tx, *place) for place in places),
                unpayable=sum(runs.unpayable(tx, *place, purse) for place in places),
                unadmitted=frozenset[tuple[int, bytes]]().union(
                    *(runs.unadmitted(tx, *place) for place in places)
                ),
            )
        if self._stalled is None or left.unadmitted != self._stalled[0]:
            self._stalled = (left.unadmitted, now)
        return left

    def _is_stalled(self, now: datetime) -> bool:
        """Tell whether the files that are not admitted have been the same for too long."""
        return self._stalled is not None and now - self._stalled[1] > GROWING_PATIENCE

    def _places(self, near: list[int]) -> list[tuple[list[int], bytes | None]]:
        """Return what the run is over, of the folders that can be reached: all of them, or single paths."""
        if self.targets is None:
            return [(near, None)]
        return [([key], path) for key, path in self.targets if key in near]

    def _is_refused(self, account: Account, now: datetime) -> bool:
        """Tell whether the account is paused, and was probed since this run began; a probe without an answer is none."""
        probed = (account.next_probe_at is None or account.next_probe_at > now) and not account.holds
        is_asking = self._dispatch.standing.is_probing or self._dispatch.uploads.in_flight
        return account.state is AccountState.PAUSED and probed and not is_asking

    def _can_await(self, account: Account, now: datetime) -> bool:
        """Tell whether verdicts come in while the account is paused, and that has not lasted for too long."""
        since = self._paused_since or now
        return account.reason in POLLED_PAUSES and now - since <= self._give_up

    def _is_out_of_patience(self, account: Account, now: datetime) -> bool:
        """Tell whether the API has not answered for too long."""
        self._unreachable_since = (self._unreachable_since or now) if account.holds else None
        return self._unreachable_since is not None and now - self._unreachable_since > self._give_up

    def _is_busy(self, near: list[int], now: datetime) -> bool:
        """Tell whether a folder scans, or reads whole files."""
        return not all(self._intakes[key].is_only_growing(now) for key in near)

    def _is_telling(self) -> bool:
        """Tell whether somebody is being told of what was judged, or was not tried to be yet."""
        with self._shift.ledger.read() as tx:
            return self._dispatch.notices.is_telling(tx)

    def _is_settling(self, near: list[int], left: Left, now: datetime) -> bool:
        """Tell whether a folder has a file on its way in, other than those that do not stop growing.

        Files that were released and cannot be admitted, since they grow, cannot be read or are ignored, come as
        candidates again and again: once that has lasted they are no more waited for than one that grows.
        """
        hopeless = left.unadmitted if self._is_stalled(now) else frozenset()
        since = now - GROWING_PATIENCE
        for key in near:
            one = self._intakes[key]
            old = {path for path, _ in one.growing(since)}
            if any(path not in old and (key, path) not in hopeless for path, _ in one.growing(now)):
                return True
        return False

    def _growing(self, left: Left, now: datetime) -> tuple[tuple[str, bytes, str], ...]:
        """Return the files that did not become whole, with the reason; those that were never admitted too."""
        found = {(key, path): why for key, one in self._intakes.items() for path, why in one.growing(now)}
        found |= {place: "it cannot be admitted" for place in left.unadmitted if place not in found}
        return tuple((self._intakes[key].folder.name, path, why) for (key, path), why in found.items())
