"""How fast files are hashed: beside openssl, on two cores, beside a busy Python thread; and what is left in the cache."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from benchmarks.figures import Figure, Goal
from benchmarks.running import cached, let_go
from identifai_watch.brakes import Brake, allowed
from identifai_watch.folder import digest as hashing
from identifai_watch.folder.look import fingerprint
from identifai_watch.workers import SWITCH_INTERVAL, share_interpreter

MB = 1_000_000
KEPT = 16 * 1024 * 1024
"""Bytes of the large video that somebody else has in the cache."""

Ways = Mapping[str, Callable[[], None]]


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield the speeds, the best of several rounds in which what is compared takes turns, and the cache's state."""
    size, video, rounds = (100 * MB, 100 * MB, 2) if small else (1_000 * MB, 5_000 * MB, 4)
    pythons = sys.getswitchinterval()
    share_interpreter()
    with tempfile.TemporaryDirectory() as home:
        try:
            yield from _one(_written(Path(home, "one"), size), size, rounds, pythons)
            # Short files and many rounds: some of them have both cores to themselves.
            pair = [_written(Path(home, name), size // 5) for name in ("left", "right")]
            yield from _two(pair, size // 5, 8 * rounds)
            yield from _braked(pair, size // 5, small=small)
        finally:
            sys.setswitchinterval(pythons)
        yield from _cache(Path(home), video)


def _one(path: Path, size: int, rounds: int, pythons: float) -> Iterator[Figure]:
    """Hash one file, alone and beside a thread that computes."""
    ways: Ways = {
        "openssl": lambda: _openssl([path]),
        "alone": lambda: _hash(path),
        "busy": lambda: _beside_busy(path, SWITCH_INTERVAL),
        "busy, 5 ms": lambda: _beside_busy(path, pythons),
    }
    took = _best(ways, rounds)
    speed = {name: size / seconds / MB for name, seconds in took.items()}
    whats = {
        "alone": (f"a cached file of {size // MB:,} MB", Goal(least=0.9)),
        "busy": ("the same beside a busy Python thread", Goal(least=0.35)),
        "busy, 5 ms": (f"likewise, with Python's own switch interval of {pythons * 1000:g} ms", Goal()),
    }
    for name, (what, goal) in whats.items():
        yield Figure(
            what=what,
            value=speed[name],
            unit="MB/s",
            against="MB/s by openssl dgst -sha256",
            yardstick=speed["openssl"],
            goal=goal,
        )


def _two(files: list[Path], size: int, rounds: int) -> Iterator[Figure]:
    """Hash two files at once, beside what the machine gives to two processes."""
    ways: Ways = {
        "one": lambda: _digests(files[:1]),
        "two": lambda: _digests(files),
        "one openssl": lambda: _openssl(files[:1]),
        "two openssl": lambda: _openssl(files),
    }
    took = _best(ways, rounds)
    yield Figure(
        what="two files by two threads",
        value=2 * size / took["two"] / MB,
        unit="MB/s",
        against="MB/s by one",
        yardstick=size / took["one"] / MB,
        goal=Goal(least=1.8),
    )
    yield Figure(
        what="two files by two openssl, for comparison",
        value=2 * size / took["two openssl"] / MB,
        unit="MB/s",
        against="MB/s by one",
        yardstick=size / took["one openssl"] / MB,
    )


def _braked(files: list[Path], size: int, *, small: bool) -> Iterator[Figure]:
    """Hash two files at once under one brake, as a folder's threads do."""
    rate = 100 * MB
    brake, never = Brake(lambda: rate), threading.Event()

    def read(most: int) -> int:
        return allowed(most, (brake,), ended=never, moved=lambda: None)

    began = time.perf_counter()
    _digests(files, read)
    yield Figure(
        what="two files by two threads under read_megabytes_per_second = 100",
        value=2 * size / (time.perf_counter() - began) / MB,
        unit="MB/s",
        against="MB/s allowed",
        yardstick=rate / MB,
        # What may be caught up weighs little in seconds, and much in less than one.
        goal=Goal() if small else Goal(least=0.95, most=1.05),
    )


def _best(ways: Ways, rounds: int) -> dict[str, float]:
    """Return the least seconds that each of ``ways`` takes; they take turns."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - began)
    return best


def _cache(home: Path, size: int) -> Iterator[Figure]:
    """Look at the page cache after a large video was hashed, of which somebody has a part there."""
    if shutil.which("fincore") is None:
        return
    video = home / "video.mp4"
    with video.open("wb") as made:
        made.truncate(size)
    let_go(video)
    _hash(video)
    yield Figure(
        what=f"in the page cache after a video of {size // MB:,} MB",
        value=cached(video) / MB,
        unit="MB",
        goal=Goal(most=1),
    )
    with video.open("rb") as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        opened.read(KEPT)
    before = cached(video)
    _hash(video)
    yield Figure(
        what="likewise, of what somebody had there before",
        value=cached(video) / MB,
        unit="MB",
        against="MB before",
        yardstick=before / MB,
        goal=Goal(least=1, most=1.5),
    )


def _written(path: Path, size: int) -> Path:
    """Write a file of random bytes; what was just written is in the cache."""
    block = os.urandom(MB)
    with path.open("wb") as made:
        for _ in range(size // MB):
            made.write(block)
    return path


def _hash(path: Path, read: Callable[[int], int] = lambda most: most) -> None:
    """Take the digest of a file as the daemon does; ``read`` says how many bytes may be read next."""
    expected = fingerprint(path.stat(), network=False)
    root, name = os.fsencode(path.parent), os.fsencode(path.name)
    hashing.digest(root, name, expected=expected, network=False, allowed=read)


def _digests(files: list[Path], read: Callable[[int], int] = lambda most: most) -> None:
    """Hash each file in a thread of its own, as a folder's threads do."""
    threads = [threading.Thread(target=_hash, args=(path, read)) for path in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _openssl(files: list[Path]) -> None:
    """Hash each file in a process of its own."""
    program = shutil.which("openssl")
    if program is None:
        raise click.ClickException("openssl is the yardstick, and is not installed")
    command = [program, "dgst", "-sha256"]
    asked = [subprocess.Popen([*command, str(path)], stdout=subprocess.DEVNULL) for path in files]
    statuses = [process.wait() for process in asked]
    if any(statuses):
        raise click.ClickException("openssl failed")


def _beside_busy(path: Path, interval: float) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(interval)
    try:
        with _busy():
            _hash(path)
    finally:
        sys.setswitchinterval(before)


@contextmanager
def _busy() -> Iterator[None]:
    """Have a thread compute in Python all the while."""
    is_over = False

    def compute() -> None:
        while not is_over:
            pass

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        yield
    finally:
        is_over = True
        thread.join()
