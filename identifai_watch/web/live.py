"""What changed since the page was loaded, told while it is looked at (server-sent events).

One watcher for all asks whether anybody wrote into the ledger. Whoever looks is then sent what looks otherwise than before:
how things stand, and the rows of his list, each made once for all who look at the same. No more than a tenth of the time
goes into that for anybody, however large the ledger is.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar, cast

import anyio
import anyio.to_thread
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from identifai_watch.errors import WatchError
from identifai_watch.web import listing, one_file, pages, rendering, sections
from identifai_watch.web.listing import Filters
from identifai_watch.web.now import now
from identifai_watch.web.page import Page, UnknownFileError, utc_now
from identifai_watch.web.sections import Row

LOOK_SECONDS = 0.5
LEAST_SECONDS = 1.0
QUIET_SECONDS = 15.0
"""After so long without news a line is sent that says nothing: so a proxy does not take the connection for dead."""

LASTS_SECONDS = 600.0
"""Then the browser asks anew, and whether it still may."""

MOST = 64
SHARE = 10

Event = tuple[str, Any]
Made = TypeVar("Made")


class Shared:
    """What one looks at another may look at too: it is made once between two beats."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._made: dict[object, object] = {}

    def forget(self) -> None:
        """Have all of it made anew."""
        with self._lock:
            self._made = {}

    def get(self, key: object, make: Callable[[], Made]) -> Made:
        """Return what was made under this key since the last beat, or make it."""
        with self._lock:
            made = self._made
            if key in made:
                return cast("Made", made[key])
        found = make()
        with self._lock:
            if len(made) < MOST:
                made[key] = found
        return found


class Pulse:
    """Tells all who wait that somebody wrote into the ledger, or that time has passed for what is in no ledger."""

    def __init__(self, page: Page, closing: asyncio.Event) -> None:
        self._page = page
        self._closing = closing
        self._beats = 0
        self._beat = asyncio.Condition()
        self._watcher: asyncio.Task[None] | None = None
        self._limit = anyio.CapacityLimiter(1)  # the ledger's news are for one thread at a time
        self.watched = 0
        self.shared = Shared()

    async def after(self, beats: int, seconds: float) -> int:
        """Wait for a beat behind ``beats``, at most so long, and return how many there were."""
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch())
        with anyio.move_on_after(seconds):
            async with self._beat:
                await self._beat.wait_for(lambda: self._beats > beats or self._closing.is_set())
        return self._beats

    async def _watch(self) -> None:
        """Look for as long as anybody waits."""
        last: object = None
        while self.watched and not self._closing.is_set():
            news = await anyio.to_thread.run_sync(self._page.ledger.news, limiter=self._limit)
            is_moving = self._page.moment is not None and self._page.moment().motions != ()
            if news != last or is_moving:
                last = news
                self.shared.forget()
                async with self._beat:
                    self._beats += 1
                    self._beat.notify_all()
            with anyio.move_on_after(LOOK_SECONDS):
                await self._closing.wait()
        async with self._beat:
            self._beat.notify_all()


@dataclass(slots=True, kw_only=True)
class View:
    """What one browser looks at, and how it looked when it was last sent."""

    page: Page
    query: QueryParams
    may_edit: bool
    shared: Shared
    shown: dict[str, str] = field(default_factory=dict)
    orders: dict[str, list[int]] = field(default_factory=dict)

    def news(self) -> list[Event]:
        """Return what looks otherwise than before."""
        match self.query.get("view"):
            case "home":
                return [*self._now(), *self._reviews(), *self._files(Filters())]
            case "now":
                return list(self._now())
            case "review":
                return list(self._files(Filters(to_review=True)))
            case "files":
                return list(self._files(listing.filters(self.query)))
            case "file":
                return list(self._file())
            case _:
                raise UnknownFileError("there is no such view")

    def _now(self) -> Iterator[Event]:
        current = self.shared.get("now", lambda: now(self.page, utc_now()))
        yield from self._part("now-body", pages.now_html(current, may_edit=self.may_edit))
        yield from self._part("now-line", rendering.escaped(pages.now_line(current)))
        yield from self._part("review-count", rendering.escaped(pages.review_line(current.reviews)))

    def _reviews(self) -> Iterator[Event]:
        rows = self.shared.get("reviews", lambda: sections.rows(self.page, sections.reviews(self.page).lines))
        yield from self._rows("reviews", rows)

    def _files(self, filters: Filters) -> Iterator[Event]:
        after = listing.place(self.query)

        def rows() -> list[Row]:
            return sections.rows(self.page, listing.find(self.page.ledger, filters, after=after).lines)

        yield from self._rows("files", self.shared.get((filters, after), rows))

    def _file(self) -> Iterator[Event]:
        number = self.query.get("id", "")
        if not (number.isascii() and number.isdigit() and len(number) < 19):
            raise UnknownFileError("there is no such file")
        line = self.page.line(int(number))
        yield from self._part("file-body", one_file.body(self.page, line, may_edit=self.may_edit))

    def _part(self, name: str, html: str) -> Iterator[Event]:
        if self.shown.get(name) != html:
            self.shown[name] = html
            yield "part", {"id": name, "html": html}

    def _rows(self, name: str, rows: list[Row]) -> Iterator[Event]:
        order = [row.id for row in rows]
        changed = [row for row in rows if self.shown.get(f"{name}-{row.id}") != row.mark]
        if changed or self.orders.get(name) != order:
            self.orders[name] = order
            self.shown |= {f"{name}-{row.id}": row.mark for row in rows}
            some = {str(row.id): {"mark": row.mark, "html": row.html} for row in changed}
            yield "rows", {"id": name, "order": order, "rows": some}


async def live(request: Request) -> Response:
    """Send what changes, until the browser goes away."""
    pulse: Pulse = request.app.state.pulse()
    if pulse.watched >= MOST:
        return PlainTextResponse("Too many look at once; reload to see what changed.\n", 503)
    if not pulse.watched:
        pulse.shared.forget()  # nobody has looked whether it still holds
    view = View(
        page=request.app.state.page,
        query=request.query_params,
        may_edit=rendering.visitor(request).may_edit,
        shared=pulse.shared,
    )
    first = await anyio.to_thread.run_sync(
        view.news
    )  # what cannot be shown is refused before anything is sent
    headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
    sent = _sent(request, pulse, view, first)
    return StreamingResponse(sent, media_type="text/event-stream", headers=headers)


async def _sent(request: Request, pulse: Pulse, view: View, news: list[Event]) -> AsyncIterator[str]:
    """Send ``news``, then what changes, until the browser or this server goes away."""
    closing: asyncio.Event = request.app.state.closing
    pulse.watched += 1
    ends_at, beats, took = time.monotonic() + LASTS_SECONDS, -1, 0.0
    try:
        yield "retry: 3000\n\n"
        while time.monotonic() < ends_at and not closing.is_set():
            for name, data in news:
                yield f"event: {name}\ndata: {json.dumps(data)}\n\n"
            with anyio.move_on_after(max(LEAST_SECONDS, SHARE * took)):
                await closing.wait()
            seen = beats
            beats = await pulse.after(seen, QUIET_SECONDS)
            if beats == seen:
                yield ": all as it was\n\n"
            began = time.monotonic()
            with suppress(WatchError):  # the ledger is away for a moment: the next look tells
                news = await anyio.to_thread.run_sync(view.news)
            took = time.monotonic() - began
    finally:
        pulse.watched -= 1


ROUTES = [Route("/live", live)]
