"""Which consent was used when, and when it may go.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_UNGATHERED = sa.text(
    "gathered_ms IS NULL AND finished_ms IS NOT NULL AND kind = 'bulk' AND content_state <> 'none'"
)


def upgrade() -> None:
    """Makes the tables; what was delivered so far is gathered when serve starts."""
    _uses()
    _counts()
    op.create_table(
        "written_file",
        sa.Column("path", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("written_ms", sa.BigInteger(), nullable=False),
    )


def _uses() -> None:
    op.add_column("submission", sa.Column("gathered_ms", sa.BigInteger()))
    op.create_index(
        "submission_ungathered",
        "submission",
        ["finished_ms"],
        sqlite_where=_UNGATHERED,
        postgresql_where=_UNGATHERED,
    )
    op.create_table(
        "consent_use",
        sa.Column("subject", _ID, primary_key=True, autoincrement=False),
        sa.Column("stream", sa.String(), primary_key=True),
        sa.Column("since_ms", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.Column("copies", sa.Integer(), nullable=False),
        sqlite_with_rowid=False,
    )


def _counts() -> None:
    op.create_table(
        "campaign_count",
        sa.Column(
            "campaign",
            _ID,
            sa.ForeignKey("campaign.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("verdict", sa.String(), primary_key=True),
        sa.Column("reason", sa.String(), primary_key=True),
        sa.Column("state", sa.String(), primary_key=True),
        sa.Column("recipients", sa.Integer(), nullable=False),
        sqlite_with_rowid=False,
    )
