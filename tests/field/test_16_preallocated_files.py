"""Row 16: a file has its final size from the first moment on, and its bytes come later.

As met elsewhere: file servers and download programs reserve the whole size before they write. Size and time then
stand still while the writer pauses, so that a tool which waits for a steady size takes a file that is half zeros.

Here size alone proves nothing. While anybody on this host has the file open for writing it is not taken, however
long it stands still. Where no writer can be seen, because it sits on another host or opens the file anew for each
part, the container tells that there is more to come, and is waited for. Either way the first bytes that are sent
are the whole file's.
"""

import hashlib
import os
from pathlib import Path

import pytest

from tests.harness import MEDIA, House, house, wait_for
from tests.watching import picture

QUICK = {"settle_seconds": 0.2, "rescan_seconds": 0.3}
SHORT = ("sample.png", "sample.jpg", "sample-classic.mov")
"""Formats whose end is told by their last bytes: zeros in their place say that there is more to come."""


def preallocate(path: Path, size: int, content: bytes) -> None:
    """Reserve the size on the disk, and write what is there so far."""
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
        file.write(content)


def charged(home: House) -> list[bytes]:
    """Return the hashes that were paid for, in their order."""
    return [submission.sha256 for submission in home.simulator.state.charged]


def sha256(content: bytes) -> bytes:
    """Return a hash."""
    return hashlib.sha256(content).digest()


def meanwhile(home: House) -> None:
    """Wait until two files that came later are taken, one after the other; the longer it lasts, the longer is settled."""
    for name in ("meanwhile.png", "later.png"):
        picture(home.drop / name)
        wait_for(lambda name=name: name in taken(home), f"{name} is taken")  # type: ignore[misc] - bound at once


def taken(home: House) -> set[str]:
    """Return the names that the process has hashed."""
    return {line["path"] for line in home.logged() if line["event"] == "admitted"}


@pytest.fixture
def recording() -> bytes:
    """A sound that is whole for its container as soon as its head is written: only the writer tells."""
    return (MEDIA / "sample.wav").read_bytes()


def test_a_writer_that_stalls_in_a_preallocated_file_is_waited_for(tmp_path: Path, recording: bytes) -> None:
    """Size, times and container are as they should be and stay so; it is open for writing, and that is enough."""
    path = tmp_path / "drop" / "recording.wav"
    with house(tmp_path, folder=QUICK) as home, home.process():
        with path.open("wb") as writer:
            os.posix_fallocate(writer.fileno(), 0, len(recording))
            writer.write(recording[:100])
            writer.flush()
            meanwhile(home)
            assert len(recording) == path.stat().st_size
            assert {"meanwhile.png", "later.png"} == taken(home)
            writer.write(recording[100:])
        assert sha256(recording).hex() == home.sidecar(path, 120)["file"]["sha256"]
        assert 1 == charged(home).count(sha256(recording))
        assert 3 == len(charged(home)) == home.simulator.state.arrived("upload")


def test_where_no_writer_is_seen_the_container_is_believed(tmp_path: Path) -> None:
    """Half of the bytes, zeros after them, nobody has it open: each waits, and is sent once it is whole."""
    with house(tmp_path, folder=QUICK) as home, home.process():
        whole = {home.drop / name: (MEDIA / name).read_bytes() for name in SHORT}
        for path, content in whole.items():
            preallocate(path, len(content), content[: len(content) // 2])
        meanwhile(home)
        assert {"meanwhile.png", "later.png"} == taken(home)
        for path, content in whole.items():
            with path.open("r+b") as file:
                file.write(content)
        for path, content in whole.items():
            assert sha256(content).hex() == home.sidecar(path, 120)["file"]["sha256"]
        assert {sha256(content) for content in whole.values()} < set(charged(home))
        assert 2 + len(whole) == len(charged(home)) == home.simulator.state.arrived("upload")
