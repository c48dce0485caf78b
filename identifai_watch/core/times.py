"""A file's own times, as far as they can be kept: file systems know years that neither a ledger nor a calendar has."""

EARLIEST = -(2**63)
LATEST = 2**63 - 1
"""Nanoseconds since 1970 that 64 bits hold: the years 1677 to 2262. A ledger's integers are no larger."""


def kept(nanoseconds: int) -> int:
    """Return a time as it is kept: one that is beyond all bounds counts as the nearest that is not."""
    return min(max(nanoseconds, EARLIEST), LATEST)


def is_known(nanoseconds: int) -> bool:
    """Tell whether a kept time is the file's own, and not the bound that stands for all beyond it."""
    return EARLIEST < nanoseconds < LATEST
