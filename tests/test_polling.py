"""Which identifiers are asked for, and when."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core import polling
from identifai_watch.core.model import Analysis, AnalysisState, Media

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
WAITS = st.timedeltas(min_value=timedelta(0), max_value=timedelta(minutes=10))


def awaiting(submitted_at: datetime | None = NOW) -> Analysis:
    """Build an analysis that is awaited."""
    return Analysis(
        id=1,
        sha256=b"\x01" * 32,
        media=Media.IMAGE,
        mime="image/jpeg",
        options="{}",
        size=10,
        noticed_at=NOW,
        state=AnalysisState.AWAITING,
        identifier="id-1",
        submitted_at=submitted_at,
    )


@pytest.mark.parametrize("media", Media)
def test_every_kind_has_a_first_guess(media: Media) -> None:
    """Before its first verdict a kind is expected to take what is guessed of it."""
    assert polling.GUESS[media] == polling.expected([], media)


def test_what_is_expected_is_a_little_less_than_the_median_of_what_was_seen() -> None:
    """One slow verdict does not slow the others down."""
    assert 3 * SECOND * polling.EAGERNESS == polling.expected([SECOND, 500 * SECOND, 3 * SECOND], Media.IMAGE)


def test_no_more_than_ten_minutes_are_expected() -> None:
    """However slow the API was, it is asked now and then."""
    assert timedelta(minutes=10) == polling.expected([timedelta(hours=5)], Media.VIDEO)


@pytest.mark.parametrize(("wait", "first"), [(2, 2), (5, 5), (300, 5)])
def test_the_first_question_comes_when_a_verdict_is_expected_or_after_five_seconds(
    wait: int, first: int
) -> None:
    """What the API has in its cache is done at once, however long its kind takes otherwise."""
    assert NOW + first * SECOND == polling.first_ask(NOW, wait * SECOND)


@pytest.mark.parametrize(
    ("asked_at", "expected"),
    [
        (5, 10),  # before it is expected: then
        (9.9, 10.15),  # just before it is expected: a quarter of a second later at least
        (10, 11),
        (12, 13),  # a quarter of 2 s overdue is less than the least wait
        (30, 35),  # a quarter of 20 s overdue
        (250, 310),  # a quarter of 240 s overdue is the most
        (7200, 7260),
    ],
)
def test_patience_grows_with_what_is_overdue(asked_at: float, expected: float) -> None:
    """Each further question waits a quarter of how long the verdict is overdue, from 1 to 60 s."""
    found = polling.next_ask(awaiting(), NOW + asked_at * SECOND, 10 * SECOND)
    assert NOW + expected * SECOND == found


@given(age=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=2)), wait=WAITS)
def test_the_next_question_is_never_now_and_never_far(age: timedelta, wait: timedelta) -> None:
    """No row is asked for in a tight loop, and none later than a minute beyond what is expected of it."""
    now = NOW + age
    found = polling.next_ask(awaiting(), now, wait)
    assert now + polling.LEAST / 4 <= found <= max(NOW + wait, now) + polling.MOST


@given(wait=WAITS)
def test_an_hour_of_waiting_takes_few_questions(wait: timedelta) -> None:
    """What is done after an hour was asked for at most ninety times, most of them a minute apart."""
    asked, now = 1, polling.first_ask(NOW, wait)
    while now < NOW + timedelta(hours=1):
        now = polling.next_ask(awaiting(), now, wait)
        asked += 1
    assert asked <= 90


def test_a_row_without_an_instant_of_submission_is_asked_for_from_now_on() -> None:
    """A row that does not say when it was sent is taken as sent now."""
    assert NOW + 10 * SECOND == polling.next_ask(awaiting(None), NOW, 10 * SECOND)
