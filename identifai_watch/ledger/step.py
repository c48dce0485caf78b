"""How rows are advanced: when, by which policy and by whom, and under whose claim."""

from dataclasses import dataclass
from datetime import datetime

from identifai_watch.core.lifecycle import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """A daemon's run: the node it runs on, and the token that fences what it does."""

    node: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How to advance: the instant, the policy, a chance in [0, 1) that spreads waits, and who does it."""

    now: datetime
    policy: Policy
    chance: float = 0.5
    who: str = "daemon"
