"""What is old may go: raw answers that nobody will ask for, and requests; never a verdict, nor a line of history."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from identifai_watch.core.model import Label
from identifai_watch.ledger import Ledger, prune, views
from identifai_watch.ledger.prune import Pruned
from identifai_watch.simulator import Script
from tests.console import at
from tests.harness import SUFFIX, House, house
from tests.watching import picture, says

SCHEMA = json.loads(
    (Path(__file__).parent.parent / "identifai_watch/schema/sidecar.schema.json").read_text(encoding="utf-8")
)
VERDICTS = (
    says("plain", Label.HUMAN, confidence=0.9),
    says("decided", Label.HUMAN, confidence=0.9),
    says("artificial", Label.ARTIFICIAL, confidence=0.9),
    says("unclear", Label.HUMAN, unknown=True),
    says("waits", Label.HUMAN, confidence=0.9),
)
OLD = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Give a house in which a file of each kind was judged, and one is not delivered yet; it is left as it is."""
    with house(tmp_path_factory.mktemp("judged"), Script(verdicts=VERDICTS)) as one:
        for name in ("plain", "decided", "artificial", "unclear", "waits"):
            picture(one.drop / f"{name}.png", name)
        assert 0 == at(one, "once").status
        assert (
            0 == at(one, "decide", one.drop / "decided.png", "inconclusive", "--reason", "odd light").status
        )
        assert 0 == at(one, "once").status
        tell(one, "UPDATE files SET state = 'waiting', stuck_at = 1 WHERE name = CAST('waits.png' AS BLOB)")
        yield one


@pytest.fixture
def home(judged: House, tmp_path: Path) -> House:
    """Give a copy of that house."""
    shutil.copytree(judged.home, tmp_path, dirs_exist_ok=True)
    return House(home=tmp_path, simulator=judged.simulator)


def tell(home: House, statement: str) -> None:
    """Change the ledger directly."""
    with closing(sqlite3.connect(home.home / "state" / "ledger.db")) as connection, connection:
        connection.execute(statement)


def put_copy(home: House, state: str, outcome: str, decision: str | None) -> None:
    """Change what the ledger has of ``copy.png`` directly."""
    with closing(sqlite3.connect(home.home / "state" / "ledger.db")) as connection, connection:
        connection.execute(
            "UPDATE files SET state = ?, outcome = ?, decision = ? WHERE name = ?",
            (state, outcome, decision, b"copy.png"),
        )


def asked(home: House, query: str) -> list[Any]:
    """Return the first column of what a query finds."""
    with closing(sqlite3.connect(home.home / "state" / "ledger.db")) as connection:
        return [first for first, *_ in connection.execute(query)]


def answered(home: House) -> set[str]:
    """Return the files of whose content the raw answer is kept."""
    query = "SELECT name FROM files WHERE analysis_id IN (SELECT analysis_id FROM answers)"
    return {name.decode().removesuffix(".png") for name in asked(home, query)}


def test_only_plain_answers_that_are_delivered_go(home: House) -> None:
    """What is artificial, uncertain, decided or waits keeps its answer; verdicts and history are as they were."""
    everything = {"plain", "decided", "artificial", "unclear", "waits"}
    assert everything == answered(home)
    lines = asked(home, "SELECT count(*) FROM history")
    size = asked(
        home,
        "SELECT length(raw) FROM answers JOIN files USING (analysis_id) WHERE name = CAST('plain.png' AS BLOB)",
    )
    rehearsed = json.loads(at(home, "ledger", "prune", "--older-than", "0m", "--dry-run", "--json").out)
    assert {"answers": 1, "bytes": size[0], "requests": 0} == rehearsed
    assert (everything, lines) == (answered(home), asked(home, "SELECT count(*) FROM history"))
    ended = at(home, "ledger", "prune", "--older-than", "0m", "--json")
    assert rehearsed == json.loads(ended.out)
    assert everything - {"plain"} == answered(home)
    assert 5 == len(asked(home, "SELECT verdict FROM analyses WHERE verdict IS NOT NULL"))
    assert [lines[0] + 1] == asked(home, "SELECT count(*) FROM history")
    assert ["pruned"] == asked(home, "SELECT event FROM history ORDER BY id DESC LIMIT 1")
    assert 0 == at(home, "history", "verify").status


def test_what_is_younger_stays(home: House) -> None:
    """The age is that of the verdict; a second time there is nothing left to take."""
    assert "0 answers (0 bytes) and 0 requests" in at(home, "ledger", "prune", "--older-than", "1d").out
    assert "plain" in answered(home)
    tell(home, "UPDATE analyses SET judged_at = judged_at - 172800000000")
    ended = at(home, "ledger", "prune", "--older-than", "1d", "--dry-run")
    assert "1 answers" in ended.out
    assert "would be taken; nothing was done." in ended.out
    assert "Took 1 answers" in at(home, "ledger", "prune", "--older-than", "1d").out
    assert "Took 0 answers" in at(home, "ledger", "prune", "--older-than", "1d").out


def test_a_pruned_verdict_is_delivered_and_shown_as_any_other(home: House) -> None:
    """A later delivery writes `response: null` and all else as before; show and judge read as before."""
    path = home.drop / "plain.png"
    before = json.loads(path.with_name(path.name + SUFFIX).read_text(encoding="utf-8"))
    shown = at(home, "judge", path, "--json")
    assert 0 == at(home, "ledger", "prune", "--older-than", "0m").status
    again = at(home, "judge", path, "--json")
    assert (shown.status, json.loads(shown.out) | {"response": None}) == (again.status, json.loads(again.out))
    assert 0 == home.command("show", str(path)).returncode
    ended = at(home, "decide", path, "confirmed", "--reason", "as it says")
    assert 0 == ended.status
    assert 1 == at(home, "once").status  # one is stuck
    after = json.loads(path.with_name(path.name + SUFFIX).read_text(encoding="utf-8"))
    jsonschema.validate(after, SCHEMA)
    assert (None, "confirmed") == (after["response"], after["decision"]["choice"])
    same = set(before) - {"response", "decision", "reason", "times"}
    assert {key: before[key] for key in same} == {key: after[key] for key in same}
    assert 5 == len(home.simulator.state.charged)


def test_a_heatmap_and_its_answer_stay(home: House) -> None:
    """An answer that has its heatmap, or waits for it, is delivered with it: neither goes."""
    tell(home, "UPDATE answers SET heatmap = x'89504e47'")
    assert "Took 0 answers" in at(home, "ledger", "prune", "--older-than", "0m").out
    tell(home, "UPDATE answers SET heatmap = NULL")
    tell(home, "UPDATE analyses SET heatmap_due = 1")
    assert "Took 0 answers" in at(home, "ledger", "prune", "--older-than", "0m").out


def test_every_copy_of_a_content_has_to_be_done_with(home: House) -> None:
    """One copy that waits, or that somebody decided about, keeps the answer for all of them, wherever it is now."""
    picture(home.drop / "copy.png", "plain")
    assert 1 == at(home, "once").status  # one is stuck
    for state, outcome, decision in (
        ("waiting", "human", None),
        ("delivered", "human", "human"),
        ("gone", "artificial", None),
    ):
        put_copy(home, state, outcome, decision)
        assert "Took 0 answers" in at(home, "ledger", "prune", "--older-than", "0m").out
    put_copy(home, "gone", "human", None)
    assert "Took 1 answers" in at(home, "ledger", "prune", "--older-than", "0m").out


def test_requests_that_a_limit_may_still_count_stay(home: House) -> None:
    """However young they may be by the option, those of the purse's day are kept; older ones go, in many steps."""
    now = datetime.now(UTC)
    young = asked(home, "SELECT count(*) FROM requests")
    with Ledger(home.ledger_url, node="test") as ledger:
        with ledger.write() as tx:
            for number in range(prune.AT_ONCE * 2 + 7):
                old = int((OLD + timedelta(seconds=number)).timestamp()) * 1_000_000
                tx.exec_driver_sql("INSERT INTO requests (at, method) VALUES (?, 'GET')", (old,))
        expected = Pruned(answers=0, bytes=0, requests=prune.AT_ONCE * 2 + 7)
        before = OLD + timedelta(hours=1)
        assert expected == prune.prunable(ledger.read, before, now)
        assert expected == prune.prune(ledger.write, before, now)
        assert 0 == prune.prune(ledger.write, now, now).requests
        with ledger.read() as tx:
            assert (
                young[0]
                == len(views.posts(tx, OLD))
                + tx.exec_driver_sql("SELECT count(*) FROM requests WHERE method = 'GET'").scalar_one()
            )


def test_a_daemon_goes_on_meanwhile(home: House) -> None:
    """The ledger is pruned in short transactions while a daemon runs, which is not disturbed."""
    with home.daemon():
        assert "Took 1 answers" in at(home, "ledger", "prune", "--older-than", "0m").out
        home.sidecar(picture(home.drop / "later.png", "later"))
