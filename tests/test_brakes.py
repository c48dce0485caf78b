"""The brakes of those who share the machine: rates that hold, waits that a stop or a reload ends, hours that are kept."""

import json
import os
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from identifai_watch import api, brakes, candidates, hashing, idle, vigil
from identifai_watch.api import wire
from identifai_watch.brakes import Brake, allowed
from identifai_watch.core.model import AnalysisState, FileState
from identifai_watch.daemon import Daemon
from identifai_watch.errors import Exit
from identifai_watch.idle import idle_io
from identifai_watch.ledger import archive as ledger_archive
from identifai_watch.simulator import Endpoint
from tests.field.clock import Clock
from tests.harness import House, house, wait_for
from tests.opens import counted
from tests.test_folders import SCANNED, judged, paid
from tests.test_reload import reloaded
from tests.watching import admitted, intake, line, lines, order, picture, quiet, scan

CRAWL = 0.000_000_01
"""Megabytes or megabits a second: one byte takes longer than a test may."""

HOUR = 3600.0


def hours(begin: float, end: float) -> str:
    """Return the part of the day from ``begin`` to ``end`` hours from now, by this host's clock."""
    now = datetime.now(UTC).astimezone()
    return "-".join(f"{now + timedelta(hours=hour):%H:%M}" for hour in (begin, end))


# One brake.


def test_a_piece_fits_all_brakes_and_is_counted_by_each() -> None:
    """The slowest one decides; what it lets through is all that the others count."""
    slow, fast, none = Brake(lambda: 1000.0), Brake(lambda: 1_000_000.0), Brake(lambda: 0.0)
    ended = threading.Event()
    assert 100 == allowed(4096, (slow, fast, none), ended=ended, moved=lambda: None)
    now = time.monotonic()
    assert 0 == fast.take(1, now)
    assert 0 == none.take(1 << 40, now)
    assert 4096 == allowed(4096, (none,), ended=ended, moved=lambda: None)
    assert 4096 == allowed(4096, (), ended=ended, moved=lambda: None)


def test_threads_share_a_rate() -> None:
    """Each waits for what the others took before it."""
    brake = Brake(lambda: 1000.0)
    waits = [brake.take(1000, 50.0) for _ in range(4)]
    assert pytest.approx([0, 1 - 0.1, 2 - 0.1, 3 - 0.1]) == waits


def test_a_rate_may_change_at_any_time() -> None:
    """What a reload says holds for the next piece."""
    rate = [1000.0]
    brake = Brake(lambda: rate[0])
    assert 100 == brake.piece(4096)
    brake.take(100_000, 1.0)
    rate[0] = 2000.0
    assert 0 == brake.take(4096, 1.0)
    rate[0] = 0.0
    assert 4096 == brake.piece(4096)
    assert 0 == brake.take(4096, 1.0)


def test_a_wait_ends_at_once_when_it_is_to_and_says_meanwhile_that_it_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever waits for a brake moves, and a stop is not waited for."""
    monkeypatch.setattr(brakes, "LONGEST", 0.01)
    brake, ended, moves = Brake(lambda: 1e-6), threading.Event(), []

    def moved() -> None:
        moves.append(1)
        if len(moves) == 3:
            ended.set()

    assert 1 == allowed(10, (brake,), ended=ended, moved=moved)
    assert 0 == allowed(10, (brake,), ended=ended, moved=moved)
    assert 3 == len(moves)


# The daemon under them.


def test_an_upload_that_a_brake_holds_is_cut_by_a_stop_and_sent_by_the_next_start(tmp_path: Path) -> None:
    """The stop does not wait for the brake; nothing arrived, so there is no doubt, and it is paid once."""
    with house(tmp_path, folder=SCANNED, api={"upload_megabits_per_second": CRAWL}) as home:
        with home.process() as process:
            path = picture(home.drop / "a.png")
            assert home.simulator.state.wait_for(
                lambda state: state.arrived(Endpoint.UPLOAD) == 1, seconds=30
            )
            process.terminate()
            assert Exit.OK == process.wait(5)
        (found,) = home.lines()
        assert found.analysis is not None
        assert (AnalysisState.QUEUED, False) == (found.analysis.state, found.analysis.doubt)
        home.api = {}
        with home.process():
            home.sidecar(path)
    assert 1 == paid(home)


def test_a_slow_upload_is_no_upload_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may take longer than any of the API client's time-outs, each of which is for something else."""
    for where, name in ((api, "CONNECT_SECONDS"), (api, "READ_SECONDS"), (wire, "WRITE_SECONDS")):
        monkeypatch.setattr(where, name, 1.0)
    with house(tmp_path, folder=SCANNED) as home:
        path = home.put("sample.png", "a.png", extra=bytes(20_000))
        rate = path.stat().st_size / 3
        home.api = {"upload_megabits_per_second": rate * 8 / 1_000_000}
        with home.daemon() as daemon:
            home.sidecar(path)
            (found,) = (one.analysis for one in lines(daemon))
    assert found is not None
    assert 0 == found.failures
    assert 1 == home.simulator.state.arrived(Endpoint.UPLOAD)


def test_a_reload_lifts_the_brake_of_uploads_under_way(tmp_path: Path) -> None:
    """They go on where they are: the rate is asked for each piece."""
    with (
        house(tmp_path, folder=SCANNED, api={"upload_megabits_per_second": 0.000_1}) as home,
        home.daemon() as daemon,
    ):
        path = picture(home.drop / "a.png")
        scan(daemon)
        assert home.simulator.state.wait_for(lambda state: state.arrived(Endpoint.UPLOAD) == 1, seconds=30)
        home.api = {}
        reloaded(daemon, home)
        home.sidecar(path)
    assert 1 == home.simulator.state.arrived(Endpoint.UPLOAD)


def test_a_folder_whose_reading_a_brake_holds_does_not_hang_and_is_let_go_by_a_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting is progress; a folder that is set up anew ends the wait, and reads the file at its own rate."""
    monkeypatch.setattr(brakes, "LONGEST", 0.05)
    monkeypatch.setattr(vigil, "HUNG_AFTER", 0.5)
    monkeypatch.setattr(vigil, "RENEW_EVERY", timedelta(seconds=0.1))
    with (
        house(tmp_path, folder=SCANNED | {"read_megabytes_per_second": CRAWL}) as home,
        home.daemon() as daemon,
    ):
        path = picture(home.drop / "a.png")
        scan(daemon)
        one = intake(daemon)
        digests = wait_for(
            lambda: [job for job in daemon.shift.workers.running() if job.lane == "drop/digest"], "it reads"
        )
        began = digests[0].moved_at
        wait_for(lambda: digests[0].moved_at > began + 1.5, "it waits for longer than a hung thread may")
        assert "ok" == one.patrol.health
        home.folder = SCANNED
        reloaded(daemon, home)
        home.sidecar(path)
        wait_for(lambda: digests[0] not in daemon.shift.workers.running(), "the one that waited has ended")
    assert 1 == paid(home)


def test_reading_for_an_upload_is_braked_like_hashing(tmp_path: Path) -> None:
    """All that is read of a share counts: without this the second reading would have no brake."""
    with house(tmp_path, folder=SCANNED) as home, home.daemon() as daemon:
        scan(daemon)
        one = intake(daemon)
        taken: list[int] = []
        real = one.brake.take
        one.brake.take = lambda amount, now: taken.append(amount) or real(amount, now)  # type: ignore[method-assign,func-returns-value] - it listens
        path = picture(home.drop / "a.png")
        scan(daemon)
        home.sidecar(path)
        size = path.stat().st_size
    assert 2 * size <= sum(taken) <= 2 * size + 2


# The backlog's reading.


def test_a_thread_reads_at_idle_priority_for_as_long_as_it_is_to() -> None:
    """And has the priority again that it had."""
    before = idle.priority()
    with idle_io():
        within = idle.priority()
    if within == before:
        pytest.skip("the kernel does not let us")
    assert 3 == within >> 13
    assert before == idle.priority()


@pytest.mark.parametrize("machine", ["a machine that nobody has heard of", "x86_64"])
def test_where_it_cannot_be_nothing_happens(monkeypatch: pytest.MonkeyPatch, machine: str) -> None:
    """An unknown processor, or a call that the kernel does not know."""
    monkeypatch.setattr(idle.platform, "machine", lambda: machine)
    monkeypatch.setattr(idle, "_CALLS", {"x86_64": (100_000, 100_001)})
    with idle_io():
        assert 0 == idle.priority()


def test_the_backlog_is_read_at_idle_priority_and_news_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same threads read both, and keep nothing of it."""
    with idle_io():
        if idle.priority() >> 13 != 3:
            pytest.skip("the kernel does not let us")
    seen: dict[bytes, int] = {}
    real = hashing.digest

    def watched(root: bytes, path: bytes, **options: object) -> object:
        seen[path] = idle.priority() >> 13
        return real(root, path, **options)  # type: ignore[arg-type] - as they came

    monkeypatch.setattr(hashing, "digest", watched)
    with house(tmp_path, folder=SCANNED) as home:
        old = picture(home.drop / "old.png")
        with home.daemon() as daemon:
            home.sidecar(old)
            new = picture(home.drop / "new.png")
            scan(daemon)
            home.sidecar(new)
    assert 3 == seen[b"old.png"]
    assert 3 != seen[b"new.png"]


# The backlog's hours.


def archive(home: House) -> list[Path]:
    """Make files that are there before the daemon."""
    return [picture(home.drop / f"old-{number}.png") for number in range(3)]


@pytest.mark.parametrize("existing", ["judge", "hold"])
def test_outside_of_its_hours_the_backlog_is_neither_read_nor_sent(tmp_path: Path, existing: str) -> None:
    """News are judged as ever; the archive waits in the ledger, and is judged when its hours begin.

    Held it would be judged all the same, being small.
    """
    clock = Clock()
    folder = SCANNED | {"existing": existing}
    with house(tmp_path, folder=folder, api={"backlog_hours": hours(2, 4)}) as home:
        old = archive(home)
        with home.daemon(clock=clock) as daemon, counted(home.drop) as opened:
            scan(daemon)
            news = picture(home.drop / "new.png")
            scan(daemon)
            home.sidecar(news)
            quiet_but_for(daemon, 3)
            assert {"new.png"} == judged(home)
            assert not {path.name for path in old} & set(opened)
            assert {FileState.WAITING} == {one.file.state for one in home.lines() if one.file.backlog}
            clock.wind(daemon, 3 * HOUR)
            for path in old:
                home.sidecar(path)
    assert 4 == paid(home)


def quiet_but_for(daemon: Daemon, waiting: int) -> None:
    """Wait until nothing is on its way but so many files that wait in the ledger."""

    def is_quiet() -> bool:
        with daemon.shift.ledger.read() as tx:
            left = ledger_archive.to_admit(tx, intake(daemon).folder_id, 100)
        return not daemon.settling and daemon._dispatch.is_idle() and len(left) == waiting

    wait_for(is_quiet, f"all but {waiting} are judged")


def test_what_is_not_read_when_the_hours_end_waits_for_the_next_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is being read is read to its end; what was next in line waits in the ledger, and not in memory."""
    monkeypatch.setattr(candidates, "MOST_BYTES", 1)  # a batch is one file
    clock, go_on = Clock(), threading.Event()
    real = hashing.digest

    def slow(*place: bytes, **options: object) -> object:
        assert go_on.wait(30)
        return real(*place, **options)  # type: ignore[arg-type] - as they came

    monkeypatch.setattr(hashing, "digest", slow)
    with house(tmp_path, folder=SCANNED, api={"backlog_hours": hours(-1, 2)}) as home:
        old = archive(home)
        with home.daemon(clock=clock) as daemon:
            wait_for(lambda: len(intake(daemon)._arrivals.whole) == 3, "all are whole")
            clock.wind(daemon, 4 * HOUR)
            wait_for(lambda: daemon.settling == 2, "the third one waits in the ledger")
            go_on.set()
            wait_for(lambda: len([one for one in lines(daemon) if one.file.sha256]) == 2, "they are hashed")
            quiet_but_for(daemon, 1)
            assert 0 == paid(home)
            clock.wind(daemon, 20 * HOUR)
            for path in old:
                home.sidecar(path)
    assert 3 == paid(home)


def test_what_was_hashed_in_time_and_not_sent_waits_for_the_next_hours(tmp_path: Path) -> None:
    """Also what is queued already; what is new goes meanwhile."""
    clock = Clock()
    with house(tmp_path, folder=SCANNED, api={"backlog_hours": hours(-1, 2)}) as home:
        (old, *_) = archive(home)
        with home.daemon(clock=clock) as daemon:
            order(daemon, "pause")
            for path in archive(home):
                admitted(daemon, path.name)
            clock.wind(daemon, 4 * HOUR)
            order(daemon, "resume")
            news = picture(home.drop / "new.png")
            scan(daemon)
            home.sidecar(news)
            found = line(daemon, old.name)
            assert found is not None
            assert found.analysis is not None
            assert AnalysisState.QUEUED is found.analysis.state
            assert 1 == paid(home)
            clock.wind(daemon, 20 * HOUR)
            home.sidecar(old)
            quiet(daemon)
    assert 4 == paid(home)


def test_whoever_names_a_file_of_the_backlog_does_not_wait(tmp_path: Path) -> None:
    """It is taken as something new."""
    with house(tmp_path, folder=SCANNED, api={"backlog_hours": hours(2, 4)}) as home:
        old, *_ = archive(home)
        with home.daemon() as daemon:
            scan(daemon)
            order(daemon, "judge", path=os.fspath(old))
            home.sidecar(old)
            assert {old.name} == judged(home)


def test_a_run_over_all_there_is_waits_for_no_hour(tmp_path: Path) -> None:
    """It was asked for now, and never hangs."""
    with house(tmp_path, folder=SCANNED, api={"backlog_hours": hours(2, 4)}) as home:
        archive(home)
        ending = home.once()
    assert ending is not None
    assert (None, None) == (ending.account, ending.later)
    assert 3 == paid(home)


def test_status_and_explain_say_what_the_backlog_waits_for(tmp_path: Path) -> None:
    """Which hours, when they begin, and what can be done."""
    wanted = hours(2, 4)
    with house(tmp_path, folder=SCANNED, api={"backlog_hours": wanted}) as home:
        old, *_ = archive(home)
        with home.daemon(node=socket.gethostname()) as daemon:
            scan(daemon)
            quiet_but_for(daemon, 3)
            told = json.loads(home.command("status", "--json").stdout)["backlog"]
            status = unframed(home.command("status").stdout)
            explained = unframed(home.command("explain", str(old)).stdout)
    assert (3, wanted) == (told["uploads"], told["hours"])
    assert timedelta(0) < datetime.fromisoformat(told["opens_at"]) - datetime.now(UTC) <= timedelta(hours=2)
    assert f"3 of them only within backlog_hours {wanted}" in status
    assert f'within backlog_hours = "{wanted}" only' in explained
    assert "identifai-watch judge" in explained


def unframed(shown: str) -> str:
    """Return what a panel says, on one line."""
    return " ".join(shown.replace("│", " ").split())
