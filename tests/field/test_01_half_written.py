"""A file is taken while it is still being written, and the half of it is judged as if it were all.

Elsewhere a closed descriptor, a size that stands still or an age was the proof that a writer had finished: scans broke off,
recordings were transcoded without their end, and the rest was never looked at again. identifai-watch wants several
signs at once, quiet, equal samples and nobody who has the file open for writing, and looks at the container:
one that says there is more to come is waited for, and never refused.
"""

import hashlib
import os
from pathlib import Path

from identifai_watch.daemon import Daemon
from identifai_watch.simulator import Endpoint
from tests.field.clock import Clock
from tests.harness import MEDIA, House, house, wait_for
from tests.watching import content, intake, picture

QUICK = {"settle_seconds": 0.1, "rescan_seconds": 0.5}
"""Scans name what is written again and again, as well as events do."""

BROKEN = ("sample.jpg", "sample.png", "sample.mp4", "sample.wav", "sample.webp", "sample.mkv")
"""Containers whose end can be told to be missing."""


def let_others_pass(home: House, *names: str) -> None:
    """Have whole files sent one after another, each of which settles meanwhile: time enough for a mistake."""
    for name in names:
        picture(home.drop / name)
        wait_for(lambda name=name: hashed(content(name)) in posted(home), f"{name} is sent")  # type: ignore[misc] - bound at once


def posted(home: House) -> list[str]:
    """Return the hashes of all that was charged."""
    return sorted(one.sha256.hex() for one in home.simulator.state.charged)


def hashed(whole: bytes) -> str:
    """Return the hash of a content."""
    return hashlib.sha256(whole).hexdigest()


def test_what_somebody_has_open_for_writing_is_not_even_hashed(tmp_path: Path) -> None:
    """A writer who pauses, two of whom one has closed, and space taken beforehand: each is judged whole, and once."""
    sound = (MEDIA / "sample-plain.mp3").read_bytes()
    twice, reserved = content("by two"), content("taken beforehand" + "." * 5000)
    with house(tmp_path, folder=QUICK) as home, home.process():
        slow, shared, space = (home.drop / name for name in ("slow.mp3", "shared.png", "space.png"))
        with (
            slow.open("wb", buffering=0) as pausing,
            shared.open("wb", buffering=0) as staying,
            space.open("wb", buffering=0) as filling,
        ):
            pausing.write(sound[:1000])
            with shared.open("r+b", buffering=0) as leaving:
                leaving.write(twice[:-3])  # a whole picture already, and its writer closes it
            os.posix_fallocate(filling.fileno(), 0, len(reserved))
            filling.write(reserved[:-5000])  # likewise, at its full size from the beginning to the end
            let_others_pass(home, "one.png", "two.png", "three.png")
            assert 3 == home.simulator.state.arrived(Endpoint.UPLOAD)
            assert {b"one.png", b"two.png", b"three.png"} == {line.file.path for line in home.lines()}

            pausing.write(sound[1000:])
            staying.seek(len(twice) - 3)
            staying.write(twice[-3:])
            filling.write(reserved[-5000:])
        expected = {slow: sound, shared: twice, space: reserved}
        for path, whole in expected.items():
            sidecar = home.sidecar(path)
            assert hashed(whole) == sidecar["file"]["sha256"] == sidecar["response"]["hash"]
        charged = posted(home)
    others = [content(name) for name in ("one.png", "two.png", "three.png")]
    assert sorted(hashed(whole) for whole in [*expected.values(), *others]) == charged


def test_a_container_that_breaks_off_is_waited_for(tmp_path: Path) -> None:
    """Nobody has it open, it lies still, and yet there is more to come: when that comes, the whole is judged once."""
    clock = Clock()
    with house(tmp_path, folder=QUICK) as home, home.daemon(clock=clock) as daemon:
        whole = {name: (MEDIA / name).read_bytes() for name in BROKEN}
        for name, found in whole.items():
            (home.drop / name).write_bytes(_first_part(found))
        let_others_pass(home, "one.png", "two.png", "three.png")
        for name in BROKEN:
            assert "more to come" in waits(daemon)[name]
        assert 3 == home.simulator.state.arrived(Endpoint.UPLOAD)

        for name, found in whole.items():
            with (home.drop / name).open("ab") as late:
                late.write(found[len(_first_part(found)) :])
        clock.hasten(daemon, 20)  # what was silent so long has to be silent for twice as long now
        for name, found in whole.items():
            assert hashed(found) == home.sidecar(home.drop / name)["file"]["sha256"]
        assert 3 + len(BROKEN) == len(posted(home)) == home.simulator.state.arrived(Endpoint.UPLOAD)


def test_a_container_that_stays_broken_is_not_refused_for_it(tmp_path: Path) -> None:
    """Sixty seconds after its last change it is taken as it is, and identifAI says what it thinks of it."""
    clock = Clock()
    with house(tmp_path, folder=QUICK) as home, home.daemon(clock=clock) as daemon:
        broken = {name: _first_part((MEDIA / name).read_bytes()) for name in BROKEN}
        for name, found in broken.items():
            (home.drop / name).write_bytes(found)
        wait_for(
            lambda: len(BROKEN) == sum("more to come" in why for why in waits(daemon).values()),
            "all are known to be broken",
        )
        assert 0 == home.simulator.state.arrived(Endpoint.UPLOAD)
        clock.wind(daemon, 61)
        for name, found in broken.items():
            sidecar = home.sidecar(home.drop / name)
            assert hashed(found) == sidecar["file"]["sha256"]
            assert sidecar["verdict"] is not None
        assert sorted(map(hashed, broken.values())) == posted(home)


def waits(daemon: Daemon) -> dict[str, str]:
    """Return what settles, and why it waits."""
    one = intake(daemon)
    return {os.fsdecode(path): why for path, why in one.growing(one._shift.clock())}


def _first_part(whole: bytes) -> bytes:
    """Return what a copy has written when it breaks off: never the index of a video, which comes last."""
    return whole[: min(len(whole) * 6 // 10, whole.find(b"moov") - 4 if b"moov" in whole else len(whole))]
