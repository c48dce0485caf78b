"""``check``: what is in the way of a run, on real folders, a real ledger and the simulator."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from identifai_watch import ledger as ledger_module
from identifai_watch.cli.preflight import account, limits, patience, storage, tally, unit
from identifai_watch.core.mounts import Mount
from identifai_watch.folder.rules import Rules
from identifai_watch.ledger import Ledger
from identifai_watch.simulator import Simulator
from tests.console import Typed, at
from tests.harness import KEY, House, house
from tests.hung import hung_mount
from tests.proxying import ConnectProxy
from tests.watching import folders, picture

NO_KEY = {"IDENTIFAI_API_KEY": ""}
OTHER_DISK = Path("/dev/shm")  # noqa: S108 - a real other file system, in a directory of our own there

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to be another user")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """Give a house whose simulator answers at once."""
    with house(tmp_path) as one:
        yield one


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """Give a directory on another file system."""
    if not OTHER_DISK.is_dir() or OTHER_DISK.stat().st_dev == Path.cwd().stat().st_dev:
        pytest.skip("there is no second file system at /dev/shm")
    place = OTHER_DISK / f"identifai-watch-{os.getpid()}"
    place.mkdir()
    yield place
    shutil.rmtree(place)


def findings(ended: Typed) -> list[dict[str, Any]]:
    """Return what check found, as JSON."""
    found: list[dict[str, Any]] = json.loads(ended.out)["findings"]
    return found


def errors(ended: Typed) -> list[str]:
    """Return what check's errors are about."""
    return [finding["about"] for finding in findings(ended) if finding["level"] == "error"]


def said(ended: Typed, level: str, about: str) -> str:
    """Return what was said of one thing on one level, line by line, with the remedies."""
    return "\n".join(
        f"{finding['said']} | {finding['remedy']}"
        for finding in findings(ended)
        if (finding["level"], finding["about"]) == (level, about)
    )


def probes(place: Path) -> list[Path]:
    """Return what is left of probe files below a place."""
    return list(place.rglob(".identifai-*"))


# As a whole.


def test_all_is_well(home: House) -> None:
    """With everything in place nothing is an error, nothing is left behind, and the status is 0."""
    home.simulator.change(credits=12)
    ended = at(home, "check")
    assert 0 == ended.status
    for words in (
        "ok       key: from $IDENTIFAI_API_KEY",
        "plain http, which stays on this machine",
        "ok       clock: agrees with identifAI's",
        "12 credits",
        "watched by events, on ",
        "can be written, and tells who writes to a file",
        "inotify: ",
        f"SQLite {sqlite3.sqlite_version}",
        "made at the first start",
        "GB are free on ",
    ):
        assert words in ended.out
    assert ["drop", "identifai-watch.toml"] == sorted(path.name for path in home.home.iterdir())
    assert [] == list(home.drop.iterdir())


def test_every_finding_as_json(home: House) -> None:
    """--json gives each finding with level, about, said and remedy, and whether all is well."""
    ended = at(home, "check", "--json")
    assert all({"level", "about", "said", "remedy"} == set(finding) for finding in findings(ended))
    assert {"ok", "warning", "error"} >= {finding["level"] for finding in findings(ended)}
    assert json.loads(ended.out)["ok"] is True
    home.drop.rmdir()
    assert json.loads(at(home, "check", "--json").out)["ok"] is False


def test_the_configuration_alone(home: House) -> None:
    """--config-only asks nobody: no key, no network, no folder; what the configuration itself tells is told."""
    home.folder = {"path": "/nowhere/at/all"}
    ended = at(home, "check", "--config-only", "--json", environ=NO_KEY)
    assert (0, ["configuration"]) == (ended.status, [finding["about"] for finding in findings(ended)])
    home.folder = {"path": "/nowhere/at/all", "action": "move"}
    ended = at(home, "check", "--config-only", "--json", environ=NO_KEY)
    assert "min_confidence = 0 for image and video and audio" in said(ended, "warning", "folder drop")
    assert home.simulator.state.count() == 0


@pytest.mark.parametrize(
    ("setting", "kinds"),
    [
        ({"action": "copy"}, None),
        ({"action": "move", "min_confidence": 0.5}, None),
        ({"action": "move", "min_confidence": {"artificial": 0.8}}, None),
        ({"action": "move", "min_confidence": {"image": 0.8}}, "video and audio"),
        ({"action": "move", "min_confidence": {"image": 0.8}, "media": ["image"]}, None),
    ],
)
def test_an_unsure_verdict_moves_a_file(home: House, setting: dict[str, Any], kinds: str | None) -> None:
    """A folder that moves whatever the confidence is warned of, for the kinds that it is so for."""
    home.folder = setting
    warned = said(at(home, "check", "--config-only", "--json"), "warning", "folder drop")
    assert (kinds is not None) == bool(warned)
    assert f"min_confidence = 0 for {kinds}:" in warned or kinds is None


def test_a_wrong_configuration(home: House) -> None:
    """Every mistake is a finding; the status is 78."""
    home.folder = {"settle_secnds": 1, "action": "sidcar"}
    ended = at(home, "check", "--json")
    assert (78, ["configuration"] * 2) == (ended.status, errors(ended))
    assert any("did you mean settle_seconds?" in finding["said"] for finding in findings(ended))
    assert all(str(home.config_path) in finding["said"] for finding in findings(ended))


def test_a_check_beside_a_daemon(home: House) -> None:
    """A running daemon is said to be one; it never takes the probe files for anything."""
    with home.process():
        home.sidecar(home.put("sample.png"))
        for _ in range(3):
            assert "a daemon runs on it" in at(home, "check").out
        home.sidecar(home.put("sample.jpg"))
        assert ["sample.jpg", "sample.png"] == sorted(line.file.path.decode() for line in home.lines())
    assert [] == probes(home.home)
    with sqlite3.connect(home.home / "state" / "ledger.db") as ledger:
        assert [(0,)] == ledger.execute('SELECT count(*) FROM "left"').fetchall()
    ledger.close()


# The key and the account.


def test_no_key(home: House) -> None:
    """Without a key its three places are named; the rest is looked at all the same."""
    home.api = {"key_file": str(home.home / "key")}
    ended = at(home, "check", "--json", environ=NO_KEY)
    assert (1, ["key"]) == (ended.status, errors(ended))
    assert "folder drop" in [finding["about"] for finding in findings(ended)]


@pytest.mark.parametrize(
    ("mode", "status", "level", "words"),
    [
        (0o600, 0, "ok", "mode 0600"),
        (0o640, 0, "warning", "mode 0640: its group can read it | chmod 600 "),
        (0o644, 1, "error", "open to every user of this host (mode 0644); chmod 600 "),
    ],
)
def test_a_key_that_others_can_read(home: House, mode: int, status: int, level: str, words: str) -> None:
    """The key's file is named with its mode; the group's reading is a warning, everybody's an error."""
    key = home.home / "key"
    key.write_text(KEY)
    key.chmod(mode)
    home.api = {"key_file": str(key)}
    ended = at(home, "check", "--json", environ=NO_KEY)
    assert (status, False) == (ended.status, KEY in ended.out)
    assert words in said(ended, level, "key")
    assert str(key) in said(ended, level, "key")


def test_a_refused_key(home: House) -> None:
    """A key that identifAI does not take is an error of the account."""
    ended = at(home, "check", "--json", environ={"IDENTIFAI_API_KEY": "another"})
    assert (1, [f"account at {home.simulator.url}"]) == (ended.status, errors(ended))


def test_an_api_that_is_not_there(home: House) -> None:
    """An API that cannot be reached is said to be so."""
    home.api = {"url": "http://127.0.0.1:9"}
    ended = at(home, "check")
    assert (1, True) == (
        ended.status,
        "cannot be reached: cannot connect to 127.0.0.1:9: connection refused" in ended.out,
    )


def test_no_credits(home: House) -> None:
    """Credits at nothing, or below the floor, are an error."""
    home.simulator.change(credits=5)
    home.api = {"credits_floor": 10.0}
    assert (1, True) == ((ended := at(home, "check")).status, "5 credits are left" in ended.out)


def test_an_encrypted_connection(tmp_path: Path) -> None:
    """A verified certificate is said with its end and the proxy without its password; a refused one names ca_file."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    both = tmp_path / "server.pem"
    good_until = datetime(2099, 5, 1, tzinfo=UTC)
    authority.issue_cert("127.0.0.1", not_after=good_until).private_key_and_cert_chain_pem.write_to_path(
        str(both)
    )
    with Simulator(certificate=both) as simulator, ConnectProxy() as proxy:
        simulator.change(key=KEY)
        about = f"connection to {simulator.url}"
        home = House(home=tmp_path, simulator=simulator)
        refused = at(home, "check", "--json")
        assert (1, [about]) == (refused.status, errors(refused))
        assert "the certificate is refused: " in said(refused, "error", about)
        assert "name its authority with api.ca_file" in said(refused, "error", about)
        assert 0 == simulator.state.count()
        home.api = {"ca_file": "ca.pem", "proxy": f"http://anna:s3cret@{proxy.address}"}
        accepted = at(home, "check", "--json")
    assert (0, False) == (accepted.status, "s3cret" in accepted.out + accepted.err)
    assert (
        f"https through the proxy {proxy_address(accepted)}, the certificate is verified by {tmp_path}/ca.pem, "
        "good until 2099-05-01 "
    ) in said(accepted, "ok", about)


def proxy_address(ended: Typed) -> str:
    """Return the proxy that a check went through, which listens no more."""
    return ended.out.partition("through the proxy ")[2].partition(",")[0]


@contextmanager
def told_by(date: datetime) -> Iterator[str]:
    """Serve credits from a host whose clock says ``date``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"available_credits": 3}'
            self.send_response_only(200)
            self.send_header("Date", format_datetime(date, usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_clock_that_is_wrong(home: House) -> None:
    """A clock an hour off by the API's own Date is an error that says how far, and how it is set right."""
    with told_by(datetime.now(UTC) + timedelta(hours=1)) as url:
        home.api = {"url": url}
        ended = at(home, "check", "--json")
    assert (1, ["clock"]) == (ended.status, errors(ended))
    assert "60 min behind identifAI's | Have it set by the network: timedatectl" in said(
        ended, "error", "clock"
    )


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("date", "level", "words"),
    [
        ("Sun, 01 Mar 2026 12:00:00 GMT", "ok", "agrees with identifAI's"),
        ("Sun, 01 Mar 2026 12:00:30 GMT", "ok", "agrees with identifAI's"),
        ("Sun, 01 Mar 2026 12:00:31 GMT", "warning", "31 s behind identifAI's"),
        ("Sun, 01 Mar 2026 11:55:00 GMT", "warning", "5 min ahead of identifAI's"),
        ("Sun, 01 Mar 2026 11:54:00 -0000", "error", "6 min ahead of identifAI's"),
        ("soon", "ok", "not compared: the answer says no date"),
        (None, "ok", "not compared: the answer says no date"),
    ],
)
def test_how_far_a_clock_may_be_off(date: str | None, level: str, words: str) -> None:
    """Above half a minute is a warning, above five an error; an answer without a date says nothing."""
    [found] = account.of_clock(date, NOON)
    assert (level, words) == (found.level, found.said)


# Folders.


def test_a_folder_that_is_not_there(home: House) -> None:
    """A missing folder is an error by its name."""
    home.folder = {"path": str(home.home / "none")}
    ended = at(home, "check", "--json")
    assert (1, ["folder drop"]) == (ended.status, errors(ended))


def test_a_folder_that_is_only_recorded(home: House) -> None:
    """Where nothing is written, no probe is made: a folder that is read only will do."""
    home.folder = {"action": "record"}
    before = home.drop.stat().st_mtime_ns
    ended = at(home, "check", "--json")
    assert (0, before) == (ended.status, home.drop.stat().st_mtime_ns)
    assert "can be written" not in ended.out


def test_results_of_a_share_go_where_other_hosts_find_them(home: House) -> None:
    """A destination outside of a folder that hosts share is warned of; one inside is not."""
    beside = home.home / "beside"
    beside.mkdir()
    home.folder = {"shared": "drop", "action": "move", "human": str(beside)}
    told = said(at(home, "check", "--json"), "warning", "folder drop")
    assert f"hosts share it, and its results go outside of it: {beside} |" in told
    home.folder = {"shared": "drop", "action": "move"}
    assert "hosts share it" not in said(at(home, "check", "--json"), "warning", "folder drop")


def test_where_files_go(home: House, elsewhere: Path) -> None:
    """Each destination is tried by renaming the probe there: inside, outside, on another disk, and still to be made."""
    beside = home.home / "beside"
    beside.mkdir()
    (home.drop / "uncertain").mkdir()
    home.folder = {
        "action": "move",
        "human": str(beside),
        "artificial": str(elsewhere),
        "rejected": str(beside / "a" / "b"),
    }
    ended = at(home, "check", "--json")
    assert 0 == ended.status
    told = said(ended, "ok", "folder drop")
    for words in (
        f"human: to {beside}, by rename |",
        f"artificial: to {elsewhere}, copied and verified across file systems |",
        "uncertain: to uncertain, by rename |",
        f"rejected: to {beside}/a/b, by rename, which is made by the first |",
    ):
        assert words in told
    assert [] == [*probes(home.home), *probes(elsewhere)]
    assert [] == list(beside.iterdir())
    home.folder = {"action": "copy", "human": "all", "artificial": "all"}
    assert "human, artificial: to all, by copy, which is made by the first" in at(home, "check").out


def test_a_destination_that_is_a_link(home: House) -> None:
    """A destination in the folder that leads out of it is an error, as deliveries will find; nothing is made behind it."""
    outside = home.home / "outside"
    outside.mkdir()
    (home.drop / "human").symlink_to(outside)
    (home.drop / "artificial").write_text("no directory")
    home.folder = {"action": "move", "min_confidence": 0.5}
    ended = at(home, "check", "--json")
    assert (1, ["folder drop"] * 2) == (ended.status, errors(ended))
    assert "human cannot be written by user" in said(ended, "error", "folder drop")
    assert "perhaps a link: move it away, or name the place itself" in said(ended, "error", "folder drop")
    assert [] == list(outside.iterdir())


def test_a_folder_that_cannot_be_written(home: House) -> None:
    """A folder or a place for the ledger that may not be written is an error; with record the folder is none."""
    config, recorded = home.config_path, home.home / "recorded.toml"
    recorded.write_text(config.read_text() + '\n[[folder]]\npath = "closed"\nevents = "off"\n')
    recorded.write_text(recorded.read_text().replace('name = "drop"', 'name = "drop"\naction = "record"'))
    (home.home / "closed").mkdir(mode=0)
    home.drop.chmod(0o555)
    home.home.chmod(0o555)
    ended = without_powers(config)
    assert (1, ["folder drop", "ledger"]) == (ended.status, errors(ended))
    who = f"by user {os.geteuid()}: Permission denied"
    assert f"{home.drop} cannot be written {who} | Let its group write there" in said(
        ended, "error", "folder drop"
    )
    ended = without_powers(recorded)
    assert (1, ["folder closed", "ledger"]) == (ended.status, errors(ended))
    assert "is unavailable: Permission denied" in said(ended, "error", "folder closed")


@needs_root
def test_whose_writers_cannot_be_told(home: House) -> None:
    """Of the files of others nobody tells who writes, without CAP_LEASE: said where there are such files."""
    picture(home.drop / "mine.png")
    assert "tells who writes to a file" in said(without_powers(home.config_path), "ok", "folder drop")
    os.chown(picture(home.drop / "theirs.png"), 65534, 65534)
    warned = said(without_powers(home.config_path), "warning", "folder drop")
    assert (
        "of the 1 files of other users nobody tells who writes: they are whole by settle_seconds = 0.3"
        in warned
    )
    assert "tells who writes to a file" in said(at(home, "check", "--json"), "ok", "folder drop")


def without_powers(config: Path) -> Typed:
    """Run check as a user who owns files and is otherwise as powerless as any: root without root's capabilities."""
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    command = [sys.executable, "-m", "identifai_watch", "check", "--json", "--config", str(config)]
    around = os.environ | {"IDENTIFAI_API_KEY": KEY}
    ended = subprocess.run(
        [*powerless, *command], env=around, capture_output=True, text=True, timeout=60, check=False
    )
    return Typed(status=ended.returncode, out=ended.stdout, err=ended.stderr)


def test_a_mount_that_hangs(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder whose mount does not answer is an error after a while; all else is told."""
    monkeypatch.setattr(patience, "PATIENCE", 0.7)
    hung = home.home / "hung"
    home.more = {"folder": folders(home, hung={}, well={})}
    with hung_mount(hung):
        ended = at(home, "check", "--json")
    assert (1, ["folder hung"]) == (ended.status, errors(ended))
    assert f"it does not answer: nothing for 0.7 s while opening {hung}" in said(
        ended, "error", "folder hung"
    )
    assert "can be written" in said(ended, "ok", "folder well")


@pytest.mark.parametrize(
    ("setting", "rule"),
    [
        ({"include": ["*.gif"]}, "not in include: *.gif"),
        ({"exclude": ["*"]}, "exclude: *"),
        ({"recursive": False}, "the folder is not recursive"),
    ],
)
def test_rules_that_hide_everything(home: House, setting: dict[str, Any], rule: str) -> None:
    """A folder in which no picture passes the rules is warned of, with their number and the first rule."""
    for number in range(3):
        picture(home.drop / "a" / f"{number}.png")
    (home.drop / "notes.txt").write_text("no picture")
    home.folder = setting
    warned = said(at(home, "check", "--json"), "warning", "folder drop")
    assert f"hide every picture, video and sound in it: all 3; the first by: {rule}" in warned
    home.folder = {}
    assert "its rules hide" not in at(home, "check").out
    (home.drop / ".identifai-ignore").touch()
    assert "all 3; the first by: .identifai-ignore in the folder: all of it" in at(home, "check").out


def test_results_are_nothing_hidden(home: House) -> None:
    """A folder that holds its own results alone hides nothing; its directories are watched all the same."""
    picture(home.drop / "human" / "a" / "b.png")
    rules, found = Rules(destinations=(b"human",)), tally.Tally()
    tally.count(os.fsencode(home.drop), rules, found, lambda: None, all_directories=True)
    assert (3, 0, 0) == (found.directories, found.media, found.hidden)


def test_a_count_has_an_end(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many files are looked at, and directories to the end only where they are to be watched."""
    for number in range(6):
        picture(home.drop / f"{number}" / "a.png")
    monkeypatch.setattr(tally, "MOST_ENTRIES", 2)
    for all_directories, expected in ((True, 7), (False, 3)):
        found = tally.Tally()
        tally.count(os.fsencode(home.drop), Rules(), found, lambda: None, all_directories=all_directories)
        assert (expected, 2) == (found.directories, found.entries)


# inotify.


@pytest.mark.parametrize(
    ("changed", "folders", "directories", "remedies"),
    [
        ({}, 2, 4_096, []),
        ({}, 2, 4_097, ["sysctl -w fs.inotify.max_user_watches=16384 "]),
        ({}, 0, 9_000, []),
        ({}, 65, 1, ["sysctl -w fs.inotify.max_user_instances=1024 "]),
        ({"max_queued_events": 16_383}, 1, 1, ["sysctl -w fs.inotify.max_queued_events=16384 "]),
        (
            {"max_user_watches": 1},
            600,
            600_000,
            [
                "sysctl -w fs.inotify.max_user_watches=2097152 ",
                "sysctl -w fs.inotify.max_user_instances=2048 ",
            ],
        ),
    ],
)
def test_limits_of_inotify(
    changed: dict[str, int], folders: int, directories: int, remedies: list[str]
) -> None:
    """There must be room for twice what is to be watched; the line that makes it is given for each limit."""
    known = {"max_user_watches": 8_192, "max_user_instances": 128, "max_queued_events": 16_384} | changed
    found = list(limits.findings(known, folders=folders, directories=directories))
    warned = [finding.remedy or "" for finding in found if finding.level == "warning"]
    assert len(remedies) == len(warned)
    assert all(told.startswith(expected) for told, expected in zip(warned, remedies, strict=True))


def test_limits_that_are_hidden() -> None:
    """Where they cannot be read that is said; the limits of this host can be."""
    [found] = limits.findings(None, folders=1, directories=1)
    assert "warning" == found.level
    assert {"max_user_watches", "max_user_instances", "max_queued_events"} == set(limits.read() or ())


def test_directories_are_counted_over_all_folders(home: House) -> None:
    """What is watched by events counts with all its directories; what is scanned, or is not recursive, does not."""
    home.more = {"folder": folders(home, deep={}, flat={"recursive": False}, scanned={"events": "off"})}
    for name in ("deep", "flat", "scanned"):
        (home.home / name / "a" / "b").mkdir(parents=True)
    assert "4 directories are to be watched" in at(home, "check").out


# The ledger.


def test_another_programs_database(home: House) -> None:
    """A ledger that is none is an error, and is not touched."""
    (home.home / "state").mkdir()
    ledger = home.home / "state" / "ledger.db"
    ledger.write_text("no database, but long enough to be looked at as one" * 20)
    before = ledger.read_bytes()
    ended = at(home, "check", "--json")
    assert (1, ["ledger"], before) == (ended.status, errors(ended), ledger.read_bytes())


def test_a_ledger_is_only_looked_at(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its revision is told; an older one is not migrated by a look, a newer one is an error."""
    Ledger(home.ledger_url, node="here").close()
    file = home.home / "state" / "ledger.db"
    before = file.read_bytes()
    now = ledger_module.REVISION
    assert f"{file}, revision {now}; no daemon runs on it" in said(
        at(home, "check", "--json"), "ok", "ledger"
    )
    monkeypatch.setattr(ledger_module, "REVISION", "9999")
    assert f"revision {now}, which the next start brings to 9999" in said(
        at(home, "check", "--json"), "ok", "ledger"
    )
    monkeypatch.setattr(ledger_module, "REVISION", "0000")
    assert f"newer version (revision {now})" in said(at(home, "check", "--json"), "error", "ledger")
    assert before == file.read_bytes()


@pytest.mark.parametrize(
    ("free", "level"), [(49_999_999, "error"), (999_999_999, "warning"), (1_000_000_000, "ok")]
)
def test_room_for_the_ledger(free: int, level: str) -> None:
    """What is left of the disk is told with the disk's name; little is a warning, next to nothing an error."""
    mount = Mount(mount_id=1, root=b"/", point=b"/", fstype="ext4", source="/dev/sda1")
    found = storage.room(Path("/x/ledger.db"), mount, free)
    assert (level, True) == (found.level, "free on /dev/sda1 (ext4), where /x/ledger.db lies" in found.said)


@pytest.mark.parametrize(("version", "level"), [("3.34.1", "error"), ("3.35.0", "ok"), ("3.100.0", "ok")])
def test_how_old_sqlite_may_be(version: str, level: str) -> None:
    """The ledger's SQL needs 3.35."""
    assert level == storage.of_sqlite(version).level


def test_a_ledger_on_a_network() -> None:
    """A ledger that would lie on a network file system is an error, with another place to name."""
    mount = Mount(mount_id=1, root=b"/", point=b"/x", fstype="nfs4", source="nas:/x")
    found = storage.misplaced(Path("/x/ledger.db"), mount)
    assert ("error", True) == (found.level, "a network file system (nfs4 from nas:/x)" in found.said)


def test_a_ledger_on_a_mount_that_hangs(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger whose disk does not answer is an error after a while."""
    monkeypatch.setattr(patience, "PATIENCE", 0.7)
    point = home.home / "hung"
    home.more = {"ledger": {"url": f"sqlite:///{point}/ledger.db"}}
    with hung_mount(point):
        ended = at(home, "check", "--json")
    assert (1, ["ledger"]) == (ended.status, errors(ended))
    assert "it does not answer" in said(ended, "error", "ledger")


# The unit.


def test_where_the_unit_is(tmp_path: Path) -> None:
    """The first place that has it is told; that none has it is a warning for a service's configuration alone."""
    first, second, etc = tmp_path / "a", tmp_path / "b", tmp_path / "etc"
    for place in (first, second, etc):
        place.mkdir()
    service, own = etc / "config.toml", tmp_path / "config.toml"
    looked_at = (first, second)
    assert [] == list(unit.findings(own, looked_at=looked_at, services=etc))
    [found] = unit.findings(service, looked_at=looked_at, services=etc)
    assert ("warning", True) == (found.level, "is not installed" in found.said)
    (second / unit.NAME).write_text("[Service]\nUser=root\n")
    for config in (service, own):
        [found] = unit.findings(config, looked_at=looked_at, services=etc)
        assert ("ok", True) == (found.level, found.said.startswith(str(second / unit.NAME)))


def test_the_service_is_another_user(tmp_path: Path) -> None:
    """That this check ran as another user than the service is said, with the command that would say more."""
    (tmp_path / unit.NAME).write_text("[Service]\nUser=nobody\n")
    [found] = unit.findings(tmp_path / "c.toml", looked_at=(tmp_path,))
    assert (
        "it runs as nobody, which this check did not: runuser -u nobody -- identifai-watch check"
        in found.said
    )


def test_units_of_a_user() -> None:
    """The system's places come before the user's own."""
    assert [*unit.SYSTEM, Path("/home/a/.config/systemd/user")] == list(unit.places({"HOME": "/home/a"}))
    assert Path("/x/systemd/user") == unit.places({"XDG_CONFIG_HOME": "/x"})[-1]
    assert list(unit.SYSTEM) == list(unit.places({}))
