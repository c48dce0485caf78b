"""One file, with all that the ledger knows of it and what can be done about it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from identifai_watch import __version__, circumstances, overview
from identifai_watch.core import explaining, sidecar, wording
from identifai_watch.core.explaining import Explanation
from identifai_watch.core.findings import Findings
from identifai_watch.core.lifecycle import SETTLED
from identifai_watch.core.model import Analysis, File, FileState, Media
from identifai_watch.core.sidecar import shown
from identifai_watch.ledger import lists, views
from identifai_watch.ledger.views import Line
from identifai_watch.web import drawing, originals, rendering, words
from identifai_watch.web.page import Page, utc_now

THERE = frozenset({FileState.WAITING, FileState.DELIVERED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Can:
    """What can be done about a file."""

    decide: bool
    retry: bool
    rejudge: bool
    release: bool


def can(line: Line) -> Can:
    """Return what can be done about a file: the orders would refuse the rest, or find nothing to do."""
    file, analysis = line.file, line.analysis
    is_there = file.state in THERE
    is_open = analysis is not None and (analysis.verdict is None or analysis.stuck_at is not None)
    return Can(
        decide=is_there and not file.held,
        retry=is_there and (file.stuck_at is not None or is_open),
        rejudge=is_there and analysis is not None and analysis.state in SETTLED,
        release=file.held,
    )


def body(page: Page, line: Line, *, may_edit: bool) -> str:
    """Return what is said of a file, as HTML."""
    file, analysis = line.file, line.analysis
    with page.ledger.read() as tx:
        copies = views.copies_of(tx, file)
        history = views.history_of(tx, file)
    found = found_in(page, line)
    written = sidecar_of(page, line, is_whole=False)
    verdict = None if analysis is None else analysis.verdict
    return rendering.fragment(
        "_file.html",
        file=file,
        said=wording.words(file, analysis, found),
        confidence=words.confidence(line),
        found=found,
        drawn=None if found is None else drawing.drawn(found),
        standing=words.standing(line),
        explanation=_explanation(page, line),
        may_edit=may_edit,
        can=can(line),
        facts=list(_facts(page, file, analysis)),
        vendor_url=None if verdict is None else vendor_url(verdict.result_url),
        copies=copies,
        has_hosts=bool(page.hosts()),
        history=history,
        sidecar=None if written is None else written.decode(),
    )


def found_in(page: Page, line: Line) -> Findings | None:
    """Return all that was found in a file, from identifAI's answer as it was kept."""
    raw = None
    if line.analysis is not None:
        with page.ledger.read() as tx:
            raw = views.raw_answer(tx, line.analysis.id)
    return wording.found_in(line.file, line.analysis, raw)


def picture(page: Page, line: Line) -> dict[str, Any]:
    """Return whether the file itself can be shown, and what may lie over it: a heatmap, boxes."""
    why = originals.why_not(page.config(), line)
    verdict = None if line.analysis is None else line.analysis.verdict
    has_heatmap = False
    if verdict is not None and verdict.has_heatmap and line.analysis is not None:
        with page.ledger.read() as tx:
            has_heatmap = lists.has_heatmap(tx, line.analysis.id)
    found = found_in(page, line) if line.file.media is Media.IMAGE else None
    return {
        "is_shown": why is None,
        "why_not_shown": why or "",
        "has_heatmap": has_heatmap,
        "drawn": None if found is None else drawing.drawn(found),
    }


def sidecar_of(page: Page, line: Line, *, is_whole: bool = True) -> bytes | None:
    """Return the sidecar of a file, with identifAI's answer if it is to be whole; None before there is an outcome."""
    if line.file.outcome is None:
        return None
    raw = None
    if is_whole and line.analysis is not None:
        with page.ledger.read() as tx:
            raw = views.raw_answer(tx, line.analysis.id)
    document = sidecar.document(
        line.file,
        line.analysis,
        response=None if raw is None else json.loads(raw),
        version=__version__,
        now=line.file.delivered_at or utc_now(),
    )
    if not is_whole:
        del document["response"]
    return sidecar.encoded(document)


def vendor_url(address: str | None) -> str | None:
    """Return the address of identifAI's page if it may be linked to: an answer may say anything."""
    try:
        parts = urlsplit(address or "")
    except ValueError:
        return None
    return address if parts.scheme in {"http", "https"} and parts.hostname else None


def _explanation(page: Page, line: Line) -> Explanation | None:
    """Return what a file waits for; nothing where it simply has its verdict."""
    if line.file.state is FileState.DELIVERED and not words.is_stuck(line):
        return None
    place = shown(line.file.path)
    with page.ledger.read() as tx:
        around = circumstances.gathered(
            tx, page.config(), page.ledger, line, path=place, folder=line.file.folder, now=utc_now()
        )
    return explaining.of_row(line.file, line.analysis, around)


def _told(at: datetime | None) -> str | None:
    """Return an instant to the second; the sidecar has it whole."""
    return None if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _facts(page: Page, file: File, analysis: Analysis | None) -> Iterator[tuple[str, str]]:
    """Give what is known of a file, name by name; what is not is left out."""
    place = overview.lies_at(page.config(), file)
    verdict = None if analysis is None else analysis.verdict
    said: list[tuple[str, object]] = [
        ("Host", file.node if page.hosts() and file.node else None),
        ("Lies at", None if place is None else shown(place)),
        ("Shown as", overview.renamed(page.config(), file)),
        ("Copied to", None if file.copied_to is None else shown(file.copied_to)),
        ("Kind", file.media),
        ("Size", f"{file.fingerprint.size:,} bytes"),
        ("SHA-256", None if file.sha256 is None else file.sha256.hex()),
        ("Noticed", _told(file.noticed_at)),
        ("Hashed", _told(file.hashed_at)),
        ("Submitted", None if analysis is None else _told(analysis.submitted_at)),
        ("Judged", None if analysis is None else _told(analysis.judged_at)),
        ("Delivered", _told(file.delivered_at)),
        ("Identifier", None if analysis is None else analysis.identifier),
        ("Edition", None if analysis is None or not analysis.edition else analysis.edition),
        ("Options", None if analysis is None or analysis.options in {"", "{}"} else analysis.options),
        ("Heuristic", None if verdict is None else verdict.heuristic),
        ("API version", None if verdict is None else verdict.api_version),
        ("NSFW", None if verdict is None or verdict.nsfw is None else "yes" if verdict.nsfw else "no"),
        ("Same content", "it was there before: nothing was paid for this file" if file.duplicate else None),
    ]
    yield from ((name, shown(str(value))) for name, value in said if value is not None)
