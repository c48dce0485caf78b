"""The README says what is so: what follows from the code is made from it, and what it names is there."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

from identifai_watch.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_generated_blocks_are_current() -> None:
    """States, crashes, commands and statuses in the README are those of the code."""
    found = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, check=False)
    assert 0 == found.returncode, "run: python docs/generate.py"


def test_every_cut_belongs_to_an_arrow() -> None:
    """The page of crashes speaks of no arrow that the tables do not have."""
    made = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    arrows = {
        (str(state), event.__name__)
        for table in (made["ANALYSES"], made["FILES"])
        for state, row in table.items()
        for event in row
    }
    assert set(made["CUTS"]) <= arrows


def test_every_command_in_an_example_exists() -> None:
    """A command that the README shows is one of the program's."""
    shown = set(re.findall(r"^(?:\S*/)?identifai-watch ([a-z]+)", README, re.MULTILINE))
    assert shown
    assert shown <= set(COMMANDS)


def test_every_file_that_it_names_is_there() -> None:
    """Links and the files of the repository that the README names exist."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    named = re.findall(r"`((?:tests|docs|identifai_watch|systemd)/[\w./-]+)`", README)
    missing = [name for name in (*links, *named) if not (ROOT / name).exists()]
    assert [] == missing
