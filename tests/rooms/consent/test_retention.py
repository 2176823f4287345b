"""When evidence may go: two years after the last mail, withdrawal or giving (JU-23, ME-6, X2)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.consent.bases import Bases
from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.fold import fold_all
from gatepost.consent.retention import Terms, can_carry_mail, expiry
from gatepost.mail.duration import Duration
from support.consents import granted, withdrawn

TERMS = Terms(evidence=Duration(months=24), unconfirmed=Duration(seconds=30 * 86400))
BASES = Bases.built_in()


def at(year, month, day):
    return datetime(year, month, day, 12, tzinfo=UTC)


def requested(**more):
    return Fact(kind=EventKind.REQUESTED, sender="acme", stream="newsletter", **more)


def in_force(facts, now, *ended):
    return can_carry_mail(fold_all(facts), list(ended), BASES, now)


@pytest.mark.parametrize(
    ("facts", "last_used", "due"),
    [
        ([granted(at=at(2024, 3, 1))], None, at(2026, 3, 1)),
        ([granted(at=at(2024, 3, 1))], at(2025, 7, 9), at(2027, 7, 9)),
        ([granted(at=at(2024, 3, 1)), withdrawn(at=at(2025, 1, 1))], None, at(2027, 1, 1)),
        ([granted(at=at(2024, 2, 29))], None, at(2026, 2, 28)),
        ([granted(at=at(2022, 2, 28))], at(2022, 2, 28), at(2024, 2, 28)),
        ([granted(at=at(2020, 1, 1), confirmed_at=at(2020, 1, 9))], None, at(2022, 1, 9)),
    ],
    ids=["given", "sent", "withdrawn", "leap day", "into a leap year", "confirmed"],
)
def test_the_last_of_all_counts(facts, last_used, due):
    """JU-23, B1: max(last sent, withdrawn, given) + 2 years, on the calendar."""
    assert expiry(facts, last_used, TERMS).due == due


def test_a_request_that_nobody_confirmed_has_a_term_of_its_own():
    asked = requested(at=at(2026, 1, 1))
    found = expiry([asked], None, TERMS)
    assert (found.rule, found.due) == ("unconfirmed", at(2026, 1, 31))
    confirmed = replace(asked, kind=EventKind.CONFIRMED, at=at(2026, 1, 2))
    assert expiry([asked, confirmed], None, TERMS).due == at(2028, 1, 2)


def test_what_proves_nothing_has_no_term():
    bounced = Fact(kind=EventKind.BOUNCED, at=at(2020, 1, 1), sender="acme")
    assert expiry([bounced], None, TERMS) is None
    assert expiry([], None, TERMS) is None


def test_a_consent_in_force_keeps_its_evidence_however_old():
    """X2: the evidence clock does not end a consent, and never runs ahead of it."""
    old = granted(at=at(2015, 1, 1))
    now = at(2026, 1, 1)
    assert in_force([old], now)
    assert not in_force([old, withdrawn(at=at(2016, 1, 1))], now)
    assert not in_force([old], now, at(2016, 1, 1))
    assert in_force([old, withdrawn(at=at(2014, 1, 1))], now)


@pytest.mark.parametrize(
    ("more", "stays"),
    [
        ({"basis": "purchase"}, False),
        ({"basis": "purchased-list"}, False),
        ({"basis": "in-person"}, False),
        ({"text_state": TextState.INVALID}, False),
        ({"text_state": TextState.NONE}, False),
        ({"basis": "form-checkbox"}, True),
        ({"basis": "membership"}, False),
        ({"basis": "contract"}, False),
        ({"basis": "contract", "ends_at": at(2024, 6, 1)}, True),
        ({"basis": "membership", "last_activity_at": at(2025, 1, 1)}, True),
    ],
)
def test_what_can_carry_no_mail_keeps_nothing(more, stays):
    assert in_force([granted(at=at(2020, 1, 1), **more)], at(2026, 1, 1)) is stays


def test_a_purchase_ends_with_the_relation_and_the_proof_two_years_later():
    """X2: three clocks. HS-7 ends the consent; JU-23 lets the evidence go later."""
    bought = granted(basis="purchase", at=at(2024, 2, 29))
    assert in_force([bought], at(2026, 2, 27))
    assert not in_force([bought], at(2026, 2, 28))
    assert expiry([bought], at(2026, 2, 20), TERMS).due == at(2028, 2, 20)


FIRST = at(2019, 1, 1)
MOMENTS = st.integers(0, 10 * 365 * 24).map(lambda hours: FIRST + timedelta(hours=hours))


@given(st.lists(MOMENTS, min_size=1, max_size=4), st.none() | MOMENTS)
def test_nothing_goes_before_two_years_have_passed_since_anything(moments, last_used):
    """The same rule said without the calendar: at least 730 days after each moment."""
    facts = [granted(at=moments[0]), *(withdrawn(at=moment) for moment in moments[1:])]
    due = expiry(facts, last_used, TERMS).due
    last = max([fact.at for fact in facts] + ([last_used] if last_used else []))
    assert timedelta(days=730) <= due - last <= timedelta(days=731)
