"""A file is written under a working name and then gets its final one, and that is missed.

Elsewhere only a creation or a close was listened to, so that every upload over FTP, every download and every rsync was never
seen, or was taken under a name that was gone a moment later. Here the destination of a rename is a candidate, what
has a working name is none, and a rename over a file that was judged is a new file.
"""

from pathlib import Path

import pytest

from identifai_watch.simulator import Endpoint
from tests.field.seen import said
from tests.harness import SUFFIX, house, wait_for
from tests.watching import content, picture, sha256

BY_EVENTS = {"settle_seconds": 0.1, "rescan_seconds": 600.0}
BY_SCANS = {"settle_seconds": 0.1, "rescan_seconds": 0.2, "events": "off"}

WORKING = {
    "ftp.png": "ftp.png.part",
    "browser.png": "browser.png.crdownload",
    "firefox.png": "firefox.xyz.png.part",
    "sftp.png": "sftp.png.filepart",
    "temporary.png": "temporary.png.tmp",
    "rsync.png": ".rsync.png.Xq3f9Z",
    "cloud.png": "cloud.png.ocTransferId1234",
    "deep/down.png": "deep/down.png.partial",
}


@pytest.mark.parametrize("how", [BY_EVENTS, BY_SCANS], ids=["events", "scans"])
def test_a_working_name_is_left_alone_and_the_final_one_is_judged(
    tmp_path: Path, how: dict[str, object]
) -> None:
    """Under every program's own working name it is whole already, and waits for its rename; then it is sent once."""
    with house(tmp_path, folder=how) as home, home.process():
        for final, working in WORKING.items():
            picture(home.drop / working, final)
        home.sidecar(picture(home.drop / "whole.png"))  # it came later, and settles as long
        assert 1 == home.simulator.state.arrived(Endpoint.UPLOAD)
        for final, working in WORKING.items():
            (home.drop / working).rename(home.drop / final)
        for final in WORKING:
            assert sha256(final).hex() == home.sidecar(home.drop / final)["file"]["sha256"]
        picture(tmp_path / "elsewhere.tmp", "moved in").rename(home.drop / "moved in.png")
        home.sidecar(home.drop / "moved in.png")
        names = {path.name for path in home.drop.rglob("*" + SUFFIX)}
        assert len(WORKING) + 2 == len(names) == home.simulator.state.arrived(Endpoint.UPLOAD)
        assert len(WORKING) + 2 == len(home.simulator.state.charged)


def test_a_rename_over_a_judged_file_is_a_new_file(tmp_path: Path) -> None:
    """As rsync and most editors save: again and again, and each time with a verdict of its own."""
    with house(tmp_path, folder=BY_EVENTS) as home, home.process():
        path = picture(home.drop / "a.png", "version 0")
        home.sidecar(path)
        for version in range(1, 4):
            saved = home.drop / f".a.png.{version}"
            saved.write_bytes(content(f"version {version}"))
            saved.rename(path)
            expected = sha256(f"version {version}").hex()
            wait_for(
                lambda expected=expected: home.sidecar(path)["file"]["sha256"] == expected, "it is judged"
            )  # type: ignore[misc] - bound at once
        assert 4 == len(home.simulator.state.charged)
        assert [] == said(home, "bug")
