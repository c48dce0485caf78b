"""The page's server: a socket that is bound at once, and uvicorn in a thread of its own or in the foreground."""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import anyio.to_thread
import uvicorn

from identifai_watch.errors import RefusedError
from identifai_watch.web.app import application
from identifai_watch.web.gatehouse import Gatehouse
from identifai_watch.web.page import Page

_BACKLOG = 128
_MOST_CONNECTIONS = 256
_KEEP_ALIVE_SECONDS = 15
_GRACE_SECONDS = 2
_STOP_SECONDS = 3.0
AGAIN_SECONDS = 5.0
"""How long an address that cannot be had is left alone."""

THREADS = 8
"""Requests that ask the ledger at once; more wait."""


class Server:
    """The page on its address until ``stop``; a context manager that serves in a thread of its own.

    Raises:
        RefusedError: The address cannot be had, with the remedy.
    """

    def __init__(self, page: Page, address: tuple[str, int]) -> None:
        self._socket = _bound(address)
        host, self.port = self._socket.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.port}"
        app = application(page)
        app.state.closing = asyncio.Event()
        config = uvicorn.Config(
            Gatehouse(app, page=page),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,  # who is believed is the gatehouse's matter
            server_header=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        self._server = _Uvicorn(config, app.state.closing)
        self._thread: threading.Thread | None = None

    def serve(self) -> None:
        """Serve until a signal, in this thread."""
        with contextlib.suppress(KeyboardInterrupt):
            self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Stop answering; what is still under way is cut."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)  # one that hangs on a mount is left behind

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve, name="page", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Uvicorn(uvicorn.Server):
    """uvicorn, which tells what is still waiting that the end has come, and asks the ledger with few threads."""

    def __init__(self, config: uvicorn.Config, closing: asyncio.Event) -> None:
        super().__init__(config)
        self._closing = closing

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._closing.set()
        await super().shutdown(sockets)


@contextlib.contextmanager
def served(page: Page, address: tuple[str, int]) -> Iterator[None]:
    """Serve the page beside a daemon while the block lasts, and say in the log where.

    Without it the daemon goes on all the same. An address that somebody else has is tried again, for it may be
    ``identifai-watch web``, which served the page while the daemon was down.
    """
    ended = threading.Event()
    thread = threading.Thread(
        target=_serve_until, args=(ended, page, address), name="page beside", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_STOP_SECONDS + 1)


def _serve_until(ended: threading.Event, page: Page, address: tuple[str, int]) -> None:
    is_said = False
    while not ended.is_set():
        try:
            with Server(page, address) as server:
                page.log.info("page", url=server.url)
                ended.wait()
        except RefusedError as error:
            if not is_said:
                page.log.error("no page", reason=str(error))  # noqa: TRY400 - a traceback tells nothing
            is_said = True
            ended.wait(AGAIN_SECONDS)


def _bound(address: tuple[str, int]) -> socket.socket:
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        why = str(error) if error.errno is None else os.strerror(error.errno)
        raise RefusedError(
            f"web.listen: {host}:{port} cannot be had ({why}); another program may listen there: "
            'choose another port, or "" for no page'
        ) from error
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made
