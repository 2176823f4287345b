"""A sender is removed: its evidence goes, the others' stays, and the chain is whole."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, select

from gatepost.consent.evidence import EventKind, Fact
from gatepost.mail.address import parse
from gatepost.store import ledger, people, removal, sources
from gatepost.store.tables.ledger import event, event_payload, subject

T0 = datetime(2026, 1, 1, tzinfo=UTC)
KIM, ALEX, BO = (parse(f"{name}@kund.example") for name in ("kim", "alex", "bo"))


def fact(kind, day=0, sender="acme", stream="news", **more):
    return Fact(
        kind=EventKind(kind), at=T0 + timedelta(days=day), sender=sender, stream=stream, **more
    )


def granted(day=0, sender="acme", stream="news"):
    return fact(
        "granted", day, sender, stream, basis="form-checkbox", source=sender, note="by hand"
    )


@pytest.fixture
def held(store):
    """Kim is with both senders, Alex left one, Bo complained about it."""

    def write(tx):
        for sender in ("acme", "other"):
            sources.add_source(tx, sender, sender=sender, kind="form")
        people.record(tx, KIM, [granted(), granted(1, "other", "letter")])
        people.record(tx, ALEX, [granted(), fact("withdrawn", 3, note="by phone")])
        complaint = fact("complained", 2, stream="", note="angry")
        people.record(tx, BO, [granted(), complaint, granted(1, "other", "letter")])

    store.write_now(write)
    store.write_now(ledger.seal)
    return store


def remove(store, sender="acme", *, whole=False):
    mark, done = removal.FIRST, []
    while mark is not None:
        part = store.write_now(
            lambda tx, mark=mark: removal.remove_slice(tx, mark, sender, whole=whole)
        )
        mark = part.mark
        done.append(part)
    store.write_now(lambda tx: removal.remove_rest(tx, sender))
    store.write_now(ledger.seal)
    return sum(one.events for one in done)


def findings(store):
    return list(ledger.inspect(store.read_now))


def person(store, address, sender="acme", stream="news"):
    return store.read_now(lambda tx: people.look_up(tx, [address], stream, sender))[address.key]


def payloads(store):
    rows = store.read_now(lambda tx: tx.connection.execute(select(event_payload.c.payload)).all())
    return b" ".join(bytes(row[0]) for row in rows)


def test_what_the_sender_held_goes_and_what_others_hold_stays(held):
    assert remove(held) == 5
    assert person(held, KIM).standing.grants == ()
    assert len(person(held, KIM, "other", "letter").standing.grants) == 1
    assert person(held, KIM).erased_at is None
    assert b"by phone" not in payloads(held)
    assert b"angry" not in payloads(held)
    assert findings(held) == []


def test_that_somebody_left_outlives_the_sender(held):
    remove(held)
    assert person(held, ALEX).standing.withdrawn_at == T0 + timedelta(days=3)
    (suppression,) = person(held, BO).suppressions
    assert (suppression.reason, suppression.since) == ("complaint", T0 + timedelta(days=2))
    assert findings(held) == []


def test_or_not_where_that_is_asked_for(held):
    remove(held, whole=True)
    assert person(held, ALEX).standing.withdrawn_at is None
    assert person(held, BO).suppressions == ()
    assert findings(held) == []


def test_addresses_that_nobody_else_holds_go(held):
    remove(held)
    rows = held.read_now(
        lambda tx: tx.connection.execute(
            select(subject.c.address).where(subject.c.address.is_not(None))
        ).scalars()
    )
    assert sorted(rows) == ["bo@kund.example", "kim@kund.example"]


def test_removing_twice_is_removing_once(held):
    remove(held)
    assert remove(held) == 0
    assert findings(held) == []


def test_both_senders_one_after_the_other(held):
    remove(held)
    remove(held, "other", whole=True)
    assert person(held, BO).suppressions
    assert findings(held) == []
    held.write_now(people.rebuild)
    assert findings(held) == []


def test_whoever_comes_again_is_there_again(held):
    remove(held, whole=True)
    held.write_now(lambda tx: people.record(tx, ALEX, [granted(9, "other", "letter")]))
    assert held.read_now(lambda tx: people.history(tx, ALEX)).address == "alex@kund.example"
    assert findings(held) == []


def test_sources_and_texts_go_too(held):
    remove(held)
    assert [one.name for one in held.read_now(sources.list_sources)] == ["other"]


def test_a_removal_explains_only_what_it_took(held):
    remove(held)

    def steal(tx):
        kept = select(event.c.id).where(event.c.kind == "granted")
        tx.connection.execute(delete(event_payload).where(event_payload.c.event.in_(kept)))

    held.write_now(steal)
    said = [one.what for one in findings(held)]
    assert "the payload is gone, and no erasure says why" in said


def test_an_erasure_of_the_rest_after_a_removal_explains_all_gaps(held):
    """What a removal says it took stays on record, or its gaps would look like tampering."""
    remove(held)
    erased = Fact(kind=EventKind.ERASED, at=T0 + timedelta(days=9), extent="rest", rule="request")
    held.write_now(lambda tx: people.record(tx, KIM, [erased]))
    assert findings(held) == []
    held.write_now(people.rebuild)
    assert findings(held) == []
