"""A run over all there is, or over single files: when has it ended, and why?"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from identifai_watch.core.model import Account, AccountState, PauseReason
from identifai_watch.dispatch import Dispatch
from identifai_watch.intake import Intake
from identifai_watch.ledger import budget, runs, views
from identifai_watch.patrol import Health
from identifai_watch.shift import Shift

GROWING_PATIENCE = timedelta(seconds=60)
"""How long a file is watched that does not become whole when all else is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Why a run ended: all is done, or ``account`` or ``later`` say why it could not go on."""

    account: str | None = None
    later: str | None = None
    growing: tuple[tuple[str, bytes, str], ...] = ()


class Errand:
    """One run that ends: it never hangs on an account, an API, a purse, a folder or a file that grows.

    ``give_up`` is how long an API that does not answer is borne; ``targets`` are the single files that the run is
    over, by folder and path, None for all there is.
    """

    def __init__(
        self, shift: Shift, intakes: Mapping[int, Intake], dispatch: Dispatch, *, give_up: timedelta
    ) -> None:
        self.targets: list[tuple[int, bytes]] | None = None
        self._shift = shift
        self._intakes = intakes
        self._dispatch = dispatch
        self._give_up = give_up
        self._unreachable_since: datetime | None = None

    def ending(self) -> Ending | None:
        """Tell whether the run has ended, and why; None while there is something to wait for."""
        shift, now = self._shift, self._shift.clock()
        near = [key for key, one in self._intakes.items() if one.patrol.health is not Health.UNAVAILABLE]
        with shift.ledger.read() as tx:
            account = budget.account(tx)
            purse = budget.purse(tx, shift.limits, now)
            left = sum(views.unsettled(tx, *place) for place in self._places(near))
            unpayable = sum(runs.unpayable(tx, *place, purse) for place in self._places(near))
        if left and self._is_refused(account, now):
            why = f"{account.reason}: {account.detail}"
            return Ending(later=why) if account.reason is PauseReason.OPERATOR else Ending(account=why)
        if self._is_out_of_patience(account, now):
            return Ending(later=f"identifAI could not be reached for {self._give_up}")
        if not self._dispatch.is_idle() or self._is_busy(near, now):
            return None
        if left and left == unpayable:
            return Ending(later="the purse of posts_per_day is empty", growing=self._growing(now))
        if left:
            return None
        away = [one.folder.name for key, one in self._intakes.items() if key not in near]
        later = f"unavailable: {', '.join(away)}" if away else None
        return Ending(later=later, growing=self._growing(now))

    def _places(self, near: list[int]) -> list[tuple[list[int], bytes | None]]:
        """Return what the run is over, of the folders that can be reached: all of them, or single paths."""
        if self.targets is None:
            return [(near, None)]
        return [([key], path) for key, path in self.targets if key in near]

    def _is_refused(self, account: Account, now: datetime) -> bool:
        """Tell whether the account is paused, and was probed since this run began."""
        probed = account.next_probe_at is None or account.next_probe_at > now
        return account.state is AccountState.PAUSED and probed and not self._dispatch.uploads.in_flight

    def _is_out_of_patience(self, account: Account, now: datetime) -> bool:
        """Tell whether the API has not answered for too long."""
        self._unreachable_since = (self._unreachable_since or now) if account.holds else None
        return self._unreachable_since is not None and now - self._unreachable_since > self._give_up

    def _is_busy(self, near: list[int], now: datetime) -> bool:
        """Tell whether a folder has something on its way in, other than files that do not stop growing."""
        busy = [self._intakes[key] for key in near if not self._intakes[key].is_idle()]
        return not all(one.is_only_growing(now - GROWING_PATIENCE) for one in busy)

    def _growing(self, now: datetime) -> tuple[tuple[str, bytes, str], ...]:
        return tuple(
            (one.folder.name, path, why) for one in self._intakes.values() for path, why in one.growing(now)
        )
