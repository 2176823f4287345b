"""Recording: the one way facts enter the ledger, and standings follow.

Everything about a fact happens in one transaction: the event with its salted commitment, its
payload beside it, the fold of the standing, the suppression it brings or lifts, the erasure
it orders. The commitment also covers the hash of the address, so that evidence cannot be
moved from one person to another.

In: subjects and facts. Out: event ids. Ids are given while the people concerned are locked,
so that for each person the order of ids is the order of recording.

An erasure takes what its extent says. "all": the address, all payloads with their salts, and
the standings. "rest": every payload but the evidence, which stays with the address until it
is due to go. Either way no bulk mail goes to the person until they come back, standings are
what the remaining payloads come to, and suppressions are recorded again right behind it, with
nothing but scope, reason and time, so that they survive and can still be derived from events
alone. What erasures themselves say stays, without where the request came from.

*Fails:* `UnknownSubject`; whatever the database raises.
*Known limits:* a transaction with very many facts keeps other writers waiting; imports come
in slices.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gatepost.consent import fold as folding
from gatepost.consent.evidence import REST, EventKind, Fact
from gatepost.consent.standing import NOTHING_KNOWN, Standing
from gatepost.mail.address import Address
from gatepost.store import sources, subjects, suppressions
from gatepost.store.events import Entry, covered, insert_events
from gatepost.store.hot import compile_once
from gatepost.store.last_word import behind_all
from gatepost.store.tables.ledger import event, event_payload, standing, subject, suppression
from gatepost.store.times import from_ms, to_ms
from gatepost.store.transaction import Tx

__all__ = [
    "Entry",
    "UnknownSubject",
    "covered",
    "derive",
    "forget_derived",
    "record",
    "record_for_subject",
    "record_for_subjects",
    "record_many",
]

_SLICE = 4000  # people per round of an import
COMING = frozenset(
    {EventKind.GRANTED, EventKind.REQUESTED, EventKind.CONFIRMED, EventKind.RESUBSCRIBED}
)

_STANDINGS = select(standing.c.subject, standing.c.stream, standing.c.state).where(
    standing.c.subject.in_(bindparam("subjects", expanding=True))
)
_MARK_ERASED = (
    update(subject)
    .where(subject.c.id == bindparam("of_subject"))
    .values(erased_ms=bindparam("at_ms"))
)
_ERASE_ADDRESS = update(subject).where(subject.c.id == bindparam("of_subject")).values(address=None)
_ERASE_PAYLOADS = delete(event_payload).where(
    event_payload.c.event.in_(
        select(event.c.id).where(
            event.c.subject == bindparam("of_subject"),
            event.c.id < bindparam("before"),
            event.c.kind.in_(bindparam("kinds", expanding=True)),
        )
    )
)
_REMAINING = (
    select(event_payload.c.payload)
    .select_from(event.join(event_payload, event_payload.c.event == event.c.id))
    .where(event.c.subject == bindparam("of_subject"), event.c.id < bindparam("before"))
    .order_by(event.c.id)
)
_ERASE_STANDINGS = delete(standing).where(standing.c.subject == bindparam("of_subject"))
_SUPPRESSIONS = select(
    suppression.c.sender,
    suppression.c.scope,
    suppression.c.reason,
    suppression.c.since_ms,
    suppression.c.lifted_ms,
).where(suppression.c.subject == bindparam("of_subject"))


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


def _record_batch(tx: Tx, batch: Sequence[tuple[Address, Sequence[Fact]]]) -> dict[str, int]:
    ids = subjects.ensure_subjects(tx, [address for address, _ in batch])
    known = subjects.lock(tx, ids.values())
    entries: list[Entry] = []
    returning: dict[int, str] = {}
    for address, facts in batch:
        number = ids[address.key]
        digest, gone = known[number]
        entries += [Entry(number, digest, fact) for fact in facts]
        if _comes_back(facts, gone=gone):
            returning[number] = address.given
    _append(tx, entries)
    subjects.restore_addresses(tx, returning)
    return ids


def _append(tx: Tx, entries: Sequence[Entry]) -> None:
    entries = behind_all(tx, entries)
    facts = [entry.fact for entry in entries]
    sources.mark_used(tx, {(fact.source, fact.text_version) for fact in facts if fact.text_version})
    for run in _split_at_erasures(entries):
        if run[0].fact.kind is EventKind.ERASED:
            (number,) = insert_events(tx, [_without_traces(run[0])])
            _erase(tx, run[0], number)
        else:
            insert_events(tx, run)
            derive(tx, [(entry.subject, entry.fact) for entry in run])


def _comes_back(facts: Sequence[Fact], *, gone: bool) -> bool:
    """Whether a person whose address is `gone`, or goes with these facts, is there again."""
    back = False
    for fact in facts:
        if fact.kind is EventKind.SENDER_REMOVED:
            raise ValueError("a sender is removed by store.removal")
        if fact.kind is EventKind.ERASED and fact.extent != REST:
            gone, back = True, False
        elif fact.kind in COMING:
            back = gone
    return back


def _without_traces(entry: Entry) -> Entry:
    return entry._replace(fact=replace(entry.fact, ip="", user_agent="", url=""))


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
    before = {**of_subject, "before": number}
    rest = entry.fact.extent == REST
    kinds = [kind.value for kind in EventKind if entry.fact.erases(kind)]
    kept = compile_once(_SUPPRESSIONS, tx.dialect).rows(tx, of_subject)
    marked = {**of_subject, "at_ms": to_ms(entry.fact.at)}
    compile_once(_MARK_ERASED, tx.dialect).execute(tx, marked)
    compile_once(_ERASE_PAYLOADS, tx.dialect).execute(tx, {**before, "kinds": kinds})
    forget_derived(tx, entry.subject)
    if rest:
        left = compile_once(_REMAINING, tx.dialect).rows(tx, before)
        derive(tx, [(entry.subject, Fact.from_payload(payload)) for (payload,) in left])
    else:
        compile_once(_ERASE_ADDRESS, tx.dialect).execute(tx, of_subject)
    again = [
        fact
        for sender, scope, reason, since_ms, lifted_ms in kept
        if rest or lifted_ms is None
        for fact in _as_it_stood(sender, scope, reason, since_ms, lifted_ms)
    ]
    _append(tx, [entry._replace(fact=fact) for fact in again])


def _as_it_stood(
    sender: str, scope: str, reason: str, since_ms: int, lifted_ms: int | None
) -> Iterator[Fact]:
    """A suppression, in force or lifted, told anew with nothing about the person."""
    kinds = [(EventKind.SUPPRESSED, since_ms)]
    if lifted_ms is not None:  # what brought it may be evidence and stay: it must not come back
        kinds.append((EventKind.SUPPRESSION_LIFTED, lifted_ms))
    for kind, at_ms in kinds:
        yield Fact(kind=kind, at=from_ms(at_ms), sender=sender, scope=scope, suppression=reason)


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
