"""``status --watch``: how things stand, looked at again and again, until somebody has seen enough.

The ledger is asked only when somebody wrote to it, or when a while has passed; each look is one short transaction.
"""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import IO

from identifai_watch.cli.asking import utc_now
from identifai_watch.cli.gathering import opened_to_read
from identifai_watch.config import Config
from identifai_watch.core.report import Report, status_json
from identifai_watch.core.sidecar import timestamp
from identifai_watch.ledger import Ledger
from identifai_watch.overview import report_of

ENDS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
WAKES = frozenset({signal.SIGWINCH})
"""A terminal that has another size is drawn anew at once."""

LONGEST = timedelta(seconds=30)
"""How old a report may be though nobody wrote: how long uploads take is a matter of the clock too."""

SHARE = 10
"""A look that takes long is made so much more rarely: it never takes more than this part of the time."""


class Outlook:
    """How things stand, kept until somebody changed something; the ledger stays open in between, no transaction does."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._path = config.ledger.path
        self._open = ExitStack()
        self._ledger: Ledger | None = None
        self._file: tuple[int, int] | None = None
        self._seen: object = None
        self._found: tuple[datetime, Report] | None = None

    def report(self, now: datetime) -> Report:
        """Return how things stand."""
        ledger = self._current()
        seen = None if ledger is None else (self._file, ledger.news(), ledger.lock.is_taken())
        if self._found is None or seen is None or seen != self._seen or now - self._found[0] >= LONGEST:
            self._found = (now, report_of(self._config, ledger, now))
            self._seen = seen
        return self._found[1]

    def _current(self) -> Ledger | None:
        """Return the ledger that lies there now: a daemon makes the first one, and a restore puts another in its place."""
        try:
            found = None if self._path is None else self._path.stat()
            file = None if found is None else (found.st_dev, found.st_ino)
        except OSError:
            file = None
        if self._ledger is None or file != self._file:
            self.close()
            self._ledger = self._open.enter_context(opened_to_read(self._config))
            self._file = file
        return self._ledger

    def close(self) -> None:
        """Close the ledger."""
        self._open.close()
        self._ledger = None


def watch(out: IO[str], config: Config, every: float, *, as_json: bool) -> None:
    """Show how things stand each ``every`` seconds, until Ctrl-C, SIGTERM or the end of the terminal."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _awaited())
    outlook = Outlook(config)
    try:
        if as_json:
            _as_json(out, outlook, every)
        elif out.isatty():
            _on_terminal(out, outlook, every)
        else:
            _in_pipe(out, outlook, every)
    finally:
        outlook.close()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _awaited() -> set[signal.Signals]:
    """Return the signals that are waited for: not those that whoever started us wants ignored, as nohup does."""
    return {one for one in ENDS | WAKES if signal.getsignal(one) is not signal.SIG_IGN}


def _reports(outlook: Outlook, every: float) -> Iterator[tuple[datetime, Report]]:
    """Give how things stand, again and again. While it waits a signal ends it, so that no line is cut in two."""
    number: int | None = None
    while number not in ENDS:
        began = time.monotonic()
        now = utc_now()
        yield now, outlook.report(now)
        pause = max(every, SHARE * (time.monotonic() - began))
        woken = signal.sigtimedwait(_awaited(), pause)
        number = None if woken is None else woken.si_signo


def _as_json(out: IO[str], outlook: Outlook, every: float) -> None:
    for now, report in _reports(outlook, every):
        out.write(f"{json.dumps({'at': timestamp(now)} | status_json(report))}\n")
        out.flush()


def _in_pipe(out: IO[str], outlook: Outlook, every: float) -> None:
    """Write how things stand whenever something changed, and else with each report, one below the other."""
    from identifai_watch.cli import paper, printing  # noqa: PLC0415 - rich is for people, who wait 0.1 s longer

    told: Report | None = None
    for now, report in _reports(outlook, every):
        if report is not told:
            out.write(f"{now:%Y-%m-%d %H:%M:%S} UTC\n")
            paper.put(out, printing.status(report, now), "")
            out.flush()
            told = report


def _on_terminal(out: IO[str], outlook: Outlook, every: float) -> None:
    """Draw how things stand over and over on a screen of its own, and leave the last of it behind."""
    from rich.live import Live  # noqa: PLC0415 - slow to import, and only a terminal needs it

    from identifai_watch.cli import paper, printing  # noqa: PLC0415 - likewise

    printer = paper.console(out)
    if printer.is_dumb_terminal:  # it cannot be drawn over
        _in_pipe(out, outlook, every)
        return
    last = None
    with Live(console=printer, screen=True, auto_refresh=False) as live:
        for now, report in _reports(outlook, every):
            last = printing.status(report, now)
            live.update(printing.watched(last, now, every), refresh=True)
    if last is not None:
        printer.print(last)
