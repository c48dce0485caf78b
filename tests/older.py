"""Ledgers as an older version of the program left them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from alembic import command

from identifai_watch.ledger import migrate, sqlite


def made_at(path: Path, revision: str) -> None:
    """Make an empty ledger of an older revision."""
    engine = sqlite.engine(sa.make_url(f"sqlite:///{path}"))
    settings = migrate.config()
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        settings.attributes["connection"] = connection
        command.upgrade(settings, revision)
    engine.dispose()


def set_back(path: Path, revision: str) -> None:
    """Make a ledger that no daemon uses one of an older revision, with all that this had a column for."""
    newer = path.with_suffix(".newer")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM INTO ?", (str(newer),))
    for part in path.parent.glob(f"{path.name}*"):
        if not part.name.endswith(".lock"):
            part.unlink()
    made_at(path, revision)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ATTACH ? AS newer", (str(newer),))
        tables = [
            name
            for (name,) in connection.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'")
            if name != "alembic_version" and not name.startswith("sqlite_")
        ]
        for table in tables:
            both = ", ".join(sorted(columns(connection, "main", table) & columns(connection, "newer", table)))
            if both:
                copy = f'INSERT OR REPLACE INTO main."{table}" ({both}) SELECT {both} FROM newer."{table}"'  # noqa: S608 - names of ours
                connection.execute(copy)


def columns(connection: sqlite3.Connection, schema: str, table: str) -> set[str]:
    """Return the names of a table's columns."""
    found = connection.execute("SELECT name FROM pragma_table_info(?, ?)", (table, schema))
    return {f'"{name}"' for (name,) in found}
