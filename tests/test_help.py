"""``--help``, its examples and the manual: every command has them, and what they show works."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from identifai_watch.cli import cli, examples
from tests.console import at, typed
from tests.harness import house

ROOT = Path(__file__).resolve().parent.parent
MANUAL = ROOT / "docs" / "identifai-watch.1"

NEVER_END = ("run", "simulate", "status --watch", "web")
"""What runs until it is stopped: tests of their own run these."""

ELSEWHERE = ("demo", "init", "notify test", "history stamp", "ledger copy ledger.db")
"""What takes long, asks on a terminal, or asks for others that are told, that stamp or that serve: likewise."""


def commands(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """Give every command by what is typed for it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{above}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{above}{name} ")


ALL = dict(commands(cli))


def words_of(line: str) -> list[str]:
    """Return the words behind the program's name, without what a pipe would do with what comes."""
    program, *words = shlex.split(line.partition(" | ")[0])
    assert examples.PROGRAM == program
    return words


def test_every_command_has_an_example_and_no_other_has() -> None:
    """Those below a command too."""
    assert set(ALL) == set(examples.EXAMPLES)


@pytest.mark.parametrize("name", ALL)
def test_help_ends_with_examples(name: str) -> None:
    """They can be copied: none is folded at 80 columns."""
    told = typed(*name.split(), "--help", environ={"COLUMNS": "80"}).out
    assert [] == [line for _, line in examples.of(name) if f"\n    {line}\n" not in told]
    assert max(map(len, told.splitlines())) <= 80


@pytest.mark.parametrize("line", [line for name in ALL for _, line in examples.of(name)])
def test_every_example_is_understood(line: str) -> None:
    """It is parsed as it would be if it were typed, and nothing of it is left over."""
    command: click.Command = cli
    words, parent = words_of(line), None
    while isinstance(command, click.Group):
        parent = command.make_context(command.name, words, parent=parent)
        rest = [*parent._protected_args, *parent.args]
        if not rest:
            return
        _, found, words = command.resolve_command(parent, rest)
        assert found is not None
        command = found
    assert [] == command.make_context(command.name, words, parent=parent).args


def test_every_example_that_ends_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed one after the other, in the order of the help, in a house whose folder is /srv/drop."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nas").mkdir()
    with house(tmp_path) as home:
        home.put("sample.jpg", "a.jpg")
        home.put("sample.png", "b.png")
        assert 0 == at(home, "once").status
        places = {"/srv/drop": str(home.drop), "/mnt/nas": str(tmp_path / "nas")}
        failed = []
        for line in (line for name in ALL for _, line in examples.of(name)):
            words = words_of(line)
            if " ".join(words).startswith((*NEVER_END, *ELSEWHERE)):
                continue
            for there, here in places.items():
                words = [word.replace(there, here) for word in words]
            ended = typed(*words, environ={"IDENTIFAI_WATCH_CONFIG": str(home.config_path)})
            if ended.status != 0:
                failed.append((line, ended.status, ended.out, ended.err))
    assert [] == failed


def test_what_is_made_from_the_commands_is_current() -> None:
    """The manual, and the outline that shells are answered from."""
    found = subprocess.run([sys.executable, "docs/manual.py", "--check"], cwd=ROOT, check=False)
    assert 0 == found.returncode, "run: python docs/manual.py"


def test_the_manual_names_every_command_and_option() -> None:
    """It is made from the same text as --help."""
    told = MANUAL.read_text(encoding="utf-8").replace(r"\-", "-")
    for name, command in ALL.items():
        assert f".SS {name}\n" in told
        options = [param for param in command.params if isinstance(param, click.Option)]
        assert [] == [one for option in options for one in option.opts if f"{one}" not in told]


@pytest.mark.parametrize(
    "checker",
    [
        ["groff", "-man", "-ww", "-z", "-Tutf8"],
        ["man", "--warnings=w", "--local-file", "--troff-device=utf8"],
        ["mandoc", "-T", "lint", "-W", "error"],
    ],
    ids=lambda words: words[0],
)
def test_the_manual_is_well_formed(checker: list[str]) -> None:
    """Whichever checker the machine has says nothing about it."""
    if shutil.which(checker[0]) is None:
        pytest.skip(f"{checker[0]} is not installed")
    around = os.environ | {"LC_ALL": "C.UTF-8"}
    done = subprocess.run([*checker, str(MANUAL)], env=around, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
