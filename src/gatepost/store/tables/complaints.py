"""The table of complaint cases: who is waiting for a word from the sender, and since when.

No address lies here: the person is their random id, and the words are those of staff.
"""

from sqlalchemy import BigInteger, Column, Index, text
from sqlmodel import Field, SQLModel

from gatepost.store.tables.columns import Id, table_of


class ComplaintCase(SQLModel, table=True):
    """One person's complaints about one sender, from the first until the case is closed.

    `notice` is the submission that told the sender's contact; `noticed_ms` starts the clock;
    `expired_ms` is when it had run out.
    """

    __tablename__ = "complaint_case"
    __table_args__ = (
        Index(
            "complaint_case_open",
            "subject",
            "sender",
            sqlite_where=text("closed_ms IS NULL"),
            postgresql_where=text("closed_ms IS NULL"),
        ),
    )

    id: int = Field(sa_column=Column(Id, primary_key=True))
    sender: str
    stream: str
    campaign: int | None = Field(default=None, sa_type=BigInteger)
    submission: int | None = Field(default=None, sa_type=BigInteger)
    subject: int = Field(sa_type=BigInteger)
    kind: str
    complaints: int
    received_ms: int = Field(sa_type=BigInteger)
    last_ms: int = Field(sa_type=BigInteger)
    notice: int | None = Field(default=None, sa_type=BigInteger)
    noticed_ms: int | None = Field(default=None, sa_type=BigInteger)
    answered_ms: int | None = Field(default=None, sa_type=BigInteger)
    answer: str
    expired_ms: int | None = Field(default=None, sa_type=BigInteger)
    closed_ms: int | None = Field(default=None, sa_type=BigInteger)
    closing: str


complaint_case = table_of(ComplaintCase)
