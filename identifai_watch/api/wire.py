"""The connections: when a request may leave on which, how it is cut, and what kept it from getting through.

urllib3 offers no way to wait between connecting and sending, so that its connections are extended here.
"""

import contextlib
import http.cookiejar
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests
import requests.adapters
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from identifai_watch.api.upload import Body, Cancelled
from identifai_watch.core.replies import Failure

WRITE_SECONDS = 120.0
"""For one block of an upload; a whole upload may take as long as it needs (api-notes 28)."""

_FRESH_SECONDS = 3.0
"""An upload does not go out on a connection that idled longer: servers close those, and a lost one means doubt."""


@dataclass(slots=True, kw_only=True, eq=False)
class Flight:
    """One request on its way, as its connection and ``Api.abandon`` see it."""

    method: str
    depart: Callable[[str], None]
    body: Body | None
    reached: bool = False
    is_abandoned: bool = False
    sock: Any = None  # a socket; through a TLS proxy urllib3's own class around one

    @property
    def is_sent(self) -> bool:
        """Whether all of it may have arrived."""
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
        """Cut it, under way or yet to leave; from any thread."""
        self.is_abandoned = True
        beneath = self.sock
        while beneath is not None and not isinstance(beneath, socket.socket):
            beneath = beneath.socket  # TLS inside TLS
        if beneath is not None:
            with contextlib.suppress(OSError):
                # Not the method of an SSL socket: that one first forgets its encryption, under the sender's feet.
                socket.socket.shutdown(beneath, socket.SHUT_RDWR)

    def failure(self, error: Exception) -> Failure:
        """Return what an exception means for the request that it ended."""
        why = "abandoned: the daemon stops" if self.is_abandoned else _why(error)
        return Failure(reason=why, sent=self.is_sent, reached=self.reached, ours=self.is_abandoned)


FLIGHT: ContextVar[Flight] = ContextVar("flight")
"""The request that this thread is making: urllib3 offers no other way to tell a connection."""


class _HTTPConnection(HTTPConnection):
    used_at = 0.0
    used: socket.socket | None = None

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        FLIGHT.get().board(self)
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
        FLIGHT.get().board(self)
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


def new_session(ca_file: str | None, proxy: str | None) -> requests.Session:
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


def certificate_ends(sock: Any) -> datetime | None:
    """Read until when the other end's certificate is good; None where the connection is a plain one."""
    certificate = sock.getpeercert() if hasattr(sock, "getpeercert") else None
    if not certificate:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)


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
