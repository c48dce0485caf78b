"""Two nodes on one server, killed in turns: nothing is lost, nothing is paid twice, and no claim outlives its node.

``tests/test_killing.py`` kills one daemon at each point where state is written; here chance chooses among these points,
while another node sends and delivers copies of the same contents.
"""

import hashlib
import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

import pytest

from identifai_watch.ledger import Ledger, trail
from tests.harness import KEY, SUFFIX, House, fleet, wait_for
from tests.killing import Aim, Kind, Point, Side
from tests.nursery import Child, nursery
from tests.soundness import files_below, outcome_of
from tests.watching import content

POINTS = (
    Point(Kind.COMMIT, "admitted"),
    Point(Kind.COMMIT, "queued, Begun"),
    Point(Kind.COMMIT, "sending, Uploaded"),
    Point(Kind.COMMIT, "awaiting, Judged"),
    Point(Kind.COMMIT, "waiting, Delivered"),
    Point(Kind.REQUEST, "head of an upload"),
    Point(Kind.REQUEST, "closing boundary of an upload"),
    Point(Kind.ANSWER, "answer to an upload"),
    Point(Kind.DISK, "naming of the sidecar"),
)
"""Where a node may die; those that it passes whenever it has a file to send and to deliver."""

NODES = ("one", "two")
TURNS = 5
COPIES = 2
"""New contents before each kill that every node gets; besides those each gets one of its own, which it has to send."""

PATIENCE = 60.0
SECONDS = 10.0
"""How long a node has to come to its aim; one that does not is killed wherever it is."""

LIMITED = {"posts_per_minute": 6_000, "gets_per_minute": 6_000}


@dataclass
class Node:
    """A house whose daemon is a process that may be killed; ``contents`` are its files."""

    home: House
    contents: dict[str, bytes] = field(default_factory=dict)
    process: Child | None = None

    def start(self, aim: Aim | None) -> None:
        """Start the daemon, which kills itself at its aim if it has one."""
        self._mark.unlink(missing_ok=True)
        with self.home.log.open("ab") as log:
            self.process = nursery().start(
                ["run", "--config", str(self.home.config_path)],
                environ=os.environ | {"IDENTIFAI_API_KEY": KEY},
                stdout=1,
                stderr=log,
                armed=None if aim is None else {"aim": asdict(aim), "mark": str(self._mark)},
            )

    def kill(self, seconds: float) -> bool:
        """Wait until it has killed itself, and kill it if it does not; tell whether it met its aim."""
        process, self.process = self.process, None
        assert process is not None
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait(PATIENCE)
        said = self.home.log.read_text(encoding="utf-8", errors="replace")[-3000:]
        assert -signal.SIGKILL == status, f"it ended with {status}: {said}"
        return self._mark.exists()

    @property
    def _mark(self) -> Path:
        return self.home.home / "mark"


def drop(nodes: list[Node], turn: int, chance: Random) -> None:
    """Drop new contents to each node in an order of its own: copies of the same, and one that only this node has."""
    for node in nodes:
        fresh = {f"{turn}-{number}.png": content(f"{turn} {number}") for number in range(COPIES)}
        fresh[f"{turn}-own.png"] = content(f"{turn} of {node.home.node}")
        node.contents |= fresh
        for name in chance.sample(sorted(fresh), len(fresh)):
            (node.home.drop / name).write_bytes(fresh[name])


def assert_nothing_is_lost(nodes: list[Node]) -> None:
    """At any instant each file lies where it was dropped, each visible sidecar is whole, and no content is paid twice."""
    for node in nodes:
        lying = files_below(node.home.drop)
        assert node.contents == {
            name: found for name, found in lying.items() if not name.startswith(".identifai-")
        }
        assert all("outcome" in json.loads(one.read_bytes()) for one in node.home.drop.glob(f"*{SUFFIX}"))
    assert all(number == 1 for number in charges(nodes[0].home).values())


def charges(home: House) -> Counter[bytes]:
    """Return how often each content was charged."""
    return Counter(submission.sha256 for submission in home.simulator.state.charged)


def delivered(ledger: Ledger) -> int:
    """Count the files that the ledger says are delivered."""
    with ledger.read() as tx:
        return int(
            tx.exec_driver_sql(
                "SELECT count(*) FROM files WHERE state = 'delivered' AND claim IS NULL"
            ).scalar_one()
        )


def assert_all_is_well(nodes: list[Node], ledger: Ledger) -> None:
    """At rest: a right sidecar for each file on each node, each content paid once, no claim, no doubt, a chain that holds."""
    assert_nothing_is_lost(nodes)
    contents = {hashlib.sha256(one).digest() for node in nodes for one in node.contents.values()}
    assert contents == set(charges(nodes[0].home))
    for node in nodes:
        found = node.home.sidecars()
        assert set(node.contents) == set(found)
        for name, sidecar in found.items():
            assert outcome_of(node.contents[name]) == sidecar["outcome"]
            assert hashlib.sha256(node.contents[name]).hexdigest() == sidecar["file"]["sha256"]
    left = {
        "claimed analyses": "SELECT count(*) FROM analyses WHERE claim IS NOT NULL",
        "claimed files": "SELECT count(*) FROM files WHERE claim IS NOT NULL",
        "doubted": "SELECT count(*) FROM analyses WHERE doubt <> 0",
        "open": "SELECT count(*) FROM analyses WHERE state <> 'judged'",
    }
    with ledger.read() as tx:
        assert dict.fromkeys(left, 0) == {
            name: tx.exec_driver_sql(query).scalar_one() for name, query in left.items()
        }
    assert trail.walk(ledger.read)[1] is None


@pytest.mark.parametrize("seed", [1])
def test_nodes_are_killed_in_turns(
    seed: int,
    tmp_path: Path,
    server_ledger: str,
    record_property: Callable[[str, object], None],
) -> None:
    """Each dies several times at a point that chance chose, once both at once; afterwards all is as if nothing had been."""
    chance = Random(f"nodes {seed}")
    met = kills = 0
    with fleet(tmp_path, server_ledger, NODES, folder={"settle_seconds": 0.1}, api=LIMITED) as homes:
        nodes = [Node(home) for home in homes]
        for turn in range(TURNS):
            dying = nodes if turn == TURNS - 1 else [nodes[turn % len(nodes)]]
            for node in dying:
                if node.process is not None:
                    node.kill(0)
                node.start(Aim(points=(chance.choice(POINTS).name,), side=chance.choice(list(Side))))
            for node in nodes:
                if node.process is None:
                    node.start(None)
            drop(nodes, turn, chance)
            for node in dying:
                met += node.kill(SECONDS)
                kills += 1
            assert_nothing_is_lost(nodes)
        for node in nodes:
            if node.process is None:
                node.start(None)
        number = sum(len(node.contents) for node in nodes)
        with homes[0].open_ledger("looks on") as ledger:
            wait_for(lambda: delivered(ledger) == number, "all is delivered", PATIENCE)
            assert_all_is_well(nodes, ledger)
        for node in nodes:
            node.kill(0)
    for figure, value in (("kills", kills), ("files", number), ("lost", 0), ("charged_twice", 0)):
        record_property(figure, value)
    assert met > kills / 2
