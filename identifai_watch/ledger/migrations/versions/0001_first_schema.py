"""The first schema."""

import sqlalchemy as sa
from alembic import op

from identifai_watch.ledger import sqlite

revision = "0001"
down_revision = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_INSTANT = _BIG
_FLAG = sa.Integer()


def upgrade() -> None:
    """Create every table, and have the engine keep ``history`` append-only."""
    op.create_table(
        "account",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("next_probe_at", _INSTANT, nullable=True),
        sa.Column("probes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("hold_until", _INSTANT, nullable=True),
        sa.Column("holds", sa.Integer(), server_default="0", nullable=False),
        sa.Column("succeeded_at", _INSTANT, nullable=True),
        sa.Column("credits", sa.REAL().with_variant(sa.Double(), "postgresql"), nullable=True),
        sa.Column("credits_at", _INSTANT, nullable=True),
        sa.CheckConstraint(
            "(state = 'paused') = (reason IS NOT NULL)", name=op.f("ck_account_paused_says_why")
        ),
        sa.CheckConstraint(
            "reason IN ('key', 'terms', 'credits', 'credits_floor', 'operator')",
            name=op.f("ck_account_reason_known"),
        ),
        sa.CheckConstraint("state IN ('ok', 'paused')", name=op.f("ck_account_state_known")),
        sa.CheckConstraint("id = 1", name=op.f("ck_account_only_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sqlite_strict=True,
    )
    op.create_table(
        "analyses",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("media", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("edition", sa.Integer(), server_default="0", nullable=False),
        sa.Column("mime", sa.Text(), nullable=False),
        sa.Column("size", _BIG, nullable=False),
        sa.Column("noticed_at", _INSTANT, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("doubt", _FLAG, server_default="0", nullable=False),
        sa.Column("no_cache", _FLAG, server_default="0", nullable=False),
        sa.Column("backlog", _FLAG, server_default="0", nullable=False),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due", _INSTANT, nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failing_since", _INSTANT, nullable=True),
        sa.Column("resubmissions", sa.Integer(), server_default="0", nullable=False),
        sa.Column("malformed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("stuck_at", _INSTANT, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("identifier", sa.Text(), nullable=True),
        sa.Column("sent_name", sa.Text(), nullable=True),
        sa.Column("ref_id", sa.Text(), nullable=True),
        sa.Column("submitted_at", _INSTANT, nullable=True),
        sa.Column("deadline", _INSTANT, nullable=True),
        sa.Column("judged_at", _INSTANT, nullable=True),
        sa.Column("heatmap_due", _INSTANT, nullable=True),
        sa.Column("heatmap_failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("claim", sa.Text(), nullable=True),
        sa.Column("claimed_until", _INSTANT, nullable=True),
        sa.CheckConstraint("media IN ('image', 'video', 'audio')", name=op.f("ck_analyses_media_known")),
        sa.CheckConstraint(
            "state <> 'awaiting' OR identifier IS NOT NULL", name=op.f("ck_analyses_awaited_by_name")
        ),
        sa.CheckConstraint(
            "state <> 'judged' OR verdict IS NOT NULL", name=op.f("ck_analyses_judged_has_verdict")
        ),
        sa.CheckConstraint(
            "state <> 'refused' OR reason IS NOT NULL", name=op.f("ck_analyses_refused_says_why")
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'awaiting') OR due IS NULL", name=op.f("ck_analyses_due_has_a_duty")
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'sending', 'awaiting', 'judged', 'refused')",
            name=op.f("ck_analyses_state_known"),
        ),
        sa.CheckConstraint("doubt = 0 OR no_cache = 0", name=op.f("ck_analyses_doubt_is_never_paid_anew")),
        sa.CheckConstraint("length(sha256) = 32", name=op.f("ck_analyses_sha256_is_whole")),
        sa.CheckConstraint("stuck_at IS NULL OR due IS NULL", name=op.f("ck_analyses_stuck_rests")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_analyses")),
        sa.UniqueConstraint(
            "sha256", "media", "options", "edition", name=op.f("uq_analyses_sha256_media_options_edition")
        ),
        sqlite_strict=True,
    )
    op.create_table(
        "commands",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("arguments", sa.Text(), nullable=False),
        sa.Column("done_at", _INSTANT, nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commands")),
        sqlite_strict=True,
    )
    op.create_table(
        "folders",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("filesystem", sa.Text(), nullable=True),
        sa.Column("archived_at", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_folders")),
        sa.UniqueConstraint("node", "name", name=op.f("uq_folders_node_name")),
        sqlite_strict=True,
    )
    op.create_table(
        "nodes",
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("process", sa.Integer(), nullable=False),
        sa.Column("since", _INSTANT, nullable=False),
        sa.Column("seen_at", _INSTANT, nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("node", name=op.f("pk_nodes")),
        sqlite_strict=True,
    )
    op.create_table(
        "requests",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("backlog", _FLAG, server_default="0", nullable=False),
        sa.CheckConstraint("method IN ('GET', 'POST')", name=op.f("ck_requests_method_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requests")),
        sqlite_strict=True,
    )
    op.create_table(
        "answers",
        sa.Column("analysis_id", sa.Integer(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("heatmap", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analyses.id"], name=op.f("fk_answers_analysis_id_analyses")
        ),
        sa.PrimaryKeyConstraint("analysis_id", name=op.f("pk_answers")),
        sqlite_strict=True,
    )
    op.create_table(
        "files",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("folder_id", sa.Integer(), nullable=False),
        sa.Column("parent", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("size", _BIG, nullable=False),
        sa.Column("mtime_ns", _BIG, nullable=False),
        sa.Column("ctime_ns", _BIG, nullable=False),
        sa.Column("inode", _BIG, nullable=True),
        sa.Column("noticed_at", _INSTANT, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("held", _FLAG, server_default="0", nullable=False),
        sa.Column("backlog", _FLAG, server_default="0", nullable=False),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("analysis_id", sa.Integer(), nullable=True),
        sa.Column("media", sa.Text(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("rules", sa.Text(), nullable=True),
        sa.Column("duplicate", _FLAG, server_default="0", nullable=False),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.Column("decision_reason", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", _INSTANT, nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("hashed_at", _INSTANT, nullable=True),
        sa.Column("delivered_at", _INSTANT, nullable=True),
        sa.Column("due", _INSTANT, nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failing_since", _INSTANT, nullable=True),
        sa.Column("stuck_at", _INSTANT, nullable=True),
        sa.Column("destination", sa.LargeBinary(), nullable=True),
        sa.Column("lies_at", sa.LargeBinary(), nullable=True),
        sa.Column("copied_to", sa.LargeBinary(), nullable=True),
        sa.Column("missing", sa.Integer(), server_default="0", nullable=False),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("claim", sa.Text(), nullable=True),
        sa.Column("claimed_until", _INSTANT, nullable=True),
        sa.CheckConstraint(
            "decision IN ('human', 'artificial', 'inconclusive', 'confirmed')",
            name=op.f("ck_files_decision_known"),
        ),
        sa.CheckConstraint("media IN ('image', 'video', 'audio')", name=op.f("ck_files_media_known")),
        sa.CheckConstraint(
            "outcome IN ('human', 'artificial', 'uncertain', 'rejected')", name=op.f("ck_files_outcome_known")
        ),
        sa.CheckConstraint(
            "state <> 'delivered' OR (outcome IS NOT NULL AND delivered_at IS NOT NULL)",
            name=op.f("ck_files_delivered_somewhere"),
        ),
        sa.CheckConstraint("state = 'waiting' OR due IS NULL", name=op.f("ck_files_due_has_a_duty")),
        sa.CheckConstraint(
            "state IN ('waiting', 'delivered', 'superseded', 'gone')", name=op.f("ck_files_state_known")
        ),
        sa.CheckConstraint(
            "analysis_id IS NULL OR sha256 IS NOT NULL", name=op.f("ck_files_analysed_is_hashed")
        ),
        sa.CheckConstraint(
            "held = 0 OR (analysis_id IS NULL AND sha256 IS NULL)", name=op.f("ck_files_held_is_not_hashed")
        ),
        sa.CheckConstraint("held = 0 OR state = 'waiting'", name=op.f("ck_files_held_still_waits")),
        sa.CheckConstraint(
            "refusal IS NULL OR analysis_id IS NULL", name=op.f("ck_files_refused_here_is_not_sent")
        ),
        sa.CheckConstraint("sha256 IS NULL OR length(sha256) = 32", name=op.f("ck_files_sha256_is_whole")),
        sa.CheckConstraint("stuck_at IS NULL OR due IS NULL", name=op.f("ck_files_stuck_rests")),
        sa.ForeignKeyConstraint(["analysis_id"], ["analyses.id"], name=op.f("fk_files_analysis_id_analyses")),
        sa.ForeignKeyConstraint(["folder_id"], ["folders.id"], name=op.f("fk_files_folder_id_folders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
        sqlite_strict=True,
    )
    op.create_table(
        "left",
        sa.Column("folder_id", sa.Integer(), nullable=False),
        sa.Column("parent", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("size", _BIG, nullable=False),
        sa.Column("mtime_ns", _BIG, nullable=False),
        sa.Column("ctime_ns", _BIG, nullable=False),
        sa.Column("inode", _BIG, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("left_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["folder_id"], ["folders.id"], name=op.f("fk_left_folder_id_folders")),
        sa.PrimaryKeyConstraint("folder_id", "parent", "name", name=op.f("pk_left")),
        sqlite_strict=True,
    )
    op.create_table(
        "history",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("file_id", sa.Integer(), nullable=True),
        sa.Column("analysis_id", sa.Integer(), nullable=True),
        sa.Column("detail", sa.Text(), server_default="{}", nullable=False),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analyses.id"], name=op.f("fk_history_analysis_id_analyses")
        ),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name=op.f("fk_history_file_id_files")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_history")),
        sqlite_strict=True,
    )
    _indexes()
    sqlite.append_only(op.get_bind(), "history")


def _indexes() -> None:
    _index("ix_analyses_claim", "analyses", ["claimed_by", "claim"], where="claimed_by IS NOT NULL")
    _index("ix_analyses_deadline", "analyses", ["state", "deadline"], where="due IS NOT NULL")
    _index("ix_analyses_due", "analyses", ["state", "media", "due"], where="due IS NOT NULL")
    _index("ix_analyses_heatmap_due", "analyses", ["heatmap_due"], where="heatmap_due IS NOT NULL")
    _index(
        "ix_analyses_hottest",
        "analyses",
        ["state", "backlog", "priority", "noticed_at"],
        where="due IS NOT NULL",
    )
    _index("ix_analyses_judged_at", "analyses", ["media", "judged_at"], where="judged_at IS NOT NULL")
    _index("ix_analyses_oldest", "analyses", ["state", "backlog", "noticed_at"], where="due IS NOT NULL")
    _index("ix_analyses_state", "analyses", ["state", "doubt", "stuck_at"])
    _index("ix_commands_open", "commands", ["id"], where="done_at IS NULL")
    _index(
        "ix_files_admit",
        "files",
        ["folder_id", "priority", "noticed_at"],
        where="state = 'waiting' AND held = 0 AND analysis_id IS NULL AND refusal IS NULL",
    )
    _index("ix_files_analysis_id", "files", ["analysis_id"])
    _index("ix_files_claim", "files", ["claimed_by", "claim"], where="claimed_by IS NOT NULL")
    _index("ix_files_delivered_at", "files", ["folder_id", "delivered_at"], where="delivered_at IS NOT NULL")
    _index(
        "ix_files_due",
        "files",
        ["folder_id", "state", sa.text("priority DESC"), "due"],
        where="due IS NOT NULL",
    )
    _index("ix_files_held", "files", ["folder_id", "noticed_at"], where="held = 1")
    _index("ix_files_noticed_at", "files", ["noticed_at", "id"])
    _index("ix_files_refusal", "files", ["folder_id", "rules"], where="refusal IS NOT NULL")
    _index("ix_files_state", "files", ["state", "outcome", "held", "stuck_at"])
    _index(
        "uq_files_place",
        "files",
        ["folder_id", "parent", "name"],
        where="lies_at IS NULL AND state <> 'superseded'",
        unique=True,
    )
    _index("ix_history_analysis_id", "history", ["analysis_id"])
    _index("ix_history_file_id", "history", ["file_id"])
    _index("ix_requests_at", "requests", ["method", "at", "backlog"])


def _index(
    name: str,
    table: str,
    columns: list[str | sa.TextClause],
    *,
    where: str | None = None,
    unique: bool = False,
) -> None:
    picked = None if where is None else sa.text(where)
    op.create_index(op.f(name), table, columns, unique=unique, sqlite_where=picked, postgresql_where=picked)
