"""The first five minutes: four questions on a real terminal, a check, and the README's first chapter typed as it stands."""

import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pytest

from identifai_watch import config as configuration
from identifai_watch.cli import questions, setup
from identifai_watch.cli.questions import Wishes
from identifai_watch.errors import RefusedError
from identifai_watch.simulator import Simulator
from tests.console import at, typed
from tests.harness import KEY, house, wait_for

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
ASKS = [
    r"Folder \[.*\]: $",
    r"A judged file \(.*\) \[sidecar\]: $",
    r"API key, .* \[later\]: $",
    r"there already \(.*\) \[hold\]: $",
]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Give a pretend identifAI that takes only our key."""
    with Simulator() as one:
        one.change(key=KEY, delay=0)
        yield one


@contextmanager
def terminal(home: Path, line: str) -> Iterator[Any]:
    """Type a line on a terminal of a new user, whose home is empty but for what the line makes."""
    around = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(home), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    child = pexpect.spawn(
        "/bin/sh",
        ["-c", f"exec {line}"],
        cwd=home,
        env=around,
        encoding="utf-8",
        dimensions=(40, 80),
        timeout=60,
    )
    child.delaybeforesend = None
    try:
        yield child
    finally:
        child.close(force=True)


def ended(child: Any) -> tuple[int, str]:
    """Wait for the end, and return the exit status and what was said last."""
    child.expect(pexpect.EOF)
    said: str = child.before
    child.wait()  # a close ends what is about to end by itself
    child.close()
    return child.exitstatus, said


def answered(child: Any, *answers: str) -> str:
    """Answer one question after the other, and return all that was said meanwhile."""
    said = ""
    for asks, answer in zip(ASKS, answers, strict=False):
        child.expect(asks)
        said += child.before + child.after
        child.sendline(answer)
    return said


def there(home: Path) -> set[str]:
    """Return all that is below a directory."""
    return {str(path.relative_to(home)) for path in home.rglob("*")}


def test_four_questions(tmp_path: Path, simulator: Simulator) -> None:
    """Enter takes what is offered; the key is never shown, and only its owner can read it; a check follows."""
    with terminal(tmp_path, f"identifai-watch init --url {simulator.url} --key-file keys/api-key") as child:
        said = answered(child, "", "", KEY, "")
        status, rest = ended(child)
    assert (0, False) == (status, KEY in said + rest)
    assert (
        max(map(len, said.split("\r\n"))) <= 80 or str(tmp_path) in said
    )  # but for the places that it names
    assert rest.endswith("All is well. Next:\r\n\r\n    identifai-watch run\r\n")
    assert "account at http://127.0.0.1" in rest
    assert {"drop", "identifai-watch.toml", "keys", "keys/api-key"} == there(tmp_path)
    key = tmp_path / "keys" / "api-key"
    assert (0o600, f"{KEY}\n") == (key.stat().st_mode & 0o777, key.read_text())
    config = configuration.load(tmp_path / "identifai-watch.toml", {})
    assert (tmp_path / "drop", "sidecar", "hold") == (
        config.folders[0].path, config.folders[0].action, config.folders[0].existing,
    )  # fmt: skip
    assert KEY not in (tmp_path / "identifai-watch.toml").read_text()


def test_answers_are_taken_and_mistakes_asked_again(tmp_path: Path, simulator: Simulator) -> None:
    """A folder that is a file, a word that is none of the choices, and what is no key."""
    (tmp_path / "file").touch()
    with terminal(
        tmp_path, f"identifai-watch init --url {simulator.url} --key-file key --config etc/w.toml"
    ) as child:
        answered(child, "file")
        child.expect("is a file, not a folder")
        answered(child, "~/incoming", "throw away")
        child.expect("is not one of")
        child.sendline("move")
        child.expect(ASKS[2])
        child.sendline("a key with blanks")
        child.expect("What was typed holds more than a key")
        assert "blanks" not in child.before
        child.expect(ASKS[2])
        child.sendline("")
        child.expect(ASKS[3])
        child.sendline("ignore")
        status, rest = ended(child)
    assert (1, True) == (status, rest.endswith(f"    install -D -m 600 /dev/stdin {tmp_path}/key\r\n"))
    [folder] = configuration.load(tmp_path / "etc" / "w.toml", {}).folders
    assert (tmp_path / "incoming", "move", "ignore") == (folder.path, folder.action, folder.existing)


@pytest.mark.parametrize("number", range(4))
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    """At each question: no file, no folder, and a terminal that shows again what is typed."""
    with terminal(tmp_path, "identifai-watch init --key-file keys/api-key") as child:
        answered(child, *["", "", KEY][:number])
        child.expect(ASKS[number])
        child.sendintr()
        status, rest = ended(child)
        assert (130, True) == (status, rest.endswith("Stopped.\r\n"))
    assert set() == there(tmp_path)


def test_what_is_there_is_kept(tmp_path: Path, simulator: Simulator) -> None:
    """A key that is there is used and not asked for, and what flags say is no question."""
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "in").mkdir()
    line = f"identifai-watch init --path in --existing judge --key-file key --url {simulator.url}"
    with terminal(tmp_path, line) as child:
        child.expect(ASKS[1])
        child.sendline("")
        child.expect("The key is in .*key already, and stays there.")
        status, rest = ended(child)
    assert (0, True) == (status, "All is well" in rest)
    assert KEY == (tmp_path / "key").read_text()
    assert "judge" == configuration.load(tmp_path / "identifai-watch.toml", {}).folders[0].existing


def wishes(home: Path, **more: Any) -> Wishes:
    """Return what somebody answered."""
    made: dict[str, Any] = dict.fromkeys(("name", "action", "url", "ledger", "existing"))
    made |= {"paths": (home / "a" / "drop",), "key_file": home / "keys" / "key", "key": KEY, "is_made": True}
    return Wishes(**made | more)


@pytest.mark.parametrize("taken", ["conf", "keys/key", "a/drop"])
def test_all_is_written_or_nothing(tmp_path: Path, taken: str) -> None:
    """Where one of them is in the way all else is as it was; what is in the way is not touched."""
    (tmp_path / taken).parent.mkdir(exist_ok=True)
    (tmp_path / taken).write_text("mine")
    before = there(tmp_path)
    with pytest.raises(RefusedError, match=re.escape(str(tmp_path / taken))):
        setup._write(wishes(tmp_path), tmp_path / "conf" / "w.toml", "text")
    assert (before, "mine") == (there(tmp_path), (tmp_path / taken).read_text())
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    """Neither for the key nor for the configuration, wherever it leads."""
    (tmp_path / "w.toml").symlink_to(tmp_path / "elsewhere")
    assert 1 == typed("init", "--path", tmp_path / "d", "--config", tmp_path / "w.toml").status
    assert not (tmp_path / "elsewhere").exists()
    assert KEY not in repr(wishes(tmp_path))


# What check ends with.


def test_check_ends_with_the_next_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is to be typed for this configuration: named only where it would not be found."""
    monkeypatch.setenv("IDENTIFAI_WATCH_CONFIG", "")
    with house(tmp_path) as home:
        whole = at(home, "check")
        assert whole.out.endswith(
            f"\n\nAll is well. Next:\n\n    identifai-watch run --config {home.config_path}\n"
        )
        assert (
            f"identifai-watch run --config {home.config_path}"
            == json.loads(at(home, "check", "--json").out)["next"]
        )
        assert at(home, "check", "--config-only").out.endswith(
            f"    identifai-watch check --config {home.config_path}\n"
        )
        monkeypatch.chdir(tmp_path)
        assert typed("check").out.endswith("\n    identifai-watch run\n")
        assert typed("check", environ={"IDENTIFAI_API_KEY": "another"}).out.endswith(
            "\nThen:\n\n    identifai-watch check\n"
        )
        with home.process():
            assert typed("check").out.endswith("\n    identifai-watch status\n")


def test_check_says_what_to_mend_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration itself, the key, or the first thing that is wrong."""
    monkeypatch.setenv("IDENTIFAI_WATCH_CONFIG", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert typed("check").out.endswith("\n    identifai-watch init\n")
    missing = tmp_path / "a b.toml"
    assert typed("check", "--config", missing).out.endswith(
        f"\n    identifai-watch init --config '{missing}'\n"
    )
    with house(
        tmp_path, folder={"path": str(tmp_path / "gone")}, api={"key_file": str(tmp_path / "key")}
    ) as home:
        keyless = at(home, "check", environ={"IDENTIFAI_API_KEY": ""})
        assert keyless.out.endswith(f"\n    install -D -m 600 /dev/stdin {tmp_path}/key\n")
        assert "Mend first: folder drop: Make or mount it" in at(home, "check").out
        home.folder = {"action": "sidcar"}
        wrong = at(home, "check")
        assert "Mend that first; then:" in wrong.out
        assert wrong.out.endswith("\n    identifai-watch check\n")


# The README's first chapter.


def chapter() -> list[str]:
    """Return the commands of the README's first chapter, in their order."""
    text = (
        (ROOT / "README.md")
        .read_text(encoding="utf-8")
        .partition("## First five minutes\n")[2]
        .partition("\n## ")[0]
    )
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


def test_a_new_user_gets_through_with_nothing_but_the_readme(tmp_path: Path, simulator: Simulator) -> None:
    """Every line of the chapter is typed, but for the install and the demo, which have tests of their own."""
    install, path, demo, init, run, again, copy, watch, listed, show = chapter()
    assert ("python3 -m venv .venv && .venv/bin/pip install .", "identifai-watch demo") == (install, demo)
    assert path == again == 'export PATH="$PWD/.venv/bin:$PATH"'  # as the terminals here have it
    (tmp_path / "identifai_watch").symlink_to(ROOT / "identifai_watch")
    with ExitStack() as ends:
        child = ends.enter_context(terminal(tmp_path, f"{init} --url {simulator.url} --key-file api-key"))
        answered(child, "", "", KEY, "")
        status, rest = ended(child)
        assert (0, run) == (status, rest.strip().split("\r\n")[-1].strip())
        daemon = ends.enter_context(terminal(tmp_path, run))
        daemon.expect("started")
        with terminal(tmp_path, copy) as child:
            assert 0 == ended(child)[0]
        wait_for((tmp_path / "drop" / "harbour.jpg.identifai.json").exists, "the sidecar is there", 60)
        with terminal(tmp_path, watch) as child:
            child.expect("delivered 1")
            child.sendintr()
            assert 0 == ended(child)[0]
        for line in (listed, show):
            with terminal(tmp_path, line) as child:
                status, said = ended(child)
            assert (0, True) == (status, "harbour.jpg" in said)
        daemon.sendintr()
        assert 0 == ended(daemon)[0]


def test_the_readme_says_what_the_questions_offer() -> None:
    """Each choice, and what it begins with."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"`{one}`" in text for one in (*questions.ACTIONS, *questions.EXISTING))
    assert all(shlex.split(line) for line in chapter())
