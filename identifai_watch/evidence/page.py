"""The report of a case: one HTML page for people, printable, that holds everything it shows and loads nothing.

The only place that knows Jinja2 here; everything that a template is given is escaped, and made safe to print before.
Pictures are streamed into their places, for they may be large.
"""

import base64
import functools
import json
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2

from identifai_watch.core import wording
from identifai_watch.core.findings import Findings
from identifai_watch.core.report import happening_text
from identifai_watch.core.sidecar import shown
from identifai_watch.evidence.case import Case
from identifai_watch.folder.sniff import HEAD, sniff
from identifai_watch.ledger import trail

LARGEST_PICTURE = 30_000_000
"""Bytes: a larger one is not shown in the page, and lies beside it in the bundle."""

MOST_FRAMES = 500
"""Frames and clips that the page lists; identifAI's answer in the bundle has them all."""

SHOWABLE: Mapping[str, str] = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
}
"""What every browser shows, by the name that its bytes are known by."""

_THIRD = 3 * 256 * 1024
"""Bytes that are encoded at once: a multiple of three needs no padding."""


def rendered(case: Case, manifest: Mapping[str, Any], picture: bytes | None) -> Iterator[bytes]:
    """Give the page in blocks; ``picture`` are the bytes of the file that was judged, None if they are too many."""
    slots: dict[str, bytes] = {}

    def data_address(content: bytes, mime: str) -> str:
        slot = secrets.token_hex(16)
        slots[slot] = content
        return f"data:{mime};base64,{slot}"

    kind = None if picture is None else SHOWABLE.get(sniff(picture[:HEAD]) or "")
    text = _template().render(
        case=case,
        manifest=manifest,
        words=_words(case),
        found=_found(case),
        signs_of=wording.signs_of,
        picture=None if picture is None or kind is None else data_address(picture, kind),
        heatmap=None if case.heatmap is None else data_address(case.heatmap, "image/png"),
        history=[_happening(line) for line in case.lines],
        most=MOST_FRAMES,
        largest=LARGEST_PICTURE,
    )
    yield from _filled(text, slots)


def _filled(text: str, slots: Mapping[str, bytes]) -> Iterator[bytes]:
    """Give a text with the pictures in their places; each place is there once."""
    rest = text
    for slot, content in sorted(slots.items(), key=lambda one: text.index(one[0])):
        before, _, rest = rest.partition(slot)
        yield before.encode()
        for at in range(0, len(content), _THIRD):
            yield base64.b64encode(content[at : at + _THIRD])
    yield rest.encode()


def _found(case: Case) -> Findings | None:
    raw = next((one.raw for one in case.answers if one.analysis == case.analysis), None)
    return wording.found_in(case.file, case.analysis, raw)


def _words(case: Case) -> wording.Words:
    return wording.words(case.file, case.analysis, _found(case))


def _happening(line: trail.Line) -> dict[str, object]:
    entry = line.entry
    try:
        detail = json.loads(entry.detail)
    except ValueError:
        detail = None
    said = happening_text(detail) if isinstance(detail, dict) else entry.detail
    return {"id": line.id, "at": entry.at, "who": entry.who, "event": entry.event, "said": said}


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


def _printable(value: object) -> object:
    """Make a text safe to print, whoever wrote it; what is markup already is our own template's."""
    return shown(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
