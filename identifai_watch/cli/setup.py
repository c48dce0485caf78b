"""``init``: write a configuration, by asking on a terminal or from flags; ``check`` looks at what it says."""

import os
import shlex
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from identifai_watch import config as configuration
from identifai_watch.cli import questions
from identifai_watch.cli.preflight import check, check_command, onward, unit
from identifai_watch.cli.questions import ACTIONS, EXISTING, Wishes
from identifai_watch.core.sidecar import shown
from identifai_watch.errors import AccountError, Exit, RefusedError
from identifai_watch.hardening import harden

__all__ = ["check_command", "init_command"]

HEADER = """\
# identifai-watch: what is not written here has its default. Every key with its meaning stands in
# config.example.toml; identifai-watch check says whether all of it works.

"""
DEFAULT_PATH = Path("identifai-watch.toml")

SERVICE_LEDGER = "/var/lib/identifai-watch/ledger.db"
"""Where the unit's StateDirectory= is."""


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
@click.option("--existing", type=click.Choice(EXISTING), help="What becomes of files that are there already.")
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
    existing: str | None,
    key_file: Path | None,
    url: str | None,
    ledger: str | None,
    config_path: Path,
) -> int:
    """Write a configuration, by asking or from flags.

    On a terminal it asks for what no flag says, at most four questions, and ends with a check. A file that is there
    already is never touched, and Ctrl-C leaves nothing behind.
    """
    if os.path.lexists(config_path):
        raise RefusedError(
            f"{config_path} is there already and was not touched; edit it, or name another --config"
        )
    is_service = ledger is None and unit.is_for_a_service(config_path)
    wishes = Wishes(
        paths=paths,
        name=name,
        action=action,
        key_file=key_file,
        url=url,
        ledger=SERVICE_LEDGER if is_service else ledger,
        existing=existing,
    )
    is_asking = sys.stdin.isatty()
    if is_asking:
        harden()  # before a key is typed
        wishes = questions.asked(wishes)
    if not wishes.paths:
        raise click.UsageError("Name the folder to watch: --path PATH. (On a terminal it is asked for.)")
    if wishes.name is not None and len(wishes.paths) > 1:
        raise click.UsageError("--name is for one --path; several are named after their paths.")
    text = HEADER + configuration.dump(document(wishes))
    config = configuration.parse(text, config_path.absolute().parent)
    made = _write(wishes, config_path, text)
    for path in made:
        click.echo(f"{'Made' if path.is_dir() else 'Wrote'} {shown(str(path))}.")
    if is_service:
        click.echo(
            f"The ledger is {SERVICE_LEDGER}, for the service and for every command alike; [ledger] url says so."
        )
    if is_asking:
        click.echo()
        return check(config_path)
    _say_what_next(config_path, config)
    return Exit.OK


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
    if wishes.existing is not None:
        folder["existing"] = str(wishes.existing)
    return folder


def _absolute(path: Path) -> str:
    """Return a path as it will be found from anywhere: those typed are relative to where they were typed."""
    return str(path.expanduser().absolute())


def _write(wishes: Wishes, config_path: Path, text: str) -> list[Path]:
    """Make the folder, the key's file and the configuration, and return what was made: all of them, or nothing.

    Raises:
        RefusedError: One of them is there by now, or cannot be made.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C comes before it or after it
    made: list[Path] = []
    try:
        with ExitStack() as undo:
            for path in wishes.paths if wishes.is_made else ():
                made += _directories(path, undo)
            if wishes.key is not None and wishes.key_file is not None:
                _directories(wishes.key_file.parent, undo)
                made.append(_file(wishes.key_file, f"{wishes.key}\n", 0o600, undo))
            _directories(config_path.absolute().parent, undo)
            made.append(_file(config_path, text, 0o666, undo))
            undo.pop_all()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return made


def _directories(path: Path, undo: ExitStack) -> list[Path]:
    """Make a directory and those above it that are missing, and return them."""
    missing = [one for one in (*reversed(path.parents), path) if not one.is_dir()]
    for one in missing:
        try:
            one.mkdir()
        except OSError as error:
            raise RefusedError(f"{shown(str(one))} cannot be made: {error.strerror}") from error
        undo.callback(one.rmdir)
    return missing


def _file(path: Path, text: str, mode: int, undo: ExitStack) -> Path:
    """Write a file that was not there before."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        undo.callback(path.unlink)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - of a descriptor
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise RefusedError(f"{shown(str(path))} is there already and was not touched") from None
    except OSError as error:
        raise RefusedError(f"{shown(str(path))} cannot be written: {error.strerror}") from error
    return path


def _say_what_next(path: Path, config: configuration.Config) -> None:
    """Say what is still missing, and the next command to type."""
    for folder in config.folders:
        if folder.path.exists() and not folder.path.is_dir():
            click.echo(
                f"Folder {folder.name} is to be at {shown(str(folder.path))}, which is no directory: name another"
            )
        elif not folder.path.is_dir():
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
    click.echo(f"Next:\n\n    {onward.command('check', path)}")
