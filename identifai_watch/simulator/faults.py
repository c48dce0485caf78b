"""How a connection goes wrong: answers that break off, come late or never, and resets.

What ASGI has no word for is done on the connection's transport, which the protocol class hands to each request.
"""

import asyncio
import socket
import struct
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from identifai_watch.simulator.script import Fault, FaultKind

_PAGE = "<html><head><title>{status}</title></head><body><h1>{status}</h1><hr>nginx</body></html>"


class TransportProtocol(H11Protocol):
    """HTTP/1.1 whose requests find their transport in ``request.state.transport``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Take the new connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class Unanswered(Response):
    """No answer at all: the client has gone, or the connection is reset under it."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        """Reset the connection if that is wanted, and see it end."""
        if self._reset:
            reset(scope["state"]["transport"])
        while (await receive())["type"] != "http.disconnect":
            pass


class Truncated(Response):
    """Half of an answer under its whole length."""

    def __init__(self, whole: Response) -> None:
        super().__init__()
        self._whole = whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head, half of the body, and close."""
        body = bytes(self._whole.body)
        await send(
            {
                "type": "http.response.start",
                "status": self._whole.status_code,
                "headers": self._whole.raw_headers,
            }
        )
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        scope["state"]["transport"].close()
        while (await receive())["type"] != "http.disconnect":
            pass


def reset(transport: asyncio.Transport) -> None:
    """Drop the connection with an RST, which the kernel sends at once if the socket may not linger."""
    if transport.is_closing():
        return
    transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    transport.abort()


async def pause(request: Request, seconds: float) -> None:
    """Wait ``seconds``, but not beyond the simulator's own end."""
    closing: asyncio.Event = request.app.state.closing
    try:
        async with asyncio.timeout(seconds):
            await closing.wait()
    except TimeoutError:
        return


def page(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Return the kind of page that a proxy answers with."""
    return HTMLResponse(_PAGE.format(status=status), status, headers=headers)


async def before_reading(request: Request, fault: Fault | None) -> Response | None:
    """Do what strikes before the body was read."""
    match fault:
        case Fault(kind=FaultKind.RESET_BEFORE):
            return Unanswered(reset=True)
        case Fault(kind=FaultKind.STALL_BODY, seconds=seconds):
            await pause(request, seconds)
            return Unanswered(reset=True)
        case Fault(kind=FaultKind.SLOW_BODY, seconds=seconds):
            await pause(request, seconds)
            return None
        case _:
            return None


def instead(fault: Fault | None) -> Response | None:
    """Return the answer that is given instead of the right one."""
    match fault:
        case Fault(kind=FaultKind.STATUS, body=body, status=status, headers=headers):
            text = "" if body is None else body
            kind = Response if isinstance(text, str) else JSONResponse
            return kind(text, status, headers=dict(headers))
        case Fault(kind=FaultKind.HTML, status=status, headers=headers):
            return page(status, dict(headers))
        case Fault(kind=FaultKind.GARBAGE):
            return Response(b'{"identifier": "', media_type="application/json")
        case _:
            return None


async def afterwards(request: Request, fault: Fault | None, answer: Response) -> Response:
    """Do what strikes after the request took effect; return what is sent."""
    match fault:
        case Fault(kind=FaultKind.RESET_AFTER):
            return Unanswered(reset=True)
        case Fault(kind=FaultKind.STALL, seconds=seconds):
            await pause(request, seconds)
            return Unanswered(reset=True)
        case Fault(kind=FaultKind.TRUNCATE):
            return Truncated(answer)
        case Fault(kind=FaultKind.SLOW, seconds=seconds):
            await pause(request, seconds)
            return answer
        case _:
            return answer
