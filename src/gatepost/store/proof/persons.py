"""Persons: whether addresses, erasures, standings and suppressions are what the events say.

An erasure leaves gaps that only it explains: here every payload that is gone must have one
that covers its kind, recorded later; and every payload that one covers must be gone. What is
derived (standings, suppressions, when somebody was erased) is derived anew and compared.

In: a snapshot, and the last subject of the slice before. Out: findings of the next slice.

*Fails:* whatever the database raises.
*Known limits:* after an upgrade that teaches standings something new, old ones differ until
`gatepost ledger rebuild` has brought them up to date.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, select

from gatepost.consent import fold as folding
from gatepost.consent.evidence import REST, EventKind, Fact
from gatepost.consent.standing import NOTHING_KNOWN, Standing
from gatepost.mail.address import AddressError, parse
from gatepost.store.hot import Row, compile_once
from gatepost.store.kept import NOBODY
from gatepost.store.proof.findings import UNREADABLE, Finding, readable
from gatepost.store.recording import COMING
from gatepost.store.suppressions import suppression_of
from gatepost.store.tables.ledger import event, event_payload, standing, subject, suppression
from gatepost.store.times import to_ms
from gatepost.store.transaction import Tx

SLICE = 500
_TAKING = frozenset({EventKind.ERASED, EventKind.SENDER_REMOVED})
FIRST_MARK = -(1 << 63)
DERIVED = "derived: "  # how findings begin that `gatepost ledger rebuild` repairs

_SUBJECTS = (
    select(subject.c.id, subject.c.address_hash, subject.c.address, subject.c.erased_ms)
    .where(subject.c.id > bindparam("mark"))
    .order_by(subject.c.id)
    .limit(SLICE)
)
_EVENTS = (
    select(event.c.subject, event.c.id, event.c.kind, event_payload.c.payload)
    .select_from(event.outerjoin(event_payload, event_payload.c.event == event.c.id))
    .where(event.c.subject > bindparam("mark"), event.c.subject <= bindparam("last"))
    .order_by(event.c.subject, event.c.id)
)
_STANDINGS = (
    select(
        standing.c.subject,
        standing.c.stream,
        standing.c.sender,
        standing.c.state,
        standing.c.withdrawn_ms,
    )
    .where(standing.c.subject > bindparam("mark"), standing.c.subject <= bindparam("last"))
    .order_by(standing.c.subject)
)
_SUPPRESSIONS = (
    select(
        suppression.c.subject,
        suppression.c.sender,
        suppression.c.scope,
        suppression.c.reason,
        suppression.c.since_ms,
        suppression.c.lifted_ms,
    )
    .where(suppression.c.subject > bindparam("mark"), suppression.c.subject <= bindparam("last"))
    .order_by(suppression.c.subject)
)
_ORPHANS = [
    (
        name,
        select(table.c.subject)
        .select_from(table.outerjoin(subject, subject.c.id == table.c.subject))
        .where(subject.c.id.is_(None))
        .distinct()
        .limit(1000),
    )
    for name, table in (("standing", standing), ("suppression", suppression))
]
_COUNT = select(func.count()).select_from(subject)


class Slice(NamedTuple):
    """What was found among some people; `mark` is the last of them, `None` after the end."""

    mark: int | None
    people: int
    findings: list[Finding]
    differing: list[int]  # whose derived rows are not what their events say


class Event(NamedTuple):
    """One event of a person; `fact` is `None` where the payload is gone."""

    id: int
    kind: str
    fact: Fact | None


class Derived(NamedTuple):
    """What somebody's events come to."""

    standings: dict[str, tuple[str, Standing]]
    suppressions: dict[tuple[str, str, str], tuple[int, int | None]]


def count(tx: Tx) -> int:
    """How many people there are to look at."""
    ((found,),) = compile_once(_COUNT, tx.dialect).rows(tx, {})
    return int(found)


def check_slice(tx: Tx, mark: int) -> Slice:
    """The people that come after `mark`."""
    findings: list[Finding] = []
    people: list[Row] = []
    findings += readable(_fetch_people(tx, mark, people))
    if not people:
        orphans = _orphans(tx)
        return Slice(None, 0, findings + orphans, sorted({one.subject for one in orphans}))
    last = people[-1][0]
    findings += readable(_check_people(tx, mark, people))
    differing = {one.subject for one in findings if one.what.startswith(DERIVED)}
    return Slice(last, len(people), findings, sorted(differing))


def _fetch_people(tx: Tx, mark: int, people: list[Row]) -> Iterator[Finding]:
    people += compile_once(_SUBJECTS, tx.dialect).rows(tx, {"mark": mark})
    yield from ()


def _check_people(tx: Tx, mark: int, people: Sequence[Row]) -> Iterator[Finding]:
    span = {"mark": mark, "last": people[-1][0]}
    events = _by_subject(compile_once(_EVENTS, tx.dialect).rows(tx, span))
    standings = _by_subject(compile_once(_STANDINGS, tx.dialect).rows(tx, span))
    suppressed = _by_subject(compile_once(_SUPPRESSIONS, tx.dialect).rows(tx, span))
    for person in people:
        number = person[0]
        derived = standings.get(number, ()), suppressed.get(number, ())
        yield from readable(_check(tx, person, events.get(number, ()), *derived), subject=number)


def _by_subject(rows: Sequence[Row]) -> Mapping[int, Sequence[Row]]:
    return {number: list(group) for number, group in groupby(rows, key=itemgetter(0))}


def _check(
    tx: Tx,
    person: Row,
    event_rows: Iterable[Row],
    standing_rows: Sequence[Row],
    suppression_rows: Sequence[Row],
) -> Iterator[Finding]:
    number, address_hash, address, erased_ms = person
    events = [
        Event(row[1], row[2], None if row[3] is None else Fact.from_payload(row[3]))
        for row in event_rows
    ]
    if any(one.fact is None or one.kind in _TAKING for one in events):
        yield from _check_erasures(number, events)
    if address is not None and not _is_address_of(tx, address, address_hash):
        yield Finding(0, 0, "the person's address was changed", number)
    yield from _check_presence(number, address, events)
    if not _is_when_erased(erased_ms, events):
        yield Finding(0, 0, f"{DERIVED}the time of erasure is another", number)
    derived = derive(events)
    if _differs(derived.standings, standing_rows):
        yield Finding(0, 0, f"{DERIVED}the standing is not what the events say", number)
    if derived.suppressions != {row[1:4]: row[4:6] for row in suppression_rows}:
        yield Finding(0, 0, f"{DERIVED}the suppressions are not what the events say", number)


def _check_erasures(number: int, events: Sequence[Event]) -> Iterator[Finding]:
    """Going back in time, which kinds the erasures met so far have taken."""
    taken: set[str] = set()
    removed: set[str] = set()  # ids of what was removed with a sender
    all_taken = 0  # the id of an erasure that took everything before it
    for one in reversed(events):
        kind = one.kind
        if kind == EventKind.ERASED:
            if one.fact is None:
                if not all_taken:
                    yield _gone(number, one)
                all_taken = one.id
                taken = {known.value for known in EventKind}
                continue
            yield from _check_due(number, one.id, one.fact)
            taken |= {known.value for known in EventKind if one.fact.erases(known)}
            if one.fact.extent != REST:
                all_taken = one.id
        elif one.fact is None and kind not in taken and str(one.id) not in removed:
            yield _gone(number, one)
        elif one.fact is not None and kind in taken:
            yield Finding(0, one.id, "the payload should be gone: the person was erased", number)
        elif one.fact is not None and str(one.id) in removed:
            yield Finding(0, one.id, "the payload should be gone: its sender was removed", number)
        elif one.fact is not None and kind == EventKind.SENDER_REMOVED:
            removed |= {*one.fact.took}


def _gone(number: int, one: Event) -> Finding:
    return Finding(0, one.id, "the payload is gone, and no erasure says why", number)


def _check_due(number: int, at: int, fact: Fact) -> Iterator[Finding]:
    if fact.extent != REST and fact.due is not None and fact.at < fact.due:
        yield Finding(0, at, "the evidence was erased before it was due to go", number)


def _check_presence(number: int, address: str | None, events: Sequence[Event]) -> Iterator[Finding]:
    """An address goes with everything else, and comes back only with the person."""
    gone = back = False
    for one in events:
        if one.kind == EventKind.ERASED:
            if one.fact is None or one.fact.extent != REST:
                gone, back = True, False
        elif one.fact is not None and one.fact.kind is EventKind.SENDER_REMOVED:
            if one.fact.scope == "all":
                gone, back = True, False
        elif gone and one.kind in COMING:
            back = True
    if address is None and not gone and number != NOBODY:
        yield Finding(0, 0, "the address is gone, and no erasure says why", number)
    if address is not None and ((gone and not back) or number == NOBODY):
        yield Finding(0, 0, "the address should be gone: the person was erased", number)


def _is_when_erased(erased_ms: int | None, events: Sequence[Event]) -> bool:
    last = next((one for one in reversed(events) if one.kind == EventKind.ERASED), None)
    if last is None or last.fact is None:
        return (erased_ms is None) == (last is None)
    return erased_ms == to_ms(last.fact.at)


def derive(events: Iterable[Event]) -> Derived:
    """What events come to, in their order."""
    derived = Derived({}, {})
    for one in events:
        fact = one.fact
        if one.kind == EventKind.ERASED:
            if fact is None or fact.extent != REST:
                derived.standings.clear()
                derived.suppressions.clear()
        elif fact is not None:
            _take_up(derived, fact)
    return derived


def _take_up(derived: Derived, fact: Fact) -> None:
    if fact.stream:
        _, before = derived.standings.get(fact.stream, ("", NOTHING_KNOWN))
        after = folding.fold(before, fact)
        if after != before:
            derived.standings[fact.stream] = fact.sender, after
    if fact.kind is EventKind.SUPPRESSION_LIFTED:
        _lift(derived, fact)
    elif found := suppression_of(fact):
        key = (fact.sender, *found)
        at = to_ms(fact.at)
        since, lifted = derived.suppressions.get(key, (at, None))
        still = lifted if lifted is not None and lifted > at else None
        derived.suppressions[key] = max(since, at), still


def _lift(derived: Derived, fact: Fact) -> None:
    at = to_ms(fact.at)
    for key, (since, lifted) in derived.suppressions.items():
        sender, scope, reason = key
        if (
            sender == fact.sender
            and fact.scope in ("", scope)
            and fact.suppression in ("", reason)
            and since <= at
            and (lifted is None or lifted < at)
        ):
            derived.suppressions[key] = since, at


def _differs(derived: Mapping[str, tuple[str, Standing]], rows: Sequence[Row]) -> bool:
    if len(rows) != len(derived):
        return True
    for _, stream, sender, state, withdrawn_ms in rows:
        if stream not in derived:
            return True
        expected_sender, expected = derived[stream]
        expected_ms = to_ms(expected.withdrawn_at) if expected.withdrawn_at else None
        if (sender, withdrawn_ms) != (expected_sender, expected_ms):
            return True
        if state != folding.encode(expected) and not _says(state, expected):
            return True
    return False


def _says(state: str, expected: Standing) -> bool:
    try:
        return folding.decode(state) == expected
    except UNREADABLE:
        return False


def _orphans(tx: Tx) -> list[Finding]:
    return [
        Finding(0, 0, f"{DERIVED}a {name} of a person who is not there", number)
        for name, statement in _ORPHANS
        for (number,) in compile_once(statement, tx.dialect).rows(tx, {})
    ]


def _is_address_of(tx: Tx, given: Any, address_hash: bytes) -> bool:
    try:
        return tx.keys.address_hash(parse(given)) == address_hash
    except AddressError:
        return False
