"""How the account stands: paused, held back or all right, and what the answers and the operator make of that."""

from dataclasses import replace
from datetime import datetime

from identifai_watch.core import gate, retry
from identifai_watch.core.events import (
    AccountEvent,
    Barred,
    Cleared,
    Credited,
    Healthy,
    Resumed,
    Throttled,
    Unreachable,
)
from identifai_watch.core.model import Account, AccountState, PauseReason


def after(account: Account, event: AccountEvent, now: datetime, chance: float = 0.5) -> Account:
    """Return the account after ``event``; ``chance`` in [0, 1) spreads the waits."""
    match event:
        case Healthy():
            return replace(account, hold_until=None, holds=0, succeeded_at=now)
        case Throttled() | Unreachable():
            holds = account.holds + 1
            wait = retry.backoff(holds, chance, event.retry_after)
            until = max(account.hold_until or now, now + wait)
            return replace(account, holds=holds, hold_until=until)
        case Barred():
            return _barred(account, event, now)
        case Resumed():
            if account.reason is PauseReason.OPERATOR:
                return _cleared(account)
            paused = account.state is AccountState.PAUSED
            return replace(account, hold_until=None, next_probe_at=now if paused else None)
        case Cleared():
            return account if account.reason is PauseReason.OPERATOR else _cleared(account)
        case Credited():
            return _credited(account, event, now)


def _barred(account: Account, event: Barred, now: datetime) -> Account:
    """Return the account paused; only an operator replaces an operator's pause, and one that goes on probes ever slower."""
    if account.reason is PauseReason.OPERATOR and event.why is not PauseReason.OPERATOR:
        return account
    is_operators = event.why is PauseReason.OPERATOR
    again = account.state is AccountState.PAUSED and account.reason is event.why and not is_operators
    if again and account.next_probe_at is not None and not gate.is_due(account.next_probe_at, now):
        return account  # no probe: it was under way when the pause began
    probes = account.probes + 1 if again else 1
    probe_at = event.until if is_operators else now + retry.probe_wait(probes)
    return replace(
        account,
        state=AccountState.PAUSED,
        reason=event.why,
        detail=event.detail,
        probes=probes,
        next_probe_at=probe_at,
        hold_until=None,
        holds=0,
    )


def _credited(account: Account, event: Credited, now: datetime) -> Account:
    """Return the account with its balance: paused at the floor or at nothing, freed above both."""
    account = replace(account, credits=event.credits, credits_at=now)
    if event.floor is None and account.state is AccountState.OK:
        return account
    if event.credits <= 0:
        return _barred(account, Barred(PauseReason.CREDITS, "no credits are left"), now)
    if event.floor is not None and event.credits < event.floor:
        detail = f"{event.credits:g} credits are left, below credits_floor = {event.floor:g}"
        return _barred(account, Barred(PauseReason.FLOOR, detail), now)
    return _cleared(account) if account.reason in gate.LIFTED_BY_CREDITS else account


def _cleared(account: Account) -> Account:
    return replace(account, state=AccountState.OK, reason=None, detail=None, next_probe_at=None, probes=0)
