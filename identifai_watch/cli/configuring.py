"""``config``: what the configuration says, all of it or what was written, and where each value is from."""

import json
import os
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from identifai_watch import config as configuration
from identifai_watch.cli.opening import config_option, json_option
from identifai_watch.cli.reading import standard_output
from identifai_watch.config.effective import DEFAULT, Setting, effective

_COLUMN = 45


@click.group("config")
def config_command() -> None:
    """Show the configuration, and where each value is from."""


@config_command.command("show")
@click.option("--effective", "shows_all", is_flag=True, help="Every setting, those that nobody wrote too.")
@config_option
@json_option
def show_command(config_path: Path | None, *, shows_all: bool, as_json: bool) -> None:
    """Show what was written, as TOML; beside each value the file or the variable that it is from.

    The environment wins over the files. Nothing secret is shown, only that it is set.
    """
    path = configuration.find(config_path, os.environ)
    settings = [one for one in effective(path) if shows_all or one.origin != DEFAULT]
    with standard_output() as out:
        if as_json:
            out.write(json.dumps({"path": str(path), "settings": [_object(one) for one in settings]}) + "\n")
            return
        out.write(f"# {path}\n")
        for (table, folder), group in groupby(settings, key=lambda one: (one.table, one.folder)):
            is_list = table == "folder"
            comment = "" if folder is None or is_list else f"{'':<{_COLUMN - len(table) - 3}}# of {folder}"
            out.write(f"\n{f'[[{table}]]' if is_list else f'[{table}]'}{comment}\n")
            out.writelines(f"{_line(one)}\n" for one in group)


def _object(one: Setting) -> dict[str, Any]:
    return {"key": one.dotted, "value": one.value, "from": one.origin, "secret": one.is_secret}


def _line(one: Setting) -> str:
    if one.is_secret:
        return f"# {one.key} is set, and not shown; {one.origin}"
    if one.value is None:
        return f"# {one.key} is not set"
    return f"{f'{one.key} = {_toml(one.value)}':<{_COLUMN - 1}} # {one.origin}"


def _toml(value: Any) -> str:
    """Return a value as TOML writes it on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    # What JSON escapes TOML escapes alike; text that is checked holds no control characters.
    return json.dumps(value, ensure_ascii=False)
