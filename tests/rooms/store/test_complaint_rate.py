"""The complaint rate: what is counted, from when, and what a thaw means (G-8, ME-9)."""

from datetime import timedelta

from gatepost.mail.address import parse
from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.store import campaigns, complaint_rate, people
from gatepost.store.complaint_rate import Alarm
from gatepost.store.tables import mail as tables
from gatepost.store.times import to_ms
from support.consents import complained
from support.submissions import accept, change, claim, mark, outcome, rows_of, submission


def deliver(store, count, **more):
    addresses = [f"user{number}@example.org" for number in range(count)]
    (result,) = accept(store, submission(*addresses, **more))
    mark(store, *[outcome(row, State.DELIVERED) for row in claim(store, limit=1000)])
    return result


def complain(store, count, *, sender="acme", ago=timedelta(minutes=1)):
    items = [
        (parse(f"user{number}@example.org"), [complained(sender=sender, at=store.now() - ago)])
        for number in range(count)
    ]
    store.write_now(lambda tx: people.record_many(tx, items))


def alarms(store, *, rate=0.1, minimum=20, senders=("acme", "other")):
    return store.read_now(
        lambda tx: complaint_rate.find_alarms(tx, senders, rate=rate, minimum_delivered=minimum)
    )


def freeze(store):
    found = alarms(store)
    return store.write_now(lambda tx: complaint_rate.freeze(tx, found))


def test_at_the_limit_and_below(store):
    deliver(store, 30)
    complain(store, 2)
    assert alarms(store) == []
    complain(store, 3)
    assert alarms(store) == [Alarm("acme", 3, 30)]


def test_too_little_mail_is_no_rate(store):
    deliver(store, 19)
    complain(store, 10)
    assert alarms(store) == []
    deliver(store, 1, campaign="more")
    assert [alarm.delivered for alarm in alarms(store)] == [20]


def test_only_this_week_counts(store):
    deliver(store, 30)
    complain(store, 5, ago=timedelta(days=8))
    assert alarms(store) == []
    complain(store, 5)
    assert alarms(store)
    week = to_ms(store.now() - timedelta(days=8))
    change(store, tables.recipient, {"finished_ms": week})
    assert alarms(store) == []


def test_only_delivered_bulk_mail_of_the_sender_counts(store):
    deliver(store, 30, kind=Kind.TRANSACTIONAL, campaign=None)
    deliver(store, 30, sender="third")
    accept(store, submission(*[f"queued{number}@example.org" for number in range(30)]))
    complain(store, 5)
    complain(store, 5, sender="other")
    assert alarms(store) == []


def test_a_freeze_is_made_once_and_a_thaw_holds(store):
    deliver(store, 30)
    complain(store, 5)
    assert freeze(store) == [Alarm("acme", 5, 30)]
    assert store.read_now(campaigns.frozen_senders) == {"acme"}
    assert freeze(store) == []
    store.write_now(complaint_rate.rest_frozen)
    store.write_now(lambda tx: campaigns.thaw(tx, "acme"))
    assert alarms(store) == []  # what froze the sender does not freeze it again
    deliver(store, 30, campaign="after")
    complain(store, 5, ago=timedelta(0))
    assert freeze(store)


def test_two_gateways_freeze_once(store):
    deliver(store, 30)
    complain(store, 5)
    found = alarms(store)
    made = [store.write_now(lambda tx: complaint_rate.freeze(tx, found)) for _ in range(2)]
    assert [len(one) for one in made] == [1, 0]


def test_what_a_frozen_sender_does_not_end_in_time_is_ended(store):
    """WP-15: two hours by default; another sender's mail, and mail on the wire, are left alone."""
    deliver(store, 30)
    accept(store, submission("late1@example.org", "late2@example.org"))
    (other,) = accept(store, submission("other@example.org", sender="other", campaign="theirs"))
    complain(store, 5)
    freeze(store)
    assert end_overdue(store, timedelta(hours=2)) == []
    (overdue,) = end_overdue(store, timedelta(0))
    assert (overdue.sender, overdue.ended) == ("acme", 2)
    assert end_overdue(store, timedelta(0)) == []
    states = {row["state"] for row in rows_of(store, tables.recipient, submission=other.submission)}
    assert states == {State.READY}


def test_whom_people_froze_is_left_to_people(store):
    accept(store, submission("waits@example.org"))
    store.write_now(lambda tx: campaigns.freeze(tx, "acme", "by hand"))
    assert end_overdue(store, timedelta(0)) == []


def test_a_thaw_ends_the_term(store):
    deliver(store, 30)
    complain(store, 5)
    freeze(store)
    store.write_now(lambda tx: campaigns.thaw(tx, "acme"))
    accept(store, submission("again@example.org"))
    store.write_now(lambda tx: campaigns.freeze(tx, "acme", "by hand"))
    assert end_overdue(store, timedelta(0)) == []


def end_overdue(store, within):
    return store.write_now(lambda tx: complaint_rate.end_overdue(tx, tx.now - within))
