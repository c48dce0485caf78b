"""What tells one version of a file from the next."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core.model import Fingerprint

EXACT = timedelta(0)
MICROSECOND = timedelta(microseconds=1)
TIMES = st.integers(min_value=-(2**62), max_value=2**62)
FINGERPRINTS = st.builds(
    Fingerprint,
    size=st.integers(min_value=0, max_value=10**12),
    mtime_ns=TIMES,
    ctime_ns=TIMES,
    inode=st.none() | st.integers(min_value=1, max_value=2**63),
)
GRANULARITIES = st.timedeltas(min_value=MICROSECOND, max_value=timedelta(seconds=60))
SHARES = st.floats(min_value=-1, max_value=1)


def later(version: Fingerprint, mtime: timedelta, ctime: timedelta) -> Fingerprint:
    """Return the fingerprint with times that are off by so much."""
    off = [apart // MICROSECOND * 1000 for apart in (mtime, ctime)]
    return replace(version, mtime_ns=version.mtime_ns + off[0], ctime_ns=version.ctime_ns + off[1])


@given(version=FINGERPRINTS, within=GRANULARITIES, mtime=SHARES, ctime=SHARES)
def test_times_within_the_granularity_are_alike(
    version: Fingerprint, within: timedelta, mtime: float, ctime: float
) -> None:
    """Two readings that differ by up to the granularity are of one version, whichever came first."""
    other = later(version, within * mtime, within * ctime)
    assert version.is_like(other, within)
    assert other.is_like(version, within)


@given(version=FINGERPRINTS, within=GRANULARITIES, beyond=GRANULARITIES)
def test_times_beyond_the_granularity_are_another_version(
    version: Fingerprint, within: timedelta, beyond: timedelta
) -> None:
    """More than the granularity is a change, in either time and direction."""
    far = within + beyond
    for mtime, ctime in ((far, EXACT), (EXACT, far), (-far, EXACT), (EXACT, -far)):
        assert not version.is_like(later(version, mtime, ctime), within)


@given(version=FINGERPRINTS, within=GRANULARITIES | st.just(EXACT))
def test_size_and_inode_are_exact(version: Fingerprint, within: timedelta) -> None:
    """No granularity makes another size or inode the same file."""
    assert not version.is_like(replace(version, size=version.size + 1), within)
    assert not version.is_like(replace(version, inode=(version.inode or 0) + 1), within)


@given(one=FINGERPRINTS, other=FINGERPRINTS)
def test_without_a_granularity_only_what_is_equal_is_alike(one: Fingerprint, other: Fingerprint) -> None:
    """Nothing to differ by means equality, to the nanosecond."""
    assert one.is_like(one, EXACT)
    assert (one == other) is one.is_like(other, EXACT)
    assert not one.is_like(replace(one, mtime_ns=one.mtime_ns + 1), EXACT)
