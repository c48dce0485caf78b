"""What came of telling somebody something."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``trouble`` is what went wrong in words, None if they were told.

    ``again`` is whether it is worth telling them once more, ``at_least`` how long they ask us to wait until then.
    """

    trouble: str | None = None
    again: bool = False
    at_least: timedelta | None = None


TOLD = Answer()
