"""In which hours of the day may the backlog be hashed and sent? By the host's clock, whatever it makes of summer time.

The clock on the wall decides at each instant: an hour that it passes twice counts twice, one that it leaps over not at
all. What an instant is on that clock is asked of whoever calls.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

Local = Callable[[datetime], datetime]
"""Gives an instant as the host's clock shows it."""

_HOURS = re.compile(r"([0-9]{2}):([0-5][0-9])-([0-9]{2}):([0-5][0-9])")
_DAY = 24 * 60
_MINUTE = timedelta(minutes=1)
_FURTHEST = 3 * _DAY
"""Minutes: hours that summer time leaps over come on the next day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """From ``begin`` up to ``end``, both in minutes of the day; past midnight if ``end`` is the smaller one."""

    begin: int
    end: int

    def __str__(self) -> str:
        return "-".join(f"{minutes // 60:02}:{minutes % 60:02}" for minutes in (self.begin, self.end))

    def has(self, at: datetime) -> bool:
        """Tell whether the clock that shows ``at`` is within them."""
        minute = at.hour * 60 + at.minute
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end

    def opens_at(self, now: datetime, local: Local) -> datetime | None:
        """Return when they next begin; None while they last."""
        if self.has(local(now)):
            return None
        # Minute by minute: no other way knows what the clock does on the days when it is set.
        whole = now.replace(second=0, microsecond=0)
        minutes = (whole + count * _MINUTE for count in range(1, _FURTHEST))
        return next((instant for instant in minutes if self.has(local(instant))), None)


def parsed(text: str) -> Hours:
    """Return the hours that ``text`` says, as in ``01:00-06:00``; raise ValueError if it says none."""
    found = _HOURS.fullmatch(text)
    if found is None:
        raise ValueError("is no part of a day; write it like 01:00-06:00")
    begin, end = (int(found[hour]) * 60 + int(found[hour + 1]) for hour in (1, 3))
    if begin >= _DAY or end > _DAY:
        raise ValueError("names an hour that no day has")
    if begin == end % _DAY:
        raise ValueError('ends where it begins; "" is the whole day')
    return Hours(begin=begin, end=end)
