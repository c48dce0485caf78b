"""``history``: what was done, by whom, and whether anything of it was changed since."""

import json
from datetime import datetime
from pathlib import Path

import click

from identifai_watch.cli import happenings, stamping
from identifai_watch.cli.acting import Since
from identifai_watch.cli.gathering import opened_to_read
from identifai_watch.cli.opening import config_option, json_option, load
from identifai_watch.cli.reading import standard_output
from identifai_watch.core import trail as chain
from identifai_watch.core.report import happening_text
from identifai_watch.core.sidecar import shown, timestamp
from identifai_watch.errors import Exit, RefusedError
from identifai_watch.ledger import trail
from identifai_watch.ledger.check import gap_text
from identifai_watch.ledger.stamps import Stamp
from identifai_watch.ledger.trail import Line


@click.group("history", invoke_without_command=True)
@click.option("--since", type=Since(), help="Only what happened since: a date, or 7d, 12h, 30m ago.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many, the newest.")
@config_option
@json_option
@click.pass_context
def history_command(
    ctx: click.Context,
    *,
    since: datetime | None,
    limit: int | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """List what was done, by whom and when, the newest last; with --json one object a line.

    Nothing is ever changed or removed here: the ledger refuses it, and each line carries a digest of itself and of
    the line before it, which `history verify` computes anew.
    """
    ctx.obj = (config_path, as_json)
    if ctx.invoked_subcommand is not None:
        return
    with opened_to_read(load(config_path)) as ledger, standard_output() as out:
        for line in happenings.each_line(ledger, since=since, last=limit):
            out.write(f"{json.dumps(happenings.line_json(line)) if as_json else _line_text(line)}\n")


def _line_text(line: Line) -> str:
    at = (timestamp(line.entry.at) or "")[:19].replace("T", " ")
    path = happenings.path_of(line)
    place = "" if path is None else f"  {line.folder}/{path}"
    detail = happenings.detail_of(line)
    if path is not None:
        detail = {name: value for name, value in detail.items() if name not in {"folder", "path"}}
    said = happening_text(detail)
    return shown(f"{at}  {line.entry.who:<10}  {line.entry.event}{place}{'  ' if said else ''}{said}")


@history_command.command("verify")
@click.option(
    "--head", "wanted", metavar="HEX", help="A head that was written down earlier must be in the chain."
)
@config_option
@json_option
@click.pass_context
def verify_command(ctx: click.Context, *, wanted: str | None, config_path: Path | None, as_json: bool) -> int:
    """Compute every digest anew, and say how many lines there are and what the head is.

    Whoever changes, inserts or removes a line breaks the chain after it; whoever takes the last lines away, or makes
    the whole chain anew, is found by a head that was written down before: the log has one for each day ("history
    head"). Ends with 0 if all is well, 1 if not.
    """
    above_path, above_json = ctx.obj
    config = load(config_path or above_path)
    digest = None if wanted is None else _digest(wanted)
    with opened_to_read(config) as ledger:
        if ledger is None:
            raise RefusedError("there is no ledger yet, and so no history")
        head, gap = trail.walk(ledger.read)
        stamped = stamping.told(config, ledger)
        with ledger.read() as tx:
            has_head = digest is None or digest == chain.BEGINNING or trail.has(tx, digest)
    lines = 0 if head is None else head.lines
    ends = (chain.BEGINNING if head is None else head.digest).hex()
    wrong = [f"the stamp of {one.digest.hex()}: {trouble}" for one, trouble in stamped if trouble is not None]
    is_well = gap is None and has_head and not wrong
    if as_json or above_json:
        said = {
            "ok": is_well,
            "lines": lines,
            "head": ends,
            "gap": None if gap is None else {"id": gap.id, "at": timestamp(gap.at), "event": gap.event},
            "has_head": None if digest is None else has_head,
            "stamps": [stamping.stamp_json(one) | {"wrong": trouble} for one, trouble in stamped],
        }
        click.echo(json.dumps(said))
    else:
        if gap is not None:
            wrong.insert(0, gap_text(gap))
        if not has_head:
            wrong.append(f"no line has the head {wanted}: lines are gone, or the chain was made anew")
        _say(lines, ends, wrong, [one for one, _ in stamped if one.stamped_at is not None])
    return Exit.OK if is_well else Exit.PROBLEMS


def _digest(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != len(chain.BEGINNING):
        raise click.UsageError(f"{text!r} is no head; it has {2 * len(chain.BEGINNING)} hexadecimal digits.")
    return digest


def _say(lines: int, head: str, wrong: list[str], stamped: list[Stamp]) -> None:
    for one in wrong:
        click.echo(shown(one if one.startswith("history: ") else f"history: {one}"))
    if not wrong:
        click.echo("The chain is whole.")
    click.echo(f"{lines:,} lines, head {head}")
    if stamped:
        last = stamped[-1]
        click.echo(f"{len(stamped):,} stamps, the last by {last.authority} at {timestamp(last.stamped_at)}")


history_command.add_command(stamping.stamp_command)
history_command.add_command(stamping.stamps_command)
