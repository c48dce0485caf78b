"""What the page hands out of the disk: a file that the ledger knows, as long as it is the one that was judged.

Nothing but a row's own file is opened, beneath its folder's root, without following a link. Each folder has few threads,
so that a mount that hangs stops only itself. What is handed out has a type that we say, may run nothing, and is never
guessed at.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from identifai_watch import hosts
from identifai_watch.config import Config
from identifai_watch.core.model import File, FileState, Fingerprint, Media
from identifai_watch.core.report import AD_HOC
from identifai_watch.core.sidecar import shown
from identifai_watch.folder.look import fingerprint
from identifai_watch.folder.opening import FolderError, MissingError, open_inside
from identifai_watch.ledger import lists
from identifai_watch.ledger.views import Line
from identifai_watch.previews import MIME, Previews, Thumbnail
from identifai_watch.web import ranges, rendering
from identifai_watch.web.page import Page

BLOCK = 262_144
PATIENCE = 10.0
"""Seconds that a folder has to open a file, and to read a block of it."""

THERE = frozenset({FileState.WAITING, FileState.DELIVERED})

SOON = timedelta(seconds=3)
"""How long a thumbnail is waited for; one that is made later is there the next time."""

AT_ONCE = 4
"""Threads of one folder."""

TYPES = {
    "image/jpeg": "image/jpeg",
    "image/jpg": "image/jpeg",
    "image/png": "image/png",
    "image/gif": "image/gif",
    "image/webp": "image/webp",
    "image/tiff": "image/tiff",
    "image/tif": "image/tiff",
    "video/mp4": "video/mp4",
    "video/x-m4v": "video/mp4",
    "video/quicktime": "video/quicktime",
    "video/webm": "video/webm",
    "video/ogg": "video/ogg",
    "video/3gpp": "video/3gpp",
    "video/x-matroska": "video/x-matroska",
    "video/mpeg": "video/mpeg",
    "audio/mpeg": "audio/mpeg",
    "audio/wav": "audio/wav",
    "audio/ogg": "audio/ogg",
    "audio/flac": "audio/flac",
    "audio/aac": "audio/aac",
    "audio/3gp": "audio/3gpp",
    "audio/m4a": "audio/mp4",
    "audio/m4b": "audio/mp4",
    "audio/m4p": "audio/mp4",
    "audio/m4r": "audio/mp4",
}
"""The registered type of what was sent under one of identifAI's names (docs/api-notes.md, 24); all else is bytes."""

BYTES = "application/octet-stream"
UNSHOWN = frozenset({BYTES, "image/tiff", "video/3gpp", "video/mpeg", "video/x-matroska", "audio/3gpp"})
"""What browsers do not show, or some do not: it is offered to be downloaded."""

SANDBOX = "default-src 'none'; sandbox"
Found = TypeVar("Found")


class ChangedSinceError(FolderError):
    """What lies there is not what was judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a file of the ledger lies: ``path`` below ``root``, which is the operator's."""

    root: bytes
    path: bytes


def place_of(config: Config, line: Line) -> Place | None:
    """Return where a file lies, if that is a place of the configuration, and on this host."""
    file = line.file
    path = file.path if file.lies_at is None else file.lies_at
    if hosts.elsewhere(config, file) is not None:
        return None
    if file.folder == AD_HOC:
        return Place(root=b"/", path=path.lstrip(b"/"))
    folder = config.folder_of(file.node, file.folder)
    if folder is None:
        return None
    if not path.startswith(b"/"):
        return Place(root=folder.root, path=path)
    for destination in folder.foreign_places().values():
        root = os.fsencode(destination)
        if path.startswith(root.rstrip(b"/") + b"/"):
            return Place(root=root, path=path[len(root.rstrip(b"/")) + 1 :])
    return None


def why_not(config: Config, line: Line) -> str | None:
    """Say why a file cannot be shown, without a look at the disk; None if it can."""
    file = line.file
    if file.state not in THERE:
        return "It is no longer there."
    host = hosts.elsewhere(config, file)
    if host is not None:
        return f"It lies on the host {shown(host)}: the page there shows it."
    if place_of(config, line) is None:
        return "Its folder is not configured any more."
    if line.analysis is None:
        return "It has not been examined, and so is not shown."
    if TYPES.get(line.analysis.mime, BYTES) in UNSHOWN:
        return "A browser does not show this kind of file."
    return None


def type_of(line: Line) -> str:
    """Return the type that a file is handed out as."""
    return BYTES if line.analysis is None else TYPES.get(line.analysis.mime, BYTES)


class Hands:
    """What fetches from the folders, each with threads of its own."""

    def __init__(self) -> None:
        self._limits: dict[str, anyio.CapacityLimiter] = {}

    async def fetch(self, folder: str, do: Callable[[], Found]) -> Found:
        """Do something that touches a folder's tree, in one of its threads; raise TimeoutError if it hangs."""
        limit = self._limits.setdefault(folder, anyio.CapacityLimiter(AT_ONCE))
        with anyio.fail_after(PATIENCE):
            return await anyio.to_thread.run_sync(do, limiter=limit, abandon_on_cancel=True)


async def original(request: Request) -> Response:
    """Hand out a file, or the part of it that a player asks for."""
    page: Page = request.app.state.page
    hands: Hands = request.app.state.hands
    line = await anyio.to_thread.run_sync(page.line, request.path_params["number"])
    place = place_of(page.config(), line)
    if place is None or line.analysis is None or line.file.state not in THERE:
        return Response("It is not shown.\n", 404, media_type="text/plain")
    within = _granularity(page.config(), line.file)
    try:
        descriptor = await hands.fetch(
            line.file.folder,
            partial(_opened, place, line.file.fingerprint, within),
        )
    except ChangedSinceError as error:
        return Response(f"{error}\n", 409, media_type="text/plain")
    except (FolderError, TimeoutError) as error:
        said = "its folder does not answer" if isinstance(error, TimeoutError) else str(error)
        status = 404 if isinstance(error, MissingError) else 503
        return Response(f"It cannot be opened: {said}\n", status, media_type="text/plain")
    return _handed(request, hands, line, descriptor)


def _opened(place: Place, expected: Fingerprint, within: timedelta) -> int:
    """Open a file for reading if it is still the one that the ledger knows."""
    descriptor = open_inside(place.root, place.path)
    seen = fingerprint(os.fstat(descriptor), network=False)
    if not seen.is_as_written(expected, within):
        os.close(descriptor)
        raise ChangedSinceError("It is not the file that was judged: it was changed since.")
    return descriptor


def _handed(request: Request, hands: Hands, line: Line, descriptor: int) -> Response:
    size = line.file.fingerprint.size
    tag = f'"{line.file.id}-{line.file.fingerprint.mtime_ns:x}-{size:x}"'
    headers = {
        "Content-Security-Policy": SANDBOX,
        "Accept-Ranges": "bytes",
        "ETag": tag,
        "Cache-Control": "private, max-age=300",
        "Content-Disposition": "attachment" if type_of(line) in UNSHOWN else "inline",
    }
    asked = request.headers.get("range")
    if request.headers.get("if-range", tag) != tag:
        asked = None
    part = ranges.part(asked, size)
    if part is None:
        os.close(descriptor)
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{size}"})
    is_part = part != range(size)
    if is_part:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    headers["Content-Length"] = str(len(part))
    if request.method == "HEAD":
        os.close(descriptor)
        return Response(status_code=206 if is_part else 200, headers=headers, media_type=type_of(line))
    return StreamingResponse(
        _blocks(hands, line.file.folder, descriptor, part),
        status_code=206 if is_part else 200,
        headers=headers,
        media_type=type_of(line),
    )


async def _blocks(hands: Hands, folder: str, descriptor: int, part: range) -> AsyncIterator[bytes]:
    """Give the bytes of a file, block by block; one that became shorter ends the answer short, which is heard."""
    try:
        at = part.start
        while at < part.stop:
            read = partial(os.pread, descriptor, min(BLOCK, part.stop - at), at)
            block = await hands.fetch(folder, read)
            if not block:
                return
            at += len(block)
            yield block
    finally:
        os.close(descriptor)


def heatmap(request: Request) -> Response:
    """Hand out the heatmap of a file, which the ledger keeps."""
    page: Page = request.app.state.page
    line = page.line(request.path_params["number"])
    png = None
    if line.analysis is not None:
        with page.ledger.read() as tx:
            png = lists.heatmap(tx, line.analysis.id)
    if png is None:
        return Response("There is no heatmap of it.\n", 404, media_type="text/plain")
    headers = {"Content-Security-Policy": SANDBOX, "Cache-Control": "private, max-age=300"}
    return Response(png, media_type="image/png", headers=headers)


async def thumbnail(request: Request) -> Response:
    """Hand out a small picture of a file; where there is none, or none yet, an icon of its kind."""
    page: Page = request.app.state.page
    hands: Hands = request.app.state.hands
    line = await anyio.to_thread.run_sync(page.line, request.path_params["number"])
    made = None
    if page.previews is not None and line.file.state in THERE:
        with suppress(FolderError, TimeoutError):
            made = await hands.fetch(
                f"{line.file.folder}/previews", partial(_made, page, page.previews, line)
            )
    if made is not None:
        headers = {"Content-Security-Policy": SANDBOX, "Cache-Control": "private, max-age=86400"}
        return Response(made.content, media_type=MIME, headers=headers)
    svg = rendering.fragment("icon.svg", media=line.file.media or Media.IMAGE)
    headers = {"Content-Security-Policy": SANDBOX, "Cache-Control": "private, max-age=3"}
    return Response(svg, media_type="image/svg+xml", headers=headers)


def _made(page: Page, previews: Previews, line: Line) -> Thumbnail | None:
    """Return the thumbnail of a file, if its content is known and there is one in time."""
    file, place = line.file, place_of(page.config(), line)
    if file.sha256 is None or file.media is None or place is None:
        return None
    within = _granularity(page.config(), file)
    return previews.thumbnail(
        file.sha256, file.media, partial(_opened, place, file.fingerprint, within), SOON
    )


def _granularity(config: Config, file: File) -> timedelta:
    folder = config.folder_of(file.node, file.folder)
    return timedelta(0) if folder is None else folder.timestamp_granularity


ROUTES = [
    Route("/files/{number:int}/original", original),
    Route("/files/{number:int}/heatmap", heatmap),
    Route("/files/{number:int}/thumbnail", thumbnail),
]
