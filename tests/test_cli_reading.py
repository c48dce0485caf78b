"""The reading commands, on a ledger that the real daemon wrote against the simulator over HTTP."""

import csv
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from identifai_watch import config, overview
from identifai_watch.cli import cli, gathering, printing
from identifai_watch.config import Config
from identifai_watch.core import report
from identifai_watch.core.model import Account, AccountState, PauseReason
from identifai_watch.errors import ConfigError, RefusedError
from identifai_watch.ledger import Ledger, budget, views
from identifai_watch.simulator import Script, Scripted, Simulator

MEDIA = Path(__file__).parent / "media"
DEADLINE = 30.0
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

LINE = [
    "path",
    "folder",
    "state",
    "outcome",
    "confidence",
    "media",
    "size",
    "sha256",
    "identifier",
    "noticed_at",
    "delivered_at",
    "lies_at",
    "reason",
    "shown_at",
]
STATUS = [
    "analyses",
    "files",
    "settling",
    "held",
    "stuck",
    "doubt",
    "outcomes",
    "account",
    "folders",
    "backlog",
    "daemon",
]
ODD = b"caf\xe9.png"
BRACKETS = "[bold]copy[red].jpg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A newsroom: its drop folder, an archive and a moving folder, with the configuration that names them."""

    home: Path
    settings: Path

    @property
    def drop(self) -> Path:
        """The folder whose files get sidecars."""
        return self.home / "drop"

    @property
    def config(self) -> Config:
        """The configuration, parsed."""
        return config.load(self.settings)

    def run(self, command: str, *arguments: str | Path) -> Result:
        """Run a reading command in this process."""
        words = [command, "--config", str(self.settings), *map(str, arguments)]
        return CliRunner().invoke(cli, words)

    def json(self, command: str, *arguments: str | Path) -> Any:
        """Run a command with --json, and return the one document that it prints."""
        result = self.run(command, "--json", *arguments)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def lines(self, *arguments: str) -> list[dict[str, Any]]:
        """Return what ``list --json`` prints."""
        result = self.run("list", "--json", *arguments)
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]


def settings(home: Path, url: str) -> Desk:
    """Write a configuration with three folders, and make these."""
    for name in ("drop", "archive", "move"):
        (home / name).mkdir()
    (home / "settings.toml").write_text(
        f"""
        [api]
        url = "{url}"
        posts_per_second = 0
        posts_per_minute = 0
        gets_per_second = 0
        gets_per_minute = 0
        [ledger]
        url = "sqlite:///{home}/ledger.db"
        [web]
        listen = ""
        [[folder]]
        path = "{home}/drop"
        settle_seconds = 0.3
        unsupported = "reject"
        exclude = ["private*"]
        [[folder]]
        path = "{home}/archive"
        existing_hold_above = 0
        [[folder]]
        path = "{home}/move"
        settle_seconds = 0.3
        action = "move"
        human = "{home}/out/human"
        artificial = "{home}/out/artificial"
        uncertain = "{home}/out/uncertain"
        """,
        encoding="utf-8",
    )
    return Desk(home=home, settings=home / "settings.toml")


def wait_for(ledger: Ledger, is_so: Callable[[dict[str, list[str]]], bool]) -> None:
    """Wait until the states of all files, by their shown path, are as wished."""
    ends = time.monotonic() + DEADLINE
    pause = threading.Event()
    states: dict[str, list[str]] = {}
    while time.monotonic() < ends:
        states = {}
        with ledger.read() as tx:
            for line in views.lines(tx):
                row = report.line_json(line.file, line.analysis)
                states.setdefault(row["path"], []).append(str(row["state"]))
        if is_so(states):
            return
        pause.wait(0.02)
    pytest.fail(f"it did not come to that in {DEADLINE} s: {states}")


def fill(desk: Desk, ledger: Ledger) -> None:
    """Drop files of every fate, and wait until each has met it but the slow one, which is awaited."""
    shutil.copy(MEDIA / "sample.jpg", desk.drop / "replaced.jpg")
    wait_for(ledger, lambda states: states.get("replaced.jpg") == ["delivered"])
    for name, source in {
        "photo.png": "sample.png",
        BRACKETS: "sample.png",
        "phone.heic": "sample.heic",
        "slow.mp3": "sample.mp3",
        "replaced.jpg": "sample.webp",
        "private.jpg": "sample.gif",
    }.items():
        shutil.copy(MEDIA / source, desk.drop / name)
    shutil.copy(MEDIA / "sample.png", os.fsencode(desk.drop) + b"/" + ODD)
    shutil.copy(MEDIA / "sample.tif", desk.home / "move" / "moved.tif")
    (desk.drop / "note.txt").write_text("no media at all\n", encoding="utf-8")
    (desk.drop / "empty.jpg").touch()
    (desk.drop / "short.png").write_bytes((MEDIA / "sample.png").read_bytes()[:-20])
    ends = {
        "photo.png": ["delivered"],
        BRACKETS: ["delivered"],
        "caf\\xe9.png": ["delivered"],
        "phone.heic": ["delivered"],
        "moved.tif": ["delivered"],
        "replaced.jpg": ["delivered", "superseded"],
        "slow.mp3": ["waiting"],
        "old.gif": ["waiting"],
    }
    wait_for(ledger, lambda states: states == ends)
    wait_until_awaited(ledger)


def wait_until_awaited(ledger: Ledger) -> None:
    """Wait until the slow content is at identifAI and the text was left alone."""
    ends = time.monotonic() + DEADLINE
    while time.monotonic() < ends:
        with ledger.read() as tx:
            counts = views.counts(tx)
        if counts.left == 1 and counts.analyses["awaiting"] == 1:
            return
        threading.Event().wait(0.02)
    pytest.fail("the slow content was never awaited")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A newsroom while its daemon runs."""
    slow = sha256((MEDIA / "sample.mp3").read_bytes()).hexdigest()
    script = Script(verdicts=(Scripted(sha256=slow, delay=3600),))
    with Simulator(script) as simulator:
        desk = settings(tmp_path_factory.mktemp("running"), simulator.url)
        shutil.copy(MEDIA / "sample.gif", desk.home / "archive" / "old.gif")
        with closing(Ledger(desk.config.ledger.url, node=socket.gethostname())) as ledger, daemon(desk):
            fill(desk, ledger)
            yield desk


@contextmanager
def daemon(desk: Desk) -> Iterator[None]:
    """Run the real daemon as a process of its own, and stop it as systemd would."""
    command = [sys.executable, "-m", "identifai_watch", "run", "--config", str(desk.settings)]
    with (desk.home / "log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | {"IDENTIFAI_API_KEY": "sk-test"}, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(DEADLINE) == 0


@pytest.fixture
def fresh(tmp_path: Path) -> Desk:
    """A newsroom whose daemon never ran."""
    return settings(tmp_path, "http://127.0.0.1:9")


def test_status_json_counts_all_there_is(running: Desk) -> None:
    """Its keys are those of the design, and what settles is known while the daemon runs."""
    found = running.json("status")
    assert list(found) == STATUS
    assert found["files"] == {"waiting": 2, "delivered": 6, "superseded": 1, "gone": 0}
    assert found["analyses"] == {"queued": 0, "sending": 0, "awaiting": 1, "judged": 4, "refused": 0}
    assert (found["held"], found["stuck"], found["doubt"]) == (1, 0, 0)
    assert sum(found["outcomes"].values()) == 6
    assert found["outcomes"]["rejected"] == 1
    assert found["account"] == {"state": "ok", "reason": None, "next_probe_at": None}
    assert found["backlog"] == {"uploads": 0, "eta_seconds": 0, "hours": None, "opens_at": None}
    assert found["daemon"]["running"] is True
    assert [one["name"] for one in found["folders"]] == ["drop", "archive", "move"]


def test_status_for_people_has_no_colour_in_a_pipe(running: Desk) -> None:
    """What needs a person is named with its remedy."""
    result = running.run("status")
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "1 held since before the daemon: identifai-watch backlog" in result.stdout


def test_list_json_gives_one_object_a_line_newest_first(running: Desk) -> None:
    """Each has the keys of the design; a name that is no UTF-8 is escaped."""
    found = running.lines()
    assert all(list(line) == LINE for line in found)
    noticed = [line["noticed_at"] for line in found]
    assert sorted(noticed, reverse=True) == noticed
    assert "caf\\xe9.png" in {line["path"] for line in found}


@pytest.mark.parametrize(
    ("arguments", "paths"),
    [
        (["--state", "superseded"], {"replaced.jpg"}),
        (["--outcome", "rejected"], {"phone.heic"}),
        (["--folder", "move"], {"moved.tif"}),
        (["--state", "waiting", "--folder", "archive"], {"old.gif"}),
        (["--stuck"], set()),
        (["--doubt"], set()),
    ],
)
def test_list_can_be_narrowed(running: Desk, arguments: list[str], paths: set[str]) -> None:
    """By state, outcome, folder, and what waits for a person."""
    assert {line["path"] for line in running.lines(*arguments)} == paths


def test_list_is_read_in_pages(running: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page it is the same list, none left out and none twice; a limit ends it."""
    whole = running.lines()
    monkeypatch.setattr(gathering, "PAGE", 2)
    assert running.lines() == whole
    assert running.lines("--limit", "3") == whole[:3]


def test_list_for_people_shows_names_as_they_are(running: Desk) -> None:
    """Brackets are no markup, and a held file says so."""
    result = running.run("list")
    assert f"drop: {BRACKETS}" in result.stdout
    assert any(
        line.startswith("held") and line.endswith("archive: old.gif") for line in result.stdout.splitlines()
    )


def test_an_unknown_folder_is_an_error(running: Desk) -> None:
    """An empty answer would look as if all were well."""
    result = running.run("list", "--folder", "dorp")
    assert isinstance(result.exception, RefusedError)
    assert "configured are drop, archive, move" in str(result.exception)


def test_show_tells_the_whole_of_a_file(running: Desk) -> None:
    """Its verdict, its copies, what lay there before, and its history from the first to the last event."""
    found = running.json("show", running.drop / "photo.png")
    assert found["verdict"]["classification"] in {"human", "artificial"}
    assert found["verdict"]["models"]
    assert {copy["path"] for copy in found["copies"]} == {BRACKETS, "caf\\xe9.png"}
    events = [one["event"] for one in found["history"]]
    assert events.count("admitted") == events.count("delivered") == 1
    assert {"begun", "uploaded", "judged"} <= set(events)
    assert {one["who"] for one in found["history"]} == {"daemon"}
    earlier = running.json("show", running.drop / "replaced.jpg")["earlier"]
    assert [one["state"] for one in earlier] == ["superseded"]


def test_show_for_people_shows_names_as_they_are(running: Desk) -> None:
    """Brackets are no markup."""
    result = running.run("show", running.drop / BRACKETS)
    assert result.exit_code == 0
    assert BRACKETS in result.stdout
    assert "History" in result.stdout


def test_show_tells_what_was_found_and_how_far_that_goes(running: Desk) -> None:
    """The same to people and to machines: the signs, what the number means, and each model and heuristic."""
    found = running.json("show", running.drop / "photo.png")
    label = found["verdict"]["classification"]
    expected = (
        "unclear" if found["verdict"]["unknown"] else {"human": "none found", "artificial": "found"}[label]
    )
    assert expected == found["words"]["signs"]
    assert found["words"]["limits"]
    assert ["simulated-1", "simulated-2"] == [one["model"] for one in found["findings"]["opinions"]]
    assert "Majority" == found["findings"]["rulings"][0]["heuristic"]
    told = running.run("show", running.drop / "photo.png").stdout
    assert f"\nSigns of generation: {expected}\n" in told
    assert all(f"\n{title}\n" in told for title in ("Heuristics", "Models", "The answer"))
    assert "Each clip" not in told


@pytest.mark.parametrize(
    ("name", "signs", "because"),
    [
        ("slow.mp3", "not examined yet", "It is at identifAI, and its verdict is waited for."),
        ("phone.heic", "not examined", "It was refused: HEIC is not taken by identifAI."),
    ],
)
def test_show_says_why_a_file_is_not_examined(running: Desk, name: str, signs: str, because: str) -> None:
    """There are no findings then, and no number that could be taken for one."""
    found = running.json("show", running.drop / name)
    assert (signs, [because]) == (found["words"]["signs"], found["words"]["because"])
    assert (None, None) == (found["words"]["confidence"], found["findings"])


def test_a_moved_file_is_found_where_it_lies_and_where_it_came(running: Desk) -> None:
    """Both paths tell of one file, also outside of every folder."""
    came = running.json("show", running.home / "move" / "moved.tif")
    lies_at = came["file"]["lies_at"]
    assert lies_at.startswith(str(running.home / "out"))
    assert running.json("show", lies_at) == came
    assert running.json("explain", lies_at)["state"] == "delivered"


def test_people_are_told_where_a_moved_file_lies(running: Desk) -> None:
    """By its whole path, as one piece and never as an instant; a list has it behind the name."""
    came = running.home / "move" / "moved.tif"
    lies_at = running.json("show", came)["file"]["lies_at"]
    told = "".join(line.strip() for line in running.run("show", came).stdout.splitlines())
    assert f"lies at       {lies_at}" in told
    assert f"{lies_at} UTC" not in told
    assert f"move: moved.tif -> {lies_at}" in running.run("list").stdout
    assert f"It lies at {lies_at} now." in running.json("explain", came)["says"]


def test_what_is_not_there_is_not_said_to_lie_there(running: Desk) -> None:
    """Explain looks before it says so."""
    lies_at = Path(running.json("show", running.home / "move" / "moved.tif")["file"]["lies_at"])
    away = lies_at.rename(running.home / "away.tif")
    says = running.json("explain", running.home / "move" / "moved.tif")["says"]
    away.rename(lies_at)
    assert f"It was left at {lies_at}, and is not there any more." in says


def test_a_link_is_nothing_that_can_be_mended_by_a_rule(running: Desk, tmp_path: Path) -> None:
    """It is not followed, and that is no fault."""
    link = running.drop / "link.jpg"
    link.symlink_to(tmp_path)
    found = running.json("explain", link)
    link.unlink()
    assert found["remedy"] == "nothing is to be done: it is a symbolic link"


def test_history_has_its_zone_once_and_short_hashes(running: Desk) -> None:
    """A hash over three lines says nothing more."""
    told = running.run("show", running.drop / "photo.png").stdout.partition("History (UTC)")[2]
    assert told
    digest = sha256((MEDIA / "sample.png").read_bytes()).hexdigest()
    assert digest[:30] not in told


@pytest.mark.parametrize(
    ("name", "state", "rule", "says"),
    [
        ("photo.png", "delivered", None, "delivered as"),
        ("slow.mp3", "awaiting", None, "its verdict is asked for"),
        ("phone.heic", "delivered", "HEIC is not taken by identifAI", "delivered as rejected"),
        ("private.jpg", "left alone", "exclude: private*", "A rule leaves it alone"),
        ("note.txt", "left alone", "no media: text/plain", "A rule leaves it alone"),
        ("photo.png.identifai.json", "left alone", "written by identifai-watch itself", "leaves it alone"),
        ("empty.jpg", "settling", None, "it is empty"),
        ("short.png", "settling", None, "there is more to come"),
        (".", "watched", None, "a directory"),
    ],
)
def test_explain_says_which_rule_and_what_is_waited_for(
    running: Desk, name: str, state: str, rule: str | None, says: str
) -> None:
    """For what the ledger knows as for what it does not know yet."""
    found = running.json("explain", running.drop / name)
    assert (state, rule) == (found["state"], found["rule"])
    assert says in found["says"]


def test_a_held_file_is_told_how_it_is_released(running: Desk) -> None:
    """The remedy is a command."""
    found = running.json("explain", running.home / "archive" / "old.gif")
    assert (found["state"], found["remedy"]) == ("held", "identifai-watch backlog release --folder archive")


def test_an_ignore_file_is_named(running: Desk) -> None:
    """With the directory that it lies in."""
    kept = running.drop / "kept"
    kept.mkdir(exist_ok=True)
    (kept / ".identifai-ignore").touch()
    shutil.copy(MEDIA / "sample.flac", kept / "x.flac")
    assert running.json("explain", kept / "x.flac")["rule"] == ".identifai-ignore in kept: all of it"
    assert running.json("explain", kept)["state"] == "left alone"


def test_explain_for_people_says_until_when_it_waits(running: Desk) -> None:
    """As an instant and as how long that is."""
    assert re.search(
        r"Next +about .* UTC \((in \d+ |0 s ago)", running.run("explain", running.drop / "slow.mp3").stdout
    )


def test_a_link_to_the_folder_leads_to_the_file(running: Desk, tmp_path: Path) -> None:
    """People come by the path they know."""
    (tmp_path / "link").symlink_to(running.drop)
    assert running.json("explain", tmp_path / "link" / "photo.png")["state"] == "delivered"


@pytest.mark.parametrize("command", ["show", "explain"])
@pytest.mark.parametrize(
    ("path", "says"), [("/etc/hostname", "lies in no watched folder"), ("drop/absent.jpg", "ledger")]
)
def test_what_cannot_be_found_is_refused(running: Desk, command: str, path: str, says: str) -> None:
    """With exit status 1, outside of every folder as for what was never there."""
    result = running.run(command, running.home / path)
    assert isinstance(result.exception, RefusedError)
    assert result.exception.exit == 1
    assert says in str(result.exception)


def test_export_writes_csv_and_json_lines(running: Desk, tmp_path: Path) -> None:
    """Both hold the same files; a file appears under its name alone."""
    output = tmp_path / "all.jsonl"
    assert running.run("export", "--format", "jsonl", "-o", output).exit_code == 0
    assert list(tmp_path.iterdir()) == [output]
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    found = list(csv.DictReader(io.StringIO(running.run("export").stdout)))
    assert [row["path"] for row in rows] == [row["path"] for row in found]
    assert list(found[0]) == list(report.EXPORTED)
    assert {row["outcome"] for row in found} >= {"rejected", ""}


def test_an_export_that_cannot_be_written_is_refused(running: Desk, tmp_path: Path) -> None:
    """It names the file."""
    result = running.run("export", "-o", tmp_path / "nowhere" / "x.csv")
    assert isinstance(result.exception, RefusedError)


def test_before_the_first_daemon_there_is_nothing_and_nothing_is_made(fresh: Desk) -> None:
    """A ledger made by whoever looks would not be the daemon's to write."""
    found = fresh.json("status")
    assert found["daemon"] == {"running": False, "since": None}
    assert sum(found["files"].values()) == 0
    assert fresh.lines() == []
    assert isinstance(fresh.run("show", fresh.drop / "x.jpg").exception, RefusedError)
    assert not (fresh.home / "ledger.db").exists()


def test_before_the_first_daemon_nothing_is_promised(fresh: Desk) -> None:
    """Neither that the account is all right nor how files are noticed; JSON keeps to its words."""
    told = fresh.run("status").stdout
    assert "not asked yet" in told
    assert "not watched yet" in told
    assert {one["health"] for one in fresh.json("status")["folders"]} == {"unavailable"}


@pytest.mark.parametrize(
    ("account", "says"),
    [
        (Account(credits=1_000_000.0, credits_at=NOW), "all right, 1,000,000 credits 0 s ago"),
        (Account(credits=1.0, credits_at=NOW), "all right, 1 credit 0 s ago"),
        (
            Account(state=AccountState.PAUSED, reason=PauseReason.OPERATOR),
            "an operator paused it. To do: identifai-watch resume",
        ),
    ],
)
def test_the_account_is_told_in_words(fresh: Desk, account: Account, says: str) -> None:
    """Numbers are whole, and the name of the command is what is typed."""
    assert says in printed(replace(overview.report_of(fresh.config, None, NOW), account=account))


def test_an_empty_purse_is_said(fresh: Desk) -> None:
    """With what was made of it and when it has room; no time at the account's limits is promised then."""
    text = fresh.settings.read_text(encoding="utf-8")
    fresh.settings.write_text(text.replace("[api]", "[api]\nposts_per_day = 1"), encoding="utf-8")
    with closing(Ledger(fresh.config.ledger.url, node=socket.gethostname())) as ledger:
        with ledger.write() as tx:
            budget.depart(tx, "POST", fresh.config.api.limits, NOW - timedelta(hours=4))
        found = overview.report_of(fresh.config, ledger, NOW)
    told = printed(replace(found, queue=report.Queue(fresh=3, backlog=0)))
    assert "the purse of posts_per_day is spent: 1 of 1, frees at 2026-03-02 08:00:00 UTC (in 20 h)" in told
    assert "3 to make, when the purse has room again" in told
    assert "limits" not in told


def printed(found: report.Report) -> str:
    """Return what ``status`` prints of a report at NOW."""
    out = io.StringIO()
    Console(file=out, width=200).print(printing.status(found, NOW))
    return out.getvalue()


def test_without_a_daemon_explain_says_that_nothing_happens(fresh: Desk) -> None:
    """What would become of the file is told all the same."""
    shutil.copy(MEDIA / "sample.jpg", fresh.drop / "x.jpg")
    os.utime(fresh.drop / "x.jpg", (1, 1))
    found = fresh.json("explain", fresh.drop / "x.jpg")
    assert "no daemon runs, so nothing happens until one does" in found["notes"]
    assert found["until"] is None


def test_a_configuration_that_is_not_there_is_its_own_error(tmp_path: Path) -> None:
    """Its exit status is 78."""
    result = CliRunner().invoke(cli, ["status", "--config", str(tmp_path / "none.toml")])
    assert isinstance(result.exception, ConfigError)


def test_status_json_imports_nothing_that_it_does_not_need(running: Desk) -> None:
    """As a process of its own: no daemon, no API, no watch, no server, no rich."""
    heavy = (
        "alembic rich requests urllib3 watchdog starlette uvicorn structlog pathspec "
        "identifai_watch.daemon identifai_watch.api"
    )
    code = (
        "import sys\n"
        "from identifai_watch.cli import main\n"
        "try:\n    main()\n"
        "finally:\n"
        f"    print(*(name for name in {heavy.split()!r} if name in sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "status", "--json", "--config", str(running.settings)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stderr.split() == []
    assert list(json.loads(done.stdout)) == STATUS


@pytest.mark.parametrize("command", [["list"], ["list", "--json"], ["export"]])
def test_a_reader_that_went_away_is_no_failure(running: Desk, command: list[str]) -> None:
    """As with ``list | head``: nothing is said, and the exit status is 0."""
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "wb") as gone:
        words = [sys.executable, "-m", "identifai_watch", *command, "--config", str(running.settings)]
        done = subprocess.run(words, stdout=gone, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("command", [["list"], ["status"], ["status", "--json"], ["export"]])
def test_an_output_that_is_full_is_one_line(running: Desk, command: list[str]) -> None:
    """No traceback, and the exit status is 1."""
    words = [sys.executable, "-m", "identifai_watch", *command, "--config", str(running.settings)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, check=False, text=True)
    assert done.returncode == 1
    assert done.stderr == "identifai-watch: standard output cannot be written: No space left on device\n"


def test_a_name_is_no_formula(running: Desk) -> None:
    """A spreadsheet would run a cell that begins like one."""
    name = "=1+1.heic"
    shutil.copy(MEDIA / "sample.heic", running.drop / name)
    with closing(Ledger(running.config.ledger.url, node=socket.gethostname())) as ledger:
        wait_for(ledger, lambda states: states.get(name) == ["delivered"])
    found = csv.DictReader(io.StringIO(running.run("export", "--outcome", "rejected").stdout))
    assert {row["path"] for row in found} == {f"'{name}", "phone.heic"}
