"""The tables of mail: submissions with their content, recipients, campaigns.

Times are BIGINT milliseconds since the epoch (`..._ms`), UTC; what has not happened is NULL.
A submission's id is random, because links name it; a recipient's is a counter, because
queues are listed and indexed by it.

`recipient.next_attempt_ms` is the time of the next attempt for a deferred row, and for a
ready row its place in the line (`store/spool/put.py`). Partial indexes keep the queue's
look-ups as fast over millions of finished rows as over none; a statement uses one only if it
repeats the condition, with literals (`spelled`). They are few and their conditions cheap,
because each costs every accepted recipient half a microsecond and more.

*Known limits:* the columns of a removed stream, client or sender keep its name.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    and_,
    literal_column,
    or_,
    text,
)
from sqlmodel import Field, SQLModel

from gatepost.mail.recipient_state import State
from gatepost.store.tables.columns import Id, table_of


def spelled(value: str) -> ColumnElement[str]:
    """`value` as a literal in the statement, where a partial index must see it."""
    return literal_column(f"'{value}'")


def _where(name: str, condition: str, *columns: str) -> Index:
    """A partial index, the same on both engines."""
    clause = text(condition)
    return Index(name, *columns, sqlite_where=clause, postgresql_where=clause)


# Finished bulk mail whose deliveries are not yet among the uses of consents.
UNGATHERED = (
    "gathered_ms IS NULL AND finished_ms IS NOT NULL AND kind = 'bulk' AND content_state <> 'none'"
)


class Campaign(SQLModel, table=True):
    """The submissions of one mailing, grouped for reports and for stopping."""

    __table_args__ = (
        Index("campaign_open", "client", "stream", "key", "last_submission_ms"),
        _where("campaign_summary_due", "summary_sent_ms IS NULL", "last_submission_ms"),
        _where("campaign_stopped", "stopped_ms IS NOT NULL", "stopped_ms"),
    )

    id: int = Field(sa_column=Column(Id, primary_key=True))
    name: str
    explicit: bool
    client: str
    stream: str
    sender: str
    key: str
    started_ms: int = Field(sa_type=BigInteger)
    last_submission_ms: int = Field(sa_type=BigInteger)
    stopped_ms: int | None = Field(default=None, sa_type=BigInteger)
    stopped_note: str
    summary_sent_ms: int | None = Field(default=None, sa_type=BigInteger)


class Submission(SQLModel, table=True):
    """One accepted (or, where every recipient was refused, recorded) SMTP transaction.

    `replaced` holds the list headers that copies replace, as they came. `content_state` is
    "kept", "purged", or "none" where nobody was to get a copy. `gathered_ms` says when its
    deliveries were added to the uses of consents (`store/uses.py`).
    """

    __table_args__ = (
        _where("submission_campaign", "campaign_id IS NOT NULL", "campaign_id"),
        _where("submission_content", "content_state = 'kept'", "finished_ms"),
        _where("submission_ungathered", UNGATHERED, "finished_ms"),
    )

    id: int = Field(sa_column=Column(Id, primary_key=True, autoincrement=False))
    received_ms: int = Field(sa_type=BigInteger)
    client: str
    stream: str
    kind: str
    sender: str
    campaign_id: int | None = Field(sa_column=Column(Id, ForeignKey("campaign.id"), nullable=True))
    mail_from: str
    ret: str
    envid: str
    smtputf8: bool
    body8bit: bool
    message_id: str
    subject: str
    header_from: str
    size: int
    recipients: int
    peer: str
    protocol: str
    ehlo: str
    cipher: str
    replaced: str
    content_state: str
    finished_ms: int | None = Field(default=None, sa_type=BigInteger)
    note: str
    gathered_ms: int | None = Field(default=None, sa_type=BigInteger)


class Content(SQLModel, table=True):
    """A message as it came, in pieces of 256 KB; most have one."""

    submission: int = Field(sa_column=Column(Id, primary_key=True, autoincrement=False))
    n: int = Field(primary_key=True)
    data: bytes = Field(sa_type=LargeBinary)


class ContentStaged(SQLModel, table=True):
    """A large message whose pieces are being written; gone once a submission refers to it."""

    __tablename__ = "content_staged"

    submission: int = Field(sa_column=Column(Id, primary_key=True, autoincrement=False))
    started_ms: int = Field(sa_type=BigInteger)


class Recipient(SQLModel, table=True):
    """One envelope address of one submission: verdict, state and attempts.

    `verdict` is the disposition; `lane` is 0 for mail that goes before bulk mail, else 1;
    `held_ms` says since when the row is quarantined or held, and is NULL in every other state;
    `relayed_ms` when upstream took a copy of which only we can tell the mailer, who wants it;
    `reported_ms` when a failure or that was told, or was found to need no telling.
    """

    __table_args__ = (
        Index("recipient_submission", "submission", "finished_ms"),
        _where(
            "recipient_open", "finished_ms IS NULL", "upstream", "lane", "state", "next_attempt_ms"
        ),
        _where("recipient_leased", "lease_until_ms IS NOT NULL", "lease_until_ms"),
        _where("recipient_set_aside", "held_ms IS NOT NULL", "subject"),
        _where(
            "recipient_unreported",
            "finished_ms IS NOT NULL AND reported_ms IS NULL"
            " AND (state = 'failed' OR relayed_ms IS NOT NULL)",
            "submission",
        ),
    )

    id: int = Field(sa_column=Column(Id, primary_key=True))
    submission: int = Field(sa_column=Column(Id, ForeignKey("submission.id"), nullable=False))
    address: str
    address_hash: bytes = Field(sa_type=LargeBinary)
    subject: int | None = Field(default=None, sa_type=BigInteger)
    notify: str
    orcpt: str
    verdict: str
    reason: str
    rule: str
    since_ms: int | None = Field(default=None, sa_type=BigInteger)
    note: str
    state: str
    upstream: str
    lane: int = Field(sa_type=SmallInteger)
    attempts: int
    next_attempt_ms: int = Field(sa_type=BigInteger)
    lease_by: str | None = None
    lease_until_ms: int | None = Field(default=None, sa_type=BigInteger)
    last_reply: str
    last_attempt_ms: int | None = Field(default=None, sa_type=BigInteger)
    held_ms: int | None = Field(default=None, sa_type=BigInteger)
    expires_ms: int | None = Field(default=None, sa_type=BigInteger)
    finished_ms: int | None = Field(default=None, sa_type=BigInteger)
    reported_ms: int | None = Field(default=None, sa_type=BigInteger)
    relayed_ms: int | None = Field(default=None, sa_type=BigInteger)


class SenderState(SQLModel, table=True):
    """A sender whose bulk mail is refused; no row, or no `frozen_ms`, means it is not."""

    __tablename__ = "sender_state"

    sender: str = Field(primary_key=True)
    frozen_ms: int | None = Field(default=None, sa_type=BigInteger)
    note: str


class BulkWindow(SQLModel, table=True):
    """How many recipients one client mailed the same text to in one minute (`bucket`)."""

    __tablename__ = "bulk_window"
    __table_args__ = (Index("bulk_window_bucket", "bucket"),)

    fingerprint: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    client: str = Field(primary_key=True)
    bucket: int = Field(sa_column=Column(Id, primary_key=True, autoincrement=False))
    recipients: int


campaign = table_of(Campaign)
submission = table_of(Submission)
content = table_of(Content)
content_staged = table_of(ContentStaged)
recipient = table_of(Recipient)
sender_state = table_of(SenderState)
bulk_window = table_of(BulkWindow)


def is_untold() -> ColumnElement[bool]:
    """Recipients of whom a delivery report is due, as their index has it."""
    row = recipient.c
    return and_(
        row.finished_ms.is_not(None),
        row.reported_ms.is_(None),
        or_(row.state == spelled(State.FAILED), row.relayed_ms.is_not(None)),
    )


def is_ungathered() -> ColumnElement[bool]:
    """Submissions whose deliveries are to be gathered (`store/uses.py`), as their index has it."""
    row = submission.c
    return and_(
        row.gathered_ms.is_(None),
        row.finished_ms.is_not(None),
        row.kind == spelled("bulk"),
        row.content_state != spelled("none"),
    )
