"""One event is lost, and the file that it told of lies there until the service is started again.

Elsewhere events were the only way in: what was written during a start, in a burst or while a watch was being renewed
was never taken, and people restarted the service every night. Here an event only makes it quicker. The scan compares
the tree with the ledger every ``rescan_seconds``, so that a file is hashed ``rescan_seconds + settle_seconds`` after it
was written at the latest, whatever became of its events.
"""

from datetime import datetime, timedelta
from pathlib import Path

from identifai_watch.daemon import Daemon
from tests.field.clock import Clock
from tests.harness import House, house, wait_for
from tests.watching import in_loop, intake, picture, quiet, scan, sha256

RESCAN, SETTLE = 600, 3
SELDOM = {"settle_seconds": float(SETTLE), "rescan_seconds": float(RESCAN)}


def test_a_missed_file_is_hashed_within_a_rescan_and_its_settling(tmp_path: Path) -> None:
    """The thread that hears the events is dead: at the latest instant that was promised the file is taken."""
    clock = Clock(speed=0)
    with house(tmp_path, folder=SELDOM) as home, home.daemon(clock=clock) as daemon:
        scan(daemon)
        one = intake(daemon)
        deafen(daemon)
        written_at = clock()
        path = picture(home.drop / "missed.png")
        clock.wind(daemon, RESCAN - 1)
        assert in_loop(daemon, lambda _: not one.patrol._is_scanning and one.settling == 0), "it is not known"
        clock.wind(daemon, 1)
        for third in range(SETTLE):
            wait_for(lambda third=third: looks(daemon) == third, "it was noticed, or looked at")  # type: ignore[misc] - bound at once
            clock.wind(daemon, SETTLE / 3)
        times = verdict_of(home, daemon, clock, path)["times"]
        assert timedelta(seconds=RESCAN) == datetime.fromisoformat(times["noticed_at"]) - written_at
        assert timedelta(seconds=RESCAN + SETTLE) == datetime.fromisoformat(times["hashed_at"]) - written_at


def test_a_dead_watch_is_armed_again_by_the_next_scan(tmp_path: Path) -> None:
    """Nobody has to restart anything: what comes after that scan is told by an event, at once."""
    clock = Clock()
    with house(tmp_path, folder=SELDOM | {"settle_seconds": 0.1}) as home, home.daemon(clock=clock) as daemon:
        scan(daemon)
        deafen(daemon)
        missed = picture(home.drop / "missed.png")
        clock.wind(daemon, RESCAN)
        home.sidecar(missed)
        quiet(daemon)
        scanned_at = intake(daemon).patrol.last_scan_at
        home.sidecar(picture(home.drop / "heard.png"))
        assert scanned_at == intake(daemon).patrol.last_scan_at, "no scan came to its help"


def test_what_came_while_nobody_watched_is_judged_at_the_start(tmp_path: Path) -> None:
    """New, replaced and moved in while the daemon was stopped: the first scan finds it all, and nothing else."""
    with house(tmp_path, folder={"settle_seconds": 0.1, "rescan_seconds": 600.0}) as home:
        with home.process():
            stays, changes = picture(home.drop / "stays.png"), picture(home.drop / "changes.png", "before")
            home.sidecar(stays)
            home.sidecar(changes)
        picture(home.drop / "new.png")
        picture(changes, "after")
        picture(tmp_path / "tree" / "deep" / "moved.png")
        (tmp_path / "tree").rename(home.drop / "tree")
        with home.process():
            home.sidecar(home.drop / "new.png")
            home.sidecar(home.drop / "tree" / "deep" / "moved.png")
            wait_for(lambda: home.sidecar(changes)["file"]["sha256"] == sha256("after").hex(), "it is judged")
        assert 5 == len(home.simulator.state.charged)


def deafen(daemon: Daemon) -> None:
    """End the thread that reads the events, as an exception in it would; its watch looks as alive as before."""
    watch = intake(daemon).patrol.sentry._watch
    assert watch is not None
    assert watch._observer is not None
    watch._observer._inotify_fd.stop()
    wait_for(watch.problem, "it hears no more")
    assert watch._observer.is_alive()


def looks(daemon: Daemon) -> int | None:
    """Return how many looks at the missed file agreed; None if it has not been noticed."""
    entry = intake(daemon)._arrivals.candidates.get(b"missed.png")
    return None if entry is None else entry.candidate.agreeing


def verdict_of(home: House, daemon: Daemon, clock: Clock, path: Path) -> dict[str, dict[str, str]]:
    """Return the sidecar of a file, letting time pass once its content is known."""
    wait_for(lambda: home.simulator.state.charged, "it is sent")
    clock.hasten(daemon, 1)
    return home.sidecar(path)
