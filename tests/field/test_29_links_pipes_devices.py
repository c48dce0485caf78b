"""Row 29: links that loop or lead outside, FIFOs, sockets and devices.

As met elsewhere: a link to its own parent is walked for ever; a link to somewhere else has a stranger's file sent, or
the whole disk; a FIFO with a film's name is opened and never answers; a device is read until the memory is full.

Here every entry is looked at from outside first, and only regular files are opened, never through a link. What is
none is left alone, whatever it is called, and keeps nobody waiting.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.console import at
from tests.harness import SUFFIX, house
from tests.opens import counted
from tests.watching import picture, sha256

QUICK = {"settle_seconds": 0.2, "rescan_seconds": 0.3}


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """Give a directory beside the watched one, with a picture that is nobody's business."""
    return picture(tmp_path / "outside" / "secret.png").parent


def lay(drop: Path, outside: Path) -> list[Path]:
    """Lay links, a FIFO, a socket and devices; return them. Devices need a right that not everybody has."""
    drop.mkdir(exist_ok=True)
    inside = picture(drop / "inside.png")
    links = {
        "loop": drop,
        "up": drop.parent,
        "everything": Path("/"),
        "outside": outside,
        "secret.png": outside / "secret.png",
        "twin.png": inside,
        "dangling.mp4": drop / "nowhere.mp4",
        "itself.mp4": drop / "itself.mp4",
    }
    for name, target in links.items():
        (drop / name).symlink_to(target)
    os.mkfifo(drop / "pipe.mp4")
    os.mknod(drop / "socket.mp4", stat.S_IFSOCK | 0o600)
    with suppress(PermissionError):
        os.mknod(drop / "zero.mp4", stat.S_IFCHR | 0o600, os.makedev(1, 5))
        os.mknod(drop / "disk.mp4", stat.S_IFBLK | 0o600, os.makedev(7, 0))
    return [path for path in drop.iterdir() if path != inside]


def test_nothing_is_followed_and_nothing_blocks(tmp_path: Path, outside: Path) -> None:
    """Only what is a regular file is opened, charged and answered; the others are not even opened."""
    drop = tmp_path / "drop"
    strange = lay(drop, outside)
    with house(tmp_path, folder=QUICK) as home, counted(drop) as opens, counted(outside) as opened_outside:
        with home.process():
            for path in (drop / "inside.png", picture(drop / "sub" / "deep.png"), picture(drop / "late.png")):
                home.sidecar(path)
            # What was judged is a link now, to what was never meant to be.
            (drop / "late.png").unlink()
            (drop / "late.png").symlink_to(outside / "secret.png")
            home.sidecar(picture(drop / "last.png"))
            home.sidecar(picture(drop / "very last.png"))
            with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):  # nobody reads from it
                os.open(drop / "pipe.mp4", os.O_WRONLY | os.O_NONBLOCK)
        assert opens["inside.png"] > 2
        assert {} == {
            path.name: opens[path.name] for path in strange if opens[path.name] and path.is_symlink()
        }
        assert 0 == opens["zero.mp4"] == opens["disk.mp4"] == opens["socket.mp4"] == opens["pipe.mp4"]
        assert 0 == opened_outside["secret.png"]
        judged = {"inside.png", "deep.png", "late.png", "last.png", "very last.png"}
        assert {sha256(name) for name in judged} == {one.sha256 for one in home.simulator.state.charged}
        assert [] == [path for path in outside.iterdir() if path.name.endswith(SUFFIX)]
        assert {f"{path.name}{SUFFIX}" for path in strange}.isdisjoint(one.name for one in drop.iterdir())
        assert "a symbolic link" in at(home, "explain", drop / "twin.png").out
        assert "a FIFO" in at(home, "explain", drop / "pipe.mp4").out
