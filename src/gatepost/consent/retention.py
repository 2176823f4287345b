"""When the evidence about a person may go: the third of three clocks (X2).

The relation clock ends a consent (`bases`), the engagement clock makes it dormant (a stream's
`max_inactive`), and this one says how long the proof is kept after that: two years or more
from the last mail sent on the consent, its withdrawal or its giving, whatever came last
(JU-23, B1). None of them starts, stops or shortens another.

A person is judged as a whole, by the latest of all that is on record of them: one consent can
rest on another, and a proof with holes proves little. While any grant could still carry mail,
everything stays. A request that was never confirmed is no consent and has a shorter term.

In: facts, the last use, standings. Out: moments, and yes or no.
*Fails:* never.
*Known limits:* whoever asked to be erased and came back of their own accord is kept as long as
the new consent needs it, with what was kept before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gatepost.consent.bases import Bases, Basis, Strength
from gatepost.consent.evidence import EVIDENCE_KINDS, EventKind, Fact, TextState
from gatepost.consent.standing import Grant, Standing
from gatepost.mail.duration import Duration

FOREVER = datetime.max.replace(tzinfo=UTC)
_ASKING = frozenset({EventKind.REQUESTED, EventKind.TEXT_SHOWN})
# A complaint ends a consent as a withdrawal does, and is when its proof is wanted most.
_COUNTING = EVIDENCE_KINDS | {EventKind.COMPLAINED}


@dataclass(frozen=True, slots=True)
class Terms:
    """How long evidence is kept, and how long a request that nobody confirmed."""

    evidence: Duration
    unconfirmed: Duration


@dataclass(frozen=True, slots=True)
class Expiry:
    """When the evidence about a person may go, and by which rule."""

    due: datetime
    rule: str


EVIDENCE_TERM = "evidence-term"
UNCONFIRMED = "unconfirmed"
REQUEST = "request"


def expiry(facts: Iterable[Fact], last_used: datetime | None, terms: Terms) -> Expiry | None:
    """When what `facts` prove need not be kept any longer; `None` if they prove nothing.

    `last_used` is when the last mail was sent on any of the consents. The answer does not look
    at whether a consent is still in force (`can_carry_mail`).
    """
    counting = [fact for fact in facts if fact.kind in _COUNTING]
    if not any(fact.kind in EVIDENCE_KINDS for fact in counting):
        return None
    last = max(_time_of(fact) for fact in counting)
    if last_used is None and all(fact.kind in _ASKING for fact in counting):
        return Expiry(terms.unconfirmed.after(last), UNCONFIRMED)
    return Expiry(terms.evidence.after(max(last, last_used or last)), EVIDENCE_TERM)


def can_carry_mail(
    standing: Standing, ended: Sequence[datetime], bases: Bases, now: datetime
) -> bool:
    """Whether any grant of a standing could carry bulk mail, now or later."""
    return carries_mail_until(standing, ended, bases, now) is not None


def carries_mail_until(
    standing: Standing, ended: Sequence[datetime], bases: Bases, now: datetime
) -> datetime | None:
    """Until when some grant of a standing could carry bulk mail; `None` if none can now.

    `FOREVER` where no time ends it, but only what is still to be recorded. `ended` are the times
    of suppressions and of an erasure: grants must be newer. Whoever is in doubt keeps the
    evidence: what a stream demands beyond the law is not looked at.
    """
    floor = max([*ended, *([standing.withdrawn_at] if standing.withdrawn_at else [])], default=None)
    ends = [
        _end_of(grant, standing, bases.find(grant.basis))
        for grant in standing.evidence()
        if (floor is None or grant.effective_at > floor) and _counts(grant, bases.find(grant.basis))
    ]
    return max((end for end in ends if end is not None and now < end), default=None)


def _time_of(fact: Fact) -> datetime:
    return max(fact.at, fact.confirmed_at or fact.at)


def _counts(grant: Grant, basis: Basis | None) -> bool:
    if basis is None or basis.never_counts or grant.pending:
        return False
    if grant.text_state is TextState.INVALID:
        return False
    return not (basis.strength is Strength.EXPLICIT and grant.text_state is TextState.NONE)


def _end_of(grant: Grant, standing: Standing, basis: Basis | None) -> datetime | None:
    """When the time of a grant is over; `None` where it has not begun."""
    if basis is None or basis.lifetime is None:
        return FOREVER
    start: datetime | None = grant.at
    if basis.while_active:
        uses = [standing.active_at, *(one.last_activity_at for one in standing.grants)]
        start = max((use for use in uses if use), default=None)
    elif grant.ends_at is not None:
        start = max(grant.at, grant.ends_at)
    elif basis.strength is Strength.EXPLICIT:
        start = grant.effective_at
    return None if start is None else basis.lifetime.after(start)
