"""Row 17: the file's own time is old, zero, before 1970, or lies in the future.

As met elsewhere: copies that keep times, cameras with a dead clock and archives that are unpacked bring files that
are older than the last pass or not yet born. Whoever asks for what is newer than something never sees them; whoever
counts the age of a file waits for ever, or not at all; and a year that a date cannot hold ends the whole pass.

Here times are compared for equality only, and quiet is counted by our own clock. Such a file is judged as soon as
any other; its sidecar says when it was modified, or null where no calendar has that year; it counts as the same file
at each later scan and start; and only its being changed has it judged anew.
"""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from tests.harness import House, house, wait_for
from tests.watching import picture, sha256

QUICK = {"settle_seconds": 0.2, "rescan_seconds": 0.3}
TIMES = {
    "zero": (0, "1970-01-01T00:00:00.000000Z"),
    "one-second": (1, "1970-01-01T00:00:01.000000Z"),
    "before-1970": (-86_400, "1969-12-31T00:00:00.000000Z"),
    "oldest": (-(2**31), "1901-12-13T20:45:52.000000Z"),
    "1980": (315_532_800, "1980-01-01T00:00:00.000000Z"),
    "2038": (2**31, "2038-01-19T03:14:08.000000Z"),
    "2100": (4_102_444_800, "2100-01-01T00:00:00.000000Z"),
    "2262": (9_223_372_036, "2262-04-11T23:47:16.000000Z"),
    "2300": (10_413_792_000, None),
    "2400": (13_569_465_600, None),
}
"""Seconds since 1970, and what the sidecar is to say; what this file system cannot keep is left out."""


def dated(path: Path, seconds: int) -> bool:
    """Write a picture of this time; tell whether the file system keeps it."""
    hidden = picture(path.with_name(f".{path.name}"), path.name)
    os.utime(hidden, (seconds, seconds))
    if hidden.stat().st_mtime_ns != seconds * 1_000_000_000:
        hidden.unlink()
        return False
    hidden.rename(path)
    return True


def paid(home: House) -> list[bytes]:
    """Return the hashes that were paid for, sorted."""
    return sorted(submission.sha256 for submission in home.simulator.state.charged)


def test_whatever_its_time_a_file_is_judged_once(tmp_path: Path) -> None:
    """From 1901 to 2400: each is judged with its own time in the sidecar, and neither a scan nor a start does so again."""
    with house(tmp_path, folder=QUICK) as home:
        with home.process():
            kept = [name for name, (seconds, _) in TIMES.items() if dated(home.drop / f"{name}.png", seconds)]
            assert {"zero", "1980", "2038"} <= set(kept)
            for name in kept:
                assert TIMES[name][1] == home.sidecar(home.drop / f"{name}.png")["file"]["modified_at"]
        with home.process():
            for name in ("after.png", "after that.png"):
                home.sidecar(picture(home.drop / name))
        names = [*(f"{name}.png" for name in kept), "after.png", "after that.png"]
        assert sorted(map(sha256, names)) == paid(home)
        assert len(names) == home.simulator.state.arrived("upload")
        assert [] == [line for line in home.logged() if line["level"] in {"error", "critical"}]


def test_copies_that_keep_their_times_are_noticed_and_replacements_too(tmp_path: Path) -> None:
    """What ``cp -p`` brings is older than the daemon, and what ``cp -p`` puts over it may be older still."""
    older, old = tmp_path / "older.png", tmp_path / "old.png"
    for path, year in ((older, 2001), (old, 2002)):
        picture(path)
        then = datetime(year, 1, 1, tzinfo=UTC).timestamp()
        os.utime(path, (then, then))
    with house(tmp_path, folder=QUICK) as home, home.process():
        path = home.drop / "x.png"
        subprocess.run(["cp", "-p", old, path], check=True)
        assert "2002-01-01T00:00:00.000000Z" == home.sidecar(path)["file"]["modified_at"]
        subprocess.run(["cp", "-p", older, path], check=True)
        is_older = sha256("older.png").hex()
        wait_for(lambda: home.sidecar(path)["file"]["sha256"] == is_older, "the older content is judged")
        assert "2001-01-01T00:00:00.000000Z" == home.sidecar(path)["file"]["modified_at"]
        assert sorted([sha256("old.png"), sha256("older.png")]) == paid(home)
