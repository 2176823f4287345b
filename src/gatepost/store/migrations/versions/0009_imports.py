"""How far an import has come.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Makes the table; no import is under way."""
    op.create_table(
        "import_progress",
        sa.Column("digest", sa.String(), primary_key=True),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("rejects_bytes", sa.BigInteger(), nullable=False),
        sa.Column("tally", sa.String(), nullable=False),
        sa.Column("touched_ms", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """Removes the table: an import that broke off begins anew, and adds nothing twice."""
    op.drop_table("import_progress")
