"""What a shell is told when somebody presses Tab: commands, options, their values, and the folders of the configuration.

It is asked at each press, so it imports next to nothing: what commands there are stands in ``outline.json``, which
``docs/manual.py`` makes from the commands themselves. The scripts that make a shell ask are those of click
(``identifai-watch completion``), and so are the words that they understand: ``file`` has the shell complete paths.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from identifai_watch.errors import ConfigError
from identifai_watch.locating import find

VARIABLE = "_IDENTIFAI_WATCH_COMPLETE"
"""Says who asks, bash_complete for instance; COMP_WORDS and COMP_CWORD say what is typed."""

OUTLINE = Path(__file__).with_name("outline.json")

FOLDER = "--folder"
"""The option whose value is the name of a folder of the configuration."""

Node = Mapping[str, Any]
Suggestion = tuple[str, str, str]
"""The kind, plain or file; the word; what it means."""


def answer(environ: Mapping[str, str]) -> int:
    """Write what may stand where the cursor is, in the form that the shell's script reads; return the exit status."""
    shell = environ[VARIABLE].removesuffix("_complete")
    if shell not in _FORMS:
        return 1
    raw = environ.get("COMP_WORDS", "")
    words = _split(raw)[1:]
    if shell == "fish":
        typed = "".join(_split(environ.get("COMP_CWORD", ""))[:1])
        before = words[:-1] if typed and words[-1:] == [typed] else words
    else:
        cursor = int(environ.get("COMP_CWORD", "0")) - 1
        before, typed = words[:cursor], "".join(words[cursor : cursor + 1])
    is_quoted = "".join(raw.split("\n")[len(before) + 1 :])[:1] in {"'", '"'}
    found = suggestions(json.loads(OUTLINE.read_text(encoding="utf-8")), before, typed, environ)
    lines = (_FORMS[shell](one, is_quoted) for one in found if one[1].isprintable())
    sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
    return 0


def suggestions(
    outline: Node, before: Sequence[str], typed: str, environ: Mapping[str, str]
) -> Iterator[Suggestion]:
    """Give what may stand where ``typed`` begins, behind the words ``before`` it."""
    words = [word for word in before if word != "="]  # bash takes --folder=x for three words
    typed = "" if typed == "=" else typed
    node, waits, given, arguments = outline, None, set[str](), 0
    for word in words:
        if waits is not None:
            waits = None
        elif word.startswith("-") and word != "-":
            name, has_value, _ = word.partition("=")
            option = _option(node, name)
            given |= set() if option is None else set(option["names"])
            waits = option if option is not None and option["takes"] is not None and not has_value else None
        elif "commands" in node:
            if word not in node["commands"]:
                return
            node, given = node["commands"][word], set()
        else:
            arguments += 1
    name, has_value, value = typed.partition("=")
    if waits is not None:
        yield from _values(waits["takes"], typed, words, environ)
    elif typed.startswith("-") and has_value:
        option = _option(node, name)
        found = () if option is None else _values(option["takes"], value, words, environ)
        yield from ((kind, f"{name}={word}", help_) for kind, word, help_ in found if kind == "plain")
    elif typed.startswith("-"):
        for option in node["options"]:
            if option["repeats"] or not given & set(option["names"]):
                yield from (
                    ("plain", one, option["help"]) for one in option["names"] if one.startswith(typed)
                )
    elif "commands" in node:
        of_node = ((name, one["help"]) for name, one in node["commands"].items())
        yield from (("plain", name, help_) for name, help_ in of_node if name.startswith(typed))
    elif node["arguments"]:
        takes = [
            one for one in node["arguments"] for _ in range(1 if one["repeats"] is False else arguments + 1)
        ]
        if arguments < len(takes):
            yield from _values(takes[arguments]["takes"], typed, words, environ)


def _option(node: Node, name: str) -> Node | None:
    return next((option for option in node["options"] if name in option["names"]), None)


def _values(
    takes: str | list[str] | None, typed: str, words: Sequence[str], environ: Mapping[str, str]
) -> Iterator[Suggestion]:
    """Give the values that an option or an argument takes: one of a few, a path, or a folder's name."""
    if isinstance(takes, list):
        yield from (("plain", one, "") for one in takes if one.startswith(typed))
    elif takes == "file":
        yield "file", typed, ""
    elif takes == "folder":
        yield from (("plain", one, "") for one in folders(words, environ) if one.startswith(typed))


def folders(words: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return the names of the folders of the configuration that a line of words is about; none if it cannot be read.

    What is wrong with it is not told here: nobody is to be shouted at in the middle of a line.
    """
    import tomllib  # noqa: PLC0415 - for this one option

    named = None
    for word, value in zip(words, [*words[1:], ""], strict=True):
        name, has_value, joined = word.partition("=")
        if name == "--config":
            named = Path(joined if has_value else value).expanduser()
    try:
        with find(named, environ).open("rb") as file:
            tables = tomllib.load(file).get("folder", [])
        return [str(one.get("name") or Path(one["path"]).name) for one in tables]
    except (ConfigError, OSError, ValueError, TypeError, AttributeError, KeyError):
        return []


def _split(line: str) -> list[str]:
    """Return the words of a line that is not finished: a quote may still be open."""
    import shlex  # noqa: PLC0415 - not for whoever only runs a command

    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:
        words.append(lexer.token)
    return words


def _for_bash(one: Suggestion, is_quoted: bool) -> str:  # noqa: FBT001 - one of the forms
    """Return a word as bash is to put it into the line: within a quote as it is, else with what is special escaped."""
    kind, word, _ = one
    safe = (
        word
        if is_quoted
        else "".join(f"\\{c}" if not (c.isalnum() or c in "@%+=:,./-_") else c for c in word)
    )
    return f"{kind},{safe}"


def _for_zsh(one: Suggestion, _is_quoted: bool) -> str:  # noqa: FBT001 - one of the forms
    kind, word, help_ = one
    return f"{kind}\n{word.replace(':', chr(92) + ':') if help_ else word}\n{help_ or '_'}"


def _for_fish(one: Suggestion, _is_quoted: bool) -> str:  # noqa: FBT001 - one of the forms
    kind, word, help_ = one
    return f"{kind},{word}\t{help_}" if help_ else f"{kind},{word}"


_FORMS = {"bash": _for_bash, "zsh": _for_zsh, "fish": _for_fish}
"""How each shell's script reads a suggestion (click.shell_completion)."""
