"""Complaint cases and their deadlines.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Adds the cases; complaints from before have none."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "complaint_case",
        sa.Column("id", number, primary_key=True),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("campaign", sa.BigInteger()),
        sa.Column("submission", sa.BigInteger()),
        sa.Column("subject", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("complaints", sa.Integer(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.Column("notice", sa.BigInteger()),
        sa.Column("noticed_ms", sa.BigInteger()),
        sa.Column("answered_ms", sa.BigInteger()),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("expired_ms", sa.BigInteger()),
        sa.Column("closed_ms", sa.BigInteger()),
        sa.Column("closing", sa.String(), nullable=False),
    )
    still_open = sa.text("closed_ms IS NULL")
    op.create_index(
        "complaint_case_open",
        "complaint_case",
        ["subject", "sender"],
        sqlite_where=still_open,
        postgresql_where=still_open,
    )


def downgrade() -> None:
    """Removes the cases; complaints stay in the ledger, and frozen senders frozen."""
    op.drop_table("complaint_case")
