"""``run`` and ``once``: the daemon until it is stopped, or until all that is there is judged."""

import os
import signal
import sys
from pathlib import Path

import click

from identifai_watch import config as configuration
from identifai_watch import logs
from identifai_watch.cli.opening import config_option, load, opened
from identifai_watch.config import Config
from identifai_watch.daemon import Daemon
from identifai_watch.folder.look import ignore_sigio
from identifai_watch.shift import Shift


@click.command("run")
@config_option
def run_command(config_path: Path | None) -> None:
    """Watch the folders until stopped.

    SIGTERM and Ctrl-C stop it within 5 seconds, SIGHUP has it read the configuration again.
    """
    redaction = logs.Redaction()
    logs.configure(terminal=sys.stderr.isatty(), redaction=redaction)
    config = load(config_path)

    def key() -> str:
        found = configuration.read_key(daemon.shift.config, os.environ).value
        redaction.hide(found)
        return found

    redaction.hide(configuration.read_key(config, os.environ).value)
    ignore_sigio()
    with opened(config) as ledger:
        daemon = Daemon(Shift(config=config, ledger=ledger), key, reload=lambda: reloaded(config_path))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: daemon.stop())
        signal.signal(signal.SIGHUP, lambda *_: daemon.ask_reload())
        daemon.run()


def reloaded(config_path: Path | None) -> Config:
    """Return the configuration as it is now."""
    return load(config_path)
