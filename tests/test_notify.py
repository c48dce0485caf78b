"""Whoever is configured is told of each new outcome, once; nothing waits for them, and they are not told the key."""

import json
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from identifai_watch.core.model import Label, Outcome
from identifai_watch.simulator import Script
from tests.harness import KEY, house, wait_for
from tests.test_never_stale import told
from tests.watching import line, order, picture, quiet, says

SCRIPT = Script(verdicts=(says("a", Label.ARTIFICIAL), says("h", Label.HUMAN)))


def recorder(home: Path) -> tuple[list[str], Path]:
    """Write a command that notes how it was called, and return it with the file where it notes that."""
    notes, program = home / "told.jsonl", home / "tell.py"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys\n"
        f"with open({str(notes)!r}, 'a') as file:\n"
        "    file.write(json.dumps({'words': sys.argv[1:], 'around': dict(os.environ)}) + '\\n')\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return [str(program), "a word"], notes


def noted(notes: Path) -> list[dict[str, Any]]:
    """Return how the command was called so far."""
    if not notes.exists():
        return []
    return [json.loads(text) for text in notes.read_text(encoding="utf-8").splitlines()]


@contextmanager
def listening(status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Listen for a webhook's posts, and give its address and what came."""
    came: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook", came
        finally:
            server.shutdown()
            thread.join()


def test_a_command_is_told_of_each_outcome_in_on_once(tmp_path: Path) -> None:
    """It gets the sidecar's path and a few words; what is not in ``on`` is not told, nor the same again."""
    command, notes = recorder(tmp_path)
    with house(tmp_path, SCRIPT, more={"notify": {"command": command}}) as home, home.process():
        human = picture(home.drop / "h.png", "h")
        told(human, Outcome.HUMAN)
        path = picture(home.drop / "in" / "a.png", "a")
        told(path, Outcome.ARTIFICIAL)
        wait_for(lambda: noted(notes), "it is told")
        home.command("retry", str(path))
        told(path, Outcome.ARTIFICIAL)
    (call,) = noted(notes)
    sidecar = f"{path}.identifai.json"
    assert ["a word", sidecar] == call["words"]
    assert ("artificial", "drop", "in/a.png", sidecar) == tuple(
        call["around"][f"IDENTIFAI_{name}"] for name in ("OUTCOME", "FOLDER", "PATH", "SIDECAR")
    )
    assert KEY not in json.dumps(call)


def test_a_webhook_gets_the_sidecar(tmp_path: Path) -> None:
    """What is posted is what lies beside the file."""
    with (
        listening() as (address, came),
        house(tmp_path, SCRIPT, more={"notify": {"webhook": address}}) as home,
        home.daemon(),
    ):
        path = picture(home.drop / "a.png", "a")
        sidecar = told(path, Outcome.ARTIFICIAL)
        wait_for(lambda: came, "it is posted")
    assert [sidecar] == came


def test_a_verdict_that_comes_late_is_told(tmp_path: Path) -> None:
    """A file that was let go unchecked is told of when its verdict comes."""
    script = Script(delay=3600, verdicts=SCRIPT.verdicts)
    folder = {"release_after_minutes": 0.005, "action": "move"}
    with (
        listening() as (address, came),
        house(tmp_path, script, folder=folder, more={"notify": {"webhook": address}}) as home,
        home.daemon(),
    ):
        picture(home.drop / "a.png", "a")
        told(home.drop / "unchecked" / "a.png", Outcome.UNCHECKED)
        assert [] == came
        home.simulator.change(delay=0)
        wait_for(lambda: came, "it is posted")
    assert ["artificial"] == [one["outcome"] for one in came]


def test_a_decision_that_changes_the_outcome_is_told(tmp_path: Path) -> None:
    """News is what the outcome is now; deciding the same again is none."""
    with (
        listening() as (address, came),
        house(tmp_path, SCRIPT, more={"notify": {"webhook": address}}) as home,
        home.daemon() as daemon,
    ):
        path = picture(home.drop / "h.png", "h")
        told(path, Outcome.HUMAN)
        found = line(daemon, "h.png")
        assert found is not None
        for reason in ("seen it made", "seen it again"):
            order(daemon, "decide", files=[found.file.id], choice="artificial", reason=reason)
            quiet(daemon)
        wait_for(lambda: came, "it is posted")
    assert ["artificial"] == [one["outcome"] for one in came]


def test_nobody_who_listens_keeps_nothing_up(tmp_path: Path) -> None:
    """A command that is not there and a webhook that refuses are logged; verdicts go on, and the address stays secret."""
    with listening(status=500) as (address, came):
        more = {"notify": {"command": ["/not/there"], "webhook": f"{address}?token=s3cr3t"}}
        with house(tmp_path, SCRIPT, more=more) as home, home.process():
            told(picture(home.drop / "a.png", "a"), Outcome.ARTIFICIAL)
            wait_for(lambda: len(reasons(home.logged())) == 2, "both are logged")
            told(picture(home.drop / "h.png", "h"), Outcome.HUMAN)
    assert came
    said = " ".join(reasons(home.logged()))
    assert "/not/there cannot be run" in said
    assert "the webhook answered 500" in said
    assert "s3cr3t" not in home.log.read_text(encoding="utf-8")


def reasons(log: list[dict[str, Any]]) -> list[str]:
    """Return why nobody was told."""
    return [entry["reason"] for entry in log if entry["event"] == "nobody was told"]
