"""The tables of use and retention: what was sent on which consent, and what outlives its rows."""

from sqlalchemy import BigInteger, Column, ForeignKey
from sqlmodel import Field, SQLModel

from gatepost.store.tables.columns import Id, table_of


class ConsentUse(SQLModel, table=True):
    """Copies delivered to one person on one grant of one stream (JU-23: "last used").

    `since_ms` names the grant, as `recipient.since_ms` does: the moment it took effect.
    """

    __tablename__ = "consent_use"
    __table_args__ = ({"sqlite_with_rowid": False},)

    subject: int = Field(sa_column=Column(Id, primary_key=True, autoincrement=False))
    stream: str = Field(primary_key=True)
    since_ms: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    sender: str
    first_ms: int = Field(sa_type=BigInteger)
    last_ms: int = Field(sa_type=BigInteger)
    copies: int


class CampaignCount(SQLModel, table=True):
    """Recipients of a campaign whose rows are gone, counted as its report counts them."""

    __tablename__ = "campaign_count"
    __table_args__ = ({"sqlite_with_rowid": False},)

    campaign: int = Field(
        sa_column=Column(
            Id, ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
        )
    )
    verdict: str = Field(primary_key=True)
    reason: str = Field(primary_key=True)
    state: str = Field(primary_key=True)
    recipients: int


class RetentionLook(SQLModel, table=True):
    """When a run of retention must look at a person: not before, and not without a row.

    The time 0 asks whether there is nothing on record of them (`store/strangers.py`).
    """

    __tablename__ = "retention_look"
    __table_args__ = ({"sqlite_with_rowid": False},)

    at_ms: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    subject: int = Field(sa_column=Column(Id, primary_key=True, autoincrement=False))


class WrittenFile(SQLModel, table=True):
    """A file with addresses that a command wrote beside the store, such as rejected rows."""

    __tablename__ = "written_file"

    path: str = Field(primary_key=True)
    kind: str
    written_ms: int = Field(sa_type=BigInteger)


consent_use = table_of(ConsentUse)
campaign_count = table_of(CampaignCount)
retention_look = table_of(RetentionLook)
written_file = table_of(WrittenFile)
