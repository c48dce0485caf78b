"""When may we talk to identifAI? Two windows for POST, two for GET, the purse, and the account's state.

What becomes of that state is left to ``standing``.

The log of requests made lives in the ledger; here it is a sequence of instants. A sliding log admits exactly
the account's rate: a one-row token bucket was measured to admit twice as much in a window.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from identifai_watch.core.model import Account, AccountState, PauseReason

# Our windows are wider than the account's: requests take unequally long to arrive, so that exact spacing earned 429s. This
# uses over 97 % of either window.
SECOND = timedelta(seconds=1, milliseconds=20)
MINUTE = timedelta(seconds=60, milliseconds=500)
DAY = timedelta(days=1)

SPREAD = timedelta(milliseconds=80)
"""By how much both are wider again where several hosts use the account: from one city a request is longer under way than
from another. Under 30 posts a minute, which is what limits, that costs a seven-hundredth."""

LIFTED_BY_CREDITS = frozenset({PauseReason.KEY, PauseReason.CREDITS, PauseReason.FLOOR})
"""The pauses that one look at the balance can lift; terms that were not accepted show only in a POST."""

POLLS_GO_ON = frozenset({PauseReason.CREDITS, PauseReason.FLOOR, PauseReason.OPERATOR})
"""The pauses that do not keep us from reading what is paid for already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """At most ``count`` requests in any ``span``."""

    count: int
    span: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The account's limits and the operator's purse, as the configuration has them; 0 means none.

    ``spread`` is by how much longer the requests of one host may be under way than those of another.
    """

    posts_per_second: int = 1
    posts_per_minute: int = 30
    gets_per_second: int = 2
    gets_per_minute: int = 60
    posts_per_day: int = 0
    backlog_share: float = 0.8
    credits_floor: float = 0
    spread: timedelta = timedelta(0)

    def windows(self, method: str) -> tuple[Window, ...]:
        """Return the windows that the requests of ``method`` (GET or POST) have to fit into."""
        per_second, per_minute = (
            (self.posts_per_second, self.posts_per_minute)
            if method == "POST"
            else (self.gets_per_second, self.gets_per_minute)
        )
        both = (
            Window(count=per_second, span=SECOND + self.spread),
            Window(count=per_minute, span=MINUTE + self.spread),
        )
        return tuple(window for window in both if window.count > 0)

    def purse(self, *, backlog: bool) -> Window | None:
        """Return the sliding day's window: all of the purse, or the share that the backlog may use.

        A share is never rounded to nothing: then nothing of the backlog would ever be sent, without a word.
        """
        if self.posts_per_day <= 0:
            return None
        if not backlog:
            return Window(count=self.posts_per_day, span=DAY)
        least = 1 if self.backlog_share > 0 else 0
        return Window(count=max(least, int(self.posts_per_day * self.backlog_share)), span=DAY)


def next_instant(sent: Sequence[datetime], windows: Sequence[Window], now: datetime) -> datetime:
    """Return the earliest instant from ``now`` on at which one more request fits into every window.

    ``sent`` are the instants of the requests made, ascending; some may lie ahead, since a request takes its
    instant before it leaves.
    """
    instant = now if not sent or not windows else max(now, sent[-1])
    for window in windows:
        if len(sent) >= window.count:
            instant = max(instant, sent[-window.count] + window.span)
    return instant


def instants(
    sent: Sequence[datetime], windows: Sequence[Window], now: datetime, count: int
) -> list[datetime]:
    """Return the instants of the next ``count`` requests, as next_instant would give them one after another."""
    made = list(sent)
    for _ in range(count):
        made.append(next_instant(made, windows, now))
    return made[len(sent) :]


def left(sent: Sequence[datetime], window: Window, now: datetime) -> int:
    """Return how many requests a window still has room for; what took an instant ahead is in it already."""
    return max(0, window.count - sum(at > now - window.span for at in sent))


def may_submit(account: Account, now: datetime, in_flight: int) -> bool:
    """Tell whether an upload may go now, with ``in_flight`` requests under way.

    While the network or the API holds, one request at a time probes; while the terms are not accepted, the
    upload itself is the probe.
    """
    if account.state is AccountState.PAUSED:
        probes = account.reason is PauseReason.TERMS and is_due(account.next_probe_at, now)
        return probes and in_flight == 0
    return _is_open(account, now, in_flight)


def is_barred(account: Account) -> bool:
    """Tell whether the account is paused, and no upload is to find out whether it still is."""
    return account.state is AccountState.PAUSED and account.reason is not PauseReason.TERMS


def may_poll(account: Account, now: datetime, in_flight: int) -> bool:
    """Tell whether a verdict may be asked for now: reading goes on while only the credits are gone."""
    if account.state is AccountState.PAUSED and account.reason not in POLLS_GO_ON:
        return False
    return _is_open(account, now, in_flight)


def wants_probe(account: Account, now: datetime) -> bool:
    """Tell whether it is time to look at the balance, which shows whether the pause can be lifted."""
    return (
        account.state is AccountState.PAUSED
        and account.reason in LIFTED_BY_CREDITS
        and is_due(account.next_probe_at, now)
        and (account.hold_until is None or account.hold_until <= now)
    )


def is_over(account: Account, now: datetime) -> bool:
    """Tell whether an operator's pause was for a time, and that has passed."""
    return account.reason is PauseReason.OPERATOR and is_due(account.next_probe_at, now)


def is_due(instant: datetime | None, now: datetime) -> bool:
    """Tell whether there is an instant, and it has come."""
    return instant is not None and instant <= now


def _is_open(account: Account, now: datetime, in_flight: int) -> bool:
    """Tell whether nothing holds: after a failure of the network one request at a time finds out."""
    if account.hold_until is not None and account.hold_until > now:
        return False
    return account.holds == 0 or in_flight == 0
