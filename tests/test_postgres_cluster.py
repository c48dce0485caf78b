"""The tests' own PostgreSQL: it is real, it comes back, and nothing is left of it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests import keeper
from tests.harness import wait_for
from tests.postgres import Cluster, binaries
from tests.wires import Wire

ROOT = Path(__file__).parents[1]
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"


@contextmanager
def connected(url: str) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """Connect to a database as its URL says."""
    told = make_url(url)
    address = {"host": told.host, "port": told.port, "user": told.username, "dbname": told.database}
    with psycopg.connect(**address, autocommit=True) as connection:
        yield connection


def run(pids: list[int]) -> list[int]:
    """Return which of these still run."""
    return [pid for pid in pids if keeper.parent(pid) is not None]


def memory_of(pids: list[int]) -> list[str]:
    """Return the segments of shared memory that these made."""
    lines = Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]
    return [line for line in lines if int(line.split()[4]) in pids]


def test_a_database_is_empty_and_its_owner_no_superuser(postgres: Cluster) -> None:
    """The ledger's role may do what an owner may."""
    url = postgres.database()
    with connected(url) as connection:
        assert [] == connection.execute(TABLES).fetchall()
        role = "SELECT current_user, rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user"
        assert ("watch", False, False) == connection.execute(role).fetchone()
        connection.execute("CREATE TABLE written (number int)")
        connection.execute("INSERT INTO written VALUES (7)")
        kept = "SELECT current_setting('fsync'), current_setting('synchronous_commit')"
        assert ("off", "on") == connection.execute(kept).fetchone()
    copy = postgres.database("a copy", template=url.rpartition("/")[2])
    with connected(copy) as connection:
        assert (7,) == connection.execute("SELECT number FROM written").fetchone()
        postgres.drop(copy)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    postgres.drop(url)
    with pytest.raises(psycopg.OperationalError, match="does not exist"), connected(url):
        pass


def test_a_server_comes_back_and_leaves_nothing() -> None:
    """Stopped, restarted, killed: what was committed is there, at the same port; killed, no process and no memory is left."""
    with Cluster(settings={"log_connections": "on"}) as cluster:
        url = cluster.database()
        with connected(url) as connection:
            connection.execute("CREATE TABLE written (number int)")
        for number, end in enumerate((cluster.stop, lambda: cluster.stop("immediate"), cluster.kill)):
            with connected(url) as connection:
                connection.execute("INSERT INTO written VALUES (%s)", [number])
                pids = cluster.pids()
                assert len(pids) > 2
                assert len(memory_of(pids)) == 1
                end()
                with pytest.raises(psycopg.OperationalError):
                    connection.execute("SELECT 1")
            assert ([], []) == (run(pids), cluster.pids())
            assert [] == memory_of(pids)
            with socket.socket() as tried, pytest.raises(ConnectionRefusedError):
                tried.connect(("127.0.0.1", cluster.port))
            cluster.start()
            assert not set(pids) & set(cluster.pids())
        cluster.restart()
        with connected(url) as connection:
            assert [(0,), (1,), (2,)] == connection.execute("SELECT number FROM written").fetchall()
        assert "connection authorized: user=watch" in (cluster.directory / "server.log").read_text(
            encoding="utf-8"
        )
        pids = cluster.pids()
        with (cluster.directory / "data" / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.write("shared_buffers = lots\n")
        with pytest.raises(AssertionError, match="shared_buffers"):
            cluster.restart()  # it says in its own words why it cannot
    assert [] == run(pids)
    assert not cluster.directory.exists()


def test_another_server_takes_over_at_the_same_address() -> None:
    """What was committed on both is there when the first is killed and the other promoted; the wire is the address."""
    with Cluster() as first, first.standby() as second, Wire(("127.0.0.1", first.port)) as address:
        first.administer("ALTER SYSTEM SET synchronous_standby_names = '*'")
        first.administer("SELECT pg_reload_conf()")
        wait_for(
            lambda: first.administer("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"),
            "a commit waits for the second",
        )
        url = make_url(first.database()).set(port=address.address[1]).render_as_string()
        with connected(url) as connection:
            connection.execute("CREATE TABLE written AS SELECT 7 AS number")
            first.kill()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        second.promote()
        address.to = ("127.0.0.1", second.port)
        with connected(url) as connection:
            assert [(7,)] == connection.execute("SELECT number FROM written").fetchall()
            connection.execute("INSERT INTO written VALUES (8)")


def test_a_run_has_one_server_which_ends_however_the_run_does(tmp_path: Path) -> None:
    """Two workers that ask at once get the same; when the process that they work for is killed, so is the server."""
    binaries()  # skips where there are none
    ask = (
        "import sys; from pathlib import Path; from tests.postgres import shared;"
        "cluster = shared(Path(sys.argv[1]), int(sys.argv[2])); print(cluster.directory, cluster.port, *cluster.pids())"
    )
    run_of_tests = subprocess.Popen(["cat"], stdin=subprocess.PIPE)  # it waits until it is killed
    command = [sys.executable, "-c", ask, str(tmp_path), str(run_of_tests.pid)]
    around = os.environ | {"PYTHONPATH": str(ROOT)}
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, env=around, text=True) for _ in range(2)]
    told = [worker.communicate(timeout=60)[0].split() for worker in workers]
    assert [0, 0] == [worker.returncode for worker in workers]
    assert told[0][:3] == told[1][:3]  # the directory, the port and the postmaster
    pids = [int(pid) for pid in told[0][2:]]
    assert pids[0] in run(pids)  # also with both workers gone
    run_of_tests.send_signal(signal.SIGKILL)
    run_of_tests.communicate()
    wait_for(lambda: not run(pids), "the server is gone with the run")
    wait_for(lambda: not Path(told[0][0]).exists(), "its data is gone with the run")
