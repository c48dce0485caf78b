"""``ledger``: is it whole, a copy of it, put back, taken elsewhere, made anew from sidecars, relieved of what is old."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from identifai_watch import ledger as ledgers
from identifai_watch.cli import salvaging
from identifai_watch.cli.acting import Since, yes_option
from identifai_watch.cli.asking import confirm, utc_now
from identifai_watch.cli.opening import config_option, json_option, load, opened, operator
from identifai_watch.config import Config
from identifai_watch.core.lifecycle import Policy
from identifai_watch.core.sidecar import shown
from identifai_watch.core.words import files
from identifai_watch.errors import Exit, LedgerError, RefusedError
from identifai_watch.ledger import backup, check, copy, history, prune, restore
from identifai_watch.ledger.backup import Tell
from identifai_watch.ledger.step import Step


@click.group("ledger")
def ledger_command() -> None:
    """Check, back up, restore, move, rebuild or prune the ledger."""


def ledger_path(config: Config) -> Path:
    """Return the file that the ledger is; raise RefusedError if it is on a server, which has its own tools for all this."""
    if config.ledger.path is None:
        raise RefusedError(
            f"the ledger is on a server ({ledgers.shown(config.ledger.url)}): PostgreSQL checks it, and pg_dump and pg_restore "
            "back it up; identifai-watch ledger copy takes it into a file"
        )
    return config.ledger.path


# Is it whole?


@ledger_command.command("check")
@click.option("--full", is_flag=True, help="Compare the indexes with the rows too, which takes longer.")
@config_option
@json_option
def check_command(*, full: bool, config_path: Path | None, as_json: bool) -> int:
    """Look whether the ledger is whole: the file, references, constraints, the queue of uploads, and the history's chain.

    Nothing is changed, with or without a daemon. Ends with 0 if all is well, 1 if something is wrong, 78 if the
    ledger cannot be opened.
    """
    path = ledger_path(load(config_path))
    with _step_by_step() as say:
        found = check.check(path, full=full, say=say)
    lines = 0 if found.head is None else found.head.lines
    head = None if found.head is None else found.head.digest.hex()
    if as_json:
        click.echo(
            json.dumps(
                {
                    "ok": not found.problems,
                    "revision": found.revision,
                    "history_lines": lines,
                    "history_head": head,
                    "problems": found.problems,
                }
            )
        )
    elif found.problems:
        for problem in found.problems:
            click.echo(shown(problem))
        click.echo(
            f"{shown(str(path))} is not whole. identifai-watch ledger restore FROM puts a backup back."
        )
    else:
        click.echo(f"{shown(str(path))} is whole: revision {found.revision}, {lines:,} lines of history.")
    return Exit.PROBLEMS if found.problems else Exit.OK


@contextmanager
def _step_by_step() -> Iterator[Callable[[str], None]]:
    """Give what tells a person at a terminal what is looked at."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only a terminal needs it

    with Console(stderr=True).status("") as status:
        yield lambda step: status.update(f"looking at {step}")


# Copies.


@ledger_command.command("backup")
@click.argument("target", metavar="TO", type=click.Path(path_type=Path))
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    help="TO is a directory, made if need be; so many of the newest copies stay in it.",
)
@config_option
@json_option
def backup_command(*, target: Path, keep: int | None, config_path: Path | None, as_json: bool) -> None:
    """Copy the ledger to TO, while a daemon runs or not, and open the copy to verify it.

    TO is a file that is not there yet, or a directory, which gets ledger-YYYYMMDDTHHMMSSZ.db. The file appears when it
    is whole, can be read by its owner alone, and nothing is ever overwritten. With --keep older files of just that
    form are removed.
    """
    path = ledger_path(load(config_path))
    with _progress("copying") as tell:
        if keep is not None or target.is_dir():
            made = backup.make_dated(path, target, keep, utc_now(), tell)
        else:
            made = backup.make(path, target, tell)
    if as_json:
        said = {"path": str(made.path), "revision": made.revision, "bytes": made.bytes, "rows": made.rows}
        click.echo(json.dumps(said))
    else:
        click.echo(f"{shown(str(made.path))}: {made.bytes:,} bytes, {_rows(made)}, verified.")


@ledger_command.command("restore")
@click.argument("source", metavar="FROM", type=click.Path(path_type=Path))
@yes_option
@config_option
@json_option
def restore_command(*, source: Path, yes: bool, config_path: Path | None, as_json: bool) -> None:
    """Put the copy FROM in the ledger's place, while no daemon runs.

    FROM is verified first. The ledger that is there is moved aside as ledger.db.replaced-TIME and never deleted.

    What was sent since the copy was made is found again by the scan and sent once more: the API answers it from
    what it has, and nothing is paid twice. What was decided, paused or released since has to be so again.
    """
    config = load(config_path)
    path = ledger_path(config)
    confirm(f"Replace {path} by {source}?", yes=yes or not sys.stdin.isatty())
    with _progress("copying") as tell:
        done = restore.restore(config.ledger.url, source, now=utc_now(), tell=tell)
    replaced = None if done.replaced is None else done.replaced.name
    with opened(config) as ledger, ledger.write() as tx:
        history.record(tx, _step(), "restored", source=str(source), replaced=replaced)
    if as_json:
        said = {"replaced": None if done.replaced is None else str(done.replaced), "rows": done.copy.rows}
        click.echo(json.dumps(said))
        return
    click.echo(f"{shown(str(path))} is what {shown(str(source))} was: {_rows(done.copy)}.")
    if done.replaced is not None:
        click.echo(f"What was there is {shown(str(done.replaced))}.")
    click.echo(
        "Start the daemon; it goes on from there. identifai-watch ledger rebuild may add what was lost."
    )


def _rows(copied: backup.Copy) -> str:
    return f"{files(copied.rows.get('files', 0))}, {copied.rows.get('history', 0):,} lines of history"


@contextmanager
def _progress(what: str) -> Iterator[Tell]:
    """Give what shows a person at a terminal how far a copy is."""
    if not sys.stderr.isatty():
        yield backup.silent
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only a terminal needs it
    from rich.progress import Progress  # noqa: PLC0415 - likewise

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, pages: bar.update(task, completed=done, total=pages)


# Elsewhere.


@ledger_command.command("copy")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--check", "is_check", is_flag=True, help="Only compare the two, row by row.")
@click.option(
    "--node", help="Whose orders and notices those of a file are; else the configuration's node.name."
)
@config_option
@json_option
def copy_command(
    *,
    source: str,
    target: str,
    is_check: bool,
    node: str | None,
    config_path: Path | None,
    as_json: bool,
) -> int:
    """Copy the ledger FROM to TO, from a file to a server, back, or to another of its kind, while no daemon runs.

    Each is a file, or an address as in ledger.url. TO holds nothing yet, or an unfinished copy of FROM: cut at any moment,
    it goes on when the same is typed once more. In the end both are read again and compared, and no daemon starts on TO
    before that. FROM is left as it is; set ledger.url to TO, for two daemons must not run on two copies.
    """
    whence, where = _address(source), _address(target)
    # A file has no name for its node: it is wanted where rows go into one, or out of it.
    is_same_kind = ledgers.is_file(whence) == ledgers.is_file(where)
    name = node or ("" if is_same_kind else load(config_path).node.name)
    try:
        with _phases() as tell:
            if is_check:
                done = copy.compare(whence, where, node=name, tell=tell)
            else:
                done = copy.copy(whence, where, node=name, now=utc_now(), tell=tell)
    except KeyboardInterrupt:
        raise click.Abort("" if is_check else f"{copy.GOES_ON[0].upper()}{copy.GOES_ON[1:]}.") from None
    if as_json:
        click.echo(json.dumps(_copied(done)))
    else:
        _say_copied(done, ledgers.shown(where), is_check=is_check)
    return Exit.PROBLEMS if done.differences else Exit.OK


def _address(given: str) -> str:
    """Return the address of a ledger that is given as such, or as a file."""
    return given if "://" in given else f"sqlite:///{Path(given).absolute()}"


def _copied(done: copy.Compared) -> dict[str, Any]:
    """Return what came of a copy, for machines."""
    return {
        "ok": not done.differences,
        "found": done.found,
        "written": done.written,
        "tables": {
            table: {
                "rows": one.rows,
                "checksum": one.checksum,
                "rows_there": other.rows,
                "checksum_there": other.checksum,
            }
            for table, (one, other) in done.sums.items()
        },
        "differences": [str(difference) for difference in done.differences],
        "history_lines": 0 if done.head is None else done.head.lines,
        "history_head": None if done.head is None else done.head.digest.hex(),
        "history_gap": None if done.gap is None else done.gap.id,
        "other_nodes": list(done.others),
    }


def _say_copied(done: copy.Compared, where: str, *, is_check: bool) -> None:
    """Print what came of a copy."""
    for difference in done.differences:
        click.echo(shown(str(difference)))
    rows = sum(other.rows for _, other in done.sums.values())
    if not done.differences:
        before = f", {done.found:,} of them from an earlier run" if done.found else ""
        click.echo(
            f"{shown(where)} holds the same, row by row: {rows:,} rows{before}, "
            f"{0 if done.head is None else done.head.lines:,} lines of history."
        )
    if done.others:
        click.echo(
            f"Orders and notices of other nodes ({shown(', '.join(done.others))}) are there under their names."
        )
    if done.gap is not None:
        click.echo(f"As before: {check.gap_text(done.gap)}", err=True)
    if not is_check:
        click.echo(
            "Set ledger.url to it and start the daemon; it goes on from there. What was copied is as it was."
        )


@contextmanager
def _phases() -> Iterator[copy.Tell]:
    """Give what shows a person at a terminal what is done, and how far it is."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _whole: None
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only a terminal needs it
    from rich.progress import Progress  # noqa: PLC0415 - likewise

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def tell(what: str, done: int, whole: int) -> None:
            # What is over before the bar is drawn by itself is seen too.
            is_new = bar.tasks[0].description != what
            bar.update(task, description=what, completed=done, total=whole, refresh=is_new)

        yield tell


# After a loss.


@ledger_command.command("rebuild")
@click.option("--folder", "name", help="Only this folder's sidecars, by its name.")
@click.option("--dry-run", is_flag=True, help="Only say what would be taken.")
@config_option
@json_option
def rebuild_command(*, name: str | None, dry_run: bool, config_path: Path | None, as_json: bool) -> None:
    """Take from the sidecars what was paid for, after the ledger was lost, while no daemon runs.

    Sidecars may be anybody's work. Taken are the content's hash, its kind, the options and the identifier, and
    nothing is believed: the next run asks identifAI, which is free and says which bytes it judged. What is there
    already stays as it is.
    """
    config = load(config_path)
    if name is not None and config.folder_named(name) is None:
        known = ", ".join(folder.name for folder in config.folders)
        raise RefusedError(f"there is no folder {name}; configured are {known}")
    folders = [folder for folder in config.folders if name in {None, folder.name}]
    with salvaging.told() as say:
        found = salvaging.rebuilt(config, folders, _step(), say, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps(found.as_json()))
    else:
        salvaging.tell(found, dry_run=dry_run)


# What is old.


@ledger_command.command("prune")
@click.option(
    "--older-than", "before", type=Since(), required=True, help="How old: 90d, 12w, or a date to go back to."
)
@click.option("--dry-run", is_flag=True, help="Only say how much it would be.")
@config_option
@json_option
def prune_command(*, before: datetime, dry_run: bool, config_path: Path | None, as_json: bool) -> None:
    """Take raw answers of identifAI and requests that are older, with or without a daemon.

    Verdicts and history stay. So do the answers about files that were artificial, uncertain or decided by the desk,
    that are not delivered yet, or that have a heatmap. Sidecars stay as they are; one that is written anew has
    `"response": null` then.
    """
    config = load(config_path)
    if not ledger_path(config).exists():
        raise LedgerError(f"there is no ledger at {ledger_path(config)}")
    now = utc_now()
    with opened(config) as ledger:
        if dry_run:
            found = prune.prunable(ledger.read, before, now)
        else:
            found = prune.prune(ledger.write, before, now)
            with ledger.write() as tx:
                history.record(tx, _step(), "pruned", before=before, **asdict(found))
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    words = f"{found.answers:,} answers ({found.bytes:,} bytes) and {found.requests:,} requests"
    if dry_run:
        click.echo(f"{words} would be taken; nothing was done.")
    else:
        click.echo(f"Took {words}. The file keeps its size; what comes next finds the room.")


def _step() -> Step:
    return Step(now=utc_now(), policy=Policy(), who=operator())
