"""Run one benchmark by its name: ``python -m benchmarks soak --minutes 10``."""

import click

from benchmarks.soak import soak


@click.group()
def benchmarks() -> None:
    """Measure identifai-watch on this machine; each prints its figures and what they were taken on."""


benchmarks.add_command(soak)

if __name__ == "__main__":
    benchmarks()
