"""The tables of the ledger: people, events, blocks, standings, suppressions, sources.

Events and their payloads lie apart, so that a person can be erased without breaking the
chain (promise 5). `standing` and `suppression` are derived from events, and kept beside
them so that a decision is one look-up.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from gatepost.store.tables.columns import Id, table_of

# Events after which copies that were already claimed must stop.
ENDINGS = ("withdrawn", "complained", "bounced", "suppressed", "erased")
ENDING = "kind IN ('withdrawn', 'complained', 'bounced', 'suppressed', 'erased')"


class Meta(SQLModel, table=True):
    """Facts about the store itself, such as the fingerprints of its keys."""

    __tablename__ = "meta"

    name: str = Field(primary_key=True)
    value: str


class Subject(SQLModel, table=True):
    """A person behind an address. The row outlives erasure; only `address` goes."""

    __tablename__ = "subject"
    __table_args__ = (
        Index(
            "subject_erased",
            "id",
            sqlite_where=text("erased_ms IS NOT NULL"),
            postgresql_where=text("erased_ms IS NOT NULL"),
        ),
    )

    id: int = Field(sa_column=Column(Id, primary_key=True, autoincrement=False))
    address_hash: bytes = Field(sa_column=Column(LargeBinary(16), nullable=False, unique=True))
    address: str | None = None
    created_ms: int = Field(sa_type=BigInteger)
    erased_ms: int | None = Field(default=None, sa_type=BigInteger)


class Event(SQLModel, table=True):
    """One event, as the chain sees it. `block` is NULL until it is sealed.

    `proof` shows that this store recorded it; NULL where a block sealed it before there were
    proofs.
    """

    __tablename__ = "event"
    __table_args__ = (
        Index("event_subject", "subject"),
        Index(
            "event_unsealed",
            "id",
            sqlite_where=text("block IS NULL"),
            postgresql_where=text("block IS NULL"),
        ),
        Index("event_ending", "id", sqlite_where=text(ENDING), postgresql_where=text(ENDING)),
    )

    id: int = Field(sa_column=Column(Id, primary_key=True))
    subject: int = Field(sa_column=Column(Id, ForeignKey("subject.id"), nullable=False))
    kind: str
    recorded_ms: int = Field(sa_type=BigInteger)
    commitment: bytes = Field(sa_type=LargeBinary)
    block: int | None = Field(default=None, sa_type=BigInteger)
    proof: bytes | None = Field(default=None, sa_type=LargeBinary)


class EventPayload(SQLModel, table=True):
    """What an event says, and the salt of its commitment. Goes when the person is erased."""

    __tablename__ = "event_payload"

    event: int = Field(
        sa_column=Column(Id, ForeignKey("event.id"), primary_key=True, autoincrement=False)
    )
    salt: bytes = Field(sa_type=LargeBinary)
    payload: bytes = Field(sa_type=LargeBinary)


class Block(SQLModel, table=True):
    """One sealed block: a keyed digest over its events and the block before."""

    __tablename__ = "block"

    height: int = Field(sa_column=Column(Id, primary_key=True, autoincrement=False))
    count: int
    first_event: int = Field(sa_type=BigInteger)
    last_event: int = Field(sa_type=BigInteger)
    previous: bytes = Field(sa_type=LargeBinary)
    digest: bytes = Field(sa_type=LargeBinary)
    sealed_ms: int = Field(sa_type=BigInteger)


class StandingRow(SQLModel, table=True):
    """What a subject's events come to for one stream; `state` is the standing as JSON."""

    __tablename__ = "standing"
    __table_args__ = ({"sqlite_with_rowid": False},)

    subject: int = Field(sa_column=Column(Id, ForeignKey("subject.id"), primary_key=True))
    stream: str = Field(primary_key=True)
    sender: str
    state: str
    withdrawn_ms: int | None = Field(default=None, sa_type=BigInteger)


class SuppressionRow(SQLModel, table=True):
    """A suppression; in force while `lifted_ms` is NULL. Sender "" means every sender."""

    __tablename__ = "suppression"
    __table_args__ = (
        Index("suppression_sender", "sender", "since_ms"),
        {"sqlite_with_rowid": False},
    )

    subject: int = Field(sa_column=Column(Id, ForeignKey("subject.id"), primary_key=True))
    sender: str = Field(primary_key=True)
    scope: str = Field(primary_key=True)
    reason: str = Field(primary_key=True)
    since_ms: int = Field(sa_type=BigInteger)
    lifted_ms: int | None = Field(default=None, sa_type=BigInteger)


class StreamName(SQLModel, table=True):
    """Every stream ever known, so that links of retired streams still say which it was."""

    __tablename__ = "stream_name"

    tag: int = Field(sa_column=Column(Id, primary_key=True, autoincrement=False))
    name: str = Field(unique=True)
    sender: str
    first_ms: int = Field(sa_type=BigInteger)


class Source(SQLModel, table=True):
    """A place where consent is collected.

    `streams`, `channel` and `categories` are names with commas between them.
    """

    __tablename__ = "source"

    id: int = Field(sa_column=Column(Id, primary_key=True))
    name: str = Field(unique=True)
    description: str
    url: str
    reconstructed: bool
    created_ms: int = Field(sa_type=BigInteger)
    sender: str
    kind: str
    streams: str
    channel: str
    categories: str
    attested_by: str
    attested_why: str


class ConsentText(SQLModel, table=True):
    """One version of a source's consent text; never changed once evidence refers to it.

    A draft has no `activated_ms`. `lint` are codes with commas between them.
    """

    __tablename__ = "consent_text"
    __table_args__ = (UniqueConstraint("source", "version"),)

    id: int = Field(sa_column=Column(Id, primary_key=True))
    source: int = Field(sa_column=Column(Id, ForeignKey("source.id"), nullable=False))
    version: str
    language: str
    body: str
    sha256: str
    voluntary: bool
    informed: bool
    specific: bool
    states_withdrawal: bool
    pre_ticked: bool
    conditional: bool
    in_terms: bool
    active: bool
    used: bool
    created_ms: int = Field(sa_type=BigInteger)
    names_company: bool
    prominent: bool
    names_sender: bool
    lint: str
    accepted_lint: str
    activated_ms: int | None = Field(default=None, sa_type=BigInteger)


class Picture(SQLModel, table=True):
    """A picture of how a text was shown, as content, never as a link (JU-25, JU-27)."""

    __tablename__ = "picture"
    __table_args__ = (UniqueConstraint("text", "sha256"),)

    id: int = Field(sa_column=Column(Id, primary_key=True))
    text: int = Field(sa_column=Column(Id, ForeignKey("consent_text.id"), nullable=False))
    name: str
    media_type: str
    sha256: str
    content: bytes = Field(sa_type=LargeBinary)
    added_ms: int = Field(sa_type=BigInteger)


meta = table_of(Meta)
subject = table_of(Subject)
event = table_of(Event)
event_payload = table_of(EventPayload)
block = table_of(Block)
standing = table_of(StandingRow)
suppression = table_of(SuppressionRow)
stream_name = table_of(StreamName)
source = table_of(Source)
consent_text = table_of(ConsentText)
picture = table_of(Picture)
