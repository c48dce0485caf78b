"""``costs`` and ``quality``: what judging came to, what is left, and how far the desk agrees with identifAI."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from identifai_watch.cli.acting import Since
from identifai_watch.cli.gathering import has_hosts, opened_to_read
from identifai_watch.cli.opening import config_option, json_option, load
from identifai_watch.cli.reading import standard_output
from identifai_watch.core.costs import costs_json, nothing
from identifai_watch.core.quality import Sums, quality_json
from identifai_watch.ledger import costs, quality

if TYPE_CHECKING:
    from rich.console import RenderableType


@click.command("costs")
@click.option(
    "--since",
    type=Since(),
    default="30d",
    show_default=True,
    help="What was used since: a date, or 7d, 12h, 30m ago.",
)
@config_option
@json_option
def costs_command(*, since: datetime, config_path: Path | None, as_json: bool) -> None:
    """Show what was sent and what the ledger saved, by day and folder, and how long the credits last.

    A copy is a file whose content was known: it cost nothing. What one upload costs identifAI does not say; credits are
    known by the account's balance, as often as it is asked for. Days are those of UTC.
    """
    config = load(config_path)
    now = datetime.now(UTC)
    with opened_to_read(config) as ledger:
        limits = config.api.limits
        used = (
            nothing(since, now)
            if ledger is None
            else costs.costs(ledger.read, limits, since, now, by_node=has_hosts(ledger))
        )
    if as_json:
        _print_json(costs_json(used))
        return
    from identifai_watch.cli import sums  # noqa: PLC0415 - rich is for people

    _print(sums.costs(used, now))


@click.command("quality")
@click.option(
    "--since", type=Since(), help="Only what the desk decided since: a date, or 7d, 12h, 30m ago; else all."
)
@config_option
@json_option
def quality_command(*, since: datetime | None, config_path: Path | None, as_json: bool) -> None:
    """Compare what the desk decided with what identifAI found, by confidence, kind and model.

    It is no measure of all that came in, for a desk looks at what is doubtful. The newest 5,000 decisions are counted.
    """
    config = load(config_path)
    with opened_to_read(config) as ledger:
        found = Sums().quality(since=since) if ledger is None else quality.quality(ledger.read, since)
    if as_json:
        _print_json(quality_json(found))
        return
    from identifai_watch.cli import sums  # noqa: PLC0415 - rich is for people

    _print(sums.quality(found))


def _print_json(document: object) -> None:
    with standard_output() as out:
        out.write(f"{json.dumps(document)}\n")


def _print(shown: "RenderableType") -> None:
    from identifai_watch.cli import paper  # noqa: PLC0415 - rich is for people

    with standard_output() as out:
        paper.put(out, shown)
