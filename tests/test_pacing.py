"""A pace is kept exactly: no more than the rate over any time, and no less if there is always somebody who wants to go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core.pacing import CATCH_UP, PIECE_SECONDS, Pace

RATES = st.floats(min_value=1, max_value=1e9)
DELAYS = st.floats(min_value=0, max_value=2)


def test_without_a_rate_nothing_waits() -> None:
    """0 is no brake: all goes, at once."""
    pace = Pace(rate=0)
    assert 4_000_000 == pace.piece(4_000_000)
    assert 0 == pace.taken(10**12, 5.0).wait(5.0)


@pytest.mark.parametrize(
    ("rate", "most", "expected"),
    [(1_000_000, 4_000_000, 100_000), (1e9, 4_000_000, 4_000_000), (5, 100, 1), (1_000_000, 10, 10)],
)
def test_a_piece_is_what_goes_in_a_tenth_of_a_second(rate: float, most: int, expected: int) -> None:
    """At least one byte, so that it goes on, and never more than there is room for."""
    assert expected == Pace(rate=rate).piece(most)


def test_the_next_waits_for_those_before_it() -> None:
    """A second's bytes take a second, but for what may be caught up."""
    pace = Pace(rate=1000).taken(1000, 10.0)
    assert pytest.approx(1 - CATCH_UP) == pace.wait(10.0)
    assert 0 == pace.wait(11.0)
    assert pytest.approx(2 - CATCH_UP) == pace.taken(1000, 10.0).wait(10.0)


def test_who_rested_has_saved_nothing() -> None:
    """An hour without a byte gives no burst afterwards."""
    assert Pace(rate=1000).taken(500, 3600.0).wait(3600.0) == pytest.approx(
        Pace(rate=1000).taken(500, 0.0).taken(0, 3600.0).taken(500, 3600.0).wait(3600.0)
    )


@given(rate=RATES, wanted=st.lists(st.tuples(st.integers(1, 4_000_000), DELAYS), min_size=1, max_size=50))
def test_no_more_than_the_rate_goes(rate: float, wanted: list[tuple[int, float]]) -> None:
    """At every instant what has gone fits into the time since the first, a catch-up and one piece."""
    pace, now, gone = Pace(rate=rate), 100.0, 0
    for most, delay in wanted:
        piece = pace.piece(most)
        assert gone <= rate * (now - 100.0 + CATCH_UP) * 1.000001 + piece
        wait = pace.wait(now)
        pace = pace.taken(piece, now)
        now += wait
        gone += piece
        assert gone <= rate * (now - 100.0 + CATCH_UP) * 1.000001 + piece
        now += delay


@given(
    rate=RATES,
    late=st.lists(st.floats(min_value=0, max_value=CATCH_UP / 2), min_size=1, max_size=50),
)
def test_no_less_than_the_rate_goes_though_each_wait_lasts_too_long(rate: float, late: list[float]) -> None:
    """Waits that end late, and a disk that takes its time, cost nothing as long as they can be caught up."""
    pace, now = Pace(rate=rate), 0.0
    piece = max(1.0, rate * PIECE_SECONDS)
    for delay in late:
        wait = pace.wait(now)
        pace = pace.taken(int(piece), now)
        now += wait + delay
    assert now <= len(late) * piece / rate + CATCH_UP
