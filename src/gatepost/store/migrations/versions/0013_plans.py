"""What is asked often is found by an index, and PostgreSQL cleans up after the mail in time.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_STOPPED = sa.text("stopped_ms IS NOT NULL")
# Every row of mail and every event is written again soon after it came. By PostgreSQL's own
# measure a fifth of a table may be dead before it is cleaned, and of these that is too much.
_HOT = ("recipient", "submission", "content", "event", "webhook_delivery")
_CLEANING = {
    "autovacuum_vacuum_scale_factor": "0.02",
    "autovacuum_vacuum_threshold": "2000",
    "autovacuum_analyze_scale_factor": "0.02",
}
_ROOM = {"standing": "90", "consent_use": "90"}  # updates that change no indexed column stay near


def upgrade() -> None:
    """Adds the indexes (small, or of tables that few rows come to), and says when mail was held."""
    op.create_index(
        "campaign_stopped",
        "campaign",
        ["stopped_ms"],
        sqlite_where=_STOPPED,
        postgresql_where=_STOPPED,
    )
    op.create_index("signup_requested", "signup", ["requested_ms"])
    op.create_index("welcome_written", "welcome", ["written_ms"])
    # Claims held mail of frozen senders without this, by which it is found after the thaw.
    op.execute(
        "UPDATE recipient SET held_ms = next_attempt_ms WHERE state = 'held' AND held_ms IS NULL"
    )
    if op.get_bind().dialect.name == "postgresql":
        settings = ", ".join(f"{name} = {value}" for name, value in _CLEANING.items())
        for table in _HOT:
            op.execute(f"ALTER TABLE {table} SET ({settings})")
        for table, percent in _ROOM.items():
            op.execute(f"ALTER TABLE {table} SET (fillfactor = {percent})")


def downgrade() -> None:
    """Takes them away again; nothing is lost."""
    op.drop_index("campaign_stopped", "campaign")
    op.drop_index("signup_requested", "signup")
    op.drop_index("welcome_written", "welcome")
    if op.get_bind().dialect.name == "postgresql":
        for table in _HOT:
            op.execute(f"ALTER TABLE {table} RESET ({', '.join(_CLEANING)})")
        for table in _ROOM:
            op.execute(f"ALTER TABLE {table} RESET (fillfactor)")
