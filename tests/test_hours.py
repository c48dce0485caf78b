"""The backlog's hours go by the clock on the wall, also on the days when that is set."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core.hours import Hours, parsed

ROME = ZoneInfo("Europe/Rome")
MINUTES = st.integers(0, 24 * 60 - 1)


def rome(instant: datetime) -> datetime:
    """The clock on a wall in Rome."""
    return instant.astimezone(ROME)


def opens(text: str, year: int, month: int, day: int, hour: int, minute: int = 0) -> str | None:
    """When the hours begin next, by the clock in Rome, from an instant in UTC on."""
    found = parsed(text).opens_at(datetime(year, month, day, hour, minute, tzinfo=UTC), rome)
    return None if found is None else f"{rome(found):%d %H:%M %Z}"


@pytest.mark.parametrize("text", ["01:00-06:00", "22:30-05:15", "18:00-24:00", "23:00-00:30"])
def test_they_are_written_as_they_are_read(text: str) -> None:
    """As the operator has them, for status and explain."""
    assert text == str(parsed(text))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1-6", "write it like"),
        ("01:00", "write it like"),
        ("01:60-06:00", "write it like"),
        ("25:00-06:00", "no day has"),
        ("24:00-06:00", "no day has"),
        ("01:00-24:01", "no day has"),
        ("06:00-06:00", "whole day"),
        ("00:00-24:00", "whole day"),
    ],
)
def test_what_is_no_part_of_a_day_is_refused(text: str, why: str) -> None:
    """With a word on what to write."""
    with pytest.raises(ValueError, match=why):
        parsed(text)


@given(begin=MINUTES, end=MINUTES, minute=MINUTES)
def test_the_begin_is_in_and_the_end_is_out(begin: int, end: int, minute: int) -> None:
    """Also past midnight; what is in one part of the day is out of the rest of it."""
    if begin == end:
        return
    at = datetime(2026, 1, 1) + timedelta(minutes=minute)  # noqa: DTZ001 - a wall has no zone
    hours, rest = Hours(begin=begin, end=end), Hours(begin=end, end=begin)
    assert hours.has(at) != rest.has(at)
    assert hours.has(at - timedelta(minutes=minute - begin))
    assert not hours.has(at - timedelta(minutes=minute - end))


def test_they_open_at_their_begin() -> None:
    """Tonight if that is still to come, else tomorrow; while they last they open at no time."""
    assert "02 01:00 CET" == opens("01:00-06:00", 2026, 2, 1, 12)
    assert "01 01:00 CET" == opens("01:00-06:00", 2026, 1, 31, 23)
    assert opens("01:00-06:00", 2026, 2, 1, 0) is None
    assert "01 22:00 CET" == opens("22:00-02:00", 2026, 2, 1, 12)
    assert opens("22:00-02:00", 2026, 2, 2, 0, 59) is None
    assert "02 22:00 CET" == opens("22:00-02:00", 2026, 2, 2, 1)


def test_in_spring_they_open_as_soon_as_the_clock_has_leapt_past_their_begin() -> None:
    """From 2:00 to 3:00 there is no time; what lies in there altogether comes on the next day."""
    assert "29 03:00 CEST" == opens("02:30-05:00", 2026, 3, 28, 23)
    assert "30 02:15 CEST" == opens("02:15-02:45", 2026, 3, 28, 23)
    assert "29 01:00 CET" == opens("01:00-06:00", 2026, 3, 28, 23)


def test_in_autumn_the_hour_that_comes_twice_counts_twice() -> None:
    """Between 2:00 and 3:00 they are open again when the clock was set back."""
    hours = parsed("02:00-02:30")
    begin = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
    is_open = [hours.has(rome(begin + timedelta(minutes=minutes))) for minutes in (0, 29, 30, 59, 60, 89, 90)]
    assert [True, True, False, False, True, True, False] == is_open
    assert "25 02:00 CET" == opens("02:00-02:30", 2026, 10, 25, 0, 30)


@given(
    begin=MINUTES,
    length=st.integers(61, 24 * 60 - 1),
    at=st.datetimes(
        min_value=datetime(2026, 3, 27),  # noqa: DTZ001 - made UTC below
        max_value=datetime(2026, 10, 27),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
)
def test_they_open_within_a_day_and_an_hour(begin: int, length: int, at: datetime) -> None:
    """What is longer than what summer time leaps over is never missed; right before it they are closed."""
    hours = Hours(begin=begin, end=(begin + length) % (24 * 60))
    found = hours.opens_at(at, rome)
    if found is None:
        assert hours.has(rome(at))
        return
    assert at < found <= at + timedelta(hours=25)
    assert hours.has(rome(found))
    assert not hours.has(rome(max(at, found - timedelta(minutes=1))))
