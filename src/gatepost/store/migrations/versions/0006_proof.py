"""Every event carries a keyed proof that this store recorded it.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Adds the column; `store.adoption` gives proofs to what is not sealed yet."""
    op.add_column("event", sa.Column("proof", sa.LargeBinary()))
