"""The real daemon as a process whose time runs faster: hours of scans, settling and backoffs in minutes.

``python -m benchmarks.wound RATE CONFIG`` runs it until SIGTERM; SIGHUP has it read the configuration again. Only the
clock is wound: disk, network, threads and memory are as they are.
"""

import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from identifai_watch import config as configuration
from identifai_watch import logs
from identifai_watch.cli.running import secret
from identifai_watch.daemon import Daemon
from identifai_watch.folder.look import ignore_sigio
from identifai_watch.ledger import Ledger
from identifai_watch.shift import Shift

NODE = "soak"


def wound(rate: float) -> Callable[[], datetime]:
    """Return a clock that shows the time now, and goes ``rate`` times as fast from here on."""
    began = datetime.now(UTC)
    return lambda: began + (datetime.now(UTC) - began) * rate


def run(rate: float, path: Path) -> None:
    """Run the daemon by a wound clock until it is stopped."""
    redaction = logs.Redaction()
    logs.configure(terminal=False, redaction=redaction)
    ignore_sigio()
    config = configuration.load(path)
    with Ledger(config.ledger.url, node=NODE) as ledger:
        shift = Shift(config=config, ledger=ledger, clock=wound(rate))
        daemon = Daemon(
            shift, secret(lambda: shift.config, redaction), reload=lambda: configuration.load(path)
        )
        signal.signal(signal.SIGTERM, lambda *_: daemon.stop())
        signal.signal(signal.SIGHUP, lambda *_: daemon.ask_reload())
        Path(os.environ["SOAK_READY"]).touch()
        daemon.run()


if __name__ == "__main__":
    run(float(sys.argv[1]), Path(sys.argv[2]))
