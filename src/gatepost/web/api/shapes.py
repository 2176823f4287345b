"""The shapes of requests and answers: those of the commands' `--json`, wherever there is one.

Times in answers are ISO 8601 in UTC with milliseconds, as the commands print them; times in
requests are what an import file may hold. A shape takes no member that it does not know.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

MOST_ITEMS = 10_000
MOST_IDS = 10_000
MAX_ID = 2**63 - 1


def spelled(moment: datetime) -> str:
    """A time as the commands' JSON has it."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


Moment = Annotated[datetime, PlainSerializer(spelled, return_type=str, when_used="json")]
Time = Annotated[
    str,
    Field(max_length=40, examples=["2026-03-01T10:00:00Z"], description="ISO 8601, UTC by default"),
]
AddressText = Annotated[str, Field(min_length=1, max_length=1000, examples=["anna@kund.example"])]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Note = Annotated[str, Field(max_length=2000, description="for the record")]
Word = Annotated[str, Field(max_length=1000)]
RowId = Annotated[int, Field(ge=1, le=MAX_ID)]


class Asked(BaseModel):
    """What a request says."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Told(BaseModel):
    """What an answer says."""

    model_config = ConfigDict(from_attributes=True)


class Lookup(Asked):
    """One address, in the body: never in a URL, which ends up in logs."""

    address: AddressText


class Withdrawal(Asked):
    """Somebody left `stream`, or with `everything` all bulk mail of `sender`."""

    address: AddressText
    stream: Name | None = None
    everything: bool = False
    sender: Name | None = None
    at: Time | None = None
    note: Note = ""


class WithdrawalTold(Told):
    """What became of one withdrawal: `withdrawn`, `known` (on record already) or `refused`."""

    address: str
    stream: str
    sender: str
    status: str
    detail: str = ""


class Consent(Asked):
    """Somebody agreed. `explanation` says how somebody who had left came back (HR-4)."""

    address: AddressText
    stream: Name
    source: Name
    basis: Name
    at: Time
    text_version: Word = ""
    confirmed_at: Time | None = None
    last_activity_at: Time | None = None
    url: Word = ""
    ip: Annotated[str, Field(max_length=100)] = ""
    user_agent: Word = ""
    categories: Annotated[list[Name], Field(max_length=100)] = []
    bought: bool = False
    informed: bool = False
    could_decline: bool = False
    explanation: Note = ""
    note: Note = ""


class ConsentTold(Told):
    """What was recorded, and what would become of a mail of the stream now."""

    address: str
    kind: str
    stream: str
    sender: str
    basis: str
    at: Moment
    known: bool
    verdict: str
    reason: str
    since: Moment | None


class Standing(Told):
    """What the ledger says for one stream."""

    model_config = ConfigDict(extra="allow")

    stream: str
    sender: str
    state: str
    basis: str
    since: Moment | None
    verdict: str
    reason: str
    confirmed_at: Moment | None = None
    withdrawn_at: Moment | None = None


class SuppressionTold(Told):
    """One suppression in force; sender "*" is every sender."""

    sender: str
    scope: str
    reason: str
    since: Moment


class Record(Told):
    """What is on record of an address, as `gatepost consent show --json` has it."""

    address: str
    subject: str
    erased_at: Moment | None
    standings: list[Standing]
    events: list[Mapping[str, Any]]
    suppressions: list[SuppressionTold]


class AudienceCheck(Asked):
    """The question who of these would get a mail of `stream` now."""

    stream: Name
    addresses: Annotated[list[Annotated[str, Field(max_length=1000)]], Field(max_length=MOST_ITEMS)]


class Judged(Told):
    """One address; verdict `invalid` for what is no address."""

    address: str
    verdict: str
    reason: str
    since: Moment | None


class Suppression(Asked):
    """An address that a sender ("*": every sender) must not mail."""

    address: AddressText
    sender: Name | None = None
    scope: Annotated[str, Field(pattern="^(all|bulk)$")] = "all"
    reason: Annotated[
        str, Field(pattern="^(manual|hard-bounce|soft-bounces|complaint|unsubscribed)$")
    ] = "manual"
    note: Note = ""


class SuppressionAdded(Told):
    """What became of one: `suppressed`, `known` (in force already) or `refused`."""

    address: str
    sender: str
    scope: str
    reason: str
    status: str
    detail: str = ""


class SuppressionRow(SuppressionTold):
    """One suppression in force, and whose; the address is "" after erasure."""

    address: str


class SuppressionLookup(Lookup):
    """The suppressions of one address."""

    sender: Name | None = None


class SuppressionLifting(SuppressionLookup):
    """What to lift."""

    scope: Annotated[str, Field(pattern="^(all|bulk)$")] | None = None
    note: Note = ""


class Kept(SuppressionTold):
    """A suppression that nobody but the person can lift, and why."""

    why: str


class Lifted(Told):
    """What was lifted, and what stays."""

    lifted: list[SuppressionTold]
    kept: list[Kept]


class CampaignFacts(Told):
    """One campaign with its counts."""

    id: int
    name: str
    stream: str
    client: str
    sender: str
    started_at: Moment
    last_submission_at: Moment
    stopped_at: Moment | None
    stopped_note: str
    verdicts: Mapping[str, int]
    reasons: Mapping[str, int]
    outcomes: Mapping[str, int]


class Campaign(CampaignFacts):
    """One campaign of a list; `recipients` is how many."""

    recipients: int


class CampaignRecipient(Told):
    """One recipient of a campaign."""

    id: int
    recipient: str
    verdict: str
    reason: str
    since: Moment | None
    state: str
    attempts: int
    last_reply: str


class CampaignShown(CampaignFacts):
    """One campaign with a page of its recipients."""

    recipient_count: int
    recipients: list[CampaignRecipient]


class Stop(Asked):
    """Ends what is queued of a campaign."""

    note: Note = ""


class Stopped(Told):
    """How many queued copies will not be sent."""

    id: int
    ended: int


class Held(Told):
    """One recipient in quarantine."""

    id: int
    recipient: str
    stream: str
    reason: str
    held_at: Moment
    expires_at: Moment | None
    submission: str
    sender: str
    client: str
    header_from: str
    message_subject: str


class Release(Asked):
    """Lets held mail go out, on the responsibility of whoever gives the reason."""

    ids: Annotated[list[RowId], Field(min_length=1, max_length=MOST_IDS)]
    reason: Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")]


class Deletion(Asked):
    """Drops held mail for good."""

    ids: Annotated[list[RowId], Field(min_length=1, max_length=MOST_IDS)]
    note: Note = ""


class Changed(Told):
    """Which were changed, and which are not in quarantine."""

    changed: list[int]
    not_held: list[int]
