"""The log: readable on a terminal, JSON lines otherwise, and never the key in it.

One pipeline takes our own events and the warnings of the libraries. It drops repeats of a warning while
counting them, and turns every value into plain text in which secrets are hidden and what a file's name could
do to a terminal is escaped.
"""

import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import PurePath
from typing import TextIO, cast
from urllib.parse import quote

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from identifai_watch.core.sidecar import shown

HIDDEN = "[hidden]"
REPEATS_EVERY = timedelta(minutes=10)
REPEATS_REMEMBERED = 1_000

# What journald reads from a line's beginning (sd-daemon(3)).
_PRIORITIES: Mapping[str, int] = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


class Redaction:
    """The secrets that no line may show. It is told them as they become known, in any thread."""

    def __init__(self) -> None:
        self._spellings: tuple[str, ...] = ()

    def hide(self, secret: str) -> None:
        """Hide ``secret`` from now on, also where JSON, Python or an address spelt it."""
        spellings = {
            secret,
            json.dumps(secret)[1:-1],
            repr(secret)[1:-1],
            quote(secret),
            quote(secret, safe=""),
        }
        known = {*self._spellings, *spellings} - {""}
        self._spellings = tuple(sorted(known, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """Return ``text`` without the secrets."""
        for spelling in self._spellings:
            text = text.replace(spelling, HIDDEN)
        return text


@dataclass(slots=True)
class _Told:
    """A warning that was told at ``at``, in seconds of the clock, and how often it was dropped since."""

    at: float
    dropped: int = 0


@dataclass(slots=True, kw_only=True)
class Repeats:
    """Drops a warning or an error that says the same again within ``every``; the next one tells ``repeated``.

    The same is: the same event with the same keys, numbers aside, for waiting times and counts differ each time.
    """

    every: timedelta = REPEATS_EVERY
    clock: Callable[[], float] = time.monotonic
    _told: OrderedDict[object, _Told] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Return ``event``, or drop it (a processor of structlog)."""
        if event.get("level") not in {"warning", "error"}:
            return event
        identity = tuple(
            sorted((key, repr(value)) for key, value in event.items() if not _is_volatile(value))
        )
        with self._lock:
            told, now = self._told.get(identity), self.clock()
            if told is not None and now - told.at < self.every.total_seconds():
                told.dropped += 1
                raise structlog.DropEvent
            self._told[identity] = _Told(at=now)
            self._told.move_to_end(identity)
            if len(self._told) > REPEATS_REMEMBERED:
                self._told.popitem(last=False)
        if told is not None and told.dropped > 0:
            event["repeated"] = told.dropped
        return event


class _Lines:
    """Writes finished lines. One that cannot be written is lost: a full disk must not stop the daemon."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._encoding = stream.encoding or "utf-8"
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        writable = line.encode(self._encoding, "backslashreplace").decode(self._encoding)
        with self._lock, contextlib.suppress(OSError, ValueError):  # ValueError: it is closed
            self._stream.write(f"{writable}\n")
            self._stream.flush()

    debug = info = warning = error = critical = write


class _Library(logging.Handler):
    """Takes what the libraries log into our own pipeline."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # its arguments do not fit its words: the library's mistake
            message = str(record.msg)
        # A home-made level is told as the named one below it.
        level = next((known for known in (50, 40, 30, 20) if record.levelno >= known), 10)
        exc_info = record.exc_info if record.exc_info and record.exc_info[0] is not None else None
        log = structlog.get_logger()
        log.log(level, message, library=record.name, **({"exc_info": exc_info} if exc_info else {}))


def configure(
    *,
    terminal: bool,
    redaction: Redaction,
    level: int = logging.INFO,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Send all logging to ``stream`` (standard error): for eyes if ``terminal``, else as JSON lines.

    Libraries are heard from WARNING on. May be called again; the last call counts.
    """
    out = sys.stderr if stream is None else stream
    before: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        Repeats(),
        _plainly(redaction),
    ]
    after = _for_eyes(environ) if terminal else _for_machines(to_journal=_is_journal(out, environ))
    lines = _Lines(out)
    structlog.configure(
        processors=[*before, *after],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Library)]:
        root.removeHandler(handler)
    root.addHandler(_Library())
    root.setLevel(max(level, logging.WARNING))


def _is_volatile(value: object) -> bool:
    return isinstance(value, int | float | date | timedelta) and not isinstance(value, bool)


def _plainly(redaction: Redaction) -> Processor:
    """Return the processor that leaves nothing in an event but what JSON has, its text safe to show."""

    def say(text: str | bytes) -> str:
        return redaction(shown(text))

    def plainly(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        trace = event.pop("exception", None)
        plain = {say(str(key)): _plain(value, say) for key, value in event.items()}
        if trace is not None:
            plain["exception"] = "\n".join(say(line) for line in trace.split("\n"))
        return plain

    return plainly


def _plain(value: object, say: Callable[[str | bytes], str]) -> object:
    match value:
        case None | bool() | int() | float():
            return value
        case str() | bytes():
            return say(value)
        case PurePath():
            return say(str(value))
        case date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Mapping():
            return {say(str(key)): _plain(item, say) for key, item in value.items()}
        case Sequence() | set() | frozenset():
            return [_plain(item, say) for item in value]
        case _:
            return say(repr(value))


def _for_eyes(environ: Mapping[str, str]) -> list[Processor]:
    return [
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        # plain_traceback: the others show the values of variables, which may be the key.
        structlog.dev.ConsoleRenderer(
            colors=environ.get("NO_COLOR", "") == "",
            sort_keys=False,
            exception_formatter=structlog.dev.plain_traceback,
        ),
    ]


def _for_machines(*, to_journal: bool) -> list[Processor]:
    render = structlog.processors.JSONRenderer(ensure_ascii=False)
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    return [stamp, _prefixed(render) if to_journal else render]


def _prefixed(render: Processor) -> Processor:
    """Return ``render`` with journald's priority before the line."""

    def prefix(logger: WrappedLogger, method: str, event: EventDict) -> str:
        priority = _PRIORITIES[event["level"]]
        return f"<{priority}>{cast('str', render(logger, method, event))}"

    return prefix


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether ``stream`` leads to journald: ``$JOURNAL_STREAM`` names its device and inode."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False  # no file beneath, or closed
    return environ.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"
