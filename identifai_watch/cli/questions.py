"""The four questions that ``init`` asks on a terminal, each with what it means in a line and an answer to begin with."""

import getpass
import os
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

import click

from identifai_watch.config import Existing
from identifai_watch.config.key import VARIABLE, checked
from identifai_watch.core.routing import Action
from identifai_watch.core.sidecar import shown
from identifai_watch.errors import AccountError, RefusedError

ACTIONS = [action.value for action in Action]
EXISTING = [existing.value for existing in Existing]

OF_FOLDER = "The folder to watch. It is made if it is not there."
OF_ACTION = "sidecar: a note beside it; move, copy: to a folder by verdict."
OF_KEY = "From the user menu of identifAI's dashboard; kept, for you alone, in"
OF_EXISTING = "hold: many wait for your word; judge: all are paid for; ignore: none."
"""What each question means, in a line of a terminal of 80 columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the configuration is to say; None and empty leave the default. ``key`` goes into ``key_file`` alone.

    ``is_made`` says that the folder may be made: whoever was asked for it was told so.
    """

    paths: tuple[Path, ...]
    name: str | None
    action: str | None
    key_file: Path | None
    url: str | None
    ledger: str | None
    existing: str | None
    key: str | None = field(default=None, repr=False)
    is_made: bool = False


def asked(wishes: Wishes) -> Wishes:
    """Ask for what the flags left open."""
    if not wishes.paths:
        wishes = replace(wishes, paths=(_folder(),), is_made=True)
    if wishes.action is None:
        action = _one_of(2, OF_ACTION, "A judged file", ACTIONS, Action.SIDECAR)
        wishes = replace(wishes, action=action)
    place = (wishes.key_file or key_place()).expanduser().absolute()
    wishes = replace(wishes, key_file=place, key=_key(place))
    if wishes.existing is None:
        existing = _one_of(4, OF_EXISTING, "Files that are there already", EXISTING, Existing.HOLD)
        wishes = replace(wishes, existing=existing)
    return wishes


def key_place() -> Path:
    """Return where the key is kept, if nobody says otherwise: the service's place for root, else the user's own."""
    if os.geteuid() == 0:
        return Path("/etc/identifai-watch/api-key")
    base = os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
    return Path(base, "identifai-watch", "api-key")


def _say(number: int, means: str) -> None:
    click.echo(f"\n{number} of 4. {means}", err=True)


def _folder() -> Path:
    _say(1, OF_FOLDER)
    found: Path = click.prompt("Folder", default=Path.cwd() / "drop", value_proc=_directory, err=True)
    return found


def _directory(typed: str | Path) -> Path:
    """Return what was typed as a path that is, or can become, a directory; else it is asked for again."""
    path = Path(typed).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise click.UsageError(f"{shown(str(path))} is a file, not a folder.")
    return path


def _one_of(number: int, means: str, what: str, choices: list[str], default: str) -> str:
    _say(number, means)
    found: str = click.prompt(what, type=click.Choice(choices), default=str(default), err=True)
    return found


def _key(place: Path) -> str | None:
    """Return the key that is typed, unseen; None if it is there already, or comes later."""
    if os.path.lexists(place):
        _say(3, f"The key is in {shown(str(place))} already, and stays there.")
        return None
    _say(3, f"{OF_KEY}\n{shown(str(place))}")
    empty = f"that of ${VARIABLE}" if os.environ.get(VARIABLE, "").strip() else "later"
    while True:
        typed = _unseen(f"API key, which is not shown [{empty}]: ")
        if not typed.strip():
            return None
        try:
            return checked(typed, "What was typed")
        except AccountError as error:
            click.echo(f"Error: {error}", err=True)


def _unseen(prompt: str) -> str:
    """Return what is typed on the terminal, which does not show it.

    Raises:
        RefusedError: The terminal cannot but show it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            # Not click's: it prints before the terminal has stopped to show what is typed.
            return getpass.getpass(prompt)
        except EOFError as error:
            raise click.Abort from error
        except getpass.GetPassWarning as error:
            raise RefusedError(
                "this terminal cannot hide what is typed; put the key into a file and name it with --key-file"
            ) from error
