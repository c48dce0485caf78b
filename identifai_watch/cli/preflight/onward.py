"""The next command to type, exactly as it is to be typed here: for this configuration, and as this program was called."""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from identifai_watch import config as configuration
from identifai_watch import ledger
from identifai_watch.cli.preflight import unit
from identifai_watch.cli.preflight.finding import Finding, Level
from identifai_watch.config import Config
from identifai_watch.core.sidecar import shown
from identifai_watch.errors import ConfigError, LedgerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What comes next, in a sentence, and the ``command`` to type."""

    says: str
    command: str


def program() -> str:
    """Return how this program was called, as it can be typed again."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m identifai_watch"
    on_path = shutil.which(called.name)
    if "/" not in sys.argv[0] or (on_path is not None and Path(on_path).resolve() == called.resolve()):
        return shlex.quote(called.name)
    return shlex.quote(sys.argv[0])


def command(name: str, path: Path) -> str:
    """Return a command on the configuration at ``path``, which is named only where it would not be found."""
    try:
        is_found = configuration.find(None, os.environ).resolve() == path.resolve()
    except ConfigError:
        is_found = False
    return shown(f"{program()} {name}" + ("" if is_found else f" --config {shlex.quote(str(path))}"))


def without_configuration(explicit: Path | None, problem: ConfigError) -> Step:
    """Return what comes next where the configuration is not there, or is wrong."""
    path = explicit or problem.path
    if path is None:
        return Step(says="There is nothing to check yet. Next:", command=f"{program()} init")
    if not path.exists():
        return Step(says="It is not there yet. Next:", command=command("init", path))
    return Step(says="Mend that first; then:", command=command("check", path))


def after_check(config: Config, path: Path, findings: Sequence[Finding], *, is_whole: bool) -> Step:
    """Return what comes next after a check: what to mend first, or else what has the files judged."""
    wrong = [finding for finding in findings if finding.level is Level.ERROR]
    if wrong:
        return _mending(config, path, wrong)
    if not is_whole:
        return Step(says="The configuration is right. Next, all the rest:", command=command("check", path))
    if _is_running(config):
        return Step(says="All is well, and a daemon runs. Next:", command=command("status", path))
    if not unit.is_for_a_service(path):
        return Step(says="All is well. Next:", command=command("run", path))
    says, to_type = unit.start(findings)
    return Step(says=says, command=to_type)


def _mending(config: Config, path: Path, wrong: Sequence[Finding]) -> Step:
    """Return what to do about the first of several errors, which are in the order in which they matter."""
    first, place = wrong[0], config.api.key_file
    if first.about == "key" and place is not None and not place.exists():
        return Step(
            says=f"Give the key first (paste it, Enter, Ctrl-D), then {command('check', path)} again:",
            command=f"install -D -m 600 /dev/stdin {shlex.quote(str(place))}",
        )
    what = first.remedy or first.said.split("\n", 1)[0]
    return Step(says=f"Mend first: {shown(f'{first.about}: {what}')}\nThen:", command=command("check", path))


def _is_running(config: Config) -> bool:
    """Tell whether a daemon runs on the ledger."""
    if config.ledger.path is not None and not config.ledger.path.exists():
        return False
    try:
        return ledger.standing(config.ledger.url, node=config.node.name).is_running
    except LedgerError:
        return False
