"""The nouns of the spool: what goes into it, and what comes out of it.

In: jobs, made by the conductors. Out: what is stored, as values that know no database.
Times are aware UTC datetimes; ids of submissions are random, ids of recipients are counters.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from gatepost.consent.standing import Person
from gatepost.mail.envelope import Arrival, Envelope, Recipient
from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.mail.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What reports and copies want to know of a message's header."""

    message_id: str = ""
    subject: str = ""
    header_from: str = ""
    replaced: str = ""  # the list headers that copies replace, as they came


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignDraft:
    """Which campaign a bulk submission belongs to; `explicit` names came in a header."""

    key: str
    name: str
    explicit: bool = False


class TextSighting(NamedTuple):
    """A text that is not declared as bulk, and how many recipients it counts for."""

    fingerprint: bytes
    recipients: int
    within: timedelta


class Lease(NamedTuple):
    """Who sends, for how long without a renewal, and when to try again if that ends badly."""

    holder: str
    duration: timedelta
    retry_after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """What the first decision sees: all from one moment, inside the accepting transaction.

    `persons` has a key per address that the ledger knows; whoever is absent is a stranger.
    `seen_in_window` counts recipients of the same text before this submission.
    """

    now: datetime
    persons: Mapping[str, Person]
    campaign_stopped: bool
    sender_frozen: bool
    seen_in_window: int


class RowDraft(NamedTuple):
    """One recipient as decided. `state` is where it enters the spool.

    With `claim` (and a lease in the job) a row in state ready is stored as sending, so that it
    needs no second transaction. `needs_subject` asks for a subject where the ledger has never
    met the address; quarantined rows get one always, because a confirmation finds them by it.
    """

    recipient: Recipient
    verdict: Verdict
    state: State
    upstream: str = ""
    needs_subject: bool = False
    claim: bool = False
    expires: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PutJob:
    """One submission to accept.

    `id` comes from `ids.new_id()`, so that large content can be staged under it before
    (`content.stage`; then `staged` is true and `content` only gives the size). `decide` is
    called inside the transaction, must be pure, and may be called again; it returns one draft
    per recipient, including those that were refused at RCPT.
    """

    id: int
    arrival: Arrival
    envelope: Envelope
    stream: str
    kind: Kind
    sender: str
    heading: Heading
    content: bytes
    decide: Callable[[Snapshot], Sequence[RowDraft]]
    staged: bool = False
    needs_standing: bool = True
    campaign: CampaignDraft | None = None
    sighting: TextSighting | None = None
    lease: Lease | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """An accepted submission without its content, as outbound and reports need it."""

    id: int
    received: datetime
    client: str
    stream: str
    kind: Kind
    sender: str
    campaign: int | None
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
    note: str


@dataclass(slots=True, eq=False)  # there are many: freezing would treble the price of one
class Claimed:
    """One recipient that the caller may send a copy to, until its lease ends.

    `attempts` counts this one; `next_attempt` is when it is tried again if nothing is heard
    of this attempt. `subject` is 0 where the ledger has never met the address.
    """

    id: int
    submission: Submission
    recipient: Recipient
    subject: int
    verdict: Verdict
    upstream: str
    attempts: int
    next_attempt: datetime
    lease_until: datetime


class PutResult(NamedTuple):
    """What became of a `PutJob`: rows claimed at once, and recipients by (verdict, reason)."""

    submission: int
    campaign: int | None
    claimed: Sequence[Claimed]
    counts: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Review:
    """What the decision at a claim sees: due rows of one submission, as things are now."""

    now: datetime
    submission: Submission
    rows: Sequence[Claimed]
    persons: Mapping[str, Person]
    campaign_stopped: bool
    sender_frozen: bool


class Ruling(NamedTuple):
    """A verdict that replaces the recorded one; only state sending lets the copy go."""

    verdict: Verdict
    state: State
    expires: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClaimJob:
    """A wish for due recipients: as many per upstream as `rooms` says, of bulk mail or other.

    `retry_after` gives the time to the next attempt from the number of this one (1 for the
    first). `decide` returns one entry per row: `None` where the recorded verdict stands.
    Streams for which `needs_standing` is false are decided without a look-up. `take_up` says
    whether leases that are over at the store's time may be believed to be over.
    """

    holder: str
    rooms: Mapping[str, int]
    urgent: bool
    lease: timedelta
    retry_after: Callable[[int], timedelta]
    decide: Callable[[Review], Sequence[Ruling | None]]
    needs_standing: Callable[[str], bool] = bool
    take_up: Callable[[datetime], bool] = bool


class Marked(NamedTuple):
    """What came of one claimed recipient.

    `next_attempt` belongs to state deferred. `counted` is false where the attempt did not
    begin. `report` is true where the mailer must be told: of a failure, or of a delivery to an
    upstream that will tell nothing.
    """

    id: int
    state: State
    reply: str
    next_attempt: datetime | None = None
    counted: bool = True
    report: bool = False


class MarkJob(NamedTuple):
    """Outcomes of copies that `holder` had claimed."""

    holder: str
    rows: Sequence[Marked]
