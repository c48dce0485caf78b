"""What a shell is told when somebody presses Tab: by the program itself, and in a real bash."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from identifai_watch import completing
from tests.console import typed

BIN = Path(sys.executable).parent
CONFIGURATION = """
[[folder]]
path = "/srv/drop"
[[folder]]
path = "/srv/b"
name = "My Wires"
[[folder]]
path = "/srv/c"
name = "drüben $(id)"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Give a configuration with three folders; none of them need be there."""
    path = tmp_path / "watch.toml"
    path.write_text(CONFIGURATION, encoding="utf-8")
    return path


def suggested(line: str, environ: dict[str, str] | None = None) -> set[str]:
    """Return the words that may stand where a line ends."""
    outline = json.loads(completing.OUTLINE.read_text(encoding="utf-8"))
    *before, last = line.split(" ")
    return {word for _, word, _ in completing.suggestions(outline, before, last, environ or {})}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sta", {"status"}),
        ("re", {"rejudge", "resume", "retry"}),
        ("ledger re", {"restore", "rebuild"}),
        ("backlog --json rel", {"release"}),
        ("list --outcome a", {"artificial"}),
        ("list --outcome=a", {"--outcome=artificial"}),
        ("list --outcome = a", {"artificial"}),
        ("list --st", {"--state", "--stuck"}),
        ("list --stuck --st", {"--state"}),
        ("init --path /a --pa", {"--path"}),
        ("decide /a.jpg h", {"human"}),
        ("decide /a.jpg human --reason x c", set()),
        ("completion ", {"bash", "zsh", "fish"}),
        ("nonsense --", set()),
        ("list --limit ", set()),
        ("--ver", {"--version"}),
    ],
)
def test_what_may_come_next(line: str, words: set[str]) -> None:
    """Commands, their options once each, and the values that an option takes."""
    assert words == suggested(line)


@pytest.mark.parametrize("line", ["show /srv/dr", "list --config ", "retry a b c", "judge "])
def test_paths_are_the_shells_matter(line: str) -> None:
    """Wherever a path is taken the shell completes it."""
    outline = json.loads(completing.OUTLINE.read_text(encoding="utf-8"))
    *before, last = line.split(" ")
    assert [("file", last, "")] == list(completing.suggestions(outline, before, last, {}))


def test_folders_are_those_of_the_configuration(settings: Path) -> None:
    """Of the one that the line names, else of the one that a command would take."""
    assert {"drop"} == suggested(f"list --config {settings} --folder dr") - {"drüben $(id)"}
    named = {"drop", "My Wires", "drüben $(id)"}
    assert named == suggested("resume --folder ", {"IDENTIFAI_WATCH_CONFIG": str(settings)})
    assert named == suggested(f"backlog --config={settings} release --folder ")


@pytest.mark.parametrize("text", ["folder = 3", "[[folder]]", "{", "folder = [1]", "\udcff"])
def test_a_wrong_configuration_is_not_told_here(tmp_path: Path, text: str) -> None:
    """Nobody is shouted at in the middle of a line."""
    (tmp_path / "w.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert set() == suggested(f"list --config {tmp_path}/w.toml --folder ")
    assert set() == suggested("list --config /nowhere --folder ")


def test_it_imports_next_to_nothing(settings: Path) -> None:
    """So that it answers sooner than --help does, which imports click."""
    heavy = ["click", "rich", "pydantic", "sqlalchemy", "identifai_watch.cli", "identifai_watch.config"]
    code = (
        "import sys\nfrom identifai_watch.__main__ import main\n"
        "try:\n    main()\n"
        f"finally:\n    print(*(name for name in {heavy} if name in sys.modules), file=sys.stderr)\n"
    )
    line = f"identifai-watch\nlist\n--config\n{settings}\n--folder\n"
    asks = {completing.VARIABLE: "bash_complete", "COMP_WORDS": line, "COMP_CWORD": "5"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | asks, capture_output=True, text=True, check=True
    )
    assert (["plain,drop", r"plain,My\ Wires", r"plain,drüben\ \$\(id\)"], []) == (
        done.stdout.splitlines(),
        done.stderr.split(),
    )


@pytest.mark.parametrize(
    ("shell", "asks", "says"),
    [
        ("zsh", {"COMP_WORDS": "identifai-watch\nsta", "COMP_CWORD": "1"}, "plain\nstatus\nShow how"),
        ("fish", {"COMP_WORDS": "identifai-watch sta", "COMP_CWORD": "sta"}, "plain,status\tShow how"),
        ("fish", {"COMP_WORDS": "identifai-watch list --outcome ", "COMP_CWORD": ""}, "plain,human\nplain,"),
    ],
)
def test_other_shells_are_told_what_a_word_means(
    shell: str, asks: dict[str, str], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the form that click's scripts read."""
    assert 0 == completing.answer({completing.VARIABLE: f"{shell}_complete"} | asks)
    assert capfd.readouterr().out.startswith(says)
    assert 1 == completing.answer({completing.VARIABLE: "csh_complete"})


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(shell: str) -> None:
    """It asks as completing.py is asked."""
    ended = typed("completion", shell)
    assert (0, True) == (ended.status, f"{completing.VARIABLE}={shell}_complete" in ended.out)


def test_a_real_bash_completes(settings: Path, tmp_path: Path) -> None:
    """Typed into an interactive bash: commands, options, values, folders with blanks, and paths."""
    (tmp_path / "script").write_text(typed("completion", "bash").out)
    (tmp_path / "harbour picture.jpg").touch()
    around = {
        "PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "$ ", "INPUTRC": "/dev/null",
        "IDENTIFAI_WATCH_CONFIG": str(settings), "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    bash = pexpect.spawn(
        "bash",
        ["--norc", "--noprofile", "-i"],
        env=around,
        cwd=tmp_path,
        encoding="utf-8",
        dimensions=(24, 200),
    )
    bash.delaybeforesend = None
    bash.sendline("source ./script")
    for line, words in {
        "identifai-watch sta\t": ["status"],
        "identifai-watch list --outc\tart\t": ["list", "--outcome", "artificial"],
        "identifai-watch list --folder=dro\t": ["list", "--folder=drop"],
        "identifai-watch pause --folder My\t": ["pause", "--folder", "My Wires"],
        'identifai-watch pause --folder "My\t': ["pause", "--folder", "My Wires"],
        "identifai-watch pause --folder dr\xfc\t": ["pause", "--folder", "drüben $(id)"],
        "identifai-watch explain harb\t": ["explain", "harbour picture.jpg"],
    }.items():
        bash.sendline(f"{line}\x01printf '<%s>' ")  # Ctrl-A: what was completed is printed instead of run
        bash.expect(r"\r\n(<identifai-watch>.*?)\$ ")
        assert ["identifai-watch", *words] == re.findall("<(.*?)>", bash.match[1])
    bash.sendline("exit")
    bash.expect(pexpect.EOF)
    bash.close()
