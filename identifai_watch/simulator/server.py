"""The pretend identifAI as a server: in a thread for tests and the demo, or in the foreground."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette

from identifai_watch.simulator.faults import TransportProtocol
from identifai_watch.simulator.script import Script
from identifai_watch.simulator.service import Service
from identifai_watch.simulator.state import State

_BACKLOG = 1024
_KEEP_ALIVE_SECONDS = 75
_GRACE_SECONDS = 2


class Simulator:
    """A pretend identifAI in a thread of its own, on ``url`` until ``stop``; a context manager.

    ``port`` 0 takes a free one. Connections are accepted as soon as it is constructed. With a ``certificate``, a PEM
    file that holds its private key too, it speaks TLS.

    Raises:
        OSError: the address cannot be had.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        certificate: Path | None = None,
    ) -> None:
        self._service = Service(State(Script() if script is None else script))
        self._running = _Running(self._service, host, port, certificate)
        self.url = self._running.url
        self._thread = threading.Thread(target=self._running.run, name="simulator", daemon=True)
        self._thread.start()

    @property
    def state(self) -> State:
        """Return what it remembers."""
        return self._service.state

    @property
    def script(self) -> Script:
        """Return the script as it is now."""
        return self.state.script

    def change(self, **changes: Any) -> None:  # the fields of Script, each of its own type
        """Change fields of the script: ``simulator.change(delay=3600, credits=2)``."""
        self.state.change(changes)

    def restart(self, script: Script | None = None) -> None:
        """Forget everything and follow ``script``, as a new one would on this ``url``; connections stay."""
        self._service.state = State(Script() if script is None else script)

    def stop(self) -> None:
        """Stop answering; what stalls is cut."""
        self._running.stop()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(host: str, port: int, script: Script, *, announce: Callable[[str], None] = lambda _: None) -> None:
    """Serve until a signal; ``announce`` is given the URL as soon as connections are accepted.

    Raises:
        OSError: the address cannot be had.
    """
    running = _Running(Service(State(script)), host, port)
    announce(running.url)
    with contextlib.suppress(KeyboardInterrupt):
        running.run()


class _Server(uvicorn.Server):
    """uvicorn, which tells what is still waiting that the end has come."""

    def __init__(self, config: uvicorn.Config, closing: asyncio.Event) -> None:
        super().__init__(config)
        self._closing = closing

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._closing.set()
        await super().shutdown(sockets)


class _Running:
    """A server on a socket that is bound here, so that the port is known and connections wait from now on."""

    def __init__(self, service: Service, host: str, port: int, certificate: Path | None = None) -> None:
        app = Starlette(routes=service.routes())
        app.state.closing = asyncio.Event()
        config = uvicorn.Config(
            app,
            http=TransportProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            ssl_certfile=certificate,
        )
        config.load()  # here, not in the thread that serves: a certificate that is none must be heard of
        self._socket = socket.create_server((host, port), backlog=_BACKLOG)
        # Each connection inherits it. Without it an answer's body waits 40 ms for the ACK of its head.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        at, number = self._socket.getsockname()[:2]
        self.url = f"{'http' if certificate is None else 'https'}://{at}:{number}"
        self._server = _Server(config, app.state.closing)

    def run(self) -> None:
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        self._server.should_exit = True
