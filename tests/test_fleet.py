"""Several hosts on one ledger: each content is paid once, its verdicts are told at home, and a node that dies is no loss."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from identifai_watch.core.events import Barred, Judged, Resumed
from identifai_watch.core.lifecycle import Policy
from identifai_watch.core.model import AccountState, Analysis, AnalysisState, Label, PauseReason, Verdict
from identifai_watch.daemon import Daemon
from identifai_watch.errors import Exit
from identifai_watch.ledger import Ledger, budget, desk, reading, schema, work
from identifai_watch.ledger.step import Step
from identifai_watch.simulator import Endpoint, Fault, FaultKind, Limits, Script
from tests.harness import KEY, House, fleet, wait_for
from tests.postgres import Cluster
from tests.watching import in_loop, order, picture, sha256
from tests.wires import Wire

QUICK = {"settle_seconds": 0.1, "rescan_seconds": 600.0}
NODES = ("attic", "cellar", "studio")
CONTENTS = 40
NEVER = 3600.0
VERDICT = Verdict(classification=Label.HUMAN, confidence=0.9, heuristic="Majority", api_version="1.1.0")


@contextmanager
def running(homes: Sequence[House]) -> Iterator[list[Daemon]]:
    """Run the daemons of all houses in this process."""
    with ExitStack() as stack:
        yield [stack.enter_context(home.daemon()) for home in homes]


def analysis(ledger: Ledger, mark: str) -> Analysis | None:
    """Return the analysis of the picture with this mark, if there is one."""
    with ledger.read() as tx:
        return next(iter(reading.analyses_of(tx, sha256(mark))), None)


def is_in_state(ledger: Ledger, mark: str, state: AnalysisState) -> Callable[[], bool]:
    """Return what tells whether a picture's content is in a state."""

    def look() -> bool:
        found = analysis(ledger, mark)
        return found is not None and found.state is state

    return look


def test_what_several_hosts_have_at_once_is_paid_once_and_told_to_each(
    tmp_path: Path, server_ledger: str
) -> None:
    """One POST for each content, however many hosts have it at the same moment; each host has its sidecars."""
    with fleet(tmp_path, server_ledger, NODES, folder=QUICK) as homes:
        for home in homes:
            for number in range(CONTENTS):
                picture(home.drop / f"{number}.png")
        with running(homes):
            wait_for(lambda: all(len(home.sidecars()) == CONTENTS for home in homes), "all are told", 60)
        state = homes[0].simulator.state
        assert CONTENTS == len(state.charged) == state.arrived(Endpoint.UPLOAD)
        said = [one for home in homes for one in home.sidecars().values()]
        assert {False: CONTENTS, True: 2 * CONTENTS} == Counter(one["duplicate"] for one in said)


def test_two_daemons_of_one_name_are_one_too_many(tmp_path: Path, server_ledger: str) -> None:
    """The second is refused, whichever process it is in, and told what to do; another node starts beside it."""
    with fleet(tmp_path, server_ledger, ("attic", "cellar"), folder=QUICK) as [attic, cellar], attic.daemon():
        done = attic.command("run")
        assert Exit.LATER == done.returncode
        assert "another daemon runs as node attic on this ledger" in done.stderr
        assert "node.name" in done.stderr
        with cellar.daemon():
            picture(cellar.drop / "a.png")
            cellar.sidecar(cellar.drop / "a.png")


def test_a_node_that_was_killed_goes_on_at_once(tmp_path: Path, server_ledger: str) -> None:
    """Its lock ended with it and its claims are its own: what it was sending is sent again, in doubt, and told."""
    stall = Fault(kind=FaultKind.STALL, match=Endpoint.UPLOAD, seconds=NEVER)
    with fleet(tmp_path, server_ledger, ("attic",), Script(faults=(stall,)), folder=QUICK) as [attic]:
        picture(attic.drop / "a.png")
        with attic.process() as process:
            wait_for(lambda: attic.simulator.state.charged, "it is sent")
            process.kill()
            process.wait()
        with attic.open_ledger("other") as ledger:
            assert is_in_state(ledger, "a.png", AnalysisState.SENDING)()
        with attic.daemon():
            attic.sidecar(attic.drop / "a.png", 10)
        assert 2 == attic.simulator.state.arrived(Endpoint.UPLOAD)
        assert 1 == len(attic.simulator.state.charged), "what is in doubt is never paid anew"


def test_what_a_dead_node_was_sending_is_sent_by_one_that_sees_a_copy(
    tmp_path: Path, server_ledger: str
) -> None:
    """Others find its claim lapsed, and the content in doubt; it stays there until one of them has the bytes."""
    stall = Fault(kind=FaultKind.STALL, match=Endpoint.UPLOAD, seconds=NEVER)
    ahead = [timedelta(0)]
    with (
        fleet(tmp_path, server_ledger, ("attic", "cellar"), Script(faults=(stall,)), folder=QUICK) as homes,
        homes[1].open_ledger("other") as ledger,
    ):
        attic, cellar = homes
        picture(attic.drop / "a.png")
        with attic.process() as process:
            wait_for(lambda: attic.simulator.state.charged, "it is sent")
            process.kill()
            process.wait()
        with cellar.daemon(clock=lambda: ledger.clock() + ahead[0]) as daemon:
            in_loop(daemon, lambda tx: tx)
            assert is_in_state(ledger, "a.png", AnalysisState.SENDING)(), "its claim holds"
            ahead[0] = timedelta(seconds=16)
            daemon.shift.workers.wake()
            wait_for(is_in_state(ledger, "a.png", AnalysisState.QUEUED), "its claim has lapsed")
            found = analysis(ledger, "a.png")
            assert found is not None
            assert found.doubt
            for _ in range(3):
                in_loop(daemon, lambda tx: tx)
            assert 1 == cellar.simulator.state.arrived(Endpoint.UPLOAD), "nobody has the bytes"
            picture(cellar.drop / "copy.png", "a.png")
            cellar.sidecar(cellar.drop / "copy.png", 10)
        assert 2 == cellar.simulator.state.arrived(Endpoint.UPLOAD)
        assert 1 == len(cellar.simulator.state.charged)


def test_hosts_clocks_do_not_matter(tmp_path: Path, postgres: Cluster, server_ledger: str) -> None:
    """Where every host's clock is an hour behind the server's, all is as quick, and what is written is the server's time."""
    name = server_ledger.rpartition("/")[2]
    hour = timedelta(hours=1)
    postgres.administer("CREATE SCHEMA wrong", name)
    postgres.administer(
        "CREATE FUNCTION wrong.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS "
        "$$ SELECT pg_catalog.clock_timestamp() + interval '1 hour' $$",
        name,
    )
    postgres.administer("GRANT USAGE ON SCHEMA wrong TO PUBLIC", name)
    postgres.administer(f'ALTER DATABASE "{name}" SET search_path = wrong, pg_catalog, public', name)
    limits = {"posts_per_second": 20}
    with fleet(tmp_path, server_ledger, ("attic", "cellar"), folder=QUICK, api=limits) as homes:
        for home in homes:
            picture(home.drop / "a.png", f"{home.node}'s")
        with running(homes):
            for home in homes:
                home.sidecar(home.drop / "a.png", 15)
        least = datetime.now(UTC) + hour - timedelta(minutes=5)
        with homes[0].open_ledger("other") as ledger, ledger.read() as tx:
            assert least < min(tx.execute(sa.select(schema.requests.c.at)).scalars())
            assert least < min(tx.execute(sa.select(schema.analyses.c.submitted_at)).scalars())
            assert least < min(tx.execute(sa.select(schema.nodes.c.since)).scalars())


@pytest.mark.parametrize("is_heard", [True, False], ids=["heard", "not heard"])
def test_a_verdict_that_another_node_won_is_told_at_home(
    tmp_path: Path, postgres: Cluster, server_ledger: str, *, is_heard: bool
) -> None:
    """Within a second by what the server tells; where its telling is cut, by looking."""
    number = 30 if is_heard else 3
    name = server_ledger.rpartition("/")[2]
    listeners = (
        f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}' "  # noqa: S608 - ours
        "AND (query LIKE 'LISTEN%' OR query = 'SELECT 1')"
    )
    marks = [f"{one}.png" for one in range(number)]
    took: list[float] = []
    with (
        fleet(tmp_path, server_ledger, ("attic",), Script(delay=NEVER), folder=QUICK) as [attic],
        attic.open_ledger("cellar") as ledger,
        attic.daemon(),
    ):
        for mark in marks:
            picture(attic.drop / mark)
        for mark in marks:
            wait_for(is_in_state(ledger, mark, AnalysisState.AWAITING), f"{mark} is sent")
        for mark in marks:
            found = analysis(ledger, mark)
            assert found is not None
            if not is_heard:
                wait_for(lambda: postgres.administer(listeners)[0][0], "nobody hears")
            with ledger.write() as tx:
                step = Step(now=ledger.clock(), policy=Policy())
                work.advance(tx, found.id, Judged(VERDICT, b"{}"), step)
            committed_at = ledger.clock()
            attic.sidecar(attic.drop / mark, 15)
            took.append((ledger.clock() - committed_at).total_seconds())
    assert statistics.quantiles(took, n=20)[-1] < (5 if is_heard else 8), took


def test_an_order_wakes_the_daemon_of_another_node(tmp_path: Path, server_ledger: str) -> None:
    """What is asked of a node on another host is carried out at once, though it rests."""
    with (
        fleet(tmp_path, server_ledger, ("attic",), folder=QUICK) as [attic],
        attic.open_ledger("cellar") as ledger,
        attic.daemon() as daemon,
    ):
        wait_for(daemon._rest.lasts, "it rests")
        with ledger.write() as tx:
            number = desk.ask(tx, "pause", {}, who="anna", now=ledger.clock(), node="attic")

        def is_answered() -> bool:
            with ledger.read() as tx:
                return desk.command(tx, number).answer is not None

        wait_for(is_answered, "it is carried out", 4)


def test_a_pause_is_everybody_s_and_one_request_probes_for_all(tmp_path: Path, server_ledger: str) -> None:
    """One node meets the wrong key: all of them pause; one look at the balance finds that it is right again."""
    with fleet(tmp_path, server_ledger, NODES, folder=QUICK) as homes, running(homes) as daemons:
        simulator, first = homes[0].simulator, daemons[0]
        wait_for(lambda: simulator.state.arrived(Endpoint.CREDITS) >= len(homes), "all have begun")
        simulator.change(key="another-key")
        picture(homes[0].drop / "a.png")

        def state() -> AccountState:
            with first.shift.ledger.read() as tx:
                return budget.account(tx).state

        wait_for(lambda: state() is AccountState.PAUSED, "one has met it")
        sent, asked = simulator.state.arrived(Endpoint.UPLOAD), simulator.state.arrived(Endpoint.CREDITS)
        for home in homes[1:]:
            picture(home.drop / "b.png", f"{home.node}'s")
        for mark in ("cellar's", "studio's"):
            wait_for(is_in_state(first.shift.ledger, mark, AnalysisState.QUEUED), f"{mark} is admitted")
        for daemon in daemons * 2:
            in_loop(daemon, lambda tx: tx)
        assert sent == simulator.state.arrived(Endpoint.UPLOAD), "nobody else finds out for himself"
        for _ in range(2):
            order(first, "retry", files=[])
            asked += 1
            wait_for(lambda: simulator.state.count(Endpoint.CREDITS) == asked, "one probes")  # noqa: B023 - at once
            for daemon in daemons * 2:
                in_loop(daemon, lambda tx: tx)
            assert asked == simulator.state.arrived(Endpoint.CREDITS)
        simulator.change(key=KEY)
        order(first, "retry", files=[])
        homes[0].sidecar(homes[0].drop / "a.png")
        for home in homes[1:]:
            home.sidecar(home.drop / "b.png")
        assert asked + 1 == simulator.state.arrived(Endpoint.CREDITS)


def test_ten_nodes_keep_the_account_s_limits_together_and_a_far_one_gets_its_share(
    tmp_path: Path, postgres: Cluster, server_ledger: str
) -> None:
    """Each has a backlog; one has 80 ms to the ledger and back. Benchmarks measure how much of the limits they use."""
    rate, each, name = 5, 6, server_ledger.rpartition("/")[2]
    nodes = [f"n{number}" for number in range(10)]
    api = {"posts_per_second": rate}
    script = Script(limits=Limits(posts_per_second=rate))
    with (
        Wire(("127.0.0.1", postgres.port), delay=0.04) as wire,
        fleet(tmp_path, server_ledger, nodes, script, folder=QUICK, api=api) as homes,
    ):
        homes[0].ledger = f"postgresql+psycopg://watch@127.0.0.1:{wire.address[1]}/{name}"
        for home in homes:
            for number in range(each):
                picture(home.drop / f"{number}.png", f"{home.node} {number}")
        far, *near = homes
        own = {content_hash: home.node for home in homes for content_hash in hashes(home.node, each)}
        state = far.simulator.state
        with far.daemon(), near[0].open_ledger("other") as ledger:
            with ledger.write() as tx:
                budget.advance_account(tx, Barred(PauseReason.OPERATOR, "by hand"), ledger.clock(), 0.5)
            for number in range(each):
                wait_for(lambda: analysis(ledger, f"n0 {number}"), "the far one has begun")  # noqa: B023 - at once
            with running(near):
                for home in near:
                    for number in range(each):
                        mark = f"{home.node} {number}"
                        wait_for(lambda: analysis(ledger, mark), "all have begun")  # noqa: B023 - at once
                with ledger.write() as tx:
                    budget.advance_account(tx, Resumed(), ledger.clock(), 0.5)
                wait_for(lambda: len(state.charged) == len(own), "all is sent", 60)
        order_of = [own[one.sha256] for one in sorted(state.charged, key=lambda one: one.arrived_at)]
        instants = sorted(one.arrived_at for one in state.charged)[: 9 * each]
        assert state.throttled <= 1
        # Ten daemons in one process, beside other tests: how much they use is measured by benchmarks, this is no crawl.
        assert 0.4 * rate <= (len(instants) - rate) / (instants[-1] - instants[0])
        assert order_of[: 9 * each].count("n0") >= 2, order_of


def hashes(node: str, number: int) -> list[bytes]:
    """Return the hashes of a node's pictures."""
    return [sha256(f"{node} {one}") for one in range(number)]
