"""What operators do to the ledger: release, pause, resume, retry, decide. Each is one order, carried out once."""

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from identifai_watch.cli import elsewhere, vendor
from identifai_watch.cli.asking import confirm, files_at, give, tell, utc_now
from identifai_watch.cli.elsewhere import node_option
from identifai_watch.cli.opening import config_option, json_option, load, opened
from identifai_watch.config import Config
from identifai_watch.core.model import Choice, FileState, Label
from identifai_watch.core.sidecar import shown
from identifai_watch.core.words import files
from identifai_watch.errors import RefusedError
from identifai_watch.ledger import Ledger, archive, views
from identifai_watch.ledger.views import Line

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(m|h|d|w)", re.IGNORECASE)
_UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
UNCERTAIN = "uncertain"
"""What an inconclusive file is called as an outcome; ``decide`` takes both."""

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
paths_argument = click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")


class Since(click.ParamType[datetime]):
    """An instant: a date, a date with a time (local unless it says its zone), or how long ago."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the instant in UTC; what cannot be read is a usage error."""
        ago = _AGO.fullmatch(str(value).strip())
        try:
            if ago is not None:
                return utc_now() - float(ago[1]) * _UNITS[ago[2].lower()]
            return datetime.fromisoformat(str(value).strip()).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is no instant; write 2026-07-01, 2026-07-01T18:30 or 7d, 12h, 30m", param, ctx
            )


# The backlog.


@click.group("backlog", invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def backlog_command(ctx: click.Context, config_path: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click's flag
    """Show what is held, and release it.

    Files that lay in a folder before it was first watched are held where there are many: neither hashed nor sent.
    """
    ctx.obj = (config_path, as_json)
    if ctx.invoked_subcommand is not None:
        return
    with opened(load(config_path)) as ledger:
        held = _held(ledger)
    if as_json:
        click.echo(json.dumps(held))
    elif not held:
        click.echo("Nothing is held.")
    else:
        _show_held(held)


def _held(ledger: Ledger) -> list[dict[str, Any]]:
    with ledger.read() as tx:
        return [
            ({"node": node} if node else {})
            | {"folder": folder, "media": media, "files": files, "bytes": size}
            for node, folder, media, files, size in views.backlog(tx, by_node=bool(ledger.member))
        ]


def _show_held(held: list[dict[str, Any]]) -> None:
    """Print what is held as a table, and how it is released."""
    from rich.console import Console  # noqa: PLC0415 - slow to import, and the orders do not need it
    from rich.table import Table  # noqa: PLC0415 - likewise

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("folder", "left"), ("kind", "left"), ("files", "right"), ("bytes", "right")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for row in held:
        folder = "/".join(row[name] for name in ("node", "folder") if name in row)
        table.add_row(shown(folder), row["media"] or "?", f"{row['files']:,}", f"{row['bytes']:,}")
    console = Console(highlight=False, markup=False)
    console.print(table)
    click.echo(
        "\nidentifai-watch backlog release [--newer-than 7d] [--limit N] [--folder NAME] has them judged."
    )


@backlog_command.command("release")
@click.option("--newer-than", type=Since(), help="Only files modified since: a date, or 7d, 12h, 30m ago.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many, the newest first.")
@click.option("--folder", "name", help="Only this folder's.")
@click.option("--node", help="Of another host, by its name; else of this one.")
@click.option("--dry-run", is_flag=True, help="Only say how many.")
@yes_option
@config_option
@json_option
@click.pass_context
def release_command(  # noqa: PLR0913 - click's options
    ctx: click.Context,
    *,
    newer_than: datetime | None,
    limit: int | None,
    name: str | None,
    node: str | None,
    dry_run: bool,
    yes: bool,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Have held files judged, the newest first.

    Each content that is new costs a post and a credit. On a terminal it asks first; a script is not asked.
    """
    above_path, above_json = ctx.obj
    config = load(config_path or above_path)
    with opened(config) as ledger:
        arguments: dict[str, Any] = {"limit": limit}
        if name is not None:
            arguments |= elsewhere.folder(config, ledger, name, node)
        elif ledger.member:
            arguments["folder_ids"] = _folders_of(config, ledger, node)
        if newer_than is not None:
            arguments["newer_than"] = newer_than.isoformat()
        by_folder = _releasable(config, ledger, newer_than, limit, arguments)
        count = sum(by_folder.values())
        many = f"{files(count)} ({', '.join(f'{shown(one)}: {held:,}' for one, held in by_folder.items())})"
        if dry_run:
            words = f"{many if count else files(0)} would be released; nothing was done."
            tell({"releasable": count, "folders": by_folder}, words, as_json=as_json or above_json)
            return
        if count:
            question = f"{many} released: each content that is new costs a post and a credit. Go on?"
            confirm(question, yes=yes or not sys.stdin.isatty())
        answer = give(config, ledger, "release", arguments)
        left = sum(row["files"] for row in _held(ledger))
    released = 0 if answer is None else answer["released"]
    tell(answer, f"Released {files(released)}; {left:,} stay held.", as_json=as_json or above_json)


def _releasable(
    config: Config, ledger: Ledger, newer_than: datetime | None, limit: int | None, arguments: dict[str, Any]
) -> dict[str, int]:
    """Count by folder what would be released."""
    name, node = arguments.get("folder"), arguments.get("node", ledger.node)
    shared = config.shared if node == ledger.node else ()
    with ledger.read() as tx:
        number = None if name is None else views.folder_ids(tx, node, shared).get(name, -1)
        return archive.releasable(
            tx,
            folder_id=number,
            folder_ids=arguments.get("folder_ids"),
            newer_than=newer_than,
            limit=limit,
        )


def _folders_of(config: Config, ledger: Ledger, node: str | None) -> list[int]:
    """Return the folders of this host, or of a node: nobody releases all hosts' archives by not saying which."""
    elsewhere.check_node(config, ledger, node)
    with ledger.read() as tx:
        return list(views.folder_ids(tx, node or ledger.node, config.shared).values())


# What is sent.


class Lasting(click.ParamType[timedelta]):
    """A length of time: 30m, 2h, 7d, 1w."""

    name = "length"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return the length; what cannot be read, and nothing at all, is a usage error."""
        length = _AGO.fullmatch(str(value).strip())
        if length is None or float(length[1]) == 0:
            self.fail(f"{value!r} is no length of time; write 30m, 2h, 7d or 1w", param, ctx)
        return float(length[1]) * _UNITS[length[2].lower()]


@click.command("pause")
@click.option("--folder", "name", help="Only this folder; the others go on.")
@click.option("--node", help="With --folder: that of the host of this name.")
@click.option("--for", "lasting", type=Lasting(), help="End by itself after 30m, 2h, 7d; else until resume.")
@click.option("--why", default="by hand", show_default=True, help="For whoever looks at the status.")
@config_option
@json_option
def pause_command(
    name: str | None,
    node: str | None,
    lasting: timedelta | None,
    why: str,
    config_path: Path | None,
    as_json: bool,  # noqa: FBT001 - click's flag
) -> None:
    """Send nothing more until resumed; verdicts still come in, and are delivered.

    It works without a daemon and without a key, and holds through restarts.
    """
    config = load(config_path)
    until = None if lasting is None else utc_now() + lasting
    arguments: dict[str, Any] = {"why": why, "until": None if until is None else until.isoformat()}
    what, again = "nothing more is sent", "identifai-watch resume"
    _with_folder(name, node)
    with opened(config) as ledger:
        if name is not None:
            arguments |= elsewhere.folder(config, ledger, name, node)
            what = f"nothing more of folder {_full(ledger, arguments)} is sent"
            again += f" --folder {name}{_of_host(ledger, arguments)}"
        answer = give(config, ledger, "pause", arguments)
    ends = "" if until is None else f" until {until:%Y-%m-%d %H:%M} UTC"
    tell(answer, f"Paused{ends}: {what}, verdicts still come in. {again} goes on.", as_json=as_json)


def _with_folder(name: str | None, node: str | None) -> None:
    if node is not None and name is None:
        raise click.UsageError("--node goes with --folder: without one it is the account's matter.")


def _of_host(ledger: Ledger, arguments: dict[str, Any]) -> str:
    """Return the option that a command needs which names another host's folder."""
    node = arguments.get("host")
    return f" --node {node}" if node and node != ledger.node else ""


def _full(ledger: Ledger, arguments: dict[str, Any]) -> str:
    """Return what people call a folder: behind its host's name if that is another one."""
    node = arguments.get("host")
    return f"{node}/{arguments['folder']}" if node and node != ledger.node else str(arguments["folder"])


@click.command("resume")
@click.option("--folder", "name", help="This folder, where it alone was paused.")
@click.option("--node", help="With --folder: that of the host of this name.")
@config_option
@json_option
def resume_command(
    name: str | None,
    node: str | None,
    config_path: Path | None,
    as_json: bool,  # noqa: FBT001 - click's flag
) -> None:
    """Send again; a pause that the account itself is in is looked at now."""
    _with_folder(name, node)
    config = load(config_path)
    with opened(config) as ledger:
        arguments = {} if name is None else elsewhere.folder(config, ledger, name, node)
        answer = give(config, ledger, "resume", arguments)
    tell(answer, _resumed(answer or {}, name), as_json=as_json)


def _resumed(answer: dict[str, Any], name: str | None) -> str:
    if name is not None:
        return (
            f"Folder {name} is sent again." if answer.get("was_paused") else f"Folder {name} was not paused."
        )
    words = "Sending again."
    if answer.get("reason") is not None:
        words = f"The account itself is paused ({answer['reason']}); it is looked at again now."
    if answer.get("folders_paused"):
        folders = ", ".join(answer["folders_paused"])
        words += f" Still paused by themselves: {folders} (identifai-watch resume --folder NAME)."
    return words


@click.command("withdraw")
@paths_argument
@node_option
@click.option("--folder", "name", help="All of this folder that wait to be sent.")
@click.option(
    "--state",
    type=click.Choice(["queued"]),
    help="With --folder: which of its files; what is sent already cannot be withdrawn.",
)
@click.option(
    "--why", default="by hand", show_default=True, help="For the history, and for whoever asks why."
)
@yes_option
@config_option
@json_option
def withdraw_command(
    paths: tuple[Path, ...],
    node: str | None,
    name: str | None,
    state: str | None,
    why: str,
    yes: bool,  # noqa: FBT001 - click's flag
    config_path: Path | None,
    as_json: bool,  # noqa: FBT001 - click's flag
) -> None:
    """Keep files from being sent: they are left alone until you judge or retry them.

    What was sent already is paid for and gets its verdict. It works without a daemon and without a key.
    """
    if bool(paths) == (name is not None) or (name is not None) != (state is not None):
        raise click.UsageError("Say what to withdraw: PATH..., or --folder NAME --state queued.")
    config = load(config_path)
    with opened(config) as ledger:
        arguments: dict[str, Any] = {"why": why}
        if name is not None:
            question = f"Everything of folder {name} that waits to be sent is left alone from now on. Go on?"
            confirm(question, yes=yes or not sys.stdin.isatty())
            arguments |= elsewhere.folder(config, ledger, name, node)
        else:
            arguments["files"] = [line.file.id for line in files_at(config, ledger, paths, node)]
        answer = give(config, ledger, "withdraw", arguments)
    tell(answer, "" if answer is None else _withdrawn(answer), as_json=as_json)


def _withdrawn(answer: dict[str, Any]) -> str:
    words = f"Withdrew {files(answer['withdrawn'])}; identifai-watch retry PATH sends one after all."
    if answer["kept"]:
        words += f" {files(answer['kept']).capitalize()} could not be withdrawn: sent already, or done."
    return words


# Files.


@click.command("retry")
@paths_argument
@click.option("--stuck", is_flag=True, help="All that is stuck.")
@click.option("--folder", "name", help="Accept what is mounted at this folder's root now.")
@node_option
@config_option
@json_option
def retry_command(
    paths: tuple[Path, ...],
    stuck: bool,  # noqa: FBT001 - click's flag
    name: str | None,
    node: str | None,
    config_path: Path | None,
    as_json: bool,  # noqa: FBT001 - click's flag
) -> None:
    """Try again what is stuck or was refused; it goes on where it stood, and nothing is paid again.

    With --folder, accept that a folder's root is on another file system than it was.
    """
    if bool(paths) + stuck + (name is not None) != 1:
        raise click.UsageError("Say what to try again: PATH..., --stuck or --folder NAME.")
    config = load(config_path)
    with opened(config) as ledger:
        if name is not None:
            reached = elsewhere.folder(config, ledger, name, node)
            answer = give(config, ledger, "reach", reached, node=reached.get("host") or None)
            words = f"Whatever file system folder {name} is on now is accepted."
        elif stuck:
            answer = give(config, ledger, "retry", {"stuck": True})
            words = _retried(answer)
        else:
            numbers = [line.file.id for line in files_at(config, ledger, paths, node)]
            answer = give(config, ledger, "retry", {"files": numbers})
            words = _retried(answer)
    tell(answer, words, as_json=as_json)


def _retried(answer: dict[str, Any] | None) -> str:
    if answer is None:
        return ""
    words = f"{files(answer['retried']).capitalize()} tried again."
    if answer["retried"] == 0:
        words = "Nothing to try again: it is under way, or its verdict stands."
    return (
        f"{words} The account is paused; see identifai-watch status."
        if answer["account"] == "paused"
        else words
    )


@click.command("decide")
@click.argument("path", type=click.Path(path_type=Path))
@click.argument(
    "choice", type=click.Choice([*(choice.value for choice in Choice), UNCERTAIN]), metavar="CHOICE"
)
@click.option("--reason", required=True, help="Why, for the sidecar and the history.")
@node_option
@click.option("--tell-vendor", is_flag=True, help="Force the label at identifAI too. That cannot be undone.")
@yes_option
@config_option
@json_option
def decide_command(
    path: Path,
    choice: str,
    reason: str,
    node: str | None,
    tell_vendor: bool,  # noqa: FBT001 - click's flag
    yes: bool,  # noqa: FBT001 - click's flag
    config_path: Path | None,
    as_json: bool,  # noqa: FBT001 - click's flag
) -> None:
    """Record the desk's own judgement of a file.

    It is local and can be decided anew; the file goes where it says, and identifAI's verdict is kept as it is.

    \b
    human         it was made by people
    artificial    it was generated
    inconclusive  it cannot be told; the outcome is uncertain, a word for it too
    confirmed     identifAI is right, however low its confidence
    """  # noqa: D301 - click's mark of lines that are not to be filled
    decided = Choice.INCONCLUSIVE if choice == UNCERTAIN else Choice(choice)
    if not reason.strip():
        raise click.UsageError("The reason is empty; the desk will want to know it.")
    config = load(config_path)
    with opened(config) as ledger:
        line = files_at(config, ledger, (path,), node)[0]
        if line.file.state not in {FileState.WAITING, FileState.DELIVERED}:
            raise RefusedError(f"{shown(str(path))} is {line.file.state}: there is nothing to decide about")
        label = _label(line, decided) if tell_vendor else None
        override = None if label is None else vendor.prepared(config, ledger, line, label)
        if override is not None:
            confirm(f"identifAI will call these bytes {label} for ever. Tell it?", yes=yes)
        answer = give(
            config, ledger, "decide", {"files": [line.file.id], "choice": decided, "reason": reason}
        )
        words = f"Decided: {shown(str(path))} is {decided}."
        if override is not None:
            told = vendor.send(ledger, override)
            answer = give(config, ledger, "overridden", {"files": [line.file.id], "label": told}) and answer
            words += f" identifAI was told, and now forces {told}."
    tell(answer, words, as_json=as_json)


def _label(line: Line, choice: Choice) -> Label:
    """Return what the vendor is to be told; raise where there is nothing that it could be told."""
    verdict = None if line.analysis is None else line.analysis.verdict
    if verdict is None:
        raise RefusedError("identifAI has given no verdict on it yet, so there is nothing to tell it")
    match choice:
        case Choice.HUMAN:
            return Label.HUMAN
        case Choice.ARTIFICIAL:
            return Label.ARTIFICIAL
        case Choice.CONFIRMED:
            return verdict.forced or verdict.classification
        case Choice.INCONCLUSIVE:
            raise click.UsageError("identifAI can only be told human or artificial, not inconclusive.")
