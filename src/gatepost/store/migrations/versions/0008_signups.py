"""Sign-ups on our own forms, until they are confirmed, and welcomes until they are delivered.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Makes both tables."""
    op.create_table(
        "signup",
        sa.Column("id", _ID, primary_key=True, autoincrement=False),
        sa.Column("subject", _ID, sa.ForeignKey("subject.id"), nullable=False),
        *(
            sa.Column(name, sa.String(), nullable=False)
            for name in ("sender", "source", "text_version", "streams", "language")
        ),
        sa.Column("requested_ms", sa.BigInteger(), nullable=False),
        sa.Column("submission", sa.BigInteger()),
        sa.Column("confirmed_ms", sa.BigInteger()),
    )
    op.create_index("signup_subject", "signup", ["subject", "sender"])
    op.create_table(
        "welcome",
        sa.Column("submission", _ID, primary_key=True, autoincrement=False),
        sa.Column("subject", _ID, sa.ForeignKey("subject.id"), nullable=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("written_ms", sa.BigInteger(), nullable=False),
        sa.Column("settled_ms", sa.BigInteger()),
    )
    op.create_index("welcome_subject", "welcome", ["subject", "stream"])
    unsettled = sa.text("settled_ms IS NULL")
    op.create_index(
        "welcome_unsettled",
        "welcome",
        ["written_ms"],
        sqlite_where=unsettled,
        postgresql_where=unsettled,
    )
