"""``judge`` and ``rejudge``: one file now, first in line; and contents anew, which is paid for again."""

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import click

from identifai_watch import __version__
from identifai_watch.cli import running
from identifai_watch.cli.asking import confirm, files_at, give, line_at, tell, utc_now
from identifai_watch.cli.elsewhere import node_option
from identifai_watch.cli.opening import config_option, folder_of, json_option, load, opened
from identifai_watch.config import Config, Folder
from identifai_watch.core import sidecar
from identifai_watch.core.model import AccountState, AnalysisState, File, FileState, Outcome
from identifai_watch.core.routing import COULD_NOT_TELL
from identifai_watch.core.sidecar import shown
from identifai_watch.daemon import Daemon
from identifai_watch.errors import AccountError, Exit, LaterError, RefusedError
from identifai_watch.folder.ignores import ignored
from identifai_watch.folder.look import fingerprint
from identifai_watch.folder.opening import FolderError, open_inside
from identifai_watch.hardening import harden
from identifai_watch.ledger import Ledger, Transaction, budget, views
from identifai_watch.ledger.views import Left, Line
from identifai_watch.places import place_of
from identifai_watch.shift import Shift

LOOK_SECONDS = 0.2

Tell = Callable[[str], None]
"""Told what is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The file to judge: ``absolute`` without links, and the folder with the path there that it is judged in."""

    absolute: bytes
    folder: Folder
    path: bytes


@click.command("judge")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--wait-minutes",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="How long to wait for the verdict.",
)
@config_option
@json_option
def judge_command(
    file: Path,
    wait_minutes: float,
    config_path: Path | None,
    as_json: bool,  # noqa: FBT001 - click's flag
) -> int:
    """Judge one file now, first in line, and print the verdict.

    A file of a watched folder is delivered as that folder says; of any other file only the ledger keeps the verdict.
    --json prints what its sidecar says.
    """
    harden()
    config = load(config_path)
    wait = timedelta(minutes=wait_minutes)
    with opened(config) as ledger:
        delivered = _moved_away(config, ledger, file)
        if delivered is not None:
            return _say(ledger, file, delivered, as_json=as_json)
        target = _target(config, file)
        asked_at = utc_now()
        if ledger.lock.is_taken():
            found = _by_the_daemon(config, ledger, target, asked_at, wait)
        else:
            found = _by_ourselves(config, ledger, target, asked_at, wait)
        if isinstance(found, Left):
            raise RefusedError(f"{shown(str(file))} was left alone: {shown(found.reason)}")
        return _say(ledger, file, found, as_json=as_json)


def _moved_away(config: Config, ledger: Ledger, file: Path) -> Line | None:
    """Return the verdict on a file that was moved to where it lies now: to judge it there would move it again."""
    with ledger.read() as tx:
        line = line_at(tx, config, ledger.node, file)
    if line is None or line.file.state is not FileState.DELIVERED or line.file.lies_at is None:
        return None
    return line


def _target(config: Config, file: Path) -> Target:
    """Return what is to be judged.

    Raises:
        RefusedError: It is no regular file that can be read, or it is kept from being sent.
    """
    real = Path(os.path.realpath(file))
    absolute = os.fsencode(real)
    with suppress(RefusedError):  # in no folder: a single file
        name, relative = folder_of(config, real)
        watched = config.folder_named(name)
        if watched is not None:
            absolute = watched.root.rstrip(b"/") + b"/" + relative
    folder, path = place_of(config.folders, absolute)
    try:
        os.close(open_inside(folder.root, path))
        kept = ignored(folder.root, path)
    except FolderError as error:
        raise RefusedError(f"{shown(str(file))} cannot be judged: {error}") from error
    if kept is not None:
        raise RefusedError(f"{shown(str(file))} is not sent: {kept}")
    return Target(absolute=absolute, folder=folder, path=path)


def _by_the_daemon(
    config: Config, ledger: Ledger, target: Target, asked_at: datetime, wait: timedelta
) -> Line | Left:
    """Have the daemon judge it, and wait for that.

    Raises:
        LaterError: It takes longer than ``wait``.
        click.Abort: Whoever typed it does not wait any longer.
    """
    give(config, ledger, "judge", {"path": os.fsdecode(target.absolute)})
    deadline = time.monotonic() + wait.total_seconds()
    try:
        with _told() as tell_step:
            while time.monotonic() < deadline:
                with ledger.read() as tx:
                    found = _found(tx, ledger, target, asked_at)
                    tell_step(_step(tx, ledger, target))
                if found is not None:
                    return found
                time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        verdict = f"identifai-watch show {shlex.quote(shown(target.absolute))} tells the verdict."
        raise click.Abort(f"It stays with the daemon; {verdict}") from None
    with ledger.read() as tx:
        step = _step(tx, ledger, target)
    raise LaterError(
        f"no verdict within {wait.total_seconds() / 60:g} min ({step}); it stays queued with the daemon"
    )


def _by_ourselves(
    config: Config, ledger: Ledger, target: Target, asked_at: datetime, wait: timedelta
) -> Line | Left:
    """Judge it without a daemon, for as long as that takes, up to ``wait``.

    Raises:
        AccountError: The account is refused.
        LaterError: It takes longer, identifAI cannot be reached, or the purse is empty.
    """
    with running.quiet_log() as redaction:
        key = running.secret(lambda: config, redaction)
        key()
        shift = Shift(config=config, ledger=ledger, clock=ledger.clock, once=True)
        daemon = Daemon(shift, key, give_up=wait, only=(target.absolute,))
        ending = None
        with _told() as tell_step, _watched(daemon, ledger, target, wait, tell_step) as ran_out:
            try:
                ending = running.interruptible(daemon)
            except click.Abort:
                if not ran_out.is_set():
                    raise
    with ledger.read() as tx:
        found = _found(tx, ledger, target, asked_at)
        step = _step(tx, ledger, target)
    if found is not None:
        return found
    if ending is not None and ending.account is not None:
        raise AccountError(f"the account is refused: {ending.account}")
    if ending is not None and ending.later is not None:
        raise LaterError(f"{ending.later} ({step})")
    for _, _, why in () if ending is None else ending.growing:
        raise LaterError(f"it is not whole yet: {why}")
    raise LaterError(
        f"no verdict within {wait.total_seconds() / 60:g} min ({step}); the next run goes on with it"
    )


@contextmanager
def _watched(
    daemon: Daemon, ledger: Ledger, target: Target, wait: timedelta, tell_step: Tell
) -> Iterator[Event]:
    """Tell what a daemon of ours is doing, and stop it when the time is over; the event says that it was."""
    ended, ran_out = Event(), Event()

    def watch() -> None:
        deadline = time.monotonic() + wait.total_seconds()
        while not ended.wait(LOOK_SECONDS):
            with ledger.read() as tx:
                tell_step(_step(tx, ledger, target))
            if time.monotonic() >= deadline:
                ran_out.set()
                daemon.stop()
                return

    thread = Thread(target=watch, name="progress", daemon=True)
    thread.start()
    try:
        yield ran_out
    finally:
        ended.set()
        thread.join()


# How far it is.


def _found(tx: Transaction, ledger: Ledger, target: Target, asked_at: datetime) -> Line | Left | None:
    """Return what became of the file as it is now; None while that is not decided."""
    number = _number(tx, ledger, target)
    if number is None:
        return None
    left = views.left_at(tx, number, target.path)
    if left is not None and left.left_at >= asked_at:
        return left
    lines = views.at(tx, number, target.path)
    return lines[0] if lines and _is_settled(lines[0], target) else None


def _number(tx: Transaction, ledger: Ledger, target: Target) -> int | None:
    """Return the number of the folder that a file is judged in, once there is one."""
    shared = (target.folder.name,) if target.folder.shared else ()
    return views.folder_ids(tx, ledger.node, shared).get(target.folder.name)


def _is_settled(line: Line, target: Target) -> bool:
    """Tell whether nothing more comes for a file by itself, and it is not an older one of that name."""
    file, analysis = line.file, line.analysis
    if file.stuck_at is None and (analysis is None or analysis.stuck_at is None):
        return file.state is FileState.DELIVERED and (file.lies_at is not None or _is_current(file, target))
    return _is_current(file, target)


def _is_current(file: File, target: Target) -> bool:
    """Tell whether a row is about the file that lies at its place now."""
    try:
        status = Path(os.fsdecode(target.absolute)).lstat()
    except OSError:
        return False
    now = replace(fingerprint(status, network=False), inode=file.fingerprint.inode)
    return now.is_like(file.fingerprint, target.folder.timestamp_granularity)


_STEPS = {
    AnalysisState.QUEUED: "it waits for its turn",
    AnalysisState.SENDING: "it is being sent",
    AnalysisState.AWAITING: "identifAI is at it",
    AnalysisState.JUDGED: "its verdict is being delivered",
    AnalysisState.REFUSED: "its refusal is being delivered",
}


def _step(tx: Transaction, ledger: Ledger, target: Target) -> str:
    """Say where a file stands that is not done."""
    number = _number(tx, ledger, target)
    lines = [] if number is None else views.at(tx, number, target.path)
    account = budget.account(tx)
    if account.state is AccountState.PAUSED:
        return f"the account is paused: {shown(account.detail or str(account.reason))}"
    if not lines or lines[0].analysis is None or not _is_current(lines[0].file, target):
        return "it is watched until it is whole"
    return _STEPS[lines[0].analysis.state]


@contextmanager
def _told() -> Iterator[Tell]:
    """Give what tells on standard error what is waited for: a line for each change, one that turns on a terminal."""
    if sys.stderr.isatty():
        from rich.console import Console  # noqa: PLC0415 - slow to import, and only a terminal needs it
        from rich.text import Text  # noqa: PLC0415 - likewise

        with Console(stderr=True).status("") as status:
            yield lambda step: status.update(Text(step))
        return
    last = ""

    def tell_step(step: str) -> None:
        nonlocal last
        if step != last:
            click.echo(step, err=True)
            last = step

    yield tell_step


# What it came to.


def _say(ledger: Ledger, file: Path, line: Line, *, as_json: bool) -> int:
    """Print a verdict, and return the exit status that follows."""
    if as_json:
        click.echo(json.dumps(_document(ledger, line)))
    else:
        click.echo(f"{shown(str(file))}: {words(line)}")
    return Exit.OK if line.file.outcome not in {None, Outcome.REJECTED} else Exit.PROBLEMS


def _document(ledger: Ledger, line: Line) -> dict[str, object]:
    """Return what the sidecar of a file says; for one that is stuck without a verdict, its reason alone."""
    if line.file.outcome is None:
        return {"outcome": None, "reason": _trouble(line)}
    raw = None
    if line.analysis is not None:
        with ledger.read() as tx:
            raw = views.raw_answer(tx, line.analysis.id)
    return sidecar.document(
        line.file,
        line.analysis,
        response=sidecar.response_of(raw),
        version=__version__,
        now=line.file.delivered_at or utc_now(),
    )


def words(line: Line) -> str:
    """Say in words what a file was judged to be."""
    file, verdict = line.file, None if line.analysis is None else line.analysis.verdict
    if file.outcome is None:
        return f"stuck: {shown(_trouble(line))}; identifai-watch retry PATH tries again"
    said = str(file.outcome)
    if verdict is not None and (verdict.forced is not None or not verdict.unknown):
        said += f"; identifAI says {verdict.classification} with a confidence of {verdict.confidence:.2f}"
        said += f" ({file.media}, {verdict.heuristic})"
    elif verdict is not None and file.reason != COULD_NOT_TELL:
        said += f"; {COULD_NOT_TELL} ({file.media}, {verdict.heuristic})"
    if file.reason is not None:
        said += f"; {shown(file.reason)}"
    if file.lies_at is not None:
        said += f"; it lies at {shown(file.lies_at)}"
    return said


def _trouble(line: Line) -> str:
    reasons = (line.file.trouble, None if line.analysis is None else line.analysis.reason)
    return next((reason for reason in reasons if reason is not None), "no reason is known")


# Anew.


@click.command("rejudge")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@node_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
@json_option
def rejudge_command(
    paths: tuple[Path, ...],
    node: str | None,
    yes: bool,  # noqa: FBT001 - click's flag
    config_path: Path | None,
    as_json: bool,  # noqa: FBT001 - click's flag
) -> None:
    """Have files judged anew; this is paid for again, and the earlier verdict is kept in the history."""
    config = load(config_path)
    with opened(config) as ledger:
        lines = files_at(config, ledger, paths, node)
        contents = {line.analysis.id for line in lines if line.analysis is not None}
        if not contents:
            raise RefusedError("none of these was ever sent, so there is nothing to judge anew")
        many = "1 content is" if len(contents) == 1 else f"{len(contents)} contents are"
        confirm(f"{many} sent again and paid for again. Go on?", yes=yes)
        answer = give(config, ledger, "rejudge", {"files": [line.file.id for line in lines]})
    again = 0 if answer is None else answer["rejudged"]
    done = f"{again} {'content is' if again == 1 else 'contents are'} judged anew, and paid for again."
    tell(answer, done if again else "Nothing is judged anew: it is still under way.", as_json=as_json)
