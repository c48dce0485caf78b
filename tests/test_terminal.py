"""How ``status``, ``list``, ``show`` and ``explain`` look: on terminals of any width, and in a pipe."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from identifai_watch.cli import paper, printing
from identifai_watch.core import report
from identifai_watch.core.model import Account, AccountState, PauseReason
from identifai_watch.overview import report_of
from identifai_watch.shift import utc_now
from tests.console import at
from tests.harness import House, house
from tests.terminal import on_terminal, plain, widths

HARBOUR = "日本の港の写真、夕暮れ時に撮影したとても長い名前がついているファイル.png"
PARTY = "🎉🎉 party 🍾 final.jpg"
DEEP = f"a/way/{'down/' * 20}{'x' * 120}.webp"
HOSTILE = os.fsdecode(b"caf\xe9\x1b[31m\x0b\xe2\x80\xae.gif")
COMMANDS = [
    ["status"],
    ["list"],
    ["show", HARBOUR],
    ["explain", HARBOUR],
    ["show", HOSTILE],
    ["explain", DEEP],
]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Give a house whose files have names that are long, wide, deep and hostile, all of them judged."""
    with house(tmp_path_factory.mktemp("desk")) as one:
        for name, sample in {HARBOUR: "png", PARTY: "jpg", DEEP: "webp", HOSTILE: "gif"}.items():
            one.put(f"sample.{sample}", name)
        assert 0 == at(one, "once").status
        yield one


def words_of(desk: House, command: list[str]) -> list[str | Path]:
    """Return a command with the whole paths of its files, and this house's configuration."""
    return [command[0], *(desk.drop / name for name in command[1:]), "--config", desk.config_path]


@pytest.mark.parametrize("columns", [40, 80, 132])
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_wider_than_the_terminal(desk: House, command: list[str], columns: int) -> None:
    """However long a name is, and though each of its characters may take two columns; and nothing of it is lost."""
    told = on_terminal(columns, *words_of(desk, command))
    assert max(widths(told)) <= columns
    whole = "".join(line.strip("│ ") for line in plain(told).split("\n")).replace(" ", "")
    for name in command[1:] if command[0] != "list" else (HARBOUR, DEEP):
        assert report.shown(os.fsencode(name)).replace(" ", "") in whole


@pytest.mark.parametrize("command", COMMANDS)
def test_a_pipe_has_each_thing_on_one_line(desk: House, command: list[str]) -> None:
    """Nothing is folded, framed or filled up, and nothing in it is for a terminal."""
    told = at(desk, *words_of(desk, command)[:-2], environ={"COLUMNS": ""}).out  # xdist sets it
    assert [] == [line for line in told.split("\n") if line != line.rstrip() or "│" in line]
    assert all(sign.isprintable() for line in told.split("\n") for sign in line if sign != "\u200d")
    for name in (HARBOUR, HOSTILE, DEEP) if command == ["list"] else command[1:]:
        assert any(report.shown(os.fsencode(name)) in line for line in told.split("\n"))


def test_a_pipe_is_as_wide_as_somebody_says(desk: House) -> None:
    """$COLUMNS is for a pipe too."""
    told = at(desk, "show", desk.drop / DEEP, environ={"COLUMNS": "50"}).out
    assert max(widths(told)) <= 50


def test_a_hostile_name_does_nothing_to_a_terminal(desk: House) -> None:
    """What is no colour of ours is spelt out."""
    for command in COMMANDS:
        told = on_terminal(80, *words_of(desk, command))
        assert not {"\x0b", "\u202e"} & set(told)
        assert "\x1b[31m" not in told
    assert r"caf\xe9\x1b[31m\x0b\u202e.gif" in plain(on_terminal(132, *words_of(desk, ["list"])))


def test_colours_are_for_those_who_want_them(desk: House) -> None:
    """NO_COLOR takes them away, and a terminal that knows nothing gets no escapes at all."""
    words = words_of(desk, ["list"])
    colour = re.compile(r"\x1b\[(?:\d;)*3[0-9]")
    assert colour.search(on_terminal(80, *words))
    assert not colour.search(on_terminal(80, *words, environ={"NO_COLOR": "1"}))
    assert "\x1b" not in on_terminal(80, *words, environ={"TERM": "dumb"})


def test_the_width_is_that_of_the_terminal(desk: House) -> None:
    """As a process of its own, on a terminal that says how wide it is."""
    script = f"stty cols 40; exec {sys.executable} -m identifai_watch status --config {desk.config_path}"
    around = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm"}
    done = subprocess.run(
        ["script", "--quiet", "--return", "--command", script, "/dev/null"],
        env=around, capture_output=True, stdin=subprocess.DEVNULL, text=True, check=True,
    )  # fmt: skip
    assert max(widths(done.stdout.replace("\r", ""))) in range(35, 41)
    assert "drop: ok, noticed by scan" in plain(done.stdout)


def test_what_a_stranger_says_of_the_account_does_nothing(desk: House) -> None:
    """Neither what identifAI answers nor what an operator typed reaches a terminal as it is."""
    account = Account(state=AccountState.PAUSED, reason=PauseReason.KEY, detail="\x1b[2Jno\u202e")
    found = report_of(desk.config(), None, utc_now())
    folders = tuple(replace(one, reason="a\x1b]0;b\x07", paused="by\x9bme") for one in found.folders)
    out = (desk.home / "out").open("w+", encoding="utf-8")
    with out:
        paper.put(out, printing.status(replace(found, account=account, folders=folders), utc_now()))
        out.seek(0)
        told = out.read()
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(told)
    assert r"\x1b[2Jno\u202e" in told
    assert r"paused by\x9bme" in told
