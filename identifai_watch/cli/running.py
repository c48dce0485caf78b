"""``run`` and ``once``: the daemon until it is stopped, or until all that is there is judged."""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import click

from identifai_watch import config as configuration
from identifai_watch import logs
from identifai_watch.cli import elsewhere, gauge, rehearsal
from identifai_watch.cli.asking import give
from identifai_watch.cli.opening import config_option, json_option, load, opened
from identifai_watch.config import Config
from identifai_watch.core.model import Outcome
from identifai_watch.core.sidecar import shown
from identifai_watch.core.words import files
from identifai_watch.daemon import Daemon
from identifai_watch.errand import Ending
from identifai_watch.errors import AccountError, Exit, LaterError
from identifai_watch.folder.look import ignore_sigio
from identifai_watch.hardening import harden
from identifai_watch.ledger import Ledger, runs, views
from identifai_watch.shift import Shift
from identifai_watch.workers import share_interpreter

Stuck = list[tuple[str, bytes, str | None]]


@click.command("run")
@config_option
def run_command(config_path: Path | None) -> None:
    """Watch the folders until stopped.

    SIGTERM and Ctrl-C stop it within 5 seconds, SIGHUP has it read the configuration again.
    """
    harden()
    redaction = logs.Redaction()
    logs.configure(terminal=sys.stderr.isatty(), redaction=redaction)
    config = load(config_path)
    key = secret(lambda: daemon.shift.config, redaction)
    redaction.hide(configuration.read_key(config, os.environ).value)
    ignore_sigio()
    share_interpreter()
    with opened(config) as ledger:
        daemon = Daemon(
            Shift(config=config, ledger=ledger, clock=ledger.clock), key, reload=lambda: load(config_path)
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: daemon.stop())
        signal.signal(signal.SIGHUP, lambda *_: daemon.ask_reload())
        with page_beside(daemon):
            daemon.run()


@contextmanager
def page_beside(daemon: Daemon) -> Iterator[None]:
    """Serve the page of a daemon in a thread of its own; without it the daemon goes on all the same."""
    config = daemon.shift.config
    address = config.web.address
    if address is None:
        yield
        return
    from identifai_watch.previews import Previews  # noqa: PLC0415 - a daemon without a page needs none of it
    from identifai_watch.web import Page, served  # noqa: PLC0415 - likewise

    log = daemon.shift.log
    previews = Previews(configuration.default_cache(os.environ), config.web.previews_megabytes)
    with Ledger(config.ledger.url, node=daemon.shift.ledger.node) as ledger, ExitStack() as stack:
        page = Page(
            config=lambda: daemon.shift.config,
            ledger=ledger,
            moment=daemon.moment,
            well=daemon.is_well,
            previews=previews,
            log=log,
        )
        stack.callback(previews.close)
        stack.enter_context(served(page, address))
        yield


@click.command("once")
@click.option(
    "--dry-run", is_flag=True, help="Only say what would be sent, what it would take, and what is left."
)
@click.option(
    "--give-up-minutes",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="How long an API that does not answer is borne.",
)
@config_option
@json_option
def once_command(
    dry_run: bool,  # noqa: FBT001 - click's flag
    give_up_minutes: float,
    config_path: Path | None,
    as_json: bool,  # noqa: FBT001 - click's flag
) -> int:
    """Judge all that is there now, held files included, then end.

    Ends with 0 if all is judged, 1 if something was refused or is stuck, 75 if something is left for later, 77 if
    the account is refused.
    """
    harden()
    config = load(config_path)
    if dry_run:
        rehearsal.rehearse(config, as_json=as_json)
        return Exit.OK
    with quiet_log() as redaction:
        key = secret(lambda: config, redaction)
        key()
        with opened(config) as ledger:
            release_all(config, ledger)
            shift = Shift(config=config, ledger=ledger, clock=ledger.clock, once=True)
            daemon = Daemon(shift, key, give_up=timedelta(minutes=give_up_minutes))
            since = shift.clock()
            with gauge.shown(daemon, since):
                ending = interruptible(daemon)
            return report(ledger, config, ending, gauge.progress(ledger, config, since), as_json=as_json)


def release_all(config: Config, ledger: Ledger) -> None:
    """Release what is held in the folders of the configuration; raise LaterError while a daemon runs."""
    if ledger.lock.is_taken():
        raise LaterError(
            "a daemon runs on this ledger; it judges what is there. identifai-watch backlog release frees what is held"
        )
    with ledger.read() as tx:
        held = {name for _, name, *_ in views.backlog(tx)}
    for folder in config.folders:
        if folder.name in held:
            give(config, ledger, "release", elsewhere.folder(config, ledger, folder.name, None))


def secret(config: Callable[[], Config], redaction: logs.Redaction) -> Callable[[], str]:
    """Return how the key is got for each request: read anew, and hidden from the log."""

    def key() -> str:
        found = configuration.read_key(config(), os.environ).value
        redaction.hide(found)
        return found

    return key


@contextmanager
def quiet_log() -> Iterator[logs.Redaction]:
    """Log warnings and errors alone, for commands that show what they do by themselves."""
    redaction = logs.Redaction()
    logs.configure(terminal=sys.stderr.isatty(), redaction=redaction, level=logging.ERROR)
    yield redaction


def interruptible(daemon: Daemon) -> Ending:
    """Run a daemon to its end; Ctrl-C and SIGTERM stop it as they stop a service, and nothing is lost.

    Raises:
        click.Abort: It was stopped; it says what becomes of what is left.
    """
    stopped: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)
        daemon.stop()

    ignore_sigio()
    share_interpreter()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ending = daemon.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stopped or ending is None:
        raise click.Abort("What is left stays queued for the next run.")
    return ending


def report(ledger: Ledger, config: Config, ending: Ending, progress: runs.Progress, *, as_json: bool) -> int:
    """Say what a run came to, and return the exit status that follows."""
    with ledger.read() as tx:
        stuck = runs.stuck(tx, gauge.numbers(tx, ledger, config))
    if as_json:
        click.echo(json.dumps(_as_json(ending, progress, stuck)))
    else:
        _say(ending, progress, stuck)
    if ending.account is not None:
        raise AccountError(f"the account is refused: {ending.account}")
    if ending.later is not None:
        raise LaterError(f"{ending.later}; what is left stays queued")
    return Exit.PROBLEMS if stuck or progress.outcomes[Outcome.REJECTED] else Exit.OK


def _as_json(ending: Ending, progress: runs.Progress, stuck: Stuck) -> dict[str, Any]:
    return {
        "files": progress.done,
        "outcomes": {outcome: progress.outcomes[outcome] for outcome in Outcome},
        "left": progress.admitted + progress.released,
        "stuck": [{"folder": name, "path": shown(path), "reason": reason} for name, path, reason in stuck],
        "growing": [
            {"folder": name, "path": shown(path), "reason": why} for name, path, why in ending.growing
        ],
        "account": ending.account,
        "later": ending.later,
    }


def _say(ending: Ending, progress: runs.Progress, stuck: Stuck) -> None:
    """Print what was judged, and what was not with its reason."""
    counted = ", ".join(f"{progress.outcomes[outcome]:,} {outcome}" for outcome in Outcome)
    click.echo(f"{files(progress.done)} done: {counted}.")
    left = progress.admitted + progress.released
    if left:
        click.echo(f"{files(left)} left for another run.")
    for name, path, why in ending.growing:
        click.echo(f"still growing: {name}/{shown(path)} ({shown(why)})")
    for name, path, reason in stuck:
        click.echo(f"stuck: {name}/{shown(path)} ({shown(reason or 'no reason is known')})")
    if stuck:
        click.echo("identifai-watch retry --stuck tries again what is stuck.")
