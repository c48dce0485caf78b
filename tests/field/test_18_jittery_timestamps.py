"""Row 18: a clustered file system tells one file's times differently from look to look.

As met elsewhere: where several nodes serve one tree, two looks at a file that nobody touched tell times some
milliseconds or seconds apart, and a tool that compares them exactly takes it for changed: each pass reads it again,
transfers are broken off as "changed while it was read", and nothing ever ends.

Here ``timestamp_granularity_seconds`` says how far two readings of one version may differ; size and inode are
compared exactly all the same. Within it a file settles, is hashed, sent and charged once, is delivered, and is
left alone by every later scan. Without it times are compared to the nanosecond, as is right everywhere else.
"""

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from identifai_watch.simulator import judge
from tests.devices import other_device
from tests.harness import SUFFIX, House, house, wait_for
from tests.watching import admitted, content, intake, lines, picture, quiet, scan, sha256

QUICK = {"events": "off", "settle_seconds": 0.2, "rescan_seconds": 0.2}
"""A cluster's other nodes send no events: what the loop of times does to ours is not to be heard."""

JITTER = 2_000_000_000
"""Nanoseconds between the earliest and the latest time that is told."""


@contextmanager
def jitter(path: Path) -> Iterator[None]:
    """Tell another time of the file again and again, within two seconds; its other name, if it moves, is left alone."""
    chance = random.Random(18)
    true = path.stat().st_mtime_ns
    ended = threading.Event()

    def tell() -> None:
        with suppress(FileNotFoundError):
            while not ended.wait(0.005):
                told = true + chance.randrange(JITTER)
                os.utime(path, ns=(told, told))

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def admissions(home: House, name: str) -> int:
    """Count how often the process hashed a file and took it in."""
    return sum((line["event"], line.get("path")) == ("admitted", name) for line in home.logged())


def assert_judged_once(home: House, path: Path, beside: Path) -> None:
    """It was hashed and charged once, and its bytes and sidecar lie where they belong."""
    sidecar = home.sidecar(beside)
    assert sha256(path.name).hex() == sidecar["file"]["sha256"]
    assert content(path.name) == beside.read_bytes()
    charged = [submission.sha256 for submission in home.simulator.state.charged]
    assert 1 == charged.count(sha256(path.name))
    assert 1 == admissions(home, path.name)


def test_within_the_granularity_a_file_is_judged_once_and_then_rests(tmp_path: Path) -> None:
    """Its times never rest: it settles, is charged once, and later scans, which find others, do not take it again."""
    settings = QUICK | {"timestamp_granularity_seconds": 60.0}
    with house(tmp_path, folder=settings) as home:
        path = picture(home.drop / "clip.png")
        with jitter(path), home.process():
            home.sidecar(path)
            for name in ("later.png", "later still.png", "last.png"):
                home.sidecar(picture(home.drop / name))
        assert_judged_once(home, path, path)


@pytest.mark.parametrize("is_across", [False, True])
def test_within_the_granularity_a_file_is_moved_whole(tmp_path: Path, *, is_across: bool) -> None:
    """To its place in the folder, or to another file system, where the source goes once the bytes are compared."""
    with other_device(tmp_path) if is_across else nullcontext() as elsewhere:
        place = tmp_path / "drop" if elsewhere is None else elsewhere
        outcomes = ("human", "artificial", "uncertain", "rejected")
        wheres: dict[str, Any] = {outcome: str(place / outcome) for outcome in outcomes}
        settings = QUICK | wheres | {"timestamp_granularity_seconds": 60.0, "action": "move"}
        with house(tmp_path, folder=settings) as home:
            path = picture(home.drop / "clip.png")
            judgement = judge(sha256("clip.png"))
            moved = place / ("uncertain" if judgement.unknown else str(judgement.label)) / "clip.png"
            with jitter(path), home.process():
                wait_for(lambda: not path.exists(), "the file has left the drop folder")
                wait_for(lambda: [line.file.lies_at for line in home.lines()] != [None], "it is delivered")
            assert_judged_once(home, path, moved)
            assert [moved.name + SUFFIX] == [found.name for found in moved.parent.glob("*" + SUFFIX)]


def test_without_a_granularity_such_a_file_is_never_taken(tmp_path: Path) -> None:
    """Each look tells another version, as it would of a file that is being written; once its times rest it is taken."""
    with house(tmp_path, folder=QUICK | {"rescan_seconds": 0.1}) as home, home.daemon() as daemon:
        path = picture(home.drop / "clip.png")
        with jitter(path):
            intake(daemon)
            for _ in range(10):
                scan(daemon)
            assert 1 == daemon.settling
            assert [] == lines(daemon)
        admitted(daemon, "clip.png")
        quiet(daemon)
        assert [sha256("clip.png")] == [one.sha256 for one in home.simulator.state.charged]
