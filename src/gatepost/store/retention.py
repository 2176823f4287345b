"""Whose evidence may go, and its going: always by an ERASED event that names rule and date.

People are looked at a page at a time by a reader, which keeps nobody waiting. Whoever seems due
is judged again in the transaction that erases them, with their row locked, so that a mail
or a consent which came in between is seen. Evidence before its date is never touched (JU-23).

In: terms, bases, the store's clock. Out: `Due` people; ERASED facts on record.
*Fails:* whatever the database raises.
*Known limits:* a page of people who were mailed lately costs a look at their uses; of all
others every fact is read each time.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, func, select, update

from gatepost.consent import fold as folding
from gatepost.consent.bases import Bases
from gatepost.consent.evidence import ALL, EVIDENCE_KINDS, REST, EventKind, Fact
from gatepost.consent.retention import REQUEST, Expiry, Terms, can_carry_mail, expiry
from gatepost.store import people, subjects, uses
from gatepost.store.subjects import chunks
from gatepost.store.tables.ledger import event, event_payload, standing, subject, suppression
from gatepost.store.tables.mail import recipient
from gatepost.store.tables.uses import consent_use
from gatepost.store.times import from_ms, to_ms
from gatepost.store.transaction import Tx

PAGE = 500  # people who are judged together

_e, _p, _s, _u = event.c, event_payload.c, subject.c, consent_use.c
_EVIDENCE = tuple(kind.value for kind in sorted(EVIDENCE_KINDS))


@dataclass(frozen=True, slots=True)
class Due:
    """A person whose evidence may go. `asked` says that they asked to be erased."""

    subject: int
    expiry: Expiry
    asked: bool

    @property
    def rule(self) -> str:
        """The rule by which they are erased."""
        return REQUEST if self.asked else self.expiry.rule


@dataclass(frozen=True, slots=True)
class Kept:
    """What keeps the evidence about a person, and until when.

    `expiry` is `None` where there is no evidence; `in_force` says that a consent could still
    carry mail, were it not for an erasure: then there is no date yet.
    """

    expiry: Expiry | None
    in_force: bool


def find_due(tx: Tx, terms: Terms, bases: Bases, after: int) -> tuple[int, list[Due]]:
    """The people due among the next page, and where the page after it begins (0: none)."""
    mailed_since = to_ms(terms.evidence.before(tx.now))
    lately = exists().where(_u.subject == _s.id, _u.last_ms > mailed_since)
    proven = exists().where(_e.subject == _s.id, _e.kind.in_(_EVIDENCE), _p.event == _e.id)
    page = list(
        tx.connection.execute(
            select(_s.id).where(_s.id > after).order_by(_s.id).limit(PAGE * 4)
        ).scalars()
    )
    if not page:
        return 0, []
    candidates = select(_s.id).where(_s.id.between(page[0], page[-1]), proven, ~lately)
    return page[-1], judge(tx, tx.connection.execute(candidates).scalars().all(), terms, bases)


def judge(tx: Tx, ids: Sequence[int], terms: Terms, bases: Bases) -> list[Due]:
    """Those among `ids` whose evidence may go now."""
    return [
        Due(number, kept.expiry, asked)
        for number, (kept, asked) in _look_at(tx, ids, terms, bases).items()
        if kept.expiry is not None and not kept.in_force and kept.expiry.due <= tx.now
    ]


def kept_until(tx: Tx, number: int, terms: Terms, bases: Bases, at: datetime) -> Kept:
    """What keeps the evidence about one person, if they ask to be erased at `at`."""
    found = _look_at(tx, [number], terms, bases, asked_at=at)
    return found[number][0] if number in found else Kept(None, in_force=False)


def erase_due(tx: Tx, ids: Sequence[int], terms: Terms, bases: Bases) -> list[Due]:
    """Erases those among `ids` who are due in this very transaction; who they were."""
    subjects.lock(tx, ids)
    due = judge(tx, ids, terms, bases)
    people.record_for_subjects(
        tx, [(one.subject, erasure(tx.now, one.rule, ALL, one.expiry.due)) for one in due]
    )
    forget_uses(tx, [one.subject for one in due])
    return due


def erasure(at: datetime, rule: str, extent: str, due: datetime | None, note: str = "") -> Fact:
    """The fact that somebody is erased."""
    asked = rule == REQUEST and extent == REST
    return Fact(
        kind=EventKind.ERASED,
        at=at,
        rule=rule,
        extent=extent,
        due=due,
        actor="staff" if asked else "system",
        method="cli" if asked else "",
        note=note,
    )


def forget_uses(tx: Tx, ids: Sequence[int]) -> None:
    """Removes the uses of the consents of erased people."""
    for chunk in chunks(ids):
        tx.connection.execute(consent_use.delete().where(_u.subject.in_(chunk)))


def forget_strangers(tx: Tx, before: datetime, limit: int = PAGE) -> int:
    """Blanks addresses of subjects of whom nothing is on record; how many. Their links work on.

    Mail to a stranger may need a subject for its links; without an event, its only trace is
    the address.
    """
    idle = select(_s.id).where(_is_idle(before)).limit(limit)
    ids = list(tx.connection.execute(idle).scalars())
    if ids:
        tx.connection.execute(update(subject).where(_s.id.in_(ids)).values(address=None))
    return len(ids)


def count_strangers(tx: Tx, before: datetime) -> int:
    """How many addresses `forget_strangers` would blank now."""
    query = select(func.count()).where(_is_idle(before))
    return int(tx.connection.execute(query).scalar_one())


def _is_idle(before: datetime) -> ColumnElement[bool]:
    waiting = exists().where(recipient.c.finished_ms.is_(None), recipient.c.subject == _s.id)
    return and_(
        _s.address.is_not(None),
        _s.created_ms < to_ms(before),
        ~exists().where(_e.subject == _s.id),
        ~waiting,
    )


def _look_at(
    tx: Tx, ids: Sequence[int], terms: Terms, bases: Bases, asked_at: datetime | None = None
) -> dict[int, tuple[Kept, bool]]:
    """What keeps each of these people's evidence, and whether they asked to be erased."""
    if not ids:
        return {}
    facts = _facts(tx, ids)
    last = {
        number: max(use.last for use in several)
        for number, several in uses.uses_of_many(tx, ids).items()
    }
    in_force = _in_force(tx, ids, bases, asked_at)
    return {
        number: (
            Kept(expiry(known, last.get(number), terms), number in in_force),
            _has_asked(known),
        )
        for number, known in facts.items()
    }


def _facts(tx: Tx, ids: Sequence[int]) -> dict[int, list[Fact]]:
    found: dict[int, list[Fact]] = defaultdict(list)
    for chunk in chunks(ids):
        query = (
            select(_e.subject, _p.payload)
            .join_from(event, event_payload, _p.event == _e.id)
            .where(_e.subject.in_(chunk))
            .order_by(_e.subject, _e.id)
        )
        for number, payload in tx.connection.execute(query):
            found[number].append(Fact.from_payload(payload))
    return found


def _in_force(tx: Tx, ids: Sequence[int], bases: Bases, asked_at: datetime | None) -> set[int]:
    """Who has a grant that could carry mail."""
    ended: dict[tuple[int, str], list[datetime]] = defaultdict(list)
    found: set[int] = set()
    for chunk in chunks(ids):
        gone = select(_s.id, _s.erased_ms).where(_s.id.in_(chunk), _s.erased_ms.is_not(None))
        erased = {number: from_ms(at) for number, at in tx.connection.execute(gone)}
        c = suppression.c
        stopped = select(c.subject, c.sender, c.since_ms).where(
            and_(c.subject.in_(chunk), c.lifted_ms.is_(None))
        )
        for number, sender, since_ms in tx.connection.execute(stopped):
            ended[number, sender].append(from_ms(since_ms))
        query = select(standing.c.subject, standing.c.sender, standing.c.state).where(
            standing.c.subject.in_(chunk)
        )
        for number, sender, state in tx.connection.execute(query):
            ends = [*ended[number, sender], *ended[number, ""]]
            ends += [moment for moment in (erased.get(number), asked_at) if moment]
            if can_carry_mail(folding.decode(state), ends, bases, tx.now):
                found.add(number)
    return found


def _has_asked(facts: Sequence[Fact]) -> bool:
    """Whether the last erasure on record was at the person's request and spared the evidence."""
    erasures = [fact for fact in facts if fact.kind is EventKind.ERASED]
    return bool(erasures) and erasures[-1].extent == REST
