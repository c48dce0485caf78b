"""A destination on another file system: a power cut in the midst of a large copy costs nothing."""

import hashlib
from pathlib import Path

from tests.harness import MEDIA, SUFFIX, House, house, wait_for
from tests.namespaces import mount_memory, own_mounts

LARGE = 120_000_000
"""Bytes that are not copied in an instant."""


def large(home: House, name: str) -> bytes:
    """Drop a large video, and return its content; what follows a video's end is nothing to its format."""
    whole = (MEDIA / "sample.mp4").read_bytes().ljust(LARGE, b"\0")
    part = home.drop / f"{name}.part"
    part.write_bytes(whole)
    part.rename(home.drop / name)
    return whole


def lying(place: Path) -> set[str]:
    """Return the names of all files below a place, hidden or not."""
    return {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}


def is_under_way(disk: Path) -> bool:
    """Tell whether a part of the video lies on the other disk, under a hidden name; a sidecar is far smaller."""
    try:
        return any(path.stat().st_size > LARGE // 100 for path in disk.glob(".identifai-*"))
    except FileNotFoundError:  # it was named meanwhile
        return False


def test_killed_in_the_midst_of_a_copy_to_another_file_system(tmp_path: Path) -> None:
    """The next start leaves one whole copy, its sidecar beside it and beside the file, nothing hidden, and pays nothing.

    What becomes of a move is shown in tests/field/test_21_half_moved_across_devices.py.
    """
    disk = tmp_path / "disk"
    places = {outcome: str(disk) for outcome in ("human", "artificial", "uncertain", "rejected")}
    with house(tmp_path, folder={"action": "copy"} | places) as home, own_mounts():
        mount_memory(disk, "disk")
        with home.process() as process:
            whole = large(home, "large.mp4")
            wait_for(lambda: is_under_way(disk), "it is being copied")
            process.kill()
            process.wait()
        assert not (disk / "large.mp4").exists()
        assert whole == (home.drop / "large.mp4").read_bytes()
        with home.process():
            home.sidecar(disk / "large.mp4", 60)
            wait_for(lambda: all(line.file.delivered_at for line in home.lines()), "it is delivered")
        assert sha256(whole) == sha256((disk / "large.mp4").read_bytes())
        both = {"large.mp4", f"large.mp4{SUFFIX}"}
        assert both == lying(disk) == lying(home.drop)
        assert 1 == len(home.simulator.state.charged) == len(home.lines())


def sha256(content: bytes) -> str:
    """Return what tells contents apart, in few words."""
    return hashlib.sha256(content).hexdigest()
