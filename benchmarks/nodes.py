"""Claims a second with 1, 2, 4 and 8 nodes on one PostgreSQL, and that no content is claimed twice.

Each node is a process that does with the ledger what a daemon does, and nothing else: a transaction that claims four
uploads and says that they begin, and one that says that they were taken. All see all files, so that they contend for
each content. The yardstick are as many processes that do as much by bare statements: no history, no rows as values.
"""

import json
import multiprocessing
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import psycopg

from benchmarks import servers
from benchmarks.figures import Figure, Goal
from benchmarks.running import Place, pretended, wait_until
from identifai_watch.core.events import Uploaded
from identifai_watch.core.lifecycle import Policy
from identifai_watch.ledger import Ledger, claims, work
from identifai_watch.ledger.claims import Room
from identifai_watch.ledger.step import Claimant, Step
from tests.postgres import Cluster

NODES = (1, 2, 4, 8)
SECONDS = 6.0
CONTENTS = 60_000
AT_ONCE = 4
IDLE_SECONDS = 120
PATIENCE = 60.0


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield the claims a second of so many nodes, each beside bare statements, and what was claimed twice."""
    with servers.server() as cluster:
        if cluster is None:
            return
        filled = cluster.database()
        servers.queue(filled, 300 if small else CONTENTS, now=datetime.now(UTC))
        claimed = Counter[int]()
        seconds = 0.3 if small else SECONDS
        twice = 0
        for nodes in NODES[1:2] if small else NODES:
            ours, found = _together(cluster, filled, _node, nodes, seconds)
            bare, _ = _together(cluster, filled, _bare, nodes, seconds)
            claimed = Counter(found)
            twice += claimed.total() - len(claimed)
            yield Figure(
                what=f"{nodes} node{'s' * (nodes > 1)}: claims, begun and completed",
                value=ours,
                unit="a second",
                against="a second by bare statements",
                yardstick=bare,
                at=nodes,
                is_told=True,
            )
        yield Figure(what="contents that two nodes had claimed", value=twice, unit="", goal=Goal(most=0))
        yield from _idle(cluster, 1 if small else IDLE_SECONDS)


def _idle(cluster: Cluster, seconds: int) -> Iterator[Figure]:
    """Yield what a real daemon asks of the server while it has nothing to do, and the sessions that it has there."""
    url = cluster.database()
    name = url.rpartition("/")[2]
    cluster.administer("CREATE EXTENSION IF NOT EXISTS pg_stat_statements", name)
    with tempfile.TemporaryDirectory(prefix="nodes-") as home, pretended() as identifai:
        place = Place(home=Path(home), url=identifai.url, ledger=url)
        with place.daemon() as daemon:
            wait_until(lambda: _has_scanned(cluster, name), "the first scan has ended")
            threading.Event().wait(2)  # what it set off comes to its end
            cluster.administer("SELECT pg_stat_statements_reset()", name)
            began = time.monotonic()
            threading.Event().wait(seconds)
            daemon.must_run()
            took = time.monotonic() - began
            [(statements, busy)] = cluster.administer(_ASKED, name)
            [(sessions,)] = cluster.administer(_SESSIONS, name)
    cluster.drop(url)
    idle = "an idle daemon"
    yield Figure(what=f"{idle}: statements", value=float(statements) / took, unit="a second", is_told=True)
    yield Figure(what=f"{idle}: the server is busy with them", value=busy / took / 10, unit="% of a core")
    yield Figure(what=f"{idle}: sessions", value=sessions, unit="", is_told=True)


def _has_scanned(cluster: Cluster, name: str) -> bool:
    """Tell whether the daemon has scanned its folder, by what it reports."""
    reports = cluster.administer("SELECT report FROM nodes", name)
    return any(json.loads(report)["folders"][0]["last_scan_at"] is not None for (report,) in reports)


def _together(
    cluster: Cluster, filled: str, node: Callable[..., None], nodes: int, seconds: float
) -> tuple[float, list[int]]:
    """Have so many processes claim in a copy of a ledger; return how many they completed a second, and all numbers."""
    url = cluster.database(template=filled.rpartition("/")[2])
    fork = multiprocessing.get_context("fork")  # no connection is open here, and nothing is imported anew
    ready = fork.Barrier(nodes)
    pipes, processes = [], []
    for number in range(nodes):
        mine, its = fork.Pipe(duplex=False)
        pipes.append(mine)
        processes.append(fork.Process(target=node, args=(url, number, ready, seconds, its), daemon=True))
        processes[-1].start()
        its.close()
    results = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join(PATIENCE)
    cluster.drop(url)
    return sum(len(ids) / took for ids, took in results), [one for ids, _ in results for one in ids]


def _node(url: str, number: int, ready: Barrier, seconds: float, told: Connection) -> None:
    """Claim as a daemon does, until the time is up or nothing is left; tell which contents, and how long it took."""
    done: list[int] = []
    with Ledger(url, node=f"host-{number}") as ledger:
        ledger.lock.take()
        claimant = Claimant(node=ledger.node, token=f"run-{number}")
        policy, turns = Policy(), [False] * (AT_ONCE - 1) + [True]
        ready.wait(PATIENCE)
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            with ledger.write() as tx:
                step = Step(now=ledger.clock(), policy=policy)
                found = claims.begin_uploads(tx, claimant, step, reach={1: "host-0"}, room=Room(turns=turns))
                ids = [analysis.id for analysis, _ in found]
            if not ids:
                break
            with ledger.write() as tx:
                events = {one: Uploaded(f"id-{one}", "name") for one in ids}
                work.advance_all(tx, events, Step(now=ledger.clock(), policy=policy), claimant)
            done += ids
        told.send((done, time.monotonic() - began))


def _bare(url: str, number: int, ready: Barrier, seconds: float, told: Connection) -> None:
    """Claim by statements alone, likewise."""
    done: list[int] = []
    with psycopg.connect(servers.address(url)) as connection:
        ready.wait(PATIENCE)
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            with connection.transaction():
                ids = [key for (key,) in connection.execute(_CLAIM, (AT_ONCE,))]
                connection.execute(_BEGIN, (f"host-{number}", ids))
                connection.execute(_LEAVE, (ids,))
            if not ids:
                break
            with connection.transaction():
                connection.execute(_COMPLETE, (ids,))
            done += ids
        told.send((done, time.monotonic() - began))


_ASKED = """
    SELECT coalesce(sum(calls), 0), coalesce(sum(total_exec_time), 0) FROM pg_stat_statements
    WHERE userid = 'watch'::regrole AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_SESSIONS = """
    SELECT count(*) FROM pg_stat_activity WHERE usename = 'watch' AND datname = current_database()
"""
_CLAIM = """
    SELECT analyses.id FROM queue JOIN analyses ON analyses.id = queue.analysis_id
    WHERE whose = 'host-0' AND queue.backlog = 0 AND claimed_until IS NULL
    ORDER BY queue.priority DESC, queue.noticed_at DESC LIMIT %s FOR UPDATE OF analyses SKIP LOCKED
"""
_LEAVE = "DELETE FROM queue WHERE analysis_id = ANY(%s)"
_BEGIN = (
    "UPDATE analyses SET state = 'sending', due = NULL, claimed_by = %s, claimed_until = 1 WHERE id = ANY(%s)"
)
_COMPLETE = (
    "UPDATE analyses SET state = 'awaiting', identifier = 'id', due = 1, claimed_by = NULL WHERE id = ANY(%s)"
)
