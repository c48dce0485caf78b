"""What machines ask: verdicts by content, files a page at a time, and whether all is well.

The shape of the answers is documented by ``openapi.json``, which is served beside them.
"""

import re
from functools import cache
from importlib.resources import files
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from identifai_watch import overview
from identifai_watch.core import report, wording
from identifai_watch.ledger import lists
from identifai_watch.ledger.views import Line
from identifai_watch.web import listing
from identifai_watch.web.page import Page, utc_now

_SHA256 = re.compile(r"[0-9a-f]{64}")


@cache
def description() -> bytes:
    """Return the OpenAPI document."""
    return (files("identifai_watch.web") / "openapi.json").read_bytes()


def openapi(_request: Request) -> Response:
    """Hand out the OpenAPI document."""
    return Response(description(), media_type="application/json")


def verdicts(request: Request) -> Response:
    """Answer what is known of a content."""
    page: Page = request.app.state.page
    sha256 = request.path_params["sha256"].lower()
    if _SHA256.fullmatch(sha256) is None:
        return JSONResponse({"error": "a SHA-256 has 64 hexadecimal digits"}, status_code=400)
    with page.ledger.read() as tx:
        lines = lists.with_content(tx, bytes.fromhex(sha256))
    if not lines:
        return JSONResponse({"error": f"no file with the content {sha256} is known"}, status_code=404)
    return JSONResponse({"sha256": sha256, "files": [file_json(page, line) for line in lines]})


def all_files(request: Request) -> Response:
    """Answer a page of files, newest first."""
    page: Page = request.app.state.page
    found = listing.find(
        page.ledger,
        listing.filters(request.query_params),
        after=listing.place(request.query_params),
        limit=listing.size(request.query_params),
    )
    return JSONResponse(
        {
            "files": [file_json(page, line) for line in found.lines],
            "next": None if found.next is None else str(found.next),
        }
    )


def file_json(page: Page, line: Line) -> dict[str, Any]:
    """Return a file as machines see it: that of ``show --json``, with what is said of it and the verdict."""
    file, analysis = line.file, line.analysis
    verdict = None if analysis is None else report.analysis_json(analysis)["verdict"]
    return report.file_json(file, analysis) | {
        "id": file.id,
        **({"node": file.node} if page.ledger.member else {}),
        "shown_at": overview.shown_at(page.config(), file),
        "signs": wording.signs(file, analysis),
        "verdict": verdict,
        "analysis_state": None if analysis is None else analysis.state,
        "doubt": analysis is not None and analysis.doubt,
    }


def healthz(request: Request) -> Response:
    """Answer 200 only if a daemon runs whose watchdog would be fed."""
    page: Page = request.app.state.page
    if page.is_well():
        return PlainTextResponse("ok\n")
    return PlainTextResponse("the daemon does not run, or is stalled\n", status_code=503)


def metrics(request: Request) -> Response:
    """Answer all metrics in the text format of Prometheus."""
    from identifai_watch.metrics import exposition  # noqa: PLC0415 - its library is for scrapers alone

    page: Page = request.app.state.page
    text = exposition(overview.report_of(page.config(), page.ledger, utc_now()))
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


ROUTES = [
    Route("/api/v1/openapi.json", openapi),
    Route("/api/v1/verdicts/{sha256}", verdicts),
    Route("/api/v1/files", all_files),
    Route("/healthz", healthz),
    Route("/metrics", metrics),
]
