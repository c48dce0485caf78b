"""``check``: is all there that a run needs? The configuration, the key, the account, the folders, the ledger.

Each look gives findings; nothing is changed and no file is sent.
"""

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import click

from identifai_watch import config as configuration
from identifai_watch.cli import vendor
from identifai_watch.cli.gauge import amount
from identifai_watch.cli.opening import config_option, json_option, load, node
from identifai_watch.config import Config, Folder, Key
from identifai_watch.core.events import Unreachable
from identifai_watch.core.mounts import is_network, mount_of
from identifai_watch.core.routing import Action
from identifai_watch.errors import AccountError, ConfigError, Exit, LedgerError
from identifai_watch.folder.opening import FolderError
from identifai_watch.folder.roots import Root, inspect_root, read_mounts
from identifai_watch.ledger import Ledger
from identifai_watch.patrol import wants_events, why_scanned


class Level(StrEnum):
    """How bad a finding is: an error keeps a run from working, a warning does not."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: ``about`` names it, ``said`` is how it is, ``remedy`` what to do."""

    level: Level
    about: str
    said: str
    remedy: str | None = None


@click.command("check")
@click.option("--config-only", is_flag=True, help="Only the configuration; no network, no folder, no ledger.")
@config_option
@json_option
def check_command(config_path: Path | None, config_only: bool, as_json: bool) -> int:  # noqa: FBT001 - click's flags
    """Check the configuration, the key, the account, the folders and the ledger.

    Ends with 0 if nothing is in the way, 1 if something is, 78 if the configuration is wrong.
    """
    try:
        config = load(config_path)
    except ConfigError as error:
        where = "" if error.path is None else f"{error.path}: "
        problems = [
            Finding(level=Level.ERROR, about="configuration", said=f"{where}{line}")
            for line in error.problems
        ]
        tell(problems, as_json=as_json)
        return Exit.CONFIG
    findings = [
        Finding(
            level=Level.OK,
            about="configuration",
            said=f"{configuration.find(config_path, os.environ)}: {len(config.folders)} to watch",
        )
    ]
    if not config_only:
        findings += look_around(config)
    tell(findings, as_json=as_json)
    return Exit.PROBLEMS if any(finding.level is Level.ERROR for finding in findings) else Exit.OK


def tell(findings: list[Finding], *, as_json: bool) -> None:
    """Print findings, as lines with what to do below, or as JSON."""
    if as_json:
        is_ok = all(finding.level is not Level.ERROR for finding in findings)
        click.echo(json.dumps({"ok": is_ok, "findings": [asdict(finding) for finding in findings]}))
        return
    colours = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}
    for finding in findings:
        level = click.style(f"{finding.level:<8}", fg=colours[finding.level])
        click.echo(f"{level} {finding.about}: {finding.said}")
        if finding.remedy is not None:
            click.echo(f"         {finding.remedy}")


def look_around(config: Config) -> list[Finding]:
    """Look at all that a run needs beside the configuration."""
    try:
        key = configuration.read_key(config, os.environ)
    except AccountError as error:
        about_key = [Finding(level=Level.ERROR, about="key", said=str(error))]
    else:
        about_key = [*_key(config, key), *_account(config, key)]
    return [
        *about_key,
        *(finding for folder in config.folders for finding in _folder(folder)),
        *_ledger(config),
    ]


# The account.


def _key(config: Config, key: Key) -> Iterator[Finding]:
    yield Finding(level=Level.OK, about="key", said=f"from {key.source}")
    file = config.api.key_file
    if file is not None and str(file) in key.source and stat.S_IMODE(file.stat().st_mode) & 0o077:
        yield Finding(
            level=Level.WARNING,
            about="key",
            said=f"{file} can be read by others (mode {stat.S_IMODE(file.stat().st_mode):04o})",
            remedy=f"chmod 600 {file}",
        )


def _account(config: Config, key: Key) -> Iterator[Finding]:
    """Ask for the credits: that shows whether the API is there and takes the key."""
    found = vendor.balance(config, key)
    about = f"account at {config.api.url}"
    floor = config.api.credits_floor
    if found.available is None:
        is_away = isinstance(found.account, Unreachable)
        yield Finding(
            level=Level.ERROR,
            about=about,
            said=("cannot be reached: " if is_away else "is refused: ")
            + (found.why or "no reason was given"),
            remedy="Is api.url right, and does this host get out?"
            if is_away
            else "Is the key the one of the dashboard, and are the terms accepted there?",
        )
    elif found.available <= 0 or found.available < floor:
        yield Finding(
            level=Level.ERROR,
            about=about,
            said=f"{amount(found.available)} credits are left, with credits_floor = {amount(floor)}",
            remedy="Buy credits, or lower api.credits_floor; until then everything waits.",
        )
    else:
        yield Finding(level=Level.OK, about=about, said=f"{amount(found.available)} credits are left")


# The folders.


def _folder(folder: Folder) -> Iterator[Finding]:
    about = f"folder {folder.name}"
    try:
        root = inspect_root(folder.root)
    except FolderError as error:
        yield Finding(
            level=Level.ERROR,
            about=about,
            said=f"{folder.path} is unavailable: {error}",
            remedy="Make or mount it, or let this user read and enter it; the other folders work without it.",
        )
        return
    mode = "by events" if wants_events(folder, root) else "by scanning alone"
    yield Finding(level=Level.OK, about=about, said=f"{folder.path}, watched {mode}")
    yield from _mode(folder, root)
    for place in _written(folder):
        if not os.access(_standing(place), os.W_OK | os.X_OK):
            yield Finding(
                level=Level.ERROR,
                about=about,
                said=f"{place} cannot be written by user {os.geteuid()}",
                remedy='Let its group write there, or set action = "record".',
            )


def _mode(folder: Folder, root: Root) -> Iterator[Finding]:
    reason = why_scanned(folder, root)
    if reason is not None:
        yield Finding(
            level=Level.WARNING,
            about=f"folder {folder.name}",
            said=f"{reason}: changes are found within rescan_seconds = {folder.rescan_seconds:g}",
        )


def _written(folder: Folder) -> list[Path]:
    """Return the places that deliveries of a folder write to."""
    if folder.action is Action.RECORD:
        return []
    return [folder.path, *folder.foreign_places().values()]


def _standing(place: Path) -> Path:
    """Return the nearest directory that is there already, of a place that may have to be made."""
    return next(parent for parent in (place, *place.parents) if parent.exists())


# The ledger.


def _ledger(config: Config) -> Iterator[Finding]:
    path = Path(config.ledger.url.removeprefix("sqlite:///"))
    if not path.exists():
        yield _ledger_to_be(path)
        return
    try:
        with_lock = Ledger(config.ledger.url, node=node())
    except LedgerError as error:
        yield Finding(level=Level.ERROR, about="ledger", said=str(error))
        return
    try:
        runs = "a daemon runs on it" if with_lock.lock.is_taken() else "no daemon runs on it"
    finally:
        with_lock.close()
    yield Finding(level=Level.OK, about="ledger", said=f"{path}; {runs}")


def _ledger_to_be(path: Path) -> Finding:
    above = _standing(path.parent)
    mount = mount_of(read_mounts(), os.fsencode(above.resolve()))
    if is_network(mount.fstype):
        return Finding(
            level=Level.ERROR,
            about="ledger",
            said=f"{path} would be on a network file system ({mount.fstype})",
            remedy="Set ledger.url to a place on a local disk.",
        )
    if not os.access(above, os.W_OK | os.X_OK):
        return Finding(
            level=Level.ERROR,
            about="ledger",
            said=f"{path} cannot be made: user {os.geteuid()} may not write in {above}",
            remedy="Run this as the service's user, or set ledger.url to another place.",
        )
    return Finding(level=Level.OK, about="ledger", said=f"{path} is made at the first start")
