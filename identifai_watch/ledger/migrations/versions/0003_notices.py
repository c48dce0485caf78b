"""What people are still to be told, what is wrong, and how the credits went."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_INSTANT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_CREDITS: sa.types.TypeEngine[float] = sa.REAL().with_variant(sa.Double(), "postgresql")
_DELIVERED_AS = "delivered_as IN ('human', 'artificial', 'uncertain', 'rejected', 'pending', 'unchecked')"
_KIND = "kind IN ('outcome', 'digest', 'alarm', 'healed')"


def upgrade() -> None:
    """Make the tables; what was delivered before is no news."""
    connection = op.get_bind()
    connection.exec_driver_sql(
        f"ALTER TABLE files ADD COLUMN delivered_as TEXT CONSTRAINT ck_files_delivered_as_known CHECK ({_DELIVERED_AS})"
    )
    connection.exec_driver_sql("UPDATE files SET delivered_as = outcome WHERE delivered_at IS NOT NULL")
    op.create_table(
        "notices",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("made_at", _INSTANT, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("sidecar", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(_KIND, name=op.f("ck_notices_kind_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sa.UniqueConstraint("uid", name=op.f("uq_notices_uid")),
        sqlite_strict=True,
    )
    op.create_table(
        "tellings",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("notice_id", sa.Integer(), nullable=False),
        sa.Column("due", _INSTANT, nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["notice_id"], ["notices.id"], name=op.f("fk_tellings_notice_id_notices")),
        sa.PrimaryKeyConstraint("channel", "notice_id", name=op.f("pk_tellings")),
        sqlite_strict=True,
    )
    op.create_index("ix_tellings_notice_id", "tellings", ["notice_id"])
    op.create_table(
        "flows",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_flows_only_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flows")),
        sqlite_strict=True,
    )
    op.create_table(
        "alarms",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("began_at", _INSTANT, nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("told_at", _INSTANT, nullable=True),
        sa.Column("upto", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_alarms")),
        sqlite_strict=True,
    )
    op.create_table(
        "balances",
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("credits", _CREDITS, nullable=False),
        sa.PrimaryKeyConstraint("at", name=op.f("pk_balances")),
        sqlite_strict=True,
    )
