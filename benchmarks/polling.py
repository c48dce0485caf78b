"""How long a verdict waits to be known, and how many GETs it costs: a day in a newsroom, a thousand at once, and for real.

The day and the thousand are simulated on a virtual clock, with the real decisions (``benchmarks.newsroom``); beside them
naive polling, each identifier by itself every 5 s. For real: the daemon and the pretend identifAI, each as a process,
with the account's limits for GETs.
"""

import hashlib
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import click

from benchmarks.figures import Figure, Goal
from benchmarks.newsroom import MIDNIGHT, SECOND, Content, Rows, Seen, day, naive
from benchmarks.running import Place, pretended, share, wait_until
from identifai_watch.core.gate import Limits
from identifai_watch.core.model import Media
from identifai_watch.core.polling import LATEST, Took

SUFFIX = ".identifai.json"
SAMPLE = Path(__file__).parent.parent / "tests" / "media" / "sample.png"
GETS_ALONE = Limits(posts_per_second=0, posts_per_minute=0)
NONE = Limits(posts_per_second=0, posts_per_minute=0, gets_per_second=0, gets_per_minute=0)
FROM, TO = 1, 20
"""Seconds that a verdict takes, any of them as likely as the next."""


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield the day's figures, those of a thousand at once, those against what is pending, and the real ones."""
    yield from _day(1 if small else 24)
    for takes in (3,) if small else (3, 30, 120):
        for is_known in (False,) if small else (False, True):
            yield _at_once(takes, is_known=is_known)
    for pending in (1, 50) if small else (1, 10, 50, 200, 1000):
        yield _against(pending)
    yield from _real(10 if small else 50, 2 if small else TO)


def _day(hours: int) -> Iterator[Figure]:
    """Yield what polling gives over some hours of a newsroom, and what it costs."""
    contents = day(hours)
    limits = Limits()
    ours = Rows(contents, limits=limits).run()
    within, free = naive(contents, limits=limits), naive(contents, limits=NONE)
    if not len(ours.waits) == len(within.waits) == len(contents):
        raise click.ClickException("a verdict was never known")
    what = f"{hours} h of a newsroom, {len(contents)} files"
    against = "naive, within the limits"
    for name, part in (("p50", 0.5), ("p95", 0.95)):
        yield Figure(
            what=f"{what}: done to known, {name}",
            value=share(ours.waits, part),
            unit="s",
            against=f"{against} ({share(free.waits, part):.3g} without)",
            yardstick=share(within.waits, part),
        )
    yield Figure(
        what=f"{what}: GETs per verdict",
        value=ours.per_verdict,
        unit="",
        against=f"{against} ({free.per_verdict:.3g} without)",
        yardstick=within.per_verdict,
    )
    close = naive(contents, limits=NONE, every=share(ours.waits, 0.5) * 2 * SECOND)
    yield Figure(
        what=f"{what}: GETs per verdict as quick as that",
        value=ours.per_verdict,
        unit="",
        against=f"naive without limits, p50 {share(close.waits, 0.5):.3g} s",
        yardstick=close.per_verdict,
    )
    if ours.heatmaps:
        yield Figure(
            what=f"{what}: {len(ours.heatmaps)} heatmaps, p95", value=share(ours.heatmaps, 0.95), unit="s"
        )


def _at_once(takes: float, *, is_known: bool) -> Figure:
    """Return what each of a thousand verdicts costs that were sent at once and are done together."""
    learnt = [(10**6, (takes + 0.3 * (n % 3)) * SECOND) for n in range(LATEST)] if is_known else []
    seen = _run(_batch(1000, 0 * SECOND, [takes] * 1000), learnt)
    known = "known before" if is_known else "not known before"
    return Figure(
        what=f"1,000 at once, done after {takes:g} s ({known}): GETs per verdict",
        value=seen.per_verdict,
        unit="",
        goal=Goal(most=0.05),
    )


def _against(pending: int) -> Figure:
    """Return what a verdict costs with so many pending at a time, which take 1 to 20 s each."""
    chance = random.Random(pending)
    contents: list[Content] = []
    for number in range(max(1, 100 // pending)):
        takes = [chance.uniform(FROM, TO) for _ in range(pending)]
        contents += _batch(pending, number * 2 * TO * SECOND, takes)
    learnt = [(10**6, chance.uniform(FROM, TO) * SECOND) for _ in range(LATEST)]
    seen = _run(contents, learnt)
    return Figure(
        what=f"{pending:,} pending, done after {FROM} to {TO} s (p95 {share(seen.waits, 0.95):.2f} s): GETs per verdict",
        value=seen.per_verdict,
        unit="",
        against="naive without limits",
        yardstick=naive(contents, limits=NONE).per_verdict,
        at=pending,
    )


def _batch(count: int, after: timedelta, takes: Sequence[float]) -> list[Content]:
    """Return images that come at one instant."""
    return [
        Content(at=MIDNIGHT + after, media=Media.IMAGE, size=10**6, takes=takes[number] * SECOND)
        for number in range(count)
    ]


def _run(contents: Sequence[Content], learnt: Sequence[Took]) -> Seen:
    seen = Rows(contents, limits=GETS_ALONE, learnt=learnt).run()
    if len(seen.waits) != len(contents):
        raise click.ClickException("a verdict was never known")
    return seen


def _real(number: int, longest: float) -> Iterator[Figure]:
    """Yield how long it takes from done at the API to the sidecar on the disk, and what that costs."""
    chance = random.Random(7)
    pictures = {f"{n}.png": SAMPLE.read_bytes() + b"%d" % n for n in range(number)}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in pictures.items()}
    delays = {hashed: chance.uniform(FROM, longest) for hashed in hashes.values()}
    gets = {"gets_per_second": 2, "gets_per_minute": 60}
    with tempfile.TemporaryDirectory(prefix="polling-") as home, pretended() as identifai:
        verdicts = [{"sha256": hashed, "delay": delay} for hashed, delay in delays.items()]
        identifai.change(limits=gets, verdicts=verdicts)
        place = Place(home=Path(home), url=identifai.url, api=gets, folder={"settle_seconds": 0.1})
        with place.daemon() as daemon:
            for name, content in pictures.items():
                hidden = place.drop / f".{name}"
                hidden.write_bytes(content)
                hidden.rename(place.drop / name)
            beside = {hashes[name]: place.drop / (name + SUFFIX) for name in pictures}
            wait_until(lambda: all(path.exists() for path in beside.values()), f"{number} sidecars")
            daemon.must_run()
        state = identifai.state()
        ahead = time.time() - time.monotonic()
        known = {hashed: path.stat().st_mtime - ahead for hashed, path in beside.items()}
    if len(state["charged"]) != number:
        raise click.ClickException(f"{number} pictures, and {len(state['charged'])} were paid for")
    done_at = {one["sha256"]: one["at"] + delays[one["sha256"]] for one in state["charged"]}
    waits = [known[hashed] - at for hashed, at in done_at.items()]
    what = f"the daemon, {number} pending, done after {FROM} to {longest:g} s"
    for name, part, most in (("p50", 0.5, 1.0), ("p95", 0.95, 2.0)):
        yield Figure(
            what=f"{what}: done to sidecar, {name}", value=share(waits, part), unit="s", goal=Goal(most=most)
        )
    asked = sum(state["requests"][name] for name in ("result", "results"))
    yield Figure(what=f"{what}: GETs per verdict", value=asked / number, unit="")
    yield Figure(what=f"{what}: 429s", value=state["throttled"], unit="", goal=Goal(most=0))
