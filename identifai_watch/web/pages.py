"""What people look at: the overview, how things stand, what to review, the files, one file."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from identifai_watch.core.explaining import PAUSES, REMEDIES
from identifai_watch.core.model import FileState
from identifai_watch.core.report import Report, WatchedFolder
from identifai_watch.core.words import span
from identifai_watch.errors import RefusedError
from identifai_watch.ledger import lists
from identifai_watch.web import listing, one_file, rendering, sections
from identifai_watch.web.listing import Filters
from identifai_watch.web.now import MOST_COUNTED, Now, now
from identifai_watch.web.page import Page, utc_now

STATES = {
    FileState.WAITING: "waits for its verdict or delivery",
    FileState.DELIVERED: "delivered",
    FileState.GONE: "no longer there",
    FileState.SUPERSEDED: "replaced",
    listing.Waits.HELD: "held since before the daemon",
    listing.Waits.STUCK: "stuck",
    listing.Waits.DOUBT: "in doubt",
}
"""What each state is called where a list is filtered by it."""


def page_of(request: Request) -> Page:
    """Return what the page stands on."""
    found: Page = request.app.state.page
    return found


def home(request: Request) -> Response:
    """Show the overview: how things stand, what to review, the newest files."""
    page = page_of(request)
    may_edit = rendering.visitor(request).may_edit
    current = now(page, utc_now())
    newest = listing.find(page.ledger, Filters())
    return rendering.page(
        request,
        "home.html",
        now_html=now_html(current, may_edit=may_edit),
        now_line=now_line(current),
        needs_a_look=needs_a_look(current),
        review_line=review_line(current.reviews),
        reviews=sections.rows(page, sections.reviews(page).lines),
        rows=sections.rows(page, newest.lines),
        next="" if newest.next is None else str(newest.next),
        **_choices(page, Filters()),
    )


def now_page(request: Request) -> Response:
    """Show how things stand."""
    current = now(page_of(request), utc_now())
    return rendering.page(
        request,
        "now.html",
        now_html=now_html(current, may_edit=rendering.visitor(request).may_edit),
        now_line=now_line(current),
    )


def files(request: Request) -> Response:
    """Show the files that are asked for, newest first."""
    return _list(request, listing.filters(request.query_params), "Files", "/files")


def review(request: Request) -> Response:
    """Show what a person should look at first."""
    return _list(request, Filters(to_review=True), "To review", "/review")


def file(request: Request) -> Response:
    """Show one file with all that is known of it."""
    page = page_of(request)
    line = page.line(request.path_params["number"])
    return rendering.page(
        request,
        "file.html",
        file=line.file,
        has_hosts=bool(page.hosts()),
        body=one_file.body(page, line, may_edit=rendering.visitor(request).may_edit),
        done=DONE.get(request.query_params.get("done", ""), ""),
        **one_file.picture(page, line),
    )


def sidecar(request: Request) -> Response:
    """Hand out the sidecar of a file, as it would lie beside it."""
    page = page_of(request)
    line = page.line(request.path_params["number"])
    document = one_file.sidecar_of(page, line)
    if document is None:
        raise RefusedError("the file has no outcome yet, and so no sidecar")
    return Response(
        document,
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{line.file.id}.identifai.json"'},
    )


DONE = {
    "decided": "The desk's judgement is written down. The file is delivered accordingly in a moment.",
    "retried": "It is tried again.",
    "rejudged": "It is judged anew.",
    "nothing": "There was nothing to do: it is under way, or its verdict stands.",
    "queued": "The order is queued: the daemon carries it out when it comes to it.",
}
"""What is said after something was done; a query names it, so that nobody's words get here."""


def now_html(current: Now, *, may_edit: bool) -> str:
    """Return how things stand, as HTML."""
    return rendering.fragment("_now.html", now=current, may_edit=may_edit, pauses=PAUSES, remedies=REMEDIES)


def now_line(current: Now) -> str:
    """Return how things stand in one line."""
    report = current.report
    if not report.is_running:
        return "the daemon does not run"
    parts = []
    if report.account.reason is not None:
        parts.append(f"paused: {PAUSES[report.account.reason]}")
    away = [one.name for one in report.nodes if not one.is_running and not one.is_retired]
    parts += [f"no daemon on {', '.join(away)}"] if away else []
    ill = [one.name if not report.has_hosts else one.full_name for one in _ill(report)]
    parts += [f"unavailable: {', '.join(ill)}"] if ill else []
    parts += [f"{report.stuck:,} stuck"] if report.stuck else []
    if report.queue.total:
        eta = "" if report.eta is None else f", about {span(report.eta.total_seconds())}"
        parts.append(f"{report.queue.total:,} to send{eta}")
    if report.held:
        parts.append(f"{report.held:,} held")
    return "; ".join(parts) or "all is well"


def needs_a_look(current: Now) -> bool:
    """Tell whether how things stand is worth unfolding."""
    report = current.report
    is_away = any(not one.is_running and not one.is_retired for one in report.nodes)
    is_ill = is_away or bool(_ill(report))
    return not report.is_running or report.account.reason is not None or bool(report.stuck) or is_ill


def _ill(report: Report) -> list[WatchedFolder]:
    """Return the folders out of reach: what a host told last whose daemon does not run holds no longer."""
    away = {one.name for one in report.nodes if not one.is_running}
    return [one for one in report.folders if one.health == "unavailable" and one.node not in away]


def review_line(count: int) -> str:
    """Say how much is to be reviewed."""
    if count == 0:
        return "Nothing waits for the desk."
    many = f"{count:,} or more files wait" if count >= MOST_COUNTED else f"{count:,} files wait"
    return f"{'1 file waits' if count == 1 else many} for the desk: signs were found, or it is unclear."


def _list(request: Request, filters: Filters, title: str, base: str) -> Response:
    page = page_of(request)
    after = listing.place(request.query_params)
    found = listing.find(page.ledger, filters, after=after)
    view = "review" if filters.to_review else "files"
    asked = {} if after is None else {"after": str(after)}
    return rendering.page(
        request,
        "files.html",
        title=title,
        base=f"{base}?{filters.query()}".rstrip("?"),
        live=filters.query(view=view, **asked),
        to_review=filters.to_review,
        rows=sections.rows(page, found.lines),
        next="" if found.next is None else f"{base}?{filters.query(after=str(found.next))}",
        looked_to=None if found.looked_to is None else found.looked_to.noticed_at,
        is_later=after is not None,
        **_choices(page, filters),
    )


def _choices(page: Page, filters: Filters) -> dict[str, Any]:
    """Return what the form of filters offers."""
    with page.ledger.read() as tx:
        folders = lists.folder_names(tx)
    return {"filters": filters, "folders": folders, "hosts": page.hosts(), "states": STATES}


ROUTES = [
    Route("/", home),
    Route("/now", now_page),
    Route("/review", review),
    Route("/files", files),
    Route("/files/{number:int}", file),
    Route("/files/{number:int}/sidecar", sidecar),
]
