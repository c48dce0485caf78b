"""The queue of uploads by host: what a host may send next is found without a look at what only others have."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table, with what waits; the indexes that found it before go."""
    op.create_table(
        "queue",
        sa.Column("analysis_id", _BIG, nullable=False),
        sa.Column("whose", sa.Text(), nullable=False),
        sa.Column("backlog", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("noticed_at", _BIG, nullable=False),
        sa.Column("due", _BIG, nullable=False),
        sa.ForeignKeyConstraint(["analysis_id"], ["analyses.id"], name=op.f("fk_queue_analysis_id_analyses")),
        sa.PrimaryKeyConstraint("analysis_id", "whose", name=op.f("pk_queue")),
        sqlite_strict=True,
    )
    op.execute(
        "INSERT INTO queue (analysis_id, whose, backlog, priority, noticed_at, due) "
        "SELECT DISTINCT a.id, CASE WHEN folders.node = '' THEN '/' || folders.id ELSE folders.node END, "
        "a.backlog, a.priority, a.noticed_at, a.due FROM analyses AS a "
        "JOIN files ON files.analysis_id = a.id JOIN folders ON folders.id = files.folder_id "
        "WHERE a.state = 'queued' AND a.due IS NOT NULL AND files.state IN ('waiting', 'delivered')"
    )
    op.create_index("ix_queue_hottest", "queue", ["whose", "backlog", "priority", "noticed_at"])
    op.create_index("ix_queue_oldest", "queue", ["whose", "backlog", "noticed_at"])
    op.create_index("ix_queue_due", "queue", ["whose", "due"])
    where = sa.text("state = 'queued' AND due IS NOT NULL")
    op.create_index(
        "ix_analyses_queued",
        "analyses",
        ["backlog", "noticed_at", "priority"],
        sqlite_where=where,
        postgresql_where=where,
    )
    op.drop_index("ix_analyses_claim", "analyses")
    op.drop_index("ix_analyses_hottest", "analyses")
    op.drop_index("ix_analyses_oldest", "analyses")
    if op.get_bind().dialect.name == "postgresql":
        from identifai_watch.ledger import postgres  # noqa: PLC0415 - a file needs no driver of a server

        op.execute("ALTER TABLE analyses SET (fillfactor = 85)")
        postgres.chained(op.get_bind())
