"""The way in under load and after accidents: batches, bugs with one file, archives that were not wholly seen."""

import os
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any

import pytest

from identifai_watch import candidates, hashing, looks
from identifai_watch import intake as way_in
from identifai_watch.candidates import BIG, MOST_BYTES, MOST_IN_BATCH, Batch, Entry, Whole
from identifai_watch.core.health import Health
from identifai_watch.core.model import FileState, Fingerprint
from identifai_watch.core.settling import Candidate, Sample
from identifai_watch.daemon import Daemon
from identifai_watch.folder.look import Look, look
from identifai_watch.folder.scan import Summary
from identifai_watch.folder.watch import Notice, NoticeKind
from identifai_watch.ledger import Ledger, Transaction, archive, tree, views, whereabouts
from identifai_watch.ledger import intake as rows
from identifai_watch.memory import LedgerMemory
from identifai_watch.workers import Job
from tests.harness import house, wait_for
from tests.test_folders import BY_EVENTS, SCANNED, judged, paid, standing
from tests.watching import admitted, in_loop, intake, line, lines, order, picture, quiet, scan

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HELD = {"existing": "hold", "existing_hold_above": 0}


def entry(number: int, *, size: int = 10, **changes: Any) -> Entry:
    """Build an entry that was noticed some seconds after NOW."""
    at = NOW + timedelta(seconds=number)
    shape = Fingerprint(size=size, mtime_ns=1, ctime_ns=1, inode=1)
    look = Look(
        fingerprint=shape, sample=Sample(fingerprint=shape, writer=False, shortfall=None), sniffed="png"
    )
    candidate = Candidate(noticed_at=at, changed_at=at, renamed=False)
    return Entry(candidate=candidate, due=at, why="", noticed_at=at, look=look, **changes)


# In which order, and how many at once.


def test_what_is_new_is_read_before_the_backlog_and_the_newest_first() -> None:
    """New before old, hot before cool, new before less new; who is asked for meanwhile goes ahead."""
    whole = Whole()
    whole.put(b"old", entry(9, backlog=True))
    whole.put(b"asked for", entry(0, backlog=True))
    whole.put(b"newer", entry(2))
    whole.put(b"new", entry(1))
    whole.put(b"hot", entry(0, priority=5))
    whole.hasten(b"asked for", 10)
    assert [b"asked for", b"hot", b"newer", b"new", b"old"] == [path for path, _ in whole.batch()]
    assert [] == whole.batch()
    assert 5 == len(whole)


def test_a_batch_is_bounded_in_files_and_bytes() -> None:
    """A batch ends at so many files or bytes, and a file larger than that is one alone."""
    whole = Whole()
    for number in range(MOST_IN_BATCH + 1):
        whole.put(b"%d" % number, entry(number))
    whole.put(b"large", entry(1000, size=MOST_BYTES))
    assert [1, MOST_IN_BATCH, 1, 0] == [len(whole.batch()) for _ in range(4)]


def test_big_files_take_their_turn_unless_they_are_to_leave_it_to_the_others() -> None:
    """A big one goes by its urgency, alone; where it may not go, those behind it do, and it keeps its place."""
    whole = Whole()
    whole.put(b"newest", entry(3, size=BIG + 1))
    whole.put(b"new", entry(2))
    whole.put(b"new too", entry(1, size=BIG + 1))
    whole.put(b"old", entry(0, size=BIG // 2))
    assert [b"new", b"old"] == [path for path, _ in whole.batch(big=False)]
    assert [] == whole.batch(big=False)
    assert [[b"newest"], [b"new too"], []] == [[path for path, _ in whole.batch()] for _ in range(3)]


def test_a_big_file_that_is_noticed_again_is_read_once() -> None:
    """It has one place in line, also when it became small meanwhile, or was small before."""
    whole = Whole()
    whole.put(b"a", entry(0, size=BIG + 1))
    whole.put(b"a", entry(0))
    assert [[b"a"], []] == [[path for path, _ in whole.batch()] for _ in range(2)]
    whole.put(b"b", entry(0))
    whole.put(b"b", entry(0, size=BIG + 1))
    assert [] == whole.batch(big=False)
    assert [[b"b"], []] == [[path for path, _ in whole.batch()] for _ in range(2)]


def test_a_batch_knows_which_item_raised() -> None:
    """Be it in its thread, or where the loop took the result in."""
    batch: Batch[int, float] = Batch(items=(1, 0, 2))
    with suppress(ZeroDivisionError):
        batch.run(lambda number: 1 / number)
    assert ([1.0], 1) == (batch.found, batch.failed_at)
    done: Batch[int, int] = Batch(items=(1, 2))
    done.run(int)
    done.taken = 1
    assert 1 == done.failed_at


def test_small_files_are_read_many_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred small files that are whole take two jobs, not a hundred."""
    monkeypatch.setattr(candidates, "MOST_IN_BATCH", 64)
    with house(tmp_path, folder=SCANNED) as home, home.daemon() as daemon:
        scan(daemon)
        one = intake(daemon)
        paths = [picture(home.drop / f"{number}.png") for number in range(100)]

        def settle(_: Transaction) -> None:
            for number, path in enumerate(paths):
                name = os.fsencode(path.name)
                found = look(os.fsencode(home.drop), name, network=False)
                assert isinstance(found, Look)
                whole = entry(number)
                whole.look = found
                one._arrivals.whole.put(name, whole)

        in_loop(daemon, settle)
        wait_for(lambda: len(lines(daemon)) == 100, "all are admitted")
        assert 2 == next(one._hashing._batches)


def test_one_thread_is_never_taken_by_a_big_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one big file is read, and another waits, a small one is judged; the other one follows."""
    real, hold = hashing.digest, Event()
    begun: list[bytes] = []

    def slow(root: bytes, path: bytes, **options: Any) -> object:
        begun.append(path)
        if path.startswith(b"big"):
            assert hold.wait(30)
        return real(root, path, **options)

    monkeypatch.setattr(hashing, "digest", slow)
    monkeypatch.setattr(candidates, "BIG", 1_000_000)
    with house(tmp_path, folder=SCANNED) as home, home.daemon() as daemon:
        for name in ("big-1.png", "big-2.png"):
            os.truncate(picture(home.drop / name), 1_000_001)
        scan(daemon)
        wait_for(lambda: begun, "a big one is being read")
        small = picture(home.drop / "small.png")
        scan(daemon)
        home.sidecar(small)
        assert 2 == len(begun)
        hold.set()
        for name in ("big-1.png", "big-2.png"):
            home.sidecar(home.drop / name)


# One file's trouble is its own.


@pytest.mark.parametrize(("where", "what"), [(looks, "look_at"), (hashing, "digest")])
def test_a_bug_with_one_file_keeps_no_other_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: ModuleType, what: str
) -> None:
    """The one that raises waits with the reason; the others are admitted, and nothing is left in hand."""
    real = getattr(where, what)

    def stumbling(root: bytes, path: bytes, **options: Any) -> object:
        if path == b"bad.png":
            raise ZeroDivisionError("a bug")
        return real(root, path, **options)

    with house(tmp_path, folder=SCANNED) as home, home.daemon() as daemon:
        one = intake(daemon)
        monkeypatch.setattr(where, what, stumbling)
        for name in ("a.png", "bad.png", "c.png", "d.png"):
            picture(home.drop / name)
        scan(daemon)
        for name in ("a.png", "c.png", "d.png"):
            home.sidecar(home.drop / name)
        growing = wait_for(lambda: one.growing(one._shift.clock()), "it waits")
        assert [(b"bad.png", "a bug: ZeroDivisionError('a bug')")] == growing
        assert (1, set()) == (one.settling, one._hashing._digesting)
        assert 3 == paid(home)


def test_a_file_that_a_look_finds_missing_is_gone_only_by_scans(tmp_path: Path) -> None:
    """Its directory is looked into instead: looks that come in a row are no scans that missed it."""
    with house(tmp_path, folder=SCANNED) as home, home.daemon() as daemon:
        path = picture(home.drop / "deep" / "a.png")
        scan(daemon)
        home.sidecar(path)
        quiet(daemon)
        one = intake(daemon)
        path.unlink()

        def miss(tx: Transaction) -> list[bytes]:
            for _ in range(3):
                one._arrivals.not_there(tx, b"deep/a.png")
                one._arrivals.not_there(tx, b"never/known.png")
            return list(one.patrol._subtrees)

        assert [b"deep"] == in_loop(daemon, miss)
        wait_for(lambda: standing(daemon, "deep/a.png")[1] == 1, "its directory is looked into")
        assert FileState.DELIVERED is standing(daemon, "deep/a.png")[0]


# Archives.


def test_an_archive_that_was_not_wholly_listed_is_not_yet_known(tmp_path: Path) -> None:
    """What lies in a directory that the first scan could not list is held, once it can be; elsewhere it is news."""
    with house(tmp_path, folder=SCANNED | HELD) as home, home.daemon() as daemon:
        one = intake(daemon)
        scan(daemon)

        def unlisted(tx: Transaction) -> list[bool]:
            rows.pin(tx, one.folder_id, "another", daemon.shift.ledger.node)
            one._moved()
            one.patrol.unlisted[b"shut"] = "Permission denied"
            one._ended(tx, Summary(files=0, directories=1, unlisted=1))
            return [
                one._backlog.has(path)
                for path in (b"shut/a.png", b"shut/deep/a.png", b"shut.png", b"a/b.png")
            ]

        assert [True, True, False, False] == in_loop(daemon, unlisted)
        with daemon.shift.ledger.read() as tx:
            assert rows.folder(tx, "here", "drop").archived_at is None


def test_what_lies_on_another_file_system_is_an_archive_once_more(tmp_path: Path) -> None:
    """A mount that comes late, and is accepted, brings an archive and no news; what is known stays known."""
    with house(tmp_path, folder=SCANNED | HELD) as home, home.daemon() as daemon:
        scan(daemon)
        picture(home.drop / "known.png")
        scan(daemon)
        home.sidecar(home.drop / "known.png")
        quiet(daemon)
        one = intake(daemon)
        mount = "an empty mount point"
        in_loop(daemon, lambda tx: rows.pin(tx, one.folder_id, mount, daemon.shift.ledger.node))
        in_loop(daemon, lambda tx: archive.archived(tx, one.folder_id, NOW, 0, is_whole=True))
        picture(home.drop / "archive.png")
        in_loop(daemon, lambda _: one.patrol.rescan())
        wait_for(lambda: one.patrol.health is Health.UNAVAILABLE, "it is another file system")
        assert {"folder": "drop"} == order(daemon, "reach", folder="drop")
        wait_for(lambda: one.patrol.health is Health.OK, "it is accepted")
        scan(daemon)
        quiet(daemon)
        found = line(daemon, "archive.png")
        assert found is not None
        assert found.file.held
        assert {"known.png"} == judged(home)
        assert 1 == paid(home)


def test_a_released_file_obeys_the_rules_of_today(tmp_path: Path) -> None:
    """An exclude that was added since is heeded, and so is an ignore file; what is kept out is not sent."""
    with house(tmp_path, folder=SCANNED | HELD) as home:
        for name in ("out.png", "ignored/a.png", "in.png"):
            picture(home.drop / name)
        with home.daemon() as daemon:
            scan(daemon)
            assert {True} == {each.file.held for each in lines(daemon)}
        home.folder = SCANNED | HELD | {"exclude": ["out*"]}
        (home.drop / "ignored" / ".identifai-ignore").touch()
        with home.daemon() as daemon:
            order(daemon, "release")
            home.sidecar(home.drop / "in.png")
            quiet(daemon)
            number = intake(daemon).folder_id
            with daemon.shift.ledger.read() as tx:
                left = views.left_at(tx, number, b"out.png")
                assert left is not None
                assert "exclude: out*" == left.reason
                assert [] == archive.to_admit(tx, number, 10)
        assert {"in.png"} == judged(home)
        assert 1 == paid(home)


def test_a_released_file_keeps_its_place_in_the_order(tmp_path: Path) -> None:
    """It was noticed when the archive was: no file that came since waits behind it."""
    with house(tmp_path, folder=SCANNED | HELD) as home:
        picture(home.drop / "old.png")
        with home.daemon() as daemon:
            scan(daemon)
            found = line(daemon, "old.png")
            assert found is not None
            order(daemon, "pause")
            order(daemon, "release")
            analysis = admitted(daemon, "old.png").analysis
            assert analysis is not None
            assert found.file.noticed_at == analysis.noticed_at


def test_what_is_left_alone_and_unchanged_is_not_written_anew(tmp_path: Path) -> None:
    """An event that tells of nothing new leaves its row as it is; an ignored archive is not paid for by it."""
    with house(tmp_path, folder=BY_EVENTS | {"existing": "ignore"}) as home:
        picture(home.drop / "old.png")
        with home.daemon() as daemon:
            scan(daemon)
            (home.drop / "notes.txt").write_text("no media")
            one = intake(daemon)

            def left(name: bytes) -> views.Left | None:
                with daemon.shift.ledger.read() as tx:
                    return views.left_at(tx, one.folder_id, name)

            wait_for(lambda: left(b"notes.txt"), "it is left")
            quiet(daemon)
            before = [left(b"notes.txt"), left(b"old.png")]

            def hear(tx: Transaction) -> None:
                for name in (b"notes.txt", b"old.png"):
                    one._heard(tx, Notice(path=name, kind=NoticeKind.FILE))

            in_loop(daemon, hear)
            quiet(daemon)
            assert before == [left(b"notes.txt"), left(b"old.png")]
            (home.drop / "old.png").chmod(0o640)
            scan(daemon)
            quiet(daemon)
            assert 0 == paid(home)
            order(daemon, "judge", path=str(home.drop / "old.png"))
            home.sidecar(home.drop / "old.png")
        assert 1 == paid(home)


# What does not answer.


def test_events_beyond_all_bounds_ask_for_a_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept in memory does not grow with the events; the scan finds what they told of."""
    monkeypatch.setattr(way_in, "MOST_NOTICED", 3)
    with house(tmp_path, folder=SCANNED) as home, home.daemon() as daemon:
        scan(daemon)
        one = intake(daemon)
        names = [f"{number}.png" for number in range(10)]
        for name in names:
            picture(home.drop / name)

        def hear(tx: Transaction) -> int:
            for name in names:
                one._heard(tx, Notice(path=os.fsencode(name), kind=NoticeKind.FILE))
            return one.settling

        assert 3 == in_loop(daemon, hear)
        for name in names:
            home.sidecar(home.drop / name)
        assert 10 == paid(home)


def test_an_unavailable_folder_has_no_looks_due(tmp_path: Path) -> None:
    """The loop rests until the root is tried again: no candidate that nobody will look at keeps it awake."""
    with house(tmp_path, folder=SCANNED) as home, home.daemon() as daemon:
        scan(daemon)
        one = intake(daemon)

        def dues(_: Transaction) -> tuple[datetime | None, datetime | None]:
            one._arrivals.notice(b"a.png", renamed=True)
            one.patrol.out_of_reach("it does not answer")
            found = one.next_due(), one.patrol.next_due()
            one._arrivals.candidates.drop(b"a.png")
            return found

        soonest, scanned = in_loop(daemon, dues)
        assert soonest == scanned


def test_a_folder_with_a_job_that_hangs_stays_unavailable_until_that_moves(tmp_path: Path) -> None:
    """That its root answers is not enough: the one file that does not would hang the next look as well."""
    release = Event()
    with house(tmp_path, folder=SCANNED | {"rescan_seconds": 0.1}) as home, home.daemon() as daemon:
        scan(daemon)
        one = intake(daemon)
        stuck = Job(
            lane="drop/look",
            label="stuck",
            work=release.wait,
            then=lambda _tx, _found: None,
            failed=lambda _tx, _error: None,
        )
        in_loop(daemon, lambda _: daemon.shift.workers.plan(stuck))
        running = wait_for(lambda: running_of(daemon, "stuck"), "it hangs")
        in_loop(daemon, lambda _: one.patrol.hangs(running[0], "it has not answered"))
        tried = one.patrol._retry
        wait_for(lambda: one.patrol._retry > tried, "its root is due to be tried again")
        assert (Health.UNAVAILABLE, "it has not answered") == (one.patrol.health, one.patrol.reason)
        release.set()
        wait_for(lambda: one.patrol.health is Health.OK, "it moved")


def running_of(daemon: Daemon, label: str) -> list[Any]:
    """Return the jobs under way with that label."""
    return [running for running in daemon.shift.workers.running() if running.label == label]


def test_no_transaction_is_open_while_the_scan_looks_at_a_disk(tmp_path: Path) -> None:
    """Names and directories come in pages, each a question of its own, and none is left out or told twice."""
    with Ledger(f"sqlite:///{tmp_path}/ledger.db", node="here") as ledger:
        shape = Fingerprint(size=1, mtime_ns=1, ctime_ns=1, inode=1)
        numbers = range(2 * tree.PAGE + 1)
        paths = [b"d%04d/a.png" % number for number in numbers] + [
            b"d/%04d.png" % number for number in numbers
        ]
        with ledger.write() as tx:
            folder_id = rows.folder(tx, "here", "drop").id
            first = whereabouts.Arrival(folder_id=folder_id, path=b"", fingerprint=shape, noticed_at=NOW)
            archive.hold(tx, [replace(first, path=path) for path in paths])
        with ledger.glances() as glances:
            memory = LedgerMemory(tx=glances, folder_id=folder_id)
            assert sorted({path.partition(b"/")[0] for path in paths}) == list(memory.parents())
            names = iter(memory.names(b"d"))
            assert b"0000.png" == next(names)
            with (
                ledger.write() as tx
            ):  # on another connection: what the first one has open would be seen below
                tx.exec_driver_sql("DELETE FROM files WHERE name >= X'30353030'")
            assert tree.PAGE == 1 + len(list(names))
