"""Times that neither a ledger nor a calendar has."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core.times import EARLIEST, LATEST, is_known, kept
from identifai_watch.delivery.placing import fingerprint_of
from identifai_watch.folder.look import fingerprint


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


def test_an_inode_of_all_64_bits_can_be_kept(tmp_path: Path) -> None:
    """Some file systems hash their own into all 64 bits, of which a ledger's integers keep a sign."""
    path = tmp_path / "a"
    path.touch()
    real = path.stat()
    times = {name: getattr(real, name) for name in ("st_atime_ns", "st_mtime_ns", "st_ctime_ns")}
    status = os.stat_result((real.st_mode, 2**64 - 1, *real[2:]), times)
    assert LATEST == fingerprint(status, network=False).inode == fingerprint_of(status, network=False).inode
