"""How far a run over all there is has come: a bar with rate and time left on a terminal, plain lines otherwise."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import Event, Thread

import click

from identifai_watch.config import Config
from identifai_watch.core.words import files, span
from identifai_watch.daemon import Daemon
from identifai_watch.ledger import Ledger, Transaction, runs, views

LOOK_SECONDS = 0.5
LINE_SECONDS = 5.0
"""Between two plain lines; one is only printed when something moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How many files of a run are done, and how many there are as far as is known."""

    done: int
    total: int

    def words(self, elapsed: float) -> str:
        """Return a line for a log: how far, how fast, how long still; ``elapsed`` is in seconds."""
        said = f"{self.done:,} of {files(self.total)} done"
        if self.done == 0 or elapsed <= 0 or self.done == self.total:
            return said
        rate = self.done / elapsed
        return f"{said}, {rate * 60:.1f} a minute, about {span((self.total - self.done) / rate)} left"


def numbers(tx: Transaction, ledger: Ledger, config: Config) -> list[int]:
    """Return the ledger's numbers of the folders of a configuration."""
    known = views.folder_ids(tx, ledger.node, config.shared)
    return [known[folder.name] for folder in config.folders if folder.name in known]


def progress(ledger: Ledger, config: Config, since: datetime) -> runs.Progress:
    """Count what a run that began at ``since`` has done, and what it has before it."""
    with ledger.read() as tx:
        return runs.progress(tx, numbers(tx, ledger, config), since)


@contextmanager
def shown(daemon: Daemon, since: datetime) -> Iterator[None]:
    """Show on standard error how far a daemon has come, from a thread of its own."""
    ended = Event()
    watch = _bar if sys.stderr.isatty() else _lines
    thread = Thread(target=watch, args=(daemon, since, ended), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _reach(daemon: Daemon, since: datetime) -> Reach:
    """Look how far a daemon has come: what it has in memory is not in the ledger, but for what was released."""
    shift = daemon.shift
    settling = daemon.settling
    now = progress(shift.ledger, shift.config, since)
    return Reach(done=now.done, total=now.done + now.admitted + max(now.released, settling))


def _reaches(daemon: Daemon, since: datetime, ended: Event) -> Iterator[Reach]:
    """Look again and again, and a last time at the end; a large ledger is not looked at without pause."""
    pause = 0.0
    while not ended.wait(pause):
        began = time.monotonic()
        yield _reach(daemon, since)
        pause = max(LOOK_SECONDS, 10 * (time.monotonic() - began))
    yield _reach(daemon, since)


def _lines(daemon: Daemon, since: datetime, ended: Event) -> None:
    began = told_at = time.monotonic()
    told = Reach(done=0, total=0)
    for reach in _reaches(daemon, since, ended):
        now = time.monotonic()
        if reach != told and (now - told_at >= LINE_SECONDS or ended.is_set()):
            click.echo(reach.words(now - began), err=True)
            told, told_at = reach, now


def _bar(daemon: Daemon, since: datetime, ended: Event) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only a terminal needs it
    from rich.progress import (  # noqa: PLC0415 - likewise
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    began = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("looking", total=None)
        for reach in _reaches(daemon, since, ended):
            words = reach.words(time.monotonic() - began).partition(" done")[2].lstrip(", ")
            bar.update(task, completed=reach.done, total=reach.total or None, description=words)
