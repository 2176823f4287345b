"""Sources say more about themselves, and texts of what keeps them from being valid.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_VALID = (
    "voluntary AND informed AND specific AND states_withdrawal"
    " AND NOT pre_ticked AND NOT conditional AND NOT in_terms"
)


def upgrade() -> None:
    """Adds the columns, and tells drafts from versions that were put to use.

    A version that was valid stays what it was; nobody checked its words, so they pass
    (`gatepost source check` tells what a check finds). One that was shown without being valid
    becomes a draft: consents from it do not count, now as before.
    """
    for name, default in (
        ("channel", "e-mail"),
        ("categories", ""),
        ("attested_by", ""),
        ("attested_why", ""),
    ):
        op.add_column(
            "source", sa.Column(name, sa.String(), nullable=False, server_default=default)
        )
    for name, passes in (("names_company", False), ("prominent", False), ("names_sender", True)):
        given = sa.true() if passes else sa.false()
        op.add_column(
            "consent_text", sa.Column(name, sa.Boolean(), nullable=False, server_default=given)
        )
    for name in ("lint", "accepted_lint"):
        op.add_column(
            "consent_text", sa.Column(name, sa.String(), nullable=False, server_default="")
        )
    op.add_column("consent_text", sa.Column("activated_ms", sa.BigInteger()))
    op.execute(f"UPDATE consent_text SET activated_ms = created_ms WHERE {_VALID}")  # noqa: S608
    op.execute("UPDATE consent_text SET active = false WHERE activated_ms IS NULL")
