"""Folders: whatever way a file comes, it is found once, judged once, and left alone where that was asked for."""

import base64
import json
import os
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from identifai_watch import patrol as patrol_module
from identifai_watch.core.health import Health
from identifai_watch.core.model import AnalysisState, FileState
from identifai_watch.daemon import Daemon
from identifai_watch.ledger import Transaction
from identifai_watch.sentry import Mode
from identifai_watch.simulator import Endpoint
from tests.harness import SUFFIX, House, house, wait_for
from tests.watching import (
    admitted,
    folders,
    in_loop,
    intake,
    line,
    lines,
    order,
    picture,
    quiet,
    scan,
    sha256,
)

BY_EVENTS = {"settle_seconds": 0.1, "rescan_seconds": 600.0}
"""No scan but the first comes in time: what is found later, events have told of."""

SCANNED = {"settle_seconds": 0.1, "rescan_seconds": 600.0, "events": "off"}
"""Nothing is found but by the scans that the test asks for."""


def paid(home: House) -> int:
    """Return how many analyses were charged."""
    return len(home.simulator.state.charged)


def judged(home: House, within: Path | None = None) -> set[str]:
    """Return the names of the files that have a sidecar, by their paths below a folder."""
    top = home.drop if within is None else within
    found = os.walk(os.fsencode(top))
    names = {os.path.join(parent, name) for parent, _, files in found for name in files}  # noqa: PTH118 - bytes
    prefix = os.fsencode(top) + b"/"
    ours = {name.removeprefix(prefix) for name in names if name.endswith(SUFFIX.encode())}
    return {os.fsdecode(name).removesuffix(SUFFIX) for name in ours}


# How files come.


def test_every_way_into_a_folder_is_noticed(tmp_path: Path) -> None:
    """New, renamed, moved in with its directory, made with its directories, hard-linked: events tell of each."""
    outside = tmp_path / "outside"
    with house(tmp_path, folder=BY_EVENTS) as home, home.daemon() as daemon:
        assert Mode.EVENTS is scan_mode(daemon)
        picture(home.drop / "new.png")
        part = picture(home.drop / "renamed.png.part", "renamed")
        wait_for(lambda: line(daemon, "new.png"), "the part was noticed before it")
        part.rename(home.drop / "renamed.png")
        picture(outside / "moved-in.png").rename(home.drop / "moved-in.png")
        picture(outside / "tree" / "deep" / "one.png")
        picture(outside / "tree" / "two.png")
        (outside / "tree").rename(home.drop / "tree")
        picture(home.drop / "made" / "just" / "now" / "three.png")
        (home.drop / "linked.png").hardlink_to(picture(outside / "linked.png"))
        expected = {
            "new.png",
            "renamed.png",
            "moved-in.png",
            "tree/deep/one.png",
            "tree/two.png",
            "made/just/now/three.png",
            "linked.png",
        }
        wait_for(lambda: judged(home) >= expected, "every sidecar")
        assert expected == judged(home)
        assert {os.fsencode(name) for name in expected} == {each.file.path for each in lines(daemon)}
        assert len(expected) == paid(home)


def scan_mode(daemon: Daemon) -> Mode:
    """Return how changes are noticed, once the first scan was made."""
    scan(daemon)
    return intake(daemon).patrol.mode


def test_nothing_is_sent_before_its_writer_is_done(tmp_path: Path) -> None:
    """A file that is held open is not even hashed, however still it lies; what is sent is the whole of it."""
    with house(tmp_path, folder=BY_EVENTS) as home, home.daemon() as daemon:
        scan(daemon)
        slow = home.drop / "slow.png"
        whole = picture(tmp_path / "whole.png").read_bytes()
        with slow.open("wb", buffering=0) as writer:
            writer.write(whole[:100])
            wait_for(
                lambda: "somebody is writing to it" == waits(daemon).get("slow.png"), "its writer is noticed"
            )
            writer.write(whole[100:])
            home.sidecar(picture(home.drop / "meanwhile.png"))
            assert "somebody is writing to it" == waits(daemon)["slow.png"]
            assert 1 == home.simulator.state.arrived(Endpoint.UPLOAD)
            assert line(daemon, "slow.png") is None
        sidecar = home.sidecar(slow)
        assert sidecar["file"]["sha256"] == sidecar["response"]["hash"] == sha256("whole.png").hex()
        assert 2 == paid(home)


def waits(daemon: Daemon) -> dict[str, str]:
    """Return what settles, and why it waits."""
    one = intake(daemon)
    return {os.fsdecode(path): why for path, why in one.growing(one._shift.clock())}


def test_a_replaced_file_is_judged_anew_and_a_touched_one_is_not(tmp_path: Path) -> None:
    """Other bytes supersede the old row and its verdict; another time or mode costs a hash and nothing more."""
    with house(tmp_path, folder=BY_EVENTS) as home, home.daemon() as daemon:
        paths = [picture(home.drop / f"{name}.png", f"first {name}") for name in "abcdefgh"]
        for number, path in enumerate(paths):
            other = picture(tmp_path / "other.png", f"second {path.name}")
            home.sidecar(path)
            # While its delivery is not even over: what it ends with must not take the new file for the old one.
            if number % 2:
                other.replace(path)
            else:
                path.write_bytes(other.read_bytes())
        expected = [sha256(f"second {path.name}").hex() for path in paths]
        wait_for(
            lambda: expected == [home.sidecar(path)["file"]["sha256"] for path in paths],
            "all are judged anew",
        )
        quiet(daemon)
        states = [(each.file.state, each.file.sha256) for each in lines(daemon)]
        assert {sha256(f"first {name}") for name in "abcdefgh"} == {
            content for state, content in states if state is FileState.SUPERSEDED
        }
        assert {sha256(f"second {name}.png") for name in "abcdefgh"} == {
            content for state, content in states if state is FileState.DELIVERED
        }

        path = paths[0]
        before = home.sidecar(path)
        os.utime(path, (1, 1))
        path.chmod(0o640)
        scan(daemon)
        quiet(daemon)
        assert path.stat().st_ctime_ns == line(daemon, "a.png").file.fingerprint.ctime_ns
        assert 1_000_000_000 == line(daemon, "a.png").file.fingerprint.mtime_ns
        assert before["response"] == home.sidecar(path)["response"]
        assert 16 == len(lines(daemon)) == paid(home) == home.simulator.state.arrived(Endpoint.UPLOAD)


def test_a_file_that_changes_under_way_gets_no_verdict_but_its_own(tmp_path: Path) -> None:
    """What is written on while its verdict or its turn is awaited is not sent, and the old verdict not delivered."""
    with house(tmp_path, folder=BY_EVENTS) as home, home.daemon() as daemon:
        home.simulator.change(delay=3600)
        sent = picture(home.drop / "sent.png", "half")
        wait_for(lambda: paid(home) == 1, "it is sent")
        order(daemon, "pause")
        queued = picture(home.drop / "queued.png", "some")
        admitted(daemon, "queued.png")
        with sent.open("ab", buffering=0) as one, queued.open("ab", buffering=0) as two:
            one.write(b" and half")
            two.write(b" and more")
            home.simulator.change(delay=0)
            order(daemon, "resume")
            wait_for(lambda: line(daemon, "sent.png").file.failures, "the old verdict is not delivered")
            wait_for(lambda: line(daemon, "queued.png").analysis.failures, "the old content is not sent")
            assert set() == judged(home)
        assert sha256("half and half").hex() == home.sidecar(sent)["file"]["sha256"]
        assert sha256("some and more").hex() == home.sidecar(queued)["file"]["sha256"]
        quiet(daemon)
        assert sha256("some") not in {one.sha256 for one in home.simulator.state.charged}
        assert 3 == paid(home)


def test_a_file_that_is_taken_away_before_its_verdict_gets_it_when_it_is_back(tmp_path: Path) -> None:
    """A verdict without its file waits for it: nothing is written, nothing is stuck, nothing is paid again."""
    with house(tmp_path, folder=BY_EVENTS) as home, home.daemon() as daemon:
        home.simulator.change(delay=3600)
        path = picture(home.drop / "a.png")
        wait_for(lambda: paid(home) == 1, "it is sent")
        path.rename(tmp_path / "away.png")
        home.simulator.change(delay=0)
        wait_for(lambda: standing(daemon, "a.png")[0] is FileState.GONE, "it is gone")
        assert set() == judged(home)
        (tmp_path / "away.png").rename(path)
        assert sha256("a.png").hex() == home.sidecar(path)["file"]["sha256"]
        quiet(daemon)
        assert (FileState.DELIVERED, 0) == standing(daemon, "a.png")
        assert 1 == paid(home) == home.simulator.state.arrived(Endpoint.UPLOAD)


def test_a_scan_that_is_asked_for_during_another_is_made_after_it(tmp_path: Path) -> None:
    """Events that are lost while a scan is under way are made up for at once, not at the next turn."""
    held = {"existing": "hold", "existing_hold_above": 0}
    with house(tmp_path, folder=BY_EVENTS | held) as home, home.daemon() as daemon:
        patrol = intake(daemon).patrol

        def ask(_: Transaction) -> datetime | None:
            is_scanning = patrol._is_scanning
            patrol.rescan()
            return patrol._scan_began if is_scanning else None

        began = wait_for(lambda: in_loop(daemon, ask), "it is asked for during a scan")
        wait_for(lambda: patrol._scan_began > began, "another scan follows")


def test_the_scan_alone_finds_everything(tmp_path: Path) -> None:
    """With ``events = "off"`` nothing is watched, and what is new, changed or gone is found by scanning."""
    with house(tmp_path, folder=SCANNED) as home, home.daemon() as daemon:
        assert Mode.SCAN is scan_mode(daemon)
        picture(home.drop / "deep" / "a.png", "first")
        picture(home.drop / "b.png")
        scan(daemon)
        quiet(daemon)
        assert {"deep/a.png", "b.png"} == judged(home)
        picture(home.drop / "deep" / "a.png", "second")
        scan(daemon)
        quiet(daemon)
        assert sha256("second").hex() == home.sidecar(home.drop / "deep" / "a.png")["file"]["sha256"]
        assert 3 == paid(home)


def test_what_changed_while_the_daemon_was_down_is_found_at_its_start(tmp_path: Path) -> None:
    """New and replaced files are judged at the next start, however much of an archive is held; the rest is left."""
    held = {"existing": "hold", "existing_hold_above": 0}
    with house(tmp_path, folder=BY_EVENTS | held) as home:
        picture(home.drop / "archive.png")
        with home.daemon() as daemon:
            scan(daemon)
            home.sidecar(picture(home.drop / "stays.png"))
            home.sidecar(picture(home.drop / "changes.png", "before"))
        picture(home.drop / "new.png")
        picture(home.drop / "changes.png", "after")
        with home.daemon() as daemon:
            scan(daemon)
            wait_for(lambda: paid(home) == 4, "both are sent")
            quiet(daemon)
            assert {"stays.png", "changes.png", "new.png"} == judged(home)
            assert sha256("after").hex() == home.sidecar(home.drop / "changes.png")["file"]["sha256"]
            assert line(daemon, "archive.png").file.held
            assert not line(daemon, "new.png").file.backlog
        assert 4 == paid(home) == home.simulator.state.arrived(Endpoint.UPLOAD)


# What was there before.


def test_each_folder_treats_what_was_there_before_in_its_own_way(tmp_path: Path) -> None:
    """An archive is held, judged if it is small or that is asked for, or left; a held file is not even hashed."""
    with house(tmp_path) as home:
        home.more["folder"] = folders(
            home,
            held={"existing": "hold", "existing_hold_above": 2},
            few={"existing": "hold", "existing_hold_above": 3},
            judge={"existing": "judge"},
            ignore={"existing": "ignore"},
        )
        for name in ("held", "few", "judge", "ignore"):
            for number, mtime in ((1, 100), (2, 300), (3, 200)):
                os.utime(picture(tmp_path / name / f"{name}-{number}.png"), (mtime, mtime))
            (tmp_path / name / "notes.txt").write_text("no media")
        with home.daemon() as daemon:
            for name in ("held", "few", "judge", "ignore"):
                scan(daemon, name)
            home.sidecar(picture(tmp_path / "held" / "new.png"))
            home.sidecar(picture(tmp_path / "ignore" / "new.png"))
            quiet(daemon)
            assert {"new.png"} == judged(home, tmp_path / "held")
            assert {"few-1.png", "few-2.png", "few-3.png"} == judged(home, tmp_path / "few")
            assert {"judge-1.png", "judge-2.png", "judge-3.png"} == judged(home, tmp_path / "judge")
            assert {"new.png"} == judged(home, tmp_path / "ignore")
            resting = [line(daemon, f"held-{number}.png", "held").file for number in (1, 2, 3)]
            assert [(True, True, None)] * 3 == [(one.held, one.backlog, one.sha256) for one in resting]

            (tmp_path / "held" / "held-1.png").chmod(0o600)
            scan(daemon, "held")
            quiet(daemon)
            assert line(daemon, "held-1.png", "held").file.held, "another mode is no new file"

            assert {"released": 1} == order(daemon, "release", folder="held", node="here", limit=1)
            home.sidecar(tmp_path / "held" / "held-2.png")
            quiet(daemon)
            assert {"new.png", "held-2.png"} == judged(home, tmp_path / "held")
            assert {"released": 2} == order(daemon, "release")
            wait_for(lambda: len(judged(home, tmp_path / "held")) == 4, "all that was held is judged")
            assert 10 == paid(home)


def test_what_an_event_tells_of_during_the_first_scan_is_not_held(tmp_path: Path) -> None:
    """A new file is news, even while a large archive is still being looked through."""
    held = {"existing": "hold", "existing_hold_above": 0}
    with house(tmp_path, folder=BY_EVENTS | held) as home:
        for number in range(2500):
            (home.drop / f"{number:04}.png").touch()
        with home.daemon() as daemon:
            one = intake(daemon)
            wait_for(lambda: one.patrol.sentry._watch, "the watch is armed")
            path = picture(home.drop / "news.png")
            home.sidecar(path)
            scan(daemon)
            quiet(daemon)
            assert 2500 == sum(each.file.held for each in lines(daemon))
        assert 1 == paid(home)


# What is left alone.


@pytest.mark.parametrize("settings", [BY_EVENTS, SCANNED], ids=["events", "scan"])
def test_what_is_no_drop_is_left_alone(tmp_path: Path, settings: dict[str, object]) -> None:
    """Junk, half-written names, dot-directories, ignored subtrees, links and devices get nothing; the rest does."""
    with house(tmp_path, folder=settings) as home, home.daemon() as daemon:
        scan(daemon)
        drop = home.drop
        (drop / "kept").mkdir()
        (drop / "kept" / ".identifai-ignore").touch()
        (drop / "globs").mkdir()
        (drop / "globs" / ".identifai-ignore").write_text("*.jpg\n!wanted.jpg\nsub/\n")
        alone = (
            *("Thumbs.db", "desktop.ini", ".hidden.png", "._x.png", "a.png.part", "b.png.crdownload"),
            *("c.png.tmp", "~$d.png", "e.png~", ".git/x.png", "@eaDir/x.png", "#recycle/x.png"),
            *("deep/.stversions/x.png", "kept/x.png", "kept/deep/x.png", "globs/x.jpg", "globs/sub/x.png"),
        )
        for name in alone:
            picture(drop / name, name)
        outside = picture(tmp_path / "outside" / "x.png")
        (drop / "link.png").symlink_to(outside)
        (drop / "links").symlink_to(outside.parent)
        os.mkfifo(drop / "pipe.mp4")
        expected = {"globs/x.png", "globs/wanted.jpg", "deep/fine.png", "last.png"}
        for name in sorted(expected):
            picture(drop / name, name)
        scan(daemon)
        wait_for(lambda: judged(home) >= expected, "the others are judged")
        quiet(daemon)
        assert expected == judged(home)
        assert len(expected) == paid(home)
        assert {os.fsencode(name) for name in expected} == {each.file.path for each in lines(daemon)}


def test_each_folder_takes_what_its_settings_let_in(tmp_path: Path) -> None:
    """``include``, ``exclude``, ``recursive``, ``media`` and ``min_bytes`` are each folder's own."""
    with house(tmp_path) as home:
        home.more["folder"] = folders(
            home,
            globs={"include": ["*.png", "in/**"], "exclude": ["draft-*", "in/out/"]},
            flat={"recursive": False},
            sounds={"media": ["audio"], "min_bytes": 2000},
        )
        with home.daemon() as daemon:
            for name in ("globs", "flat", "sounds"):
                scan(daemon, name)
            for name in ("a.png", "draft-a.png", "a.jpg", "in/b.jpg", "in/out/c.png"):
                picture(tmp_path / "globs" / name, f"globs/{name}")
            for name in ("a.png", "sub/b.png"):
                picture(tmp_path / "flat" / name, f"flat/{name}")
            picture(tmp_path / "sounds" / "a.png")
            shutil.copyfile(sample("mp3"), tmp_path / "sounds" / "a.mp3")
            shutil.copyfile(sample("aac"), tmp_path / "sounds" / "short.aac")
            for name in ("globs", "flat", "sounds"):
                scan(daemon, name)
            quiet(daemon)
            assert {"a.png", "in/b.jpg"} == judged(home, tmp_path / "globs")
            assert {"a.png"} == judged(home, tmp_path / "flat")
            assert {"a.mp3"} == judged(home, tmp_path / "sounds")
        assert 4 == paid(home)


def test_what_identifai_would_not_take_is_decided_here(tmp_path: Path) -> None:
    """``unsupported`` leaves or rejects; what is over the limit is always rejected; neither is sent nor hashed."""
    with house(tmp_path) as home:
        home.more["limits"] = {"audio": 500}
        home.more["folder"] = folders(home, leave={"unsupported": "leave"}, reject={"unsupported": "reject"})
        with home.daemon() as daemon:
            for folder in ("leave", "reject"):
                shutil.copyfile(sample("heic"), tmp_path / folder / "a.heic")
                shutil.copyfile(sample("cr2"), tmp_path / folder / "b.cr2")
                shutil.copyfile(sample("mp3"), tmp_path / folder / "c.mp3")
                (tmp_path / folder / "d.txt").write_text("no media")
                scan(daemon, folder)
            quiet(daemon)
            assert {"c.mp3"} == judged(home, tmp_path / "leave")
            assert {"a.heic", "b.cr2", "c.mp3"} == judged(home, tmp_path / "reject")
            over = home.sidecar(tmp_path / "leave" / "c.mp3")
            assert "rejected" == over["outcome"]
            assert "over the local limit of 500 bytes for audio" in over["reason"]
            assert (None, None, None) == (over["verdict"], over["analysis"], over["file"]["sha256"])
            raw = home.sidecar(tmp_path / "reject" / "b.cr2")
            assert ("rejected", None) == (raw["outcome"], raw["file"]["sha256"])
            assert "CR2" in raw["reason"]
        assert 0 == home.simulator.state.arrived(Endpoint.UPLOAD)


def test_a_decision_of_ours_is_made_anew_when_the_settings_change(tmp_path: Path) -> None:
    """What was left or refused under other rules is looked at again, at the next start and at a reload."""
    with house(tmp_path, folder=BY_EVENTS) as home:
        picture(home.drop / "a.png")
        shutil.copyfile(sample("heic"), home.drop / "b.heic")
        home.more["limits"] = {"image": 10}
        with home.daemon() as daemon:
            scan(daemon)
            assert "rejected" == home.sidecar(home.drop / "a.png")["outcome"]
            assert {"a.png"} == judged(home)
            home.more["limits"] = {"image": 1_000_000}
            daemon.ask_reload()
            wait_for(lambda: home.sidecar(home.drop / "a.png")["verdict"], "it is judged after the reload")
            quiet(daemon)
        home.folder = BY_EVENTS | {"unsupported": "reject"}
        with home.daemon():
            assert "rejected" == home.sidecar(home.drop / "b.heic")["outcome"]
        assert 1 == paid(home)


def test_a_name_that_is_no_text_gets_its_verdict(tmp_path: Path) -> None:
    """Names are bytes: one that is no UTF-8 is sent, and its sidecar gives it whole."""
    name = b"caf\xe9 \n.png"
    with house(tmp_path, folder=BY_EVENTS) as home, home.daemon() as daemon:
        path = os.path.join(os.fsencode(home.drop), name)  # noqa: PTH118 - bytes
        Path(os.fsdecode(path)).write_bytes(picture(tmp_path / "x.png").read_bytes())
        beside = Path(os.fsdecode(path + SUFFIX.encode()))
        wait_for(beside.exists, "its sidecar")
        sidecar = json.loads(beside.read_bytes())
        assert r"caf\xe9 \n.png" == sidecar["file"]["name"]
        assert name == base64.b64decode(sidecar["file"]["path_bytes"])
        quiet(daemon)
        assert [name] == [each.file.path for each in lines(daemon)]


# What goes, and comes back.


def test_a_folder_that_disappears_comes_back_as_if_nothing_had_been(tmp_path: Path) -> None:
    """An absent root makes its folder unavailable and nothing else: nothing is gone, nothing is paid again."""
    with house(tmp_path) as home:
        home.more["folder"] = folders(home, drop={"rescan_seconds": 0.2}, other={})
        with home.daemon() as daemon:
            for name in ("a.png", "deep/b.png"):
                home.sidecar(picture(home.drop / name))
            one = intake(daemon)
            watch = one.patrol.sentry._watch
            quiet(daemon)
            home.drop.rename(tmp_path / "away")
            wait_for(lambda: one.patrol.health is Health.UNAVAILABLE, "the folder is unavailable")
            assert {FileState.DELIVERED} == {each.file.state for each in lines(daemon)}
            picture(tmp_path / "other" / "goes-on.png")
            picture(tmp_path / "away" / "meanwhile.png")
            (tmp_path / "away").rename(home.drop)
            wait_for(lambda: one.patrol.health is Health.OK, "the folder is back")
            picture(home.drop / "after.png")
            home.sidecar(tmp_path / "other" / "goes-on.png")
            home.sidecar(home.drop / "meanwhile.png")
            home.sidecar(home.drop / "after.png")
            scan(daemon)
            quiet(daemon)
            assert watch is one.patrol.sentry._watch, "no second watch is armed beside the first"
            assert {0} == {each.file.missing for each in lines(daemon)}
            assert {FileState.DELIVERED} == {each.file.state for each in lines(daemon)}
        assert 5 == paid(home) == home.simulator.state.arrived(Endpoint.UPLOAD)


def test_a_folder_that_is_not_there_yet_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    """A root that is missing at the start is unavailable with a reason; made later, it is watched."""
    with house(tmp_path) as home:
        home.more["folder"] = folders(home, drop={}, late={})
        (tmp_path / "late").rmdir()
        with home.daemon() as daemon:
            home.sidecar(picture(home.drop / "a.png"))
            report = intake(daemon, "late").patrol.report()
            assert Health.UNAVAILABLE == report["health"]
            assert report["reason"]
            picture(tmp_path / "late" / "b.png")
            home.sidecar(tmp_path / "late" / "b.png")


def test_a_vanished_file_is_gone_after_two_scans_and_its_return_costs_nothing(tmp_path: Path) -> None:
    """One scan may be wrong; after the second it is gone, and if it comes back its verdict is there at once."""
    with house(tmp_path, folder=SCANNED) as home, home.daemon() as daemon:
        scan(daemon)
        path = picture(home.drop / "a.png")
        scan(daemon)
        verdict = home.sidecar(path)["verdict"]
        quiet(daemon)
        path.rename(tmp_path / "away.png")
        scan(daemon)
        assert (FileState.DELIVERED, 1) == standing(daemon, "a.png")
        scan(daemon)
        assert FileState.GONE is standing(daemon, "a.png")[0]
        path.with_name(path.name + SUFFIX).unlink()
        (tmp_path / "away.png").rename(path)
        scan(daemon)
        assert verdict == home.sidecar(path)["verdict"]
        quiet(daemon)
        assert (FileState.DELIVERED, 0) == standing(daemon, "a.png")
        assert 1 == len(lines(daemon)) == paid(home) == home.simulator.state.arrived(Endpoint.UPLOAD)


def standing(daemon: Daemon, path: str) -> tuple[FileState, int]:
    """Return where a file stands, and how many scans have missed it."""
    found = line(daemon, path)
    assert found is not None
    return found.file.state, found.file.missing


def test_a_queued_file_that_vanishes_is_not_sent_until_it_is_back(tmp_path: Path) -> None:
    """What cannot be read any more is not queued; it goes on where it stood when the file is back."""
    with house(tmp_path, folder=SCANNED) as home, home.daemon() as daemon:
        order(daemon, "pause")
        path = picture(home.drop / "a.png")
        scan(daemon)
        admitted(daemon, "a.png")
        path.rename(tmp_path / "away.png")
        scan(daemon)
        scan(daemon)
        assert FileState.GONE is standing(daemon, "a.png")[0]
        order(daemon, "resume")
        picture(home.drop / "b.png")
        scan(daemon)
        home.sidecar(home.drop / "b.png")
        assert 1 == home.simulator.state.arrived(Endpoint.UPLOAD)
        (tmp_path / "away.png").rename(path)
        scan(daemon)
        home.sidecar(path)
        assert 2 == paid(home)


# Copies.


def test_a_copy_costs_nothing_and_gets_a_sidecar_of_its_own(tmp_path: Path) -> None:
    """A copy of what is in flight, or of what was judged before a restart, is a duplicate with the same verdict."""
    with house(tmp_path, folder=BY_EVENTS) as home:
        home.simulator.change(delay=3600)
        with home.daemon() as daemon:
            first = picture(home.drop / "first.png", "one")
            wait_for(lambda: state_of(daemon, "first.png") is AnalysisState.AWAITING, "it is sent")
            twin = picture(home.drop / "deep" / "twin.png", "one")
            assert AnalysisState.AWAITING is admitted(daemon, "deep/twin.png").analysis.state
            home.simulator.change(delay=0)
            sidecars = [home.sidecar(first), home.sidecar(twin)]
        with home.daemon():
            sidecars.append(home.sidecar(picture(home.drop / "later.png", "one")))
        assert [False, True, True] == [sidecar["duplicate"] for sidecar in sidecars]
        assert 1 == len({sidecar["analysis"]["identifier"] for sidecar in sidecars})
        assert ["first.png", "deep/twin.png", "later.png"] == [each["file"]["path"] for each in sidecars]
        assert 1 == paid(home) == home.simulator.state.arrived(Endpoint.UPLOAD)


def state_of(daemon: Daemon, path: str) -> AnalysisState | None:
    """Return where the analysis of a file stands, if it has one."""
    found = line(daemon, path)
    return None if found is None or found.analysis is None else found.analysis.state


def sample(ending: str) -> Path:
    """Return the sample of a format."""
    return Path(__file__).parent / "media" / f"sample.{ending}"


@pytest.mark.parametrize(
    ("events", "files", "share"), [("auto", 5, 1000), ("auto", 4, 10), ("off", 5, 10)], ids=str
)
def test_a_large_tree_whose_events_are_heard_is_scanned_more_rarely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: str, files: int, share: int
) -> None:
    """There a scan only proves the events right; a smaller one, or one that only scans find things in, has less rest."""
    monkeypatch.setattr(patrol_module, "LARGE", 5)
    monkeypatch.setattr(patrol_module, "WATCHED_SHARE", 1000)
    with house(tmp_path, folder={"events": events, "rescan_seconds": 0.1}) as home:
        for number in range(files):
            picture(home.drop / f"{number}.png")
        with home.daemon() as daemon:
            patrol = intake(daemon).patrol
            wait_for(lambda: patrol.last_scan_at, "it was scanned")
            scanned_at, took, due = in_loop(
                daemon, lambda _: (patrol.last_scan_at, patrol._scan_took, patrol._scan_at)
            )
    assert due - scanned_at == max(timedelta(seconds=0.1), took * share)
