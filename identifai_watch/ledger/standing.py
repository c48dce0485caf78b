"""How a ledger stands, by a look that neither makes, migrates nor locks it."""

from dataclasses import dataclass

import sqlalchemy as sa

from identifai_watch.ledger import sqlite


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The ``revision`` of the schema, None where there is none yet, and whether a daemon ``is_running`` on it."""

    revision: str | None
    is_running: bool


def standing(url: str) -> Standing:
    """Look at the ledger at ``url``.

    Raises:
        LedgerError: It lies on a network file system, is damaged, cannot be read or is another program's.
    """
    parsed = sa.make_url(url)
    return Standing(revision=sqlite.prepare(parsed), is_running=sqlite.NodeLock(parsed).is_taken())
