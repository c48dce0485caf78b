"""A ledger of ten million files on PostgreSQL: what a claim, an admission, a question and a delivery take, and its size.

Each is a transaction of the ledger's own functions, commit and all, as the daemon makes them. A commit of next to nothing
is made between any two, for comparison: what that takes is the disk's.
"""

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import click
import psycopg
import sqlalchemy as sa

from benchmarks import servers
from benchmarks.figures import Figure, Goal
from benchmarks.running import share
from identifai_watch.core.events import Delivered, Destined, Judged, Pending, Uploaded
from identifai_watch.core.gate import Limits
from identifai_watch.core.lifecycle import Policy
from identifai_watch.core.model import Choice, FileState, Fingerprint, Label, Media, Outcome, Verdict
from identifai_watch.errors import LedgerAwayError
from identifai_watch.ledger import Ledger, admission, budget, claims, lists, trail, views, work
from identifai_watch.ledger.admission import Content
from identifai_watch.ledger.claims import Room
from identifai_watch.ledger.lists import Wanted
from identifai_watch.ledger.schema import analyses
from identifai_watch.ledger.step import Claimant, Step
from identifai_watch.ledger.whereabouts import Arrival
from tests.postgres import Cluster

SIZES = (1_000_000, 10_000_000)
SMALL = 20_000
FOLDERS = 100
ITS_FOLDERS = 5
"""How many of them one host has."""

ROUNDS = 300
GOAL = Goal(most=10)
TABLES = ("files", "analyses", "history", "answers", "left", "requests")
VERDICT = Verdict(classification=Label.HUMAN, confidence=0.9, heuristic="Majority", models=("one", "two"))
RAW = b'{"identifier": "0123456789abcdef", "classification": "human", "confidence": 0.9, "models": ["one", "two"]}'


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield what each operation takes on each size of ledger, what people wait for, and the bytes of a row."""
    with servers.server() as cluster:
        if cluster is None:
            return
        least = _filled(cluster, SMALL)
        for files in () if small else SIZES:
            url = _filled(cluster, files)
            yield from _figures(url, least, files, ROUNDS)
            cluster.drop(url)
        if small:
            yield from _figures(least, None, SMALL, 5)


def _filled(cluster: Cluster, files: int) -> str:
    url = cluster.database()
    with servers.careless(cluster):
        servers.archive(url, files, now=datetime.now(UTC), folders=FOLDERS, each=ITS_FOLDERS)
    return url


def _figures(url: str, least: str | None, files: int, rounds: int) -> Iterator[Figure]:
    """Yield the figures of a ledger, each operation beside the same on the ``least`` one, by turns."""
    with ExitStack() as stack:
        ours, *others = [stack.enter_context(_taking(one)) for one in (url, least) if one is not None]
        for number in range(rounds):
            for one in (ours, *others):
                _live(one, number, f"{files}/{number}.jpg")
        for what in ours.seconds:
            of = f"{files:,} files: {what}"
            yield Figure(
                what=f"{of}, p50",
                value=share(ours.seconds[what], 0.5) * 1e3,
                unit="ms",
                against=f"ms with {SMALL:,} files",
                yardstick=share(others[0].seconds[what], 0.5) * 1e3 if others else None,
                at=files,
            )
            yield Figure(
                what=f"{of}, p95",
                value=share(ours.seconds[what], 0.95) * 1e3,
                unit="ms",
                goal=GOAL if what in GOALS else Goal(),
                at=files,
                is_told=what in GOALS or what == NOTHING,
            )
            yield Figure(what=f"{of}, WAL", value=ours.wal[what] / rounds, unit="bytes", at=files)
        yield from _shown(ours.ledger, files, 1 if rounds < ROUNDS else 5)
        yield from _sizes(ours.looking, files)


@contextmanager
def _taking(url: str) -> Iterator["_Taken"]:
    with Ledger(url, node="host-1") as ledger, psycopg.connect(servers.address(url)) as looking:
        ledger.lock.take()
        yield _Taken(ledger=ledger, looking=looking)


CLAIM, ADMIT = "claim an upload and say that it begins", "admit a file"
NOTHING = "a commit of next to nothing"
POLL, DELIVER = "claim a question of 50", "claim a delivery"
GOALS = {CLAIM, ADMIT, POLL, DELIVER}


@dataclass(slots=True)
class _Taken:
    """The seconds that transactions took, and the bytes of write-ahead log, by what was done."""

    ledger: Ledger
    looking: psycopg.Connection
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    wal: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Measure what is done in the block."""
        before, began = self._at(), time.perf_counter()
        yield
        self.seconds[what].append(time.perf_counter() - began)
        self.wal[what] += self._at() - before

    def _at(self) -> int:
        with self.looking.transaction():
            [number] = self.looking.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone() or [0]
        return int(number)


def _live(taken: _Taken, number: int, path: str) -> None:
    """Do once what happens to a file from its arrival at a new path to its delivery, and what is asked for others meanwhile."""
    ledger = taken.ledger
    me = Claimant(node=ledger.node, token=f"run of {ledger.node}")
    reach = dict.fromkeys(range(1, ITS_FOLDERS + 1), ledger.node)

    def step() -> Step:
        return Step(now=ledger.clock(), policy=Policy())

    with taken.timed(NOTHING), ledger.write() as tx:
        tx.exec_driver_sql("UPDATE account SET probes = 0")
    with taken.timed(ADMIT), ledger.write() as tx:
        admission.admit_all(tx, [_arrival(number, path.encode(), ledger.clock())], step())
    with taken.timed(CLAIM), ledger.write() as tx:
        room = Room(turns=[number % 4 == 3], large=10**8, most_large=3)
        [(analysis, file)] = claims.begin_uploads(tx, me, step(), reach=reach, room=room)
    with taken.timed("take an instant for a request"), ledger.write() as tx:
        budget.lock(tx)
        ledger.look(tx)
        budget.depart(tx, "POST", Limits(), ledger.clock())
    with taken.timed("write that an upload was taken"), ledger.write() as tx:
        work.advance(tx, analysis.id, Uploaded(f"id-{number}", "0123456789abcdef"), step(), me)
    with taken.timed(POLL), ledger.write() as tx:
        asked = claims.claim_polls(tx, me, ledger.clock(), Media.IMAGE, ahead=timedelta(0), limit=50)
    with taken.timed("write that 50 are still pending"), ledger.write() as tx:
        work.advance_all(tx, {one.id: Pending() for one in asked}, step(), me)
    with ledger.write() as tx:  # so that there are as many the next time
        again = sa.update(analyses).where(analyses.c.id.in_([one.id for one in asked]))
        tx.execute(again.values(due=ledger.clock() - timedelta(days=1)))
    with taken.timed("write a verdict"), ledger.write() as tx:
        work.advance(tx, analysis.id, Judged(VERDICT, RAW), step())
    with taken.timed(DELIVER), ledger.write() as tx:
        folder = int(file.folder.removeprefix("drop-"))
        [found] = claims.claim_deliveries(tx, me, ledger.clock(), folder, 1)
    with taken.timed("commit its destination"), ledger.write() as tx:
        event = Destined(Outcome.HUMAN, None, None)
        work.advance_file(tx, found.file.id, event, step(), me, keep_claim=True)
    with taken.timed("write that it was delivered"), ledger.write() as tx:
        work.advance_file(tx, found.file.id, Delivered(None, found.file.fingerprint), step(), me)


def _arrival(number: int, path: bytes, now: datetime) -> tuple[Arrival, Content]:
    shape = Fingerprint(size=number, mtime_ns=1, ctime_ns=2, inode=number)
    arrival = Arrival(folder_id=1, path=path, fingerprint=shape, noticed_at=now, media=Media.IMAGE)
    sha256 = hashlib.sha256(path).digest()
    return arrival, Content(sha256=sha256, media=Media.IMAGE, mime="image/jpeg", options="{}")


LISTS = {
    "a page of the list": Wanted(),
    "a page of what is delivered as artificial": Wanted(
        state=FileState.DELIVERED, outcome=Outcome.ARTIFICIAL, media=Media.IMAGE
    ),
    "a page of what is stuck": Wanted(stuck=True),
    "a page of what is to be reviewed": Wanted(to_review=True),
    "a page of what no file is": Wanted(state=FileState.WAITING, decision=Choice.HUMAN, folder_ids=(3,)),
}


def _shown(ledger: Ledger, files: int, rounds: int) -> Iterator[Figure]:
    """Yield what people wait for."""
    asked: dict[str, Callable[[sa.Connection], object]] = {
        "what status counts": views.counts,
        "the head of the history": trail.head,
    }
    last, nobodys = f"host-{FOLDERS // ITS_FOLDERS}", Room(turns=[False])
    step = Step(now=ledger.clock(), policy=Policy())
    asked["a claim by a node for which nothing waits"] = lambda tx: claims.begin_uploads(
        tx, Claimant(node=last, token=""), step, reach={FOLDERS: last}, room=nobodys
    )
    for what, wanted in LISTS.items():
        asked[what] = lambda tx, wanted=wanted: lists.page(tx, wanted, after=None, limit=50)  # type: ignore[misc]
    for what, ask in asked.items():
        taken = []
        for _ in range(rounds):
            began = time.perf_counter()
            # What is not there within the time that a statement may take is told as that time.
            with suppress(LedgerAwayError), ledger.write() as tx:
                ask(tx)
            taken.append(time.perf_counter() - began)
        yield Figure(
            what=f"{files:,} files: {what}",
            value=share(taken, 0.5),
            unit="s",
            goal=Goal(most=1) if ask is views.counts else Goal(),
            at=files,
            is_told=True,
        )


def _sizes(looking: psycopg.Connection, files: int) -> Iterator[Figure]:
    """Yield the bytes of a row with all that its table's indexes hold of it, and of the whole ledger."""
    for table in TABLES:
        for of, size in (("a row", "pg_table_size"), ("its entries in indexes", "pg_indexes_size")):
            query = f'SELECT {size}(\'"{table}"\') / greatest(count(*), 1)::real FROM "{table}"'  # noqa: S608 - names of ours
            [value] = _one(looking, query)
            yield Figure(what=f"{files:,} files: {table}, {of}", value=value, unit="bytes", at=files)
    [whole] = _one(looking, "SELECT pg_database_size(current_database())")
    yield Figure(
        what=f"{files:,} files: the whole ledger", value=whole / 1e9, unit="GB", at=files, is_told=True
    )


def _one(looking: psycopg.Connection, query: str) -> Sequence[float]:
    with looking.transaction():
        found = looking.execute(query.encode()).fetchone()
    if found is None:
        raise click.ClickException(query)
    return found
