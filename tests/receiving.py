"""Somebody who listens on loopback for what is told over HTTP, and answers as a test says."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.harness import wait_for


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request as it came: its headers by their names in small letters."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """What was posted, read as JSON."""
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Receiver:
    """``answer`` makes the status of each call, None to hang up without a word; ``calls`` are those that were answered so."""

    url: str
    answer: Callable[[Call], int | None] = lambda _: 200
    calls: list[Call] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def kinds(self) -> list[str]:
        """Return of what kind the notices were that came."""
        return [call.document["kind"] for call in self.calls]

    def wait(self, number: int, what: str = "it is told") -> list[Call]:
        """Wait until so many calls came, and return them."""
        wait_for(lambda: len(self.calls) >= number, what)
        return self.calls


@contextmanager
def receiving(answer: Callable[[Call], int | None] = lambda _: 200, port: int = 0) -> Iterator[Receiver]:
    """Listen, and give the address with all that comes."""
    receiver = Receiver(url="", answer=answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            call = Call(method=self.command, path=self.path, headers=headers, body=body)
            status = receiver.answer(call)
            receiver.calls.append(call)
            if status is not None:
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()

        do_GET = do_POST  # noqa: N815 - the library's name

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError):  # whoever called was killed
                super().handle()

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", port), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
