"""The tables of sign-ups: what waits for a confirmation, and welcomes on their way.

Who asked, from where and with what words is in the ledger; here is only what the link in a
letter stands for, so that nothing personal is kept twice.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, text
from sqlmodel import Field, SQLModel

from gatepost.store.tables.columns import Id, table_of

_UNSETTLED = text("settled_ms IS NULL")


class SignUp(SQLModel, table=True):
    """A request for streams that waits for its confirmation, or has had it.

    `streams` are names with commas between them; `source` is "" for our preferences page.
    `submission` is the letter that asks, or NULL where an earlier one still does.
    """

    __tablename__ = "signup"
    __table_args__ = (
        Index("signup_subject", "subject", "sender"),
        Index("signup_requested", "requested_ms"),
    )

    id: int = Field(sa_column=Column(Id, primary_key=True, autoincrement=False))
    subject: int = Field(sa_column=Column(Id, ForeignKey("subject.id"), nullable=False))
    sender: str
    source: str
    text_version: str
    streams: str
    language: str
    requested_ms: int = Field(sa_type=BigInteger)
    submission: int | None = Field(default=None, sa_type=BigInteger)
    confirmed_ms: int | None = Field(default=None, sa_type=BigInteger)


class Welcome(SQLModel, table=True):
    """A welcome letter. `settled_ms` says when it was delivered or came to nothing."""

    __tablename__ = "welcome"
    __table_args__ = (
        Index("welcome_subject", "subject", "stream"),
        Index("welcome_written", "written_ms"),
        Index(
            "welcome_unsettled",
            "written_ms",
            sqlite_where=_UNSETTLED,
            postgresql_where=_UNSETTLED,
        ),
    )

    submission: int = Field(sa_column=Column(Id, primary_key=True, autoincrement=False))
    subject: int = Field(sa_column=Column(Id, ForeignKey("subject.id"), nullable=False))
    sender: str
    stream: str
    written_ms: int = Field(sa_type=BigInteger)
    settled_ms: int | None = Field(default=None, sa_type=BigInteger)


signup = table_of(SignUp)
welcome = table_of(Welcome)
