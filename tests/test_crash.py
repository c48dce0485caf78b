"""Killed at each arrow: whatever instant ``kill -9`` chooses, the next start owes nothing and pays nothing twice."""

import hashlib
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from identifai_watch.core.events import Barred, Resumed
from identifai_watch.core.model import AnalysisState, PauseReason
from identifai_watch.ledger import Ledger, budget, desk, views
from identifai_watch.shift import utc_now
from identifai_watch.simulator import Endpoint, Fault, FaultKind, Script, judge
from tests.harness import House, house, wait_for
from tests.watching import content, picture

ACTIONS = ("sidecar", "move", "copy")
LARGE = 30_000_000
"""Bytes that no buffer on the way takes in: the upload stands still before its closing boundary."""


def outcome_of(found: bytes) -> str:
    """Return what the pretend identifAI judges of these bytes."""
    judgement = judge(hashlib.sha256(found).digest())
    return "uncertain" if judgement.unknown else str(judgement.label)


def expected(action: str, contents: dict[str, bytes]) -> tuple[dict[str, bytes], set[str]]:
    """Return which media have to lie in the drop folder in the end, and which of them have a sidecar beside them."""
    moved = {f"{outcome_of(found)}/{name}": found for name, found in contents.items()}
    match action:
        case "sidecar":
            return contents, set(contents)
        case "move":
            return moved, set(moved)
        case _:
            return contents | moved, set(contents | moved)


def media(home: House) -> dict[str, bytes]:
    """Return every file below the drop folder that is no sidecar; hidden ones too, for none may stay."""
    return {
        str(path.relative_to(home.drop)): path.read_bytes()
        for path in home.drop.rglob("*")
        if path.is_file() and not path.name.endswith(".identifai.json")
    }


def asked(home: House, query: str) -> list[tuple[Any, ...]]:
    """Ask the ledger while a daemon writes to it, cheaply, for the daemon is to have the machine."""
    path = home.home / "state" / "ledger.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def delivered(home: House) -> int:
    """Count the files that the ledger says are delivered."""
    ((number,),) = asked(home, "SELECT count(*) FROM files WHERE delivered_at IS NOT NULL")
    return int(number)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """End it as a power cut does."""
    process.kill()
    process.wait()


def assert_all_is_well(home: House, action: str, contents: dict[str, bytes]) -> None:
    """Every file has exactly one right sidecar where it belongs, every content was charged once, the ledger is whole."""
    lying, beside = expected(action, contents)
    sidecars = home.sidecars()
    assert lying == media(home)
    assert beside == set(sidecars)
    for name, sidecar in sidecars.items():
        found = lying[name]
        assert outcome_of(found) == sidecar["outcome"]
        assert hashlib.sha256(found).hexdigest() == sidecar["file"]["sha256"] == sidecar["response"]["hash"]
        assert name.rpartition("/")[2] == sidecar["file"]["name"]
    charged = [submission.sha256 for submission in home.simulator.state.charged]
    assert sorted({hashlib.sha256(found).digest() for found in contents.values()}) == sorted(charged)
    assert [("ok",)] == asked(home, "PRAGMA quick_check")
    assert [] == asked(home, "PRAGMA foreign_key_check")
    assert [(0,)] == asked(home, "SELECT count(*) FROM analyses WHERE doubt")


def told(home: House, name: str) -> list[str]:
    """Return what history says of the newest file of this name, in order."""
    with Ledger(home.ledger_url, node="here") as ledger, ledger.read() as tx:
        line = next(one for one in views.lines(tx) if one.file.path == name.encode())
        return [happening.event for happening in views.history_of(tx, line.file)]


def has(home: House, state: AnalysisState) -> bool:
    """Tell whether there are analyses, all in this state."""
    return [(state,)] == asked(home, "SELECT DISTINCT state FROM analyses")


def account_gets(home: House, event: Barred | Resumed) -> None:
    """Pause or resume the account in the ledger, as an operator's command does."""
    with Ledger(home.ledger_url, node="here") as ledger, ledger.write() as tx:
        budget.advance_account(tx, event, utc_now(), 0.5)


def a_house(home: Path, action: str, script: Script | None = None, **api: Any) -> Any:
    """Build a house whose folder delivers by ``action``."""
    return house(home, script, folder={"action": action, "settle_seconds": 0.1}, api=api)


# Killed at a chosen arrow.


@pytest.mark.parametrize("action", ["sidecar"])
def test_killed_after_it_was_admitted(tmp_path: Path, action: str) -> None:
    """On the disk: the file. In the ledger: a queued content. At the API: nothing. The next start sends it."""
    with a_house(tmp_path, action) as home:
        account_gets(home, Barred(PauseReason.OPERATOR, "not yet"))
        with home.process() as process:
            picture(home.drop / "a.png")
            wait_for(lambda: has(home, AnalysisState.QUEUED), "it is admitted")
            kill(process)
        account_gets(home, Resumed())
        with home.process():
            wait_for(lambda: delivered(home) == 1, "it is delivered")
        assert_all_is_well(home, action, {"a.png": content("a.png")})
        assert "deferred" not in told(home, "a.png")


@pytest.mark.parametrize("action", ["move"])
def test_killed_before_the_closing_boundary(tmp_path: Path, action: str) -> None:
    """A dead daemon cannot say how far it came: doubt is recorded, and the content is sent again."""
    stall = Fault(kind=FaultKind.STALL_BODY, match=Endpoint.UPLOAD)
    with a_house(tmp_path, action, Script(faults=(stall,))) as home:
        path = home.put("sample.png", "large.png", extra=bytes(LARGE))
        contents = {"large.png": path.read_bytes()}
        with home.process() as process:
            assert home.simulator.state.wait_for(lambda state: state.arrived(Endpoint.UPLOAD) == 1)
            kill(process)
        assert [] == list(home.simulator.state.charged)
        with home.process():
            wait_for(lambda: delivered(home) == 1, "it is delivered")
        assert_all_is_well(home, action, contents)
        assert 1 == told(home, "large.png").count("deferred")


@pytest.mark.parametrize(
    ("kind", "action"),
    [(FaultKind.STALL, "copy"), (FaultKind.RESET_AFTER, "sidecar")],
)
def test_killed_before_the_answer_came(tmp_path: Path, kind: FaultKind, action: str) -> None:
    """It was charged and nobody knows: doubt is recorded, and the resend is answered from the API's own cache."""
    withheld = Fault(kind=kind, match=Endpoint.UPLOAD)
    with a_house(tmp_path, action, Script(faults=(withheld,))) as home:
        with home.process() as process:
            picture(home.drop / "a.png")
            assert home.simulator.state.wait_for(lambda state: len(state.charged) == 1)
            kill(process)
        with home.process():
            wait_for(lambda: delivered(home) == 1, "it is delivered")
        assert_all_is_well(home, action, {"a.png": content("a.png")})
        assert "deferred" in told(home, "a.png")


def test_killed_while_a_rejudging_was_sent(tmp_path: Path) -> None:
    """A rejudging goes with ``no_cache`` once only: the resend after the crash goes without, and is not paid again."""
    with a_house(tmp_path, "sidecar") as home:
        with home.process() as process:
            picture(home.drop / "a.png")
            wait_for(lambda: delivered(home) == 1, "it is delivered")
            home.simulator.change(faults=(Fault(kind=FaultKind.STALL, match=Endpoint.UPLOAD),))
            (line,) = home.lines()
            with Ledger(home.ledger_url, node="here") as ledger, ledger.write() as tx:
                desk.ask(tx, "rejudge", {"files": [line.file.id]}, who="anna", now=utc_now())
            assert home.simulator.state.wait_for(lambda state: len(state.charged) == 2)
            kill(process)
        with home.process():
            wait_for(lambda: home.simulator.state.arrived(Endpoint.UPLOAD) == 3, "it is sent again")
            wait_for(lambda: has(home, AnalysisState.JUDGED), "it is judged")
        assert [False, True] == [submission.no_cache for submission in home.simulator.state.charged]
        assert "deferred" in told(home, "a.png")


@pytest.mark.parametrize("action", ["copy"])
def test_killed_while_verdicts_were_awaited(tmp_path: Path, action: str) -> None:
    """The identifiers stand in the ledger: they are asked for again, and nothing is sent again."""
    names = ["a.png", "b.png", "c.png"]
    with a_house(tmp_path, action, Script(delay=3600)) as home:
        with home.process() as process:
            for name in names:
                picture(home.drop / name)
            wait_for(lambda: len(home.simulator.state.charged) == 3, "they are charged")
            wait_for(lambda: has(home, AnalysisState.AWAITING), "they are awaited")
            kill(process)
        home.simulator.change(delay=0)
        with home.process():
            wait_for(lambda: delivered(home) == 3, "they are delivered")
        assert_all_is_well(home, action, {name: content(name) for name in names})
        assert 3 == home.simulator.state.arrived(Endpoint.UPLOAD)


# Killed at any instant.


def progress(home: House) -> int:
    """Return how far a run has come: contents charged, and sidecars written, hidden names and all."""
    return len(home.simulator.state.charged) + sum(
        path.name.endswith(".identifai.json") for path in home.drop.rglob("*")
    )


@pytest.mark.parametrize("action", ACTIONS)
def test_killed_again_and_again_at_any_instant(tmp_path: Path, action: str) -> None:
    """Killed three times while it sends and delivers 24 files, among them copies: all is as if it never was."""
    chance = Random(f"kill {action}")
    names = [f"{number:02}.png" for number in range(24)]
    contents = {name: content(f"{int(name[:2]) % 20}") for name in names}
    with a_house(tmp_path, action) as home:
        for name, found in contents.items():
            (home.drop / name).write_bytes(found)
        for share in sorted(chance.uniform(0.05, 0.95) for _ in range(3)):
            with home.process() as process:
                goal = int(share * 44)
                _kill_when(process, lambda goal=goal: progress(home) >= goal)  # type: ignore[misc] - bound at once
        with home.process():
            wait_for(lambda: delivered(home) == 24, "all are delivered", 60)
        assert_all_is_well(home, action, contents)


def _kill_when(process: "subprocess.Popen[bytes]", reached: Callable[[], bool]) -> None:
    wait_for(lambda: reached() or process.poll() is not None, "it has come so far")
    assert process.poll() is None
    kill(process)
