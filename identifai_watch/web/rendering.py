"""From values to HTML: the templates of this package, in which whatever is not ours is escaped."""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from identifai_watch import __version__
from identifai_watch.core import report, wording, words
from identifai_watch.core.sidecar import shown
from identifai_watch.web import words as own_words
from identifai_watch.web.gatehouse import Visitor

THEMES = frozenset({"light", "dark"})

STATIC: Mapping[str, str] = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "dialogs.js": "text/javascript; charset=utf-8",
    "icons.svg": "image/svg+xml",
}
"""The package's files that a page loads, with their types."""


@cache
def static(name: str) -> bytes:
    """Return one of STATIC."""
    return (files("identifai_watch.web") / "static" / name).read_bytes()


@cache
def edition() -> str:
    """Return what stands in the address of STATIC: another one for other contents, so that no old one is kept."""
    digest = hashlib.sha256()
    for name in sorted(STATIC):
        digest.update(static(name))
    return digest.hexdigest()[:12]


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("identifai_watch.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "shown": shown,
        "instant": own_words.instant,
        "machine": own_words.machine,
        "size": words.size,
        "span": words.span,
        "files": words.files,
        "happened": own_words.happened,
        "detail": report.happening_text,
    }
    made.globals |= {
        "wording": wording,
        "words": own_words,
        "version": __version__,
        "static": f"/static/{edition()}",
    }
    return made


def fragment(template: str, **values: Any) -> str:
    """Return what a template makes of values."""
    return _environment().get_template(template).render(values)


def escaped(text: str) -> str:
    """Return text as HTML that says just that."""
    return str(escape(text))


def visitor(request: Request) -> Visitor:
    """Return who asks."""
    found: Visitor = request.state.visitor
    return found


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a whole page."""
    theme = request.cookies.get("theme", "")
    around = {
        "visitor": visitor(request),
        "theme": theme if theme in THEMES else "",
        "path": request.url.path,
    }
    return HTMLResponse(fragment(template, **around, **values), status_code=status)
