"""How much of the account's POST budget ten nodes on one PostgreSQL use together, that none is refused, and a far node's share.

Ten daemons and the pretend identifAI, each as a process, under the limits that the vendor documents; each daemon has a
backlog, and one has 40 ms to the ledger either way. The yardsticks are an ideal sender alone, and a tenth of the posts.
"""

import hashlib
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from benchmarks.budget import SAMPLE, Size, ideal, until
from benchmarks.figures import Figure, Goal
from benchmarks.running import Place, pretended, wait_until
from identifai_watch.core.events import AccountEvent, Barred, Resumed
from identifai_watch.core.model import PauseReason
from identifai_watch.ledger import Ledger, budget, views
from tests.postgres import Cluster
from tests.wires import Wire

NODES = 10
FAR = "n0"
DELAY = 0.04

FULL = Size(files=12, hot_at=0, killed_at=0, counted_at=179)
SMALL = Size(files=4, hot_at=0, killed_at=0, counted_at=9, per_second=2, per_minute=12)


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield what of the budget is used, how many requests are refused, and how soon verdicts are told at home."""
    size = SMALL if small else FULL
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-")))
        cluster = stack.enter_context(Cluster())
        url = cluster.database("ledger")
        Ledger(url, node="bench").close()
        wire = stack.enter_context(Wire(("127.0.0.1", cluster.port), delay=DELAY))
        identifai = stack.enter_context(pretended(delay=1.0))
        api = {"posts_per_second": size.per_second, "posts_per_minute": size.per_minute}
        api |= {"gets_per_second": 2, "gets_per_minute": 60}
        whose: dict[str, str] = {}
        places: list[Place] = []
        for number in range(NODES):
            node = f"n{number}"
            way = url if node != FAR else f"postgresql+psycopg://watch@127.0.0.1:{wire.address[1]}/ledger"
            (home / node).mkdir()
            more = {"ledger": {"url": way}, "node": {"name": node}}
            quick = {"settle_seconds": 0.1}
            place = Place(home=home / node, url=identifai.url, api=api, folder=quick, more=more)
            whose |= dict.fromkeys(_pictures(place.drop, node, size.files), node)
            places.append(place)
        identifai.change(limits=api)
        ledger = stack.enter_context(Ledger(url, node="bench"))
        _tell(ledger, Barred(PauseReason.OPERATOR, "until all have taken their backlogs in"))
        with ExitStack() as daemons:
            for place in places:
                daemons.enter_context(place.daemon())
            wait_until(lambda: _admitted(ledger) == len(whose), "the backlogs are known", 300)
            _tell(ledger, Resumed())
            wait_until(lambda: len(identifai.state()["charged"]) > 0, "the first post", 300)
            began = identifai.state()["charged"][0]["at"]
            until(began + size.counted_at)
            state, now = identifai.state(), time.monotonic()
            yield from _used(state, now - began, size, whose)
            yield from _told(ledger)


def _pictures(folder: Path, node: str, number: int) -> list[str]:
    """Put a node's backlog into its folder, and return the hashes."""
    contents = [SAMPLE.read_bytes() + f"{node} {one}".encode() for one in range(number)]
    for one, content in enumerate(contents):
        (folder / f"{one}.png").write_bytes(content)
    return [hashlib.sha256(content).hexdigest() for content in contents]


def _tell(ledger: Ledger, event: AccountEvent) -> None:
    with ledger.write() as tx:
        budget.advance_account(tx, event, ledger.clock(), 0.5)


def _admitted(ledger: Ledger) -> int:
    with ledger.read() as tx:
        return sum(line.analysis is not None for line in views.lines(tx))


def _used(state: Mapping[str, Any], seconds: float, size: Size, whose: Mapping[str, str]) -> Iterator[Figure]:
    """Yield how many posts were made in so many seconds beside those that the windows admitted, and by whom."""
    charged: Sequence[Mapping[str, Any]] = state["charged"]
    if len({one["sha256"] for one in charged}) < len(charged):
        raise click.ClickException("a content was paid for twice")
    possible = ideal(size, seconds)
    limits = f"{size.per_second} a second and {size.per_minute} a minute"
    yield Figure(
        what=f"{NODES} nodes with backlogs, {limits}, {seconds:.0f} s: posts",
        value=len(charged),
        unit="",
        against="that the windows admitted",
        yardstick=len(possible),
        goal=Goal(least=0.95),
    )
    refused = state["throttled"]
    yield Figure(what=f"{NODES} nodes: 429s", value=refused, unit="", goal=Goal(most=1))
    by = Counter(whose[one["sha256"]] for one in charged)
    yield Figure(
        what=f"posts of the node that has {2000 * DELAY:.0f} ms to the ledger and back",
        value=by[FAR],
        unit="",
        against="an equal share",
        yardstick=len(charged) / NODES,
        goal=Goal(least=0.5),
    )


def _told(ledger: Ledger) -> Iterator[Figure]:
    """Yield how soon verdicts are delivered where the file lies: nine in ten are won by another node."""
    wait_until(lambda: len(_took(ledger)) > 1, "verdicts are told")
    p95 = statistics.quantiles(_took(ledger), n=20)[-1]
    yield Figure(what="verdict in the ledger -> sidecar at home, p95", value=p95, unit="s", goal=Goal(most=1))


def _took(ledger: Ledger) -> list[float]:
    """Return how many seconds each delivery of a near node took from its verdict on."""
    with ledger.read() as tx:
        return [
            (line.file.delivered_at - line.analysis.judged_at).total_seconds()
            for line in views.lines(tx)
            if line.analysis is not None
            and line.analysis.judged_at is not None
            and line.file.delivered_at is not None
            and line.file.node != FAR
        ]
