"""Who leaves has left, whatever the clock said when they joined: clocks are put right (promise 3)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from gatepost.consent.evidence import REST, EventKind, Fact
from gatepost.consent.leaving import has_left
from gatepost.mail.address import parse
from gatepost.store import clock, people, suppressing, withdrawing
from gatepost.store.returned import Copy, record_complaint, record_leaving
from gatepost.store.suppressing import Entry
from gatepost.store.withdrawing import Leaving
from support.cases import judge
from support.consents import granted, withdrawn

HOUR = timedelta(hours=1)


@pytest.fixture
def set_clock(monkeypatch):
    """Sets the store's clock so far from what it is."""

    def ahead(by):
        monkeypatch.setattr(clock.Clock, "now", lambda _: datetime.now(UTC) + by)

    return ahead


def joins(store, who, kind):
    return store.write_now(
        lambda tx: people.record(tx, who, [replace(granted(at=tx.now), kind=kind)])
    )


def as_known(store, who):
    return store.read_now(lambda tx: people.look_up(tx, [who], "newsletter", "acme"))[who.key]


def is_mailed(store, who, later=3 * HOUR):
    return judge(as_known(store, who), now=datetime.now(UTC) + later).delivers


def by_link(_who, number, tx):
    people.record_for_subject(tx, number, [withdrawn(at=tx.now)])


def from_everything(_who, number, tx):
    people.record_for_subject(tx, number, [withdrawn(at=tx.now, stream="")])


def by_mail(_who, number, tx):
    record_leaving(tx, Copy(number, "acme", 7), "newsletter")


def by_staff(who, _number, tx):
    withdrawing.withdraw(tx, [Leaving(who, "newsletter", "acme")], actor="staff", method="cli")


def by_complaint(_who, number, tx):
    record_complaint(tx, Copy(number, "acme", 7), "abuse")


def by_hand(who, _number, tx):
    entry = Entry(who, "", "bulk", "unsubscribed", "")
    suppressing.add(tx, [entry], actor="staff", method="cli")


def by_erasure(_who, number, tx):
    people.record_for_subject(tx, number, [Fact(kind=EventKind.ERASED, at=tx.now, extent=REST)])


WAYS = (by_link, from_everything, by_mail, by_staff, by_complaint, by_hand, by_erasure)
RETURNS = (EventKind.CONFIRMED, EventKind.RESUBSCRIBED)


def test_a_clock_that_is_put_right_loses_nobody_who_leaves(store, set_clock):
    ways = {
        parse(f"{leaves.__name__}-{kind}@kund.example"): (leaves, kind)
        for leaves in WAYS
        for kind in RETURNS
    }
    set_clock(2 * HOUR)
    numbers = {who: joins(store, who, kind) for who, (_, kind) in ways.items()}
    assert all(is_mailed(store, who) for who in ways)
    set_clock(timedelta(0))
    for who, (leaves, _) in ways.items():
        store.write_now(partial(leaves, who, numbers[who]))
    assert [who.key for who in ways if is_mailed(store, who)] == []
    known = {who: as_known(store, who) for who in ways}
    store.write_now(people.rebuild)
    assert {who: as_known(store, who) for who in ways} == known, "events alone say the same"


def test_who_left_by_such_a_clock_has_left_once(store, set_clock):
    who = parse("kim@kund.example")
    set_clock(2 * HOUR)
    joins(store, who, EventKind.CONFIRMED)
    set_clock(timedelta(0))
    leaving = [Leaving(who, "newsletter", "acme")]
    said = [
        store.write_now(lambda tx: withdrawing.withdraw(tx, leaving, actor="staff", method="cli"))
        for _ in range(2)
    ]
    assert said == [[True], [False]]
    assert has_left(as_known(store, who))


def test_what_was_lifted_by_such_a_clock_can_be_suppressed_again(store, set_clock):
    who = parse("kim@kund.example")
    entry = [Entry(who, "acme", "all", "manual", "")]

    def suppress(tx):
        return suppressing.add(tx, entry, actor="staff", method="cli")

    set_clock(2 * HOUR)
    store.write_now(suppress)
    store.write_now(lambda tx: suppressing.lift(tx, who, "acme", actor="staff", method="cli"))
    set_clock(timedelta(0))
    assert store.write_now(suppress) == 1
    assert [one.reason for one in as_known(store, who).suppressions] == ["manual"]


def test_what_is_told_of_the_past_keeps_its_time(store):
    """Somebody left years ago, and came back since: an old list takes nobody out."""
    who, then = parse("kim@kund.example"), datetime(2025, 1, 1, tzinfo=UTC)
    joins(store, who, EventKind.CONFIRMED)
    leaving = [Leaving(who, "newsletter", "acme", then)]
    store.write_now(lambda tx: withdrawing.withdraw(tx, leaving, actor="mailer", method="api"))
    assert as_known(store, who).standing.withdrawn_at == then
    assert is_mailed(store, who)
