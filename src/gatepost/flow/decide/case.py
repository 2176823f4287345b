"""One question: whether this recipient may have a copy of this message, now."""

from dataclasses import dataclass, field
from datetime import datetime

from gatepost.consent.bases import Bases
from gatepost.consent.standing import Person
from gatepost.mail.address import Address
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Stream


@dataclass(slots=True, kw_only=True)  # many are made: freezing would treble the price of one
class Case:
    """Everything a decision looks at; it looks at nothing else.

    `now` is the store's time in UTC. `sender` is the stream's, `None` where it has none.
    `mismatch` says in words what about From or Sender is not the sender's, "" if all is well;
    `override` is the written reason of an override, "" without one. `categories` are those of
    the message where it names any; the stream's count otherwise (JU-14).
    """

    stream: Stream
    sender: Sender | None
    address: Address
    person: Person
    now: datetime
    bases: Bases
    campaign_stopped: bool = False
    sender_frozen: bool = False
    mismatch: str = ""
    override: str = ""
    open_recipients: bool = False
    unmodifiable: bool = False
    undeclared_bulk: bool = False
    categories: frozenset[str] = field(default=frozenset())
