"""What imports ask of the store: whom sources collect for, and what is on record already."""

from datetime import UTC, datetime

import pytest

from gatepost.consent.evidence import EventKind, Fact
from gatepost.mail.address import parse
from gatepost.store import people, sources
from gatepost.store.sources import SourceError

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_source_says_whom_and_what_it_collects_for(store):
    store.write_now(
        lambda tx: sources.add_source(
            tx, "web", sender="acme", kind="form", streams=("newsletter", "club")
        )
    )
    store.write_now(lambda tx: sources.add_source(tx, "old"))
    web = store.read_now(lambda tx: sources.find_source(tx, "web"))
    assert (web.sender, web.kind, web.streams) == ("acme", "form", ("newsletter", "club"))
    old = store.read_now(lambda tx: sources.find_source(tx, "old"))
    assert (old.sender, old.kind, old.streams) == ("", "", ())


def test_a_source_is_of_a_known_kind(store):
    with pytest.raises(SourceError, match="form, paper, shop, event, import"):
        store.write_now(lambda tx: sources.add_source(tx, "web", kind="magic"))


def test_facts_on_record_come_in_the_order_of_recording(store):
    anna, bo, nobody = (parse(f"{name}@kund.example") for name in ("anna", "bo", "nobody"))
    facts = [
        Fact(kind=EventKind.GRANTED, at=AT, stream="newsletter", basis="written"),
        Fact(kind=EventKind.WITHDRAWN, at=AT, stream="newsletter"),
    ]
    store.write_now(lambda tx: people.record(tx, anna, facts))
    store.write_now(lambda tx: people.record(tx, bo, facts[1:]))
    found = store.read_now(
        lambda tx: people.recorded_facts(tx, [parse("ANNA@kund.example"), bo, nobody])
    )
    assert found == {anna.key: facts, bo.key: facts[1:]}


def test_of_the_erased_nothing_but_the_erasure_is_on_record(store):
    anna = parse("anna@kund.example")
    granted = Fact(kind=EventKind.GRANTED, at=AT, stream="newsletter", basis="written")
    erased = Fact(kind=EventKind.ERASED, at=AT)
    store.write_now(lambda tx: people.record(tx, anna, [granted, erased]))
    assert store.read_now(lambda tx: people.recorded_facts(tx, [anna])) == {anna.key: [erased]}
