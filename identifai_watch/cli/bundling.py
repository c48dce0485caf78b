"""``bundle``: one file with all that is known of it, for whoever does not believe it; and the check of such a bundle."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from identifai_watch.cli import gathering
from identifai_watch.cli.elsewhere import check_node, node_option
from identifai_watch.cli.opening import config_option, json_option, load
from identifai_watch.core.sidecar import shown
from identifai_watch.errors import Exit, RefusedError
from identifai_watch.evidence import bundle, checking
from identifai_watch.evidence.case import Case, gather
from identifai_watch.evidence.checking import Checked

MARKS = {True: "ok", False: "WRONG", None: "-"}


class _Bundle(click.Group):
    """A group whose first word may be a path: then that file is bundled."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Name the command that is meant where none is named."""
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["make", *args]
        return super().parse_args(ctx, args)


@click.group("bundle", cls=_Bundle)
def bundle_command() -> None:
    """Bundle one file with everything that is known of it, or verify such a bundle.

    The bundle holds the file, its sidecar, identifAI's answers byte for byte, the heatmap, the history with its part of
    the chain and its stamps, a report that can be printed, and a text that says how to check all that without this
    program. A file that is called as a command of this group is written ./verify.
    """


@bundle_command.command("make")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The ZIP file to write; one that is there already is never overwritten.",
)
@click.option(
    "--partial",
    "is_partial",
    is_flag=True,
    help="Bundle what there is of a file that has no verdict, has changed since, or is gone.",
)
@node_option
@config_option
@json_option
def make_command(
    *,
    path: Path,
    output: Path,
    is_partial: bool,
    node: str | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Bundle the file at PATH; its bytes must still be those that were judged.

    This is what `identifai-watch bundle PATH` does.
    """
    config = load(config_path)
    place = gathering.located(config, path, node)
    now = datetime.now(UTC)
    with gathering.opened_to_read(config) as ledger:
        if ledger is None:
            raise RefusedError("there is no ledger yet, and so nothing to bundle")
        check_node(config, ledger, node)
        with ledger.read() as tx:
            lines = gathering.lines_at(tx, config, place)
        if not lines:
            raise (
                gathering.nowhere(config, place)
                if place.folder is None
                else RefusedError(
                    f"the ledger does not know {shown(place.absolute)}; identifai-watch explain says why"
                )
            )
        case = gather(config, ledger, lines, now=now, is_partial=is_partial)
        case = bundle.put(case, ledger, output, now=now, is_partial=is_partial)
    if as_json:
        click.echo(json.dumps(_case_json(output, case)))
        return
    click.echo(f"{shown(str(output))}: {shown(case.file.path)}, SHA-256 {_sha256(case)}")
    for what, reason in case.missing:
        click.echo(f"without {what}: {shown(reason)}")


def _sha256(case: Case) -> str | None:
    return None if case.file.sha256 is None else case.file.sha256.hex()


def _case_json(output: Path, case: Case) -> dict[str, Any]:
    return {
        "bundle": str(output),
        "path": shown(case.file.path),
        "sha256": _sha256(case),
        "missing": [{"what": what, "why": reason} for what, reason in case.missing],
    }


@bundle_command.command("verify")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="PEM: the authority's root, from the authority itself, by which stamps are checked.",
)
@config_option
@json_option
def verify_command(*, path: Path, ca_file: Path | None, config_path: Path | None, as_json: bool) -> int:
    """Check the bundle at PATH: every sum, the chain, whether all of it speaks of one content, and its stamps.

    It needs no ledger, and no configuration; with --config its evidence.timestamp_ca_file is trusted. Ends with 0 if
    nothing is wrong, 1 if anything is.
    """
    if ca_file is None and config_path is not None:
        ca_file = load(config_path).evidence.timestamp_ca_file
    found = checking.verify(path, ca_file=ca_file)
    if as_json:
        click.echo(json.dumps(_checked_json(found)))
    else:
        _say(found)
    return Exit.OK if found.ok else Exit.PROBLEMS


def _checked_json(found: Checked) -> dict[str, Any]:
    return {
        "ok": found.ok,
        "path": found.path,
        "sha256": found.sha256,
        "checks": [{"what": one.what, "ok": one.ok, "said": one.said} for one in found.checks],
        "heads": list(found.heads),
    }


def _say(found: Checked) -> None:
    for one in found.checks:
        click.echo(f"{one.what:<9} {MARKS[one.ok]:<6} {one.said}")
    if not found.ok:
        click.echo("This bundle is not as it was made.")
        return
    click.echo(
        "Nothing is wrong with it. Whoever made it could have made all of it anew: what proves that it was so"
    )
    click.echo("then is a stamp by an authority that you trust, or a head that you know from elsewhere.")
