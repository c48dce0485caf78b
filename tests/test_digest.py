"""A digest is of one version of a file, or there is none."""

import hashlib
import os
from pathlib import Path

import pytest

from identifai_watch.core.model import Fingerprint
from identifai_watch.folder.digest import StoppedError, digest
from identifai_watch.folder.look import fingerprint
from identifai_watch.folder.opening import ChangedError, MissingError

BIG = 9 * 1024 * 1024 + 1


def now(path: Path) -> Fingerprint:
    """The file's fingerprint as it is."""
    return fingerprint(path.stat(), network=False)


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A file of several buffers."""
    path = tmp_path / "big.mp3"
    path.write_bytes(b"ID3\x04" + os.urandom(BIG - 4))
    return path


@pytest.mark.parametrize("size", [0, 1, 4096, 4 * 1024 * 1024 - 1, 4 * 1024 * 1024, BIG])
def test_it_is_the_sha256(tmp_path: Path, size: int) -> None:
    """At every size around the buffer's."""
    path = tmp_path / "a"
    content = os.urandom(size)
    path.write_bytes(content)
    found = digest(os.fsencode(tmp_path), b"a", expected=now(path), network=False)
    assert hashlib.sha256(content).digest() == found.sha256
    assert now(path) == found.fingerprint


def test_the_format_is_told_on_the_way(big: Path) -> None:
    """The first bytes are read once more than the rest, and nothing else is."""
    assert digest(os.fsencode(big.parent), b"big.mp3", expected=now(big), network=False).sniffed == "mp3"


def test_progress_is_told_by_bytes(big: Path) -> None:
    """The numbers add up to the size."""
    read: list[int] = []
    digest(os.fsencode(big.parent), b"big.mp3", expected=now(big), network=False, progress=read.append)
    assert BIG == sum(read)
    assert len(read) == 3


def test_another_version_than_expected_is_not_read(big: Path) -> None:
    """What settled was something else."""
    expected = now(big)
    big.write_bytes(b"another")
    with pytest.raises(ChangedError, match="since"):
        digest(os.fsencode(big.parent), b"big.mp3", expected=expected, network=False)


def test_a_file_that_changes_while_it_is_read_has_no_digest(big: Path) -> None:
    """The same size, other bytes."""

    def overwrite(_: int) -> None:
        with big.open("r+b") as opened:
            opened.write(os.urandom(100))

    with pytest.raises(ChangedError, match="while"):
        digest(os.fsencode(big.parent), b"big.mp3", expected=now(big), network=False, progress=overwrite)


def test_a_file_that_grows_is_not_read_to_its_end(big: Path) -> None:
    """A writer that is as fast as the reader must not hold it for ever."""

    def grow(length: int) -> None:
        with big.open("ab") as opened:
            opened.write(os.urandom(2 * length))

    with pytest.raises(ChangedError, match="grew"):
        digest(os.fsencode(big.parent), b"big.mp3", expected=now(big), network=False, progress=grow)


def test_a_file_that_is_cut_short_has_no_digest(big: Path) -> None:
    """It ends sooner than it should, and its state says so."""

    def cut(_: int) -> None:
        os.truncate(big, 10)

    with pytest.raises(ChangedError):
        digest(os.fsencode(big.parent), b"big.mp3", expected=now(big), network=False, progress=cut)


def test_a_file_that_is_unlinked_while_it_is_read_has_changed(big: Path) -> None:
    """Its ctime says so: there is nothing to deliver a verdict to."""
    with pytest.raises(ChangedError):
        digest(
            os.fsencode(big.parent),
            b"big.mp3",
            expected=now(big),
            network=False,
            progress=lambda _: big.unlink(missing_ok=True),
        )


def test_it_stops_when_it_is_asked_to(big: Path) -> None:
    """Within one buffer."""
    read: list[int] = []
    with pytest.raises(StoppedError):
        digest(
            os.fsencode(big.parent),
            b"big.mp3",
            expected=now(big),
            network=False,
            progress=read.append,
            stop=lambda: True,
        )
    assert len(read) == 1


def test_it_reads_no_more_at_once_than_it_is_allowed(big: Path) -> None:
    """And asks for the one byte more that shows whether the file grew."""
    asked: list[int] = []
    read: list[int] = []

    def allowed(most: int) -> int:
        asked.append(most)
        return min(most, 3_000_000)

    found = digest(
        os.fsencode(big.parent),
        b"big.mp3",
        expected=now(big),
        network=False,
        progress=read.append,
        allowed=allowed,
    )
    assert hashlib.sha256(big.read_bytes()).digest() == found.sha256
    assert [3_000_000, 3_000_000, 3_000_000, BIG - 9_000_000] == read
    assert (5, 1) == (len(asked), asked[-1])


def test_it_stops_when_it_may_read_no_more(big: Path) -> None:
    """A brake that is let go ends it: half a file has no digest."""
    allowed = iter([1000, 0])
    with pytest.raises(StoppedError):
        digest(
            os.fsencode(big.parent),
            b"big.mp3",
            expected=now(big),
            network=False,
            allowed=lambda _: next(allowed),
        )


def test_a_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    """The error says whose matter it is."""
    expected = Fingerprint(size=1, mtime_ns=1, ctime_ns=1, inode=1)
    with pytest.raises(MissingError):
        digest(os.fsencode(tmp_path), b"none", expected=expected, network=False)


def test_on_the_network_the_inode_is_of_no_matter(big: Path) -> None:
    """There it may change between mounts."""
    expected = fingerprint(big.stat(), network=True)
    assert (
        expected == digest(os.fsencode(big.parent), b"big.mp3", expected=expected, network=True).fingerprint
    )


def test_nothing_stays_open(big: Path) -> None:
    """Whether it ends well or not."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    expected = now(big)
    digest(os.fsencode(big.parent), b"big.mp3", expected=expected, network=False)
    big.write_bytes(b"x")
    with pytest.raises(ChangedError):
        digest(os.fsencode(big.parent), b"big.mp3", expected=expected, network=False)
    assert before == len(list(Path("/proc/self/fd").iterdir()))
