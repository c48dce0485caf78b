"""The page as one application: its routes, and what becomes of errors. Whoever serves it puts the gatehouse before it."""

from functools import cache, partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from identifai_watch.errors import LedgerError, RefusedError, WatchError
from identifai_watch.web import bundles, live, machines, originals, pages, reckoning, rendering, writes
from identifai_watch.web.page import Page, UnknownFileError

_FOR_EVER = "public, max-age=31536000, immutable"


def application(page: Page) -> Starlette:
    """Return the page as an ASGI application; whoever serves it sets ``closing`` in its state."""
    app = Starlette(
        routes=[
            *pages.ROUTES,
            *writes.ROUTES,
            *originals.ROUTES,
            *bundles.ROUTES,
            *reckoning.ROUTES,
            *machines.ROUTES,
            *live.ROUTES,
            Route("/static/{edition}/{name}", static),
        ],
        exception_handlers={
            WatchError: partial(_refused, page),
            HTTPException: _no_such_page,
            Exception: partial(_bug, page),
        },
    )
    app.state.page = page
    app.state.hands = originals.Hands()
    app.state.bundles = bundles.Bundles()
    app.state.reckonings = reckoning.Reckonings(page)

    @cache
    def pulse() -> live.Pulse:
        return live.Pulse(page, app.state.closing)

    app.state.pulse = pulse
    return app


def static(request: Request) -> Response:
    """Hand out a file of this package."""
    name = request.path_params["name"]
    kind = rendering.STATIC.get(name)
    if kind is None:
        raise HTTPException(404)
    is_current = request.path_params["edition"] == rendering.edition()
    headers = {"Cache-Control": _FOR_EVER} if is_current else {}
    return Response(rendering.static(name), headers={"Content-Type": kind} | headers)


def _refused(page: Page, request: Request, error: Exception) -> Response:
    """Say what cannot be done, and why."""
    match error:
        case UnknownFileError():
            status = 404
        case RefusedError():
            status = 400
        case LedgerError():
            status = 503
            page.log.error("ledger away", reason=str(error))
        case _:
            status = 503
    return _told(request, status, str(error))


def _no_such_page(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    return _told(request, status, "There is no such page." if status == 404 else "That is not answered here.")


def _bug(page: Page, request: Request, error: Exception) -> Response:
    page.log.error("bug", error=repr(error), exc_info=error)
    return _told(request, 500, "That is our own fault; the log has more.")


def _told(request: Request, status: int, says: str) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": says}, status_code=status)
    if "visitor" not in request.scope.get("state", {}):
        return PlainTextResponse(f"{says}\n", status_code=status)
    title = {404: "Not found", 400: "That cannot be done", 503: "Not now"}.get(status, "Something went wrong")
    return rendering.page(request, "message.html", status=status, title=title, says=says)
