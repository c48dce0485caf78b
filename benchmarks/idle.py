"""What a daemon costs that has nothing to do: processor time, writes and memory with 100,000 watched files; and each import."""

import hashlib
import json
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, Goal
from benchmarks.ledgers import lying, tree
from benchmarks.running import Place, Process, wait_until

SECONDS, SMALL_SECONDS = 120, 3
ROUNDS = 5

IMPORTED = (
    "click",
    "pydantic",
    "sqlalchemy",
    "sqlalchemy.dialects.sqlite",
    "identifai_watch.config",
    "identifai_watch.ledger.views",
    "watchdog.observers",
    "pathspec",
    "filetype",
    "requests",
    "structlog",
    "identifai_watch.cli.running",
    "jinja2",
    "starlette.applications",
    "uvicorn",
    "identifai_watch.web",
)
"""What a daemon imports, one after another: each costs what those before it have not brought."""

ELSEWHERE = ("alembic.command", "rich.table", "lxml.etree", "prometheus_client")
"""What only some commands import, behind all that."""

_ONE_AFTER_ANOTHER = """
import importlib, sys, time
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
for name in sys.argv[1:]:
    memory, began = resident(), time.perf_counter()
    importlib.import_module(name)
    print(time.perf_counter() - began, resident() - memory)
"""


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield the figures of an idle daemon, then those of the imports."""
    directories, each = (10, 10) if small else (1_000, 100)
    with tempfile.TemporaryDirectory(prefix="idle-") as home:
        port = _free_port()
        web = {"web": {"listen": f"127.0.0.1:{port}"}}
        place = Place(home=Path(home), folder={"action": "record"}, more=web)
        lying(place, tree(place.drop, directories=directories, each=each))
        with place.daemon() as daemon:
            wait_until(lambda: has_scanned(place), "the first scan has ended")
            for path in ("", "files"):  # somebody looked at the page, so that all that it needs is there
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}").read()
            yield from _idle(place, daemon, directories * each, small=small)
    yield from _imports(1 if small else ROUNDS)


def _free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def has_scanned(place: Place) -> bool:
    """Tell whether the daemon has scanned its folder, by what it reports."""
    return place.ask("status")["folders"][0]["last_scan_at"] is not None


def _idle(place: Place, daemon: Process, files: int, *, small: bool) -> Iterator[Figure]:
    """Watch a daemon that has nothing to do: until it tells that it has scanned once more, which is once a minute."""
    least = SMALL_SECONDS if small else SECONDS
    at = f"{files:,} watched files"
    with closing(
        sqlite3.connect(place.ledger_url.removeprefix("sqlite:///"), isolation_level=None)
    ) as ledger:
        threading.Event().wait(2)  # what the first scan set off comes to its end
        before, cpu, written = _contents(ledger), daemon.cpu, daemon.written
        began = time.monotonic()
        first = seen = _seen(ledger)
        commits = reports = 0
        while time.monotonic() - began < least or (seen.scanned_at == first.scanned_at and not small):
            threading.Event().wait(0.1)
            daemon.must_run()
            found = _seen(ledger)
            commits += found.version != seen.version
            reports += found.reported_at != seen.reported_at
            seen = found
        seconds = time.monotonic() - began
        cpu, written = daemon.cpu - cpu, daemon.written - written
        after = _contents(ledger)
    changed = sorted(name for name in before if before[name] != after[name])
    yield Figure(what=f"processor, {at}", value=100 * cpu / seconds, unit="% of a core", goal=Goal(most=1))
    yield Figure(what=f"commits in {seconds:.0f} s", value=commits, unit="")
    yield Figure(
        what="commits of anything but the nodes row", value=commits - reports, unit="", goal=Goal(most=0)
    )
    yield Figure(
        what=f"tables with other contents than before ({', '.join(changed) or 'none'})",
        value=len(changed),
        unit="",
        goal=Goal(most=1),
    )
    yield Figure(what=f"written in {seconds:.0f} s, log and sockets too", value=written / 1e3, unit="KB")
    yield Figure(what=f"resident, {at}", value=daemon.resident / 1e6, unit="MB", goal=Goal(most=90))
    yield Figure(what=f"resident at most since the start, {at}", value=daemon.peak / 1e6, unit="MB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is seen of a daemon in its ledger: ``version`` changes with each of its commits."""

    version: int
    reported_at: int
    scanned_at: str


def _seen(ledger: sqlite3.Connection) -> Seen:
    (version,) = ledger.execute("PRAGMA data_version").fetchone()
    reported_at, report = ledger.execute("SELECT seen_at, report FROM nodes").fetchone()
    scanned_at = json.loads(report)["folders"][0]["last_scan_at"]
    return Seen(version=version, reported_at=reported_at, scanned_at=scanned_at)


def _contents(ledger: sqlite3.Connection) -> dict[str, str]:
    """Return a digest of all that stands in each table."""
    names = ledger.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    found: dict[str, str] = {}
    for (name,) in names:
        digest = hashlib.sha256()
        for row in ledger.execute(f'SELECT * FROM "{name}"'):  # noqa: S608 - the ledger's own names
            digest.update(repr(row).encode())
        found[name] = digest.hexdigest()
    return found


def _imports(times: int) -> Iterator[Figure]:
    """Yield what each import adds in a fresh process; of the times the least of some rounds, which is the import's own."""
    names = (*IMPORTED, *ELSEWHERE)
    rounds: list[list[tuple[float, int]]] = []
    for _ in range(times):
        command = [sys.executable, "-c", _ONE_AFTER_ANOTHER, *names]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        rounds.append([(float(line.split()[0]), int(line.split()[1])) for line in lines])
    for name, found in zip(names, zip(*rounds, strict=True), strict=True):
        where = "" if name in IMPORTED else " (not by a daemon)"
        yield Figure(what=f"import {name}{where}", value=min(took for took, _ in found) * 1e3, unit="ms")
        yield Figure(what=f"import {name}{where}", value=max(size for _, size in found) / 1e6, unit="MB")
