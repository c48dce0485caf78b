"""Lines of history as the commands show and export them, read in short transactions."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from identifai_watch.core import trail as chain
from identifai_watch.core.sidecar import shown, timestamp
from identifai_watch.ledger import Ledger, rows, trail
from identifai_watch.ledger.trail import Line

PAGE = 500
"""Lines that one transaction reads: a long one would keep the write-ahead log from ending while somebody pages."""


def each_line(
    ledger: Ledger | None, *, since: datetime | None = None, last: int | None = None
) -> Iterator[Line]:
    """Iterate over lines of history in many short transactions, the newest last."""
    if ledger is None:
        return
    with ledger.read() as tx:
        after = trail.start_of(tx, since=since, last=last)
    while True:
        with ledger.read() as tx:
            page = list(trail.lines(tx, after=after, since=since, limit=PAGE))
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].id


def line_json(line: Line) -> dict[str, Any]:
    """Return one line for machines, its detail as an object."""
    return {
        "id": line.id,
        "at": timestamp(line.entry.at),
        "who": line.entry.who,
        "event": line.entry.event,
        "folder": line.folder,
        "path": path_of(line),
        "detail": detail_of(line),
        "digest": line.digest.hex(),
    }


def path_of(line: Line) -> str | None:
    """Return the path of the file that a line is about, safe to print; None if it is about none."""
    return None if line.parent is None or line.name is None else shown(rows.join(line.parent, line.name))


def detail_of(line: Line) -> dict[str, Any]:
    """Return what a line says besides; what is no JSON is somebody else's work, and shown all the same."""
    try:
        found = json.loads(line.entry.detail)
    except ValueError:
        found = line.entry.detail
    return found if isinstance(found, dict) else {"detail": found}


COLUMNS = (
    "id",
    "at_us",
    "at",
    "who",
    "event",
    "file_id",
    "analysis_id",
    "folder",
    "path",
    "detail",
    "digest",
)
"""The columns of ``export --history``."""


def export_row(line: Line) -> dict[str, Any]:
    """Return one line with all that its digest is made of, ``detail`` byte for byte."""
    entry = line.entry
    return {
        "id": line.id,
        "at_us": chain.microseconds(entry.at),
        "at": timestamp(entry.at),
        "who": entry.who,
        "event": entry.event,
        "file_id": entry.file_id,
        "analysis_id": entry.analysis_id,
        "folder": line.folder,
        "path": path_of(line),
        "detail": entry.detail,
        "digest": line.digest.hex(),
    }
