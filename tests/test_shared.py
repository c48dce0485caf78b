"""One share on several hosts: one of them at a time has it, and whoever takes over goes on where that one ended."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from identifai_watch.ledger.schema import files, folders, history
from identifai_watch.simulator import Script
from tests.harness import House, house, wait_for

NODES = ("oslo", "rome", "york")


@contextmanager
def share(
    home: Path, ledger: str, *nodes: str, script: Script | None = None, **folder: Any
) -> Iterator[list[House]]:
    """Build a house for each node, in which the share ``drop`` lies at a path of its own; all lead to one directory."""
    there = home / "exported"
    there.mkdir()
    settings = {"shared": "drop"} | folder
    with house(home / "none", script, ledger=ledger, node="none", folder=settings) as first:
        homes = [replace(first, home=mounted(home / node, there), node=node) for node in nodes or NODES]
        yield homes


def mounted(home: Path, there: Path) -> Path:
    """Have ``there`` lie at ``drop`` in a home, which is made, and return that."""
    home.mkdir()
    (home / "drop").symlink_to(there)
    return home


def asked(home: House, query: sa.Select[Any]) -> list[Any]:
    """Return the first column of what the ledger answers."""
    with home.open_ledger() as ledger, ledger.read() as tx:
        return list(tx.execute(query).scalars())


def holder(home: House) -> str | None:
    """Return which node has the share by the ledger."""
    return next(iter(asked(home, sa.select(folders.c.claimed_by).where(folders.c.node == ""))), None)


def status(home: House) -> dict[str, Any]:
    """Return what ``status --json`` says of the share on this node."""
    folders = json.loads(home.command("status", "--json").stdout)["folders"]
    [found] = [one for one in folders if one["node"] == home.node]
    return dict(found)


def told(home: House) -> list[str]:
    """Return what the log of a process of this node said, in order."""
    return [line["event"] for line in home.logged()]


def is_once_each(home: House, number: int) -> None:
    """Hold that there is a row, a POST and a delivery of each of so many files, and no more."""
    delivered = asked(home, sa.select(history.c.event).where(history.c.event == "delivered"))
    state = home.simulator.state
    rows = asked(home, sa.select(files.c.id))
    assert (number, number, number, number) == (
        len(rows),
        len(state.charged),
        len(state.taken),
        len(delivered),
    )


def test_three_hosts_start_at_once_and_one_has_the_share(tmp_path: Path, server_ledger: str) -> None:
    """One row for each file, one POST for each content, one sidecar, written once; the others say who watches."""
    with share(tmp_path, server_ledger) as homes, ExitStack() as running:
        for home in homes:
            running.enter_context(home.daemon())
        first = homes[0]
        for number in range(6):
            first.put("sample.jpg", f"in/{number}.jpg", extra=bytes([number]))
        wait_for(lambda: len(first.sidecars()) == 6, "all are told")
        is_once_each(first, 6)
        assert [""] == asked(first, sa.select(folders.c.node).where(folders.c.name == "drop"))
        has = holder(first)
        others = [home for home in homes if home.node != has]
        told_by = [status(home) for home in others]
        assert [("ok", has, f"node {has} watches it")] * 2 == [
            (one["health"], one["watched_by"], one["reason"]) for one in told_by
        ]
        path = others[0].put("sample.png")
        wait_for(lambda: status(others[0])["watched_by"] == has, "it is still theirs")
        refused = others[0].command("judge", str(path))
        assert (1, True) == (
            refused.returncode,
            f"is watched by node {has}: have the file judged there" in refused.stderr,
        )
