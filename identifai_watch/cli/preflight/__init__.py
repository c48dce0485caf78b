"""``check``: is all there that a run needs? The configuration, the key, the account, the folders, the ledger, the unit.

Each look gives findings. Nothing is changed but for a probe file in each place that is written to, made and removed;
no file is sent. It works without a daemon and beside one.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from identifai_watch import config as configuration
from identifai_watch.cli.opening import config_option, json_option, load
from identifai_watch.cli.preflight import account, limits, onward, storage, telling, unit
from identifai_watch.cli.preflight.finding import Finding, Level, error, ok, warning
from identifai_watch.cli.preflight.folder import FolderLook
from identifai_watch.cli.preflight.onward import Step
from identifai_watch.cli.preflight.patience import Look, patiently
from identifai_watch.config import Config
from identifai_watch.core.routing import Action
from identifai_watch.core.sidecar import shown
from identifai_watch.errors import ConfigError, Exit
from identifai_watch.evidence import stamping
from identifai_watch.folder.look import ignore_sigio
from identifai_watch.hardening import harden

__all__ = ["check", "check_command"]


@click.command("check")
@click.option("--config-only", is_flag=True, help="Only the configuration; no network, no folder, no ledger.")
@config_option
@json_option
def check_command(config_path: Path | None, config_only: bool, as_json: bool) -> int:  # noqa: FBT001 - click's flags
    """Check the configuration, the key, the account, the folders, the ledger and the unit.

    Ends with 0 if nothing is in the way, 1 if something is, 78 if the configuration is wrong.
    """
    return check(config_path, config_only=config_only, as_json=as_json)


def check(config_path: Path | None, *, config_only: bool = False, as_json: bool = False) -> int:
    """Look at everything, print what was found and the next command to type, and return the exit status."""
    harden()
    try:
        config = load(config_path)
        path = configuration.find(config_path, os.environ)
    except ConfigError as wrong:
        where = "" if wrong.path is None else f"{wrong.path}: "
        findings = [error("configuration", f"{where}{line}") for line in wrong.problems]
        tell(findings, onward.without_configuration(config_path, wrong), as_json=as_json)
        return Exit.CONFIG
    findings = [ok("configuration", f"{path}: {len(config.folders)} to watch"), *unsure_moves(config)]
    findings += stamps(config)
    if not config_only:
        findings += look_around(config, path)
    tell(findings, onward.after_check(config, path, findings, is_whole=not config_only), as_json=as_json)
    return Exit.PROBLEMS if any(finding.level is Level.ERROR for finding in findings) else Exit.OK


def unsure_moves(config: Config) -> Iterator[Finding]:
    """Warn of folders in which a verdict moves a file however unsure it is."""
    for folder in config.folders:
        unsure = [kind for kind in folder.media if not any(folder.min_confidence[kind].values())]
        if folder.action is Action.MOVE and unsure:
            yield warning(
                f"folder {folder.name}",
                f'action = "move" with min_confidence = 0 for {" and ".join(unsure)}: every verdict, however unsure, '
                "moves a file",
                "Set min_confidence, for instance to { human = 0.6, artificial = 0.8 }: what is below goes to uncertain.",
            )


def stamps(config: Config) -> Iterator[Finding]:
    """Say whether the history can be stamped as configured, and whether anybody looks who signed it."""
    if not config.evidence.timestamp_url:
        return
    if not stamping.has_library():
        yield error("evidence", f"timestamp_url is set, but {stamping.EXTRA}")
    elif config.evidence.timestamp_ca_file is None:
        yield warning(
            "evidence",
            "timestamp_url without timestamp_ca_file: stamps are kept, and nobody looks who signed them",
            "Name the authority's root there, from the authority itself.",
        )
    else:
        yield ok("evidence", "the day's head of the history is stamped, and the signature checked")


def look_around(config: Config, path: Path) -> list[Finding]:
    """Look at all that a run needs beside the configuration; whatever may hang has a thread of its own."""
    ignore_sigio()  # before the writers' probe
    folders = [FolderLook(folder=folder) for folder in config.folders]
    looks: list[tuple[str, Look]] = [
        ("account", partial(account.look, config)),
        *((f"folder {one.folder.name}", one.look) for one in folders),
        ("ledger", partial(storage.look, config)),
    ]
    found = patiently(looks)
    watched = [one.directories for one in folders if one.is_watched]
    return [
        *(finding for findings in found[:-1] for finding in findings),
        *limits.findings(limits.read(), folders=len(watched), directories=sum(watched)),
        *found[-1],
        *telling.findings(config.notify),
        *unit.findings(path),
    ]


def tell(findings: list[Finding], step: Step, *, as_json: bool) -> None:
    """Print findings, as lines with what to do below, and the next step; or both as JSON."""
    if as_json:
        is_ok = all(finding.level is not Level.ERROR for finding in findings)
        made = {"ok": is_ok, "findings": [asdict(finding) for finding in findings], "next": step.command}
        click.echo(json.dumps(made))
        return
    colours = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}
    for finding in findings:
        level = click.style(f"{finding.level:<8}", fg=colours[finding.level])
        for number, line in enumerate(f"{finding.about}: {finding.said}".split("\n")):
            click.echo(f"{level if number == 0 else ' ' * 8} {shown(line)}")
        if finding.remedy is not None:
            click.echo(f"         {shown(finding.remedy)}")
    click.echo(f"\n{step.says}\n\n    {step.command}")
