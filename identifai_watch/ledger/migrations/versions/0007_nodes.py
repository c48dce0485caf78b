"""Several hosts on one ledger: whose an order, a notice and an alarm is, and who has a folder that several share."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_INSTANT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the columns; what there is belongs to nobody in particular, for the ledger is one host's."""
    for name, kind in (("claimed_by", sa.Text()), ("claim", sa.Text()), ("claimed_until", _INSTANT)):
        op.add_column("folders", sa.Column(name, kind, nullable=True))
    for table in ("commands", "notices"):
        op.add_column(table, sa.Column("node", sa.Text(), server_default="", nullable=False))
    op.drop_index("ix_commands_open", "commands")
    where = sa.text("done_at IS NULL")
    op.create_index(
        "ix_commands_open", "commands", ["node", "id"], sqlite_where=where, postgresql_where=where
    )
    _flows()
    _alarms()
    op.create_table(
        "copying",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("since", _INSTANT, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_copying_only_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_copying")),
        sqlite_strict=True,
    )


def _flows() -> None:
    op.execute("ALTER TABLE flows RENAME TO flows_before")
    op.create_table(
        "flows",
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("node", name=op.f("pk_flows")),
        sqlite_strict=True,
    )
    op.execute("INSERT INTO flows (node, state) SELECT '', state FROM flows_before")
    op.drop_table("flows_before")


def _alarms() -> None:
    op.execute("ALTER TABLE alarms RENAME TO alarms_before")
    op.create_table(
        "alarms",
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("began_at", _INSTANT, nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("told_at", _INSTANT, nullable=True),
        sa.Column("upto", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("node", "name", name=op.f("pk_alarms")),
        sqlite_strict=True,
    )
    columns = "name, began_at, said, told_at, upto"
    op.execute(f"INSERT INTO alarms (node, {columns}) SELECT '', {columns} FROM alarms_before")  # noqa: S608 - names of ours
    op.drop_table("alarms_before")
