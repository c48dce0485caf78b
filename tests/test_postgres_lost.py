"""What is lost between us and the ledger's server: answers, connections, a whole network, and the server itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from identifai_watch.daemon import Daemon
from identifai_watch.errors import Exit, LaterError, LedgerAwayError
from identifai_watch.ledger import Ledger, Transaction, dialects
from identifai_watch.ledger.postgres import connecting as engine
from identifai_watch.shift import Shift
from identifai_watch.web import Page, Server
from tests.browsing import Browser
from tests.harness import KEY, House, fleet, house, wait_for
from tests.postgres import ROLE, Cluster
from tests.test_daemon import manager
from tests.test_postgres_cluster import connected
from tests.test_postgres_faults import (
    FILES,
    LIMITS,
    assert_all_is_well,
    drop_all,
    expel,
    is_back,
    name_of,
    sends_nothing,
)
from tests.watching import picture
from tests.wires import Wire

WATCHDOG_SECONDS = 8


def through(url: str, wire: Wire) -> str:
    """Return the address of a database as it is reached through a wire."""
    return sa.make_url(url).set(port=wire.address[1]).render_as_string()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a server up as soon as a test can wait for."""
    monkeypatch.setattr(engine, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(engine, "CONNECT_SECONDS", 2)  # libpq knows no less
    monkeypatch.setattr(engine, "POOL_SECONDS", 0.2)


@pytest.fixture
def wire(postgres: Cluster) -> Iterator[Wire]:
    """Give a wire that leads to the server."""
    with Wire(("127.0.0.1", postgres.port)) as made:
        yield made


# What every connection has.


def test_every_connection_has_its_timeouts(server_ledger: str) -> None:
    """Whoever connects, to read, to write or to hold the node's lock: the server ends statements, waits and idleness."""
    with Ledger(server_ledger, node="one") as ledger:
        pooled = (ledger.read, ledger.write, ledger.glances)
        found = [_settings(one) for one in pooled]
        assert ledger.lock.take()
        found.append(_settings(ledger.write))
    expected = {
        "statement_timeout": "10s",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "10s",
        "default_transaction_isolation": "read committed",
        "tcp_keepalives_idle": "4",
        "tcp_user_timeout": "10000",
    }
    assert [expected] * 4 == [{name: one[name] for name in expected} for one in found]
    assert ["repeatable read", "read committed", "read committed", "read committed"] == [
        one["transaction_isolation"] for one in found
    ]
    assert ["on", "off", "off", "off"] == [one["transaction_read_only"] for one in found]


def _settings(open_one: Callable[[], "contextmanager[Transaction]"]) -> dict[str, str]:
    with open_one() as tx:
        return {row.name: row.setting for row in tx.exec_driver_sql(_ALL)}


_ALL = "SELECT name, current_setting(name) AS setting FROM pg_settings"


def test_a_connection_that_died_in_the_pool_is_not_used(postgres: Cluster, server_ledger: str) -> None:
    """The server was restarted while nobody asked: the next look, and the next order, get a connection that lives."""
    with Ledger(server_ledger, node="one") as ledger:
        for _ in range(2):
            with ledger.read() as tx:
                assert 0 == tx.exec_driver_sql("SELECT count(*) FROM files").scalar_one()
            with ledger.write() as tx:
                tx.exec_driver_sql("UPDATE account SET detail = NULL")
            expel(postgres, server_ledger)


@pytest.mark.usefixtures("quick")
def test_a_server_that_hangs_is_given_up(server_ledger: str, wire: Wire) -> None:
    """A call ends though not a byte comes, whether its connection was made or is to be made; afterwards all is well."""
    with Ledger(through(server_ledger, wire), node="one") as ledger:

        def ask() -> None:
            with ledger.write() as tx:
                wire.hang()
                tx.exec_driver_sql("SELECT 1")

        with pytest.raises(LedgerAwayError, match=r"has not answered for 0\.5 s"):
            ask()
        with pytest.raises(LedgerAwayError), ledger.read():
            pass
        with pytest.raises(LedgerAwayError):
            Ledger(through(server_ledger, wire), node="two")
        wire.mend()
        with ledger.read() as tx:
            assert 1 == tx.exec_driver_sql("SELECT 1").scalar_one()


@pytest.mark.usefixtures("quick")
def test_a_new_schema_and_a_copy_may_take_long(server_ledger: str) -> None:
    """Their statements are waited for, in that transaction alone: afterwards a server that is silent is given up again."""
    silent = "SELECT pg_sleep(0.8)"
    limit = "SHOW statement_timeout"
    with Ledger(server_ledger, node="one") as ledger:
        assert ledger.lock.take()
        with ledger.write() as tx, dialects.patient(tx):
            tx.exec_driver_sql(silent)
            assert "10min" == tx.exec_driver_sql(limit).scalar_one()
        with ledger.write() as tx:
            assert "10s" == tx.exec_driver_sql(limit).scalar_one()
        with pytest.raises(LedgerAwayError, match=r"has not answered for 0\.5 s"), ledger.write() as tx:
            tx.exec_driver_sql(silent)
    with dialects.reserved(sa.make_url(server_ledger), is_read=True) as (connection, _), connection.begin():
        connection.exec_driver_sql(silent)


@pytest.mark.usefixtures("quick")
def test_more_threads_than_connections(server_ledger: str) -> None:
    """Where all connections of a process are in use the ledger is away for whoever comes then, and for nobody after that."""
    with Ledger(server_ledger, node="one") as ledger:
        opened = [ledger.read() for _ in range(12)]
        for one in opened:
            one.__enter__()
        with (
            pytest.raises(LedgerAwayError, match="every connection of this process is in use"),
            ledger.read(),
        ):
            pass
        with pytest.raises(LedgerAwayError, match="in use"), ledger.write():
            pass
        for one in opened:
            one.__exit__(None, None, None)
        with ledger.read() as tx:
            assert 1 == tx.exec_driver_sql("SELECT 1").scalar_one()


@pytest.mark.parametrize(
    ("state", "passes"),
    [
        *(
            (state, True)
            for state in ("08006", "08P01", "25006", "25P03", "40001", "40P01", "53100", "53200")
        ),
        *(
            (state, True)
            for state in ("53300", "55P03", "57014", "57P01", "57P02", "57P03", "57P05", "58030")
        ),
        *((state, True) for state in ("XX000", "XX001")),
        *((state, False) for state in ("22021", "23505", "25P02", "42501", "42601", "42P01", "P0001")),
    ],
)
def test_what_passes_by_itself(state: str, *, passes: bool) -> None:
    """What the server says is borne where somebody else's help, or time, mends it; a bug of ours is none of that."""
    assert passes is engine.is_passing(psycopg.errors.lookup(state)("it says so"))


def test_what_passes_has_no_state_where_nothing_was_said() -> None:
    """A connection that breaks passes; what we cannot even send is a bug, and nothing of the database's is neither."""
    assert engine.is_passing(psycopg.OperationalError("server closed the connection unexpectedly"))
    assert engine.is_passing(psycopg.InterfaceError("the connection is closed"))
    assert not engine.is_passing(psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"))
    assert not engine.is_passing(OSError("no such host"))


# A server that hangs.


@pytest.mark.usefixtures("quick")
def test_a_server_that_hangs_is_borne(
    tmp_path: Path, server_ledger: str, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told in time to systemd that all is well, the page says that the ledger is away, nothing is sent; then all goes on."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", f"{WATCHDOG_SECONDS}000000")
    with (
        manager(tmp_path / "notify") as systemd,
        house(tmp_path, ledger=through(server_ledger, wire), node="one", api=LIMITS) as home,
        home.daemon() as daemon,
        home.open_ledger() as ledger,
        Server(
            Page(config=home.config, ledger=ledger, moment=daemon.moment, well=daemon.is_well),
            ("127.0.0.1", 0),
        ) as page,
    ):
        paths = drop_all(home)
        wire.hang()
        sends_nothing(home, daemon)
        for _ in range(2):
            systemd.hear("WATCHDOG")  # which fails if it waits for longer than the watchdog does
        browser = Browser(page.url)
        assert 200 == browser.get("/healthz").status_code
        shown = browser.get("/")
        assert (503, True) == (shown.status_code, "cannot be used now" in shown.text)
        wire.mend()
        for path in paths:
            home.sidecar(path)
        wait_for(lambda: is_back(daemon), "it writes and hears again")
        assert 200 == browser.get("/").status_code
    assert_all_is_well(len(paths), home)


# Answers that are lost.

ONCE = """
CREATE SEQUENCE IF NOT EXISTS once;
CREATE OR REPLACE FUNCTION waits_for_nobody() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('once') = 1 THEN PERFORM set_config('synchronous_commit', 'on', true); END IF;
    RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS lost ON analyses;
DROP TRIGGER IF EXISTS lost ON files;
CREATE TRIGGER lost AFTER UPDATE ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION waits_for_nobody();
ALTER SEQUENCE once RESTART;
"""
"""Has one commit wait for a server that never comes: it stands, and who made it hears nothing."""

LOST = (
    ("analyses", "OLD.state = 'queued' AND NEW.state = 'sending'"),
    ("analyses", "OLD.state = 'sending' AND NEW.state = 'awaiting'"),
    ("analyses", "OLD.state = 'awaiting' AND OLD.claim IS NULL AND NEW.claim IS NOT NULL"),
    ("analyses", "OLD.state = 'awaiting' AND NEW.state = 'judged'"),
    ("files", "OLD.claim IS NULL AND NEW.claim IS NOT NULL"),
    ("files", "OLD.state = 'waiting' AND NEW.state = 'delivered'"),
)


def test_the_answer_to_a_commit_is_lost(tmp_path: Path) -> None:
    """What was committed stands and is gone on with: nothing is done twice, nothing waits for ever, nothing is in doubt."""
    with Cluster() as server:
        url = server.database()
        server.administer(f'ALTER DATABASE "{name_of(url)}" SET synchronous_commit = local')
        server.administer("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        server.administer("SELECT pg_reload_conf()")
        with house(tmp_path, ledger=url, node="one") as home:
            with home.daemon():
                for number, (table, when) in enumerate(LOST):
                    with connected(url) as owner:
                        owner.execute(ONCE.format(table=table, when=when))
                    path = picture(home.drop / f"{number}.png")
                    waiting = wait_for(
                        lambda: server.administer(
                            "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                        ),
                        f"a commit waits: {when}",
                    )
                    server.administer(f"SELECT pg_terminate_backend({waiting[0][0]})")
                    home.sidecar(path)
                wait_for(lambda: not _claimed(home), "nothing is claimed any more")
            assert_all_is_well(len(LOST), home)
            with home.open_ledger() as ledger, ledger.read() as tx:
                doubts = "SELECT count(*) FROM history WHERE event = 'deferred'"
                assert 0 == tx.exec_driver_sql(doubts).scalar_one()


def _claimed(home: House) -> int:
    with home.open_ledger() as ledger, ledger.read() as tx:
        query = "SELECT (SELECT count(claim) FROM analyses) + (SELECT count(claim) FROM files)"
        return int(tx.exec_driver_sql(query).scalar_one())


def test_a_daemon_whose_name_another_has_by_now_ends(
    tmp_path: Path, postgres: Cluster, server_ledger: str
) -> None:
    """Cut off for so long that another daemon took its name, it ends with the reason, and leaves the other alone."""
    with (
        house(tmp_path, ledger=server_ledger, node="one") as home,
        home.open_ledger() as ledger,
        home.open_ledger() as other,
    ):
        daemon = Daemon(Shift(config=home.config(), ledger=ledger, clock=ledger.clock), lambda: KEY)

        def usurp(_: Transaction) -> None:
            expel(postgres, server_ledger)
            assert other.lock.take()

        daemon.shift.workers.tell(usurp)
        with pytest.raises(LaterError, match="another daemon runs as node one") as ended:
            daemon.run()
        assert Exit.LATER == ended.value.exit
        with other.write() as tx:
            assert 1 == tx.exec_driver_sql("SELECT 1").scalar_one()


# Another server.


def test_another_server_takes_over(tmp_path: Path) -> None:
    """One node reaches it by an address that moves, one by an address of both: nothing is sent until it takes writes."""
    with Cluster() as first, first.standby() as second, Wire(("127.0.0.1", first.port)) as wire:
        first.administer("ALTER SYSTEM SET synchronous_standby_names = '*'")
        first.administer("SELECT pg_reload_conf()")
        in_step = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
        wait_for(lambda: first.administer(in_step), "a commit waits for the second")
        url = first.database()
        hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in (first, second))
        both = f"postgresql+psycopg://{ROLE}@/{name_of(url)}?{hosts}&target_session_attrs=read-write"
        with fleet(tmp_path, through(url, wire), ["one", "two"], api=LIMITS) as homes:
            homes[1].ledger = both
            with homes[0].daemon() as one, homes[1].daemon() as two:
                paths = drop_all(homes[0]) + [picture(homes[1].drop / f"{n}.png") for n in range(FILES)]
                first.kill()
                wire.to = ("127.0.0.1", second.port)
                sends_nothing(homes[0], one)
                sends_nothing(homes[1], two)
                second.promote()
                for home, path in zip([homes[0]] * FILES + [homes[1]] * FILES, paths, strict=True):
                    home.sidecar(path)
                wait_for(lambda: is_back(one) and is_back(two), "they write and hear again")
            assert_all_is_well(FILES, *homes)


# At the start.


def test_what_no_waiting_heals_is_said_at_the_start(tmp_path: Path) -> None:
    """A wrong password and a missing database end with 78 and the remedy; a password that is changed later is waited for."""
    kept = tmp_path / "passwords"
    secret = "a-password-that-nobody-may-see"  # noqa: S105 - of a role that ends with the test
    with Cluster() as server:
        server.administer(f"ALTER ROLE {ROLE} PASSWORD '{secret}'")
        (server.directory / "data" / "pg_hba.conf").write_text(
            f"host all postgres 127.0.0.1/32 trust\nhost all {ROLE} 127.0.0.1/32 scram-sha-256\n"
        )
        server.administer("SELECT pg_reload_conf()")
        url = server.database()

        def keep(password: str) -> None:
            kept.write_text(f"*:*:*:{ROLE}:{password}\n")
            kept.chmod(0o600)

        with house(tmp_path, ledger=f"{url}?passfile={kept}", node="one") as home:
            keep(f"{secret}-no-more")
            said = [_refused(home, "password authentication failed", "passfile=")]
            keep(secret)
            with home.process() as process:
                home.sidecar(home.put("sample.png"))
                server.administer(f"ALTER ROLE {ROLE} PASSWORD 'another'")
                expel(server, url)
                path = home.put("sample.jpg")
                wait_for(lambda: "ledger away" in _events(home), "the ledger is away")
                server.administer(f"ALTER ROLE {ROLE} PASSWORD '{secret}'")
                home.sidecar(path)
                assert process.poll() is None
            assert _events(home).count("ledger away") == _events(home).count("ledger back") == 1
            home.ledger = f"{server.url('nowhere')}?passfile={kept}"
            said.append(_refused(home, 'database "nowhere" does not exist', "createdb nowhere"))
            said.append(home.log.read_text(encoding="utf-8"))
    assert not any(secret in one for one in said)


def _refused(home: House, *words: str) -> str:
    """Start the daemon, which is told why it cannot run; return all that it says."""
    ended = home.command("run")
    assert Exit.CONFIG == ended.returncode, ended.stderr
    for word in words:
        assert word in ended.stderr
    assert 1 == ended.stderr.count("\n")
    return ended.stderr + ended.stdout


def _events(home: House) -> list[str]:
    return [str(line.get("event")) for line in home.logged()]
