"""Row 27: ignore rules hide everything, and nobody is told.

As met elsewhere: a pattern that is wider than it looks, or an ignore file that somebody left in the tree, hides every
file. The tool runs, reports no error and does nothing, and its users compare settings for days.

Here the rules are globs as of .gitignore, with built-in ones for junk and for what is still being written, and
``explain PATH`` names the one that hides a file, with its place. What was hidden is not lost: it is taken as soon as
the rule is gone.
"""

import json
import signal
from pathlib import Path

from tests.console import at
from tests.harness import House, house, wait_for
from tests.watching import folders, picture, sha256

HIDDEN = {
    "excluded": ({"exclude": ["*"]}, "x.png", "exclude: *"),
    "narrow": ({"include": ["*.jpg", "**/*.JPG"]}, "x.png", "not in include: *.jpg, **/*.JPG"),
    "directory": ({"exclude": ["raw/", "!keep.png"]}, "raw/x.png", "exclude: raw/"),
    "marked": ({}, "x.png", ".identifai-ignore in the folder: *"),
    "kept": ({}, "sub/x.png", ".identifai-ignore in sub: all of it"),
    "flat": ({"recursive": False}, "sub/x.png", "the folder is not recursive"),
    "unfinished": ({}, "x.png.part", "still being written: *.part"),
    "junk": ({}, "@eaDir/x.png", "junk: @eaDir"),
    "dotted": ({}, ".x.png", "its name begins with a dot"),
}
"""By the name of the folder: its settings, a picture in it, and the rule that hides it."""


def taken(home: House) -> set[str]:
    """Return the names that the process has hashed."""
    return {line["path"] for line in home.logged() if line["event"] == "admitted"}


def test_the_rule_that_hides_a_file_is_named_and_what_it_hid_is_not_lost(tmp_path: Path) -> None:
    """While another folder works, nothing of these is read; each says why; without its rule each is judged."""
    with house(tmp_path) as home:
        settings = {name: rule | {"rescan_seconds": 0.3} for name, (rule, _, _) in HIDDEN.items()}
        home.more = {"folder": folders(home, open={"rescan_seconds": 0.3}, **settings)}
        paths = {name: tmp_path / name / file for name, (_, file, _) in HIDDEN.items()}
        for name, path in paths.items():
            picture(path, name)
        ignores = (tmp_path / "marked" / ".identifai-ignore", tmp_path / "kept" / "sub" / ".identifai-ignore")
        ignores[0].write_text("# all of it\n*\n")
        ignores[1].touch()
        with home.process() as process:
            for name in ("seen.png", "seen too.png"):
                picture(tmp_path / "open" / name)
                wait_for(lambda name=name: name in taken(home), f"{name} is taken")  # type: ignore[misc] - at once
            assert {"seen.png", "seen too.png"} == taken(home)
            for name, (_, _, rule) in HIDDEN.items():
                found = json.loads(at(home, "explain", paths[name], "--json").out)
                assert ("left alone", rule) == (found["state"], found["rule"])
            for ignore in ignores:
                ignore.unlink()
            paths["unfinished"].rename(tmp_path / "unfinished" / "x.png")
            plain = {"rescan_seconds": 0.3}
            home.more = {"folder": folders(home, open=plain, **dict.fromkeys(HIDDEN, plain))}
            assert home.config_path.exists()
            process.send_signal(signal.SIGHUP)
            judged = {"excluded", "narrow", "directory", "marked", "kept", "flat", "unfinished"}
            expected = {sha256(name) for name in judged} | {sha256("seen.png"), sha256("seen too.png")}
            wait_for(
                lambda: len(home.simulator.state.charged) >= len(expected), "what was hidden is judged", 60
            )
        assert expected == {submission.sha256 for submission in home.simulator.state.charged}
        assert len(expected) == len(home.simulator.state.charged)
