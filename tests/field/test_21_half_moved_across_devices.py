"""Row 21: a move to another file system is cut short half way.

As met elsewhere: across file systems a move is a copy and a removal. A power cut, a full disk or a kill in between
leaves half a file under the final name, which passes for the whole; or the source is taken away before its copy is
on the disk; or both stay, and the next pass works on the file once more.

Here the copy is written under a hidden name beside its destination, synced, read back, and named last; only then the
source goes. The destination is in the ledger before anything is touched, so that a start after a kill finishes what
was begun: one file, whole, with one sidecar, and nothing hidden is left.
"""

import hashlib
import shutil
from pathlib import Path

from identifai_watch.core.model import Label
from identifai_watch.simulator import Script, Scripted
from tests.devices import other_device
from tests.harness import SUFFIX, House, house, wait_for

HUMANS = Script(verdicts=(Scripted(classification=Label.HUMAN, unknown=False),))
SIZE = 150_000_000
"""Bytes whose copying lasts long enough to be met in its midst."""


def kill_while_it_copies(home: House, place: Path) -> None:
    """Start the daemon, and kill it while it writes to the other file system."""
    left = {path: path.stat().st_ino for path in place.glob(".identifai-*")}

    def is_begun() -> bool:
        return any(left.get(path) != path.stat().st_ino for path in place.glob(".identifai-*"))

    with home.process() as process:
        wait_for(is_begun, "a copy has begun", 90)
        process.kill()
        process.wait()


def test_what_a_kill_left_half_moved_is_finished(tmp_path: Path) -> None:
    """Killed twice while the copy is written, then once it is named and the source still there: it ends in one file."""
    with other_device(tmp_path) as elsewhere:
        places = {name: str(elsewhere / name) for name in ("human", "artificial", "uncertain", "rejected")}
        settings = {"settle_seconds": 0.2, "rescan_seconds": 0.3, "action": "move"} | places
        with house(tmp_path, HUMANS, folder=settings) as home:
            place = elsewhere / "human"
            path = home.put("sample.webm", "clip.webm", extra=b"x" * SIZE)
            sha256, whole = hashlib.sha256(path.read_bytes()).digest(), path.stat()
            for _ in range(2):
                kill_while_it_copies(home, place)
                assert sha256 == hashlib.sha256(path.read_bytes()).digest()
                assert not (place / path.name).exists()
                assert 1 == len(list(place.glob(".identifai-*")))
            # What the dead process would have done next, and no more.
            (hidden,) = place.glob(".identifai-*")
            shutil.copy2(path, hidden)
            hidden.rename(place / path.name)
            with home.process():
                wait_for(lambda: not path.exists(), "the source has gone", 60)
                wait_for(lambda: home.lines()[0].file.lies_at, "it is delivered")
            assert ["clip.webm", f"clip.webm{SUFFIX}"] == sorted(one.name for one in place.iterdir())
            assert sha256 == hashlib.sha256((place / path.name).read_bytes()).digest()
            assert whole.st_mtime_ns == (place / path.name).stat().st_mtime_ns
            assert [] == list(home.drop.iterdir())
            assert [sha256] == [submission.sha256 for submission in home.simulator.state.charged]
            assert 1 == home.simulator.state.arrived("upload")
