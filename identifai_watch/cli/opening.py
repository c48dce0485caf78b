"""What commands open: the configuration, the ledger, the key; and the option that every one of them has."""

import os
import pwd
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from identifai_watch import config as configuration
from identifai_watch.config import Config
from identifai_watch.core.sidecar import shown
from identifai_watch.errors import RefusedError
from identifai_watch.ledger import Ledger

Command = TypeVar("Command", bound=Callable[..., Any])

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration file; else $IDENTIFAI_WATCH_CONFIG, ./identifai-watch.toml, the user's, /etc.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON for machines.")


def load(config_path: Path | None) -> Config:
    """Return the configuration that is asked for or found; raise ConfigError with all its problems."""
    return configuration.load(configuration.find(config_path, os.environ))


NOBODY = 2**32 - 1
"""What the kernel says of a process that nobody's login led to."""


def operator(login: Path = Path("/proc/self/loginuid")) -> str:
    """Return the login name of whoever types, for the history.

    The kernel keeps who logged in, whatever sudo or su did since (audit's loginuid, ``login``).
    """
    try:
        found = int(login.read_text(encoding="ascii"))
    except (OSError, ValueError):
        found = NOBODY
    return _name_of(os.getuid() if found == NOBODY else found)


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


@contextmanager
def opened(config: Config) -> Iterator[Ledger]:
    """Open the ledger, and close it whatever happens; say so if it was brought to this version by that."""
    ledger = Ledger(config.ledger.url, node=config.node.name)
    try:
        if ledger.copied_to is not None:
            copied = shown(os.fsencode(ledger.copied_to))
            click.echo(f"The ledger was brought to this version; {copied} is what it was before.", err=True)
        yield ledger
    finally:
        ledger.close()


def folder_of(config: Config, path: Path) -> tuple[str, bytes]:
    """Return the name of the folder that a path lies in, and the path there in bytes.

    Raises:
        RefusedError: It lies in none of them.
    """
    absolute = os.path.normpath(path.absolute())  # links stay as they are: they are not followed here either
    for folder in config.folders:
        for root in {str(folder.path), os.path.realpath(folder.path)}:
            if absolute.startswith(root.rstrip("/") + "/"):
                return folder.name, os.fsencode(os.path.relpath(absolute, root))
    watched = ", ".join(str(folder.path) for folder in config.folders)
    raise RefusedError(f"{path} lies in no watched folder; watched are {watched}")
