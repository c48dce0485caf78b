"""Make what follows from the commands themselves: the manual page, and the outline that shells are answered from.

``python docs/manual.py`` writes docs/identifai-watch.1 and identifai_watch/outline.json; ``--check`` only says whether
they are current.
"""

import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from generate import MEANINGS

from identifai_watch import __version__, locating
from identifai_watch.cli import COMMANDS, cli, examples
from identifai_watch.completing import FOLDER, OUTLINE
from identifai_watch.config import key
from identifai_watch.errors import Exit

MANUAL = Path(__file__).resolve().parent / "identifai-watch.1"
PROGRAM = examples.PROGRAM

ENVIRONMENT = {
    locating.VARIABLE: "The configuration, if no --config is given.",
    key.VARIABLE: "The key of the account at identifAI. The systemd credential api-key and api.key_file come after it.",
    "XDG_CONFIG_HOME": "Where the user's own configuration and key are; else ~/.config.",
    "XDG_STATE_HOME": "Where the user's own ledger is; else ~/.local/state.",
    "STATE_DIRECTORY": "Where the ledger of a service is, as systemd says it.",
    "COLUMNS": "How wide what is printed for people may be; else a terminal's width, and in a pipe whatever it takes.",
    "NO_COLOR": "If it is set and not empty, nothing is coloured.",
}

FILES = {
    "./identifai-watch.toml": "The configuration, looked for first.",
    "~/.config/identifai-watch/config.toml": "The user's.",
    str(locating.SYSTEM): "The service's.",
    "config.example.toml": "Every setting with its default and what it means; it comes with the sources.",
}


# The outline.


def outline(command: click.Command, help_: str) -> dict[str, Any]:
    """Return what a shell may be told of a command and of those below it."""
    context = click.Context(command, info_name=PROGRAM)
    params = command.get_params(context)
    options = [param for param in params if isinstance(param, click.Option) and not param.hidden]
    made: dict[str, Any] = {
        "help": help_,
        "options": [
            {
                "names": [*param.opts, *param.secondary_opts],
                "help": _brief(param.help or ""),
                "takes": None if param.is_flag or param.count else _taken(param),
                "repeats": param.multiple,
            }
            for param in options
        ],
        "arguments": [
            {"takes": _taken(param), "repeats": param.nargs == -1}
            for param in params
            if isinstance(param, click.Argument)
        ],
    }
    if isinstance(command, click.Group):
        made["commands"] = {name: outline(one, _summary(name, one)) for name, one in _below(command)}
    return made


def _below(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=PROGRAM)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None:
            yield name, command


def _summary(name: str, command: click.Command) -> str:
    return COMMANDS[name][1] if name in COMMANDS and command.name == name else _brief(command.help or "")


def _brief(text: str) -> str:
    """Return the first sentence."""
    return re.split(r"(?<=\.)\s|\n\n", inspect.cleandoc(text), maxsplit=1)[0].replace("\n", " ")


def _taken(param: click.Parameter) -> str | list[str]:
    """Return what is typed there: one of a few words, a path, a folder's name, or what nobody can guess."""
    if FOLDER in param.opts:
        return "folder"
    if isinstance(param.type, click.Choice):
        return [str(choice) for choice in param.type.choices]
    return "file" if isinstance(param.type, click.Path | click.File) else "text"


# The manual.


def manual() -> str:
    """Return the manual page."""
    lines = [
        '.\\" Made by docs/manual.py from the commands themselves.',
        f'.TH "{_escaped(PROGRAM.upper())}" 1 "" "{_escaped(f"{PROGRAM} {__version__}")}"',
        ".nh",  # what is typed is not to be hyphenated
        ".ad l",
        ".SH NAME",
        _escaped(f"{PROGRAM} - have new media in drop folders judged human or artificial by identifAI"),
        ".SH SYNOPSIS",
        f".B {_escaped(PROGRAM)}",
        r"\fICOMMAND\fR [\fIOPTION\fR]... [\fIARGUMENT\fR]...",
        ".SH DESCRIPTION",
        *_prose(cli.help or ""),
        ".SH COMMANDS",
    ]
    for name, command in _below(cli):
        lines += _command(name, command)
    lines += [".SH EXIT STATUS", *_terms({str(status.value): MEANINGS[status] for status in Exit})]
    lines += _terms({"130": "any other command was stopped by Ctrl-C"})
    lines += [".SH ENVIRONMENT", *_terms(ENVIRONMENT), ".SH FILES", *_terms(FILES)]
    return "\n".join(lines) + "\n"


def _command(name: str, command: click.Command) -> Iterator[str]:
    """Give what the manual says of a command: usage, help, options, examples; then the commands below it."""
    context = click.Context(command, info_name=f"{PROGRAM} {name}")
    yield f".SS {_escaped(name)}"
    yield f"\\fB{_escaped(context.info_name or '')}\\fR {_escaped(' '.join(command.collect_usage_pieces(context)))}"
    yield ".PP"
    yield from _prose(command.help or "")
    records = [param.get_help_record(context) for param in command.get_params(context)]
    yield from _terms(dict(record for record in records if record is not None and "--help" not in record[0]))
    for says, line in examples.of(name):
        yield ".PP"
        yield _escaped(says[0].upper() + says[1:] + ("" if says.endswith("?") else ":"))
        yield from (".RS 4", ".EX", _escaped(line), ".EE", ".RE")
    if isinstance(command, click.Group):
        for below, one in _below(command):
            yield from _command(f"{name} {below}", one)


def _prose(text: str) -> Iterator[str]:
    """Give the paragraphs of a help text; one that is marked is shown as it is."""
    for number, paragraph in enumerate(inspect.cleandoc(text).split("\n\n")):
        if number > 0:
            yield ".PP"
        if paragraph.startswith("\b\n"):
            yield from (".EX", *map(_escaped, paragraph.removeprefix("\b\n").split("\n")), ".EE")
        else:
            yield from (_marked(line) for line in paragraph.split("\n"))


def _terms(terms: dict[str, str]) -> Iterator[str]:
    for term, says in terms.items():
        yield ".TP"
        yield f"\\fB{_escaped(term)}\\fR"
        yield _marked(says)


def _marked(line: str) -> str:
    """Return a line of prose; what stands between backticks is typed, and so is bold."""
    return re.sub(r"`([^`]+)`", lambda found: rf"\fB{found[1]}\fR", _escaped(line, but="`"))


_SIGNS = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}


def _escaped(line: str, but: str = "") -> str:
    """Return a line as it is to be read: every sign is itself, so that what is copied can be typed."""
    told = "".join(c if c in but else _SIGNS.get(c, c) for c in line)
    return rf"\&{told}" if told.startswith((".", "'")) else told


def main() -> int:
    """Write both files, or with --check only compare them."""
    made = {
        MANUAL: manual(),
        OUTLINE: json.dumps(outline(cli, ""), ensure_ascii=False, indent=1) + "\n",
    }
    if "--check" in sys.argv[1:]:
        return int(
            any(not path.exists() or path.read_text(encoding="utf-8") != text for path, text in made.items())
        )
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
