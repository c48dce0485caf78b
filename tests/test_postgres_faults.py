"""The ledger's server in trouble: nothing is sent meanwhile, nothing is lost or paid twice, and all goes on by itself.

``tests/test_postgres_lost.py`` is about what is lost between us and the server, ``tests/test_nodes_killed.py`` about nodes
that are killed.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from identifai_watch.daemon import Daemon
from identifai_watch.errors import Exit
from identifai_watch.ledger import Transaction, trail
from identifai_watch.ledger.postgres import connecting as engine
from identifai_watch.simulator import Endpoint
from tests.harness import House, house, wait_for
from tests.postgres import ROLE, Cluster
from tests.test_postgres_cluster import connected
from tests.watching import picture

LIMITS = {"posts_per_second": 4, "posts_per_minute": 600}
"""So that uploads wait for their instants, which stand in the ledger."""
FILES = 6


def name_of(url: str) -> str:
    """Return the name of the database at an address."""
    return url.rpartition("/")[2]


def expel(server: Cluster, url: str) -> None:
    """End every session of a database."""
    server.administer(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name_of(url)}'"  # noqa: S608 - ours
    )


def assert_all_is_well(number: int, *homes: House) -> None:
    """Each file has its sidecar, each content was paid once, no claim and no doubt is left, the chain of history holds.

    There are so many files in each of the homes, with the same contents.
    """
    assert [number] * len(homes) == [len(home.sidecars()) for home in homes]
    home = homes[0]
    charges = Counter(submission.sha256 for submission in home.simulator.state.charged)
    assert [1] * number == list(charges.values())
    with home.open_ledger() as ledger:
        with ledger.read() as tx:
            open_claims = "SELECT count(*) FROM {} WHERE claim IS NOT NULL"
            left = [
                tx.exec_driver_sql(open_claims.format(table)).scalar_one() for table in ("analyses", "files")
            ]
            assert [0, 0] == left
            assert 0 == tx.exec_driver_sql("SELECT count(*) FROM analyses WHERE doubt <> 0").scalar_one()
        assert trail.walk(ledger.read)[1] is None


def drop_all(home: House) -> list[Path]:
    """Drop several files, of which the first is then being sent, or was."""
    paths = [picture(home.drop / f"{number}.png") for number in range(FILES)]
    assert home.simulator.state.wait_for(lambda state: state.arrived(Endpoint.UPLOAD) > 0, seconds=30)
    return paths


def away(daemon: Daemon) -> None:
    """Wait until a daemon has met a ledger that is away, and has nothing under way any more."""
    wait_for(lambda: daemon._away_since, "the ledger is away")
    wait_for(lambda: not daemon.shift.workers.running(), "what left before has come back")


def sends_nothing(home: House, daemon: Daemon) -> None:
    """Look over several rounds: while the ledger is away nothing arrives at identifAI, and the loop turns."""
    away(daemon)
    before = len(home.simulator.state.requests)
    turned: set[float] = set()

    def turns() -> bool:
        turned.add(daemon._vigil._turned_at)
        return len(turned) > 3

    wait_for(turns, "the loop turns")
    assert before == len(home.simulator.state.requests)
    assert daemon.is_well()


def sends_nothing_more(home: House, daemon: Daemon) -> None:
    """Look until nothing arrives over several rounds: what had taken its instant before has left by then."""

    def is_still() -> bool:
        before, turned = len(home.simulator.state.requests), {daemon._vigil._turned_at}

        def turns() -> bool:
            turned.add(daemon._vigil._turned_at)
            return len(turned) > 3

        wait_for(turns, "the loop turns")
        return before == len(home.simulator.state.requests)

    wait_for(is_still, "nothing more is sent")
    assert len(home.simulator.state.charged) < FILES
    assert daemon.is_well()


def is_back(daemon: Daemon) -> bool:
    """Tell whether a daemon writes, and hears other nodes again."""
    return daemon._away_since is None and daemon.shift.ledger.version() is not None


# What may keep a server from serving, in the midst of six uploads.


@contextmanager
def without_connections(server: Cluster, url: str) -> Iterator[None]:
    """Let nobody connect, as where there are too many already."""
    server.administer(f'ALTER DATABASE "{name_of(url)}" CONNECTION LIMIT 0')
    expel(server, url)
    yield
    server.administer(f'ALTER DATABASE "{name_of(url)}" CONNECTION LIMIT -1')


@contextmanager
def without_permission(server: Cluster, url: str) -> Iterator[None]:
    """Refuse every connection, as where somebody changed who may do what."""
    server.administer(f'REVOKE CONNECT ON DATABASE "{name_of(url)}" FROM PUBLIC, {ROLE}')
    expel(server, url)
    yield
    server.administer(f'GRANT CONNECT ON DATABASE "{name_of(url)}" TO {ROLE}')


@contextmanager
def read_only(server: Cluster, url: str) -> Iterator[None]:
    """Take no writes, as a server that follows another."""
    server.administer(f'ALTER DATABASE "{name_of(url)}" SET default_transaction_read_only = on')
    expel(server, url)
    yield
    server.administer(f'ALTER DATABASE "{name_of(url)}" RESET default_transaction_read_only')
    expel(server, url)


@contextmanager
def locked(_server: Cluster, url: str) -> Iterator[None]:
    """Hold the account's one row for long."""
    with connected(url) as other, other.transaction():
        other.execute("SELECT * FROM account FOR UPDATE")
        yield


@contextmanager
def all_locked(_server: Cluster, url: str) -> Iterator[None]:
    """Hold a whole table, so that no statement about it ends."""
    with connected(url) as other, other.transaction():
        other.execute("LOCK TABLE analyses IN ACCESS EXCLUSIVE MODE")
        yield


FAULTS = (without_connections, without_permission, read_only, locked, all_locked)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_server_that_does_not_serve_is_waited_for(
    fault: Callable[[Cluster, str], "contextmanager[None]"],
    tmp_path: Path,
    postgres: Cluster,
    server_ledger: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is sent while the ledger cannot be written; afterwards all goes on without a restart, and is paid once."""
    limit = "statement_timeout" if fault is all_locked else "lock_timeout"
    quick = {"lock_timeout": "0", "statement_timeout": "0"} | {
        limit: "300ms" if limit == "lock_timeout" else "3s"
    }
    monkeypatch.setattr(engine, "_SESSION", engine._SESSION | quick)
    with house(tmp_path, ledger=server_ledger, node="one", api=LIMITS) as home:
        with home.daemon() as daemon:
            paths = drop_all(home)
            with fault(postgres, server_ledger):
                (sends_nothing_more if fault is locked else sends_nothing)(home, daemon)
                paths.append(picture(home.drop / "late.png"))
            for path in paths:
                home.sidecar(path)
            wait_for(lambda: is_back(daemon), "it writes and hears again")
        assert_all_is_well(len(paths), home)


def test_a_server_is_restarted(tmp_path: Path) -> None:
    """Stopped fast, stopped at once and killed in the midst of uploads: each time all goes on once it is there again."""
    with Cluster() as server:
        url = server.database()
        with house(tmp_path, ledger=url, node="one", api=LIMITS) as home:
            number = 0
            with home.daemon() as daemon:
                for end in (server.stop, lambda: server.stop("immediate"), server.kill):
                    paths = [picture(home.drop / f"{number + one}.png") for one in range(FILES)]
                    number += FILES
                    arrived = home.simulator.state.arrived(Endpoint.UPLOAD)
                    assert home.simulator.state.wait_for(
                        lambda state, arrived=arrived: state.arrived(Endpoint.UPLOAD) > arrived, seconds=30
                    )
                    end()
                    sends_nothing(home, daemon)
                    if end == server.stop:
                        _commands_say_so(home)
                    server.start()
                    for path in paths:
                        home.sidecar(path)
                    wait_for(lambda: is_back(daemon), "it writes and hears again")
            assert_all_is_well(number, home)


def _commands_say_so(home: House) -> None:
    """Type commands while the server is away: each ends with 75 and one line that says why."""
    for words in (("status",), ("run",), ("pause",)):
        ended = home.command(*words)
        assert Exit.LATER == ended.returncode, ended.stderr
        assert 1 == ended.stderr.count("\n"), ended.stderr
        assert "cannot be used now" in ended.stderr


# What another session does in the midst of a round.


def crossing(server: Cluster, url: str, tx: Transaction) -> None:
    """Lock a row that another session waits for, and then wait for one that it has."""
    tx.exec_driver_sql("SELECT * FROM account FOR UPDATE")
    has_one = Event()

    def other() -> None:
        with connected(url.replace(f"{ROLE}@", "postgres@")) as session, session.transaction():
            session.execute("SET LOCAL deadlock_timeout = '60s'")  # so that it is we who are told
            session.execute("SELECT * FROM nodes FOR UPDATE")
            has_one.set()
            session.execute("SELECT * FROM account FOR UPDATE")

    Thread(target=other).start()
    assert has_one.wait(20)
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
    wait_for(lambda: server.administer(waiting), "the other waits for us")
    tx.exec_driver_sql("SELECT * FROM nodes FOR UPDATE")


def not_serializable(_server: Cluster, _url: str, tx: Transaction) -> None:
    """Have the server say that this cannot be put in one order with what others do."""
    tx.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION 'could not serialize' USING ERRCODE = '40001'; END $$")


@pytest.mark.parametrize(
    ("conflict", "said"), [(crossing, "deadlock detected"), (not_serializable, "could not serialize")]
)
def test_a_conflict_in_mid_round(
    conflict: Callable[[Cluster, str, Transaction], None],
    said: str,
    tmp_path: Path,
    postgres: Cluster,
    server_ledger: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A round that the server takes back is made anew: what was under way meanwhile is written once, and paid once."""
    with house(tmp_path, ledger=server_ledger, node="one", api=LIMITS) as home:
        with home.daemon() as daemon:
            paths = drop_all(home)
            met = Event()

            def meet(tx: Transaction) -> None:
                if not met.is_set():
                    met.set()
                    conflict(postgres, server_ledger, tx)

            daemon.shift.workers.tell(meet)
            for path in paths:
                home.sidecar(path)
            assert met.is_set()
        assert_all_is_well(len(paths), home)
    assert said in capsys.readouterr().out
