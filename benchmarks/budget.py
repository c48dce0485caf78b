"""How much of the account's POST budget a backlog uses, over both windows and across a kill -9, and that none is refused.

The daemon and the pretend identifAI, each as a process, under the limits that the vendor documents. The yardstick is an
ideal sender: as many posts as both windows admit from the first one on, at the very instants, whatever happens.
"""

import hashlib
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from benchmarks.figures import Figure, Goal
from benchmarks.running import Place, pretended, wait_until
from identifai_watch.core.gate import Window, next_instant
from identifai_watch.ledger import Ledger, views

SAMPLE = Path(__file__).parent.parent / "tests" / "media" / "sample.png"
SECOND = timedelta(seconds=1)
HOT = 3
LEAST = 3
"""Posts before the daemon is killed: of fewer no rate can be told, and a busy machine may be no further by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many files wait, and when after the first post hot files come, the daemon is killed, and all is counted.

    In seconds; the limits are those for POST. It is counted at the end of a whole minute: in its middle the ideal sender
    is ahead by what it sends at once.
    """

    files: int
    hot_at: float
    killed_at: float
    counted_at: float
    per_second: int = 1
    per_minute: int = 30


FULL = Size(files=200, hot_at=62, killed_at=72, counted_at=179)
SMALL = Size(files=40, hot_at=0.5, killed_at=2.2, counted_at=9, per_second=2, per_minute=12)


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield the share of the budget that is used, and in which order it is spent."""
    size = SMALL if small else FULL
    limits = {
        "posts_per_second": size.per_second,
        "posts_per_minute": size.per_minute,
        "gets_per_second": 2,
        "gets_per_minute": 60,
    }
    with tempfile.TemporaryDirectory(prefix="budget-") as home, pretended(delay=1.0) as identifai:
        identifai.change(limits=limits)
        hot = Path(home) / "hot"
        hot.mkdir()
        place = Place(home=Path(home), url=identifai.url, api=limits)
        quick = {"settle_seconds": 0.1, "existing": "judge"}
        place.more["folder"] = [
            {"path": str(place.drop), "name": "archive", **quick},
            {"path": str(hot), "name": "hot", "priority": 10, **quick},
        ]
        for number in range(size.files):
            _picture(place.drop, number)
        with place.daemon() as daemon:
            wait_until(lambda: len(identifai.state()["charged"]) > 0, "the first post")
            began = identifai.state()["charged"][0]["at"]
            until(began + size.hot_at)
            hot_at = time.monotonic()
            news = {_picture(hot, size.files + number) for number in range(HOT)}
            until(began + size.killed_at)
            wait_until(lambda: len(identifai.state()["charged"]) > LEAST, "some posts before it is killed")
            daemon.must_run()
            daemon.stop(signal.SIGKILL)
        with place.daemon() as daemon:
            until(began + size.counted_at)
            wait_until(
                lambda: news <= {one["sha256"] for one in identifai.state()["charged"]}, "the hot files"
            )
            state, now = identifai.state(), time.monotonic()
            daemon.must_run()
        yield from _used(state, now - began, size, restart=daemon.ready_after)
        yield from _order(state, place, news, hot_at)


def _picture(folder: Path, number: int) -> str:
    """Put a small image into a folder, and return its hash."""
    content = SAMPLE.read_bytes() + b"%d" % number
    hidden = folder / f".{number:04}.png"
    hidden.write_bytes(content)
    hidden.rename(folder / f"{number:04}.png")
    return hashlib.sha256(content).hexdigest()


def until(instant: float) -> None:
    """Let time pass until an instant of the monotonic clock."""
    wait_until(lambda: time.monotonic() >= instant, "time passes", max(1.0, instant - time.monotonic() + 5))


def _used(state: Mapping[str, Any], seconds: float, size: Size, *, restart: float) -> Iterator[Figure]:
    """Yield how many posts were made in so many seconds, beside those that the windows admitted."""
    charged = [one["sha256"] for one in state["charged"]]
    if len(set(charged)) < len(charged):
        raise click.ClickException("a content was paid for twice")
    possible = ideal(size, seconds)
    what = (
        f"{size.files} files wait, {size.per_second} a second and {size.per_minute} a minute, {seconds:.0f} s"
    )
    yield Figure(
        what=f"{what}, killed once: posts",
        value=state["requests"]["upload"] - state["throttled"],
        unit="",
        against="that the windows admitted",
        yardstick=len(possible),
        goal=Goal(least=0.97),
    )
    first = [one["at"] - state["charged"][0]["at"] for one in state["charged"][: size.per_minute]]
    last = max(LEAST, *(number for number, at in enumerate(first) if at < size.killed_at))
    yield Figure(
        what=f"the first {last + 1} posts, within the second's window",
        value=last / first[last],
        unit="a second",
        against="that the window admits",
        yardstick=last / possible[last],
        goal=Goal(least=0.97),
    )
    yield Figure(what=f"{what}: 429s", value=state["throttled"], unit="", goal=Goal(most=0))
    yield Figure(what="from kill -9 until the next daemon is ready", value=restart, unit="s")


def ideal(size: Size, seconds: float) -> list[float]:
    """Return when, in seconds after its first post, an ideal sender makes each of those that the windows admit."""
    windows = (Window(count=size.per_second, span=SECOND), Window(count=size.per_minute, span=60 * SECOND))
    first = instant = datetime(2026, 1, 1, tzinfo=UTC)
    sent: list[datetime] = []
    while instant <= first + seconds * SECOND:
        sent.append(instant)
        instant = next_instant(sent, windows, instant)
    return [(at - first).total_seconds() for at in sent]


def _order(state: Mapping[str, Any], place: Place, news: set[str], hot_at: float) -> Iterator[Figure]:
    """Yield how often the oldest went, and what went before the hot ones."""
    with Ledger(place.ledger_url, node="bench") as ledger, ledger.read() as tx:
        noticed = {
            line.file.sha256.hex(): line.file.noticed_at
            for line in views.lines(tx)
            if line.file.sha256 is not None
        }
    charged: Sequence[Mapping[str, Any]] = state["charged"]
    waiting = {hashed: at for hashed, at in noticed.items() if hashed not in news}
    oldest = archive = 0
    for one in charged:
        at = waiting.pop(one["sha256"], None)
        archive += at is not None
        oldest += at is not None and all(at <= other for other in waiting.values())
    yield Figure(what="of the archive's posts, for the oldest", value=oldest / archive, unit="")
    hot = [one["at"] for one in charged if one["sha256"] in news]
    before = [one for one in charged if hot_at < one["at"] < max(hot) and one["sha256"] not in news]
    yield Figure(what=f"the archive's posts before the {HOT} of a hot folder", value=len(before), unit="")
    yield Figure(
        what=f"a hot folder's {HOT} files: until the last is posted", value=max(hot) - hot_at, unit="s"
    )
