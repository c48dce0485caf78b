"""What was sent, what cost nothing and what the desk decided, by time: for what people ask of costs and quality."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_INDEXES = (
    (
        "ix_analyses_submitted_at",
        "analyses",
        ["submitted_at", "media", "resubmissions"],
        "submitted_at IS NOT NULL",
    ),
    ("ix_files_copies", "files", ["hashed_at", "folder_id", "media"], "duplicate = 1"),
    ("ix_files_decided_at", "files", ["decided_at"], "decided_at IS NOT NULL"),
)


def upgrade() -> None:
    """Make the indexes; that of a content's files tells the folder and the copies too."""
    for name, table, columns, where in _INDEXES:
        picked = sa.text(where)
        op.create_index(name, table, columns, sqlite_where=picked, postgresql_where=picked)
    op.drop_index("ix_files_analysis_id", "files")
    op.create_index("ix_files_analysis_id", "files", ["analysis_id", "duplicate", "folder_id"])
