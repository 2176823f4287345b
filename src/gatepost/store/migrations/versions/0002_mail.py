"""Mail: campaigns, submissions with their content, recipients, what bulk detection counts.

Revision ID: 0002
Revises: 0001
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Makes the tables."""
    _campaigns()
    _submissions()
    _recipients()
    _bulk_detection()


def _campaigns() -> None:
    op.create_table(
        "campaign",
        sa.Column("id", _ID, primary_key=True),
        *_words("name"),
        sa.Column("explicit", sa.Boolean(), nullable=False),
        *_words("client", "stream", "sender", "key"),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_submission_ms", sa.BigInteger(), nullable=False),
        *_moments("stopped_ms"),
        *_words("stopped_note"),
        *_moments("summary_sent_ms"),
    )
    op.create_index("campaign_open", "campaign", ["client", "stream", "key", "last_submission_ms"])
    _index_where(
        "campaign_summary_due", "campaign", "summary_sent_ms IS NULL", "last_submission_ms"
    )
    op.create_table(
        "sender_state",
        sa.Column("sender", sa.String(), primary_key=True),
        *_moments("frozen_ms"),
        *_words("note"),
    )


def _submissions() -> None:
    op.create_table(
        "submission",
        sa.Column("id", _ID, primary_key=True, autoincrement=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        *_words("client", "stream", "kind", "sender"),
        sa.Column("campaign_id", _ID, sa.ForeignKey("campaign.id")),
        *_words("mail_from", "ret", "envid"),
        sa.Column("smtputf8", sa.Boolean(), nullable=False),
        sa.Column("body8bit", sa.Boolean(), nullable=False),
        *_words("message_id", "subject", "header_from"),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("recipients", sa.Integer(), nullable=False),
        *_words("peer", "protocol", "ehlo", "cipher", "replaced", "content_state"),
        *_moments("finished_ms"),
        *_words("note"),
    )
    _index_where("submission_campaign", "submission", "campaign_id IS NOT NULL", "campaign_id")
    _index_where("submission_content", "submission", "content_state = 'kept'", "finished_ms")
    op.create_table(
        "content",
        sa.Column("submission", _ID, primary_key=True, autoincrement=False),
        sa.Column("n", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "content_staged",
        sa.Column("submission", _ID, primary_key=True, autoincrement=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
    )


def _recipients() -> None:
    op.create_table(
        "recipient",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("submission", _ID, sa.ForeignKey("submission.id"), nullable=False),
        *_words("address"),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("subject", sa.BigInteger()),
        *_words("notify", "orcpt", "verdict", "reason", "rule"),
        *_moments("since_ms"),
        *_words("note", "state", "upstream"),
        sa.Column("lane", sa.SmallInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_ms", sa.BigInteger(), nullable=False),
        sa.Column("lease_by", sa.String()),
        *_moments("lease_until_ms"),
        *_words("last_reply"),
        *_moments("last_attempt_ms", "held_ms", "expires_ms", "finished_ms", "reported_ms"),
    )
    op.create_index("recipient_submission", "recipient", ["submission", "finished_ms"])
    _index_where(
        "recipient_open",
        "recipient",
        "finished_ms IS NULL",
        *("upstream", "lane", "state", "next_attempt_ms"),
    )
    _index_where("recipient_leased", "recipient", "lease_until_ms IS NOT NULL", "lease_until_ms")
    _index_where("recipient_set_aside", "recipient", "held_ms IS NOT NULL", "subject")
    _index_where(
        "recipient_unreported",
        "recipient",
        "finished_ms IS NOT NULL AND state = 'failed' AND reported_ms IS NULL",
        "submission",
    )


def _bulk_detection() -> None:
    op.create_table(
        "bulk_window",
        sa.Column("fingerprint", sa.LargeBinary(), primary_key=True),
        sa.Column("client", sa.String(), primary_key=True),
        sa.Column("bucket", _ID, primary_key=True, autoincrement=False),
        sa.Column("recipients", sa.Integer(), nullable=False),
    )
    op.create_index("bulk_window_bucket", "bulk_window", ["bucket"])


def _words(*names: str) -> Iterator[sa.Column[str]]:
    return (sa.Column(name, sa.String(), nullable=False) for name in names)


def _moments(*names: str) -> Iterator[sa.Column[int]]:
    return (sa.Column(name, sa.BigInteger()) for name in names)


def _index_where(name: str, table: str, condition: str, *columns: str) -> None:
    clause = sa.text(condition)
    op.create_index(name, table, list(columns), sqlite_where=clause, postgresql_where=clause)
