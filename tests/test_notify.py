"""Whoever is configured is told of each new outcome, once; nothing waits for them, and no secret of theirs is shown."""

import json
import re
import socket
import sqlite3
import stat
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from identifai_watch import config as configuration
from identifai_watch.cli.preflight import telling
from identifai_watch.core.model import Label, Outcome
from identifai_watch.core.notices import MOST_WAITING
from identifai_watch.ledger import Ledger
from identifai_watch.ledger import notices as outbox
from identifai_watch.notify import signing_key
from identifai_watch.notify.webhook import signature
from identifai_watch.simulator import Script
from tests.console import at
from tests.field.clock import Clock
from tests.harness import KEY, House, house, wait_for
from tests.older import set_back
from tests.receiving import Call, Receiver, receiving
from tests.test_never_stale import told
from tests.watching import folders, line, order, picture, quiet, says

SCRIPT = Script(verdicts=(says("a", Label.ARTIFICIAL), says("h", Label.HUMAN)))
ALL_ARTIFICIAL = Script(verdicts=tuple(says(f"{one}.png", Label.ARTIFICIAL) for one in range(6)))
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def recorder(home: Path, status: int = 0) -> tuple[list[str], Path]:
    """Write a command that notes how it was called, and return it with the file where it notes that."""
    notes, program = home / "told.jsonl", home / "tell.py"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys\n"
        f"with open({str(notes)!r}, 'a') as file:\n"
        "    said = {'words': sys.argv[1:], 'around': dict(os.environ), 'input': json.load(sys.stdin)}\n"
        "    file.write(json.dumps(said) + '\\n')\n"
        f"sys.exit({status})\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return [str(program), "a word"], notes


def noted(notes: Path) -> list[dict[str, Any]]:
    """Return how the command was called so far."""
    if not notes.exists():
        return []
    return [json.loads(text) for text in notes.read_text(encoding="utf-8").splitlines()]


def private(path: Path, text: str) -> str:
    """Write a file that nobody else can read, and return its path."""
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return str(path)


def waiting(home: House) -> int:
    """Return how many notices still wait in the ledger."""
    ledger = home.home / "state" / "ledger.db"
    with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as connection:
        return int(connection.execute("SELECT count(*) FROM tellings").fetchone()[0])


def troubles(home: House) -> list[str]:
    """Return why those who wait could not be told yet."""
    with Ledger(home.ledger_url, node="here") as ledger, ledger.read() as tx:
        return [one.trouble for one in outbox.queues(tx, ledger.member) if one.trouble is not None]


def all_told(home: House) -> None:
    """Wait until nobody is to be told anything any more."""
    wait_for(lambda: waiting(home) == 0, "all is told")


def reasons(log: list[dict[str, Any]], event: str) -> list[str]:
    """Return the reasons of an event in the log."""
    return [entry["reason"] for entry in log if entry["event"] == event]


def titles(receiver: Receiver) -> list[str]:
    """Return the titles of the notices that came."""
    return [call.document["title"] for call in receiver.calls]


# A command.


def test_a_command_is_told_of_each_outcome_in_on_once(tmp_path: Path) -> None:
    """It gets the sidecar's path, a few words and the document; what is not in ``on`` is not told, nor the same again."""
    command, notes = recorder(tmp_path)
    with house(tmp_path, SCRIPT, more={"notify": {"command": command}}) as home, home.process():
        human = picture(home.drop / "h.png", "h")
        told(human, Outcome.HUMAN)
        path = picture(home.drop / "in" / "a.png", "a")
        sidecar = told(path, Outcome.ARTIFICIAL)
        wait_for(lambda: noted(notes), "it is told")
        at(home, "retry", path)
        told(path, Outcome.ARTIFICIAL)
        all_told(home)
    (call,) = noted(notes)
    beside = f"{path}.identifai.json"
    assert ["a word", beside] == call["words"]
    assert ("outcome", "artificial", "drop", "in/a.png", str(path), beside) == tuple(
        call["around"][f"IDENTIFAI_{name}"]
        for name in ("KIND", "OUTCOME", "FOLDER", "PATH", "SHOWN_AT", "SIDECAR")
    )
    assert sidecar == call["input"]["sidecar"]
    assert call["around"]["IDENTIFAI_ID"] == call["input"]["id"]
    assert KEY not in json.dumps(call)


@pytest.mark.parametrize(("status", "times"), [(1, 1), (75, 2)])
def test_a_command_is_run_again_only_if_it_asks_for_that(tmp_path: Path, status: int, times: int) -> None:
    """Nobody knows what one that failed did before; with the status 75 it says that it did nothing."""
    command, notes = recorder(tmp_path, status)
    with house(tmp_path, SCRIPT, more={"notify": {"command": command}}) as home, home.daemon():
        told(picture(home.drop / "a.png", "a"), Outcome.ARTIFICIAL)
        wait_for(lambda: len(noted(notes)) >= times, "it is run")
        if times == 1:
            all_told(home)
    found = noted(notes)
    assert 1 == len({call["input"]["id"] for call in found})
    assert (times == 1) == (len(found) == 1)


# A webhook.


def verified_as_the_readme_says(headers: dict[str, str], body: bytes, secret: str) -> bool:
    """Have what came verified by the very code that the README gives to those who receive it."""
    (code,) = re.findall(r"```python\n(import base64.*?)```", README, re.DOTALL)
    around: dict[str, Any] = {}
    exec(code, around)  # noqa: S102 - the README's own
    return bool(around["is_ours"](headers, body, secret))


def test_a_webhook_gets_what_the_sidecar_says_signed(tmp_path: Path) -> None:
    """A receiver who follows the README knows that it is ours, and what was altered or is old is not."""
    key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    file = private(tmp_path / "secret", f"{key}\n")
    with receiving() as receiver:
        more = {"notify": {"webhook": receiver.url, "webhook_secret_file": file}}
        with house(tmp_path, SCRIPT, more=more) as home, home.daemon():
            sidecar = told(picture(home.drop / "a.png", "a"), Outcome.ARTIFICIAL)
            (call,) = receiver.wait(1)
    document = call.document
    assert sidecar == document["sidecar"]
    assert ("outcome", "drop", "a.png", "artificial") == tuple(
        document[name] for name in ("kind", "folder", "path", "outcome")
    )
    assert document["id"] == call.headers["webhook-id"]
    assert verified_as_the_readme_says(call.headers, call.body, key)
    assert not verified_as_the_readme_says(call.headers, call.body + b" ", key)
    assert not verified_as_the_readme_says(call.headers, call.body, "another")
    assert not verified_as_the_readme_says(call.headers | {"webhook-timestamp": "1"}, call.body, key)
    now = datetime.now(UTC)
    headers = {"webhook-id": "u", "webhook-timestamp": str(int(now.timestamp()))}
    headers["webhook-signature"] = signature(signing_key("tea and cake"), "u", now, b"{}")
    assert verified_as_the_readme_says(headers, b"{}", "tea and cake")


def test_a_secret_that_everybody_can_read_signs_nothing(tmp_path: Path) -> None:
    """Nothing is posted unsigned then; it is told how to mend it, and the notice follows once it is."""
    secret = tmp_path / "secret"
    secret.write_text("tea and cake")
    secret.chmod(0o644)
    with receiving() as receiver:
        more = {"notify": {"webhook": receiver.url, "webhook_secret_file": str(secret)}}
        with house(tmp_path, SCRIPT, more=more) as home, home.daemon():
            told(picture(home.drop / "a.png", "a"), Outcome.ARTIFICIAL)
            wait_for(lambda: troubles(home), "it is not told")
            assert [] == receiver.calls
            assert f"chmod 600 {secret}" in troubles(home)[0]
            secret.chmod(0o600)
            receiver.wait(1)
    assert "webhook-signature" in receiver.calls[0].headers


def test_a_webhook_that_fails_is_told_again_with_the_same_words(tmp_path: Path) -> None:
    """What comes again has the same id and the same bytes."""
    answers = iter([500, None, 302])
    with (
        receiving(lambda _: next(answers, 200)) as receiver,
        house(tmp_path, SCRIPT, more={"notify": {"webhook": receiver.url}}) as home,
        home.daemon(),
    ):
        told(picture(home.drop / "a.png", "a"), Outcome.ARTIFICIAL)
        receiver.wait(4)
        all_told(home)
    assert 4 == len(receiver.calls)
    assert 1 == len({(call.headers["webhook-id"], call.body) for call in receiver.calls})


def test_what_a_receiver_will_not_take_keeps_nothing_else_waiting(tmp_path: Path) -> None:
    """A notice that is refused for itself is dropped; the next one is told."""
    with receiving(lambda call: 422 if "a.png" in call.document["path"] else 200) as receiver:
        more = {"notify": {"webhook": receiver.url}}
        with house(tmp_path, ALL_ARTIFICIAL, more=more) as home, home.daemon():
            home.simulator.change(verdicts=(*SCRIPT.verdicts, *ALL_ARTIFICIAL.verdicts))
            told(picture(home.drop / "a.png", "a"), Outcome.ARTIFICIAL)
            receiver.wait(1)
            told(picture(home.drop / "1.png"), Outcome.ARTIFICIAL)
            receiver.wait(2)
            all_told(home)
    assert ["a.png", "1.png"] == [call.document["path"] for call in receiver.calls]


def test_nobody_who_listens_keeps_anything_up(tmp_path: Path) -> None:
    """A receiver that does not answer, and a command that is not there, hold no verdict back, nor one another, nor the end."""
    release = threading.Event()
    with receiving(lambda _: 200 if release.wait(60) else 500) as receiver:
        more = {"notify": {"webhook": receiver.url, "command": ["/not/there"]}}
        with house(tmp_path, ALL_ARTIFICIAL, more=more) as home, home.process() as process:
            for one in range(3):
                told(picture(home.drop / f"{one}.png"), Outcome.ARTIFICIAL)
            assert [] == receiver.calls
            wait_for(lambda: reasons(home.logged(), "not told yet"), "the command is logged")
            process.terminate()
            assert 0 == process.wait(10)
            release.set()
    assert "/not/there cannot be run" in reasons(home.logged(), "not told yet")[0]


# What survives.


def test_no_end_of_the_daemon_loses_a_notice_and_only_a_lost_answer_tells_it_twice(tmp_path: Path) -> None:
    """The daemon is killed before it hears that the receiver has the first: that one comes again with its id, the others once."""
    came, go_on = threading.Event(), threading.Event()

    def answer(_: Call) -> int:
        came.set()
        go_on.wait(60)
        return 200

    with (
        receiving(answer) as receiver,
        house(tmp_path, ALL_ARTIFICIAL, more={"notify": {"webhook": receiver.url}}) as home,
    ):
        with home.process() as process:
            for one in range(3):
                told(picture(home.drop / f"{one}.png"), Outcome.ARTIFICIAL)
                assert came.wait(30)
            process.kill()
            process.wait()
        assert 3 == waiting(home)
        go_on.set()
        receiver.wait(1)
        home.log.unlink()
        with home.process():
            told(picture(home.drop / "3.png"), Outcome.ARTIFICIAL)
            all_told(home)
    assert ["0.png", *(f"{one}.png" for one in range(4))] == [
        call.document["path"] for call in receiver.calls
    ]
    lost, again = (call.headers["webhook-id"] for call in receiver.calls[:2])
    assert lost == again


def test_a_verdict_that_comes_late_is_told(tmp_path: Path) -> None:
    """A file that was let go unchecked is told of when its verdict comes, however often the daemon was started meanwhile."""
    script = Script(delay=3600, verdicts=SCRIPT.verdicts)
    folder = {"release_after_minutes": 0.005, "action": "move"}
    with receiving() as receiver:
        more = {"notify": {"webhook": receiver.url}}
        with house(tmp_path, script, folder=folder, more=more) as home:
            with home.daemon():
                picture(home.drop / "a.png", "a")
                told(home.drop / "unchecked" / "a.png", Outcome.UNCHECKED)
            home.simulator.change(delay=0)
            with home.daemon() as daemon:
                receiver.wait(1)
                quiet(daemon)
    assert ["artificial"] == [call.document["outcome"] for call in receiver.calls]
    assert str(home.drop / "unchecked" / "a.png") == receiver.calls[0].document["shown_at"]


def test_a_decision_that_changes_the_outcome_is_told(tmp_path: Path) -> None:
    """News is what the outcome is now; deciding the same again is none."""
    with (
        receiving() as receiver,
        house(tmp_path, SCRIPT, more={"notify": {"webhook": receiver.url}}) as home,
        home.daemon() as daemon,
    ):
        path = picture(home.drop / "h.png", "h")
        told(path, Outcome.HUMAN)
        found = line(daemon, "h.png")
        assert found is not None
        for reason in ("seen it made", "seen it again"):
            order(daemon, "decide", files=[found.file.id], choice="artificial", reason=reason)
            quiet(daemon)
        receiver.wait(1)
        all_told(home)
    assert ["artificial"] == [call.document["outcome"] for call in receiver.calls]


def test_an_end_between_a_decision_and_its_delivery_loses_no_news(tmp_path: Path) -> None:
    """What was committed as the outcome and was not delivered yet is news all the same, when the next daemon delivers it."""
    with receiving() as receiver, house(tmp_path, SCRIPT, more={"notify": {"webhook": receiver.url}}) as home:
        with home.daemon():
            told(picture(home.drop / "h.png", "h"), Outcome.HUMAN)
        with sqlite3.connect(home.home / "state" / "ledger.db") as connection:
            connection.execute(
                "UPDATE files SET state = 'waiting', due = 1, outcome = 'artificial', decision = 'artificial', "
                "decision_reason = 'seen it made', decided_by = 'anna', decided_at = 1"
            )
        with home.daemon():
            told(home.drop / "h.png", Outcome.ARTIFICIAL)
            receiver.wait(1)
    assert ["artificial"] == [call.document["outcome"] for call in receiver.calls]


def test_what_was_delivered_before_this_version_is_no_news(tmp_path: Path) -> None:
    """A ledger of the version before knows no notices: what is delivered again with the outcome that it had is told to nobody."""
    with receiving() as receiver, house(tmp_path, SCRIPT, more={"notify": {"webhook": receiver.url}}) as home:
        with home.daemon():
            path = picture(home.drop / "a.png", "a")
            told(path, Outcome.ARTIFICIAL)
            receiver.wait(1)
            all_told(home)
        set_back(home.home / "state" / "ledger.db", "0002")
        with home.daemon() as daemon:
            found = line(daemon, "a.png")
            assert found is not None
            assert Outcome.ARTIFICIAL is found.file.delivered_as
            order(daemon, "retry", files=[found.file.id])
            quiet(daemon)
            all_told(home)
    assert 1 == len(receiver.calls)


# Whom, of what, and how much.


def test_each_folder_says_what_is_told_of_it(tmp_path: Path) -> None:
    """``notify`` of a folder stands in place of ``on``; an empty one tells nothing."""
    with receiving() as receiver, house(tmp_path, SCRIPT) as home:
        home.more = {
            "notify": {"webhook": receiver.url},
            "folder": folders(home, usual={}, humans={"notify": ["human"]}, mute={"notify": []}),
        }
        with home.daemon() as daemon:
            for name in ("usual", "humans", "mute"):
                for mark, outcome in (("a", Outcome.ARTIFICIAL), ("h", Outcome.HUMAN)):
                    told(picture(home.home / name / f"{mark}.png", mark), outcome)
            receiver.wait(2)
            quiet(daemon)
            all_told(home)
    assert {("usual", "artificial"), ("humans", "human")} == {
        (call.document["folder"], call.document["outcome"]) for call in receiver.calls
    }
    assert 2 == len(receiver.calls)


def test_a_flood_is_a_digest(tmp_path: Path) -> None:
    """Above ``digest_above`` in a minute the rest is told together when the minute is over, also by the next daemon."""
    clock = Clock()
    with receiving() as receiver, house(tmp_path, ALL_ARTIFICIAL) as home:
        home.more = {"notify": {"webhook": receiver.url, "digest_above": 2}}
        with home.daemon(clock=clock) as daemon:
            for one in range(5):
                told(picture(home.drop / f"{one}.png"), Outcome.ARTIFICIAL)
            receiver.wait(2)
            quiet(daemon)
        with home.daemon(clock=clock) as daemon:
            quiet(daemon)
            assert 2 == len(receiver.calls)
            clock.wind(daemon, 61)
            receiver.wait(3)
            all_told(home)
    assert ["outcome", "outcome", "digest"] == receiver.kinds()
    digest = receiver.calls[2].document
    assert ("3 files: 3 artificial", 3) == (digest["title"], digest["number"])
    named = {call.document["path"] for call in receiver.calls[:2]} | {one["path"] for one in digest["files"]}
    assert {f"{one}.png" for one in range(5)} == named


def test_the_queue_is_bounded(tmp_path: Path) -> None:
    """Where too many wait already the rest is counted in digests; what waited for a day is dropped, and that is logged."""
    clock = Clock()
    with receiving(lambda _: 503) as receiver, house(tmp_path, ALL_ARTIFICIAL) as home:
        home.more = {"notify": {"webhook": receiver.url, "digest_above": 0}}
        with home.daemon(clock=clock) as daemon:
            told(picture(home.drop / "0.png"), Outcome.ARTIFICIAL)
            receiver.wait(1)
            with daemon.shift.ledger.write() as tx:
                for number in range(MOST_WAITING):
                    tx.exec_driver_sql(
                        "INSERT INTO notices (uid, made_at, kind, document) SELECT ?, made_at, kind, document "
                        "FROM notices LIMIT 1",
                        (str(number),),
                    )
                tx.exec_driver_sql(
                    "INSERT INTO tellings (channel, notice_id, due) SELECT 'webhook', id, made_at FROM notices "
                    "WHERE id NOT IN (SELECT notice_id FROM tellings)"
                )
            told(picture(home.drop / "1.png"), Outcome.ARTIFICIAL)
            quiet(daemon)
            assert MOST_WAITING + 1 == waiting(home)
            clock.wind(daemon, 61)
            wait_for(lambda: waiting(home) == MOST_WAITING + 2, "the digest waits too")
            clock.wind(daemon, 86_400)
            wait_for(lambda: waiting(home) == 0, "what is old is dropped")


def test_a_channel_that_is_configured_no_more_is_told_nothing(tmp_path: Path) -> None:
    """What waited for it is dropped once the configuration is read again."""
    clock = Clock()
    with receiving(lambda _: 503) as receiver, house(tmp_path, SCRIPT) as home:
        home.more = {"notify": {"webhook": receiver.url}}
        with home.daemon(clock=clock) as daemon:
            told(picture(home.drop / "a.png", "a"), Outcome.ARTIFICIAL)
            receiver.wait(1)
            home.more = {"notify": {}}
            daemon.ask_reload()
            wait_for(lambda: not daemon.shift.config.notify.webhook, "it is read")
            clock.wind(daemon, 120)
            all_told(home)


def test_a_run_over_all_there_is_tells_before_it_ends(tmp_path: Path) -> None:
    """Nobody else would, where nothing but ``once`` is ever run."""
    with receiving() as receiver, house(tmp_path, SCRIPT) as home:
        home.more = {"notify": {"webhook": receiver.url}}
        picture(home.drop / "a.png", "a")
        home.once()
    assert ["artificial"] == [call.document["outcome"] for call in receiver.calls]


# Apprise.


def apprise(receiver: Receiver, path: str) -> str:
    """Return the address by which Apprise posts to a receiver; it holds a secret."""
    return receiver.url.replace("http://", "json://anna:s3cr3t@").replace("/hook", f"/{path}")


def test_apprise_tells_each_address_by_itself(tmp_path: Path) -> None:
    """One that fails keeps no other waiting and is told again; what is no address is said, and no secret is in the log."""

    def answer(call: Call) -> int:
        if call.path.startswith("/hook"):
            return 410
        return 500 if call.path.startswith("/two") and len(receiver.calls) < 3 else 200

    with receiving(answer) as receiver:
        lines = [
            "# whom to tell",
            apprise(receiver, "one"),
            "",
            apprise(receiver, "two"),
            "nonsense://s3cr3t/",
        ]
        file = private(tmp_path / "apprise", "\n".join(lines))
        more = {"notify": {"apprise_file": file, "webhook": f"{receiver.url}?token=s3cr3t"}}
        with house(tmp_path, SCRIPT, more=more) as home, home.process():
            path = picture(home.drop / "a.png", "a")
            told(path, Outcome.ARTIFICIAL)
            all_told(home)
    found = [call.document for call in receiver.calls if call.path.startswith("/one")]
    assert [f"Signs of generation found: {path}"] == [one["title"] for one in found]
    assert "folder drop" in found[0]["message"]
    assert len([call for call in receiver.calls if call.path.startswith("/two")]) >= 2
    assert {
        "line 5 of apprise_file (nonsense://) is no address that Apprise knows",
        "the webhook answered 410",
    } == set(reasons(home.logged(), "nobody was told"))
    assert "s3cr3t" not in home.log.read_text(encoding="utf-8")
    assert not [file for file in (tmp_path / "state").iterdir() if b"s3cr3t" in file.read_bytes()]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # a plugin's own matter
def test_a_file_of_addresses_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """While everybody could read it, it is not read, and what waits for its addresses is kept."""
    with receiving() as receiver:
        file = Path(private(tmp_path / "apprise", apprise(receiver, "one")))
        with (
            house(tmp_path, ALL_ARTIFICIAL, more={"notify": {"apprise_file": str(file)}}) as home,
            home.daemon(),
        ):
            told(picture(home.drop / "0.png"), Outcome.ARTIFICIAL)
            receiver.wait(1)
            private(file.with_name("new"), apprise(receiver, "two"))
            file.with_name("new").replace(file)
            told(picture(home.drop / "1.png"), Outcome.ARTIFICIAL)
            receiver.wait(2)
            all_told(home)
    assert ["/one", "/two"] == [call.path.rstrip("/") for call in receiver.calls]


# Trying it.


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # a plugin's own matter
def test_everybody_can_be_tried(tmp_path: Path) -> None:
    """One of each is told to each channel, marked as a test, without a daemon; the status says whether all were told."""
    command, notes = recorder(tmp_path)
    with receiving() as receiver, house(tmp_path) as home:
        file = private(tmp_path / "apprise", apprise(receiver, "apprise"))
        home.more = {
            "notify": {
                "command": command,
                "webhook": receiver.url,
                "apprise_file": file,
                "heartbeat_url": receiver.url.replace("hook", "beat"),
            }
        }
        ended = at(home, "notify", "test")
        assert (0, "") == (ended.status, ended.err)
        kinds = ["outcome", "digest", "alarm", "healed"]
        channels = ["command", "webhook", "line 1 of apprise_file (json://)"]
        expected = [f"{channel}: {kind}: told" for channel in channels for kind in kinds]
        assert [*expected, "heartbeat: heartbeat: told"] == ended.out.splitlines()
        assert kinds == [call["input"]["kind"] for call in noted(notes)]
        hooked = [call.document for call in receiver.calls if call.path == "/hook"]
        assert kinds == [one["kind"] for one in hooked]
        assert all(one["test"] and one["title"].startswith("[test] ") for one in hooked)
        assert "artificial" == hooked[0]["sidecar"]["outcome"]
        assert "GET" == next(call.method for call in receiver.calls if call.path == "/beat")
        receiver.answer = lambda _: 500
        failed = at(home, "notify", "test", "--json")
        assert 1 == failed.status
        said = {(one["channel"], one["kind"]): (one["told"], one["reason"]) for one in json.loads(failed.out)}
        assert (True, None) == said["command", "alarm"]
        assert (False, "the webhook answered 500") == said["webhook", "alarm"]
        assert (False, "heartbeat_url answered 500") == said["heartbeat", "heartbeat"]
        home.more = {}
        nobody = at(home, "notify", "test")
        assert 1 == nobody.status
        assert "set command, webhook, apprise_file or heartbeat_url in [notify]" in nobody.err


def test_what_waits_is_listed(tmp_path: Path) -> None:
    """Whoever asks is told for whom how much waits, and why."""
    with receiving(lambda _: 503) as receiver, house(tmp_path, SCRIPT) as home:
        home.more = {"notify": {"webhook": receiver.url}}
        assert (
            "Nothing is wrong, and nobody is still to be told anything.\n"
            == at(home, "notify", "waiting").out
        )
        with home.daemon():
            told(picture(home.drop / "a.png", "a"), Outcome.ARTIFICIAL)
            receiver.wait(1)
            wait_for(lambda: troubles(home), "it is not told")
            assert "webhook: 1 to be told since " in at(home, "notify", "waiting").out
        (channel,) = json.loads(at(home, "notify", "waiting", "--json").out)["channels"]
        assert ("webhook", 1, "the webhook answered 503") == (
            channel["channel"],
            channel["waiting"],
            channel["reason"],
        )


# Where people find it.


def test_people_are_shown_the_path_that_they_know(tmp_path: Path) -> None:
    """``shown_as`` is what notices, lists and the status show; machines get it beside the real path."""
    with receiving() as receiver, house(tmp_path, SCRIPT, folder={"shown_as": "smb://nas/drop"}) as home:
        home.more = {"notify": {"webhook": receiver.url}}
        with home.daemon(node=socket.gethostname()):
            path = picture(home.drop / "50 % sure?.png", "a")
            told(path, Outcome.ARTIFICIAL)
            receiver.wait(1)
        shown = "smb://nas/drop/50%20%25%20sure%3F.png"
        document = receiver.calls[0].document
        assert ("50 % sure?.png", shown) == (document["path"], document["shown_at"])
        assert f"Signs of generation found: {shown}" == document["title"]
        (row,) = map(json.loads, at(home, "list", "--json").out.splitlines())
        assert ("50 % sure?.png", shown) == (row["path"], row["shown_at"])
        assert shown in at(home, "list").out
        file = json.loads(at(home, "show", path, "--json").out)["file"]
        assert ("50 % sure?.png", shown) == (file["path"], file["shown_at"])
        assert shown in at(home, "show", path).out
        (folder,) = json.loads(at(home, "status", "--json").out)["folders"]
        assert (str(home.drop), "smb://nas/drop") == (folder["path"], folder["shown_at"])
        assert "smb://nas/drop" in at(home, "status").out
        assert shown in at(home, "export", "--format", "jsonl").out


# Before anybody is told.


def looked_at(text: str) -> list[tuple[str, str]]:
    """Return what ``check`` says of whom ``[notify]`` names."""
    config = configuration.parse(f'[notify]\n{text}\n[[folder]]\npath = "/srv/drop"', Path("/etc"), {})
    return [(one.level, one.said) for one in telling.findings(config.notify)]


def test_check_says_what_keeps_somebody_from_being_told(tmp_path: Path) -> None:
    """A program that is not there, files of secrets that everybody can read, that hold none or are not there."""
    assert [] == looked_at("")
    [(level, said)] = looked_at('command = ["/not/there"]')
    assert ("error", True) == (level, said.startswith("notify.command: /not/there is not there"))
    [(level, said)] = looked_at('webhook = "http://hooks.example.org/s3cr3t"')
    assert ("warning", "notify.webhook: what hooks.example.org is told travels in the clear") == (level, said)
    secret, addresses = tmp_path / "secret", tmp_path / "addresses"
    both = f'webhook = "https://h.example/"\nwebhook_secret_file = "{secret}"\napprise_file = "{addresses}"'
    assert ["cannot be read" in said for _, said in looked_at(both)] == [True, True]
    private(secret, "whsec_no?")
    private(addresses, "# nobody")
    (wrong, none) = looked_at(both)
    assert ("error", True) == (wrong[0], wrong[1].endswith("holds no base64 after whsec_"))
    assert ("warning", True) == (none[0], none[1].endswith("holds no address"))
    private(secret, " \n")
    private(addresses, "json://h.example/s3cr3t")
    assert [
        ("error", f"notify.webhook_secret_file: {secret} is empty; it holds the secret alone, on one line")
    ] == (looked_at(both))
    private(secret, "tea and cake")
    assert [
        ("ok", "webhook, apprise_file; identifai-watch notify test tells everybody one of each")
    ] == looked_at(both)
    addresses.chmod(0o644)
    [(level, said)] = looked_at(both)
    assert ("error", True) == (level, said.endswith(f"chmod 600 {addresses}"))
