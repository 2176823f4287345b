"""Recording: the one way facts enter the ledger, and standings follow.

Everything about a fact happens in one transaction: the event with its salted commitment, its
payload beside it, the fold of the standing, the suppression it brings or lifts, the erasure
it orders. The commitment also covers the hash of the address, so that evidence cannot be
moved from one person to another.

In: subjects and facts. Out: event ids. Ids are given while the people concerned are locked,
so that for each person the order of ids is the order of recording.

Erasure takes the address, all payloads with their salts, and the standings; suppressions in
force are recorded again right behind it, with nothing but scope, reason and time, so that
they survive and can still be derived from events alone.

*Fails:* `UnknownSubject`; whatever the database raises.
*Known limits:* a transaction with very many facts keeps other writers waiting; imports come
in slices.
"""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gatepost.consent import fold as folding
from gatepost.consent.evidence import SALT_BYTES, EventKind, Fact, commitment
from gatepost.consent.standing import NOTHING_KNOWN, Standing
from gatepost.mail.address import Address
from gatepost.store import sources, subjects, suppressions
from gatepost.store.hot import compile_once
from gatepost.store.tables.ledger import event, event_payload, standing, subject, suppression
from gatepost.store.times import from_ms, to_ms
from gatepost.store.transaction import Tx

_SLICE = 4000  # people per round of an import
_COMING = frozenset(
    {EventKind.GRANTED, EventKind.REQUESTED, EventKind.CONFIRMED, EventKind.RESUBSCRIBED}
)

_INSERT_EVENT = insert(event)
_INSERT_PAYLOAD = insert(event_payload)
_STANDINGS = select(standing.c.subject, standing.c.stream, standing.c.state).where(
    standing.c.subject.in_(bindparam("subjects", expanding=True))
)
_ERASE_SUBJECT = (
    update(subject)
    .where(subject.c.id == bindparam("of_subject"))
    .values(address=None, erased_ms=bindparam("at_ms"))
)
_ERASE_PAYLOADS = delete(event_payload).where(
    event_payload.c.event.in_(
        select(event.c.id).where(
            event.c.subject == bindparam("of_subject"), event.c.id < bindparam("before")
        )
    )
)
_ERASE_STANDINGS = delete(standing).where(standing.c.subject == bindparam("of_subject"))
_IN_FORCE = select(
    suppression.c.sender, suppression.c.scope, suppression.c.reason, suppression.c.since_ms
).where(suppression.c.subject == bindparam("of_subject"), suppression.c.lifted_ms.is_(None))


def _upsert(statement: Any) -> Any:
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["subject", "stream"],
        set_={"sender": new.sender, "state": new.state, "withdrawn_ms": new.withdrawn_ms},
    )


_PUT_STANDING = {
    "sqlite": _upsert(sqlite.insert(standing)),
    "postgresql": _upsert(postgresql.insert(standing)),
}


class UnknownSubject(LookupError):  # noqa: N818  an answer, not a mistake
    """No subject has this id: the link comes from another store."""


class Entry(NamedTuple):
    """One fact about one subject, and the hash of its address."""

    subject: int
    address_hash: bytes
    fact: Fact


def record(tx: Tx, address: Address, facts: Sequence[Fact]) -> int:
    """Records `facts` about `address`, who is made known if need be; the subject id."""
    return _record_batch(tx, [(address, facts)])[address.key]


def record_many(tx: Tx, items: Iterable[tuple[Address, Sequence[Fact]]]) -> int:
    """Records facts about many people, for imports; how many facts these were."""
    count = 0
    for batch in _slices(items):
        _record_batch(tx, batch)
        count += sum(len(facts) for _, facts in batch)
    return count


def record_for_subject(tx: Tx, of_subject: int, facts: Sequence[Fact]) -> None:
    """Records `facts` about the person behind a link. Raises `UnknownSubject`."""
    record_for_subjects(tx, [(of_subject, fact) for fact in facts])


def record_for_subjects(tx: Tx, facts: Sequence[tuple[int, Fact]]) -> None:
    """Records facts about the people behind links. Raises `UnknownSubject`."""
    known = subjects.lock(tx, [of_subject for of_subject, _ in facts])
    for of_subject, _ in facts:
        if of_subject not in known:
            raise UnknownSubject(f"no subject has the id {of_subject}")
    _append(tx, [Entry(of, known[of].address_hash, fact) for of, fact in facts])


def derive(tx: Tx, facts: Sequence[tuple[int, Fact]]) -> None:
    """Brings standings and suppressions up to `facts`, in their order; none is an erasure."""
    folded = _fold(tx, [(of, fact) for of, fact in facts if fact.stream])
    if folded:
        compile_once(_PUT_STANDING[tx.dialect], tx.dialect).executemany(tx, folded, distinct=True)
    suppressions.apply(tx, facts)


def forget_derived(tx: Tx, of_subject: int) -> None:
    """Removes standings and suppressions of an erased subject."""
    compile_once(_ERASE_STANDINGS, tx.dialect).execute(tx, {"of_subject": of_subject})
    suppressions.forget(tx, of_subject)


def covered(address_hash: bytes, payload: bytes) -> bytes:
    """What the commitment of an event covers: whom it is about, and what it says."""
    return address_hash + payload


def _record_batch(tx: Tx, batch: Sequence[tuple[Address, Sequence[Fact]]]) -> dict[str, int]:
    ids = subjects.ensure_subjects(tx, [address for address, _ in batch])
    known = subjects.lock(tx, ids.values())
    entries: list[Entry] = []
    returning: dict[int, str] = {}
    for address, facts in batch:
        number = ids[address.key]
        digest, gone = known[number]
        entries += [Entry(number, digest, fact) for fact in facts]
        if gone and any(fact.kind in _COMING for fact in facts):
            returning[number] = address.given
    _append(tx, entries)
    subjects.restore_addresses(tx, returning)
    return ids


def _append(tx: Tx, entries: Sequence[Entry]) -> None:
    for run in _split_at_erasures(entries):
        ids = _insert_events(tx, run)
        if run[0].fact.kind is EventKind.ERASED:
            _erase(tx, run[0], ids[0])
        else:
            derive(tx, [(entry.subject, entry.fact) for entry in run])


def _insert_events(tx: Tx, entries: Sequence[Entry]) -> list[int]:
    ids = _event_ids(tx, len(entries))
    facts = [entry.fact for entry in entries]
    sources.mark_used(tx, {(fact.source, fact.text_version) for fact in facts if fact.text_version})
    salts = secrets.token_bytes(SALT_BYTES * len(entries))
    events: list[dict[str, Any]] = []
    payloads: list[dict[str, Any]] = []
    for number, (number_id, entry) in enumerate(zip(ids, entries, strict=True)):
        salt = salts[number * SALT_BYTES : (number + 1) * SALT_BYTES]
        payload = entry.fact.payload()
        events.append(
            {
                "id": number_id,
                "subject": entry.subject,
                "kind": entry.fact.kind.value,
                "recorded_ms": tx.now_ms,
                "commitment": commitment(salt, covered(entry.address_hash, payload)),
                "block": None,
            }
        )
        payloads.append({"event": number_id, "salt": salt, "payload": payload})
    compile_once(_INSERT_EVENT, tx.dialect).executemany(tx, events)
    compile_once(_INSERT_PAYLOAD, tx.dialect).executemany(tx, payloads)
    return ids


def _event_ids(tx: Tx, count: int) -> list[int]:
    if not count:
        return []
    if tx.dialect == "postgresql":
        tx.cursor.execute(
            "SELECT nextval(pg_get_serial_sequence('event', 'id')) FROM generate_series(1, %s)",
            (count,),
        )
        return sorted(row[0] for row in tx.cursor.fetchall())
    (last,) = tx.cursor.execute("SELECT coalesce(max(id), 0) FROM event").fetchone()
    return list(range(last + 1, last + 1 + count))


def _fold(tx: Tx, facts: Sequence[tuple[int, Fact]]) -> list[dict[str, Any]]:
    """The rows of the standings that `facts` change."""
    if not facts:
        return []
    hot = compile_once(_STANDINGS, tx.dialect)
    states: dict[tuple[int, str], str] = {}
    for chunk in subjects.chunks(sorted({of for of, _ in facts})):
        for of, stream, state in hot.rows(tx, {"subjects": chunk}):
            states[of, stream] = state
    now: dict[tuple[int, str], tuple[Standing, str]] = {}
    for of, fact in facts:
        key = of, fact.stream
        if key in now:
            before = now[key][0]
        else:
            before = folding.decode(states[key]) if key in states else NOTHING_KNOWN
        after = folding.fold(before, fact)
        if after != before:
            now[key] = after, fact.sender
    return [
        {
            "subject": of,
            "stream": stream,
            "sender": sender,
            "state": folding.encode(after),
            "withdrawn_ms": to_ms(after.withdrawn_at) if after.withdrawn_at else None,
        }
        for (of, stream), (after, sender) in now.items()
    ]


def _erase(tx: Tx, entry: Entry, number: int) -> None:
    of_subject = {"of_subject": entry.subject}
    at_ms = to_ms(entry.fact.at)
    kept = compile_once(_IN_FORCE, tx.dialect).rows(tx, of_subject)
    compile_once(_ERASE_SUBJECT, tx.dialect).execute(tx, {**of_subject, "at_ms": at_ms})
    compile_once(_ERASE_PAYLOADS, tx.dialect).execute(tx, {**of_subject, "before": number})
    forget_derived(tx, entry.subject)
    again = [
        Fact(
            kind=EventKind.SUPPRESSED,
            at=from_ms(since_ms),
            sender=sender,
            scope=scope,
            suppression=reason,
        )
        for sender, scope, reason, since_ms in kept
    ]
    _append(tx, [entry._replace(fact=fact) for fact in again])


def _split_at_erasures(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Runs of entries; an erasure is a run of its own."""
    start = 0
    for place, entry in enumerate(entries):
        if entry.fact.kind is EventKind.ERASED:
            if start < place:
                yield entries[start:place]
            yield entries[place : place + 1]
            start = place + 1
    if start < len(entries):
        yield entries[start:]


def _slices(
    items: Iterable[tuple[Address, Sequence[Fact]]],
) -> Iterator[list[tuple[Address, Sequence[Fact]]]]:
    batch: list[tuple[Address, Sequence[Fact]]] = []
    for item in items:
        batch.append(item)
        if len(batch) >= _SLICE:
            yield batch
            batch = []
    if batch:
        yield batch
