"""Row 26: one mount hangs or breaks, and everything stops.

As met elsewhere: a file server goes away, and the call that asks for one of its files does not return for hours; the
one loop that made it stands still, and with it every other folder, the status and the stop; or a stale handle is
taken for an empty directory, or ends the program.

Here each folder has threads of its own. While one hangs the others go on, ``status`` answers, and a stop ends in
time. What answers with ESTALE, EIO or ENOTCONN is unavailable, in the system's words, and is there again by itself
once it answers; nothing in it is taken for deleted.
"""

import errno
import json
import os
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from identifai_watch.delivery.order import FOLDER_TROUBLE
from identifai_watch.errors import Exit
from tests.console import at
from tests.fuse import broken_mount
from tests.harness import House, house, wait_for
from tests.hung import hung_mount
from tests.watching import folders, picture, sha256

BROKEN = {"stale": errno.ESTALE, "failing": errno.EIO, "unconnected": errno.ENOTCONN}


def reported(home: House) -> dict[str, dict[str, Any]]:
    """Return what ``status`` says of each folder, by name."""
    document = json.loads(at(home, "status", "--json").out)
    return {folder["name"]: folder for folder in document["folders"]}


def told(home: House, event: str) -> set[str]:
    """Return the folders that the log tells something of."""
    return {line["folder"] for line in home.logged() if line["event"] == event}


def test_what_hangs_or_is_broken_stops_nobody_else(tmp_path: Path) -> None:
    """One mount hangs, four answer with errors: others are judged, all is told, nothing is gone, the stop ends with 0."""
    quick = {"settle_seconds": 0.2, "rescan_seconds": 0.3, "existing": "judge"}
    with house(tmp_path) as home, hung_mount(tmp_path / "hung"), ExitStack() as mounts:
        often = {"rescan_seconds": 0.3}
        alive = folders(home, healthy=often, nested=often, **{name: {} for name in BROKEN})
        hung = {"path": str(tmp_path / "hung"), "name": "hung", "events": "off"}
        home.more = {"folder": [*alive, quick | hung]}
        known = [picture(tmp_path / "stale" / "known.png"), picture(tmp_path / "nested" / "in" / "deep.png")]
        with home.process():
            for path in known:
                home.sidecar(path)
        mounts.enter_context(broken_mount(tmp_path / "nested" / "in", errno.EIO))
        for name, error in BROKEN.items():
            mounts.enter_context(broken_mount(tmp_path / name, error))
        with home.process() as process:
            wait_for(lambda: told(home, "directory cannot be listed"), "a mount inside a folder is broken")
            home.sidecar(picture(tmp_path / "healthy" / "x.png"))  # which takes longer than several scans
            wait_for(lambda: told(home, "folder unavailable") >= set(BROKEN), "the broken ones are told")
            status = wait_for(lambda: _status_with_broken(home), "status shows them")
            assert "ok" == status["healthy"]["health"]
            for name, error in BROKEN.items():
                assert os.strerror(error) in status[name]["reason"]
            wait_for(lambda: {"delivered"} == set(states(home).values()), "nothing is gone")
            mounts.close()
            wait_for(lambda: told(home, "folder available again") >= set(BROKEN), "they are back", 120)
            home.sidecar(picture(tmp_path / "stale" / "new.png"))
            process.send_signal(signal.SIGTERM)
            assert Exit.OK == process.wait(20)
        charged = [submission.sha256 for submission in home.simulator.state.charged]
        names = ("known.png", "in/deep.png", "x.png", "new.png")
        assert sorted(sha256(Path(name).name) for name in names) == sorted(charged)
        assert dict.fromkeys(names, "delivered") == states(home)


def states(home: House) -> dict[str, str]:
    """Return how each file that the ledger knows stands, by its path."""
    return {os.fsdecode(line.file.path): str(line.file.state) for line in home.lines()}


def _status_with_broken(home: House) -> dict[str, dict[str, Any]] | None:
    found = reported(home)
    return found if all(found[name]["health"] == "unavailable" for name in BROKEN) else None


def test_a_delivery_that_such_an_error_meets_is_the_folder_s_matter() -> None:
    """The numbers that a broken mount answers with set the folder aside, not the file that met them."""
    assert set(BROKEN.values()) <= FOLDER_TROUBLE
