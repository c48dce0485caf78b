"""Making a ledger anew from sidecars: where they lie, what is taken of them, and what people are told of it."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import click

from identifai_watch.cli.opening import opened
from identifai_watch.config import Config, Folder, canonical_of
from identifai_watch.core import salvage
from identifai_watch.core.sidecar import shown
from identifai_watch.errors import LaterError
from identifai_watch.folder.opening import FolderError, MissingError
from identifai_watch.folder.sidecars import Found, sidecars
from identifai_watch.ledger import Ledger, rebuild
from identifai_watch.ledger.rebuild import Claim
from identifai_watch.ledger.step import Step

AT_ONCE = 500
"""Claims that are entered in one transaction."""

NAMED = 1_000
"""Sidecars that are named with what is wrong with them; the others are counted."""

STRANGE_OPTIONS = "its options are none that we would have sent"

Say = Callable[[str], None]
"""Told how far it is."""


@dataclass(slots=True, kw_only=True)
class Salvaged:
    """What came of the sidecars: contents ``taken``, those ``known`` already, and why others gave nothing."""

    sidecars: int = 0
    taken: int = 0
    known: int = 0
    unpaid: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    named: list[tuple[str, str]] = field(default_factory=list)

    def refuse(self, place: str, reason: str) -> None:
        """Count a sidecar that gives nothing, and name it."""
        self.refused[reason] += 1
        if len(self.named) < NAMED:
            self.named.append((place, reason))

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "sidecars": self.sidecars,
            "taken": self.taken,
            "known": self.known,
            "never_sent": self.unpaid,
            "refused": dict(self.refused),
            "named": [{"path": place, "reason": reason} for place, reason in self.named],
        }


def rebuilt(config: Config, folders: Sequence[Folder], step: Step, say: Say, *, dry_run: bool) -> Salvaged:
    """Enter what the sidecars of ``folders`` claim; with ``dry_run`` only count it.

    Raises:
        LaterError: A daemon runs on this ledger.
    """
    found = Salvaged()
    with opened(config) as ledger:
        if not ledger.lock.take():
            raise LaterError("a daemon runs on this ledger: stop it first (systemctl stop identifai-watch)")
        claims = _claims(folders, found, say)
        seen: set[tuple[bytes, str, str]] = set()
        while batch := list(islice(claims, AT_ONCE)):
            _enter(ledger, batch, found, step, seen, dry_run=dry_run)
    return found


def _enter(
    ledger: Ledger,
    batch: Iterable[Claim],
    found: Salvaged,
    step: Step,
    seen: set[tuple[bytes, str, str]],
    *,
    dry_run: bool,
) -> None:
    """Enter claims in one transaction; ``seen`` are those that a rehearsal has counted."""
    with ledger.read() if dry_run else ledger.write() as tx:
        for claim in batch:
            if dry_run:
                key = (claim.sha256, str(claim.media), claim.options)
                is_new = key not in seen and not rebuild.is_known(tx, claim)
                seen.add(key)
            else:
                is_new = rebuild.enter(tx, claim, step)
            found.taken += is_new
            found.known += not is_new


def _claims(folders: Sequence[Folder], found: Salvaged, say: Say) -> Iterator[Claim]:
    """Give what the sidecars claim, and count those that claim nothing."""
    for root in _roots(folders):
        try:
            for one in sidecars(root):
                found.sidecars += 1
                say(f"{found.sidecars:,} sidecars read")
                claim = _claim(root, one, found)
                if claim is not None:
                    yield claim
        except MissingError:
            continue  # a destination that nothing was ever moved to
        except FolderError as error:
            found.refuse(shown(root), str(error))


def _claim(root: bytes, one: Found, found: Salvaged) -> Claim | None:
    place = shown(root.rstrip(b"/") + b"/" + one.path)
    said = one.trouble or "it cannot be read" if one.text is None else salvage.sent(one.text)
    if isinstance(said, str):
        if said == salvage.NEVER_SENT:
            found.unpaid += 1
        else:
            found.refuse(place, said)
        return None
    options = canonical_of(said.media, said.options)
    if options is None:
        found.refuse(place, STRANGE_OPTIONS)
        return None
    return Claim(
        sha256=said.sha256, media=said.media, options=options, identifier=said.identifier, source=place
    )


def _roots(folders: Sequence[Folder]) -> list[bytes]:
    """Return where sidecars of these folders may lie: the folders, and destinations outside of them."""
    roots = [folder.root for folder in folders]
    for folder in folders:
        roots += [place for place in folder.destinations().values() if place.startswith(b"/")]
    return list(dict.fromkeys(roots))


@contextmanager
def told() -> Iterator[Say]:
    """Give what shows a person at a terminal how far it is."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only a terminal needs it

    with Console(stderr=True).status("") as status:
        yield status.update


def tell(found: Salvaged, *, dry_run: bool) -> None:
    """Print what came of the sidecars, and what to do next."""
    for place, reason in found.named:
        click.echo(f"{place}: {shown(reason)}", err=True)
    refused = found.refused.total()
    if refused > len(found.named):
        click.echo(f"... and {refused - len(found.named):,} more.", err=True)
    would = "would be " if dry_run else ""
    click.echo(
        f"{found.sidecars:,} sidecars: {found.taken:,} contents {would}taken, {found.known:,} known already, "
        f"{found.unpaid:,} of files that were never sent, {refused:,} of no use."
    )
    if dry_run:
        click.echo("Nothing was done.")
    elif found.taken:
        click.echo(
            "Next: start the daemon. It asks identifAI for their verdicts, which is free, and its scan finds the files "
            "again.\nWhat it holds (identifai-watch backlog) is released by identifai-watch backlog release: that "
            "costs nothing for what is known."
        )
