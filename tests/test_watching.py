"""``status --watch``: live until Ctrl-C, for people and for machines, and light on the ledger."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pexpect
import pytest

from identifai_watch.cli.watching import LONGEST, Outlook
from identifai_watch.core.model import AccountState
from identifai_watch.ledger import Ledger, desk
from identifai_watch.shift import utc_now
from tests.console import at
from tests.harness import KEY, House, house

EVERY = ["--every", "0.2"]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """Give a house whose simulator answers at once."""
    with house(tmp_path) as one:
        yield one


def command_of(home: House, *words: str) -> list[str]:
    """Return ``status --watch`` of a house as a process of its own."""
    program = [sys.executable, "-m", "identifai_watch", "status", "--watch"]
    return [*program, *EVERY, *words, "--config", str(home.config_path)]


@contextmanager
def watching(home: House, *words: str, **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """Run it in a pipe."""
    process = subprocess.Popen(command_of(home, *words), stdout=subprocess.PIPE, text=True, **options)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def account(line: str) -> str:
    """Return how the account is by a line of JSON."""
    found: str = json.loads(line)["account"]["state"]
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_machines_get_one_object_a_line(home: House, number: int) -> None:
    """From before there is a ledger until something changed; a signal ends it with 0, and no line is cut."""
    with watching(home, "--json", stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        assert 0 == at(home, "pause").status
        while account(lines[-1]) == "ok":
            lines.append(process.stdout.readline())
        process.send_signal(number)
        rest, complaints = process.communicate(timeout=20)
        assert (0, "") == (process.returncode, complaints)
    alone = json.loads(at(home, "status", "--json").out)
    assert all(["at", *alone] == list(json.loads(line)) for line in lines)
    assert all(account(one) == "paused" for one in rest.splitlines())
    assert rest == "" or rest.endswith("\n")


def test_a_pipe_is_told_of_changes(home: House) -> None:
    """How things stood and when, and how they stand once something changed; nothing in it is for a terminal."""
    with watching(home) as process:
        assert process.stdout is not None
        heads = [process.stdout.readline()]
        assert 0 == at(home, "pause", "--why", "a fire drill").status
        said = ""
        while "an operator paused it" not in said:
            line = process.stdout.readline()
            heads += [line] if line.endswith(" UTC\n") else []
            said += line
    assert len(heads) in {2, 3}  # the ledger is made, then written to
    assert "\x1b" not in said


def test_a_reader_that_went_away_ends_it(home: House) -> None:
    """As with ``head``: nothing is said, and the exit status is 0."""
    with watching(home, "--json", stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert (0, "") == (process.wait(20), process.stderr.read())


def test_people_see_it_live_and_ctrl_c_ends_it(home: House) -> None:
    """It is drawn on a screen of its own, follows the terminal's width, and leaves the last of it behind."""
    home.put("sample.png")
    around = os.environ | {"TERM": "xterm", "IDENTIFAI_API_KEY": KEY}
    around.pop("COLUMNS", None)  # xdist sets it
    terminal = pexpect.spawn(*spawned(command_of(home)), env=around, dimensions=(40, 80), encoding="utf-8")
    terminal.expect_exact("\x1b[?1049h")
    terminal.expect("delivered 0.*again every 0.2 s; Ctrl-C ends it")
    assert 0 == at(home, "once").status
    terminal.expect("delivered 1.*Ctrl-C ends it")
    terminal.setwinsize(40, 40)
    terminal.expect_exact(", noticed by scan")  # as it is written where there is no room for a table
    terminal.sendintr()
    terminal.expect_exact("\x1b[?1049l")
    assert "\x1b[?25h" in terminal.before  # the cursor is back
    rest = terminal.read()
    terminal.wait()
    terminal.close()
    assert (0, True, False) == (terminal.exitstatus, "delivered 1" in rest, "Traceback" in rest)


def spawned(command: list[str]) -> tuple[str, list[str]]:
    """Return a command as pexpect takes it."""
    return command[0], command[1:]


def test_the_ledger_is_asked_when_somebody_wrote(home: House) -> None:
    """Else the report is the one from before, until it is too old; and no transaction stays open."""
    config, now = home.config(), utc_now()
    with closing(Outlook(config)) as outlook, Ledger(home.ledger_url, node="here") as ledger:
        first = outlook.report(now)
        assert outlook.report(now + LONGEST - timedelta(seconds=1)) is first
        assert outlook.report(now + LONGEST) is not first
        with ledger.write() as tx:
            desk.ask(tx, "pause", {}, who="me", now=now)
        second = outlook.report(now + LONGEST)
        assert second is not first
        assert outlook.report(now + LONGEST) is second
        with closing(sqlite3.connect(home.home / "state" / "ledger.db")) as other:
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


def test_a_ledger_that_is_replaced_is_seen(home: House) -> None:
    """A restore puts another file in its place."""
    path = home.home / "state" / "ledger.db"
    with closing(Outlook(home.config())) as outlook:
        assert outlook.report(utc_now()).account.state is AccountState.OK
        assert 0 == at(home, "pause").status
        assert outlook.report(utc_now()).account.state is AccountState.PAUSED
        assert 0 == at(home, "ledger", "backup", home.home / "copy.db").status
        path.unlink()
        assert outlook.report(utc_now()).account.state is AccountState.OK
        (home.home / "copy.db").rename(path)
        assert outlook.report(utc_now()).account.state is AccountState.PAUSED


def test_metrics_are_not_watched(home: House) -> None:
    """A scraper comes by itself."""
    assert 2 == at(home, "status", "--watch", "--metrics").status
