"""A node that the network parts from all others, for real: a network of its own whose cable is drawn.

It takes root, or it is skipped with the reason.
"""

import ctypes
import os
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from identifai_watch import api as vendor
from identifai_watch.api import wire
from identifai_watch.ledger.postgres import connecting as engine
from tests.harness import fleet, wait_for
from tests.postgres import Cluster
from tests.test_postgres_faults import FILES, LIMITS, assert_all_is_well, away, is_back
from tests.watching import picture
from tests.wires import Wire

_NEW_NETWORK = 0x40000000
"""CLONE_NEWNET of <linux/sched.h>."""


PATIENCE = 60


@dataclass(frozen=True)
class Network:
    """A network of its own: ``near`` is our end of its cable, ``holder`` the process that keeps it."""

    holder: "subprocess.Popen[bytes]"
    cable: str
    near: str

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Have this thread, and those that it starts, reach only what the cable leads to."""
        libc = ctypes.CDLL(None, use_errno=True)
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(f"/proc/{self.holder.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            assert libc.setns(there, _NEW_NETWORK) == 0, os.strerror(ctypes.get_errno())
            yield
        finally:
            assert libc.setns(before, _NEW_NETWORK) == 0, os.strerror(ctypes.get_errno())
            os.close(before)
            os.close(there)

    def part(self) -> None:
        """Draw the cable."""
        _run("ip", "link", "set", self.cable, "down")

    def join(self) -> None:
        """Put the cable in again."""
        _run("ip", "link", "set", self.cable, "up")


@pytest.fixture
def network() -> Iterator[Network]:
    """Give a network of its own; it ends with the process that keeps it, and its cable with it."""
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        if not holder.stdout.readline():
            pytest.skip("no network of one's own is to be had")
        number = random.randrange(1 << 14)
        cable, net = f"iw{os.getpid()}", f"10.213.{number >> 6}.{(number & 63) << 2}"
        start, _, last = net.rpartition(".")
        near, far = (f"{start}.{int(last) + end}" for end in (1, 2))
        there = ("nsenter", f"--net=/proc/{holder.pid}/ns/net")
        commands = (
            ("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid)),
            ("ip", "address", "add", f"{near}/30", "dev", cable),
            ("ip", "link", "set", cable, "up"),
            (*there, "ip", "address", "add", f"{far}/30", "dev", "eth0"),
            (*there, "ip", "link", "set", "eth0", "up"),
            (*there, "ip", "link", "set", "lo", "up"),
        )
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                pytest.skip(f"no cable is to be had: {' '.join(command)}: {done.stderr.strip()}")
        yield Network(holder, cable, near)
    finally:
        holder.communicate()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"


@pytest.fixture
def server(network: Network) -> Iterator[Cluster]:
    """Give a server that listens at our end of the cable too."""
    with Cluster(settings={"listen_addresses": f"127.0.0.1,{network.near}"}) as made:
        with (made.directory / "data" / "pg_hba.conf").open("a", encoding="utf-8") as access:
            access.write(f"host all watch {network.near}/30 trust\n")
        made.administer("SELECT pg_reload_conf()")
        yield made


def test_a_node_is_parted_and_joined_again(
    tmp_path: Path, network: Network, server: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sends nothing while it is parted, the other goes on with their copies; joined again it takes its name back."""
    quick = {"tcp_keepalives_idle": "1", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "2"}
    monkeypatch.setattr(engine, "_SESSION", engine._SESSION | quick)
    monkeypatch.setattr(engine, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(engine, "CONNECT_SECONDS", 2)
    for where, name in ((vendor, "CONNECT_SECONDS"), (vendor, "READ_SECONDS"), (wire, "WRITE_SECONDS")):
        monkeypatch.setattr(where, name, 5.0)
    url = server.database()
    with fleet(tmp_path, url, ["far", "near"], api=LIMITS) as homes, ExitStack() as stack:
        far, near = homes
        api = stack.enter_context(Wire(_address_of(far.simulator.url), host=network.near))
        far.ledger = sa.make_url(url).set(host=network.near).render_as_string()
        with network.inside():  # what it starts stays there
            local = stack.enter_context(Wire(api.address))
            far.api = far.api | {"url": f"http://127.0.0.1:{local.address[1]}"}
            there = stack.enter_context(far.daemon())
        here = stack.enter_context(near.daemon())
        paths = [picture(far.drop / f"{number}.png") for number in range(FILES)]
        assert far.simulator.state.wait_for(lambda state: len(state.charged) > 0, seconds=30)
        network.part()
        away(there)
        copies = [picture(near.drop / path.name) for path in paths]
        for copy in copies[1:]:
            near.sidecar(copy, PATIENCE)  # what the other had begun lapses first
        assert there._away_since is not None
        network.join()
        for path in paths:
            far.sidecar(path, PATIENCE)
        near.sidecar(copies[0], PATIENCE)
        wait_for(lambda: is_back(there) and is_back(here), "both write and hear")
        stack.close()
        assert {1} == set(Counter(one.sha256 for one in far.simulator.state.charged).values())
        far.ledger = url
        assert_all_is_well(FILES, far, near)


def _address_of(url: str) -> tuple[str, int]:
    host, _, port = url.rpartition("/")[2].partition(":")
    return host, int(port)
