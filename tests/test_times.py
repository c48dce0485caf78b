"""Times that neither a ledger nor a calendar has."""

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core.times import EARLIEST, LATEST, is_known, kept


@given(st.integers(min_value=-(2**63) * 10**9, max_value=2**63 * 10**9))
def test_every_time_of_a_file_system_can_be_kept(nanoseconds: int) -> None:
    """Whatever 64 bits of seconds a file tells, SQLite keeps it, exactly where that is possible."""
    time = kept(nanoseconds)
    with closing(sqlite3.connect(":memory:")) as connection:
        assert [(time,)] == connection.execute("SELECT ?", (time,)).fetchall()
    assert not is_known(time) or time == nanoseconds


@pytest.mark.parametrize("bound", [EARLIEST, LATEST])
def test_the_bounds_stand_for_what_is_beyond(bound: int) -> None:
    """A bound is no file's own time, so that nobody is told a wrong year; what lies inside is."""
    assert kept(bound * 2) == bound
    assert not is_known(bound)
    assert is_known(bound - bound // abs(bound))
