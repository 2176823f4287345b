"""Whose evidence may go, and its going: always by an ERASED event that names rule and date.

People are looked at a page at a time by a reader, which keeps nobody waiting. Whoever seems due
is judged again in the transaction that erases them, with their row locked, so that a mail
or a consent which came in between is seen. Evidence before its date is never touched (JU-23).
Whoever is not due is told when to be looked at again (`looks`).

In: people, terms, bases, the store's clock. Out: `Judged` people; ERASED facts on record.
*Fails:* whatever the database raises.
*Known limits:* of people who may get no mail any more every fact is read at a look.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, bindparam, select

from gatepost.consent import fold as folding
from gatepost.consent.bases import Bases
from gatepost.consent.evidence import ALL, REST, EventKind, Fact
from gatepost.consent.retention import (
    FOREVER,
    REQUEST,
    UNCONFIRMED,
    Expiry,
    Terms,
    carries_mail_until,
    expiry,
)
from gatepost.store import people, subjects, uses
from gatepost.store.hot import compile_once
from gatepost.store.looks import Look
from gatepost.store.subjects import chunks
from gatepost.store.tables.ledger import event, event_payload, standing, subject, suppression
from gatepost.store.tables.uses import consent_use
from gatepost.store.times import from_ms, to_ms
from gatepost.store.transaction import Tx

SLICE = 150  # people who are erased in one transaction, which takes 50 ms

_e, _p, _s, _u = event.c, event_payload.c, subject.c, consent_use.c
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_ERASURES = select(_s.id, _s.erased_ms).where(_s.id.in_(_IDS), _s.erased_ms.is_not(None))
_STOPS = select(suppression.c.subject, suppression.c.sender, suppression.c.since_ms).where(
    suppression.c.subject.in_(_IDS), suppression.c.lifted_ms.is_(None)
)
_STANDINGS = select(standing.c.subject, standing.c.sender, standing.c.state).where(
    standing.c.subject.in_(_IDS)
)


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


@dataclass(frozen=True, slots=True)
class Judged:
    """Whose evidence may go now, and when to look at some of the others.

    Who is in neither has no evidence, or a consent that only something new can end.
    """

    due: Sequence[Due]
    looks: Sequence[Look]


def judge(tx: Tx, ids: Sequence[int], terms: Terms, bases: Bases) -> Judged:
    """Those among `ids` whose evidence may go now, and when to look at the others again."""
    until = _in_force(tx, ids, bases, None)
    looks = [Look(to_ms(end), number) for number, end in until.items() if end != FOREVER]
    facts = _facts(tx, [number for number in ids if number not in until])
    unused = {
        number: found
        for number, known in facts.items()
        if (found := expiry(known, None, terms)) is not None
    }
    # Mail can only put the date off, unless nothing but a request is known.
    ripe = [n for n, found in unused.items() if found.due <= tx.now or found.rule == UNCONFIRMED]
    last = _last_used(tx, ripe)
    due: list[Due] = []
    for number, found in unused.items():
        now = expiry(facts[number], last.get(number), terms) or found
        if now.due <= tx.now:
            due.append(Due(number, now, _has_asked(facts[number])))
        else:
            looks.append(Look(to_ms(now.due), number))
    return Judged(due, looks)


def kept_until(tx: Tx, number: int, terms: Terms, bases: Bases, at: datetime) -> Kept:
    """What keeps the evidence about one person, if they ask to be erased at `at`."""
    known = _facts(tx, [number]).get(number)
    if known is None:
        return Kept(None, in_force=False)
    last = _last_used(tx, [number]).get(number)
    return Kept(expiry(known, last, terms), number in _in_force(tx, [number], bases, at))


def erase_due(tx: Tx, ids: Sequence[int], terms: Terms, bases: Bases) -> Judged:
    """Erases those among `ids` who are due in this very transaction; who they were."""
    subjects.lock(tx, ids)
    judged = judge(tx, ids, terms, bases)
    people.record_for_subjects(
        tx,
        [(one.subject, erasure(tx.now, one.rule, ALL, one.expiry.due)) for one in judged.due],
    )
    forget_uses(tx, [one.subject for one in judged.due])
    return judged


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


def _last_used(tx: Tx, ids: Sequence[int]) -> dict[int, datetime]:
    if not ids:
        return {}
    return {
        number: max(use.last for use in several)
        for number, several in uses.uses_of_many(tx, ids).items()
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


def _in_force(
    tx: Tx, ids: Sequence[int], bases: Bases, asked_at: datetime | None
) -> dict[int, datetime]:
    """Who has a grant that could carry mail, and until when."""
    ended: dict[tuple[int, str], list[datetime]] = defaultdict(list)
    found: dict[int, datetime] = {}
    erasures, stops, standings = (
        compile_once(one, tx.dialect) for one in (_ERASURES, _STOPS, _STANDINGS)
    )
    for chunk in chunks(ids):
        few = {"ids": chunk}
        erased = {number: from_ms(at) for number, at in erasures.rows(tx, few)}
        for number, sender, since_ms in stops.rows(tx, few):
            ended[number, sender].append(from_ms(since_ms))
        for number, sender, state in standings.rows(tx, few):
            ends = [*ended[number, sender], *ended[number, ""]]
            ends += [moment for moment in (erased.get(number), asked_at) if moment]
            end = carries_mail_until(folding.decode(state), ends, bases, tx.now)
            if end is not None:
                found[number] = max(end, found.get(number, end))
    return found


def _has_asked(facts: Sequence[Fact]) -> bool:
    """Whether the last erasure on record was at the person's request and spared the evidence."""
    erasures = [fact for fact in facts if fact.kind is EventKind.ERASED]
    return bool(erasures) and erasures[-1].extent == REST
