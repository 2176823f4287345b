"""Sources say for whom they collect, of what kind they are, and for which streams.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds the columns; sources that are there already say nothing."""
    for name in ("sender", "kind", "streams"):
        op.add_column("source", sa.Column(name, sa.String(), nullable=False, server_default=""))
