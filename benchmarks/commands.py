"""How long a command takes that somebody waits for: --help, and status --json on a small ledger."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.figures import Figure, Goal
from benchmarks.running import PROGRAM, Place, share
from identifai_watch.ledger import Ledger

ROUNDS = 20


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield the medians, beside that of a Python which does nothing."""
    rounds = 3 if small else ROUNDS
    with tempfile.TemporaryDirectory(prefix="commands-") as home:
        place = Place(home=Path(home))
        with Ledger(place.ledger_url, node="bench"):
            pass
        nothing = _median([sys.executable, "-c", "pass"], rounds)
        config = ["--config", str(place.config_path)]
        for what, words, most in (
            ("--help", ["--help"], 250),
            ("status --json", ["status", *config, "--json"], 400),
        ):
            took = _median([*PROGRAM, *words], rounds)
            yield Figure(what=what, value=took, unit="ms", goal=Goal(most=most))
        yield Figure(what="python -c pass", value=nothing, unit="ms")


def _median(command: Sequence[str], rounds: int) -> float:
    """Return the median of the milliseconds that a command takes; its first run warms the caches."""
    took: list[float] = []
    for _ in range(rounds + 1):
        began = time.monotonic()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        took.append((time.monotonic() - began) * 1000)
    return share(took[1:], 0.5)
