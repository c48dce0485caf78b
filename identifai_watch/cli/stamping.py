"""``history stamp`` and ``history stamps``: have the head of the history stamped now, and list who stamped it when."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from identifai_watch.cli.gathering import opened_to_read
from identifai_watch.cli.opening import config_option, json_option, load, opened
from identifai_watch.config import Config
from identifai_watch.core.sidecar import shown, timestamp
from identifai_watch.errors import Exit, LaterError, RefusedError
from identifai_watch.evidence import stamping
from identifai_watch.evidence.stamping import NoLibraryError, StampError
from identifai_watch.ledger import Ledger, Transaction, passages, stamps, trail
from identifai_watch.ledger.stamps import Stamp

NO_AUTHORITY = "evidence.timestamp_url is empty: name an RFC 3161 authority there"


@click.command("stamp")
@config_option
@json_option
@click.pass_context
def stamp_command(ctx: click.Context, *, config_path: Path | None, as_json: bool) -> None:
    """Have the head of the history stamped now by the authority of evidence.timestamp_url; only the head leaves.

    The daemon does so once a day by itself. A head that is stamped already is not stamped twice.
    """
    above_path, above_json = ctx.obj
    config = load(config_path or above_path)
    if not config.evidence.timestamp_url:
        raise RefusedError(NO_AUTHORITY)
    with opened(config) as ledger:
        stamped = _stamped(config, ledger)
    if as_json or above_json:
        click.echo(json.dumps(stamp_json(stamped)))
    else:
        click.echo(_text(stamped))


def _stamped(config: Config, ledger: Ledger) -> Stamp:
    """Have the head stamped, and write that down.

    Raises:
        RefusedError: There is no history, or no library to do it with.
        LaterError: The authority did not stamp it; the daemon tries again.
    """
    with ledger.write() as tx:
        head = trail.head(tx)
        if head is None:
            raise RefusedError("there is no history yet, and so no head")
        stamps.want(tx, head, datetime.now(UTC))
        parts = passages.preimage(tx, head.id)
        known = _of(tx, head.digest)
    if known is not None and known.answer is not None:
        return known
    if parts is None:
        raise RefusedError("the history's last line is gone")
    evidence = config.evidence
    try:
        found = stamping.stamp(
            evidence.timestamp_url, *parts, ca_file=evidence.timestamp_ca_file, proxy=config.api.proxy
        )
    except NoLibraryError as error:
        raise RefusedError(str(error)) from error
    except StampError as error:
        raise LaterError(f"the history was not stamped: {error}") from error
    with ledger.write() as tx:
        stamps.stamped(
            tx, head.digest, answer=found.answer, authority=found.authority, stamped_at=found.stamped_at
        )
        made = _of(tx, head.digest)
    if made is None or made.answer is None:
        raise LaterError("a newer head waits to be stamped: type it again")
    return made


def _of(tx: Transaction, digest: bytes) -> Stamp | None:
    return next((one for one in stamps.every(tx) if one.digest == digest), None)


@click.command("stamps")
@config_option
@json_option
@click.pass_context
def stamps_command(ctx: click.Context, *, config_path: Path | None, as_json: bool) -> int:
    """List the heads of the history that an authority stamped, and the one that waits for it.

    Each stamp is checked: whether its head is in the history, whether it is for that head and, with
    evidence.timestamp_ca_file, whether its signature holds. Ends with 0 if all is well, 1 if not.
    """
    above_path, above_json = ctx.obj
    config = load(config_path or above_path)
    with opened_to_read(config) as ledger:
        found = [] if ledger is None else told(config, ledger)
    for one, trouble in found:
        if as_json or above_json:
            click.echo(json.dumps(stamp_json(one) | {"wrong": trouble}))
        else:
            click.echo(_text(one) + ("" if trouble is None else f": WRONG, {shown(trouble)}"))
    if not found and not (as_json or above_json):
        click.echo("No head was stamped yet." if config.evidence.timestamp_url else f"None: {NO_AUTHORITY}.")
    return Exit.OK if all(trouble is None for _, trouble in found) else Exit.PROBLEMS


def told(config: Config, ledger: Ledger) -> list[tuple[Stamp, str | None]]:
    """Return every stamp with what is wrong with it, None for nothing."""
    ca_file = config.evidence.timestamp_ca_file
    with ledger.read() as tx:
        return [(one, _wrong(tx, one, ca_file)) for one in stamps.every(tx)]


def _wrong(tx: Transaction, stamp: Stamp, ca_file: Path | None) -> str | None:
    if not trail.has(tx, stamp.digest):
        return "no line has this head: lines are gone, or the chain was made anew"
    if stamp.answer is None:
        return None
    try:
        roots = [] if ca_file is None else stamping.roots_in(ca_file)
        stamping.check(stamp.answer, stamp.digest, roots=roots)
    except NoLibraryError:
        return None  # a bundle's stamps can be checked with openssl
    except StampError as error:
        return str(error)
    return None


def stamp_json(stamp: Stamp) -> dict[str, Any]:
    """Return a stamp for machines, without the authority's answer, which goes into bundles."""
    return {
        "head": stamp.digest.hex(),
        "line": stamp.history_id,
        "lines": stamp.lines,
        "stamped_at": timestamp(stamp.stamped_at),
        "authority": stamp.authority,
        "asked_at": timestamp(stamp.asked_at),
        "due": timestamp(stamp.due),
        "failures": stamp.failures,
        "trouble": stamp.trouble,
    }


def _text(stamp: Stamp) -> str:
    head = f"{stamp.lines:,} lines, head {stamp.digest.hex()}"
    if stamp.stamped_at is not None:
        return f"{stamp.stamped_at:%Y-%m-%d %H:%M:%S} UTC  {stamp.authority}  {head}"
    reason = "it waits to be asked" if stamp.trouble is None else shown(stamp.trouble)
    due = "" if stamp.due is None else f"; next at {stamp.due:%Y-%m-%d %H:%M} UTC"
    return f"not stamped yet ({reason}{due})  {head}"
