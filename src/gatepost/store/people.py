"""People: what a decision needs to know about addresses, and all that is on record of one.

In: addresses (or the subject behind a link). Out: `Person` per address, in one statement
whatever their number; `History` of one.

*Fails:* whatever the database raises; `UnknownSubject` for a subject that is none.
*Known limits:* SQLite takes 16,384 addresses in one statement; more come in slices.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from resource import RUSAGE_THREAD, getrusage
from typing import Any

from sqlalchemy import and_, bindparam, delete, func, select, text, update

from gatepost.consent import fold as folding
from gatepost.consent.evidence import REST, EventKind, Fact
from gatepost.consent.standing import (
    NOTHING_KNOWN,
    STRANGER,
    Person,
    Standing,
    Suppression,
    with_denials,
)
from gatepost.mail.address import Address, AddressError, parse
from gatepost.store import looks, recording, subjects, suppressions
from gatepost.store.hot import Row, compile_once
from gatepost.store.looks import Look
from gatepost.store.recording import (
    UnknownSubject,
    record,
    record_for_subject,
    record_for_subjects,
    record_many,
)
from gatepost.store.subjects import ensure_subjects
from gatepost.store.suppressions import Suppressed
from gatepost.store.tables.ledger import event, event_payload, standing, subject, suppression
from gatepost.store.times import from_ms, to_ms
from gatepost.store.transaction import Tx
from gatepost.store.withdrawals import Ending, withdrawals_after, withdrawals_mark

__all__ = [
    "Ending",
    "History",
    "Recorded",
    "StandingFor",
    "UnknownSubject",
    "address_of",
    "as_address",
    "ensure_subjects",
    "history",
    "history_of_subject",
    "look_up",
    "look_up_later",
    "look_up_subjects",
    "rebuild",
    "rebuild_subjects",
    "record",
    "record_for_subject",
    "record_for_subjects",
    "record_many",
    "recorded_facts",
    "touch",
    "withdrawals_after",
    "withdrawals_mark",
]

_REPLAYED = 5000  # events per round of a rebuild

_PERSON = select(
    subject.c.address_hash,
    subject.c.id,
    subject.c.erased_ms,
    standing.c.state,
    suppression.c.scope,
    suppression.c.reason,
    suppression.c.since_ms,
).select_from(
    subject.outerjoin(
        standing,
        and_(standing.c.subject == subject.c.id, standing.c.stream == bindparam("stream")),
    ).outerjoin(
        suppression,
        and_(
            suppression.c.subject == subject.c.id,
            suppression.c.sender.in_([bindparam("sender"), bindparam("everyone", "")]),
            suppression.c.lifted_ms.is_(None),
        ),
    )
)
_BY_HASH = _PERSON.where(subject.c.address_hash.in_(bindparam("hashes", expanding=True)))
_BY_ID = _PERSON.where(subject.c.id.in_(bindparam("ids", expanding=True)))
# The same pages, without a word of what is in them.
_TOUCH = _BY_HASH.with_only_columns(
    func.count(subject.c.erased_ms), func.count(standing.c.state), func.count(suppression.c.scope)
)
_FACTS = (
    select(event.c.subject, event_payload.c.payload)
    .select_from(event.join(event_payload, event_payload.c.event == event.c.id))
    .where(event.c.subject.in_(bindparam("subjects", expanding=True)))
    .order_by(event.c.id)
)
_EVENTS = (
    select(event.c.id, event.c.subject, event.c.kind, event_payload.c.payload)
    .select_from(event.outerjoin(event_payload, event_payload.c.event == event.c.id))
    .order_by(event.c.id)
)
_REPLAY = _EVENTS.where(event.c.id > bindparam("mark")).limit(_REPLAYED)
_REPLAY_SOME = _EVENTS.where(event.c.subject.in_(bindparam("subjects", expanding=True)))
_SET_ERASED = (
    update(subject)
    .where(subject.c.id == bindparam("of_subject"))
    .values(erased_ms=bindparam("at_ms"))
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One event. `fact` is `None` where the payload was erased; `block` where it is unsealed."""

    id: int
    kind: EventKind
    recorded_at: datetime
    fact: Fact | None
    block: int | None


@dataclass(frozen=True, slots=True)
class StandingFor:
    """A standing, and for which stream of which sender."""

    stream: str
    sender: str
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All that is on record of one person. `address` is "" after erasure."""

    subject: int
    address: str
    created_at: datetime
    erased_at: datetime | None
    events: tuple[Recorded, ...]
    standings: tuple[StandingFor, ...]
    suppressions: tuple[Suppressed, ...]


def look_up(
    tx: Tx, addresses: Sequence[Address], stream: str, sender: str, *, exactly: bool = False
) -> dict[str, Person]:
    """Who these addresses are, for one stream of one sender, by `Address.key`.

    Strangers are not in the answer. A suppression of sender "" counts for every sender. What
    was said against mailing a lookalike counts, too, unless it is asked `exactly`: who records
    must know what is on record of this very address.
    """
    return look_up_later(tx, addresses, stream, sender, exactly=exactly)()


def look_up_later(
    tx: Tx, addresses: Sequence[Address], stream: str, sender: str, *, exactly: bool = False
) -> Callable[[], dict[str, Person]]:
    """What says the same, asked together with what is asked next (`hot.Hot.later`)."""
    keys = {tx.keys.key_hash(address.key): address.key for address in addresses}
    alike: dict[bytes, list[str]] = {}
    for address in () if exactly else addresses:
        for other in address.lookalikes:
            alike.setdefault(tx.keys.key_hash(other), []).append(address.key)
    wanted = {"hashes": sorted(keys.keys() | alike.keys())}
    answer = _people(tx, _BY_HASH, wanted, {"stream": stream, "sender": sender})
    if not alike:  # the usual case
        return lambda: {keys[digest]: person for digest, person in answer()}

    def found() -> dict[str, Person]:
        rows = list(answer())
        persons = {keys[digest]: person for digest, person in rows if digest in keys}
        for digest, other in rows:
            for key in alike.get(digest, ()):
                persons[key] = with_denials(persons.get(key, STRANGER), other)
        return persons

    return found


def touch(tx: Tx, addresses: Sequence[Address], stream: str, sender: str) -> int:
    """Reads what `look_up` would; how many blocks came from the disk, and not out of a cache."""
    hashes = sorted(tx.keys.key_hash(address.key) for address in addresses)
    before = getrusage(RUSAGE_THREAD).ru_inblock
    hot = compile_once(_TOUCH, tx.dialect)
    for chunk in subjects.chunks(hashes):
        hot.rows(tx, {"stream": stream, "sender": sender, "hashes": chunk})
    return getrusage(RUSAGE_THREAD).ru_inblock - before


def look_up_subjects(tx: Tx, ids: Iterable[int], stream: str, sender: str) -> dict[int, Person]:
    """The same for subjects that are known already, by subject id."""
    found = _people(tx, _BY_ID, {"ids": sorted(set(ids))}, {"stream": stream, "sender": sender})
    return {person.subject: person for _, person in found()}


def address_of(tx: Tx, of_subject: int) -> Address | None:
    """The address of a subject as it was given; `None` after erasure, or for no subject."""
    given = tx.connection.execute(
        select(subject.c.address).where(subject.c.id == of_subject)
    ).scalar()
    return as_address(given) if given else None


def history(tx: Tx, address: Address) -> History | None:
    """All that is on record of `address`; `None` for a stranger."""
    found = subjects.find(tx, [tx.keys.address_hash(address)])
    return history_of_subject(tx, next(iter(found.values()))) if found else None


def history_of_subject(tx: Tx, of_subject: int) -> History:
    """All that is on record of one subject. Raises `UnknownSubject`."""
    row = tx.connection.execute(select(subject).where(subject.c.id == of_subject)).one_or_none()
    if row is None:
        raise UnknownSubject(f"no subject has the id {of_subject}")
    events = tx.connection.execute(
        select(event, event_payload.c.payload)
        .select_from(event.outerjoin(event_payload, event_payload.c.event == event.c.id))
        .where(event.c.subject == of_subject)
        .order_by(event.c.id)
    )
    standings = tx.connection.execute(
        select(standing.c.stream, standing.c.sender, standing.c.state)
        .where(standing.c.subject == of_subject)
        .order_by(standing.c.stream)
    )
    return History(
        subject=of_subject,
        address=row.address or "",
        created_at=from_ms(row.created_ms),
        erased_at=None if row.erased_ms is None else from_ms(row.erased_ms),
        events=tuple(_recorded(found) for found in events),
        standings=tuple(
            StandingFor(stream, sender, folding.decode(state))
            for stream, sender, state in standings
        ),
        suppressions=tuple(suppressions.of_subject(tx, of_subject)),
    )


def recorded_facts(tx: Tx, addresses: Iterable[Address]) -> dict[str, list[Fact]]:
    """Everything on record of each address, by `Address.key`, in the order of recording.

    For whoever must not record the same twice. Strangers are not in the answer.
    """
    keys = {tx.keys.key_hash(address.key): address.key for address in addresses}
    known = {number: keys[digest] for digest, number in subjects.find(tx, keys).items()}
    found: dict[str, list[Fact]] = {key: [] for key in known.values()}
    hot = compile_once(_FACTS, tx.dialect)
    for chunk in subjects.chunks(sorted(known)):
        for number, payload in hot.rows(tx, {"subjects": chunk}):
            found[known[number]].append(Fact.from_payload(payload))
    return found


def rebuild(tx: Tx) -> int:
    """Derives all standings and suppressions from the events anew; how many events these were.

    The result equals what stood before, unless somebody changed the tables by hand.
    """
    if tx.dialect == "postgresql":
        tx.connection.execute(text("LOCK TABLE event IN SHARE ROW EXCLUSIVE MODE"))
    tx.connection.execute(delete(standing))
    tx.connection.execute(delete(suppression))
    looks.begin_anew(tx)
    hot = compile_once(_REPLAY, tx.dialect)
    count = mark = 0
    while rows := hot.rows(tx, {"mark": mark}):
        _replay(tx, rows)
        mark = rows[-1][0]
        count += len(rows)
    return count


def rebuild_subjects(tx: Tx, ids: Sequence[int]) -> None:
    """The same for some people, and the time of their erasure; of nobody else."""
    known = subjects.lock(tx, ids)
    looks.note(tx, [Look(tx.now_ms, of_subject) for of_subject in known])
    for of_subject in ids:
        recording.forget_derived(tx, of_subject)
    replay = compile_once(_REPLAY_SOME, tx.dialect)
    for chunk in subjects.chunks(sorted(known)):
        rows = replay.rows(tx, {"subjects": chunk})
        _replay(tx, rows)
        erased = {row[1]: row[3] for row in rows if row[2] == EventKind.ERASED}
        for number in chunk:
            _restore_erased(tx, number, number in erased, erased.get(number))


def _restore_erased(tx: Tx, of_subject: int, was_erased: bool, payload: bytes | None) -> None:
    """When somebody was erased, as the last erasure says; of one that says nothing it stays."""
    if was_erased and payload is None:
        return
    at_ms = to_ms(Fact.from_payload(payload).at) if payload is not None else None
    mark = compile_once(_SET_ERASED, tx.dialect)
    mark.execute(tx, {"of_subject": of_subject, "at_ms": at_ms})


def _replay(tx: Tx, rows: Sequence[Row]) -> None:
    waiting: list[tuple[int, Fact]] = []
    for _, of_subject, kind, payload in rows:
        if kind == EventKind.ERASED:
            recording.derive(tx, waiting)
            waiting = []
            if _takes_all(payload):
                recording.forget_derived(tx, of_subject)
        elif payload is not None:
            waiting.append((of_subject, Fact.from_payload(payload)))
    recording.derive(tx, waiting)


def _takes_all(payload: bytes | None) -> bool:
    """Whether an erasure left nothing; one whose own words are gone was of that kind."""
    return payload is None or Fact.from_payload(payload).extent != REST


def _people(
    tx: Tx, statement: Any, wanted: Mapping[str, Sequence[Any]], params: Mapping[str, str]
) -> Callable[[], Iterable[tuple[bytes, Person]]]:
    hot = compile_once(statement, tx.dialect)
    ((name, values),) = wanted.items()
    answers = [hot.later(tx, {**params, name: chunk}) for chunk in subjects.chunks(values)]
    return lambda: chain.from_iterable(_merge(answer()) for answer in answers)


def _merge(rows: Iterable[Row]) -> Iterable[tuple[bytes, Person]]:
    """One person per subject: several suppressions make several rows."""
    people: dict[bytes, Person] = {}
    several: dict[bytes, list[Suppression]] = {}
    for digest, number, erased_ms, state, scope, reason, since_ms in rows:
        if scope is not None:
            several.setdefault(digest, []).append(Suppression(scope, reason, from_ms(since_ms)))
        if digest not in people:
            people[digest] = Person(
                number,
                NOTHING_KNOWN if state is None else folding.decode(state),
                (),
                None if erased_ms is None else from_ms(erased_ms),
            )
    for digest, found in several.items():
        person = people[digest]
        found.sort(key=lambda one: (one.since, one.scope, one.reason))
        people[digest] = Person(person.subject, person.standing, tuple(found), person.erased_at)
    return people.items()


def _recorded(row: Any) -> Recorded:
    return Recorded(
        id=row.id,
        kind=EventKind(row.kind),
        recorded_at=from_ms(row.recorded_ms),
        fact=None if row.payload is None else Fact.from_payload(row.payload),
        block=row.block,
    )


def as_address(given: str) -> Address | None:
    """The address that a row holds; `None` for what is none any more."""
    try:
        return parse(given)
    except AddressError:
        return None
