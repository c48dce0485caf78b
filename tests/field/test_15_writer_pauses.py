"""A writer pauses for longer than the delay, and what it has written so far is taken for the file.

Elsewhere the delay was one number for every camera, scanner and download: too short for some, and then the half of a file was
processed, and the other half never. Here the delay grows with the longest pause that was seen between two writes of
that file; and should a file be judged and written on all the same, it starts again, gets a verdict of its own,
and the old one is marked as superseded.
"""

import hashlib
from pathlib import Path

from identifai_watch.candidates import Entry
from identifai_watch.core.model import FileState
from identifai_watch.daemon import Daemon
from identifai_watch.simulator import Endpoint, Script
from tests.field.clock import Clock
from tests.harness import MEDIA, House, house, wait_for
from tests.watching import in_loop, intake, lines, picture, scan

SETTLE = 5
PAUSES = (4, 7, 13, 25)
"""Seconds after each write: as long as that is less than twice the longest before it, or the delay, nothing is whole."""

SOUND = (MEDIA / "sample-plain.mp3").read_bytes()
"""Of such a file nothing tells that there is more to come."""


def test_the_delay_grows_with_the_pauses_of_the_writer(tmp_path: Path) -> None:
    """It opens, writes, closes and pauses: 4 s, then 7, which is longer than the delay, then 13; none of it is sent."""
    clock = Clock(speed=0)
    slowly = {"settle_seconds": float(SETTLE), "rescan_seconds": 600.0}
    with house(tmp_path, folder=slowly) as home, home.daemon(clock=clock) as daemon:
        scan(daemon)
        path = home.drop / "recording.mp3"
        parts = (SOUND[:500], SOUND[500:1000], SOUND[1000:1500], SOUND[1500:])
        for part, pause in zip(parts, PAUSES, strict=True):
            clock.wind(daemon, 0.01)  # no write is at the very instant of a look
            with path.open("ab") as writer:
                writer.write(part)
            (home.drop / f"{pause}.png").touch()  # its events come after those of the write
            wait_for(lambda pause=pause: noticed(daemon, f"{pause}.png"), "all is noticed")  # type: ignore[misc] - bound at once
            assert clock() == noticed(daemon, "recording.mp3").candidate.changed_at
            for _ in range(pause):
                clock.wind(daemon, 1)
                in_loop(daemon, lambda _: None)
                wait_for(lambda: in_loop(daemon, lambda _: not is_looked_at(daemon)), "it was looked at")
        assert 0 == home.simulator.state.arrived(Endpoint.UPLOAD)
        assert [] == lines(daemon)
        clock.hasten(daemon, 1)  # and now twice the longest pause is over
        assert hashlib.sha256(SOUND).hexdigest() == home.sidecar(path)["file"]["sha256"]
        assert 1 == len(home.simulator.state.charged)


def test_what_is_written_on_after_its_verdict_is_judged_anew(tmp_path: Path) -> None:
    """The old verdict is superseded, in the ledger and in the sidecar, and what was paid was two contents."""
    with house(tmp_path, folder={"settle_seconds": 0.1, "rescan_seconds": 600.0}) as home, home.process():
        path = home.drop / "recording.mp3"
        path.write_bytes(SOUND[:1000])
        before = home.sidecar(path)
        with path.open("ab") as writer:
            writer.write(SOUND[1000:])
        whole = hashlib.sha256(SOUND).hexdigest()
        wait_for(lambda: home.sidecar(path)["file"]["sha256"] == whole, "it is judged anew")
        after = home.sidecar(path)
        wait_for(
            lambda: len(states(home)) == 2 and FileState.WAITING not in states(home).values(),
            "it is delivered",
        )
        assert {
            before["file"]["sha256"]: FileState.SUPERSEDED,
            after["file"]["sha256"]: FileState.DELIVERED,
        } == states(home)
        assert before["analysis"]["identifier"] != after["analysis"]["identifier"]
        assert 2 == len(home.simulator.state.charged)


def test_what_is_written_on_while_it_is_judged_gets_no_old_verdict(tmp_path: Path) -> None:
    """Its first part is at identifAI when the rest comes: the verdict of that part is never laid beside the whole."""
    with house(tmp_path, Script(delay=3600), folder={"settle_seconds": 0.1}) as home, home.process():
        path = home.drop / "recording.mp3"
        path.write_bytes(SOUND[:1000])
        wait_for(lambda: len(home.simulator.state.charged) == 1, "the first part is sent")
        with path.open("ab") as writer:
            writer.write(SOUND[1000:])
            writer.flush()
            home.simulator.change(delay=0)
            home.sidecar(picture(home.drop / "meanwhile.png"))
            assert {"meanwhile.png"} == set(home.sidecars())
        assert hashlib.sha256(SOUND).hexdigest() == home.sidecar(path)["file"]["sha256"]
        assert 3 == len(home.simulator.state.charged)


def noticed(daemon: Daemon, name: str) -> Entry | None:
    """Return what is known of a file on its way in."""
    return intake(daemon)._arrivals.candidates.get(name.encode())


def is_looked_at(daemon: Daemon) -> bool:
    """Tell whether a look at the recording is under way."""
    entry = noticed(daemon, "recording.mp3")
    return entry is not None and entry.is_looked_at


def states(home: House) -> dict[str, FileState]:
    """Return how each version of the recording stands, by its hash."""
    return {(line.file.sha256 or b"").hex(): line.file.state for line in home.lines()}
