"""The gatehouse: under which name somebody asked, who it is, and whether something may be written.

Nothing behind it sees a request whose Host is a stranger's, whose sender nobody knows where users are known, or that
would write without the right, from another site, or without the token of a form of ours. Nothing leaves without the
headers that keep a page from doing what it should not.
"""

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlsplit

import anyio
import anyio.to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from identifai_watch.config import Web
from identifai_watch.core.sidecar import shown
from identifai_watch.errors import RefusedError
from identifai_watch.web import sessions
from identifai_watch.web.page import Page, utc_now
from identifai_watch.web.users import RESERVED, Role

VISIT = "identifai_visit"
"""The cookie by which a form is known to be one that we gave to this browser."""

LOCAL = "page"
"""Who it is, in the history, when nobody is named and the request is from this machine."""

_MOST_FORM = 65_536
_FORM_SECONDS = 15
_FORM = "application/x-www-form-urlencoded"
_OPEN = re.compile(r"/(healthz|login|static/.*)")
"""What is answered to anybody; of these only ``healthz`` under any name, for a prober knows an address alone."""

_UNCHANGING = re.compile(r"/login|/logout|/files/[0-9]+/bundle")
"""What is asked for by a form and changes nothing: whoever may look may do it."""

_NAMED = re.compile(r"[^\s\x00-\x20\x7f:](?:[^\x00-\x1f\x7f]{0,126}[^\s\x00-\x20\x7f])?")
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # under "no-referrer" a browser says of our own forms that they come from nowhere
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who asks: ``name`` stands in the history, None if nobody knows; ``token`` makes a form one of ours.

    ``is_named`` is whether somebody vouches for that name: a token, or a trusted proxy.
    """

    name: str | None
    role: Role
    token: str = ""
    has_session: bool = False
    is_named: bool = False

    @property
    def is_local(self) -> bool:
        """Whether nobody is named, and the request is from this machine."""
        return self.name == LOCAL and not self.is_named

    @property
    def may_edit(self) -> bool:
        """Whether what changes something is done for them."""
        return self.role is Role.EDIT and self.name is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal(Exception):  # noqa: N818 - an answer, not an error
    status: int
    says: str


class Gatehouse:
    """The outermost of the page; what it lets in finds the ``visitor`` and the ``form`` in the request's state."""

    def __init__(self, app: ASGIApp, *, page: Page) -> None:
        self._app = app
        self._page = page
        self._secret = secrets.token_bytes(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        visit = _cookies(headers).get(VISIT, "")
        is_new = len(visit) < 16
        if is_new:
            visit = secrets.token_urlsafe(24)
        leave = self._leaving(send, visit if is_new else None)
        try:
            answer = await self._admitted(scope, headers, visit, receive)
        except _Refusal as refusal:
            answer = _said(scope["path"], refusal.status, refusal.says)
        if isinstance(answer, Response):
            await answer(scope, receive, leave)
        else:
            await self._app(scope, answer, leave)

    async def _admitted(
        self, scope: Scope, headers: Headers, visit: str, receive: Receive
    ) -> Receive | Response:
        """Return what the page behind reads the request from, or the answer of who is not let in."""
        path, web = scope["path"], self._page.config().web
        state = scope.setdefault("state", {})
        if path != "/healthz":
            _mind_host(headers, web)
        try:
            visitor = await self._visitor(scope, headers, web)
        except RefusedError as error:
            self._page.log.error("users cannot be read", reason=str(error))  # noqa: TRY400 - a traceback tells nothing
            raise _Refusal(status=503, says="The file of users cannot be used; the log says why.") from None
        if visitor is None and not _OPEN.fullmatch(path):
            return _who_are_you(scope, headers, web)
        visitor = visitor or Visitor(name=None, role=Role.VIEW)
        visitor = replace(visitor, token=self._token(visit, visitor.name))
        state["visitor"] = visitor
        if scope["method"] in {"GET", "HEAD"}:
            return receive
        if scope["method"] != "POST":
            raise _Refusal(status=405, says="Only GET, HEAD and POST are answered.")
        _mind_origin(headers, web)
        body = await _body(receive, headers)
        form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50))
        if not hmac.compare_digest(form.get("token", "").encode(), visitor.token.encode()):
            says = "The form is not one that this page gave you, or the page was started anew since; open it again."
            raise _Refusal(status=403, says=says)
        if not _UNCHANGING.fullmatch(path) and not visitor.may_edit:
            says = "You may look, and change nothing here."
            raise _Refusal(status=403, says=says)
        state["form"] = form
        return _read_through(receive)

    async def _visitor(self, scope: Scope, headers: Headers, web: Web) -> Visitor | None:
        """Return who asks, None if that has to be known first.

        Raises:
            RefusedError: The file of users cannot be used.
        """
        peer = _address(scope["client"][0] if scope.get("client") else "")
        users, path = self._page.users, web.users_file
        is_proxy = peer is not None and any(peer in network for network in web.proxies)
        if web.user_header and is_proxy:
            name = _named_by(headers.getlist(web.user_header))
            if name is not None:
                user = None if path is None else await anyio.to_thread.run_sync(users.named, path, name)
                role = Role.EDIT if path is None else Role.VIEW if user is None else user.role
                return Visitor(name=shown(name), role=role, is_named=True)
            if path is None:
                return Visitor(name=None, role=Role.VIEW)
        if path is not None:
            return await self._with_token(headers, web)
        if web.user_header:
            is_here = peer is not None and peer.is_loopback and not is_proxy
            return Visitor(name=LOCAL, role=Role.EDIT) if is_here and _is_direct(headers) else None
        is_only_here = not web.public_url and not web.hosts
        if is_only_here and peer is not None and peer.is_loopback and _is_direct(headers):
            return Visitor(name=LOCAL, role=Role.EDIT)
        return Visitor(name=None, role=Role.VIEW)

    async def _with_token(self, headers: Headers, web: Web) -> Visitor | None:
        """Return who has this token, or this session."""
        users, path = self._page.users, web.users_file
        if path is None:
            return None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            user = await users.with_token(path, token.strip())
            return None if user is None else Visitor(name=user.name, role=user.role, is_named=True)
        cookie = _cookies(headers).get(sessions.COOKIE, "")
        named = (
            await anyio.to_thread.run_sync(users.named, path, sessions.name_in(cookie)) if cookie else None
        )
        if named is None or not sessions.is_good(cookie, named, utc_now()):
            return None
        return Visitor(name=named.name, role=named.role, is_named=True, has_session=True)

    def _token(self, visit: str, name: str | None) -> str:
        about = f"{visit}\n{name or ''}".encode("utf-8", "replace")
        return hmac.new(self._secret, about, hashlib.sha256).hexdigest()

    def _leaving(self, send: Send, visit: str | None) -> Send:
        """Return what sends an answer with our headers; a route that says something else of its own is left so."""
        is_secure = self._page.config().web.public_url.startswith("https:")

        async def leave(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if visit is not None and headers.get("content-type", "").startswith("text/html"):
                    headers.append("Set-Cookie", cookie(VISIT, visit, is_secure=is_secure))
            await send(message)

        return leave


def _named_by(said: Sequence[str]) -> str | None:
    """Return whom a proxy names, once, by a name that is somebody's; proxies write UTF-8 or Latin-1."""
    if len(said) != 1:
        return None
    try:
        name = said[0].encode("latin-1").decode()
    except UnicodeError:
        name = said[0]
    return name if _NAMED.fullmatch(name) and name.lower() not in RESERVED else None


def cookie(name: str, value: str, *, is_secure: bool, seconds: int | None = None) -> str:
    """Return a cookie that no script reads and no other site has sent along; without ``seconds`` it ends with the browser."""
    lasts = "" if seconds is None else f"; Max-Age={seconds}"
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Strict{lasts}{'; Secure' if is_secure else ''}"


def _cookies(headers: Headers) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _host_in(authority: str) -> str:
    """Return the host of a Host header without its port, in lower case; "" if it is none."""
    try:
        return (urlsplit(f"//{authority}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _mind_host(headers: Headers, web: Web) -> None:
    """Refuse a name that is not ours: one that a stranger's DNS led here would let his page read ours.

    An address cannot be led elsewhere, and needs no permission.
    """
    said = headers.getlist("host")
    host = _host_in(said[0]) if len(said) == 1 else ""
    listens = web.address
    ours = {"localhost", web.public_host, *web.hosts, None if listens is None else listens[0].lower()}
    if host == "" or (host not in ours and _address(host) is None):
        says = f"This page does not answer under the name {shown(host)!r}; whoever runs it can add it to web.hosts."
        raise _Refusal(status=421, says=says)


def _is_direct(headers: Headers) -> bool:
    """Tell whether a request names this machine alone, and no proxy says that it handed it on."""
    host = _host_in(headers.get("host", ""))
    address = _address(host)
    is_here = host == "localhost" or (address is not None and address.is_loopback)
    return is_here and not any(name in headers for name in _FORWARDED)


def _mind_origin(headers: Headers, web: Web) -> None:
    """Refuse what another site has a browser send; browsers say so, and cannot be told not to."""
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise _Refusal(status=403, says="Another site sent this.")
    origin = headers.get("origin")
    if origin is None:
        return
    ours = {headers.get("host", "").lower(), urlsplit(web.public_url).netloc.lower()} - {""}
    if urlsplit(origin).netloc.lower() not in ours:
        raise _Refusal(status=403, says="Another site sent this.")


async def _body(receive: Receive, headers: Headers) -> bytes:
    """Read a form, which is small."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise _Refusal(status=415, says=f"Only {_FORM} is read.")
    body = b""
    with anyio.move_on_after(_FORM_SECONDS):
        while True:
            message = await receive()
            if message["type"] != "http.request":
                break
            body += bytes(message.get("body", b""))
            if len(body) > _MOST_FORM:
                raise _Refusal(status=413, says="That is more than a form of this page holds.")
            if not message.get("more_body", False):
                return body
    raise _Refusal(status=408, says="The form did not come as a whole.")


def _read_through(receive: Receive) -> Receive:
    """Return what is left of a request whose form was read: an end, and then the news that the visitor went away."""
    is_over = False

    async def rest() -> Message:
        nonlocal is_over
        if is_over:
            return await receive()
        is_over = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return rest


def _who_are_you(scope: Scope, headers: Headers, web: Web) -> Response:
    """Answer somebody who is not known: people log in, machines hear that they have to."""
    path: str = scope["path"]
    if web.users_file is None:
        return _said(path, 403, "Only the reverse proxy may ask this page.")
    wants_page = "text/html" in headers.get("accept", "") and scope["method"] == "GET"
    if not wants_page or path.startswith("/api/"):
        answer = _said(path, 401, "Who are you? Send the token of a user: Authorization: Bearer TOKEN")
        answer.headers["WWW-Authenticate"] = 'Bearer realm="identifai-watch"'
        return answer
    query = scope["query_string"].decode("latin-1")
    wanted = quote(f"{path}?{query}" if query else path, safe="")
    return RedirectResponse(f"/login?next={wanted}", status_code=303)


def _said(path: str, status: int, says: str) -> Response:
    if path.startswith("/api/"):
        return JSONResponse({"error": says}, status_code=status)
    return PlainTextResponse(f"{says}\n", status_code=status)
