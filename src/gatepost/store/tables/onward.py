"""The tables of other systems: their keys to the API, and what they are told.

No address, secret or payload lies here: a key is kept as its digest, a delivery names the
event it tells of, and a request that came with an Idempotency-Key is known by its fingerprint.
"""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from gatepost.store.tables.columns import Id, table_of


class ApiKey(SQLModel, table=True):
    """One key to the API. `scopes` and `senders` are names with commas between them."""

    __tablename__ = "api_key"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    digest: bytes = Field(sa_type=LargeBinary)
    scopes: str
    senders: str
    created_ms: int = Field(sa_type=BigInteger)
    expires_ms: int | None = Field(default=None, sa_type=BigInteger)
    last_used_ms: int | None = Field(default=None, sa_type=BigInteger)
    revoked_ms: int | None = Field(default=None, sa_type=BigInteger)


class ApiRequest(SQLModel, table=True):
    """A request with an Idempotency-Key, and in `outcome` what each of its items came to."""

    __tablename__ = "api_request"
    __table_args__ = (Index("api_request_at", "at_ms"),)

    api_key: str = Field(primary_key=True)
    idempotency_key: str = Field(primary_key=True)
    fingerprint: bytes = Field(sa_type=LargeBinary)
    outcome: str
    at_ms: int = Field(sa_type=BigInteger)


class Webhook(SQLModel, table=True):
    """Who is told of changes, and up to which block of the ledger their deliveries are made."""

    __tablename__ = "webhook"

    name: str = Field(primary_key=True)
    height: int = Field(sa_type=BigInteger)
    lease_by: str | None = None
    lease_until_ms: int | None = Field(default=None, sa_type=BigInteger)
    delivered: int = Field(sa_type=BigInteger)
    delivered_ms: int | None = Field(default=None, sa_type=BigInteger)


class WebhookDelivery(SQLModel, table=True):
    """One event on its way to one webhook; the row goes when it has arrived."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        UniqueConstraint("webhook", "event"),
        Index(
            "webhook_delivery_waiting",
            "webhook",
            "event",
            sqlite_where=text("dead_ms IS NULL"),
            postgresql_where=text("dead_ms IS NULL"),
        ),
    )

    id: int = Field(sa_column=Column(Id, primary_key=True, autoincrement=False))
    webhook: str
    event: int = Field(sa_type=BigInteger)
    subject: int = Field(sa_type=BigInteger)
    attempts: int
    made_ms: int = Field(sa_type=BigInteger)
    next_ms: int = Field(sa_type=BigInteger)
    dead_ms: int | None = Field(default=None, sa_type=BigInteger)
    last_error: str


api_key = table_of(ApiKey)
api_request = table_of(ApiRequest)
webhook = table_of(Webhook)
webhook_delivery = table_of(WebhookDelivery)
