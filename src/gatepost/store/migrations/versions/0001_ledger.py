"""The ledger: people, events, blocks, standings, suppressions, sources.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_UNSEALED = sa.text("block IS NULL")
_ENDING = sa.text("kind IN ('withdrawn', 'complained', 'bounced', 'suppressed', 'erased')")


def upgrade() -> None:
    """Makes the tables."""
    _people()
    _events()
    _derived()
    _sources()


def _people() -> None:
    op.create_table(
        "meta",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("value", sa.String(), nullable=False),
    )
    op.create_table(
        "subject",
        sa.Column("id", _ID, primary_key=True, autoincrement=False),
        sa.Column("address_hash", sa.LargeBinary(16), nullable=False, unique=True),
        sa.Column("address", sa.String()),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("erased_ms", sa.BigInteger()),
    )


def _events() -> None:
    op.create_table(
        "event",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("subject", _ID, sa.ForeignKey("subject.id"), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("recorded_ms", sa.BigInteger(), nullable=False),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.Column("block", sa.BigInteger()),
    )
    op.create_index("event_subject", "event", ["subject"])
    op.create_index(
        "event_unsealed", "event", ["id"], sqlite_where=_UNSEALED, postgresql_where=_UNSEALED
    )
    op.create_index("event_ending", "event", ["id"], sqlite_where=_ENDING, postgresql_where=_ENDING)
    op.create_table(
        "event_payload",
        sa.Column("event", _ID, sa.ForeignKey("event.id"), primary_key=True, autoincrement=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "block",
        sa.Column("height", _ID, primary_key=True, autoincrement=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("first_event", sa.BigInteger(), nullable=False),
        sa.Column("last_event", sa.BigInteger(), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_ms", sa.BigInteger(), nullable=False),
    )


def _derived() -> None:
    op.create_table(
        "standing",
        sa.Column("subject", _ID, sa.ForeignKey("subject.id"), primary_key=True),
        sa.Column("stream", sa.String(), primary_key=True),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("withdrawn_ms", sa.BigInteger()),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "suppression",
        sa.Column("subject", _ID, sa.ForeignKey("subject.id"), primary_key=True),
        sa.Column("sender", sa.String(), primary_key=True),
        sa.Column("scope", sa.String(), primary_key=True),
        sa.Column("reason", sa.String(), primary_key=True),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("lifted_ms", sa.BigInteger()),
        sqlite_with_rowid=False,
    )
    op.create_index("suppression_sender", "suppression", ["sender", "since_ms"])
    op.create_table(
        "stream_name",
        sa.Column("tag", _ID, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
    )


def _sources() -> None:
    op.create_table(
        "source",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("reconstructed", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
    )
    flags = (
        "voluntary", "informed", "specific", "states_withdrawal",
        "pre_ticked", "conditional", "in_terms", "active", "used",
    )  # fmt: skip
    op.create_table(
        "consent_text",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("source", _ID, sa.ForeignKey("source.id"), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        *(sa.Column(flag, sa.Boolean(), nullable=False) for flag in flags),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("source", "version"),
    )
    op.create_table(
        "picture",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("text", _ID, sa.ForeignKey("consent_text.id"), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("added_ms", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("text", "sha256"),
    )
