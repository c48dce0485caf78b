"""A chain of which parts can be shown without the lines between them, and the stamps that its heads were given."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from identifai_watch.core.trail import BEGINNING, microseconds
from identifai_watch.ledger import sqlite

revision = "0004"
down_revision = "0003"

_INSTANT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_AT_ONCE = 5_000
_FIRST = -(2**63)


def upgrade() -> None:
    """Add the table of stamps, and chain what history there is anew; its last line says how the old chain ended."""
    op.create_table(
        "stamps",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("history_id", sa.Integer(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("asked_at", _INSTANT, nullable=False),
        sa.Column("due", _INSTANT, nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.Column("authority", sa.Text(), nullable=True),
        sa.Column("stamped_at", _INSTANT, nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("length(digest) = 32", name=op.f("ck_stamps_digest_is_whole")),
        sa.CheckConstraint(
            "(answer IS NULL) = (stamped_at IS NULL)", name=op.f("ck_stamps_stamped_says_when")
        ),
        sa.CheckConstraint("answer IS NULL OR due IS NULL", name=op.f("ck_stamps_due_has_a_duty")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stamps")),
        sa.UniqueConstraint("digest", name=op.f("uq_stamps_digest")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_stamps_history_id"), "stamps", ["history_id"])
    connection = op.get_bind()
    sqlite.drop_append_only(connection, "history")
    _chain_anew(connection)
    sqlite.append_only(connection, "history")


def _chain_anew(connection: sa.Connection) -> None:
    """Give every line its new digest; where the old ones did not follow stays known, and so does the old head."""
    old = before = BEGINNING
    number, broken, lines = 0, None, 0
    for number, digest, line in _lines(connection):
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
        if broken is None and hashlib.sha256(old + text).digest() != digest:
            broken = number
        old, before = digest, _link(before, text)
        connection.exec_driver_sql("UPDATE history SET digest = ? WHERE id = ?", (before, number))
        lines += 1
    if lines == 0:
        return
    detail = json.dumps({"head": old.hex(), "lines": lines, "broken": broken})
    line = [microseconds(datetime.now(UTC)), "daemon", "rechained", None, None, detail]
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode()
    connection.exec_driver_sql(
        "INSERT INTO history (at, who, event, file_id, analysis_id, detail, digest) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*line, _link(before, text)),
    )


def _lines(connection: sa.Connection) -> Iterator[tuple[int, bytes, list[Any]]]:
    """Give each line with its number and its digest, so many at once."""
    after = _FIRST
    while True:
        page = connection.exec_driver_sql(
            "SELECT id, digest, at, who, event, file_id, analysis_id, detail FROM history WHERE id > ? "
            "ORDER BY id LIMIT ?",
            (after, _AT_ONCE),
        ).fetchall()
        for number, digest, *line in page:
            yield number, digest, line
        if len(page) < _AT_ONCE:
            return
        after = page[-1].id


def _link(before: bytes, text: bytes) -> bytes:
    return hashlib.sha256(before + hashlib.sha256(text).digest()).digest()
