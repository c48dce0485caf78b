"""What systemd hears, and the unit that it is given."""

import configparser
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from identifai_watch import systemd
from identifai_watch.errors import Exit
from identifai_watch.ledger import Ledger
from tests.console import typed

UNIT = Path(__file__).parents[1] / "systemd" / "identifai-watch.service"
BACKUP = UNIT.with_name("identifai-watch-backup.service")
TIMER = BACKUP.with_suffix(".timer")
DROP_IN = UNIT.with_name("identifai-watch.service.d") / "folders.conf"

analyses = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """Stand where systemd stands: a socket, and the environment that names it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@identifai-watch-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0"))
        listening.settimeout(5)
        yield listening, {"NOTIFY_SOCKET": name}


Manager = tuple[socket.socket, dict[str, str]]


def test_each_state_is_one_datagram(manager: Manager) -> None:
    """Each call sends its assignments in one datagram, over a path or an abstract address."""
    listening, environ = manager
    for told, expected in (
        (systemd.ready("2 folders", environ=environ), b"READY=1\nSTATUS=2 folders"),
        (systemd.status("1 of 3\n sent", environ=environ), b"STATUS=1 of 3 sent"),
        (systemd.watchdog(environ=environ), b"WATCHDOG=1"),
        (systemd.stopping(environ=environ), b"STOPPING=1"),
    ):
        assert told
        assert expected == listening.recv(4096)


def test_a_reload_carries_the_clock(manager: Manager) -> None:
    """RELOADING carries the monotonic clock in microseconds, by which systemd tells one reload from the next."""
    listening, environ = manager
    before = time.monotonic_ns() // 1000
    assert systemd.reloading(environ=environ)
    match = re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=(\d+)", listening.recv(4096))
    assert match is not None
    assert before <= int(match[1]) <= time.monotonic_ns() // 1000


def test_a_status_may_hold_any_name(manager: Manager) -> None:
    """A name that is no UTF-8 is escaped rather than refused."""
    listening, environ = manager
    assert systemd.status("reading caf\udce9.jpg", environ=environ)
    assert listening.recv(4096) == rb"STATUS=reading caf\udce9.jpg"


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1", "/nowhere/notify", "/" + "x" * 200])
def test_nobody_hears(address: str) -> None:
    """Outside of systemd, or when its socket is gone, nothing is sent and nothing fails."""
    assert not systemd.ready("", environ={"NOTIFY_SOCKET": address} if address else {})


def test_a_full_socket_does_not_hold_us(tmp_path: Path) -> None:
    """A manager that does not read costs a second at most, not the service."""
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(environ["NOTIFY_SOCKET"])
        assert any(not systemd.watchdog(environ=environ) for _ in range(10_000))


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "60000000"}, timedelta(seconds=30)),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, timedelta(seconds=30)),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_the_watchdog_is_fed_at_half_its_time(environ: dict[str, str], expected: timedelta | None) -> None:
    """Systemd is told twice within its time that we live, if it asks this very process."""
    assert expected == systemd.watchdog_interval(environ)


def settings(path: Path = UNIT, section: str = "Service") -> configparser.SectionProxy:
    """Return one section of a unit."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their case
    unit.read(path)
    return unit[section]


def test_the_unit_mirrors_the_exit_statuses() -> None:
    """A restart is prevented for just those ends that only a person can heal."""
    assert {Exit.ACCOUNT, Exit.CONFIG} == {
        Exit(int(status)) for status in settings()["RestartPreventExitStatus"].split()
    }


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("Type", "notify"),
        (
            "ExecStart",
            "/opt/identifai-watch/bin/identifai-watch run --config /etc/identifai-watch/config.toml",
        ),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
        ("LoadCredential", "api-key:/etc/identifai-watch/api-key"),
        ("StateDirectory", "identifai-watch"),
        ("UMask", "0002"),
        ("AmbientCapabilities", "CAP_LEASE"),
        ("CapabilityBoundingSet", "CAP_LEASE"),
        ("LimitCORE", "0"),
        ("ProtectSystem", "strict"),
        ("PrivateMounts", "yes"),
        # What is wanted off: each would take away something that the daemon does.
        ("RestrictSUIDSGID", "no"),
        ("PrivateUsers", "no"),
        ("ProcSubset", "all"),
    ],
)
def test_the_unit_says(key: str, expected: str) -> None:
    """What the daemon relies on stands in the unit."""
    assert expected == settings()[key]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a copy of the unit with its drop-in whose program is there, as systemd-analyze wants it."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/identifai-watch/bin/identifai-watch", "/bin/true"))
    drop_in = tmp_path / DROP_IN.parent.name / DROP_IN.name
    drop_in.parent.mkdir()
    # Every example in it is switched on.
    drop_in.write_text(re.sub(r"^#(\w+=)", r"\1", DROP_IN.read_text(), flags=re.MULTILINE))
    return unit


def analyse(*arguments: str) -> tuple[int, str]:
    """Run systemd-analyze and return its status and what it said."""
    done = subprocess.run(
        ["systemd-analyze", *arguments],
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
    )
    return done.returncode, done.stdout


@analyses
def test_the_unit_is_right(installed: Path) -> None:
    """Systemd knows every key and value of the unit and of its drop-in."""
    assert analyse("verify", "--recursive-errors=no", str(installed)) == (0, "")


@analyses
def test_a_misspelt_key_would_be_found(installed: Path) -> None:
    """The check above is one that fails."""
    installed.write_text(installed.read_text().replace("WatchdogSec", "WatchdogSecs"))
    status, said = analyse("verify", "--recursive-errors=no", str(installed))
    assert status != 0
    assert "WatchdogSecs" in said


@analyses
def test_the_unit_is_hardened(installed: Path) -> None:
    """The exposure is at most 2.0."""
    status, said = analyse("security", "--offline=true", "--threshold=20", "--no-pager", str(installed))
    assert status == 0, said.splitlines()[-1]


# The copies of the ledger.


@pytest.fixture
def backup_installed(tmp_path: Path) -> Path:
    """Return a copy of the timer, with its service beside it whose program is there."""
    text = BACKUP.read_text().replace("/opt/identifai-watch/bin/identifai-watch", "/bin/true")
    (tmp_path / BACKUP.name).write_text(text)
    shutil.copy(TIMER, tmp_path)
    return tmp_path / TIMER.name


def test_the_backup_is_a_command_of_the_program(tmp_path: Path) -> None:
    """What the timer starts is taken by the command line, run as the daemon's own user with the daemon's own ledger."""
    program, *words = settings(BACKUP)["ExecStart"].split()
    assert program == settings()["ExecStart"].split()[0]
    config = tmp_path / "config.toml"
    (tmp_path / "drop").mkdir()
    config.write_text(
        f'[ledger]\nurl = "sqlite:///{tmp_path}/ledger.db"\n[[folder]]\npath = "{tmp_path}/drop"\n'
    )
    Ledger(f"sqlite:///{tmp_path}/ledger.db", node="here").close()
    words[words.index("--config") + 1] = str(config)
    words[2] = str(tmp_path / "backups")
    assert 0 == typed(*words).status
    assert 1 == len(list((tmp_path / "backups").glob("ledger-*.db")))
    for key in ("User", "Group", "StateDirectory"):
        assert settings()[key] == settings(BACKUP)[key]


@pytest.mark.parametrize(
    ("section", "key", "expected"),
    [
        ("Timer", "OnCalendar", "daily"),
        ("Timer", "Persistent", "yes"),
        ("Install", "WantedBy", "timers.target"),
    ],
)
def test_the_timer_says(section: str, key: str, expected: str) -> None:
    """Once a day, also if the host was off at that hour, and not on all hosts at once."""
    assert expected == settings(TIMER, section)[key]
    assert "RandomizedDelaySec" in settings(TIMER, "Timer")


@analyses
def test_the_timer_and_its_service_are_right(backup_installed: Path) -> None:
    """Systemd knows every key and value of both."""
    service = backup_installed.with_name(BACKUP.name)
    for unit in (backup_installed, service):
        assert analyse("verify", "--recursive-errors=no", str(unit)) == (0, "")


@analyses
def test_the_backup_is_hardened(backup_installed: Path) -> None:
    """The exposure is at most 2.0, as the daemon's."""
    service = backup_installed.with_name(BACKUP.name)
    status, said = analyse("security", "--offline=true", "--threshold=20", "--no-pager", str(service))
    assert status == 0, said.splitlines()[-1]
