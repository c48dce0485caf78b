"""What tests ask of a daemon that runs in their own process: an operator's order, a scan, and what the ledger says."""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from identifai_watch.core.model import Account, Label
from identifai_watch.daemon import Daemon
from identifai_watch.intake import Intake
from identifai_watch.ledger import Transaction, budget, desk, runs, views
from identifai_watch.ledger.views import Line
from identifai_watch.simulator import Scripted
from tests.harness import MEDIA, Found, House, wait_for

PICTURE = (MEDIA / "sample.png").read_bytes()


def picture(path: Path, mark: str | None = None) -> Path:
    """Write a picture whose content is told from every other's by ``mark``, or by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content(path.name if mark is None else mark))
    return path


def content(mark: str) -> bytes:
    """Return the bytes of the picture with this mark: what follows a picture's end is nothing to its format."""
    return PICTURE + mark.encode()


def sha256(mark: str) -> bytes:
    """Return the hash of the picture with this mark."""
    return hashlib.sha256(content(mark)).digest()


def says(mark: str, label: Label, **more: Any) -> Scripted:
    """Script what the pretend identifAI says of the picture with this mark."""
    return Scripted(sha256=sha256(mark).hex(), classification=label, **more)


def order(daemon: Daemon, verb: str, **arguments: Any) -> dict[str, Any]:
    """Ask the daemon for something, as a command does, and return its answer."""
    ledger, now = daemon.shift.ledger, daemon.shift.clock()
    with ledger.write() as tx:
        number = desk.ask(tx, verb, arguments, who="anna", now=now, node=ledger.member)
    daemon.shift.workers.wake()

    def answer() -> dict[str, Any] | None:
        with ledger.read() as tx:
            return desk.command(tx, number).answer

    return wait_for(answer, f"the order {verb} is carried out") or {}


def intake(daemon: Daemon, folder: str = "drop") -> Intake:
    """Return a folder as the running daemon has it."""
    return wait_for(
        lambda: next((one for one in list(daemon._intakes.values()) if one.folder.name == folder), None),
        f"{folder} is watched",
    )


def in_loop(daemon: Daemon, look: Callable[[Transaction], Found]) -> Found:
    """Have the daemon's own loop look at something, and return it once the round that it was seen in is committed."""
    answers: SimpleQueue[Found] = SimpleQueue()
    daemon.shift.workers.tell(lambda tx: answers.put(look(tx)))
    found = answers.get(timeout=20)
    next_round = threading.Event()
    daemon.shift.workers.tell(lambda _: next_round.set())
    assert next_round.wait(20)
    return found


def scan(daemon: Daemon, folder: str = "drop") -> None:
    """Wait for a whole scan that begins from now on, and for what it found to be taken in."""
    patrol = intake(daemon, folder).patrol
    asked = daemon.shift.clock()

    def is_scanned(_: Transaction) -> bool:
        if patrol._is_scanning:
            return False
        if patrol.last_scan_at is not None and patrol._scan_began >= asked:
            return True
        patrol.rescan()
        return False

    wait_for(lambda: in_loop(daemon, is_scanned), f"{folder} is scanned")


def quiet(daemon: Daemon) -> None:
    """Wait until nothing is on its way in or out: what has not happened by then will not happen by itself."""

    def is_quiet(tx: Transaction) -> bool:
        return not daemon.settling and daemon._dispatch.is_idle() and runs.unsettled(tx) == 0

    wait_for(lambda: in_loop(daemon, is_quiet), "all is delivered")


def lines(daemon: Daemon) -> list[Line]:
    """Return every file that the ledger knows, the newest first."""
    with daemon.shift.ledger.read() as tx:
        return list(views.lines(tx))


def line(daemon: Daemon, path: str, folder: str = "drop") -> Line | None:
    """Return the file that stands for a path of a folder, or that lies there."""
    known = intake(daemon, folder)
    with daemon.shift.ledger.read() as tx:
        found = views.at(tx, known.folder_id, path.encode())
    return found[0] if found else None


def admitted(daemon: Daemon, path: str, folder: str = "drop") -> Line:
    """Wait until a file is hashed, or refused by ourselves, and return it."""

    def look() -> Line | None:
        found = line(daemon, path, folder)
        return None if found is None or (found.analysis is None and found.file.refusal is None) else found

    found = wait_for(look, f"{path} is admitted")
    assert found is not None
    return found


def account(daemon: Daemon) -> Account:
    """Return how the account stands."""
    with daemon.shift.ledger.read() as tx:
        return budget.account(tx)


def folders(home: House, **settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a configuration's folders, one for each name, quick and made on the disk."""
    for name in settings:
        (home.home / name).mkdir(exist_ok=True)
    quick = {"settle_seconds": 0.1, "rescan_seconds": 600.0, "existing": "judge"}
    return [
        quick | {"path": str(home.home / name), "name": name} | setting for name, setting in settings.items()
    ]
