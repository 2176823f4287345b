"""The dossier: everything on record about one address, put together so that it proves something.

In: what the store holds of a person: events, the texts and sources they refer to, mail sent,
suppressions. Out: a `Dossier`, whose `consents` are the acts by which the person agreed, each
with its confirmations, its wording and the mail that was sent on it. `questions` answers what
an authority or a complaint asks about one of them.

A dossier leaves nothing out in silence: what is not recorded is there as `None`, and whoever
prints it says so.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gatepost.consent.bases import TWO_YEARS
from gatepost.consent.evidence import EventKind, Fact
from gatepost.mail.duration import Duration

_AGREED = frozenset(
    {EventKind.GRANTED, EventKind.REQUESTED, EventKind.TRANSFERRED, EventKind.RESUBSCRIBED}
)


class Seal(StrEnum):
    """Whether the ledger's chain vouches for an event."""

    HOLDS = "holds"  # its block and every link of the chain up to it compute
    WAITING = "waiting"  # recorded, not sealed into a block yet
    BROKEN = "broken"  # the event, its block or a link before it was changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of a text as it was shown."""

    name: str
    media_type: str
    sha256: str
    added_at: datetime
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """One version of a consent text, exactly as shown, with what was warranted about it.

    `accepted_lint` says why a text was taken into use although the lint of texts minded it.
    """

    source: str
    version: str
    language: str
    body: str
    sha256: str
    attested: tuple[tuple[str, bool], ...]
    is_valid: bool
    accepted_lint: str
    created_at: datetime
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A source: where consent was collected. `attested_*` belong to a reconstructed one."""

    name: str
    sender: str
    kind: str
    description: str
    url: str
    channel: str
    streams: tuple[str, ...]
    categories: tuple[str, ...]
    reconstructed: bool
    attested_by: str
    attested_why: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event. `fact` is `None` where what it said has been erased."""

    id: int
    kind: EventKind
    recorded_at: datetime
    fact: Fact | None
    block: int | None
    seal: Seal


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Mail of one stream on one consent, counted. `since` is when that consent took effect."""

    stream: str
    sender: str
    since: datetime
    first: datetime
    last: datetime
    copies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One mail that came for the person lately, and what became of it.

    `since` is when the consent took effect that the mail rests on; `None` where it rests on none.
    """

    at: datetime
    stream: str
    sender: str
    subject: str
    campaign: str
    outcome: str
    reason: str
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """A suppression in force; sender "" means every sender."""

    sender: str
    scope: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What would become of a bulk mail of one stream now."""

    stream: str
    title: str
    disposition: str
    reason: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Consent:
    """One act by which the person agreed, and all that belongs to it.

    `confirmations` are the acts of confirming (double opt-in), `returns` bare acts of coming
    back to it, `withdrawals` those of the same stream, or of everything, after it.
    """

    entry: Entry
    fact: Fact
    confirmations: tuple[Entry, ...]
    returns: tuple[Entry, ...]
    withdrawals: tuple[Entry, ...]
    welcomes: tuple[Entry, ...]
    place: Place | None
    wording: Wording | None
    uses: tuple[Use, ...]
    sent: tuple[Sent, ...]

    @property
    def confirmed_at(self) -> datetime | None:
        """When it was confirmed, if it was: double opt-in."""
        told = [self.fact.confirmed_at, *(_at(one) for one in self.confirmations)]
        if self.fact.basis == "double-opt-in" and self.fact.kind is EventKind.GRANTED:
            told.append(self.fact.at)
        return max((moment for moment in told if moment), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """Everything on record about one address, or what of it concerns one sender.

    `subject` is "" for somebody the ledger has never met; `sender` is "" where the dossier
    is about all of them. `left_out` counts events whose content is erased, so that nobody can
    say whether they concern that sender. `head` is height and digest of the chain's last block.
    """

    address: str
    subject: str
    sender: str
    made_at: datetime
    known_since: datetime | None
    erased_at: datetime | None
    entries: tuple[Entry, ...] = ()
    wordings: tuple[Wording, ...] = ()
    places: tuple[Place, ...] = ()
    uses: tuple[Use, ...] = ()
    sent: tuple[Sent, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    outlooks: tuple[Outlook, ...] = ()
    left_out: int = 0
    head: tuple[int, str] = (0, "")
    kept_for: Duration = TWO_YEARS

    @property
    def is_known(self) -> bool:
        """Whether anything at all is held about the address."""
        return bool(self.subject)

    @property
    def is_intact(self) -> bool:
        """Whether the chain vouches for every event that is sealed."""
        return all(entry.seal is not Seal.BROKEN for entry in self.entries)

    @property
    def erasures(self) -> tuple[Fact, ...]:
        """What was erased when, and by which rule."""
        return tuple(one.fact for one in self.entries if one.fact and one.kind is EventKind.ERASED)

    @property
    def consents(self) -> tuple[Consent, ...]:
        """Every act of agreeing whose content is still there, in the order of the acts."""
        agreed = [one for one in self.entries if one.fact and _is_agreement(one.fact)]
        agreed.sort(key=lambda one: (_at(one) or one.recorded_at, one.id))
        return tuple(_consent(self, one, one.fact) for one in agreed if one.fact)

    @property
    def loose_uses(self) -> tuple[Use, ...]:
        """Mail whose consent is not on record any more."""
        carried = {use for consent in self.consents for use in consent.uses}
        return tuple(use for use in self.uses if use not in carried)

    @property
    def other_mail(self) -> tuple[Sent, ...]:
        """Mail that rests on no consent on record: transactional, refused, or older than it."""
        carried = {one for consent in self.consents for one in consent.sent}
        return tuple(one for one in self.sent if one not in carried)


def _is_agreement(fact: Fact) -> bool:
    """Whether a fact says to what the person agreed; a bare act refers to one that does."""
    return fact.kind in _AGREED and bool(fact.basis or fact.kind is not EventKind.RESUBSCRIBED)


def _consent(dossier: Dossier, entry: Entry, fact: Fact) -> Consent:
    later = [one for one in dossier.entries if one.fact and one.fact.at >= fact.at]
    confirmations = _acts(later, EventKind.CONFIRMED, fact)
    returns = tuple(
        one
        for one in _acts(later, EventKind.RESUBSCRIBED, fact)
        if one.fact and not one.fact.basis and one.id != entry.id
    )
    moments = {fact.at, fact.confirmed_at} | {_at(one) for one in (*confirmations, *returns)}
    moments.discard(None)
    return Consent(
        entry=entry,
        fact=fact,
        confirmations=confirmations,
        returns=returns,
        withdrawals=tuple(one for one in later if _leaves(one, fact)),
        welcomes=tuple(one for one in later if _is_about(one, EventKind.WELCOMED, fact)),
        place=next((one for one in dossier.places if one.name == fact.source), None),
        wording=next(
            (
                one
                for one in dossier.wordings
                if (one.source, one.version) == (fact.source, fact.text_version)
            ),
            None,
        ),
        uses=tuple(u for u in dossier.uses if u.stream == fact.stream and u.since in moments),
        sent=tuple(s for s in dossier.sent if s.stream == fact.stream and s.since in moments),
    )


def _acts(entries: list[Entry], kind: EventKind, fact: Fact) -> tuple[Entry, ...]:
    """Acts of `kind` that refer to `fact`: of the same source, or naming none."""
    return tuple(
        one
        for one in entries
        if _is_about(one, kind, fact)
        and one.fact
        and one.fact.source in ("", fact.source)
        and (kind is not EventKind.CONFIRMED or not one.fact.basis or _is_requested(fact))
    )


def _is_requested(fact: Fact) -> bool:
    return fact.kind is EventKind.REQUESTED


def _is_about(entry: Entry, kind: EventKind, fact: Fact) -> bool:
    said = entry.fact
    if said is None or said.kind is not kind:
        return False
    return (said.sender, said.stream) == (fact.sender, fact.stream)


def _leaves(entry: Entry, fact: Fact) -> bool:
    said = entry.fact
    if said is None or said.kind is not EventKind.WITHDRAWN or said.sender != fact.sender:
        return False
    return said.stream in ("", fact.stream)


def _at(entry: Entry) -> datetime | None:
    return entry.fact.at if entry.fact else None
