"""One request to identifAI, its answer back: the only module that speaks HTTP to the outside.

It repeats nothing, follows no redirect and decides nothing: what an answer means stands in ``core.answers``. The
key is asked for anew with each request and never part of a text that leaves this module.
"""

import contextlib
import hashlib
import http.cookiejar
import json as jsons
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import quote
from weakref import WeakSet

import requests
import requests.adapters
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.filepost import choose_boundary, encode_multipart_formdata

from identifai_watch import __version__
from identifai_watch.core.model import Label, Media
from identifai_watch.core.replies import Answer, Failure, Response, is_identifier
from identifai_watch.errors import AccountError

MOST_IDENTIFIERS = 50
"""In one GET: 100 are allowed, but make a request line over the usual 8,192 bytes (api-notes 12)."""

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
WRITE_SECONDS = 120.0
"""For one block of an upload; a whole upload may take as long as it needs (api-notes 28)."""

_BLOCK = 1024 * 1024
_LONGEST_ANSWER = 128 * 1024 * 1024
_ANSWER_BYTES_PER_SECOND = 100_000
"""An answer may take READ_SECONDS, and more by its size: one that drips must not hold a question for ever."""
_INTAKE_BYTES_PER_SECOND = 5_000_000
"""How slowly the API may take in what lies in buffers on the way once we wrote the last byte."""
_FRESH_SECONDS = 3.0
"""An upload does not go out on a connection that idled longer: servers close those, and a lost one means doubt."""

_SUBMISSIONS = {
    Media.IMAGE: "/api/classification",
    Media.VIDEO: "/api/classification_video",
    Media.AUDIO: "/api/classification_audio",
}
_BATCHES = {
    Media.IMAGE: "/api/classifications",
    Media.VIDEO: "/api/classifications_video",
    Media.AUDIO: "/api/classifications_audio",
}


class Cancelled(Exception):  # noqa: N818 - it is no error: the caller chose it
    """The request is ended before all of it was sent; raise it from ``depart`` to keep one from leaving."""


class Source(Protocol):
    """What an upload is read from."""

    def read(self, most: int, /) -> bytes:
        """Return the next bytes, at most ``most``; none at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One content to send.

    ``file`` stands at its first byte and is closed by the caller; ``size`` is in bytes. ``verify`` gets the SHA-256
    of the bytes sent, before the closing boundary is written, and says whether they are still what was asked to be
    sent. ``progress`` gets the number of bytes of each block written.
    """

    file: Source
    name: str
    mime: str
    size: int
    verify: Callable[[bytes], bool]
    progress: Callable[[int], None] | None = None


def immediately(_method: str) -> None:
    """Depart at once: the ``depart`` of those who keep no budget."""


def unheard(_kind: str, _answer: Answer) -> None:
    """Count nothing: the ``answered`` of those who ask for themselves alone."""


class Api:
    """The account at ``url``; safe to use from several threads, each of which keeps its own connection.

    ``key`` gives the API key. ``depart`` gets the method of each request when its connection stands, right before
    its first byte leaves: it returns when the request may go, or raises ``Cancelled``. ``answered`` gets the kind of
    each request, in a word, and its answer, in the thread that asked. ``ca_file`` holds the authorities to trust
    instead of the usual ones. ``proxy`` is the address, perhaps with user and password, of a proxy through which ``https``
    goes in a tunnel; nothing is taken from the environment.
    """

    def __init__(
        self,
        url: str,
        key: Callable[[], str],
        *,
        depart: Callable[[str], None] = immediately,
        answered: Callable[[str, Answer], None] = unheard,
        user_agent: str = f"identifai-watch/{__version__}",
        ca_file: str | None = None,
        proxy: str | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._key = key
        self._depart = depart
        self._answered = answered
        self._user_agent = user_agent
        self._ca_file = ca_file
        self._proxy = proxy
        self._certificate_ends: datetime | None = None
        self._own = threading.local()
        self._lock = threading.Lock()
        self._sessions: WeakSet[requests.Session] = WeakSet()  # a thread that ends takes its own with it
        self._flights: set[_Flight] = set()
        self._is_abandoned = False

    def submit(self, media: Media, upload: Upload, options: Mapping[str, str]) -> Answer:
        """Send a content, with the form's ``options``; unless ``upload.verify`` agrees it is never completed."""
        return self._ask("upload", "POST", _SUBMISSIONS[media], body=_Body(media, upload, options))

    def result(self, media: Media, identifier: str) -> Answer:
        """Ask for the result of one identifier."""
        return self._ask("result", "GET", f"{_SUBMISSIONS[media]}/{_segment(identifier)}")

    def results(self, media: Media, identifiers: Sequence[str]) -> Answer:
        """Ask for the results of 1 to 50 identifiers of one kind; never for a listing (api-notes 13)."""
        if not 0 < len(identifiers) <= MOST_IDENTIFIERS:
            raise ValueError(f"{len(identifiers)} identifiers in one request, not 1 to {MOST_IDENTIFIERS}")
        query = "&".join(f"identifiers%5B%5D={_segment(identifier)}" for identifier in identifiers)
        return self._ask("results", "GET", f"{_BATCHES[media]}?{query}")

    def heatmap(self, identifier: str) -> Answer:
        """Ask for the PNG of an image's heatmap."""
        path = f"/api/classification/heatmap/{_segment(identifier)}"
        return self._ask("heatmap", "GET", path, accept="image/png")

    def credits(self) -> Answer:
        """Ask for the account's credits."""
        return self._ask("credits", "GET", "/api/user/credits")

    def override(self, media: Media, sha256: str, label: Label) -> Answer:
        """Tell the vendor what the content with this SHA-256 (hex) is; that cannot be undone."""
        path = f"{_SUBMISSIONS[media]}/{_segment(sha256)}/override"
        return self._ask("override", "POST", path, json={"classification": label.value})

    @property
    def certificate_ends(self) -> datetime | None:
        """Return until when the certificate is good that the latest request found; None if it found none."""
        return self._certificate_ends

    def abandon(self) -> None:
        """Cut every upload in flight, and each that begins later, for a stop that cannot wait."""
        with self._lock:
            self._is_abandoned = True
            for flight in self._flights:
                flight.abandon()

    def close(self) -> None:
        """Close the connections of all threads; those that still ask are not waited for."""
        with self._lock:
            sessions = list(self._sessions)
            self._sessions.clear()
        for session in sessions:
            session.close()

    def _ask(self, kind: str, method: str, path: str, **said: Any) -> Answer:
        answer = self._exchange(method, path, **said)
        self._answered(kind, answer)
        return answer

    def _exchange(
        self,
        method: str,
        path: str,
        *,
        accept: str = "application/json",
        body: "_Body | None" = None,
        json: Mapping[str, str] | None = None,
    ) -> Answer:
        try:
            key = self._usable_key()
        except AccountError as error:
            return Failure(reason=str(error), sent=False, reached=False, keyless=True)
        headers = {"Accept": accept, "X-Api-Key": key, "User-Agent": self._user_agent}
        patience = READ_SECONDS
        if body is not None:
            headers["Content-Type"] = body.content_type
            patience += len(body) / _INTAKE_BYTES_PER_SECOND
        flight = _Flight(method=method, depart=self._depart, body=body)
        with self._aboard(flight):
            try:
                with self._session().request(
                    method,
                    self._url + path,
                    headers=headers,
                    data=body,
                    json=json,
                    timeout=(CONNECT_SECONDS, patience),
                    allow_redirects=False,
                    stream=True,
                ) as answer:
                    self._certificate_ends = _certificate_ends(flight.sock)
                    return _read(answer, sent=flight.is_sent, key=key)
            except Cancelled as end:
                return Failure(reason=str(end) or "cancelled", sent=False, reached=flight.reached, ours=True)
            except (OSError, HTTPError) as error:
                return flight.failure(error)

    def _usable_key(self) -> str:
        """Ask for the key; one that no header can carry would else end up in an exception's text."""
        key = self._key().strip()
        if not key or not key.isascii() or not key.isprintable():
            raise AccountError("the API key is empty or has characters that a key cannot have")
        return key

    def _session(self) -> requests.Session:
        """Give this thread's own session."""
        try:
            session: requests.Session = self._own.session
        except AttributeError:
            session = self._own.session = _new_session(self._ca_file, self._proxy)
            with self._lock:
                self._sessions.add(session)
        return session

    @contextlib.contextmanager
    def _aboard(self, flight: "_Flight") -> Iterator[None]:
        """Make ``flight`` known to its connection, and to ``abandon`` if it is an upload."""
        token = _FLIGHT.set(flight)
        try:
            with self._lock:
                if flight.body is not None:
                    self._flights.add(flight)
                    flight.is_abandoned = self._is_abandoned
            yield
        finally:
            with self._lock:
                self._flights.discard(flight)
            _FLIGHT.reset(token)


class _Body:
    """A multipart body of known length that reads its file while it is sent; on purpose it can be sent only once."""

    def __init__(self, media: Media, upload: Upload, options: Mapping[str, str]) -> None:
        boundary = choose_boundary()
        fields: list[Any] = [(name, _carried(value)) for name, value in sorted(options.items())]
        fields.append((media.value, (_carried(upload.name), b"", upload.mime)))
        encoded, self.content_type = encode_multipart_formdata(fields, boundary)
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._head = encoded.removesuffix(self._tail)
        self._upload = upload
        self.is_sent = False

    def __len__(self) -> int:
        return len(self._head) + self._upload.size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        digest = hashlib.sha256()
        left = self._upload.size
        while left:
            block = self._next_block(min(left, _BLOCK))
            digest.update(block)
            yield block
            left -= len(block)
            if self._upload.progress is not None:
                self._upload.progress(len(block))
        self._verify(digest.digest())
        self.is_sent = True  # from here on it may have arrived
        yield self._tail

    def _next_block(self, most: int) -> bytes:
        try:
            block = self._upload.file.read(most)
        except OSError as error:
            raise Cancelled(f"the file cannot be read: {error.strerror}") from error
        if not block:
            raise Cancelled("the file changed while it was sent: it became shorter")
        return block

    def _verify(self, digest: bytes) -> None:
        try:
            is_same = self._upload.verify(digest)
        except OSError as error:
            raise Cancelled(f"the file cannot be looked at: {error.strerror}") from error
        if not is_same:
            raise Cancelled("the file changed while it was sent")


@dataclass(slots=True, kw_only=True, eq=False)
class _Flight:
    """One request on its way, as its connection and ``Api.abandon`` see it."""

    method: str
    depart: Callable[[str], None]
    body: _Body | None
    reached: bool = False
    is_abandoned: bool = False
    sock: Any = None  # a socket; through a TLS proxy urllib3's own class around one

    @property
    def is_sent(self) -> bool:
        return self.reached if self.body is None else self.body.is_sent

    def board(self, wire: "_HTTPConnection | _HTTPSConnection") -> None:
        """Wait on a standing connection ``wire`` until the request may go, and see that it still stands then."""
        is_reused = wire.sock is not None and wire.used is wire.sock
        if is_reused and self.body is not None and time.monotonic() - wire.used_at > _FRESH_SECONDS:
            wire.hang_up()
            is_reused = False  # on a new one the other end has something to say: TLS sends its tickets
        self._stand(wire)
        self.depart(self.method)
        if is_reused and not wire.is_connected:
            wire.hang_up()
            self._stand(wire)
        # urllib3 would hold the whole upload to the connection's time-out.
        wire.timeout = WRITE_SECONDS

    def _stand(self, wire: "_HTTPConnection | _HTTPSConnection") -> None:
        self.reached = False
        if wire.sock is None:
            wire.connect()
        self.reached = True
        self.sock = wire.sock
        if self.is_abandoned:
            raise Cancelled("abandoned: the daemon stops")

    def abandon(self) -> None:
        self.is_abandoned = True
        beneath = self.sock
        while beneath is not None and not isinstance(beneath, socket.socket):
            beneath = beneath.socket  # TLS inside TLS
        if beneath is not None:
            with contextlib.suppress(OSError):
                # Not the method of an SSL socket: that one first forgets its encryption, under the sender's feet.
                socket.socket.shutdown(beneath, socket.SHUT_RDWR)

    def failure(self, error: Exception) -> Failure:
        why = "abandoned: the daemon stops" if self.is_abandoned else _why(error)
        return Failure(reason=why, sent=self.is_sent, reached=self.reached, ours=self.is_abandoned)


_FLIGHT: ContextVar[_Flight] = ContextVar("flight")
"""The request that this thread is making: urllib3 offers no other way to tell a connection."""


class _HTTPConnection(HTTPConnection):
    used_at = 0.0
    used: socket.socket | None = None

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        _FLIGHT.get().board(self)
        super().request(method, url, *args, **kwargs)
        self.used, self.used_at = self.sock, time.monotonic()

    def hang_up(self) -> None:
        """Close; it may connect again."""
        self.close()


class _HTTPSConnection(HTTPSConnection):
    used_at = 0.0
    used: socket.socket | None = None
    tunnel: tuple[str, int | None, Mapping[str, str] | None, str] | None = None

    def set_tunnel(
        self,
        host: str,
        port: int | None = None,
        headers: Mapping[str, str] | None = None,
        scheme: str = "http",
    ) -> None:
        """Remember the way through a proxy, which ``close`` forgets."""
        self.tunnel = (host, port, headers, scheme)
        super().set_tunnel(host, port, headers, scheme)

    def hang_up(self) -> None:
        """Close; it may connect again, by the same way: else what is for the API would go to the proxy itself."""
        self.close()
        if self.tunnel is not None:
            self.set_tunnel(*self.tunnel)

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        _FLIGHT.get().board(self)
        super().request(method, url, *args, **kwargs)
        self.used, self.used_at = self.sock, time.monotonic()


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


class _Adapter(requests.adapters.HTTPAdapter):
    """requests' adapter with our connections, also to and through a proxy."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


def _new_session(ca_file: str | None, proxy: str | None) -> requests.Session:
    """Make a session that takes nothing from the environment and keeps no cookies."""
    session = requests.Session()
    session.trust_env = False
    session.verify = ca_file or True
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    if proxy is not None:
        session.proxies = {"https": proxy}  # http is for this machine alone, where no proxy stands between
    adapter = _Adapter(pool_connections=1, pool_maxsize=1)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _certificate_ends(sock: Any) -> datetime | None:
    """Read until when the other end's certificate is good; None where the connection is a plain one."""
    certificate = sock.getpeercert() if hasattr(sock, "getpeercert") else None
    if not certificate:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)


def _read(answer: requests.Response, *, sent: bool, key: str) -> Response:
    """Read the body, in which nobody is to find the key; where it breaks off, an error's status still says enough."""
    body = bytearray()
    began = time.monotonic()
    try:
        while len(body) <= _LONGEST_ANSWER and (chunk := answer.raw.read1(_BLOCK, decode_content=True)):
            body += chunk
            if time.monotonic() - began > READ_SECONDS + len(body) / _ANSWER_BYTES_PER_SECOND:
                raise TimeoutError(f"the answer drips: {len(body)} bytes so far")
    except (OSError, HTTPError):
        if answer.status_code < 400:
            raise
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Response(status=answer.status_code, headers=headers, body=_without(key, bytes(body)), sent=sent)


def _without(key: str, body: bytes) -> bytes:
    """Hide the key in an answer that tells it back: what is answered goes to the ledger, the log and sidecars."""
    spelt = jsons.dumps(key)[1:-1]
    for spelling in {key, spelt, spelt.replace("/", "\\/")}:
        body = body.replace(spelling.encode(), b"[hidden]")
    return body


def _segment(identifier: str) -> str:
    """Encode an identifier for a path or a query; a ValueError where it could name something else (api-notes 34)."""
    if not is_identifier(identifier):
        raise ValueError(f"no identifier: {identifier!r}")
    return quote(identifier, safe="")


def _carried(value: str) -> str:
    """Write what UTF-8 cannot carry, a lone surrogate, as ``?``."""
    return value.encode("utf-8", "replace").decode("utf-8")


def _why(error: BaseException) -> str:
    """Say what lies at the bottom of an exception that requests and urllib3 wrapped."""
    while True:
        if isinstance(error, NewConnectionError):
            return _not_connected(error)
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((one for one in error.args if isinstance(one, BaseException)), None)
        if inner is None:
            return f"{type(error).__name__}: {error}"
        error = inner


def _not_connected(error: NewConnectionError) -> str:
    """Say in words why there is no connection: nobody listens there, or there is no such host."""
    cause = error.__cause__
    why = (cause.strerror if isinstance(cause, OSError) else None) or str(error)
    whom = "the proxy " if error.conn.proxy is not None else ""
    return f"cannot connect to {whom}{error.conn.host}:{error.conn.port}: {why[:1].lower()}{why[1:]}"
