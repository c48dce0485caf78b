"""Evidence by a button: one file with all that is known of it, made on the disk as the command makes it, then sent.

It is made whole before the first byte is sent, so that what is refused is refused by a page that says why. Nothing is
written in the folder or the ledger, and it holds nothing that the page does not show: whoever may look may have it.
Few are there at once, each takes as much of the disk as its file, and none takes memory.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import IO

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from identifai_watch import config as configuration
from identifai_watch.core.words import size
from identifai_watch.errors import RefusedError, WatchError
from identifai_watch.evidence import bundle
from identifai_watch.evidence.case import PARTIAL, gather
from identifai_watch.ledger.views import Line
from identifai_watch.web import rendering
from identifai_watch.web.page import Page, utc_now

AT_ONCE = 3
"""Bundles that are made or sent at once; of one folder one is made at a time, so that a mount that hangs stops only itself."""

TURN_SECONDS = 30.0
"""How long one waits for its turn."""

STALLED_SECONDS = 60.0
"""Whoever takes nothing for so long is left: what waits for it takes room."""

SPARED = 1_000_000_000
"""Bytes of the disk that a bundle leaves free: the ledger may lie there too."""

_BLOCK = 262_144
_SLOWEST = 2_000_000
"""Bytes a second that a folder gives at the least; one that is slower does not answer."""

_TICKED = "tick the box beside the button to have what there is, with what is missing named in it"


class NotNowError(WatchError):
    """A bundle cannot be made at the moment; the text says why."""


class Bundles:
    """The bundles that are made or sent, on the disk of ``directory``, which keeps ``spared`` bytes free."""

    def __init__(
        self,
        directory: Path | None = None,
        *,
        spared: int = SPARED,
        turn_seconds: float = TURN_SECONDS,
        stalled_seconds: float = STALLED_SECONDS,
    ) -> None:
        self._directory = directory
        self._spared = spared
        self.turn_seconds = turn_seconds
        self.stalled_seconds = stalled_seconds
        self._turns: dict[str, Lock] = {}
        self._limits: dict[str, anyio.CapacityLimiter] = {}
        self._lock = Lock()
        self._pledged = 0
        self.room = asyncio.Semaphore(AT_ONCE)

    def turn(self, folder: str) -> Lock:
        """Return what is held by whoever makes a bundle of a folder's file."""
        return self._turns.setdefault(folder, Lock())

    async def made(self, page: Page, line: Line, *, is_partial: bool) -> IO[bytes]:
        """Make the bundle of a file, in a thread; what nobody waits for any more closes as it is dropped.

        Raises:
            RefusedError: There is none of it as it is now.
            NotNowError: The folder does not answer, another one is made of it, or the disk has no room.
        """
        turn = self.turn(line.file.folder)
        limit = self._limits.setdefault(line.file.folder, anyio.CapacityLimiter(AT_ONCE))
        do = partial(self._in_turn, turn, page, line, is_partial=is_partial)
        try:
            with anyio.fail_after(self.turn_seconds + 10 + line.file.fingerprint.size / _SLOWEST):
                return await anyio.to_thread.run_sync(do, limiter=limit, abandon_on_cancel=True)
        except TimeoutError as error:
            raise NotNowError("The file's folder does not answer; try again later.") from error

    def _in_turn(self, turn: Lock, page: Page, line: Line, *, is_partial: bool) -> IO[bytes]:
        if not turn.acquire(timeout=self.turn_seconds):
            raise NotNowError("Another bundle of this folder is being made; try again in a moment.")
        try:
            now = utc_now()
            case = gather(page.config(), page.ledger, [line], now=now, is_partial=is_partial)
            directory = self._directory or configuration.default_cache(os.environ).parent
            with self._pledged_room(page, directory, 0 if case.original is None else case.original.size):
                return bundle.temporary(case, page.ledger, directory, now=now, is_partial=is_partial)
        except RefusedError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            page.log.error("bundle not made", reason=str(error))  # noqa: TRY400 - the reason says it all
            raise NotNowError(_NO_DISK) from error
        finally:
            turn.release()

    @contextmanager
    def _pledged_room(self, page: Page, directory: Path, needed: int) -> Iterator[None]:
        """Keep room for a bundle while it is written, so that several at once do not take what is spared."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            free = shutil.disk_usage(directory).free
        except OSError as error:
            page.log.error("bundle not made", reason=str(error))  # noqa: TRY400 - likewise
            raise NotNowError(_NO_DISK) from error
        with self._lock:
            if free < needed + self._pledged + self._spared:
                page.log.error("bundle not made", directory=str(directory), free=free, needed=needed)
                raise NotNowError(
                    f"There is no room for it: it takes {size(needed)}, and of {size(free)} that are free "
                    f"{size(self._spared)} are spared. identifai-watch bundle writes it elsewhere."
                )
            self._pledged += needed
        try:
            yield
        finally:
            with self._lock:
                self._pledged -= needed


_NO_DISK = "It cannot be written here; the log says why. identifai-watch bundle writes it elsewhere."


class _Sent(StreamingResponse):
    """What is sent block by block while it is taken, within ``patience`` seconds each; ``end`` is called however that ends."""

    def __init__(
        self, blocks: AsyncIterator[bytes], headers: dict[str, str], patience: float, end: Callable[[], None]
    ) -> None:
        super().__init__(blocks, headers=headers, media_type="application/zip")
        self._patience = patience
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def patiently(message: Message) -> None:
            with anyio.fail_after(self._patience):
                await send(message)

        try:
            with suppress(TimeoutError):  # the answer ends short, which is heard if anybody still listens
                await super().__call__(scope, receive, patiently)
        finally:
            self._end()


async def make(request: Request) -> Response:
    """Make the bundle of a file, and send it."""
    page: Page = request.app.state.page
    bundles: Bundles = request.app.state.bundles
    line = await anyio.to_thread.run_sync(page.line, request.path_params["number"])
    try:
        with anyio.fail_after(bundles.turn_seconds):
            await bundles.room.acquire()
    except TimeoutError as error:
        raise NotNowError("Other bundles are being made and sent; try again in a moment.") from error
    try:
        made = await bundles.made(page, line, is_partial="partial" in request.state.form)
    except RefusedError as error:
        bundles.room.release()
        raise RefusedError(str(error).replace(PARTIAL, _TICKED)) from error
    except BaseException:
        bundles.room.release()
        raise
    page.log.info("bundled on the page", file=line.file.id, by=rendering.visitor(request).name)

    def end() -> None:
        made.close()
        bundles.room.release()

    headers = {
        "Content-Disposition": f'attachment; filename="{name_of(line)}"',
        "Content-Length": str(os.fstat(made.fileno()).st_size),
    }
    return _Sent(_blocks(made), headers, bundles.stalled_seconds, end)


async def _blocks(made: IO[bytes]) -> AsyncIterator[bytes]:
    while block := await anyio.to_thread.run_sync(made.read, _BLOCK):
        yield block


def name_of(line: Line) -> str:
    """Return what the bundle of a file is called: plain letters, whatever a stranger called the file."""
    return f"evidence-{bundle.plain_name(line.file.path.rpartition(b'/')[2])}.zip"


ROUTES = [Route("/files/{number:int}/bundle", make, methods=["POST"])]
