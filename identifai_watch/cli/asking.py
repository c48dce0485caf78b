"""Orders from the command line: the files that paths name, and what came of an order.

Who carries an order out is left to ``orders``.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from identifai_watch import orders
from identifai_watch.cli import elsewhere
from identifai_watch.cli.opening import folder_of, operator
from identifai_watch.config import Config
from identifai_watch.core.sidecar import shown
from identifai_watch.errors import RefusedError
from identifai_watch.ledger import Ledger, Transaction, views
from identifai_watch.ledger.views import Line
from identifai_watch.orders import Answer
from identifai_watch.places import AD_HOC


def give(
    config: Config, ledger: Ledger, verb: str, arguments: dict[str, Any], *, node: str | None = None
) -> Answer | None:
    """Give an order in the name of whoever types, and return what came of it; None if the daemon has not come to it yet.

    That is this host's daemon, or that of a ``node``.

    Raises:
        RefusedError: It cannot be carried out.
    """
    return orders.give(config, ledger, verb, arguments, who=operator(), node=node)


def files_at(config: Config, ledger: Ledger, paths: Sequence[Path], node: str | None = None) -> list[Line]:
    """Return the file that each path stands for: where it was noticed, or where it lies now, here or on another node.

    Raises:
        RefusedError: Some are not known; all of them are named.
    """
    if node is not None and node != config.node.name:
        return _files_elsewhere(config, ledger, paths, node)
    found: list[Line] = []
    strangers: list[str] = []
    with ledger.read() as tx:
        for path in paths:
            line = line_at(tx, config, ledger.node, path)
            if line is None:
                strangers.append(_stranger(tx, config, ledger.node, path))
            else:
                found.append(line)
    if strangers:
        raise RefusedError(f"{'; '.join(strangers)}; identifai-watch explain says why. Nothing was done")
    return found


def _files_elsewhere(config: Config, ledger: Ledger, paths: Sequence[Path], node: str) -> list[Line]:
    elsewhere.check_node(config, ledger, node)
    found = []
    with ledger.read() as tx:
        for path in map(os.fsencode, paths):
            lines = elsewhere.lines_at(tx, node, path)
            if not lines:
                raise elsewhere.nowhere(node, path)
            found.append(lines[0])
    return found


def _stranger(tx: Transaction, config: Config, node: str, path: Path) -> str:
    """Say that the ledger does not know a file, or that it was left alone and why."""
    numbers = views.folder_ids(tx, node, config.shared)
    for name, relative in _readings(config, path):
        left = views.left_at(tx, numbers[name], relative) if name in numbers else None
        if left is not None:
            return f"{shown(str(path))} was left alone: {shown(left.reason)}"
    return f"the ledger does not know {shown(str(path))}"


def line_at(tx: Transaction, config: Config, node: str, path: Path) -> Line | None:
    """Return the file of this host that a path stands for, with its analysis; None if the ledger knows none."""
    numbers = views.folder_ids(tx, node, config.shared)
    for name, relative in _readings(config, path):
        found = views.at(tx, numbers[name], relative) if name in numbers else []
        if found:
            return found[0]
    lying = views.lying_at(tx, os.fsencode(path.absolute()))
    return next((line for line in lying if config.is_here(line.file.node)), None)


def _readings(config: Config, path: Path) -> Iterator[tuple[str, bytes]]:
    """Give what a path may stand for: a file of the folder that it lies in, or a single file."""
    with suppress(RefusedError):
        yield folder_of(config, path)
    yield AD_HOC, os.path.realpath(os.fsencode(path)).lstrip(b"/")


def tell(answer: Answer | None, words: str, *, as_json: bool) -> None:
    """Print what came of an order, or that the daemon still has to come to it."""
    if as_json:
        click.echo(json.dumps({"queued": answer is None} | (answer or {})))
    elif answer is None:
        click.echo("The order is queued: the daemon carries it out when it comes to it.")
    else:
        click.echo(words)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what cannot be taken back; ``yes`` is the answer given beforehand.

    Raises:
        RefusedError: The answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody can be asked here; say --yes.")
    if not click.confirm(question, err=True):
        raise RefusedError("not confirmed; nothing was done")


def utc_now() -> datetime:
    """Return the instant, with its zone."""
    return datetime.now(UTC)
