"""Two hosts do the same to one ledger at once: the second, which waits for the first, sees what that one did."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
import sqlalchemy as sa

from identifai_watch import orders
from identifai_watch.core.events import Barred, Begun, Judged, Uploaded
from identifai_watch.core.gate import Limits
from identifai_watch.core.lifecycle import Policy
from identifai_watch.core.model import (
    AccountState,
    FileState,
    Fingerprint,
    Label,
    Media,
    PauseReason,
    Verdict,
)
from identifai_watch.ledger import (
    Ledger,
    Transaction,
    admission,
    alarms,
    budget,
    desk,
    editions,
    holds,
    intake,
    reading,
    schema,
    stamps,
    trail,
    work,
)
from identifai_watch.ledger.admission import Content
from identifai_watch.ledger.step import Claimant, Step
from identifai_watch.ledger.trail import Head
from identifai_watch.ledger.whereabouts import Arrival
from tests.harness import wait_for
from tests.postgres import Cluster

Found = TypeVar("Found")
Do = Callable[[Transaction], Found]

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STEP = Step(now=NOW, policy=Policy())
SHAPE = Fingerprint(size=10, mtime_ns=1_000, ctime_ns=2_000, inode=3)
VERDICT = Verdict(classification=Label.HUMAN, confidence=0.9, heuristic="Majority", api_version="1.1.0")


class Hosts:
    """Two hosts on one ledger."""

    def __init__(self, cluster: Cluster, url: str) -> None:
        self._cluster = cluster
        self._name = url.rpartition("/")[2]
        self.attic, self.cellar = Ledger(url, node="attic"), Ledger(url, node="cellar")

    def at_once(self, first: Do[Found], second: Do[Found] | None = None) -> tuple[Found, Found]:
        """Have one host do something, and the other the same or something else before that is committed."""
        with ThreadPoolExecutor(1) as other:
            with self.attic.write() as tx:
                mine = first(tx)
                theirs = other.submit(self._write, second or first)
                wait_for(lambda: theirs.done() or self.is_waiting(), "the other is done, or waits for us")
            return mine, theirs.result(20)

    def _write(self, do: Do[Found]) -> Found:
        with self.cellar.write() as tx:
            return do(tx)

    def is_waiting(self) -> bool:
        """Tell whether a session waits for what another has."""
        asked = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = "
        return bool(self._cluster.administer(f"{asked}'{self._name}'"))

    def done(self, do: Do[Found]) -> Found:
        """Do something in a transaction of its own."""
        with self.attic.write() as tx:
            return do(tx)


@pytest.fixture
def hosts(postgres: Cluster, server_ledger: str) -> Iterator[Hosts]:
    """Give two hosts on an empty ledger."""
    made = Hosts(postgres, server_ledger)
    with made.attic, made.cellar:
        yield made


def admit(node: str, *marks: int, folder: str = "drop", path: bytes = b"a.jpg") -> Do[list[bool]]:
    """Return what admits contents in a host's folder, and tells which are copies."""

    def do(tx: Transaction) -> list[bool]:
        drop = intake.folder(tx, node, folder).id
        whole = [
            (
                Arrival(folder_id=drop, path=path + bytes([mark]), fingerprint=SHAPE, noticed_at=NOW),
                Content(sha256=bytes([mark]) * 32, media=Media.IMAGE, mime="image/jpeg", options="{}"),
            )
            for mark in marks
        ]
        admitted = admission.admit_all(tx, whole, STEP)
        return [admitted[arrival.path].duplicate for arrival, _ in whole]

    return do


def count(tx: Transaction, table: sa.Table) -> int:
    """Count the rows of a table."""
    return tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def test_a_folder_that_two_open_at_once_is_one(hosts: Hosts) -> None:
    """Who comes second finds the row of the first: a share is opened by every host, a folder by daemon and command."""
    mine, theirs = hosts.at_once(lambda tx: intake.folder(tx, schema.SHARED, "wire").id)
    assert mine == theirs


def test_a_content_that_two_have_at_once_is_one_and_the_first_s(hosts: Hosts) -> None:
    """It is queued once, and one file is the original; what one of them alone has is its own."""
    assert ([False, False], [True, False]) == hosts.at_once(admit("attic", 1, 2), admit("cellar", 1, 3))
    assert 3 == hosts.done(lambda tx: count(tx, schema.analyses))


def test_a_content_that_is_judged_anew_by_two_at_once_is_paid_once(hosts: Hosts) -> None:
    """The second finds the edition of the first under way."""
    hosts.done(admit("attic", 1))

    def settle(tx: Transaction) -> None:
        me = Claimant(node="attic", token="run")
        for event in (Begun(), Uploaded("id-1"), Judged(VERDICT, b"{}")):
            assert work.advance(tx, 1, event, STEP) is not None, me

    def rejudge(tx: Transaction) -> int | None:
        [file] = reading.files_of(tx, 1)
        made = editions.new_edition(tx, file, STEP)
        return None if made is None else made.edition

    hosts.done(settle)
    file = hosts.done(lambda tx: reading.files_of(tx, 1)[0])
    assert (1, None) == hosts.at_once(rejudge, lambda tx: editions.new_edition(tx, file, STEP))
    assert 2 == hosts.done(lambda tx: count(tx, schema.analyses))


def test_the_head_of_a_day_is_wanted_once_and_stamped_once(hosts: Hosts) -> None:
    """Every host wants it at the same midnight; one asks the authority."""
    head = Head(id=1, lines=1, digest=bytes(32))
    assert (True, False) == hosts.at_once(lambda tx: stamps.want(tx, head, NOW))
    until = NOW + timedelta(minutes=5)
    mine, theirs = hosts.at_once(lambda tx: stamps.take(tx, NOW, until))
    assert mine is not None
    assert theirs is None


def test_two_balances_of_one_instant_are_one(hosts: Hosts) -> None:
    """That one host wrote it first is no error of the other."""
    hosts.at_once(lambda tx: alarms.note_balance(tx, 7.0, NOW))
    assert [(NOW, 7.0)] == hosts.done(lambda tx: alarms.balances_since(tx, NOW))


def test_a_pause_whose_time_is_over_is_ended_once(hosts: Hosts) -> None:
    """Every host looks after it: one of them ends it, and says so."""
    over = NOW - timedelta(seconds=1)

    def pause(tx: Transaction) -> None:
        budget.advance_account(tx, Barred(PauseReason.OPERATOR, "by hand", until=over), NOW, 0.5)
        drop = intake.folder(tx, "attic", "drop").id
        holds.pause(tx, drop, at=NOW, until=over, by="anna", why="by hand")

    hosts.done(pause)
    both = ["the account", "folder drop"]
    assert (both, []) == hosts.at_once(lambda tx: orders.end_pauses(tx, STEP))
    with hosts.attic.read() as tx:
        assert ["resumed", "resumed"] == [line.entry.event for line in trail.lines(tx)]


def test_an_operator_s_pause_outlives_the_look_of_another_host(hosts: Hosts) -> None:
    """A host that starts has a paused account looked at; what an operator pauses at that very moment stays paused."""

    def pause(tx: Transaction) -> AccountState:
        return budget.advance_account(tx, Barred(PauseReason.OPERATOR, "by hand"), NOW, 0.5)[1].state

    _, seen = hosts.at_once(pause, lambda tx: orders.look_now(tx, NOW, 0.5).state)
    assert AccountState.PAUSED is seen
    assert AccountState.PAUSED is hosts.done(budget.account).state


def test_an_instant_is_taken_behind_those_of_whoever_was_waited_for(hosts: Hosts) -> None:
    """Who waits for the account's row sees, once it has it, what was taken meanwhile; nothing is held for an answer."""
    limits, clock = Limits(posts_per_second=1, posts_per_minute=0), hosts.attic.clock
    hosts.done(budget.lock)

    def first(tx: Transaction) -> datetime:
        budget.lock(tx)
        return budget.depart(tx, "POST", limits, clock() + timedelta(seconds=3))

    with ThreadPoolExecutor(1) as other:
        with hosts.attic.write() as tx:
            before = first(tx)
            theirs = other.submit(budget.take, hosts.cellar, "POST", limits, clock)
            wait_for(hosts.is_waiting, "the other waits for the row")
        taken = theirs.result(20)
    assert timedelta(seconds=1.02) == taken.at - before
    again = budget.take(hosts.cellar, "POST", limits, clock, instead_of=taken.id)
    assert taken.at == again.at, "what was given back counts no more"


def test_what_is_gone_from_one_host_did_not_move_to_another(hosts: Hosts) -> None:
    """A folder of the same name on another host is another folder, though the file there is the same to the nanosecond."""
    hosts.done(admit("attic", 1))
    [file] = hosts.done(lambda tx: reading.files_of(tx, 1))
    for _ in range(2):
        hosts.done(lambda tx: intake.missed(tx, 1, [file.path], STEP))
    assert FileState.GONE is hosts.done(lambda tx: reading.files_of(tx, 1)[0]).state
    hosts.done(admit("cellar", 1, path=b"b.jpg"))
    with hosts.attic.read() as tx:
        assert "moved" not in [line.entry.event for line in trail.lines(tx)]


def test_a_node_is_told_of_what_its_own_host_s_commands_ask(hosts: Hosts) -> None:
    """A command is another process, and nobody else tells the daemon beside it."""
    heard: list[None] = []
    hosts.cellar.listen(lambda: heard.append(None))
    wait_for(lambda: heard, "it listens")
    hosts.done(lambda tx: desk.ask(tx, "pause", {}, who="anna", now=NOW, node="cellar"))
    wait_for(lambda: len(heard) == 2, "it is told by another host")
    with hosts.cellar.write() as tx:
        desk.ask(tx, "resume", {}, who="anna", now=NOW, node="cellar")
    wait_for(lambda: len(heard) == 3, "it is told by its own")
