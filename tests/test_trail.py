"""The audit trail: who did what when, chained, so that whoever changes, inserts or removes a line is found out."""

import csv
import hashlib
import io
import json
import os
import pwd
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from alembic import command
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import LogCapture

from identifai_watch.cli import cli, opening
from identifai_watch.core import trail as chain
from identifai_watch.core.lifecycle import Policy
from identifai_watch.core.model import Label
from identifai_watch.core.trail import BEGINNING, Entry
from identifai_watch.daemon import Daemon
from identifai_watch.ledger import Ledger, history, migrate, sqlite, trail, views
from identifai_watch.ledger.step import Step
from identifai_watch.shift import Shift
from identifai_watch.simulator import Script
from tests.console import at
from tests.harness import KEY, House, house, wait_for
from tests.watching import picture, says, sha256

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
NUMBERS = st.none() | st.integers(min_value=1, max_value=2**40)
ENTRIES = st.builds(
    Entry,
    at=st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - Hypothesis adds the zone
    who=TEXTS,
    event=TEXTS,
    file_id=NUMBERS,
    analysis_id=NUMBERS,
    detail=TEXTS,
)


def chained(entries: Sequence[Entry]) -> list[bytes]:
    """Return the digest of each line of a chain."""
    digests = [BEGINNING]
    for entry in entries:
        digests.append(chain.digest(digests[-1], entry))
    return digests[1:]


@settings(deadline=None, max_examples=60)
@given(st.lists(ENTRIES, min_size=1, max_size=5), st.data())
def test_any_change_of_any_field_changes_every_later_digest(
    entries: list[Entry], data: st.DataObject
) -> None:
    """Whatever field of whatever line is another one, each digest from there on is another one, and none before."""
    place = data.draw(st.integers(0, len(entries) - 1))
    other = data.draw(ENTRIES)
    field = data.draw(st.sampled_from(["at", "who", "event", "file_id", "analysis_id", "detail"]))
    changed = replace(entries[place], **{field: getattr(other, field)})
    if changed == entries[place]:
        return
    before, after = chained(entries), chained([*entries[:place], changed, *entries[place + 1 :]])
    assert before[:place] == after[:place]
    assert all(was != now for was, now in zip(before[place:], after[place:], strict=True))


@settings(deadline=None, max_examples=60)
@given(st.lists(ENTRIES, min_size=2, max_size=5, unique=True), st.data())
def test_any_other_order_is_another_chain(entries: list[Entry], data: st.DataObject) -> None:
    """The same lines in another order, one less or one twice do not come to the same head."""
    shuffled = data.draw(st.permutations(entries))
    heads = {chained(entries)[-1], chained(entries[1:])[-1], chained([entries[0], *entries])[-1]}
    assert 3 == len(heads)
    assert (shuffled == entries) == (chained(shuffled)[-1] == chained(entries)[-1])


def test_a_field_cannot_pass_for_its_neighbour() -> None:
    """What moves from one field to the next, or from nothing to a text, is another line."""
    line = Entry(at=NOW, who="anna", event="paused", file_id=None, analysis_id=None, detail="{}")
    others = [
        replace(line, who="annapaused", event=""),
        replace(line, file_id=1),
        replace(line, analysis_id=1),
        replace(line, who="anna\ud800"),
    ]
    assert 5 == len({chain.digest(BEGINNING, one) for one in (line, *others)})


# On the ledger itself.


def typed(home: House, *words: str) -> Result:
    """Type a command in this process."""
    return CliRunner().invoke(cli, [*words, "--config", str(home.config_path)])


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Give a house in which a file was judged, paused over, and decided about by a person; it is left as it is."""
    script = Script(verdicts=(says("a", Label.ARTIFICIAL),))
    with house(tmp_path_factory.mktemp("judged"), script) as home:
        path = picture(home.drop / "a.png", "a")
        assert 0 == at(home, "once").status
        assert 0 == at(home, "pause", "--why", "budget talks").status
        ended = at(home, "decide", path, "human", "--reason", "the photographer sent the raw file")
        assert 0 == ended.status
        assert 0 == at(home, "resume").status
        assert 0 == at(home, "once").status
        yield home


@pytest.fixture
def desk(judged: House, tmp_path: Path) -> House:
    """Give a copy of that house."""
    shutil.copytree(judged.home, tmp_path, dirs_exist_ok=True, symlinks=True)
    return House(home=tmp_path, simulator=judged.simulator)


def listed(home: House, *words: str) -> list[dict[str, Any]]:
    """Return what ``history --json`` prints."""
    result = typed(home, "history", "--json", *words)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_history_says_who_did_what_when(desk: House) -> None:
    """Each line has the daemon or the operator by name, and the judgement has hash, identifier, version and heuristic."""
    found = listed(desk)
    assert sorted(one["id"] for one in found) == [one["id"] for one in found]
    by_event = {one["event"]: one for one in found}
    assert "daemon" == by_event["admitted"]["who"]
    judged = by_event["judged"]["detail"]
    paid, *_ = desk.simulator.state.charged  # the house lends its simulator to others too
    assert (sha256("a").hex(), paid.identifier) == (judged["sha256"], judged["identifier"])
    assert "artificial" == judged["verdict"]["classification"]
    assert {"api_version", "heuristic", "confidence"} <= set(judged["verdict"])
    with Ledger(desk.ledger_url, node="here") as ledger, ledger.read() as tx:
        raw = views.raw_answer(tx, 1)
    assert hashlib.sha256(raw or b"").hexdigest() == judged["answer_sha256"]
    decided = by_event["decided"]
    assert (opening.operator(), "drop", "a.png") == (decided["who"], decided["folder"], decided["path"])
    assert "the photographer sent the raw file" == decided["detail"]["reason"]
    delivered = [one["detail"] for one in found if one["event"] == "delivered"]
    assert ["artificial", "human"] == [one["outcome"] for one in delivered]
    assert "human" == delivered[-1]["decision"]


def test_history_and_show_read_well(desk: House) -> None:
    """For people a line has the time, who, what, the place, and a verdict with heuristic and version."""
    text = typed(desk, "history").stdout
    (judged,) = [line for line in text.splitlines() if "  judged" in line]
    verdict = listed(desk)[[one["event"] for one in listed(desk)].index("judged")]["detail"]["verdict"]
    said = f"artificial {verdict['confidence']:g} ({verdict['heuristic']}, API {verdict['api_version']})"
    assert said in judged
    (decided,) = [line for line in text.splitlines() if "  decided" in line]
    assert f"  {opening.operator()}" in decided
    assert "drop/a.png" in decided
    assert "reason: the photographer sent the raw file" in decided
    shown = " ".join(typed(desk, "show", str(desk.drop / "a.png")).stdout.split())
    assert said in shown
    paid, *_ = desk.simulator.state.charged  # the house lends its simulator to others too
    assert paid.identifier[:16] in shown
    assert "reason: the photographer sent the raw file" in shown


def test_history_can_be_cut_short(desk: House) -> None:
    """--limit gives the newest, the newest last; --since what happened since; nothing where there is no ledger."""
    found = listed(desk)
    assert found[-2:] == listed(desk, "--limit", "2")
    assert found == listed(desk, "--since", "1h")
    assert found[-3:] == listed(desk, "--since", "1h", "--limit", "3")
    assert [] == listed(desk, "--since", "2999-01-01")
    assert found == listed(desk, "--limit", "100000")


def test_a_house_without_a_ledger_has_no_history(tmp_path: Path) -> None:
    """It is empty, and there is nothing to verify."""
    with house(tmp_path) as home:
        assert [] == listed(home)
        ended = at(home, "history", "verify")
        assert (1, True) == (ended.status, "there is no ledger yet" in ended.err)


def test_a_whole_chain_is_verified(desk: House) -> None:
    """The command says how many lines there are and the head; an earlier head is found, a made-up one is not."""
    found = listed(desk)
    ended = at(desk, "history", "verify", "--json")
    said = json.loads(ended.out)
    assert 0 == ended.status
    assert (True, len(found), found[-1]["digest"], None) == (
        said["ok"],
        said["lines"],
        said["head"],
        said["gap"],
    )
    for head in (found[0]["digest"], found[-1]["digest"], BEGINNING.hex()):
        assert 0 == at(desk, "history", "verify", "--head", head).status
    ended = at(desk, "history", "verify", "--head", "ab" * 32)
    assert (1, True) == (ended.status, "no line has the head abab" in ended.out)
    assert 2 == at(desk, "history", "verify", "--head", "beef").status


def rechained(connection: sqlite3.Connection, number: int, after: int) -> bytes:
    """Return what the digest of a line would be behind another one, as whoever knows the recipe computes it."""
    ((before,),) = connection.execute("SELECT digest FROM history WHERE id = ?", (after,))
    row = connection.execute(
        "SELECT at, who, event, file_id, analysis_id, detail FROM history WHERE id = ?", (number,)
    ).fetchone()
    text = json.dumps(list(row), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(before + hashlib.sha256(text.encode()).digest()).digest()


def insert(connection: sqlite3.Connection) -> None:
    """Insert a line in the middle, rightly chained to the one before it, where one was taken out to make room."""
    connection.execute("UPDATE history SET id = id + 1000 WHERE id >= 3")
    connection.execute("INSERT INTO history (id, at, who, event) VALUES (3, 1, 'daemon', 'paused')")
    connection.execute("UPDATE history SET digest = ? WHERE id = 3", (rechained(connection, 3, 2),))


def forge(connection: sqlite3.Connection) -> None:
    """Change a line and give it the digest that follows: the line behind it still tells."""
    connection.execute("UPDATE history SET who = 'somebody else' WHERE id = 3")
    connection.execute("UPDATE history SET digest = ? WHERE id = 3", (rechained(connection, 3, 2),))


Tampering = Callable[[sqlite3.Connection], object]


@pytest.mark.parametrize(
    ("tamper", "line"),
    [
        (lambda db: db.execute("""UPDATE history SET detail = '{"reason": "none"}' WHERE id = 3"""), 3),
        (lambda db: db.execute("UPDATE history SET at = at + 1 WHERE id = 3"), 3),
        (lambda db: db.execute("UPDATE history SET analysis_id = NULL WHERE id = 3"), 3),
        (lambda db: db.execute("DELETE FROM history WHERE id = 3"), 4),
        (lambda db: db.execute("DELETE FROM history WHERE id < 3"), 3),
        (lambda db: db.execute("UPDATE history SET id = 1000 - id WHERE id BETWEEN 3 AND 4"), 5),
        (
            lambda db: db.execute(
                "INSERT INTO history (id, at, who, event) VALUES (-7, 1, 'anna', 'paused')"
            ),
            -7,
        ),
        (forge, 4),
        (insert, 1003),
    ],
    ids=[
        "a detail",
        "a time",
        "an analysis",
        "a line less",
        "the first less",
        "another order",
        "before all",
        "forged",
        "inserted",
    ],
)
def test_whoever_tampers_is_found_out(desk: House, tamper: Tampering, line: int) -> None:
    """With the guard taken away and the file changed directly, the first line that does not follow is named."""
    with closing(sqlite3.connect(desk.home / "state" / "ledger.db")) as connection, connection:
        for trigger in ("history_no_update", "history_no_delete"):
            connection.execute(f"DROP TRIGGER {trigger}")
        tamper(connection)
    ended = at(desk, "history", "verify")
    assert 1 == ended.status
    assert f"the chain is broken at line {line} (" in ended.out
    said = json.loads(at(desk, "history", "verify", "--json").out)
    assert (False, line) == (said["ok"], said["gap"]["id"])
    assert said["lines"] == len(listed(desk))
    assert 1 == at(desk, "ledger", "check").status


def test_only_an_earlier_head_tells_that_the_last_lines_are_gone(desk: House) -> None:
    """A chain that was cut short is whole in itself; the head that was written down before is no longer in it."""
    head = listed(desk)[-1]["digest"]
    with closing(sqlite3.connect(desk.home / "state" / "ledger.db")) as connection, connection:
        connection.execute("DROP TRIGGER history_no_delete")
        connection.execute("DELETE FROM history WHERE id > (SELECT max(id) - 2 FROM history)")
    assert 0 == at(desk, "history", "verify").status
    ended = at(desk, "history", "verify", "--head", head)
    assert (1, True) == (ended.status, "lines are gone, or the chain was made anew" in ended.out)


def test_a_tampered_line_can_still_be_listed(desk: House) -> None:
    """What is no JSON and no instant any more is shown all the same: somebody has to see it."""
    with closing(sqlite3.connect(desk.home / "state" / "ledger.db")) as connection, connection:
        connection.execute("DROP TRIGGER history_no_update")
        connection.execute("UPDATE history SET detail = 'no JSON', at = 9000000000000000000 WHERE id = 3")
    assert {"detail": "no JSON"} == listed(desk)[2]["detail"]
    assert "no JSON" in typed(desk, "history").stdout


# The chain that an older version made.


def of_old(path: Path) -> list[bytes]:
    """Make a ledger of an older version with three lines, and return the digests that they had there."""
    path.parent.mkdir(parents=True)
    engine = sqlite.engine(sa.make_url(f"sqlite:///{path}"))
    settings = migrate.config()
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0001")
        for at_us, why in ((1, "one"), (2, "caf\u00e9"), (3, "three")):
            detail = json.dumps({"why": why}, ensure_ascii=False)
            connection.exec_driver_sql(
                "INSERT INTO history (at, who, event, detail) VALUES (?, 'anna', 'paused', ?)",
                (at_us, detail),
            )
        command.upgrade(settings, "0002")
        found = [row.digest for row in connection.exec_driver_sql("SELECT digest FROM history ORDER BY id")]
    engine.dispose()
    return found


@pytest.mark.parametrize("broken", [None, 2])
def test_an_older_chain_is_made_anew_and_its_head_stays_known(tmp_path: Path, broken: int | None) -> None:
    """The last line names the old head, and where the old chain was broken: a migration hides no tampering."""
    path = tmp_path / "state" / "ledger.db"
    digests = of_old(path)
    text = '[1,"anna","paused",null,null,"{\\"why\\": \\"one\\"}"]'
    assert hashlib.sha256(bytes(32) + text.encode()).digest() == digests[0]
    if broken is not None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DROP TRIGGER history_no_update")
            connection.execute("UPDATE history SET who = 'somebody' WHERE id = ?", (broken,))
            connection.execute(
                "CREATE TRIGGER history_no_update BEFORE UPDATE ON history BEGIN SELECT RAISE(ABORT, 'x'); END"
            )
    with Ledger(f"sqlite:///{path}", node="here") as ledger:
        head, gap = trail.walk(ledger.read)
        with ledger.read() as tx:
            lines = list(trail.lines(tx))
    assert gap is None
    assert head is not None
    assert (4, "rechained") == (head.lines, lines[-1].entry.event)
    said = json.loads(lines[-1].entry.detail)
    assert {"head": digests[-1].hex(), "lines": 3, "broken": broken} == said


# Export.


def recomputed(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Compute a chain from an export, by the recipe of the command's help and nothing of the program."""
    before, found = bytes(32), []
    for row in rows:
        numbers = [int(row[name]) if row[name] else None for name in ("file_id", "analysis_id")]
        line = [int(row["at_us"]), row["who"], row["event"], *numbers, row["detail"]]
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode()
        before = hashlib.sha256(before + hashlib.sha256(text).digest()).digest()
        found.append(before.hex())
    return found


def test_anybody_can_compute_the_chain_from_an_export(desk: House, tmp_path: Path) -> None:
    """CSV and JSON lines hold all that a digest is made of; both come to the head that verify says."""
    picture(desk.drop / "=1+1 \x07 caf\u00e9 \U0001f4f7.png", "b")
    assert 0 == at(desk, "once").status
    output = tmp_path / "history.jsonl"
    assert 0 == typed(desk, "export", "--history", "--format", "jsonl", "-o", str(output)).exit_code
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    cells = list(csv.DictReader(io.StringIO(typed(desk, "export", "--history").stdout)))
    head = json.loads(at(desk, "history", "verify", "--json").out)["head"]
    for rows in (lines, cells):
        digests = recomputed(rows)
        assert digests == [row["digest"] for row in rows]
        assert head == digests[-1]
    assert "SHA-256" in typed(desk, "export", "--help").stdout


def test_a_chain_is_exported_whole(desk: House) -> None:
    """Filters of files do not go with it."""
    result = typed(desk, "export", "--history", "--folder", "drop")
    assert 2 == at(desk, "export", "--history", "--folder", "drop").status
    assert "a chain with links left out proves nothing" in str(result.output)


# The day's head in the log.


def heads(said: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, str]]:
    """Return the day, the number of lines and the head of each such line of a log."""
    return [(str(one["day"]), one["lines"], one["head"]) for one in said if one["event"] == "history head"]


def test_the_day_s_head_goes_to_the_log(tmp_path: Path) -> None:
    """Once at the start for the day before, and once when the day has changed, with the head that the chain had then."""
    ahead = timedelta()
    began, today = time.monotonic(), datetime.now(UTC).replace(hour=12)

    def clock() -> datetime:
        return today + timedelta(seconds=time.monotonic() - began) + ahead

    with house(tmp_path) as home, Ledger(home.ledger_url, node="here") as ledger:
        with ledger.write() as tx:
            history.record(
                tx, Step(now=today - timedelta(days=1), policy=Policy()), "paused", why="yesterday"
            )
        with ledger.read() as tx:
            yesterday = trail.head(tx)
        with ledger.write() as tx:
            history.record(tx, Step(now=today, policy=Policy()), "resumed")
        with ledger.read() as tx:
            last = trail.head(tx)
        assert yesterday is not None
        assert last is not None
        expected = [(str((today - timedelta(days=1)).date()), 1, yesterday.digest.hex())]
        said = LogCapture()
        log = structlog.wrap_logger(None, processors=[said], wrapper_class=structlog.stdlib.BoundLogger)
        daemon = Daemon(Shift(config=home.config(), ledger=ledger, clock=clock, log=log), lambda: KEY)
        thread = threading.Thread(target=daemon.run)
        thread.start()
        try:
            wait_for(lambda: heads(said.entries) == expected, "yesterday's head is logged")
            ahead = timedelta(days=1)
            expected.append((str(today.date()), 2, last.digest.hex()))
            wait_for(lambda: heads(said.entries) == expected, "today's head is logged when it is over")
        finally:
            daemon.stop()
            thread.join(20)
    assert heads(said.entries) == expected


def test_the_log_of_a_real_process_has_the_head(tmp_path: Path) -> None:
    """What the log says of the day before is what verify takes."""
    with house(tmp_path) as home:
        with Ledger(home.ledger_url, node="here") as ledger, ledger.write() as tx:
            history.record(
                tx,
                Step(now=datetime.now(UTC) - timedelta(days=1), policy=Policy()),
                "paused",
                why="yesterday",
            )
        with home.process():
            wait_for(lambda: heads(home.logged()), "the head is logged")
        ((_, lines, head),) = heads(home.logged())
        assert 1 == lines
        assert 0 == at(home, "history", "verify", "--head", head).status


# Who it was.


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        ("0", "root"),
        (str(2**32 - 1), pwd.getpwuid(os.getuid()).pw_name),
        ("4200000", "4200000"),
        ("", pwd.getpwuid(os.getuid()).pw_name),
    ],
    ids=["logged in", "nobody's login", "without a name", "unknown"],
)
def test_an_operator_is_known_by_the_login(tmp_path: Path, login: str, expected: str) -> None:
    """Whatever sudo did since, the kernel says who logged in; where it does not, the process's own user counts."""
    (tmp_path / "loginuid").write_text(login)
    assert expected == opening.operator(tmp_path / "loginuid")
    assert pwd.getpwuid(os.getuid()).pw_name == opening.operator(tmp_path / "none")
