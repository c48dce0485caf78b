"""One thing that goes wrong is logged at every attempt, until the log has filled the disk.

Elsewhere a server that was away, or a directory that could not be read, made gigabytes a day of one and the same line. Here
a change of state is told, once, and what repeats is dropped and counted: hours of trouble are a few lines, in which what
happened to which file can still be read.
"""

import io
import json
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from identifai_watch import logs
from tests.field.clock import Clock
from tests.field.ordinary import no_privilege_to_read
from tests.harness import house, wait_for
from tests.watching import folders, intake, picture

ROUNDS, FILES, UPLOADS = 100, 40, 4
PAUSE = 61.0
"""Seconds between rounds: whatever waits at most a minute is tried in each."""


class Log:
    """The real log, as lines of JSON, that goes by the clock of the test."""

    def __init__(self, clock: Clock) -> None:
        self._stream = io.StringIO()
        logs.configure(terminal=False, redaction=logs.Redaction(), level=logging.DEBUG, stream=self._stream)
        for processor in structlog.get_config()["processors"]:
            if isinstance(processor, logs.Repeats):
                processor.clock = lambda: clock().timestamp()

    def lines(self, *levels: str) -> list[dict[str, Any]]:
        """Return the lines of these levels."""
        found = [json.loads(line) for line in self._stream.getvalue().splitlines()]
        return [line for line in found if line["level"] in levels]


@pytest.fixture
def clock() -> Clock:
    """Tell a time that the test winds ahead, round by round."""
    return Clock()


@pytest.fixture
def log(clock: Clock) -> Iterator[Log]:
    """Log as the daemon's process does, and leave all as it was found."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Log(clock)
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def test_hours_of_trouble_are_a_few_lines(tmp_path: Path, clock: Clock, log: Log) -> None:
    """The API is away, a folder too, and a directory may not be read: a hundred rounds, and each told once."""
    with no_privilege_to_read(), house(tmp_path) as home:
        home.simulator.stop()
        home.more["folder"] = folders(home, drop={"rescan_seconds": 60.0}, away={"rescan_seconds": 60.0})
        (tmp_path / "away").rmdir()
        (home.drop / "private").mkdir(mode=0)
        for number in range(FILES):
            picture(home.drop / f"{number}.png")
        began = clock()
        with home.daemon(clock=clock) as daemon:
            patrol = intake(daemon).patrol
            for _ in range(ROUNDS):
                before = patrol.last_scan_at
                clock.wind(daemon, PAUSE)
                wait_for(
                    lambda before=before: patrol.last_scan_at != before and daemon._dispatch.is_idle(),  # type: ignore[misc] - bound at once
                    "another round has passed",
                )
            tried = daemon._dispatch.uploads.begun
            hours = (clock() - began).total_seconds() / 3600
    assert ROUNDS <= sum(line["event"] == "scanned" for line in log.lines("debug"))
    assert ROUNDS // 2 <= tried

    # The clock may be wound past midnight, and each day has a line of its own.
    lines = [line for line in log.lines("info", "warning", "error") if line["event"] != "history head"]
    told = Counter(line["event"] for line in lines)
    once = ("started", "stopped", "folder unavailable", "directory cannot be listed", "identifAI holds us")
    assert dict.fromkeys(once, 1) == {event: told[event] for event in once}
    assert FILES == told["admitted"]
    assert told["upload begins"] <= UPLOADS, "those that were under way when it went away"

    refusals = [line for line in lines if line["event"] == "not sent"]
    files = {line["path"] for line in refusals}
    assert len(refusals) <= len(files) * (6 * hours + 1), "of each file, once in ten minutes"
    counted = sum(1 + line.get("repeated", 0) for line in refusals)
    assert tried - 10 * len(files) <= counted <= tried, (
        "what was dropped is counted, up to the last ten minutes"
    )
    assert len(lines) <= FILES + len(once) + UPLOADS + len(refusals)
