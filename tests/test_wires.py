"""The wire of the tests: as long as told, and broken as told."""

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.wires import Wire

SHORT = 0.2
"""Seconds in which what was sent would long have come back."""


class Echo:
    """A server that says what it is told, and ends when the other has; ``saw`` is how its connections ended."""

    def __init__(self) -> None:
        self.saw: list[type[OSError] | None] = []
        self.ended = threading.Semaphore(0)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = self._listening.getsockname()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Take no more connections, and wait until the last one ended."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._listening.accept()
                self._threads.append(threading.Thread(target=self._answer, args=[connection]))
                self._threads[-1].start()

    def _answer(self, connection: socket.socket) -> None:
        how: type[OSError] | None = None
        with connection:
            try:
                while data := connection.recv(1 << 16):
                    connection.sendall(data)
            except OSError as error:
                how = type(error)
        self.saw.append(how)
        self.ended.release()


@pytest.fixture
def echo() -> Iterator[Echo]:
    """Return a server."""
    echo = Echo()
    yield echo
    echo.close()


@contextmanager
def connected(wire: Wire) -> Iterator[socket.socket]:
    """Connect to what is behind the wire."""
    with socket.create_connection(wire.address, 10) as client:
        yield client


def answer(client: socket.socket, count: int) -> bytes:
    """Return the next bytes that come."""
    got = bytearray()
    while len(got) < count:
        data = client.recv(1 << 16)
        assert data, "it ended"
        got += data
    return bytes(got)


def silent(client: socket.socket) -> bool:
    """Tell whether nothing comes, and no end."""
    client.settimeout(SHORT)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(10)
    return False


def test_a_delay_is_for_each_way_and_for_all_that_is_under_way(echo: Echo) -> None:
    """A word and its answer take twice the delay; many megabytes take little more, and stay as they were."""
    delay = 0.1
    much = os.urandom(16 << 20)  # at a chunk a delay it would take half a minute
    with Wire(echo.address, delay=delay) as wire, connected(wire) as client:
        began = time.monotonic()
        client.sendall(b"?")
        assert b"?" == answer(client, 1)
        assert 2 * delay <= time.monotonic() - began < 20 * delay
        began = time.monotonic()
        sending = threading.Thread(target=client.sendall, args=[much])
        sending.start()
        assert much == answer(client, len(much))
        assert time.monotonic() - began < 10
        sending.join()
        client.shutdown(socket.SHUT_WR)
        assert b"" == client.recv(1)
        assert echo.ended.acquire(timeout=10)
    assert [None] == echo.saw


def test_a_cut_resets_both_sides_until_it_is_mended(echo: Echo) -> None:
    """Neither side waits for a time-out; who comes later is reset too."""
    with Wire(echo.address) as wire:
        with connected(wire) as client:
            client.sendall(b"?")
            assert b"?" == answer(client, 1)
            wire.cut()
            with pytest.raises(ConnectionResetError):
                client.recv(1)
            assert echo.ended.acquire(timeout=10)
            assert [ConnectionResetError] == echo.saw
        with pytest.raises(ConnectionResetError), connected(wire) as client:
            client.recv(1)
        wire.mend()
        with connected(wire) as client:
            client.sendall(b"!")
            assert b"!" == answer(client, 1)


def test_what_hangs_is_told_to_nobody_and_goes_on_when_it_is_mended(echo: Echo) -> None:
    """Connections stay open, old and new; what was said meanwhile arrives after all, and so does who hung up."""
    with (
        Wire(echo.address) as wire,
        connected(wire) as client,
        connected(wire) as leaving,
        connected(wire) as lost,
    ):
        for one in (client, leaving, lost):
            one.sendall(b"?")
            assert b"?" == answer(one, 1)
        wire.hang()
        client.sendall(b"!")
        leaving.close()
        lost.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        lost.close()
        with connected(wire) as late:
            late.sendall(b"late")
            assert silent(client)
            assert silent(late)
            assert [] == echo.saw
            wire.mend()
            assert b"!" == answer(client, 1)
            assert b"late" == answer(late, 4)
            assert echo.ended.acquire(timeout=10)
            assert echo.ended.acquire(timeout=10)
            assert {None, ConnectionResetError} == set(echo.saw)


def test_a_cut_ends_what_hangs(echo: Echo) -> None:
    """Also who waits to be let through."""
    with Wire(echo.address) as wire, connected(wire) as client:
        client.sendall(b"?")
        assert b"?" == answer(client, 1)
        wire.hang()
        with connected(wire) as late:
            assert silent(late)
            wire.cut()
            for one in (client, late):
                with pytest.raises(ConnectionResetError):
                    one.recv(1)


def test_a_server_that_is_away_is_away_through_the_wire() -> None:
    """There is nobody to lead to."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    with Wire(address) as wire, pytest.raises(ConnectionResetError), connected(wire) as client:
        client.recv(1)
