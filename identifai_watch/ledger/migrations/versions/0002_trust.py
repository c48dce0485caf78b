"""What is told before a verdict, folders that are paused, a chain through history, and an end that was meant."""

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from identifai_watch.core.trail import BEGINNING
from identifai_watch.ledger import sqlite

revision = "0002"
down_revision = "0001"

_INSTANT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OUTCOMES = "outcome IN ('human', 'artificial', 'uncertain', 'rejected'{})"
_INTERIM = "interim IN ('changing', 'replaced', 'late')"


def upgrade() -> None:
    """Add the columns, let the outcomes say more, and chain what history there is."""
    connection = op.get_bind()
    for name in ("paused_at", "paused_until"):
        op.add_column("folders", sa.Column(name, _INSTANT, nullable=True))
    for name in ("paused_by", "paused_why"):
        op.add_column("folders", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("nodes", sa.Column("ended_at", _INSTANT, nullable=True))
    _files(connection)
    _history(connection)


def _files(connection: sa.Connection) -> None:
    connection.exec_driver_sql(
        f"ALTER TABLE files ADD COLUMN interim TEXT CONSTRAINT ck_files_interim_known CHECK ({_INTERIM})"
    )
    op.add_column("files", sa.Column("trouble", sa.Text(), nullable=True))
    for name in ("release_at", "orphan_due"):
        op.add_column("files", sa.Column(name, _INSTANT, nullable=True))
    connection.exec_driver_sql(
        "ALTER TABLE files ADD COLUMN supersedes INTEGER "
        "CONSTRAINT fk_files_supersedes_files REFERENCES files (id)"
    )
    sqlite.rewrite_check(
        connection, "files", _OUTCOMES.format(""), _OUTCOMES.format(", 'pending', 'unchecked'")
    )
    for name in ("release_at", "orphan_due"):
        where = sa.text(f"{name} IS NOT NULL")
        op.create_index(
            f"ix_files_{name}", "files", ["folder_id", name], sqlite_where=where, postgresql_where=where
        )


def _history(connection: sa.Connection) -> None:
    """Chain the lines that there are; the engine's own guard is lifted for that, and put back."""
    sqlite.drop_append_only(connection, "history")
    connection.exec_driver_sql("ALTER TABLE history ADD COLUMN digest BLOB NOT NULL DEFAULT (x'')")
    before = BEGINNING
    rows = connection.exec_driver_sql(
        "SELECT id, at, who, event, file_id, analysis_id, detail FROM history ORDER BY id"
    )
    for number, *line in rows.fetchall():
        before = _digest(before, line)
        connection.exec_driver_sql("UPDATE history SET digest = ? WHERE id = ?", (before, number))
    sqlite.append_only(connection, "history")


def _digest(before: bytes, line: list[Any]) -> bytes:
    """Return a line's digest as this revision had it; 0004 has another."""
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(before + text.encode("utf-8", "backslashreplace")).digest()
