"""Files and folders of other hosts, as commands name them with ``--node``: nothing there is looked at but the ledger."""

import os
from collections.abc import Iterator

import click

from identifai_watch.config import Config
from identifai_watch.core.report import AD_HOC, SHARED
from identifai_watch.core.sidecar import shown
from identifai_watch.errors import RefusedError
from identifai_watch.ledger import Ledger, Transaction, desk, views
from identifai_watch.ledger.views import Left, Line

node_option = click.option(
    "--node", help="Of the host of this name: PATH is its path there, or FOLDER/PATH as list shows it."
)


def check_node(config: Config, ledger: Ledger | None, node: str | None) -> None:
    """Raise RefusedError if ``--node`` names no host of the ledger; this one is known in any case."""
    if node is None or node == config.node.name:
        return
    if ledger is None or not ledger.member:
        raise RefusedError(
            f"there is no host {node}: a ledger that is a file, or not there yet, has one host"
        )
    with ledger.read() as tx:
        known = desk.node_names(tx)
    if node not in known:
        raise RefusedError(f"there is no host {node}; the ledger knows {', '.join(sorted(known))}")


def lines_at(tx: Transaction, node: str, path: bytes) -> list[Line]:
    """Return the files of a host that were noticed at, or lie at, a path as it is named; the one that stands for it first."""
    numbers = views.folder_ids(tx, node)
    for name, relative in _readings(tx, node, path):
        found = views.at(tx, numbers[name], relative) if name in numbers else []
        if found:
            return found
    return [line for line in views.lying_at(tx, path) if line.file.node == node]


def left_at(tx: Transaction, node: str, path: bytes) -> Left | None:
    """Return why a path of a host was left alone, if it was."""
    numbers = views.folder_ids(tx, node)
    found = (
        views.left_at(tx, numbers[name], relative)
        for name, relative in _readings(tx, node, path)
        if name in numbers
    )
    return next((one for one in found if one is not None), None)


def _readings(tx: Transaction, node: str, path: bytes) -> Iterator[tuple[str, bytes]]:
    """Give what a path may stand for there: a file of a folder, by where its daemon told that lies, or a single file."""
    if not path.startswith(b"/"):
        name, _, relative = path.partition(b"/")
        yield os.fsdecode(name), relative
        return
    path = os.path.normpath(path)
    told = next((one for one in desk.node_rows(tx) if one.name == node), None)
    for folder in [] if told is None else told.report.get("folders", []):
        root = os.fsencode(folder["path"]).rstrip(b"/") + b"/"
        if path.startswith(root):
            yield folder["name"], path.removeprefix(root)
    yield AD_HOC, path.lstrip(b"/")


def nowhere(node: str, path: bytes) -> RefusedError:
    """Return the error for a path that the ledger does not know on a host."""
    return RefusedError(
        f"the ledger knows no {shown(path)} on {node}: name its path there, or FOLDER/PATH as list shows it"
    )


def folder(config: Config, ledger: Ledger, name: str, node: str | None) -> dict[str, str]:
    """Return what an order names a folder by: this host's if it has one, else the only one of that name on the others.

    Raises:
        RefusedError: There is none, or several hosts have one and none of them is named.
    """
    check_node(config, ledger, node)
    own = config.folder_named(name)
    if own is not None and node in {None, config.node.name}:
        return _named(ledger, name, own.node_of(ledger.node))
    owners: list[str] = []
    if ledger.member:
        with ledger.read() as tx:
            owners = [one for one in views.owners(tx, name) if node is None or one in {node, SHARED}]
    if len(owners) == 1:
        return _named(ledger, name, owners[0])
    if len(owners) > 1:
        raise RefusedError(f"several hosts have a folder {name}: {', '.join(owners)}; say --node NAME")
    if node is not None and node != config.node.name:
        raise RefusedError(f"{node} has no folder {name}; identifai-watch status names them all")
    known = ", ".join(one.name for one in config.folders)
    raise RefusedError(f"there is no folder {name}; configured are {known}")


def _named(ledger: Ledger, name: str, node: str) -> dict[str, str]:
    return {"folder": name, "node": node} | ({"host": node} if ledger.member else {})
