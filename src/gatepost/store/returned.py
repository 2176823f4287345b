"""What came back, recorded: bounces, complaints and unsubscribe mails, each once.

In: the subject and sender that a verified token named, and what was recognised. Out: what was
made of it. Run inside a writing transaction, so that fact and suppression are one commit.

The same copy counts once, however often its bounce or complaint comes, unless who complained
came back since. Soft bounces count
from the last sign that the address works: an act of the recipient that takes a mail to have
arrived (a confirmation, a click, a withdrawal, a complaint, coming back), or the lifting of a
suppression by staff. When `limit` of them stand in a row, the address is suppressed.

*Fails:* `UnknownSubject` for a token of another store.
*Known limits:* a delivery is no sign of life, because upstream takes mail for addresses that
bounce later; somebody who never clicks is suppressed by `limit` soft bounces over any time.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from gatepost.consent.evidence import EventKind, Fact
from gatepost.consent.leaving import has_left
from gatepost.feedback.bounces import Severity
from gatepost.store import people, subjects
from gatepost.store.ids import to_text
from gatepost.store.people import UnknownSubject
from gatepost.store.transaction import Tx

HARD_BOUNCE = "hard-bounce"
SOFT_BOUNCES = "soft-bounces"

_SIGNS_OF_LIFE = frozenset({
    EventKind.CONFIRMED, EventKind.ENGAGED, EventKind.RESUBSCRIBED, EventKind.WITHDRAWN,
    EventKind.COMPLAINED,
})  # fmt: skip
_RETURNS = frozenset({EventKind.CONFIRMED, EventKind.RESUBSCRIBED})
METHOD = "feedback"
TOLD_A_DAY = 5  # withdrawals of one person that are answered


class Made(StrEnum):
    """What was made of something that came back."""

    SUPPRESSED = "suppressed"
    COUNTED = "counted"
    WITHDRAWN = "withdrawn"
    KNOWN = "known"  # it was on record already
    IGNORED = "ignored"  # it says nothing about the address


@dataclass(frozen=True, slots=True)
class Copy:
    """The copy that something came back for, as its token names it."""

    subject: int
    sender: str
    submission: int

    @property
    def reference(self) -> str:
        """The submission as facts name it."""
        return to_text(self.submission) if self.submission else ""


def record_bounce(tx: Tx, copy: Copy, severity: Severity, words: str, limit: int) -> Made:
    """Records a bounce of `copy`; `words` is the report's reason."""
    if severity not in {Severity.HARD, Severity.SOFT}:
        return Made.IGNORED
    facts = _history(tx, copy)
    hard = severity is Severity.HARD
    if any(not hard or fact.suppression == HARD_BOUNCE for fact in _about(copy, facts)):
        return Made.KNOWN
    in_a_row = _bounces_in_a_row(facts, copy.sender) + 1
    soft_reason = SOFT_BOUNCES if in_a_row >= limit else ""
    reason = HARD_BOUNCE if hard else soft_reason
    fact = Fact(
        kind=EventKind.BOUNCED,
        at=tx.now,
        sender=copy.sender,
        scope="all" if reason else "",
        suppression=reason,
        method=METHOD,
        note=f"{severity}: {words}" if words else severity.value,
        submission=copy.reference,
    )
    people.record_for_subject(tx, copy.subject, [fact])
    return Made.SUPPRESSED if reason else Made.COUNTED


def record_complaint(tx: Tx, copy: Copy, kind: str) -> Made:
    """Records a complaint about `copy`: no bulk mail of its sender any more (RA-3)."""
    if _has_complained(copy, _history(tx, copy)):
        return Made.KNOWN
    fact = Fact(
        kind=EventKind.COMPLAINED,
        at=tx.now,
        sender=copy.sender,
        actor="recipient",
        method=METHOD,
        note=kind,
        submission=copy.reference,
    )
    people.record_for_subject(tx, copy.subject, [fact])
    return Made.SUPPRESSED


def record_leaving(tx: Tx, copy: Copy, stream: str, method: str = "mailto") -> Made:
    """Records that the person left `stream` by mail; again is the same as once."""
    subjects.lock(tx, [copy.subject])
    person = people.look_up_subjects(tx, [copy.subject], stream, copy.sender).get(copy.subject)
    if person is None:
        raise UnknownSubject(f"no subject has the id {copy.subject}")
    if has_left(person):
        return Made.KNOWN
    fact = Fact(
        kind=EventKind.WITHDRAWN,
        at=tx.now,
        sender=copy.sender,
        stream=stream,
        actor="recipient",
        method=method,
        submission=copy.reference,
    )
    people.record_for_subject(tx, copy.subject, [fact])
    return Made.WITHDRAWN


def is_worth_telling(tx: Tx, subject: int) -> bool:
    """Whether the withdrawal just recorded is to be answered by a mail.

    Who leaves, comes back and leaves again all day would have us write to others all day: the
    envelope sender is anybody's, and the link may have been forwarded.
    """
    since = tx.now - timedelta(days=1)
    facts = [event.fact for event in people.history_of_subject(tx, subject).events if event.fact]
    left = [fact for fact in facts if fact.kind is EventKind.WITHDRAWN and fact.at > since]
    return sum(fact.actor == "recipient" for fact in left) <= TOLD_A_DAY


def _history(tx: Tx, copy: Copy) -> list[Fact]:
    """What is on record of the person, who is locked first, so that nobody counts meanwhile."""
    subjects.lock(tx, [copy.subject])
    events = people.history_of_subject(tx, copy.subject).events
    return [event.fact for event in events if event.fact]


def _has_complained(copy: Copy, facts: Iterable[Fact]) -> bool:
    """Whether a complaint about this very copy is on record, and the person not back since."""
    known = False
    for fact in facts:
        if fact.sender != copy.sender:
            continue
        if fact.kind is EventKind.COMPLAINED:
            known = known or fact.submission == copy.reference
        elif fact.kind in _RETURNS and fact.actor == "recipient":
            known = False
    return known


def _about(copy: Copy, facts: Iterable[Fact]) -> list[Fact]:
    """The bounces of this very copy that are on record."""
    return [
        fact
        for fact in facts
        if fact.kind is EventKind.BOUNCED
        and fact.sender == copy.sender
        and fact.submission == copy.reference
    ]


def _bounces_in_a_row(facts: Iterable[Fact], sender: str) -> int:
    """How many copies of this sender's mail bounced since the last sign of life."""
    copies: set[str] = set()
    for fact in facts:
        if fact.kind is EventKind.BOUNCED and fact.sender == sender:
            copies.add(fact.submission)
        elif (fact.kind is EventKind.SUPPRESSION_LIFTED and fact.sender == sender) or (
            fact.kind in _SIGNS_OF_LIFE and fact.actor == "recipient"
        ):
            copies.clear()
    return len(copies)
