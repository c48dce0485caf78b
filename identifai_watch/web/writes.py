"""What the page does: what commands do, in the visitor's name, after a page that says what it does and costs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from identifai_watch import hosts, orders
from identifai_watch.config import Config
from identifai_watch.core import routing
from identifai_watch.core.model import Choice, Outcome
from identifai_watch.core.report import SHARED
from identifai_watch.core.routing import Action
from identifai_watch.core.sidecar import shown
from identifai_watch.core.words import files
from identifai_watch.errors import RefusedError
from identifai_watch.ledger import lists, views
from identifai_watch.ledger.views import Line
from identifai_watch.orders import Answer
from identifai_watch.web import one_file, rendering, sessions, words
from identifai_watch.web.gatehouse import cookie
from identifai_watch.web.page import Page, utc_now

PATIENCE = 3.0
"""Seconds that a daemon is given to carry an order out before the page says that it is queued."""

_LONGEST_REASON = 2_000
_FREE = "Nothing."


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A page that asks before something is done: what it does, what it costs, and where it is sent."""

    title: str
    does: str
    costs: str
    do: str
    action: str
    back: str
    about: str = ""
    hidden: Mapping[str, str] = field(default_factory=dict)
    choices: tuple[tuple[str, str, str], ...] = ()
    chosen: str = ""
    limit: int = 0


def ask(verb: str, request: Request) -> Response:
    """Show what one thing would do to a file, and what it would cost."""
    page: Page = request.app.state.page
    line = page.line(request.path_params["number"])
    if not getattr(one_file.can(line), verb, False):
        raise RefusedError(f"there is nothing to {verb} about {words.name(line.file)} as it is now")
    return _asked(request, _ASKS[verb](page, line, request))


async def do(verb: str, request: Request) -> Response:
    """Do one thing to a file, and lead back to it."""
    page: Page = request.app.state.page
    line = await anyio.to_thread.run_sync(page.line, request.path_params["number"])
    arguments: dict[str, Any] = {"files": [line.file.id]}
    if verb == "decide":
        arguments |= _judgement(request.state.form)
    answer = await anyio.to_thread.run_sync(_given, page, request, verb, arguments)
    return RedirectResponse(f"/files/{line.file.id}?done={_done(verb, answer)}", status_code=303)


def ask_release(request: Request) -> Response:
    """Show what a release would let go, and what it would cost at most."""
    page: Page = request.app.state.page
    folder = request.query_params.get("folder", "")
    node = _host(page, request.query_params.get("node", ""))
    held = _held(page, folder, node)
    of_host = f" on {shown(node)}" if node not in {"", page.ledger.node} else ""
    where = f"of the folder {shown(folder)}{of_host}" if folder else f"of all folders{of_host}"
    return _asked(
        request,
        Asked(
            title="Release what is held",
            about=f"{files(held)} {where}",
            does="They are hashed and sent, the newest first, after what is news.",
            costs=f"Each content that is new costs a post and its credits: at most {held:,}. Copies, and what was judged before, cost nothing.",
            do="Release",
            action="/release",
            back="/now",
            hidden={"folder": folder} | ({"node": node} if page.ledger.member else {}),
            limit=held,
        ),
    )


async def release(request: Request) -> Response:
    """Release what is held, as many as was asked for."""
    page: Page = request.app.state.page
    form = request.state.form
    asked = form.get("limit", "")
    if not (asked.isascii() and asked.isdigit() and 0 < len(asked) < 10 and int(asked) > 0):
        raise RefusedError(f"limit: {shown(asked[:20])!r} is not a number of files")
    node = _host(page, form.get("node", ""))
    arguments: dict[str, Any] = {"node": node or page.ledger.node, "limit": int(asked)}
    folder = form.get("folder", "")
    if folder:
        arguments |= {"folder": folder, "node": _known(page, folder, node)}
    elif page.ledger.member:
        with page.ledger.read() as tx:
            arguments["folder_ids"] = list(views.folder_ids(tx, node, page.config().shared).values())
    await anyio.to_thread.run_sync(_given, page, request, "release", arguments)
    return RedirectResponse("/now", status_code=303)


def _given(page: Page, request: Request, verb: str, arguments: dict[str, Any]) -> Answer | None:
    """Give an order in the visitor's name."""
    who = rendering.visitor(request).name
    if who is None:
        raise RefusedError("nobody knows who you are, and history says who did what")
    page.log.info("ordered on the page", verb=verb, by=who)
    return orders.give(page.config(), page.ledger, verb, arguments, who=who, patience=PATIENCE)


def _judgement(form: Mapping[str, str]) -> dict[str, Any]:
    """Return what the desk decided; raise RefusedError where it says nothing that is known, or no reason."""
    choice, reason = form.get("choice", ""), form.get("reason", "").strip()
    if choice not in [*Choice]:
        raise RefusedError(f"{shown(choice[:40])!r} is no judgement; known are {', '.join(Choice)}")
    if not reason or len(reason) > _LONGEST_REASON:
        raise RefusedError(
            f"the reason is empty, or longer than {_LONGEST_REASON:,} characters; the desk will want to know it"
        )
    return {"choice": Choice(choice), "reason": " ".join(shown(part) for part in reason.splitlines())}


def _done(verb: str, answer: Answer | None) -> str:
    if answer is None:
        return "queued"
    past = {"decide": "decided", "retry": "retried", "rejudge": "rejudged"}[verb]
    return past if answer.get(past) else "nothing"


def _host(page: Page, asked: str) -> str:
    """Return the host that is asked for, else this one; "" in a ledger that is a file.

    Raises:
        RefusedError: The ledger knows no such host.
    """
    if not asked or asked == page.ledger.node:
        return page.ledger.member
    if asked not in page.hosts():
        raise RefusedError(f"there is no host {shown(asked[:100])} in the ledger")
    return asked


def _held(page: Page, folder: str, node: str) -> int:
    """Count what is held of a host: of one folder, or of all."""
    owner = _known(page, folder, node) if folder else ""
    with page.ledger.read() as tx:
        held = lists.held_by_folder(tx, by_node=bool(node))
    if not folder:
        return sum(count for (whose, _), count in held.items() if whose in {node, SHARED})
    return held.get((owner if node else "", folder), 0)


def _known(page: Page, folder: str, node: str) -> str:
    """Return under which node the ledger has a folder of a host; raise RefusedError if there is none."""
    config, ledger = page.config(), page.ledger
    if node in {"", ledger.node}:
        own = config.folder_named(folder)
        if own is None:
            known = ", ".join(one.name for one in config.folders)
            raise RefusedError(f"there is no folder {shown(folder[:100])}; configured are {known}")
        return own.node_of(ledger.node)
    with ledger.read() as tx:
        owners = [one for one in views.owners(tx, folder) if one in {node, SHARED}]
    if not owners:
        raise RefusedError(f"{shown(node)} has no folder {shown(folder[:100])}")
    return owners[-1]


def _asked(request: Request, asked: Asked) -> Response:
    template = "_confirm.html" if "fragment" in request.query_params else "confirm.html"
    return rendering.page(
        request, template, **{name: getattr(asked, name) for name in Asked.__dataclass_fields__}
    )


# What each does.


def _ask_decide(page: Page, line: Line, request: Request) -> Asked:
    chosen = request.query_params.get("choice", "")
    return Asked(
        title="Decide",
        about=_about(page, line),
        does=f"{_delivers(page.config(), line)} identifAI is not told, and its verdict is kept as it is. It can be decided anew.",
        costs=_FREE,
        do="Decide",
        action=f"/files/{line.file.id}/decide",
        back=f"/files/{line.file.id}",
        choices=tuple((choice, words.CHOICES[choice], _MEANS[choice]) for choice in Choice),
        chosen=chosen if chosen in [*Choice] else "",
    )


_MEANS = {
    Choice.HUMAN: "whatever the verdict says",
    Choice.ARTIFICIAL: "whatever the verdict says",
    Choice.INCONCLUSIVE: "nobody can say; it is treated as unclear",
    Choice.CONFIRMED: "however low its confidence",
}


def _ask_retry(page: Page, line: Line, _request: Request) -> Asked:
    return Asked(
        title="Retry",
        about=_about(page, line),
        does="It goes on where it stood: what was not sent is sent, what was sent is asked for, what was not delivered is delivered.",
        costs="Nothing is paid twice. A content that was refused, or never sent, costs a post and its credits if identifAI takes it now.",
        do="Retry",
        action=f"/files/{line.file.id}/retry",
        back=f"/files/{line.file.id}",
    )


def _ask_rejudge(page: Page, line: Line, _request: Request) -> Asked:
    with page.ledger.read() as tx:
        copies = 0 if line.file.sha256 is None else len(lists.with_content(tx, line.file.sha256)) - 1
    also = "" if copies < 1 else f" So it is for {files(copies)} with the same content."
    return Asked(
        title="Judge anew",
        about=_about(page, line),
        does=f"The content is sent again, and identifAI judges it anew. The earlier verdict is kept in the history.{also}",
        costs="It is paid for again: one post and the credits of one analysis.",
        do="Pay again and judge anew",
        action=f"/files/{line.file.id}/rejudge",
        back=f"/files/{line.file.id}",
    )


_ASKS: Mapping[str, Callable[[Page, Line, Request], Asked]] = {
    "decide": _ask_decide,
    "retry": _ask_retry,
    "rejudge": _ask_rejudge,
}


def _about(page: Page, line: Line) -> str:
    return f"{words.directory(line.file, has_hosts=bool(page.hosts()))}/{words.name(line.file)}"


def _delivers(config: Config, line: Line) -> str:
    """Say what becomes of a file that is decided, by what its folder does with files."""
    host = hosts.elsewhere(config, line.file)
    if host is not None:
        return f"The judgement stands in the ledger, and the daemon on {shown(host)} delivers the file accordingly, as its folder says."
    folder = config.folder_of(line.file.node, line.file.folder)
    if folder is None:
        return "The judgement stands in the ledger; the folder is not configured any more."
    rules = folder.routing_rules()
    to = routing.destination(line.file.path, Outcome.HUMAN, rules)
    match rules.action:
        case Action.SIDECAR:
            return "The judgement stands in the ledger and in the file's sidecar, which is written anew."
        case Action.RECORD:
            return "The judgement stands in the ledger alone: nothing is written in this folder."
        case Action.MOVE:
            return f"The file moves to the place of what you decide (for what people made: {shown(to or b'')}), and its sidecar with it."
        case Action.COPY:
            return f"The copy goes to the place of what you decide (for what people made: {shown(to or b'')}), and the sidecars are written anew."


# Who it is.


def login_page(request: Request) -> Response:
    """Ask for a token."""
    return rendering.page(request, "login.html", next=_inside(request.query_params.get("next", "/")), says="")


async def login(request: Request) -> Response:
    """Begin a session for whoever has a user's token."""
    page: Page = request.app.state.page
    web, form = page.config().web, request.state.form
    goes_to = _inside(form.get("next", "/"))
    user = None
    if web.users_file is not None:
        token = form.get("key", "").strip()[:300]
        user = await page.users.with_token(web.users_file, token)
    if user is None:
        page.log.warning("login refused", peer=request.client.host if request.client else None)
        return rendering.page(
            request, "login.html", status=403, next=goes_to, says="That is no user's token."
        )
    page.log.info("logged in", user=user.name)
    answer = RedirectResponse(goes_to, status_code=303)
    is_secure = web.public_url.startswith("https:")
    seconds = int(sessions.LASTS.total_seconds())
    answer.headers.append(
        "Set-Cookie",
        cookie(sessions.COOKIE, sessions.begun(user, utc_now()), is_secure=is_secure, seconds=seconds),
    )
    return answer


async def logout(request: Request) -> Response:
    """End the session of this browser."""
    page: Page = request.app.state.page
    answer = RedirectResponse("/login", status_code=303)
    is_secure = page.config().web.public_url.startswith("https:")
    answer.headers.append("Set-Cookie", cookie(sessions.COOKIE, "", is_secure=is_secure, seconds=0))
    return answer


def _inside(path: str) -> str:
    """Return a path of this page: nobody is led elsewhere by a link to the login."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_ours and "\\" not in path else "/"


ROUTES = [
    Route("/login", login_page, methods=["GET"]),
    Route("/login", login, methods=["POST"]),
    Route("/logout", logout, methods=["POST"]),
    Route("/release", ask_release, methods=["GET"]),
    Route("/release", release, methods=["POST"]),
    *(
        Route(f"/files/{{number:int}}/{verb}", partial(endpoint, verb), methods=[method])
        for verb in _ASKS
        for endpoint, method in ((ask, "GET"), (do, "POST"))
    ),
]
