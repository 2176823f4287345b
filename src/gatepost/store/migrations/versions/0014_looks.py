"""Retention knows when to look at whom, and erased people are found without reading everybody.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

from gatepost.store.tables.columns import Id

revision = "0014"
down_revision = "0013"

_ERASED = sa.text("erased_ms IS NOT NULL")


def upgrade() -> None:
    """Adds a table, which the first run of retention fills, and an index of few rows."""
    op.create_table(
        "retention_look",
        sa.Column("at_ms", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("subject", Id, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "subject_erased", "subject", ["id"], sqlite_where=_ERASED, postgresql_where=_ERASED
    )


def downgrade() -> None:
    """Takes both away again; before this, a run of retention looked at everybody."""
    op.drop_index("subject_erased", "subject")
    op.drop_table("retention_look")
    op.execute("DELETE FROM meta WHERE name = 'looks'")
