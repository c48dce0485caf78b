"""Killed at any instant: whenever ``kill -9`` comes, the next start owes nothing and pays nothing twice.

``test_killing.py`` kills at each point where state is written; here chance chooses, among many files.
"""

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.harness import House, house, wait_for
from tests.soundness import asked, assert_ledger_is_whole, media, outcome_of
from tests.watching import content

ACTIONS = ("sidecar", "move", "copy")
FILES, CONTENTS = 24, 20


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


def delivered(home: House) -> int:
    """Count the files that the ledger says are delivered."""
    ((number,),) = asked(home, "SELECT count(*) FROM files WHERE delivered_at IS NOT NULL")
    return int(number)


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
    assert_ledger_is_whole(home)


def progress(home: House) -> int:
    """Return how far a run has come: contents charged, and sidecars written, hidden names and all."""
    return len(home.simulator.state.charged) + sum(
        path.name.endswith(".identifai.json") for path in home.drop.rglob("*")
    )


@pytest.mark.parametrize("action", ACTIONS)
def test_killed_again_and_again_at_any_instant(
    tmp_path: Path, action: str, record_property: Callable[[str, object], None]
) -> None:
    """Killed three times while it sends and delivers 24 files, among them copies: all is as if it never was."""
    chance = Random(f"kill {action}")
    names = [f"{number:02}.png" for number in range(FILES)]
    contents = {name: content(f"{int(name[:2]) % CONTENTS}") for name in names}
    with house(tmp_path, folder={"action": action, "settle_seconds": 0.1}) as home:
        for name, found in contents.items():
            (home.drop / name).write_bytes(found)
        for share in sorted(chance.uniform(0.05, 0.95) for _ in range(3)):
            with home.process() as process:
                goal = int(share * (FILES + CONTENTS))
                _kill_when(process, lambda goal=goal: progress(home) >= goal)  # type: ignore[misc] - bound at once
        with home.process():
            wait_for(lambda: delivered(home) == FILES, "all are delivered", 60)
        charged = len(home.simulator.state.charged)
        lost = FILES - len(set(contents) & {name.rpartition("/")[2] for name in media(home)})
        for figure, number in (
            ("kills", 3),
            ("files", FILES),
            ("lost", lost),
            ("charged_twice", max(0, charged - CONTENTS)),
        ):
            record_property(figure, number)
        assert_all_is_well(home, action, contents)


def _kill_when(process: "subprocess.Popen[bytes]", reached: Callable[[], bool]) -> None:
    """End it as a power cut does, once it has come so far."""
    wait_for(lambda: reached() or process.poll() is not None, "it has come so far")
    assert process.poll() is None
    process.kill()
    process.wait()
