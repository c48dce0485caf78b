"""Lists for people, newest first, under any filter among a million files; and what they should look at first."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_TO_REVIEW = sa.text(
    "decision IS NULL AND coalesce(outcome, '') IN ('artificial', 'uncertain') "
    "AND coalesce(state, '') IN ('waiting', 'delivered')"
)
_HELD = sa.text("held = 1")


def upgrade() -> None:
    """Have the indexes hold what lists ask, so that no row is read that is not shown; make one of what is to be reviewed."""
    op.drop_index("ix_files_noticed_at", "files")
    op.create_index(
        "ix_files_noticed_at",
        "files",
        ["noticed_at", "id", "state", "outcome", "decision", "media", "folder_id", "held"],
    )
    op.create_index(
        "ix_files_review",
        "files",
        ["noticed_at", "id"],
        sqlite_where=_TO_REVIEW,
        postgresql_where=_TO_REVIEW,
    )
    op.drop_index("ix_files_held", "files")
    op.create_index(
        "ix_files_held",
        "files",
        ["folder_id", "noticed_at", "held"],
        sqlite_where=_HELD,
        postgresql_where=_HELD,
    )
