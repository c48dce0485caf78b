"""Row 24: a new file has the inode of one that was deleted.

As met elsewhere: whoever knows a file by its inode, or by inode and size, takes the next file that the file system
puts there for the old one: it is skipped as known, or its lines are read from the middle.

Here the inode only helps to tell one version from the next. What a file is, is its SHA-256: another content under a
reused inode, even of the same name, size and time, is another file, hashed and judged as such.
"""

import os
from pathlib import Path

import pytest

from tests.harness import House, house, wait_for
from tests.watching import picture, sha256

QUICK = {"settle_seconds": 0.2, "rescan_seconds": 0.3}
TRIES = 2000


def deleted_and_made(path: Path, new: Path, mark: str) -> None:
    """Delete a file and write another until it has the same inode; give it the time of the old one as well."""
    old = path.stat()
    path.unlink()
    for number in range(TRIES):
        picture(new, mark)
        if new.stat().st_ino == old.st_ino:
            os.utime(new, ns=(old.st_atime_ns, old.st_mtime_ns))
            assert (old.st_size, old.st_mtime_ns) == (new.stat().st_size, new.stat().st_mtime_ns)
            return
        new.rename(
            new.with_name(f".kept-{number}")
        )  # its inode is taken from now on, until the old one's comes
    pytest.skip(f"this file system gives no inode twice, in {TRIES} tries")


def judged_as(home: House, path: Path, mark: str) -> bool:
    """Tell whether the sidecar of a file speaks of this content."""
    return bool(home.sidecar(path)["file"]["sha256"] == sha256(mark).hex())


@pytest.mark.parametrize("name", ["a.png", "b.png"])
def test_another_content_in_a_reused_inode_is_another_file(tmp_path: Path, name: str) -> None:
    """Under the old name and under a new one: same inode, size and time, but its own verdict, and two are paid."""
    with house(tmp_path, folder=QUICK) as home, home.process():
        path = picture(home.drop / "a.png", "one")
        home.sidecar(path)
        new = home.drop / name
        deleted_and_made(path, new, "two")
        wait_for(lambda: judged_as(home, new, "two"), "the new content is judged")
        charged = [submission.sha256 for submission in home.simulator.state.charged]
        assert [sha256("one"), sha256("two")] == charged
