"""The watcher dies without a word: the service runs, its threads seem alive, and nothing is ever seen again.

Elsewhere it was enough that the directory was deleted and made anew, or mounted over, or that one handler raised. Here each
scan asks whether every thread of the watch lives and whether the directory at the folder's path is still the one that
is watched, and arms it again if not; and systemd's watchdog is fed by the loop that does all the work, so that a daemon
which merely exists is started anew.
"""

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from identifai_watch import vigil
from identifai_watch.simulator import Endpoint, Fault, FaultKind, Script
from tests.field.clock import Clock
from tests.field.seen import said
from tests.harness import House, house, wait_for
from tests.hung import hung_mount
from tests.watching import folders, intake, picture, quiet, scan

SELDOM = {"settle_seconds": 0.1, "rescan_seconds": 600.0}
ALLOWED = 0.4
"""Seconds within which systemd wants to hear from the daemon."""


def test_a_root_that_is_deleted_and_made_anew_is_watched_again(tmp_path: Path) -> None:
    """The process says what happened and goes on: what comes then is judged, and nothing was lost or paid twice."""
    with house(tmp_path, folder={"settle_seconds": 0.1, "rescan_seconds": 0.3}) as home, home.process():
        home.sidecar(picture(home.drop / "before.png"))
        shutil.rmtree(home.drop)
        picture(home.drop / "deep" / "after.png")
        home.sidecar(home.drop / "deep" / "after.png")
        lost = wait_for(lambda: said(home, "watch lost, arming again"), "it is said")
        home.sidecar(picture(home.drop / "later.png"))
        assert 1 == len(lost)
        assert 3 == len(home.simulator.state.charged) == home.simulator.state.arrived(Endpoint.UPLOAD)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)  # that is what befalls one
@pytest.mark.parametrize("accident", ["deleted", "replaced", "a thread died", "a handler raised"])
def test_after_any_accident_events_tell_again(tmp_path: Path, accident: str) -> None:
    """One scan later, and without another one, an event tells of a new file."""
    clock = Clock()
    with house(tmp_path, folder=SELDOM) as home, home.daemon(clock=clock) as daemon:
        scan(daemon)
        befall(accident, home, intake(daemon).patrol.sentry._watch)
        clock.wind(daemon, 600)
        scan(daemon)
        quiet(daemon)
        scanned_at = intake(daemon).patrol.last_scan_at
        home.sidecar(picture(home.drop / "later.png"))
        assert scanned_at == intake(daemon).patrol.last_scan_at, "no scan came to its help"


def befall(accident: str, home: House, watch: object) -> None:
    """Let something happen to a watch that it says nothing of."""
    observer = watch._observer  # type: ignore[attr-defined] - the folder is watched
    match accident:
        case "deleted":
            shutil.rmtree(home.drop)
            home.drop.mkdir()
        case "replaced":
            home.drop.rename(home.home / "away")
            home.drop.mkdir()
        case "a thread died":
            observer.emitters.copy().pop().stop()
        case _:
            watch._notice = None  # type: ignore[attr-defined] - what is called next is none
            picture(home.drop / "deadly.png")
            wait_for(lambda: not observer._inotify_fd.is_alive(), "its thread is dead")


# systemd's watchdog.


class Manager:
    """What systemd hears, on a socket of the test's own."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.close = self._socket.close
        self.environ = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(int(ALLOWED * 1e6))}

    def is_fed(self, seconds: float = 30) -> bool:
        """Tell whether the watchdog is fed within so many seconds from now on."""
        self._socket.settimeout(0)
        with suppress(BlockingIOError):  # what was said before does not count
            while True:
                self._socket.recv(65536)
        deadline = time.monotonic() + seconds
        with suppress(TimeoutError):
            while (left := deadline - time.monotonic()) > 0:
                self._socket.settimeout(left)
                if b"WATCHDOG=1" in self._socket.recv(65536):
                    return True
        return False


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """Stand where systemd stands, for daemons of this process and for those that it starts."""
    with closing(Manager(tmp_path / "notify")) as made:
        for name, value in made.environ.items():
            monkeypatch.setenv(name, value)
        yield made


def test_the_watchdog_is_fed_by_the_loop_alone(tmp_path: Path, manager: Manager) -> None:
    """While the loop stands still nothing is sent, whatever other threads do; when it turns again it is."""
    stands, goes_on = threading.Event(), threading.Event()
    with house(tmp_path) as home, home.daemon() as daemon:
        assert manager.is_fed()
        daemon.shift.workers.tell(lambda _: (stands.set(), goes_on.wait(60)))
        assert stands.wait(30)
        assert not manager.is_fed(5 * ALLOWED)
        goes_on.set()
        assert manager.is_fed()


def test_a_request_that_never_ends_starves_the_watchdog(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that is neither answered nor cut is our own fault, which only a new start mends."""
    monkeypatch.setattr(vigil, "REQUEST_OVERDUE", ALLOWED)
    silent = Fault(kind=FaultKind.STALL, match=Endpoint.RESULT, seconds=5)
    with house(tmp_path, Script(faults=(silent,))) as home, home.daemon():
        path = picture(home.drop / "a.png")
        assert home.simulator.state.wait_for(lambda state: state.arrived(Endpoint.RESULT) == 1, seconds=30)
        wait_for(lambda: not manager.is_fed(5 * ALLOWED), "it is not fed any more")
        home.sidecar(path)
        assert manager.is_fed()


def test_a_mount_that_hangs_starves_nobody(tmp_path: Path, manager: Manager) -> None:
    """That is its folder's matter: a restart would hang again, for ever, and stop the other folders with it."""
    with house(tmp_path) as home, hung_mount(tmp_path / "hung"):
        hung = {"path": str(tmp_path / "hung"), "name": "hung", "existing": "judge"}
        home.more["folder"] = [*folders(home, other={}), hung]
        with home.process():
            home.sidecar(picture(tmp_path / "other" / "a.png"))
            assert all(manager.is_fed() for _ in range(5))
