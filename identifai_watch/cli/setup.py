"""``init``: write a configuration, by asking on a terminal or from flags; ``check`` looks at what it says."""

import os
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from identifai_watch import config as configuration
from identifai_watch.cli.preflight import check_command
from identifai_watch.cli.preflight.unit import SERVICES
from identifai_watch.core.routing import Action
from identifai_watch.errors import AccountError, RefusedError

__all__ = ["check_command", "init_command"]

HEADER = """\
# identifai-watch: what is not written here has its default. Every key with its meaning stands in
# config.example.toml; identifai-watch check says whether all of it works.

"""
ACTIONS = [action.value for action in Action]
DEFAULT_PATH = Path("identifai-watch.toml")

SERVICE_LEDGER = "/var/lib/identifai-watch/ledger.db"
"""Where the unit's StateDirectory= is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the configuration is to say; None and empty leave the default."""

    paths: tuple[Path, ...]
    name: str | None
    action: str | None
    key_file: Path | None
    url: str | None
    ledger: str | None


@click.command("init")
@click.option(
    "--path",
    "paths",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A folder to watch; may be repeated.",
)
@click.option("--name", help="The folder's name, where there is one --path; else the last part of its path.")
@click.option("--action", type=click.Choice(ACTIONS), help="What becomes of a judged file.")
@click.option("--key-file", type=click.Path(path_type=Path), help="The file that holds the API key.")
@click.option("--url", help="Where identifAI is, if not where it is for everybody.")
@click.option("--ledger", help="Where the ledger lies: a path.")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_PATH,
    show_default=True,
    help="The file to write.",
)
def init_command(
    paths: tuple[Path, ...],
    name: str | None,
    action: str | None,
    key_file: Path | None,
    url: str | None,
    ledger: str | None,
    config_path: Path,
) -> None:
    """Write a configuration, by asking or from flags.

    On a terminal it asks for what no flag says. A file that is there already is never touched.
    """
    if config_path.exists():
        raise RefusedError(
            f"{config_path} is there already and was not touched; edit it, or name another --config"
        )
    is_service = ledger is None and is_for_a_service(config_path)
    wishes = Wishes(
        paths=paths,
        name=name,
        action=action,
        key_file=key_file,
        url=url,
        ledger=SERVICE_LEDGER if is_service else ledger,
    )
    if sys.stdin.isatty():
        wishes = asked(wishes)
    if not wishes.paths:
        raise click.UsageError("Name the folder to watch: --path PATH. (On a terminal it is asked for.)")
    if wishes.name is not None and len(wishes.paths) > 1:
        raise click.UsageError("--name is for one --path; several are named after their paths.")
    text = HEADER + configuration.dump(document(wishes))
    config = configuration.parse(text, config_path.absolute().parent)
    _write(config_path, text)
    click.echo(f"Wrote {config_path}.")
    if is_service:
        click.echo(
            f"The ledger is {SERVICE_LEDGER}, for the service and for every command alike; [ledger] url says so."
        )
    _say_what_next(config_path, config)


def is_for_a_service(config_path: Path) -> bool:
    """Tell whether a configuration is one that a service runs with: its ledger is named, for the defaults differ."""
    return config_path.resolve().is_relative_to(SERVICES)


def asked(wishes: Wishes) -> Wishes:
    """Ask for what the flags left open."""
    if not wishes.paths:
        path = click.prompt("Folder to watch", type=click.Path(path_type=Path), err=True)
        wishes = replace(wishes, paths=(path,))
    if wishes.action is None:
        click.echo(
            "What becomes of a judged file? sidecar: a JSON file beside it. move, copy: to a folder named after the\n"
            "verdict. record: nothing, it is only kept in the ledger.",
            err=True,
        )
        kinds = click.Choice(ACTIONS)
        wishes = replace(
            wishes, action=click.prompt("Action", type=kinds, default=Action.SIDECAR.value, err=True)
        )
    if wishes.key_file is None:
        default = _key_place()
        found = click.prompt(
            "File that holds the API key", type=click.Path(path_type=Path), default=default, err=True
        )
        wishes = replace(wishes, key_file=found)
    return wishes


def document(wishes: Wishes) -> dict[str, Any]:
    """Return the configuration as tables, with what differs from the defaults."""
    api: dict[str, Any] = {}
    if wishes.url is not None:
        api["url"] = wishes.url
    if wishes.key_file is not None:
        api["key_file"] = _absolute(wishes.key_file)
    made: dict[str, Any] = {"api": api} if api else {}
    if wishes.ledger is not None:
        place = wishes.ledger
        made["ledger"] = {"url": place if "://" in place else f"sqlite:///{_absolute(Path(place))}"}
    made["folder"] = [_folder(wishes, path) for path in wishes.paths]
    return made


def _folder(wishes: Wishes, path: Path) -> dict[str, Any]:
    folder: dict[str, Any] = {"path": _absolute(path)}
    if wishes.name is not None:
        folder["name"] = wishes.name
    if wishes.action is not None:
        folder["action"] = str(wishes.action)
    return folder


def _absolute(path: Path) -> str:
    """Return a path as it will be found from anywhere: those typed are relative to where they were typed."""
    return str(path.expanduser().absolute())


def _key_place() -> Path:
    if os.geteuid() == 0:
        return Path("/etc/identifai-watch/api-key")
    base = os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
    return Path(base, "identifai-watch", "api-key")


def _write(path: Path, text: str) -> None:
    """Write a file that was not there before; raise RefusedError if it is by now, or cannot be made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise RefusedError(f"{path} is there already and was not touched") from None
    except OSError as error:
        raise RefusedError(f"{path} cannot be written: {error.strerror}") from error


def _say_what_next(path: Path, config: configuration.Config) -> None:
    """Say what is still missing, and the next command to type."""
    for folder in config.folders:
        if not folder.path.is_dir():
            click.echo(f"Folder {folder.name} is not there yet: mkdir -p {shlex.quote(str(folder.path))}")
    try:
        configuration.read_key(config, os.environ)
    except AccountError as error:
        place = config.api.key_file
        click.echo(
            f"The API key cannot be used: {error}"
            if place is not None and place.exists()
            else f"There is no API key yet. Put it into {place}, alone on one line, and chmod 600 it; or set "
            "IDENTIFAI_API_KEY."
        )
    found = path.absolute() in {place.absolute() for place in configuration.places(os.environ)}
    named = "" if found else f" --config {shlex.quote(str(path))}"
    click.echo(f"Next:\n\n    identifai-watch check{named}")
