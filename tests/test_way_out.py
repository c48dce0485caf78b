"""The way out under trouble: keys that go away mid-run, folders that hang, files that vanish, runs that must end."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from identifai_watch import errand
from identifai_watch.core.events import Begun, Judged, Uploaded
from identifai_watch.core.model import AccountState, AnalysisState, FileState, Label, PauseReason
from identifai_watch.daemon import Daemon
from identifai_watch.dispatch.missing import not_found
from identifai_watch.errand import Ending
from identifai_watch.errors import AccountError
from identifai_watch.folder.look import ignore_sigio
from identifai_watch.ledger import Ledger, Transaction, archive, editions, intake, reading, work
from identifai_watch.patrol import Patrol
from identifai_watch.shift import Shift
from identifai_watch.simulator import Endpoint, Fault, FaultKind
from tests.harness import KEY, House, house, wait_for
from tests.test_ledger import NODE, NOW, SECOND, admitted, again, at, delivered, put_analysis, uploads
from tests.watching import account, folders, in_loop, line, order, picture, scan
from tests.watching import admitted as watched

QUICK = {"settle_seconds": 0.1, "rescan_seconds": 600.0}


# The order of uploads.


def on_ledger(tmp_path: Path, do: Callable[[Transaction, int], None]) -> None:
    """Do something with a ledger that has one folder."""
    with Ledger(f"sqlite:///{tmp_path}/ledger.db", node=NODE) as ledger, ledger.write() as tx:
        do(tx, intake.folder(tx, NODE, "drop").id)


def test_news_goes_before_the_backlog_of_the_same_priority(tmp_path: Path) -> None:
    """However new a file of the archive is; one in four, the oldest of all goes, whichever it is."""

    def do(tx: Transaction, drop: int) -> None:
        admitted(tx, drop, b"archive", 1, backlog=True, noticed_at=NOW + 5 * SECOND)
        admitted(tx, drop, b"hot archive", 2, backlog=True, priority=1, noticed_at=NOW - 9 * SECOND)
        admitted(tx, drop, b"news", 3, noticed_at=NOW)
        assert [b"hot archive", b"news", b"archive"] == uploads(tx, drop, seconds=9)

    on_ledger(tmp_path, do)


# Editions.


def test_two_files_of_one_content_are_rejudged_by_one_edition(tmp_path: Path) -> None:
    """Whoever names both pays once: the second is told that it is under way, though it was read before."""

    def do(tx: Transaction, drop: int) -> None:
        first, second = delivered(tx, drop), admitted(tx, drop, b"copy.jpg")[0]
        assert editions.new_edition(tx, first, at(9)) is not None
        assert editions.new_edition(tx, second, at(9)) is None

    on_ledger(tmp_path, do)


def test_a_file_that_missed_an_edition_takes_it(tmp_path: Path) -> None:
    """It was away when its content was judged anew; what was paid then is its verdict too, and nothing is sent."""

    def do(tx: Transaction, drop: int) -> None:
        away, file = delivered(tx, drop, b"away.jpg"), admitted(tx, drop, b"copy.jpg")[0]
        verdict = reading.analysis(tx, file.analysis_id or 0).verdict
        assert verdict is not None
        for seconds in (3, 4):
            intake.missed(tx, drop, [b"away.jpg"], at(seconds))
        fresh = editions.new_edition(tx, file, at(9))
        assert fresh is not None
        intake.seen(tx, drop, [b"away.jpg"], at(10))
        assert editions.new_edition(tx, again(tx, away), at(11)) is None, "it is still under way"
        judge(tx, fresh.id, Judged(verdict, b"{}"))
        taken = editions.new_edition(tx, again(tx, away), at(20))
        assert taken is not None
        assert (fresh.id, fresh.id) == (taken.id, again(tx, away).analysis_id)
        assert again(tx, away).due == NOW + 20 * SECOND

    on_ledger(tmp_path, do)


def judge(tx: Transaction, analysis_id: int, event: Judged) -> None:
    """Take an analysis from the queue to its verdict."""
    for one in (Begun(), Uploaded("id-2"), event):
        work.advance(tx, analysis_id, one, at(12))


def test_what_is_stuck_is_found_once_whichever_way(tmp_path: Path) -> None:
    """A file that is given up, and one whose content is, are each one of those that a person is waited for."""

    def do(tx: Transaction, drop: int) -> None:
        first, analysis = admitted(tx, drop, b"a.jpg", 1)
        second, _ = admitted(tx, drop, b"b.jpg", 2)
        admitted(tx, drop, b"c.jpg", 3)
        put_analysis(tx, replace(analysis, due=None, stuck_at=NOW))
        for file in (first, second):
            work.put_file(tx, replace(file, due=None, stuck_at=NOW))
        assert [first.id, second.id] == [one.id for one in reading.stuck_files(tx)]

    on_ledger(tmp_path, do)


# The key.


def test_a_key_that_goes_away_pauses_the_account_and_puts_nothing_in_doubt(tmp_path: Path) -> None:
    """A key file that is emptied mid-run is the account's matter: nothing was sent, and all goes on with a key."""
    lost = AccountError("api.key_file is empty")
    answers: list[str | AccountError] = [lost]

    def key() -> str:
        found = answers[-1]
        if isinstance(found, AccountError):
            raise found
        return found

    with house(tmp_path, folder=QUICK) as home, home.daemon(key) as daemon:
        path = picture(home.drop / "a.png")
        wait_for(lambda: account(daemon).state is AccountState.PAUSED, "the account is paused")
        assert (PauseReason.KEY, str(lost)) == (account(daemon).reason, account(daemon).detail)
        found = watched(daemon, "a.png").analysis
        assert found is not None
        assert (AnalysisState.QUEUED, False, 0) == (found.state, found.doubt, found.failures)
        answers.append(KEY)
        order(daemon, "retry", files=[])
        home.sidecar(path)


def test_a_bug_before_the_last_boundary_leaves_no_doubt(tmp_path: Path) -> None:
    """Whatever goes wrong with us, an upload that was not completed was not paid."""

    def key() -> str:
        raise ZeroDivisionError

    with house(tmp_path, folder=QUICK) as home, home.daemon(key) as daemon:
        picture(home.drop / "a.png")

        def failed() -> bool:
            found = line(daemon, "a.png")
            return found is not None and found.analysis is not None and found.analysis.failures > 0

        wait_for(failed, "an upload failed")
        found = line(daemon, "a.png")
        assert found is not None
        assert found.analysis is not None
        assert (False, True) == (found.analysis.doubt, "a bug" in (found.analysis.reason or ""))


# Folders that hang.


def test_an_upload_of_a_folder_out_of_reach_takes_nobody_s_slot(tmp_path: Path) -> None:
    """Its thread may hang on the disk for good: the others have all slots, instants and the purse to themselves."""
    stall = Fault(match=Endpoint.UPLOAD, kind=FaultKind.STALL_BODY, times=1)
    with house(tmp_path, api={"uploads": 1}) as home:
        home.more["folder"] = folders(home, hung={}, well={})
        home.simulator.change(faults=(stall,))
        with home.daemon() as daemon:
            uploads_ = daemon._dispatch.uploads
            picture(tmp_path / "hung" / "a.png")
            wait_for(lambda: in_loop(daemon, lambda _: uploads_.in_flight == 1), "it is under way")
            path = picture(tmp_path / "well" / "b.png")
            watched(daemon, "b.png", "well")
            assert len(home.simulator.state.charged) == 0
            hung = next(one for one in daemon._intakes.values() if one.folder.name == "hung")
            in_loop(daemon, lambda _: hung.patrol.out_of_reach("it hangs") or True)
            home.sidecar(path)


# Files that vanish.


def test_a_moved_file_that_somebody_deleted_is_gone(tmp_path: Path) -> None:
    """Where no scan goes two deliveries that do not find it tell; nothing is scanned for it, or tried for ever."""
    with house(tmp_path, folder=QUICK | {"action": "move"}) as home, home.daemon() as daemon:
        picture(home.drop / "a.png")
        wait_for(
            lambda: (found := line(daemon, "a.png")) and found.file.state is FileState.DELIVERED,
            "it is moved",
        )
        found = line(daemon, "a.png")
        assert found is not None
        assert found.file.lies_at is not None
        scan(daemon)
        scanned_at = in_loop(daemon, lambda _: patrol_of(daemon).last_scan_at)
        (home.drop / found.file.lies_at.decode()).unlink()
        label = Label.HUMAN if found.file.outcome == "artificial" else Label.ARTIFICIAL
        order(daemon, "decide", files=[found.file.id], choice=label, reason="seen it")

        def state() -> bool:
            with daemon.shift.ledger.read() as tx:
                now = reading.file(tx, found.file.id)
            return now is not None and now.state is FileState.GONE

        wait_for(state, "it is gone")
        assert scanned_at == in_loop(daemon, lambda _: patrol_of(daemon).last_scan_at)


def patrol_of(daemon: Daemon) -> Patrol:
    """Return the patrol of the only folder."""
    return next(iter(daemon._intakes.values())).patrol


def test_a_file_that_an_upload_does_not_find_is_looked_for_by_a_scan(tmp_path: Path) -> None:
    """It is not missed by that: its directory is looked into, and only what lists it says so."""
    with house(tmp_path, folder=QUICK) as home, home.daemon() as daemon:
        order(daemon, "pause")
        picture(home.drop / "deep" / "a.png")
        file = watched(daemon, "deep/a.png").file
        scan(daemon)

        def look(tx: Transaction) -> tuple[int, list[bytes]]:
            one = next(iter(daemon._intakes.values()))
            not_found(tx, one, file, daemon.shift.step())
            return again(tx, file).missing, list(one.patrol._subtrees)

        assert (0, [b"deep"]) == in_loop(daemon, look)


# Runs that must end.


def ending_of(home: House) -> Ending:
    """Run over all there is, and return how that ended; one that hangs is stopped, and fails."""
    ignore_sigio()
    endings: list[Ending | None] = []
    with Ledger(home.ledger_url, node="here") as ledger:
        daemon = Daemon(Shift(config=home.config(), ledger=ledger, once=True), lambda: KEY)
        thread = threading.Thread(target=lambda: endings.append(daemon.run()))
        thread.start()
        try:
            wait_for(lambda: endings, "the run ends", 15)
        finally:
            daemon.stop()
            thread.join(20)
    assert endings[0] is not None
    return endings[0]


def test_a_released_file_that_does_not_become_whole_ends_no_later_than_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that cannot be admitted is named as growing once that has lasted; the others are judged."""
    monkeypatch.setattr(errand, "GROWING_PATIENCE", errand.COUNT_EVERY)
    with house(tmp_path, folder=QUICK | {"existing": "hold", "existing_hold_above": 0}) as home:
        held = picture(home.drop / "growing.png")
        with home.daemon() as daemon:
            wait_for(lambda: (found := line(daemon, held.name)) and found.file.held, "it is held")
        with Ledger(home.ledger_url, node="here") as ledger, ledger.write() as tx:
            archive.release(tx, at())
        other = picture(home.drop / "other.png")
        with held.open("r+b"):
            ending = ending_of(home)
        assert [("drop", b"growing.png")] == [one[:2] for one in ending.growing]
        assert [other.name] == list(home.sidecars())
