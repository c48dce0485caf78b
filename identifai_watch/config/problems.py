"""pydantic's errors, said as an operator reads them: ``folder.drop.settle_secnds: unknown key; did you mean ...?``.

One line for each mistake: the dotted name as the file spells it, the value, the remedy. Unknown keys are told
without their values, which may be secrets.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from identifai_watch.config.folder import written_name
from identifai_watch.config.models import NO_FOLDER, Config
from identifai_watch.config.tables import Keys, below, fields_of, section_at
from identifai_watch.config.values import PROBLEMS, suggested

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN = 60

_WORDS: Mapping[str, str] = {
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_type": "is not a number",
    "finite_number": "is not a finite number",
    "bool_type": "is not true or false; write it without quotes",
    "string_type": "is not text; put it in quotes",
    "tuple_type": "is not a list; write it in square brackets",
    "model_type": "is not a table",
    "greater_than_equal": "is below {ge}",
    "greater_than": "is not above {gt}",
    "less_than_equal": "is above {le}",
    "string_too_long": "is longer than {max_length} characters",
}


def told(error: ValidationError, labels: list[str], variables: Mapping[Keys, str]) -> list[str]:
    """Return a line for each mistake.

    ``labels`` are what the folders are called, ``variables`` the names of what was set in the environment; a mistake
    there begins with its name.
    """
    return [
        line for details in error.errors(include_url=False) for line in _lines(details, labels, variables)
    ]


def folder_labels(document: Mapping[str, Any]) -> list[str]:
    """Return ``folder.NAME`` for each folder whose name is written and its own, else ``folder.#2``."""
    folders = document.get("folder")
    names = [written_name(folder) for folder in folders] if isinstance(folders, list) else []
    return [
        f"folder.{_quoted(name)}" if name is not None and names.count(name) == 1 else f"folder.#{number}"
        for number, name in enumerate(names, start=1)
    ]


def _quoted(key: str) -> str:
    return key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _lines(details: ErrorDetails, labels: list[str], variables: Mapping[Keys, str]) -> Iterator[str]:
    keys = details["loc"]
    variable = _variable(keys, variables)
    if details["type"] == PROBLEMS:
        for further, words in details["ctx"]["found"]:
            yield f"{variable}{_dotted((*keys, *further), labels)}: {words}"
    else:
        yield f"{variable}{_dotted(keys, labels)}: {_said(details)}"


def _variable(keys: Keys, variables: Mapping[Keys, str]) -> str:
    """Return the variable that set what is wrong, or all of it, as the beginning of a line."""
    for length in range(len(keys), 0, -1):
        if keys[:length] in variables:
            return f"${variables[keys[:length]]}: "
    # A table that there is not, for the sake of one key in it.
    return next((f"${name}: " for set_, name in variables.items() if set_[: len(keys)] == keys), "")


def _dotted(keys: tuple[int | str, ...], labels: list[str]) -> str:
    match keys:
        case ("folder", int(index), *rest):
            begin = labels[index]
        case _:
            begin, rest = "", list(keys)
    for key in rest:
        begin += f".#{key + 1}" if isinstance(key, int) else f".{_quoted(key)}"
    return begin.removeprefix(".")


def _said(details: ErrorDetails) -> str:
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    match kind:
        case "value_error":
            return str(context["error"])
        case "extra_forbidden":
            return _unknown(details["loc"])
        case "missing" | "tuple_type" if details["loc"] == ("folder",):
            return NO_FOLDER
        case "missing":
            return "is missing; every folder has one"
        case "enum" | "literal_error":
            return _not_one_of(value, str(context["expected"]))
        case _ if kind in _WORDS:
            bounds = {name: f"{bound:g}" for name, bound in context.items() if isinstance(bound, int | float)}
            return f"{_shown(value)} {_WORDS[kind].format(**bounds)}"
        case _:
            return details["msg"]


def _shown(value: object) -> str:
    written = json.dumps(value, ensure_ascii=False, default=str)
    return written if len(written) <= _SHOWN else f"{written[:_SHOWN]}..."


def _not_one_of(value: object, expected: str) -> str:
    # pydantic writes the choices as 'a', 'b' or 'c', members of enums as <A.B: 'b'>, and numbers as 5 or 10.
    choices = re.findall(r"'([^']+)'", expected) or re.findall(r"[0-9]+", expected)
    from difflib import get_close_matches  # noqa: PLC0415 - only a mistake needs it

    close = get_close_matches(str(value), choices, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"known: {', '.join(choices)}"
    return f"{_shown(value)} is not known; {remedy}"


def _unknown(keys: tuple[int | str, ...]) -> str:
    *above, last = keys
    key, section = str(last), section_at(above)
    elsewhere: Mapping[str, str] = getattr(section, "elsewhere", {})
    if key in elsewhere:
        return elsewhere[key]
    known = list(fields_of(section))
    home = next(
        (header for header, other in _sections() if other is not section and key in fields_of(other)), None
    )
    if home is not None:
        return f"unknown key here; it belongs to {home}"
    return f"unknown key; {suggested(key, known)}"


def _sections() -> list[tuple[str, type[BaseModel]]]:
    """Return every table that may stand in a file with the header that opens it."""
    top = below(Config)
    return [
        *((f"[{key}]" if key != "folder" else "[[folder]]", section) for key, section in top.items()),
        *((f"[folder.{key}]", section) for key, section in below(top["folder"]).items()),
    ]
