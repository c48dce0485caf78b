"""The container: its file and compose.yaml are sound, agree with each other, and name what is there."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from identifai_watch import config
from identifai_watch.cli import COMMANDS
from identifai_watch.core.routing import Action

ROOT = Path(__file__).parents[1]
CONTAINERFILE = ROOT / "Containerfile"
COMPOSE = ROOT / "compose.yaml"
BIN = Path(sys.executable).parent


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Containerfile with what they say, lines joined."""
    text = re.sub(r"\\\n\s*", "", CONTAINERFILE.read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, said.strip()) for word, _, said in (line.strip().partition(" ") for line in lines)]


def said(word: str) -> str:
    """Return what the last instruction of a kind says."""
    return [said for found, said in instructions() if found == word][-1]


def variables() -> dict[str, str]:
    """Return the environment that the image sets."""
    return dict(pair.split("=", 1) for pair in said("ENV").split())


def service() -> dict[str, Any]:
    """Return the one service of compose.yaml."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]["identifai-watch"]
    return found


@pytest.mark.skipif(not (BIN / "hadolint").exists(), reason="hadolint is not installed")
def test_the_containerfile_is_sound() -> None:
    """Hadolint has nothing to say about it."""
    found = subprocess.run([BIN / "hadolint", CONTAINERFILE], capture_output=True, text=True, check=False)
    assert (0, "") == (found.returncode, found.stdout)


def test_compose_is_sound() -> None:
    """It is what the Compose specification's schema describes."""
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == found.returncode, found.stdout


def test_both_say_the_same() -> None:
    """User, places and health check of compose.yaml are the image's."""
    found = service()
    assert found["user"] == said("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", found["user"]), "a number, and not root"
    targets = {volume["target"]: volume for volume in found["volumes"]}
    assert {"/config", "/data", "/media"} == set(targets)
    assert said("VOLUME") in targets
    assert all(targets[place]["read_only"] for place in ("/config", "/media"))
    assert variables()["IDENTIFAI_WATCH_CONFIG"].startswith("/config/")
    assert "/data" == variables()["STATE_DIRECTORY"]
    check = json.loads(said("HEALTHCHECK").partition("CMD ")[2])
    assert ["CMD", *(word.replace("$", "$$") for word in check)] == found["healthcheck"]["test"]
    assert json.loads(said("ENTRYPOINT")) == ["identifai-watch"]
    for command in (json.loads(said("CMD"))[0], check[-1].split()[1]):
        assert command in COMMANDS


def test_the_health_check_is_for_what_a_restart_may_help(tmp_path: Path) -> None:
    """A plugin's OK and WARNING are healthy; CRITICAL and UNKNOWN are not, and end with 1, as Docker wants it."""
    program = tmp_path / "identifai-watch"
    program.write_text("#!/bin/sh\nexit $ANSWER\n")
    program.chmod(0o755)
    check = json.loads(said("HEALTHCHECK").partition("CMD ")[2])
    for answer, healthy in ((0, 0), (1, 0), (2, 1), (3, 1)):
        found = subprocess.run(
            check, env={"PATH": f"{tmp_path}:/usr/bin:/bin", "ANSWER": str(answer)}, check=False
        )
        assert healthy == found.returncode


def test_its_environment_is_a_configuration(tmp_path: Path) -> None:
    """With an empty file beside it, what compose.yaml sets is one: the media are only read, the ledger is kept."""
    (tmp_path / "config.toml").write_text("")
    found = config.load(tmp_path / "config.toml", variables() | service()["environment"])
    [folder] = found.folders
    assert (Path("/media"), Action.RECORD) == (folder.path, folder.action)
    assert Path("/config/api-key") == found.api.key_file
    assert "sqlite:////data/ledger.db" == found.ledger.url
    assert Path("/data/cache/previews") == config.default_cache(variables())
    assert "identifai-watch" == service()["hostname"], "folders are known by the host's name"


def test_what_is_copied_is_enough(tmp_path: Path) -> None:
    """From what the Containerfile copies, and .dockerignore lets through, the package can be built, whole."""
    let_through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    source = tmp_path / "source"
    for word, what in instructions():
        if word == "COPY" and not what.startswith("--from"):
            *names, target = what.split()
            for name in names:
                assert name in let_through
                if (ROOT / name).is_dir():
                    shutil.copytree(
                        ROOT / name, source / target, ignore=shutil.ignore_patterns("__pycache__")
                    )
                else:
                    source.mkdir(exist_ok=True)
                    shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, source]
    subprocess.run(command, check=True)
    [wheel] = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("identifai_watch/")}
    ours = (
        path
        for path in (ROOT / "identifai_watch").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    assert {str(path.relative_to(ROOT)) for path in ours} == packed
