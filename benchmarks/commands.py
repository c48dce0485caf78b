"""How long a command takes that somebody waits for: --help, and status --json on a small ledger."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.figures import Figure, Goal
from benchmarks.running import PROGRAM, Place, share
from identifai_watch.completing import VARIABLE
from identifai_watch.ledger import Ledger

ROUNDS = 20


LIBRARIES = "import click, sqlite3, sqlalchemy.dialects.sqlite; from pydantic import BaseModel, Field"
"""What a command that reads the configuration and the ledger cannot do without."""


TAB = ("env", f"{VARIABLE}=bash_complete", "COMP_WORDS=identifai-watch\nlist\n--outcome\n", "COMP_CWORD=3")
"""What a shell asks."""


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield the medians; then what a Python takes that does nothing, and one that only imports our libraries."""
    rounds = 1 if small else ROUNDS
    with tempfile.TemporaryDirectory(prefix="commands-") as home:
        place = Place(home=Path(home))
        with Ledger(place.ledger_url, node="bench"):
            pass
        config = ["--config", str(place.config_path)]
        commands: dict[str, tuple[Sequence[str], Goal]] = {
            "--help": ([*PROGRAM, "--help"], Goal(most=250)),
            "status --json": ([*PROGRAM, "status", *config, "--json"], Goal(most=400)),
            "status": ([*PROGRAM, "status", *config], Goal()),
            "list --json": ([*PROGRAM, "list", *config, "--json"], Goal()),
            "run --help": ([*PROGRAM, "run", "--help"], Goal()),
            "Tab behind list --outcome": ([*TAB, *PROGRAM], Goal(most=100)),
            "python -c pass": ([sys.executable, "-c", "pass"], Goal()),
            f"python -c '{LIBRARIES}'": ([sys.executable, "-c", LIBRARIES], Goal()),
        }
        took: dict[str, list[float]] = {what: [] for what in commands}
        for number in range(rounds + 1):
            for what, (command, _) in commands.items():  # in turn, so that what disturbs one disturbs all
                milliseconds = _took(command)
                if number > 0:  # the first run warms the caches
                    took[what].append(milliseconds)
        for what, (_, goal) in commands.items():
            yield Figure(what=what, value=share(took[what], 0.5), unit="ms", goal=goal)


def _took(command: Sequence[str]) -> float:
    """Return how many milliseconds a command takes."""
    began = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return (time.monotonic() - began) * 1000
