"""How a ledger stands, by a look that neither makes, migrates nor locks it."""

from dataclasses import dataclass

from identifai_watch.ledger import dialects


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The ``revision`` of the schema, None where there is none yet, and whether a daemon ``is_running`` on it."""

    revision: str | None
    is_running: bool


def standing(url: str, *, node: str) -> Standing:
    """Look at the ledger at ``url``, and for the daemon of ``node``.

    Raises:
        LedgerError: It lies on a network file system, is damaged, cannot be read or is another program's.
    """
    revision, is_running = dialects.look(dialects.parsed(url), node)
    return Standing(revision=revision, is_running=is_running)
