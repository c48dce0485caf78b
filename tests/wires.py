"""A wire between a client and a server on loopback: it can be long, cut, or hang as one does whose far end is gone."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Self

_CHUNK = 1 << 16
_NO_LINGER = struct.pack("ii", 1, 0)
"""A linger of no seconds: to close is to reset, and what was not sent yet is lost."""


class Wire:
    """A port that leads ``to`` a server, on loopback or at another address of this machine, which is its ``host``.

    ``delay`` are the seconds that bytes take one way.

    Both may be set anew: who connects after that is led to the other server, as by an address that moves.

    They arrive in their order, and as many at a time as without a delay. What cannot be had here: to connect takes no
    time, and no answer to it is not possible, since the system answers by itself.
    """

    def __init__(self, to: tuple[str, int], *, delay: float = 0, host: str = "127.0.0.1") -> None:
        self.delay = delay
        self._host = host
        self.to = to
        self._is_cut = False
        self._flows = asyncio.Event()  # clear while it hangs
        self._flows.set()
        self._serving: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire")

    def __enter__(self) -> Self:
        self._thread.start()
        listen = asyncio.start_server(self._serve, self._host, 0, backlog=1024)
        self._server: asyncio.Server = self._do(listen)
        self.address: tuple[str, int] = self._server.sockets[0].getsockname()
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Reset every connection, on both sides, and each that is made until it is mended."""
        self._do(self._set(is_cut=True))

    def hang(self) -> None:
        """Let nothing through any more, neither bytes nor ends nor new connections, and tell nobody."""
        self._do(self._set(flows=False))

    def mend(self) -> None:
        """Let everything through again; also what hung, if it was not cut."""
        self._do(self._set())

    def _do(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    async def _close(self) -> None:
        self._server.close()
        await self._set(is_cut=True)
        me = asyncio.current_task()
        await asyncio.gather(
            *(task for task in asyncio.all_tasks() if task is not me), return_exceptions=True
        )

    async def _set(self, *, is_cut: bool = False, flows: bool = True) -> None:
        self._is_cut = is_cut
        if is_cut:
            for serving in self._serving:
                serving.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
        if flows:
            self._flows.set()
        else:
            self._flows.clear()

    async def _serve(self, from_client: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Lead one connection to the server until both have said their last, or one is gone."""
        me = asyncio.current_task()
        assert me is not None
        self._serving.add(me)
        ends = [client]
        try:
            if not self._is_cut:
                await self._flows.wait()
                from_server, server = await asyncio.open_connection(*self.to)
                ends.append(server)
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._lead(from_client, server))
                    both.create_task(self._lead(from_server, client))
                while ends:
                    ends.pop().close()
        except* OSError:
            pass  # what is gone on one side goes on the other
        finally:
            for end in ends:
                await _reset(end)
            self._serving.discard(me)

    async def _lead(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Lead what comes from one side to the other, where no bytes are the end."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def take() -> None:
            data = b"not yet"
            while data:
                await self._flows.wait()
                try:
                    data = await source.read(_CHUNK)
                except OSError:
                    await self._flows.wait()  # that one side is gone is no news either while it hangs
                    raise
                under_way.put_nowait((self._loop.time() + self.delay, data))

        async def give() -> None:
            while True:
                due, data = await under_way.get()
                await asyncio.sleep(due - self._loop.time())
                await self._flows.wait()
                if not data:
                    target.write_eof()
                    return
                target.write(data)
                await target.drain()

        async with asyncio.TaskGroup() as both:
            both.create_task(take())
            both.create_task(give())


async def _reset(end: asyncio.StreamWriter) -> None:
    """Reset a connection, and wait until it is."""
    with suppress(OSError):  # it is closed
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    end.transport.abort()
    with suppress(OSError):  # it was not we who reset it
        await end.wait_closed()
