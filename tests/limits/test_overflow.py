"""The kernel's queue of events overflows in a storm of files: what was lost is found by one scan."""

import ctypes
import os
import struct
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from identifai_watch.core.model import FileState
from tests.console import status_of
from tests.harness import House, house, standing_still, wait_for
from tests.watching import picture

FILES = 60_000
PICTURES = 200
_IN_OPEN = 0x20
_EVENT = struct.Struct("iIII")


@dataclass
class Opened:
    """Counts how often a file was opened since."""

    descriptor: int
    count: int = 0

    def so_far(self) -> int:
        """Return how often it was by now."""
        while True:
            try:
                self.count += len(os.read(self.descriptor, 65_536)) // _EVENT.size
            except BlockingIOError:
                return self.count


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """Count how often a file is opened, with a queue of our own that only tells of that."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert descriptor >= 0, os.strerror(ctypes.get_errno())
    try:
        assert libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_OPEN) >= 0
        yield Opened(descriptor)
    finally:
        os.close(descriptor)


def flood(home: House) -> None:
    """Create files as fast as a core can, with pictures among them."""
    share = "x\n" * (FILES // PICTURES - 1)
    command = ["split", "--lines=1", "--suffix-length=4", "--additional-suffix=.png", "-", "small-"]
    with subprocess.Popen(command, cwd=home.drop, stdin=subprocess.PIPE, text=True) as split:
        assert split.stdin is not None
        for number in range(PICTURES):
            split.stdin.write(share)
            split.stdin.flush()
            picture(home.drop / f"picture-{number:03}.png")
    assert split.returncode == 0


def calmed(home: House) -> Counter[str] | None:
    """Return how often the log has each event, once it tells that the storm is over."""
    found = Counter(line["event"] for line in home.logged())
    return found if found["storm over"] else None


def test_what_an_overflow_loses_is_found_by_one_scan(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Of 60,000 files at full speed the kernel tells 16,384 events at most; one scan finds every picture, once each.

    A scan opens an .identifai-ignore in each directory, and where there are no files nobody else does.
    """
    settings = {"action": "record", "include": ["picture-*"], "rescan_seconds": 600.0}
    with house(tmp_path, folder=settings) as home:
        ignore = home.drop / "quiet" / ".identifai-ignore"
        ignore.parent.mkdir()
        ignore.write_text("nothing\n")
        with opened(ignore) as scans, home.process() as process:
            wait_for(lambda: status_of(home, "drop", "ok")["last_scan_at"], "the first scan has ended")
            assert 1 == scans.so_far()
            with standing_still(process):
                flood(home)
            # The scan has its turn only ten times as long after the first one as that took on a busy machine.
            wait_for(lambda: len(home.simulator.state.charged) >= PICTURES, "every picture is sent", 300)
            wait_for(lambda: delivered(home) == PICTURES, "every picture is delivered")
            wait_for(lambda: scans.so_far() >= 2, "the scan for what was lost")
            assert 2 == scans.so_far()
            said = wait_for(lambda: calmed(home), "the storm is over") or Counter()
        known = Counter(line.file.path for line in home.lines())

    assert FILES == len(list(home.drop.glob("*.png")))
    assert 1 == said["storm of files, scanning"] == said["storm over"]
    assert {f"picture-{number:03}.png".encode(): 1 for number in range(PICTURES)} == known
    assert PICTURES == len(home.simulator.state.charged)
    for name, number in (
        ("files", FILES),
        ("pictures", PICTURES),
        ("charged", len(home.simulator.state.charged)),
    ):
        record_property(name, number)


def delivered(home: House) -> int:
    """Count the files that the ledger says are delivered."""
    return sum(one.file.state is FileState.DELIVERED for one in home.lines())
