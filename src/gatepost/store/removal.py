"""Removal of a sender: what was held for it goes, and what others hold of the same people stays.

For each person an event says which earlier events were taken, by their ids (`took`), so that
`ledger verify` accepts exactly these gaps and no other. Their payloads and salts go, with them
what was derived from them. The address goes where nothing else was held of the person.

What protects people outlives the sender: suppressions, and that somebody left a stream, are
recorded again with nothing but scope, reason and time, under the keyed hash of the address.
Should the sender ever come back with an old list, nobody who left is mailed. `whole` removes
these, too.

In: a sender's name, people in slices. Out: counts.
*Fails:* whatever the database raises.
*Known limits:* rows of mail keep their own terms (`retention`); an erasure that asked for more
(`recording`) is not undone by a removal.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, delete, select, update

from gatepost.consent import fold as folding
from gatepost.consent.evidence import EventKind, Fact
from gatepost.store import kept, recording, subjects
from gatepost.store.events import Entry, insert_events
from gatepost.store.hot import compile_once
from gatepost.store.tables.complaints import complaint_case
from gatepost.store.tables.ledger import (
    consent_text,
    event,
    event_payload,
    picture,
    source,
    standing,
    subject,
    suppression,
)
from gatepost.store.tables.signups import signup, welcome
from gatepost.store.tables.uses import consent_use
from gatepost.store.times import from_ms
from gatepost.store.transaction import Tx

SLICE = 300  # people in one transaction: a running `serve` waits no longer than for these
RULE = "sender-removed"
FIRST = -(1 << 63)  # the mark to begin with

_NEXT = (
    select(subject.c.id)
    .where(subject.c.id > bindparam("mark"), subject.c.id != kept.NOBODY)
    .order_by(subject.c.id)
    .limit(SLICE)
)
_SAID = (
    select(event.c.subject, event.c.id, event_payload.c.payload)
    .select_from(event.join(event_payload, event_payload.c.event == event.c.id))
    .where(event.c.subject.in_(bindparam("subjects", expanding=True)))
    .order_by(event.c.id)
)
_LEFT = select(standing.c.subject, standing.c.stream, standing.c.state).where(
    standing.c.subject.in_(bindparam("subjects", expanding=True)),
    standing.c.sender == bindparam("of_sender"),
)
_SUPPRESSED = select(
    suppression.c.subject, suppression.c.scope, suppression.c.reason, suppression.c.since_ms
).where(
    suppression.c.subject.in_(bindparam("subjects", expanding=True)),
    suppression.c.sender == bindparam("of_sender"),
    suppression.c.lifted_ms.is_(None),
)
_FORGET_PAYLOADS = delete(event_payload).where(
    event_payload.c.event.in_(bindparam("events", expanding=True))
)
_FORGET_ADDRESS = (
    update(subject)
    .where(subject.c.id.in_(bindparam("subjects", expanding=True)))
    .values(address=None)
)
# What is no reason to keep an address.
_NO_REASON = frozenset({EventKind.SUPPRESSION_LIFTED, EventKind.ERASED})


class Slice(NamedTuple):
    """One slice: the last person of it (`None` after the end), and what was removed."""

    mark: int | None
    people: int = 0
    events: int = 0
    addresses: int = 0


class _Held(NamedTuple):
    """What is on record of one person: of the sender, and what stays."""

    mine: list[int]
    others: list[Fact]


def next_slice(tx: Tx, mark: int) -> list[int]:
    """The subjects that come after `mark`."""
    return [number for (number,) in compile_once(_NEXT, tx.dialect).rows(tx, {"mark": mark})]


def remove_slice(tx: Tx, mark: int, sender: str, *, whole: bool) -> Slice:
    """Removes what `sender` holds of the next people after `mark`."""
    ids = next_slice(tx, mark)
    if not ids:
        return Slice(None)
    held_of = _held(tx, ids, sender, whole=whole)
    found = {of: held for of, held in held_of.items() if held.mine}
    if not found:
        return Slice(ids[-1])
    locked = subjects.lock(tx, found)
    told = {} if whole else _again(tx, sorted(found), sender)
    again = {of: [fact for fact in told[of] if fact not in found[of].others] for of in told}
    alone = {of for of, held in found.items() if not any(map(_is_reason, held.others))}
    removals = [
        Entry(of, locked[of].address_hash, _removal(tx, sender, held.mine, alone=of in alone))
        for of, held in found.items()
    ]
    insert_events(tx, removals)
    taken = [number for held in found.values() for number in held.mine]
    for chunk in subjects.chunks(taken):
        compile_once(_FORGET_PAYLOADS, tx.dialect).execute(tx, {"events": chunk})
    for chunk in subjects.chunks(sorted(alone)):
        compile_once(_FORGET_ADDRESS, tx.dialect).execute(tx, {"subjects": chunk})
    for of, held in found.items():
        recording.forget_derived(tx, of)
        recording.derive(tx, [(of, fact) for fact in held.others])
    recording.record_for_subjects(tx, [(of, fact) for of in again for fact in again[of]])
    gone = sum(not locked[of].is_gone for of in alone)
    return Slice(ids[-1], len(found), len(taken), gone)


def remove_rest(tx: Tx, sender: str) -> int:
    """Removes the sender's sources and what counts its mail; how many sources these were."""
    names = list(
        tx.connection.execute(
            select(source.c.name).where(source.c.sender == sender).order_by(source.c.name)
        ).scalars()
    )
    for name in names:
        with kept.changing(tx, name):
            _remove_source(tx, name)
    for table in (consent_use, signup, welcome, complaint_case):
        tx.connection.execute(delete(table).where(table.c.sender == sender))
    return len(names)


def _remove_source(tx: Tx, name: str) -> None:
    number = select(source.c.id).where(source.c.name == name).scalar_subquery()
    texts = select(consent_text.c.id).where(consent_text.c.source == number)
    tx.connection.execute(delete(picture).where(picture.c.text.in_(texts)))
    tx.connection.execute(delete(consent_text).where(consent_text.c.source == number))
    tx.connection.execute(delete(source).where(source.c.name == name))


def _removal(tx: Tx, sender: str, taken: Sequence[int], *, alone: bool) -> Fact:
    return Fact(
        kind=EventKind.SENDER_REMOVED,
        at=tx.now,
        sender=sender,
        rule=RULE,
        scope="all" if alone else "",
        took=tuple(map(str, taken)),
        actor="staff",
        method="cli",
    )


def _held(tx: Tx, ids: Sequence[int], sender: str, *, whole: bool) -> dict[int, _Held]:
    found: dict[int, _Held] = {}
    for of, number, payload in compile_once(_SAID, tx.dialect).rows(tx, {"subjects": ids}):
        fact = Fact.from_payload(payload)
        held = found.setdefault(of, _Held([], []))
        if fact.kind is EventKind.SENDER_REMOVED:
            continue  # says what an earlier removal took, and must go on saying it
        is_mine = fact.sender == sender and fact.kind is not EventKind.ERASED
        if is_mine and (whole or fact != _bare(fact)):
            held.mine.append(number)
        else:
            held.others.append(fact)
    return found


def _bare(fact: Fact) -> Fact | None:
    """What is told of such a fact after a removal; `None` for what is not told any more."""
    match fact.kind:
        case EventKind.WITHDRAWN:
            return Fact(kind=fact.kind, at=fact.at, sender=fact.sender, stream=fact.stream)
        case EventKind.SUPPRESSED:
            return Fact(
                kind=fact.kind,
                at=fact.at,
                sender=fact.sender,
                scope=fact.scope,
                suppression=fact.suppression,
            )
        case _:
            return None


def _is_reason(fact: Fact) -> bool:
    """Whether somebody still needs the address: they hold more than that it must not be mailed."""
    return fact.kind not in _NO_REASON and fact != _bare(fact)


def _again(tx: Tx, ids: Sequence[int], sender: str) -> dict[int, list[Fact]]:
    """What is to be told anew, with nothing about the person."""
    found: dict[int, list[Fact]] = {}
    wanted = {"subjects": ids, "of_sender": sender}
    for of, stream, state in compile_once(_LEFT, tx.dialect).rows(tx, wanted):
        left = folding.decode(state).withdrawn_at
        if left is not None:
            fact = Fact(kind=EventKind.WITHDRAWN, at=left, sender=sender, stream=stream)
            found.setdefault(of, []).append(fact)
    for of, scope, reason, since_ms in compile_once(_SUPPRESSED, tx.dialect).rows(tx, wanted):
        fact = Fact(
            kind=EventKind.SUPPRESSED,
            at=from_ms(since_ms),
            sender=sender,
            scope=scope,
            suppression=reason,
        )
        found.setdefault(of, []).append(fact)
    return found
