"""A proxy of the kind that companies have: CONNECT opens a tunnel, and all that is not a tunnel is noted."""

import select
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import Self

PATIENCE = 10.0
TLS_RECORDS = frozenset(range(20, 24))
"""How every record of TLS begins (RFC 8446, 5.1)."""


@dataclass
class ConnectProxy:
    """A proxy on a free port of this machine; ``tls`` has it spoken to in TLS, ``authorization`` is what it asks for.

    ``heads`` are the requests that it got itself, ``tunnelled`` are the bytes that went up each tunnel.
    """

    tls: ssl.SSLContext | None = None
    authorization: str | None = None
    heads: list[str] = field(default_factory=list)
    tunnelled: list[bytearray] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Listen."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening, cut every tunnel, wait for the threads."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(PATIENCE)
        self._listener.close()
        self.cut()
        for thread in self._threads[1:]:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    @property
    def address(self) -> str:
        """Return host and port."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Cut every tunnel, as a proxy does that thinks it idle."""
        while self._open:
            with self._open.pop() as sock:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def is_blind(self) -> bool:
        """Tell whether all that it saw were requests for a tunnel, and TLS inside of them."""
        return all(head.startswith("CONNECT ") for head in self.heads) and all(
            not sent or sent[0] in TLS_RECORDS for sent in self.tunnelled
        )

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            with self.tls.wrap_socket(sock, server_side=True) if self.tls else sock as client:
                self._open.append(client)
                self._answer(client)
        except OSError:
            return  # cut, or a client that does not trust us

    def _answer(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = client.recv(1)
            if not byte:
                return
            head += byte
        self.heads.append(head.decode())
        method, target, *_ = head.decode().split()
        if method != "CONNECT":
            client.sendall(b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n")
        elif self.authorization is not None and f"Proxy-Authorization: {self.authorization}" not in str(head):
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        else:
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port)), PATIENCE) as server:
                self._open.append(server)
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._carry(client, server)

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        """Carry bytes both ways until one end closes."""
        sent = bytearray()
        self.tunnelled.append(sent)
        while True:
            waiting = isinstance(client, ssl.SSLSocket) and client.pending() > 0
            ready = [client] if waiting else select.select([client, server], [], [])[0]
            for one in ready:
                data = one.recv(65536)
                if not data:
                    return
                if one is client:
                    sent += data
                    server.sendall(data)
                else:
                    client.sendall(data)
