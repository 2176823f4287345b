"""What is on record for one sender, person by person: for whoever takes the sender's data over.

In: a sender, and the last person of the slice before. Out: people with their events, standings
and suppressions of that sender, in the order of their ids.

*Fails:* whatever the database raises.
*Known limits:* each slice is a snapshot of its own; freeze the sender first, so that nothing
changes in between.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from sqlalchemy import bindparam, select

from gatepost.consent import fold as folding
from gatepost.consent.evidence import Fact
from gatepost.consent.standing import Standing
from gatepost.store import kept
from gatepost.store.hot import Row, compile_once
from gatepost.store.suppressions import Suppressed
from gatepost.store.tables.ledger import event, event_payload, standing, subject, suppression
from gatepost.store.times import from_ms
from gatepost.store.transaction import Tx

SLICE = 500
FIRST = -(1 << 63)

_PEOPLE = (
    select(subject.c.id, subject.c.address_hash, subject.c.address, subject.c.erased_ms)
    .where(subject.c.id > bindparam("mark"), subject.c.id != kept.NOBODY)
    .order_by(subject.c.id)
    .limit(SLICE)
)
_EVENTS = (
    select(
        event.c.subject,
        event.c.id,
        event.c.recorded_ms,
        event.c.block,
        event_payload.c.salt,
        event_payload.c.payload,
    )
    .select_from(event.join(event_payload, event_payload.c.event == event.c.id))
    .where(event.c.subject > bindparam("mark"), event.c.subject <= bindparam("last"))
    .order_by(event.c.subject, event.c.id)
)
_STANDINGS = (
    select(standing.c.subject, standing.c.stream, standing.c.state)
    .where(
        standing.c.subject > bindparam("mark"),
        standing.c.subject <= bindparam("last"),
        standing.c.sender == bindparam("of_sender"),
    )
    .order_by(standing.c.subject, standing.c.stream)
)
_SUPPRESSIONS = (
    select(suppression.c.subject, suppression.c.scope, suppression.c.reason, suppression.c.since_ms)
    .where(
        suppression.c.subject > bindparam("mark"),
        suppression.c.subject <= bindparam("last"),
        suppression.c.sender == bindparam("of_sender"),
        suppression.c.lifted_ms.is_(None),
    )
    .order_by(suppression.c.subject, suppression.c.scope, suppression.c.reason)
)


class Said(NamedTuple):
    """One event, with all that its commitment is computed from."""

    id: int
    recorded_at: datetime
    block: int | None
    salt: bytes
    payload: bytes
    fact: Fact


class Held(NamedTuple):
    """All that a sender holds of one person. `address` is "" after erasure."""

    subject: int
    address_hash: bytes
    address: str
    erased_at: datetime | None
    events: Sequence[Said]
    standings: Sequence[tuple[str, Standing]]
    suppressions: Sequence[Suppressed]


def next_people(tx: Tx, mark: int, sender: str) -> tuple[int | None, list[Held]]:
    """The next slice: the mark for the call after it (`None` at the end), and who is in it."""
    people = compile_once(_PEOPLE, tx.dialect).rows(tx, {"mark": mark})
    if not people:
        return None, []
    span = {"mark": mark, "last": people[-1][0], "of_sender": sender}
    events = _by_subject(compile_once(_EVENTS, tx.dialect).rows(tx, span))
    standings = _by_subject(compile_once(_STANDINGS, tx.dialect).rows(tx, span))
    suppressed = _by_subject(compile_once(_SUPPRESSIONS, tx.dialect).rows(tx, span))
    found = [
        Held(
            number,
            bytes(address_hash),
            address or "",
            None if erased_ms is None else from_ms(erased_ms),
            _events(events.get(number, ()), sender),
            [(row[1], folding.decode(row[2])) for row in standings.get(number, ())],
            [_suppressed(row, address or "", sender) for row in suppressed.get(number, ())],
        )
        for number, address_hash, address, erased_ms in people
    ]
    return span["last"], [one for one in found if one.events or one.standings or one.suppressions]


def _events(rows: Sequence[Row], sender: str) -> list[Said]:
    said = []
    for _, number, recorded_ms, block, salt, payload in rows:
        fact = Fact.from_payload(payload)
        if fact.sender == sender:
            said.append(
                Said(number, from_ms(recorded_ms), block, bytes(salt), bytes(payload), fact)
            )
    return said


def _suppressed(row: Row, address: str, sender: str) -> Suppressed:
    number, scope, reason, since_ms = row
    return Suppressed(
        subject=number,
        address=address,
        sender=sender,
        scope=scope,
        reason=reason,
        since=from_ms(since_ms),
    )


def _by_subject(rows: Sequence[Row]) -> Mapping[int, Sequence[Row]]:
    return {number: list(group) for number, group in groupby(rows, key=itemgetter(0))}
