"""The kernel's queue of events runs over: files are lost without an error, or the tree is scanned again and again.

Elsewhere a burst of files, or a script that touched a large tree, dropped events that nobody asked for afterwards, or made
each lost event start a walk over everything, which took longer than the burst. Here an overflow asks for one scan,
however many there are; what was lost is found by it, and the next scan is never sooner than ten times as long
as the last one took.
"""

import os
import threading
from datetime import timedelta
from functools import partial
from pathlib import Path

from identifai_watch.folder.watch import Notice, NoticeKind
from identifai_watch.ledger import Transaction
from identifai_watch.simulator import Endpoint
from identifai_watch.workers import Job
from tests.field.clock import Clock
from tests.field.seen import said
from tests.harness import house, standing_still, wait_for
from tests.watching import in_loop, intake, picture, scan

SELDOM = {"settle_seconds": 0.1, "rescan_seconds": 600.0}
LOST = [f"{number:02}.png" for number in range(30)]


def overflow(touched: list[Path]) -> None:
    """Make more events than the queue of whoever does not read has room for; equal ones in a row would be joined."""
    room = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text(encoding="ascii"))
    for number in range(room + 100):
        os.utime(touched[number % len(touched)])


def test_files_whose_events_were_lost_are_judged_at_once(tmp_path: Path) -> None:
    """The queue is full before they are written, and no scan is due for ten minutes: each is judged, and once."""
    with house(tmp_path, folder=SELDOM) as home, home.process() as process:
        full = [picture(home.drop / "a.png"), picture(home.drop / "b.png")]
        for path in full:
            home.sidecar(path)
        with standing_still(process):
            overflow(full)
            for name in LOST:
                picture(home.drop / "new" / name)
        for name in LOST:
            home.sidecar(home.drop / "new" / name)
        assert 1 == len(said(home, "events lost, scanning"))
        home.sidecar(
            picture(home.drop / "new" / "heard.png")
        )  # also where no watch was, for its event was lost
        assert 33 == len(home.simulator.state.charged) == home.simulator.state.arrived(Endpoint.UPLOAD)


def test_any_number_of_overflows_ask_for_one_scan(tmp_path: Path) -> None:
    """A scan took a minute, and more events were lost than anybody counted: one more follows, after its rest."""
    clock, goes_on = Clock(speed=0), threading.Event()
    with (
        house(tmp_path, folder=SELDOM | {"rescan_seconds": 6000.0}) as home,
        home.daemon(clock=clock) as daemon,
    ):
        scan(daemon)
        one = intake(daemon)
        patrol = one.patrol
        in_loop(daemon, lambda _: daemon.shift.workers.plan(busy(patrol._lane, goes_on)))
        patrol.rescan()
        wait_for(lambda: in_loop(daemon, lambda _: patrol._is_scanning), "a scan is under way")
        clock.wind(daemon, 60)

        def lose(tx: Transaction) -> None:
            for _ in range(100):
                one._heard(tx, Notice(path=b"", kind=NoticeKind.OVERFLOW))

        in_loop(daemon, lose)
        goes_on.set()
        wait_for(lambda: in_loop(daemon, lambda _: not patrol._is_scanning), "it ends")
        ended_at = clock()
        assert ended_at == patrol.last_scan_at
        in_loop(daemon, lose)
        assert ended_at + timedelta(seconds=600) == patrol.next_due()
        clock.wind(daemon, 600)
        wait_for(
            lambda: in_loop(daemon, lambda _: patrol.last_scan_at == clock()), "another one has followed"
        )
        assert clock() + timedelta(seconds=6000) == patrol.next_due(), "and that was the last"


def busy(lane: str, goes_on: threading.Event) -> Job[bool]:
    """Return a job that keeps a lane waiting, as a large tree does."""
    return Job(
        lane=lane,
        label="busy",
        work=partial(goes_on.wait, 60),
        then=lambda _tx, _result: None,
        failed=lambda _tx, _error: None,
    )
