"""Run one benchmark by its name, or all: ``python -m benchmarks scan``, ``python -m benchmarks all --small``."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from benchmarks import figures
from benchmarks.figures import Figure
from benchmarks.plot import plot
from benchmarks.soak import soak

ROWS = (
    "digest",
    "scan",
    "archive",
    "latency",
    "budget",
    "polling",
    "throughput",
    "burst",
    "big",
    "long_life",
    "commands",
    "idle",
    "nodes",
    "fleet",
)
"""The modules that measure the numbers to reach, each by a function ``measure(*, small)`` that yields figures."""

AT_ONCE = 4
"""How many run at a time where it is not for figures: each of them waits more than it computes."""

OF_HOSTS = ("together",)
"""Those that measure several hosts, and need PostgreSQL's programs."""


@click.group()
def benchmarks() -> None:
    """Measure identifai-watch on this machine; each prints its figures, their yardsticks and the machine."""


def _command(name: str) -> click.Command:
    """Return the command that runs one benchmark."""
    module = import_module(f"benchmarks.{name}")
    measure: Callable[..., Iterable[Figure]] = module.measure

    def run(*, small: bool, as_json: bool) -> None:
        document = figures.document(name, measure(small=small), small=small)
        if as_json:
            click.echo(json.dumps(document))
        else:
            figures.show(document)

    return click.Command(
        name,
        callback=run,
        help=module.__doc__,
        params=[
            click.Option(
                ["--small"], is_flag=True, help="A small size: to see that it works, not for figures."
            ),
            click.Option(["--json", "as_json"], is_flag=True, help="JSON for machines."),
        ],
    )


@click.command("all")
@click.argument("names", nargs=-1, type=click.Choice(ROWS), metavar="[NAME]...")
@click.option(
    "--small",
    is_flag=True,
    help="A small size each, several at once: to see that they work, not for figures.",
)
@click.option(
    "--json", "target", type=click.Path(path_type=Path, dir_okay=False), help="Write them there too."
)
def every(*, names: tuple[str, ...], small: bool, target: Path | None) -> None:
    """Run all of them but the soak, or those named, each in a process of its own.

    What the file holds of others stays.
    """
    found = _before(target)
    failed: list[str] = []

    def run(name: str) -> "subprocess.CompletedProcess[bytes]":
        command = [sys.executable, "-m", "benchmarks", name, "--json", *(["--small"] if small else [])]
        return subprocess.run(command, capture_output=True, check=False)

    chosen = names or ROWS
    with ThreadPoolExecutor(AT_ONCE if small else 1) as pool:
        for name, done in zip(chosen, pool.map(run, chosen), strict=True):
            sys.stderr.write(done.stderr.decode(errors="replace"))
            if done.returncode != 0:
                reason = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
                failed.append(f"{name} (exit status {done.returncode}: {reason})")
                continue
            found[name] = json.loads(done.stdout)
            figures.show(found[name])
            if target is not None:  # now: what is measured is not lost with the rest
                ordered = [found[name] for name in ROWS if name in found]
                target.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    if failed:
        raise click.ClickException(f"failed: {', '.join(failed)}")


def _before(target: Path | None) -> dict[str, dict[str, Any]]:
    """Return what a file holds of earlier runs, by benchmark."""
    if target is None or not target.exists():
        return {}
    return {one["benchmark"]: one for one in json.loads(target.read_text(encoding="utf-8"))}


benchmarks.add_command(soak)
benchmarks.add_command(plot)
benchmarks.add_command(every)
for row in (*ROWS, *OF_HOSTS):
    benchmarks.add_command(_command(row))

if __name__ == "__main__":
    benchmarks()
