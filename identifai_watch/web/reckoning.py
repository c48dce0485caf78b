"""Cost and quality: what was sent and saved, how long the credits last, and how far the desk agrees with identifAI.

To reckon it may take seconds in a large ledger: it is done in a thread, one after the other, and kept for a minute,
however many ask.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from typing import Generic, TypeVar

import anyio.to_thread
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from identifai_watch.core import costs_words, words
from identifai_watch.core.costs import Costs, Left, by_folder, costs_json
from identifai_watch.core.quality import Quality, quality_json
from identifai_watch.core.sidecar import shown
from identifai_watch.errors import RefusedError
from identifai_watch.ledger import costs as ledger_costs
from identifai_watch.ledger import quality as ledger_quality
from identifai_watch.web import charts, rendering
from identifai_watch.web.page import Page, utc_now

PERIODS = (7, 30, 90)
"""Days that can be asked for: few, since each is kept."""

USUAL = 30
KEPT_SECONDS = 60.0

Found = TypeVar("Found")


@dataclass(slots=True)
class Kept(Generic[Found]):
    """What something came to in each period, for a minute."""

    reckon: Callable[[datetime, datetime], Found]
    turn: asyncio.Lock
    clock: Callable[[], float] = time.monotonic
    found: dict[int, tuple[float, Found]] = field(default_factory=dict)

    async def of(self, days: int) -> Found:
        """Return it for a period, reckoned now if that is a minute ago."""
        async with self.turn:
            at, kept = self.found.get(days, (None, None))
            if at is not None and kept is not None and self.clock() < at + KEPT_SECONDS:
                return kept
            now = utc_now()
            fresh = await anyio.to_thread.run_sync(self.reckon, since(days, now), now)
            self.found[days] = self.clock(), fresh
            return fresh


class Reckonings:
    """The costs and the quality of each period, for whoever asks."""

    def __init__(self, page: Page) -> None:
        def reckon_costs(since: datetime, now: datetime) -> Costs:
            limits, has_hosts = page.config().api.limits, bool(page.hosts())
            return ledger_costs.costs(page.ledger.read, limits, since, now, by_node=has_hosts)

        def reckon_quality(since: datetime, _now: datetime) -> Quality:
            return ledger_quality.quality(page.ledger.read, since)

        turn = asyncio.Lock()
        self.costs = Kept(reckon_costs, turn)
        self.quality = Kept(reckon_quality, turn)


def since(days: int, now: datetime) -> datetime:
    """Return where a period begins that has so many days of UTC, today's among them."""
    return datetime.combine(now.astimezone(UTC), time_of_day(), UTC) - timedelta(days=days - 1)


def asked(query: QueryParams) -> int:
    """Return the days that are asked for; raise RefusedError if they are none of PERIODS."""
    said = query.get("days", str(USUAL))
    found = {str(days): days for days in PERIODS}.get(said)
    if found is None:
        known = ", ".join(map(str, PERIODS))
        raise RefusedError(f"days: {shown(said[:20])!r} is none of {known}")
    return found


async def view(request: Request) -> Response:
    """Show what judging came to, and whether it can be trusted."""
    days = asked(request.query_params)
    reckonings: Reckonings = request.app.state.reckonings
    used, found = await reckonings.costs.of(days), await reckonings.quality.of(days)
    return await anyio.to_thread.run_sync(_shown, request, days, used, found)


def _shown(request: Request, days: int, used: Costs, found: Quality) -> Response:
    return rendering.page(
        request,
        "costs.html",
        days=days,
        periods=PERIODS,
        used=used,
        sent=costs_words.sent(used),
        saved=costs_words.saved(used),
        credits_left=costs_words.credits_left(used.left),
        pace=_pace(used.left, used.until),
        purse=costs_words.purse(used.left),
        folders=by_folder(used.lines),
        columns=costs_words.DAY_COLUMNS,
        rows=list(costs_words.days(used)),
        charts=[
            ("contents", "Contents by day", charts.contents(used)),
            ("credits", "Credits by day", charts.credits_spent(used)),
        ],
        found=found,
        tallies=[
            ("band", "Confidence", found.by_band),
            ("media", "Kind", found.by_media),
            ("model", "Model", found.by_model),
        ],
    )


def _pace(left: Left, now: datetime) -> str | None:
    return costs_words.pace(left, now, lambda length: words.span(length.total_seconds()))


async def costs(request: Request) -> Response:
    """Answer what was used in a period, and what is left."""
    days = asked(request.query_params)
    reckonings: Reckonings = request.app.state.reckonings
    return JSONResponse(costs_json(await reckonings.costs.of(days)))


async def quality(request: Request) -> Response:
    """Answer how far the desk agreed in a period."""
    days = asked(request.query_params)
    reckonings: Reckonings = request.app.state.reckonings
    return JSONResponse(quality_json(await reckonings.quality.of(days)))


ROUTES = [
    Route("/costs", view),
    Route("/api/v1/costs", costs),
    Route("/api/v1/quality", quality),
]
