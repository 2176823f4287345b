"""What came back, on both engines: counted once, folded, and derived again from events alone."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gatepost.consent.evidence import EventKind, Fact
from gatepost.feedback.bounces import Severity
from gatepost.mail.address import parse
from gatepost.store import people
from gatepost.store.returned import (
    Copy,
    Made,
    UnknownSubject,
    record_bounce,
    record_complaint,
    record_leaving,
)
from support.cases import judge
from support.consents import granted

ANNA = parse("anna@example.org")


@pytest.fixture
def anna(store):
    return store.write_now(lambda tx: people.ensure_subjects(tx, [ANNA]))[ANNA.key]


def bounce(store, anna, submission, severity=Severity.SOFT, *, sender="acme", limit=3):
    copy = Copy(anna, sender, submission)
    return store.write_now(lambda tx: record_bounce(tx, copy, severity, "5.2.2 full", limit))


def suppressions(store, anna):
    found = store.read_now(lambda tx: people.history_of_subject(tx, anna)).suppressions
    return [(one.sender, one.scope, one.reason) for one in found]


def test_soft_bounces_count_per_sender(store, anna):
    made = [bounce(store, anna, number) for number in (1, 2)]
    made += [bounce(store, anna, number, sender="other") for number in (3, 4)]
    assert made == [Made.COUNTED] * 4
    assert bounce(store, anna, 5) is Made.SUPPRESSED
    assert suppressions(store, anna) == [("acme", "all", "soft-bounces")]


def test_who_came_back_may_complain_of_the_same_copy_again(store, anna):
    """A report that comes twice counts once; but the last word is the person's."""
    copy = Copy(anna, "acme", 7)

    def complain():
        return store.write_now(lambda tx: record_complaint(tx, copy, "abuse"))

    def mailed():
        known = store.read_now(lambda tx: people.look_up(tx, [ANNA], "newsletter", "acme"))
        return judge(known[ANNA.key], now=store.now() + timedelta(hours=1)).delivers

    assert [complain(), complain()] == [Made.SUPPRESSED, Made.KNOWN]
    back = replace(granted(at=store.now() + timedelta(seconds=1)), kind=EventKind.RESUBSCRIBED)
    store.write_now(lambda tx: people.record(tx, ANNA, [back]))
    assert mailed()
    assert [complain(), complain()] == [Made.SUPPRESSED, Made.KNOWN]
    assert not mailed()


def test_what_says_nothing_is_not_recorded(store, anna):
    assert bounce(store, anna, 1, Severity.POLICY) is Made.IGNORED
    assert bounce(store, anna, 1, Severity.NONE) is Made.IGNORED
    assert store.read_now(lambda tx: people.history_of_subject(tx, anna)).events == ()


def test_a_limit_of_one(store, anna):
    assert bounce(store, anna, 1, limit=1) is Made.SUPPRESSED


def test_lifting_by_staff_begins_the_row_anew(store, anna):
    for number in (1, 2, 3):
        bounce(store, anna, number)
    lifted = Fact(kind=EventKind.SUPPRESSION_LIFTED, at=store.now(), sender="acme", actor="staff")
    store.write_now(lambda tx: people.record_for_subject(tx, anna, [lifted]))
    assert bounce(store, anna, 3) is Made.KNOWN
    assert bounce(store, anna, 4) is Made.COUNTED
    assert suppressions(store, anna) == []


def test_all_of_it_can_be_rebuilt(store, anna):
    for number in (1, 2, 3):
        bounce(store, anna, number)
    bounce(store, anna, 4, Severity.HARD)
    store.write_now(lambda tx: record_complaint(tx, Copy(anna, "acme", 4), "abuse"))
    before = suppressions(store, anna)
    assert before == [
        ("acme", "all", "hard-bounce"),
        ("acme", "all", "soft-bounces"),
        ("acme", "bulk", "complaint"),
    ]
    store.write_now(people.rebuild)
    assert suppressions(store, anna) == before


def test_leaving_twice_is_once_and_again_after_coming_back(store, anna):
    copy = Copy(anna, "acme", 1)

    def leave():
        return store.write_now(lambda tx: record_leaving(tx, copy, "newsletter"))

    assert leave() is Made.WITHDRAWN
    assert leave() is Made.KNOWN
    back = granted(at=store.now())
    store.write_now(lambda tx: people.record_for_subject(tx, anna, [back]))
    assert leave() is Made.WITHDRAWN


@pytest.mark.parametrize(
    "record",
    [
        lambda tx: record_bounce(tx, Copy(4711, "acme", 1), Severity.HARD, "", 3),
        lambda tx: record_complaint(tx, Copy(4711, "acme", 1), "abuse"),
        lambda tx: record_leaving(tx, Copy(4711, "acme", 1), "newsletter"),
    ],
)
def test_nobody_is_made_up(store, record):
    with pytest.raises(UnknownSubject):
        store.write_now(record)
