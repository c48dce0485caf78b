"""How long to wait before the next attempt, and when to stop."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core import retry

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CHANCE = st.floats(min_value=0, max_value=1, exclude_max=True)


@pytest.mark.parametrize(
    ("times", "seconds"), [(0, 1), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (10**6, 60)]
)
def test_the_wait_doubles_from_one_second_to_sixty(times: int, seconds: int) -> None:
    """1 s doubling to 60 s, for however many failures."""
    assert seconds * SECOND == retry.doubling(times, retry.FIRST, retry.CAP)


@pytest.mark.parametrize(("probes", "seconds"), [(1, 30), (2, 60), (3, 120), (5, 480), (6, 600), (99, 600)])
def test_probes_double_from_half_a_minute_to_ten(probes: int, seconds: int) -> None:
    """A paused account is looked at ever more rarely, but at least every ten minutes."""
    assert seconds * SECOND == retry.probe_wait(probes)


@given(times=st.integers(min_value=1, max_value=1000), chance=CHANCE)
def test_the_jitter_is_full(times: int, chance: float) -> None:
    """The wait is anywhere between nothing and the cap of that attempt."""
    wait = retry.backoff(times, chance)
    assert timedelta(0) <= wait <= retry.doubling(times, retry.FIRST, retry.CAP)


@given(
    times=st.integers(min_value=1, max_value=1000), chance=CHANCE, asked=st.timedeltas(min_value=timedelta(0))
)
def test_retry_after_is_the_least(times: int, chance: float, asked: timedelta) -> None:
    """What the API asks for is always waited, however long it is."""
    assert max(asked, retry.backoff(times, chance)) == retry.backoff(times, chance, asked)


@pytest.mark.parametrize(
    ("failures", "since", "others_at", "expected"),
    [
        (4, NOW, NOW + SECOND, False),
        (5, NOW, NOW + SECOND, True),
        (5, NOW, NOW, False),
        (5, NOW, NOW - SECOND, False),
        (50, NOW, None, False),
        (50, None, NOW, False),
    ],
)
def test_hopeless_is_what_fails_five_times_while_others_get_through(
    failures: int, since: datetime | None, others_at: datetime | None, *, expected: bool
) -> None:
    """Failures alone are no reason to give up."""
    assert expected is retry.is_hopeless(failures, since, others_at)
