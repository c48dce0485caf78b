"""Row 19: a file changes or disappears while it is hashed or sent.

As met elsewhere: a transfer that reads a file while somebody saves it sends half of one version and half of the
next, and it is paid for; or the hash belongs to one version and the bytes to another; or the pass ends with an error
because a file that was listed is no longer there.

Here hash and upload are each read from one descriptor that is asked before and after whether it still is the same
version, and the bytes are hashed again as they are sent. The closing boundary of the upload leaves only if all of it
agrees: else the connection is cut, nothing is charged, and what lies there now is judged anew. A file that is gone
is gone, and costs nothing.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from identifai_watch.core.model import FileState
from identifai_watch.simulator import Endpoint, Fault, FaultKind, Script
from tests.harness import MEDIA, House, house, wait_for

QUICK = {"settle_seconds": 0.2, "rescan_seconds": 0.3}
LARGE = 30_000_000
"""Bytes that no buffer on the way takes in: the upload stands still with most of them unread."""

SLOW = Script(faults=(Fault(kind=FaultKind.SLOW_BODY, match=Endpoint.UPLOAD, seconds=1),))
"""Takes the rest of the first upload a second later: time enough for the file to change."""

LONG = 1_000_000_000
"""Bytes of a file of holes: it takes no room, and long enough to read."""

SMALL = (MEDIA / "sample.mp4").read_bytes()


def charged(home: House) -> list[bytes]:
    """Return the hashes that were paid for."""
    return [submission.sha256 for submission in home.simulator.state.charged]


def edit(path: Path) -> None:
    """Change bytes in place, which leaves the size as it is."""
    with path.open("r+b") as file:
        file.seek(LARGE // 2)
        file.write(b"edited")


def replace(path: Path) -> None:
    """Put another file of another size over it, in one step."""
    other = path.with_name(".new")
    other.write_bytes(SMALL + b"replaced")
    other.rename(path)


@pytest.mark.parametrize("change", [edit, replace])
def test_what_changes_while_it_is_sent_is_judged_as_what_it_is(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """The upload under way is never completed; only the new content is charged, once, and its sidecar says so."""
    with house(tmp_path, SLOW, folder=QUICK) as home, home.process():
        path = home.put("sample.png", "x.png", extra=bytes(LARGE))
        assert home.simulator.state.wait_for(lambda state: state.arrived(Endpoint.UPLOAD) == 1, seconds=60)
        change(path)
        now = hashlib.sha256(path.read_bytes()).digest()
        sidecar = home.sidecar(path, 90)
        assert now.hex() == sidecar["file"]["sha256"] == sidecar["response"]["hash"]
        assert [now] == charged(home)


def test_what_disappears_while_it_is_sent_costs_nothing(tmp_path: Path) -> None:
    """The upload is cut, no sidecar is left behind, the file is gone; the daemon goes on with the next."""
    with house(tmp_path, SLOW, folder=QUICK) as home, home.process():
        path = home.put("sample.png", "x.png", extra=bytes(LARGE))
        assert home.simulator.state.wait_for(lambda state: state.arrived(Endpoint.UPLOAD) == 1, seconds=60)
        path.unlink()
        wait_for(lambda: [line.file.state for line in home.lines()] == [FileState.GONE], "it is gone", 60)
        other = home.put("sample.png")
        home.sidecar(other)
        assert ["sample.png"] == list(home.sidecars())
        assert [hashlib.sha256(other.read_bytes()).digest()] == charged(home)


def is_read(process: int, path: Path) -> bool:
    """Tell whether a process is in the midst of reading a file from its beginning."""
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        try:
            if descriptor.readlink() == path:
                info = Path(f"/proc/{process}/fdinfo/{descriptor.name}").read_text()
                return int(info.split()[1]) > 0  # "pos:", which looks leave at 0
        except FileNotFoundError:
            continue
    return False


@pytest.mark.parametrize("is_taken_away", [False, True])
def test_what_changes_or_disappears_while_it_is_hashed_is_not_sent(
    tmp_path: Path, *, is_taken_away: bool
) -> None:
    """Caught in the midst of being read: of the old content nothing is sent, and what lies there next is judged."""
    with house(tmp_path, folder=QUICK) as home, home.process() as process:
        path = home.drop / "clip.webm"
        with path.open("wb") as file:
            file.write((MEDIA / "sample.webm").read_bytes())
            file.truncate(LONG)
        wait_for(lambda: is_read(process.pid, path), "it is being hashed", 60)
        if is_taken_away:
            path.unlink()
        other = path.with_name("next.mp4" if is_taken_away else path.name)
        other.write_bytes(SMALL)
        sha256 = hashlib.sha256(SMALL).digest()
        assert sha256.hex() == home.sidecar(other, 60)["file"]["sha256"]
        assert [sha256] == charged(home)
        assert 1 == home.simulator.state.arrived(Endpoint.UPLOAD)
        assert [other.name] == list(home.sidecars())
        assert {sha256.hex()} == {line["sha256"] for line in home.logged() if line["event"] == "admitted"}
