"""The daemon as a process: how it stops, what it tells systemd, what it logs, and what it never shows."""

import gc
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from identifai_watch import vigil
from identifai_watch.core.model import AnalysisState, FileState, Label
from identifai_watch.daemon import Daemon
from identifai_watch.errors import Exit
from identifai_watch.ledger import Ledger, Transaction, desk, views
from identifai_watch.ledger.views import Line
from identifai_watch.simulator import Endpoint, Fault, FaultKind, Script, Scripted
from identifai_watch.workers import Job
from tests.harness import KEY, House, house, wait_for
from tests.hung import hung_mount
from tests.watching import folders, order, picture, quiet, says, sha256

STOPS_WITHIN = 5.0
LARGE = 30_000_000
"""Bytes that no buffer on the way takes in: the upload stands still before its closing boundary."""


def ended(process: "subprocess.Popen[bytes]", number: signal.Signals) -> int:
    """Send a signal, and return the exit status that follows within five seconds."""
    process.send_signal(number)
    return process.wait(STOPS_WITHIN)


def only(home: House) -> Line:
    """Return the one file that the ledger knows."""
    (line,) = home.lines()
    assert line.analysis is not None
    return line


def told(home: House, line: Line) -> list[str]:
    """Return what history says of a file, in order."""
    with Ledger(home.ledger_url, node="here") as ledger, ledger.read() as tx:
        return [happening.event for happening in views.history_of(tx, line.file)]


# How it stops.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_cuts_an_upload_that_stands_still_and_knows_that_it_did_not_arrive(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Before the closing boundary nothing arrived: the content is queued without doubt, and sent at the next start."""
    stall = Fault(kind=FaultKind.STALL_BODY, match=Endpoint.UPLOAD)
    with house(tmp_path, Script(faults=(stall,))) as home:
        path = home.put("sample.png", "large.png", extra=bytes(LARGE))
        with home.process() as process:
            assert home.simulator.state.wait_for(lambda state: state.arrived(Endpoint.UPLOAD) == 1)
            assert Exit.OK == ended(process, number)
        line = only(home)
        with home.process():
            sidecar = home.sidecar(path)

    assert line.analysis is not None
    assert (AnalysisState.QUEUED, False) == (line.analysis.state, line.analysis.doubt)
    assert line.analysis.reason is not None
    assert "abandoned" in line.analysis.reason
    assert FileState.WAITING is line.file.state
    assert sidecar["verdict"] is not None
    assert 1 == len(home.simulator.state.charged)


def test_a_stop_leaves_an_upload_that_may_have_arrived_in_doubt(tmp_path: Path) -> None:
    """After the closing boundary it may have arrived: the doubt is written down, and nothing is paid twice."""
    late = Fault(kind=FaultKind.SLOW, match=Endpoint.UPLOAD, seconds=60)
    with house(tmp_path, Script(faults=(late,))) as home:
        path = home.put("sample.png")
        with home.process() as process:
            assert home.simulator.state.wait_for(lambda state: len(state.charged) == 1)
            assert Exit.OK == ended(process, signal.SIGTERM)
        line = only(home)
        with home.process():
            sidecar = home.sidecar(path)
        history = told(home, line)

    assert line.analysis is not None
    assert (AnalysisState.QUEUED, True, False) == (
        line.analysis.state,
        line.analysis.doubt,
        line.analysis.no_cache,
    )
    assert 1 == history.count("deferred")
    assert 2 == home.simulator.state.arrived(Endpoint.UPLOAD)
    assert 1 == len(home.simulator.state.charged)
    assert sidecar["verdict"] is not None


def test_a_stop_while_verdicts_are_awaited_loses_none(tmp_path: Path) -> None:
    """What is awaited is asked for by the next start, and not sent again."""
    with house(tmp_path, Script(delay=3600)) as home:
        path = home.put("sample.png")
        with home.process() as process:
            wait_for(lambda: home.lines() and only(home).analysis.identifier, "it is awaited")  # type: ignore[union-attr] - `only` looks
            assert Exit.OK == ended(process, signal.SIGTERM)
        home.simulator.change(delay=0)
        with home.process():
            home.sidecar(path)
    assert 1 == home.simulator.state.arrived(Endpoint.UPLOAD)


def test_a_thread_that_never_returns_does_not_hold_the_stop(tmp_path: Path) -> None:
    """No thread is joined: one that is stuck is left behind, and the daemon ends within five seconds."""
    forever = threading.Event()
    with house(tmp_path) as home:
        with home.daemon() as daemon:
            job = Job(
                lane="drop/look",
                label="drop/look",
                work=forever.wait,
                then=lambda *_: None,
                failed=lambda *_: None,
            )
            daemon.shift.workers.tell(lambda _: daemon.shift.workers.plan(job))
            wait_for(lambda: any(one.lane == "drop/look" for one in daemon.shift.workers.running()), "stuck")
            began = time.monotonic()
        took = time.monotonic() - began
        assert not forever.is_set()
        forever.set()
    assert took < STOPS_WITHIN


def test_a_mount_that_hangs_stops_neither_the_others_nor_the_stop(tmp_path: Path) -> None:
    """A thread stuck in the kernel stops its own folder only: the others work, and SIGTERM ends with 0 in time."""
    with house(tmp_path) as home, hung_mount(tmp_path / "hung"):
        home.more = {"folder": folders(home, one={}) + _unmade(home, "hung")}
        with home.process() as process:
            home.sidecar(picture(tmp_path / "one" / "a.png"))
            assert Exit.OK == ended(process, signal.SIGTERM)


def test_a_folder_that_hangs_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that hangs on a mount sets its folder aside with the reason, and a stop leaves its thread behind."""
    monkeypatch.setattr(vigil, "HUNG_AFTER", 0.5)
    monkeypatch.setattr(vigil, "RENEW_EVERY", timedelta(seconds=0.5))
    with house(tmp_path) as home, hung_mount(tmp_path / "hung"):
        home.more = {"folder": folders(home, one={}) + _unmade(home, "hung")}
        with home.daemon() as daemon:
            wait_for(lambda: _health(daemon, "hung") == "unavailable", "it is set aside")
            reason = _report(daemon, "hung")["reason"]
            home.sidecar(picture(tmp_path / "one" / "a.png"))
            assert "ok" == _health(daemon, "one")
            began = time.monotonic()
        took = time.monotonic() - began
    assert "not answered" in str(reason)
    assert took < STOPS_WITHIN


def _unmade(home: House, name: str) -> list[dict[str, object]]:
    """Return the configuration of a folder that nobody may look at."""
    return [{"path": str(home.home / name), "name": name, "existing": "judge", "events": "off"}]


def _report(daemon: Daemon, name: str) -> dict[str, object]:
    with daemon.shift.ledger.read() as tx:
        found = desk.node_report(tx, "here")
    reported = [] if found is None else found[1]["folders"]
    return next((one for one in reported if one["name"] == name), {})


def _health(daemon: Daemon, name: str) -> object:
    return _report(daemon, name).get("health")


def test_a_ledger_has_one_daemon(tmp_path: Path) -> None:
    """A second daemon on the same ledger ends with 75 and names it; the first goes on."""
    with house(tmp_path) as home, home.process():
        second = home.command("run")
        sidecar = home.sidecar(home.put("sample.png"))
    assert Exit.LATER == second.returncode
    assert home.ledger_url in second.stderr
    assert "another daemon" in second.stderr
    assert sidecar["verdict"] is not None


# What it tells systemd.


class Manager:
    """What systemd would hear, on a socket of the test's own."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(STOPS_WITHIN)
        self.heard: list[dict[str, str]] = []

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()

    def hear(self, name: str) -> dict[str, str]:
        """Wait for a message that sets ``name``, and return it."""
        while True:
            lines = self._socket.recv(65536).decode().split("\n")
            message = dict(line.split("=", 1) for line in lines)
            self.heard.append(message)
            if name in message:
                return message


@contextmanager
def manager(path: Path) -> Iterator[Manager]:
    """Listen as systemd does."""
    with closing(Manager(path)) as made:
        yield made


def test_systemd_hears_of_start_reload_and_stop(tmp_path: Path) -> None:
    """READY with a STATUS; RELOADING with the clock's instant, then READY again; STOPPING: in this order."""
    with house(tmp_path) as home, manager(tmp_path / "notify") as systemd:
        with home.process(environ={"NOTIFY_SOCKET": systemd.address}) as process:
            ready = systemd.hear("READY")
            before = time.monotonic_ns() // 1000
            process.send_signal(signal.SIGHUP)
            reloading = systemd.hear("RELOADING")
            after = time.monotonic_ns() // 1000
            again = systemd.hear("READY")
            assert Exit.OK == ended(process, signal.SIGTERM)
        stopping = systemd.hear("STOPPING")
        heard = list(systemd.heard)

    assert "1" == ready["READY"] == again["READY"] == reloading["RELOADING"] == stopping["STOPPING"]
    assert before <= int(reloading["MONOTONIC_USEC"]) <= after
    assert "1 folders" in ready["STATUS"]
    assert "STATUS" in again
    assert not any("WATCHDOG" in message for message in heard)


def test_systemd_hears_in_time_that_the_loop_turns(tmp_path: Path) -> None:
    """WATCHDOG=1 comes more often than ``WATCHDOG_USEC`` asks for, also while there is nothing to do."""
    allowed = 1.0
    around = {"WATCHDOG_USEC": str(int(allowed * 1e6))}
    with manager(tmp_path / "notify") as systemd, house(tmp_path) as home:
        around["NOTIFY_SOCKET"] = systemd.address
        with home.process(environ=around):
            systemd.hear("WATCHDOG")
            at = [time.monotonic() for _ in range(4) if systemd.hear("WATCHDOG")]
    assert max(after - before for before, after in pairwise(at)) < allowed


# What it logs.


def test_without_a_terminal_the_log_is_json_lines(tmp_path: Path) -> None:
    """Every line is one JSON object with the instant in UTC, the level and a fixed phrase."""
    with house(tmp_path) as home, home.process() as process:
        home.sidecar(home.put("sample.png", "na\nme.png"))
        wait_for(lambda: [one for one in home.logged() if one["event"] == "delivered"], "it is said")
        assert Exit.OK == ended(process, signal.SIGTERM)
        lines = [json.loads(line) for line in home.log.read_text(encoding="utf-8").splitlines()]
    assert {"started", "admitted", "upload begins", "uploaded", "answered", "delivered", "stopped"} <= {
        line["event"] for line in lines
    }
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line["timestamp"]) for line in lines)
    assert {"info"} == {line["level"] for line in lines}
    assert "na\\nme.png" in {line.get("path") for line in lines}


def test_on_a_terminal_the_log_is_readable(tmp_path: Path) -> None:
    """A terminal gets lines for eyes, and with NO_COLOR not one escape sequence."""
    with house(tmp_path) as home:
        ours, theirs = pty.openpty()
        try:
            command = [sys.executable, "-m", "identifai_watch", "run", "--config", str(home.config_path)]
            around = os.environ | {"IDENTIFAI_API_KEY": KEY, "NO_COLOR": "1"}
            process = subprocess.Popen(command, env=around, stderr=theirs, stdin=subprocess.DEVNULL)
            os.close(theirs)
            shown = _read_until(ours, b"started")
            assert Exit.OK == ended(process, signal.SIGTERM)
            shown += _read_until(ours, b"stopped")
        finally:
            os.close(ours)
    first, last = shown.decode().splitlines()[0], shown.decode().splitlines()[-1]
    assert b"\x1b" not in shown
    assert re.match(r"\d\d:\d\d:\d\d \[info +\] started ", first)
    assert re.match(r"\d\d:\d\d:\d\d \[info +\] stopped", last)


def _read_until(terminal: int, word: bytes) -> bytes:
    shown = b""
    while word not in shown or not shown.endswith(b"\n"):
        shown += os.read(terminal, 4096)
    return shown


# What it never shows.


def test_the_key_is_nowhere(tmp_path: Path) -> None:
    """Whatever the API says back, the key is in no line of the log, no byte of the ledger, no sidecar."""
    echo = {"error": f"The key {KEY} may not."}
    told_back = (
        Fault(kind=FaultKind.STATUS, match=Endpoint.UPLOAD, status=401, body=echo),
        Fault(kind=FaultKind.STATUS, match=Endpoint.UPLOAD, status=500, body=f"<p>{KEY}</p>"),
        Fault(
            kind=FaultKind.STATUS, match=Endpoint.UPLOAD, status=400, body={"image": [f"{KEY} is invalid"]}
        ),
    )
    verdicts = (
        Scripted(sha256=sha256("errored.png").hex(), errors=f"not for {KEY}"),
        says("odd.png", Label.HUMAN, fields={"details": [KEY], "unheard_of": {KEY: KEY}}),
    )
    with house(tmp_path, Script(faults=told_back, verdicts=verdicts), api={"uploads": 1}) as home:
        with home.process() as process:
            refused = picture(home.drop / "refused.png")
            wait_for(lambda: _says(home, "account paused"), "401 pauses the account")
            process.send_signal(signal.SIGHUP)
            assert "rejected" == home.sidecar(refused)["outcome"]
            assert "rejected" == home.sidecar(picture(home.drop / "errored.png"))["outcome"]
            assert "human" == home.sidecar(picture(home.drop / "odd.png"))["outcome"]
            assert Exit.OK == ended(process, signal.SIGTERM)
        with Ledger(home.ledger_url, node="here") as ledger, ledger.read() as tx:
            ids = [line.analysis.id for line in views.lines(tx) if line.analysis is not None]
            answers = [raw for key in ids if (raw := views.raw_answer(tx, key)) is not None]
        # Below the drop folder, the ledger and the log, there is nothing else.
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        shown = {path.name for path in files if KEY.encode() in path.read_bytes()}

    assert 3 == len(ids)
    assert 1 == len(answers)
    assert set() == shown
    assert not any(KEY.encode() in raw for raw in answers)


def _says(home: House, event: str) -> bool:
    return any(line["event"] == event for line in home.logged())


# What it leaves behind.


def test_a_daemon_that_ended_leaves_no_connection_open(tmp_path: Path) -> None:
    """After a stop nothing holds the ledger: its write-ahead log is gone, and another daemon can take it at once."""
    with house(tmp_path) as home:
        with home.daemon() as daemon:
            home.sidecar(picture(home.drop / "a.png"))
            quiet(daemon)
        gc.collect()
        left = sorted(path.name for path in (tmp_path / "state").iterdir())
        with home.daemon():
            home.sidecar(picture(home.drop / "b.png"))
    assert ["ledger.db", "ledger.db.lock"] == left


def test_files_that_never_cease_to_come_keep_nothing_else_from_its_turn(tmp_path: Path) -> None:
    """A round that only takes in what was heard asks the ledger for nothing; one in a while does all."""
    ends = threading.Event()
    with (
        house(tmp_path, folder={"settle_seconds": 600.0, "rescan_seconds": 600.0}) as home,
        home.daemon() as daemon,
    ):
        picture(home.drop / "settles.png")
        wait_for(lambda: daemon.settling == 1, "a file settles")
        workers = daemon.shift.workers

        def murmur(_tx: Transaction) -> None:
            if not ends.is_set():
                workers.tell(murmur, stirs=False)

        workers.tell(murmur, stirs=False)
        try:
            assert {"state": "paused"} == order(daemon, "pause", why="a quiet night")
        finally:
            ends.set()
