"""One share on several hosts: one of them at a time has it, and whoever takes over goes on where that one ended."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from identifai_watch.ledger import Ledger, intake, shares
from identifai_watch.ledger.claims import TTL
from identifai_watch.ledger.schema import SHARED, files, folders, history, nodes
from identifai_watch.ledger.step import Claimant
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


def reported(home: House) -> dict[str, Any]:
    """Return what the daemon of this node last told of the share; nothing before it did."""
    [said] = asked(home, sa.select(nodes.c.report).where(nodes.c.node == home.node)) or ['{"folders": []}']
    return next(iter(json.loads(said)["folders"]), {})


def waits(home: House, for_node: str) -> bool:
    """Tell whether this node waits for a share that another has."""
    return reported(home).get("watched_by") == for_node


def is_once_each(home: House, number: int) -> None:
    """Hold that there is a row, a POST and a delivery of each of so many files, and no more."""
    query = sa.select(history.c.event).where(history.c.event == "delivered")
    wait_for(lambda: len(asked(home, query)) >= number, "all are written down as delivered")
    delivered = asked(home, query)
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


def test_a_clean_stop_hands_the_share_on_at_once(tmp_path: Path, server_ledger: str) -> None:
    """Nobody waits for a claim to lapse, and what waited for its verdict is delivered by the next node, once."""
    with share(tmp_path, server_ledger, "oslo", "rome", script=Script(delay=2.0)) as (oslo, rome):
        with ExitStack() as later:
            with oslo.daemon():
                wait_for(lambda: holder(oslo) == "oslo", "oslo has it")
                later.enter_context(rome.daemon())
                wait_for(lambda: waits(rome, "oslo"), "rome waits for it")
                path = oslo.put("sample.jpg")
                wait_for(lambda: len(oslo.simulator.state.taken) == 1, "it is sent")
                assert {} == oslo.sidecars()
            ended = time.monotonic()
            wait_for(lambda: holder(rome) == "rome", "rome has it")
            assert time.monotonic() - ended < 2
            rome.sidecar(path)
        is_once_each(rome, 1)
    assert [None] == asked(rome, sa.select(folders.c.claimed_by).where(folders.c.node == SHARED))


def test_a_host_that_is_killed_is_followed_by_another(tmp_path: Path, server_ledger: str) -> None:
    """Its lock says that it is dead, so that nobody waits for its claim to lapse; nothing is lost, or paid twice."""
    with share(tmp_path, server_ledger, "oslo", "rome", script=Script(delay=1.0)) as (oslo, rome):
        with oslo.process() as process, ExitStack() as later:
            wait_for(lambda: holder(oslo) == "oslo", "oslo has it")
            later.enter_context(rome.daemon())
            wait_for(lambda: waits(rome, "oslo"), "rome waits for it")
            for number in range(8):
                oslo.put("sample.jpg", f"{number}.jpg", extra=bytes([number]))
            wait_for(lambda: len(oslo.sidecars()) >= 1, "it is in the midst of it")
            process.kill()
            process.wait()
            died = time.monotonic()
            wait_for(lambda: holder(rome) == "rome", "rome has it")
            assert time.monotonic() - died < TTL.total_seconds() / 2
            wait_for(lambda: len(rome.sidecars()) == 8, "all are told", 60)
        assert (8, 8) == (len(asked(rome, sa.select(files.c.id))), len(rome.simulator.state.charged))


def test_a_host_that_hangs_loses_the_share_and_does_no_harm_when_it_wakes(
    tmp_path: Path, server_ledger: str
) -> None:
    """Its claim lapses; when it wakes it sees that before it does anything, and what it had begun ends unwritten."""
    with share(tmp_path, server_ledger, "oslo", "rome", script=Script(delay=6.0)) as (oslo, rome):
        with oslo.process() as process:
            wait_for(lambda: holder(oslo) == "oslo", "oslo has it")
            paths = [oslo.put("sample.jpg", f"{number}.jpg", extra=bytes([number])) for number in range(4)]
            wait_for(lambda: len(oslo.simulator.state.taken) == 4, "all are sent")
            with rome.daemon():
                wait_for(lambda: waits(rome, "oslo"), "rome waits for it")
                process.send_signal(signal.SIGSTOP)
                wait_for(lambda: holder(rome) == "rome", "its claim lapsed", 40)
                for path in paths:
                    rome.sidecar(path)
                decided = rome.command(
                    "decide", str(rome.drop / "0.jpg"), "human", "--reason", "our own picture"
                )
                assert (0, "") == (decided.returncode, decided.stderr)
                wait_for(lambda: rome.sidecars()["0.jpg"]["decision"], "the desk's word is told")
                before = _written(rome)
                process.send_signal(signal.SIGCONT)
                wait_for(lambda: waits(oslo, "rome"), "it waits for it")
                rome.put("sample.png")
                wait_for(lambda: len(rome.sidecars()) == 5, "rome goes on")
                assert before == {name: what for name, what in _written(rome).items() if name in before}
        delivered = asked(rome, sa.select(history.c.event).where(history.c.event == "delivered"))
        assert (5, 5, 6) == (
            len(rome.simulator.state.charged),
            len(rome.simulator.state.taken),
            len(delivered),
        )


def _written(home: House) -> dict[str, tuple[int, int]]:
    """Return which file each sidecar is, and when it was written."""
    found = {path.name: path.stat() for path in home.drop.glob("*.json")}
    return {name: (what.st_ino, what.st_mtime_ns) for name, what in found.items()}


def test_a_host_that_cannot_reach_the_share_hands_it_on(tmp_path: Path, server_ledger: str) -> None:
    """Whoever sees it takes over; where nobody does it stays where it is, and an empty mount point is not taken for it."""
    with share(tmp_path, server_ledger) as (oslo, rome, york), ExitStack() as running:
        running.enter_context(oslo.daemon())
        wait_for(lambda: holder(oslo) == "oslo", "oslo has it")
        oslo.sidecar(oslo.put("sample.jpg"))
        york.drop.unlink()
        york.drop.mkdir()
        running.enter_context(rome.daemon())
        running.enter_context(york.daemon())
        wait_for(lambda: waits(rome, "oslo"), "rome waits for it")
        stranger = wait_for(lambda: _unreachable(york), "york sees that it is not the share")
        assert "none of the files that other hosts know in it is there, of 1 that were looked for" in stranger
        oslo.drop.unlink()
        wait_for(lambda: holder(rome) == "rome", "rome has it")
        rome.sidecar(rome.put("sample.png"))
        there = rome.drop.readlink()
        rome.drop.unlink()
        wait_for(lambda: _unreachable(rome) and _unreachable(oslo), "nobody sees it")
        assert "rome" == holder(rome)
        rome.drop.symlink_to(there)
        rome.sidecar(rome.put("sample.webp"))
        assert "rome" == holder(rome)
        is_once_each(rome, 3)


def _unreachable(home: House) -> str:
    """Return why a node cannot reach the share, by what its daemon told; empty if it can."""
    said = reported(home)
    return str(said["reason"]) if said.get("health") == "unavailable" else ""


def test_a_share_is_one_hosts_by_a_claim(server_ledger: str) -> None:
    """It is no other's while its host lives and renews it, nor while that writes; whoever lost it holds nothing."""
    ours, theirs = (Claimant(node=node, token=f"run of {node}") for node in ("oslo", "rome"))
    with Ledger(server_ledger, node="oslo") as oslo, Ledger(server_ledger, node="rome") as rome:
        assert oslo.lock.take()
        now = oslo.clock()
        with oslo.write() as tx:
            number = intake.folder(tx, SHARED, "wires").id
            assert now + TTL == shares.claim(tx, ours, number, now)
        with rome.write() as tx:
            assert number == intake.folder(tx, SHARED, "wires").id
            assert None is shares.claim(tx, theirs, number, now)
        with oslo.write() as tx, rome.write() as other:
            assert {number: now + TTL} == shares.hold(tx, ours, [number])
            assert None is shares.claim(other, theirs, number, now + TTL)
        with rome.write() as tx:
            assert now + 2 * TTL == shares.claim(tx, theirs, number, now + TTL)
        with oslo.write() as tx:
            assert {} == shares.hold(tx, ours, [number])
            shares.give_up(tx, ours, [number])
        with oslo.read() as tx:
            assert shares.Had("rome", now + 2 * TTL) == shares.had(tx, [number])[number]
        with oslo.write() as tx:  # the one that has it by now has no lock
            assert now + 2 * TTL == shares.claim(tx, ours, number, now + TTL)
