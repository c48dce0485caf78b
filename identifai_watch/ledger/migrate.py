"""Bring a ledger to the schema of this version with Alembic; imported only when there is something to do."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from identifai_watch.errors import LedgerError
from identifai_watch.ledger import dialects


def config() -> Config:
    """Return Alembic's configuration, with the migrations that ship in the package."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return made


def known() -> frozenset[str]:
    """Return every revision that this version can bring to its own."""
    return frozenset(script.revision for script in ScriptDirectory.from_config(config()).walk_revisions())


def upgrade(connection: sa.Connection, found: str | None) -> None:
    """Run every migration after ``found`` in the transaction that is open; raise LedgerError if ``found`` is not ours.

    A new ledger on PostgreSQL is made as it is now: the first of them that there was is of the revision 0007.
    """
    settings = config()
    if found is not None and found not in known():
        raise LedgerError(
            f"ledger.url: {connection.engine.url.database} was written by a newer version (revision {found}); it was "
            "not touched: install that version, or put its backup back"
        )
    settings.attributes["connection"] = connection
    if found is None and connection.dialect.name != dialects.SQLITE:
        dialects.make(connection)
        command.stamp(settings, "head")
    else:
        command.upgrade(settings, "head")
