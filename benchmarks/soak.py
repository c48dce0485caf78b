"""Hours of a newsroom in minutes: does memory creep, do descriptors leak, is anything lost or charged twice?

Files come, are copied, renamed, rewritten and deleted in batches, identifAI fails in every way, the configuration is
read again, folders are paused: on the real daemon as a process whose clock is wound, against the pretend identifAI
over HTTP. Resident size and open descriptors are sampled, and a line is laid through the samples after the warm-up.
"""

import hashlib
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks.wound import NODE
from identifai_watch import config as configuration
from identifai_watch.errors import LedgerAwayError
from identifai_watch.ledger import Ledger, desk
from identifai_watch.simulator import Endpoint, Fault, FaultKind, Script, Simulator

KEY = "the-key-of-the-soak"
SUFFIX = ".identifai.json"
SAMPLE = Path(__file__).parent.parent / "tests" / "media" / "sample.png"
WARM_UP = 1 / 3
"""Of the run, whose samples are left out: imports, caches and the allocator's pools fill then."""

KEPT = 400
"""Files that lie in the folder at a time; older ones are deleted, as editors do."""

PATIENCE = 120.0


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was done to the daemon."""

    files: int = 0
    duplicates: int = 0
    rewritten: int = 0
    renamed: int = 0
    deleted: int = 0
    faults: int = 0
    reloads: int = 0
    orders: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The daemon at one instant: seconds since its start, resident bytes, descriptors and threads."""

    at: float
    resident: int
    descriptors: int
    threads: int


@dataclass(slots=True, kw_only=True)
class Newsroom:
    """The place of one run, and what is known of it; contents are told apart by a number after a picture's end."""

    home: Path
    simulator: Simulator
    chance: random.Random
    tally: Tally = field(default_factory=Tally)
    lying: dict[Path, bytes] = field(default_factory=dict)
    settle: float = 5.0

    @property
    def drop(self) -> Path:
        """The watched folder."""
        return self.home / "drop"

    @property
    def config(self) -> Path:
        """The configuration, written anew."""
        path = self.home / "config.toml"
        document = {
            "api": {
                "url": self.simulator.url,
                "posts_per_second": 0,
                "posts_per_minute": 0,
                "gets_per_second": 0,
                "gets_per_minute": 0,
            },
            "ledger": {"url": f"sqlite:///{self.home}/ledger.db"},
            "web": {"listen": ""},
            "folder": [
                {
                    "path": str(self.drop),
                    "name": "drop",
                    "existing": "judge",
                    "settle_seconds": self.settle,
                    "release_after_minutes": 0,
                }
            ],
        }
        path.write_text(configuration.dump(document), encoding="utf-8")
        return path

    def put(self, path: Path, content: bytes) -> None:
        """Let a file appear: written in place, or under another name and then renamed."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.chance.random() < 0.5:
            path.write_bytes(content)
        else:
            part = path.with_name(path.name + ".part")
            part.write_bytes(content)
            part.rename(path)
        self.lying[path] = content

    def batch(self) -> None:
        """Do what a busy quarter of an hour brings."""
        picture = SAMPLE.read_bytes()
        for _ in range(self.chance.randint(5, 25)):
            self.tally.files += 1
            directory = self.drop / f"desk-{self.chance.randint(1, 12)}"
            path = directory / f"{self.tally.files:06}.png"
            if self.lying and self.chance.random() < 0.15:
                self.tally.duplicates += 1
                self.put(path, self.chance.choice(list(self.lying.values())))
            else:
                self.put(path, picture + f"{self.tally.files}".encode())
        for path in self.chance.sample(list(self.lying), min(len(self.lying), 3)):
            self._disturb(path, picture)
        while len(self.lying) > KEPT:
            self._delete(next(iter(self.lying)))

    def _disturb(self, path: Path, picture: bytes) -> None:
        kind = self.chance.choice(["rewrite", "rename", "delete"])
        if kind == "rewrite":
            self.tally.rewritten += 1
            self.put(path, picture + f"again {self.tally.rewritten}".encode())
        elif kind == "rename":
            self.tally.renamed += 1
            target = self.drop / "moved" / f"{self.tally.renamed:06}-{path.name}"
            target.parent.mkdir(exist_ok=True)
            path.rename(target)
            self.lying[target] = self.lying.pop(path)
        else:
            self._delete(path)

    def _delete(self, path: Path) -> None:
        self.tally.deleted += 1
        self.lying.pop(path)
        path.unlink()

    def trouble(self) -> None:
        """Let something go wrong, or nothing, until the next batch."""
        kinds = [*FaultKind, None, None]
        kind = self.chance.choice(kinds)
        faults: tuple[Fault, ...] = ()
        if kind is not None:
            self.tally.faults += 1
            where = self.chance.choice([Endpoint.UPLOAD, Endpoint.RESULTS, None])
            faults = (
                Fault(kind=kind, match=where, times=self.chance.randint(1, 5), seconds=0.5, status=503),
            )
        self.simulator.change(faults=faults, key=None if self.chance.random() > 0.05 else "another key")

    def order(self, verb: str, **arguments: object) -> None:
        """Have an operator ask for something, and again while the daemon is busy with its ledger."""
        self.tally.orders += 1
        _wait(lambda: self._ordered(verb, arguments), PATIENCE)

    def _ordered(self, verb: str, arguments: dict[str, object]) -> bool:
        try:
            with Ledger(f"sqlite:///{self.home}/ledger.db", node=NODE) as ledger, ledger.write() as tx:
                desk.ask(tx, verb, arguments, who="soak", now=datetime.now(UTC))
        except LedgerAwayError:
            return False
        return True

    def wanting(self) -> list[Path]:
        """Return the files that lie there without a sidecar that is about their very content."""
        return [path for path, content in self.lying.items() if not _is_told(path, content)]


def _is_told(path: Path, content: bytes) -> bool:
    try:
        document = json.loads(path.with_name(path.name + SUFFIX).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return (
        document["verdict"] is not None and document["file"]["sha256"] == hashlib.sha256(content).hexdigest()
    )


@click.command()
@click.option("--minutes", default=10.0, show_default=True, help="How long it runs, by the wall's clock.")
@click.option("--rate", default=30.0, show_default=True, help="How much faster the daemon's clock goes.")
@click.option("--seed", default=1, show_default=True, help="Of all that is left to chance.")
@click.option("--json", "as_json", is_flag=True, help="JSON for machines.")
def soak(*, minutes: float, rate: float, seed: int, as_json: bool) -> None:
    """Run for a long time, compressed; print what was lost or charged twice, and how memory and descriptors grew."""
    with tempfile.TemporaryDirectory(prefix="soak-") as home, Simulator(Script()) as simulator:
        newsroom = Newsroom(home=Path(home), simulator=simulator, chance=random.Random(seed))
        newsroom.drop.mkdir()
        samples: list[Sample] = []
        with _daemon(newsroom, rate) as process:
            _live(newsroom, process, samples, minutes * 60)
            _heal(newsroom)
            lost = _settled(newsroom)
        figures = _figures(newsroom, samples, lost, minutes=minutes, rate=rate)
    if as_json:
        click.echo(json.dumps(figures))
    else:
        for name, value in figures.items():
            click.echo(f"{name:<34} {value}")
    if figures["lost"] or figures["charged twice"]:
        sys.exit(1)


@contextmanager
def _daemon(newsroom: Newsroom, rate: float) -> Iterator["subprocess.Popen[bytes]"]:
    ready = newsroom.home / "ready"
    command = [sys.executable, "-m", "benchmarks.wound", str(rate), str(newsroom.config)]
    around = os.environ | {"IDENTIFAI_API_KEY": KEY, "SOAK_READY": str(ready)}
    with (newsroom.home / "daemon.log").open("wb") as log:
        process = subprocess.Popen(command, env=around, stderr=log, stdin=subprocess.DEVNULL)
        try:
            _wait(ready.exists, 60)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _live(
    newsroom: Newsroom, process: "subprocess.Popen[bytes]", samples: list[Sample], seconds: float
) -> None:
    """Let batch follow batch, with trouble in between, and look at the process each time."""
    began = time.monotonic()
    rounds = 0
    while (now := time.monotonic() - began) < seconds:
        rounds += 1
        newsroom.batch()
        newsroom.trouble()
        if rounds % 10 == 0:
            newsroom.settle = 8.0 - newsroom.settle + 5.0 if newsroom.settle == 5.0 else 5.0
            newsroom.config  # noqa: B018 - it is written by being asked for
            process.send_signal(signal.SIGHUP)
            newsroom.tally.reloads += 1
        if rounds % 7 == 0:
            newsroom.order("pause", why="soak")
            newsroom.order("resume")
        samples.append(_sample(process.pid, now))
        threading.Event().wait(1.0)
        if process.poll() is not None:
            log = (newsroom.home / "daemon.log").read_text(encoding="utf-8", errors="replace")
            raise click.ClickException(f"the daemon ended with {process.returncode}: {log[-2000:]}")


def _heal(newsroom: Newsroom) -> None:
    newsroom.simulator.change(faults=(), key=None)
    newsroom.order("resume")
    newsroom.order("retry", stuck=True)


def _settled(newsroom: Newsroom) -> int:
    """Wait until every file has its sidecar; return how many have none in the end."""
    _wait(lambda: not newsroom.wanting(), PATIENCE)
    return len(newsroom.wanting())


def _wait(reached: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not reached() and time.monotonic() < deadline:
        threading.Event().wait(0.1)


def _sample(process: int, at: float) -> Sample:
    """Look at a process from outside (proc(5))."""
    place = Path("/proc", str(process))
    status = dict(
        line.split(":", 1)
        for line in (place / "status").read_text(encoding="ascii").splitlines()
        if ":" in line
    )
    return Sample(
        at=at,
        resident=int(status["VmRSS"].split()[0]) * 1024,
        descriptors=len(list((place / "fd").iterdir())),
        threads=int(status["Threads"]),
    )


def _slope(points: list[tuple[float, float]]) -> float:
    """Return the slope of the line through points with the least squares; 0 for fewer than two."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def _figures(
    newsroom: Newsroom, samples: list[Sample], lost: int, *, minutes: float, rate: float
) -> dict[str, object]:
    warm = [one for one in samples if one.at >= samples[-1].at * WARM_UP]
    charged = Counter(
        (one.media, one.sha256, json.dumps(one.options, sort_keys=True))
        for one in newsroom.simulator.state.charged
    )
    hours = [one.at * rate / 3600 for one in warm]
    ledger = newsroom.home / "ledger.db"
    return {
        "machine": f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}",
        "minutes": round(minutes, 2),
        "hours by the daemon's clock": round(minutes * rate / 60, 2),
        **asdict(newsroom.tally),
        "contents charged": len(charged),
        "lost": lost,
        "charged twice": sum(number - 1 for number in charged.values()),
        "resident MB after the warm-up": round(warm[0].resident / 1e6, 1),
        "resident MB at the end": round(warm[-1].resident / 1e6, 1),
        "resident MB a daemon's day": round(
            24 * _slope(list(zip(hours, [one.resident / 1e6 for one in warm], strict=True))), 2
        ),
        "resident KB a file": round(_per_file(warm, newsroom.tally.files), 2),
        "descriptors at the end": warm[-1].descriptors,
        "descriptors a daemon's day": round(
            24 * _slope(list(zip(hours, [float(one.descriptors) for one in warm], strict=True))), 2
        ),
        "threads at the end": warm[-1].threads,
        "ledger MB": round(ledger.stat().st_size / 1e6, 1),
        "free disk GB": round(shutil.disk_usage(newsroom.home).free / 1e9, 1),
    }


def _per_file(warm: list[Sample], files: int) -> float:
    """Return by how many kilobytes the process grew for each file of the time after the warm-up."""
    share = (warm[-1].at - warm[0].at) / warm[-1].at if warm[-1].at else 0.0
    return (warm[-1].resident - warm[0].resident) / 1e3 / (files * share) if share else 0.0
