"""How long it takes from a file's rename into the folder until the first byte of its upload arrives at identifAI.

The files come one after another, at random instants; beside it a bare loop without ledger or sidecars: inotify_simple reads,
hashlib hashes, requests posts. Then the same while the first scan of 100,000 older files is under way, which are held; and
with 100,000 contents of a backlog queued, for which the purse has nothing left.
"""

import hashlib
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import ledgers
from benchmarks.drops import picture
from benchmarks.figures import Figure, Goal
from benchmarks.running import KEY, Place, Pretended, pretended, share, wait_until

FILES = 150
SMALL = 6
OLD = 100_000
SMALL_OLD = 2_000
GAP = 0.3
"""Seconds between two files at most."""

PER_DIRECTORY = 1_000
LINKS = 50_000
"""Names of one file at most: file systems have a limit."""

BARE = """
import hashlib, os, sys
import requests
from inotify_simple import INotify, flags
folder, url, key = sys.argv[1:]
inotify, session = INotify(), requests.Session()
inotify.add_watch(folder, flags.MOVED_TO)
print("ready", flush=True)
while True:
    for event in inotify.read():
        with open(os.path.join(folder, event.name), "rb") as file:
            hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            upload = {"image": (event.name, file, "image/png")}
            answer = session.post(url + "/api/classification", headers={"X-Api-Key": key}, files=upload)
            answer.raise_for_status()
"""

Drop = Callable[[Path], None]


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield the median and the 95th percentile, beside those of the bare loop."""
    count, old = (SMALL, SMALL_OLD) if small else (FILES, OLD)
    with pretended() as identifai:
        bare = _bare(identifai, count)
        yield from _figures("rename to POST", _through_daemon(identifai, count, old=0), bare)
        waited = _through_daemon(identifai, count, old=old)
        yield from _figures(f"the same, {old:,} older files", waited, bare)
        yield from _figures(f"the same, {old:,} queued", _past_a_queue(identifai, count, queued=old), bare)


def _figures(what: str, waited: list[float], bare: list[float]) -> Iterator[Figure]:
    for name, part, most in (("p50", 0.5, 100), ("p95", 0.95, 300)):
        yield Figure(what=f"{what}, {name}", value=share(waited, part), unit="ms", goal=Goal(most=most))
    for name, part in (("p50", 0.5), ("p95", 0.95)):
        yield Figure(what=f"{what}, a bare loop, {name}", value=share(bare, part), unit="ms")


def _through_daemon(identifai: Pretended, count: int, *, old: int) -> list[float]:
    """Return the milliseconds that each file took through the daemon; with ``old`` files its first scan is under way."""
    with tempfile.TemporaryDirectory(prefix="latency-") as home:
        place = Place(home=Path(home), url=identifai.url, folder={"existing": "hold"})
        _lay_down(place, old)
        with place.daemon():
            wait_until(lambda: _is_ready(place, first_scan=not old), "the folder is watched")
            return _drop(place.home, identifai, count)


def _past_a_queue(identifai: Pretended, count: int, *, queued: int) -> list[float]:
    """Return the milliseconds that each file took with so many contents of a backlog queued, none of which may go."""
    with tempfile.TemporaryDirectory(prefix="latency-") as home:
        purse = {"posts_per_day": 1_000_000, "backlog_share": 0}
        place = Place(home=Path(home), url=identifai.url, api=purse)
        lying = ledgers.tree(place.drop, directories=queued // PER_DIRECTORY, each=PER_DIRECTORY)
        ledgers.queued(place, lying)
        with place.daemon():
            wait_until(lambda: _is_ready(place, first_scan=True), "the folder is watched")
            if place.ask("status")["analyses"]["queued"] != queued:
                raise AssertionError(place.ask("status"))
            return _drop(place.home, identifai, count)


def _is_ready(place: Place, *, first_scan: bool) -> bool:
    """Tell whether events are heard, and with ``first_scan`` whether that has ended."""
    folder = place.ask("status")["folders"][0]
    return folder["mode"] == "events" and (not first_scan or folder["last_scan_at"] is not None)


def _bare(identifai: Pretended, count: int) -> list[float]:
    """Return the milliseconds that each file takes through the bare loop."""
    with tempfile.TemporaryDirectory(prefix="latency-") as name:
        home = Path(name)
        (home / "drop").mkdir()
        with _loop(home / "drop", identifai.url):
            return _drop(home, identifai, count)


@contextmanager
def _loop(folder: Path, url: str) -> Iterator[None]:
    command = [sys.executable, "-c", BARE, str(folder), url, KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as popen:
        if popen.stdout is None:
            raise LookupError("stdout")
        popen.stdout.readline()
        try:
            yield
        finally:
            popen.terminate()


def _lay_down(place: Place, count: int) -> None:
    """Lay files down that are older than the daemon: names of one picture, for what is held is not read."""
    for number in range(count):
        if number % LINKS == 0:
            one = place.home / f"old-{number}.png"
            one.write_bytes(picture(number))
        folder = place.drop / f"{number // 1000:03}"
        if number % 1000 == 0:
            folder.mkdir()
        os.link(one, folder / f"{number:06}.png")


def _drop(home: Path, identifai: Pretended, count: int) -> list[float]:
    """Rename files in, and return how many milliseconds each of their uploads took to arrive."""
    aside = home / "aside"
    aside.mkdir()
    renamed: dict[str, float] = {}
    for number in range(count):
        content = picture(10_000_000 + number) + os.fsencode(home)
        (aside / f"new-{number}.png").write_bytes(content)
        threading.Event().wait(random.uniform(0, GAP))
        renamed[hashlib.sha256(content).hexdigest()] = time.monotonic()
        (aside / f"new-{number}.png").rename(home / "drop" / f"new-{number}.png")
    arrived: dict[str, float] = {}

    def is_all_there() -> bool:
        arrived.update((one["sha256"], one["arrived_at"]) for one in identifai.state()["charged"])
        return renamed.keys() <= arrived.keys()

    wait_until(is_all_there, "all are uploaded")
    return [(arrived[sha256] - at) * 1000 for sha256, at in renamed.items()]
