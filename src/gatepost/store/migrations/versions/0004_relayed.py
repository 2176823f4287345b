"""Recipients say of which deliveries the mailer is to be told, and reports find them.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds the column; of what is delivered already nothing is told."""
    op.add_column("recipient", sa.Column("relayed_ms", sa.BigInteger()))
    op.drop_index("recipient_unreported", "recipient")
    untold = sa.text(
        "finished_ms IS NOT NULL AND reported_ms IS NULL"
        " AND (state = 'failed' OR relayed_ms IS NOT NULL)"
    )
    op.create_index(
        "recipient_unreported",
        "recipient",
        ["submission"],
        sqlite_where=untold,
        postgresql_where=untold,
    )
