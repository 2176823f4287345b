"""When eligibility ends: the clocks' own arithmetic against asking the rules day by day."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatepost.consent.bases import Bases
from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.flow.decide import Case, decide
from gatepost.flow.decide.ending import ending
from gatepost.mail.address import parse
from gatepost.mail.duration import Duration
from support.cases import CUSTOMER, IMPLIED, NOW, SENDER, ago, bulk, fact, granted, person

DAY = timedelta(days=1)
LEAP = datetime(2024, 2, 29, 12, tzinfo=UTC)


def case(someone, stream=None, now=NOW, bases=None):
    return Case(
        stream=stream or bulk(**IMPLIED), sender=SENDER, address=parse("anna@kund.example"),
        person=someone, now=now, bases=bases or Bases.built_in(),
    )  # fmt: skip


def stepped(one, days=2300):  # four years ahead, two of life, and some
    """The first day on which the rules refuse, asked day by day; `None` if they never do."""
    for number in range(days):
        verdict = decide(replace(one, now=one.now + number * DAY))
        if not verdict.delivers:
            return number, verdict.reason
    return None


def test_consent_without_a_lifetime_does_not_end():
    assert ending(case(person(granted()))) is None


def test_who_is_not_eligible_has_no_end():
    assert ending(case(person())) is None
    assert ending(case(person(granted(days=800, basis="purchase")))) is None
    assert ending(case(person(granted(), fact("withdrawn", 1)))) is None


def test_a_relation_ends_two_years_after_the_act():
    found = ending(case(person(granted(days=700, basis="purchase"))))
    assert found.reason.value == "expired"
    assert found.at == Duration(months=24).after(ago(700))
    assert found.grant.basis == "purchase"


@pytest.mark.parametrize(
    ("at", "until"),
    [
        (LEAP, datetime(2026, 2, 28, 12, tzinfo=UTC)),
        (LEAP - DAY, datetime(2026, 2, 28, 12, tzinfo=UTC)),
        (LEAP + DAY, datetime(2026, 3, 1, 12, tzinfo=UTC)),
        (LEAP.replace(year=2022, day=28), datetime(2024, 2, 28, 12, tzinfo=UTC)),
    ],
)
def test_leap_days(at, until):  # A1
    someone = person(Fact(kind=EventKind.GRANTED, at=at, basis="purchase", source="shop"))
    one = case(someone, now=until - DAY)
    assert ending(one).at == until
    assert decide(replace(one, now=until - timedelta(milliseconds=1))).delivers
    assert not decide(replace(one, now=until)).delivers


def test_the_longest_lasting_evidence_counts():
    shop, soon = granted(days=100, basis="purchase"), granted(days=700, basis="donation")
    assert ending(case(person(soon, shop))).at == Duration(months=24).after(ago(100))
    assert ending(case(person(soon, shop, granted()))) is None


def test_dormancy_ends_it_for_explicit_consent_too():  # WP-3
    stream = bulk(max_inactive=Duration(months=18))
    someone = person(granted(days=400), fact("engaged", 300))
    found = ending(case(someone, stream))
    assert found.reason.value == "dormant"
    assert found.at == Duration(months=18).after(ago(300))


moments = st.integers(0, 1460).map(lambda days: datetime(2022, 12, 1, 12, tzinfo=UTC) + days * DAY)
facts = st.one_of(
    st.builds(
        Fact,
        kind=st.just(EventKind.GRANTED),
        at=moments,
        basis=st.sampled_from(
            ["purchase", "contract", "membership", "form", "form-checkbox", "customer", "found"]
        ),
        source=st.sampled_from(["web", "shop"]),
        text_state=st.just(TextState.VALID),
        last_activity_at=st.none() | moments,
        ends_at=st.none() | moments,
        bought=st.just(True), informed=st.booleans(), could_decline=st.just(True),
    ),
    st.builds(Fact, kind=st.just(EventKind.ENGAGED), at=moments, last_activity_at=st.none() | moments),
    st.builds(Fact, kind=st.just(EventKind.WITHDRAWN), at=moments, actor=st.just("recipient")),
)  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(facts, max_size=5),
    st.sampled_from([None, Duration(months=12), Duration(months=18)]),
    st.booleans(),
)
def test_the_date_is_the_one_that_asking_day_by_day_finds(history, limit, explicit):
    stream = bulk(max_inactive=limit, requires_explicit=explicit, soft_opt_in=True)
    now = max([one.at for one in history], default=LEAP) + timedelta(hours=12)
    one = case(person(*history), stream, now)
    found, asked = ending(one), stepped(one)
    if not decide(one).delivers or asked is None:
        assert found is None
        return
    assert found is not None
    number, reason = asked
    assert now + (number - 1) * DAY < found.at <= now + number * DAY
    assert found.reason == reason


def test_a_customer_relation_ends_like_any_other():
    one = case(person(granted(days=10, **CUSTOMER)), bulk(soft_opt_in=True))
    assert ending(one).at == Duration(months=24).after(ago(10))
