"""What other systems are told of changes.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Adds who is told, how far they have heard, and what is still on its way to them."""
    op.create_table(
        "webhook",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("lease_by", sa.String()),
        sa.Column("lease_until_ms", sa.BigInteger()),
        sa.Column("delivered", sa.BigInteger(), nullable=False),
        sa.Column("delivered_ms", sa.BigInteger()),
    )
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "webhook_delivery",
        sa.Column("id", number, primary_key=True, autoincrement=False),
        sa.Column("webhook", sa.String(), nullable=False),
        sa.Column("event", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("next_ms", sa.BigInteger(), nullable=False),
        sa.Column("dead_ms", sa.BigInteger()),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.UniqueConstraint("webhook", "event"),
    )
    waiting = sa.text("dead_ms IS NULL")
    op.create_index(
        "webhook_delivery_waiting",
        "webhook_delivery",
        ["webhook", "event"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )


def downgrade() -> None:
    """Removes what others were still to be told."""
    op.drop_table("webhook_delivery")
    op.drop_table("webhook")
