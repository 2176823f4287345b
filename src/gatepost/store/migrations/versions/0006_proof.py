"""Every event carries a keyed proof that this store recorded it.

Revision ID: 0006
Revises: 0005
"""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Nothing yet."""
