"""``status --check``: what Nagios and its kin are told, and that it is never anything else."""

import re
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from identifai_watch.cli import cli
from identifai_watch.core import plugin
from identifai_watch.core.model import Account, AccountState, AnalysisState, FileState, Outcome, PauseReason
from identifai_watch.core.plugin import Level
from identifai_watch.core.report import Queue, Report, Room, SpentPurse, WatchedFolder
from tests.harness import House, house, wait_for
from tests.watching import picture

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FOLDER = WatchedFolder(
    name="drop", path="/srv/drop", health="ok", mode="events", reason=None, last_scan_at=NOW
)
WELL = Report(
    analyses=dict.fromkeys(AnalysisState, 0),
    files=dict.fromkeys(FileState, 0),
    outcomes=dict.fromkeys(Outcome, 2),
    settling=0,
    held=0,
    stuck=0,
    doubt=0,
    left=0,
    account=Account(),
    folders=(FOLDER,),
    queue=Queue(fresh=3, backlog=0),
    eta=timedelta(0),
    is_running=True,
    since=NOW,
    seen_at=NOW,
)


def paused(reason: PauseReason, detail: str | None = None) -> Report:
    """Return that the account is paused."""
    return replace(WELL, account=Account(state=AccountState.PAUSED, reason=reason, detail=detail))


def folder(**changes: object) -> Report:
    """Return that the folder is otherwise."""
    return replace(WELL, folders=(replace(FOLDER, **changes),))  # type: ignore[arg-type]


SPENT = SpentPurse(made=1, allowed=1, frees_at=NOW)
OLD = NOW - timedelta(minutes=16)

CONDITIONS: list[tuple[Report, Level, str]] = [
    (WELL, Level.OK, "1 folder watched, 12 files delivered, 3 uploads to make"),
    (replace(WELL, is_running=False), Level.CRITICAL, "no daemon runs"),
    (
        replace(WELL, seen_at=NOW - timedelta(minutes=6)),
        Level.CRITICAL,
        "has not told how it is for 6 minutes",
    ),
    (replace(WELL, seen_at=NOW - timedelta(minutes=4)), Level.OK, ""),
    (paused(PauseReason.KEY), Level.CRITICAL, "identifAI refuses the key"),
    (paused(PauseReason.TERMS), Level.CRITICAL, "terms"),
    (paused(PauseReason.CREDITS, "no credits are left"), Level.CRITICAL, "no credits are left"),
    (paused(PauseReason.FLOOR, "3 credits are left"), Level.WARNING, "3 credits are left"),
    (paused(PauseReason.OPERATOR, "by anna (lunch)"), Level.WARNING, "by anna (lunch)"),
    (replace(WELL, account=Account(holds=3, succeeded_at=OLD)), Level.CRITICAL, "not answered since 2026"),
    (replace(WELL, account=Account(holds=3)), Level.CRITICAL, "identifAI has not answered"),
    (replace(WELL, account=Account(holds=3, succeeded_at=NOW)), Level.OK, ""),
    (replace(WELL, spent=SPENT), Level.WARNING, "purse"),
    (replace(WELL, spent=SPENT, queue=Queue(fresh=0, backlog=0)), Level.OK, ""),
    (folder(health="unavailable", reason="not mounted"), Level.CRITICAL, "unavailable: not mounted"),
    (folder(health="degraded", reason="no watches"), Level.WARNING, "scanned only: no watches"),
    (folder(paused="by anna, until it is resumed"), Level.WARNING, "paused by anna"),
    (folder(mode="scan", reason="nfs tells of no changes"), Level.OK, ""),
    (replace(WELL, stuck=2), Level.WARNING, "2 stuck (identifai-watch list --stuck)"),
    (replace(WELL, doubt=1), Level.WARNING, "1 in doubt"),
    (replace(WELL, held=500, settling=3, left=9), Level.OK, ""),
]


@pytest.mark.parametrize(("found", "level", "says"), CONDITIONS)
def test_each_condition_has_its_level(found: Report, level: Level, says: str) -> None:
    """And is told in the line, which names the level first."""
    told = plugin.check(found, NOW)
    assert level is told.level
    assert told.line().startswith(f"IDENTIFAI {level.name} - ")
    assert says in told.line()


def test_the_worst_counts_and_all_is_said() -> None:
    """The worst comes first, for a pager shows the beginning."""
    bad = replace(folder(health="degraded", reason="r"), stuck=1, account=Account(holds=1))
    told = plugin.check(bad, NOW)
    assert told.level is Level.CRITICAL
    assert [one.split(" ")[0] for one in told.said] == ["identifAI", "folder", "1"]


NUMBER = re.compile(r"[a-z_]+=-?[0-9.]+(s|%|B|c)?(;[0-9.]*){0,4}")


def test_the_numbers_have_the_guidelines_format() -> None:
    """A 'label'=value[UOM];[warn];[crit];[min];[max] each, with blanks between; an age is in seconds."""
    rooms = (Room(method="POST", window="minute", left=7, allowed=30),)
    account = Account(credits=12.5)
    oldest = (NOW - timedelta(seconds=90), None)
    line = plugin.check(replace(WELL, rooms=rooms, account=account, oldest_at=oldest, stuck=1), NOW).line()
    _, _, numbers = line.partition(" | ")
    found = numbers.split(" ")
    assert all(NUMBER.fullmatch(one) for one in found), numbers
    assert {"stuck=1;0;;0", "oldest_new=90s;;;0", "credits=12.5", "posts_left_minute=7;;;0;30"} <= set(found)


def test_nothing_ends_the_line_or_begins_the_numbers() -> None:
    """Names and reasons come from anybody: a bar, a line's end or an escape in one is spelt out."""
    line = plugin.check(folder(health="unavailable", name="a|b\n", reason="\x1b[2J" + "x" * 999), NOW).line()
    assert line.isprintable()
    assert line.count("|") == 1
    assert len(line) < 500


def garble(home: House) -> None:
    """Make the ledger something else."""
    (home.home / "state").mkdir(exist_ok=True)
    (home.home / "state" / "ledger.db").write_bytes(b"This is no ledger. " * 500)


def misconfigure(home: House) -> None:
    """Give the configuration a key that is not known, and one with an impossible value."""
    home.more = {"web": {"listen": ""}, "foldr": [], "limits": {"image": -1}}


@pytest.mark.parametrize(
    ("spoil", "words", "says"),
    [
        (garble, (), "ledger"),
        (misconfigure, (), "the configuration is wrong"),
        (None, ("--json",), "One of --json, --metrics and --check"),
        (None, ("--nonsense",), "--nonsense"),
    ],
)
def test_what_cannot_be_told_is_unknown(
    tmp_path: Path, spoil: Callable[[House], None] | None, words: tuple[str, ...], says: str
) -> None:
    """Status 3 and one line on the standard output: not 78, nor 2, which would be critical."""
    with house(tmp_path) as home:
        if spoil is not None:
            spoil(home)
        done = home.command("status", "--check", *words)
    assert (done.returncode, done.stderr) == (Level.UNKNOWN, "")
    assert done.stdout.startswith("IDENTIFAI UNKNOWN - ")
    assert says in done.stdout
    assert done.stdout.count("\n") == 1


def test_with_and_without_a_daemon(tmp_path: Path) -> None:
    """0 while one runs and all is well, 1 while somebody paused it, 2 when none runs, for the first time or no more."""

    def told(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli, [*words, "--config", str(home.config_path)], standalone_mode=False)
        assert done.exception is None
        return done.return_value, done.stdout

    with house(tmp_path) as home:
        fresh, _ = told("status", "--check")
        with home.daemon(node=socket.gethostname()):
            home.sidecar(picture(home.drop / "a.png"))
            wait_for(lambda: "1 file delivered" in told("status", "--check")[1], "it is delivered")
            well, _ = told("status", "--check")
            told("pause", "--why", "lunch")
            resting, why = told("status", "--check")
        ended, none = told("status", "--check")
    assert [Level.CRITICAL, Level.OK, Level.WARNING, Level.CRITICAL] == [fresh, well, resting, ended]
    assert "lunch" in why
    assert "no daemon runs" in none
