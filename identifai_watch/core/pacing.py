"""How fast may bytes go? Whoever wants to read or send some is told how long to wait first; the time is an argument.

A piece is what goes in a tenth of a second, so that none that shares the rate is held up for longer by another.
"""

from dataclasses import dataclass, replace

PIECE_SECONDS = 0.1

CATCH_UP = 0.1
"""Seconds whose bytes may go at once: what a wait lasts too long, and what the disk takes, is not lost to the rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """A rate in bytes a second, 0 for none, and the instant in seconds from which on the next bytes may go."""

    rate: float
    free_at: float = float("-inf")

    def piece(self, most: int) -> int:
        """Return how many bytes, ``most`` at most, go at once."""
        return most if self.rate <= 0 else max(1, min(most, int(self.rate * PIECE_SECONDS)))

    def wait(self, now: float) -> float:
        """Return how many seconds the next bytes wait."""
        return max(0.0, self.free_at - now)

    def taken(self, amount: int, now: float) -> "Pace":
        """Return the pace once ``amount`` bytes have their place in line."""
        if self.rate <= 0:
            return self
        return replace(self, free_at=max(self.free_at, now - CATCH_UP) + amount / self.rate)
