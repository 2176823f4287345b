"""What evidence is worth: bases, texts, clocks, confirmation, scope."""

from datetime import UTC, datetime, timedelta

import pytest

from gatepost.consent.bases import Bases
from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.mail.duration import Duration
from gatepost.mail.verdict import Disposition, Reason, Verdict
from support.cases import (
    ASKED,
    CONFIRMED,
    CUSTOMER,
    EXPLICIT,
    IMPLIED,
    NOW,
    ago,
    bulk,
    fact,
    granted,
    judge,
    person,
    reason,
)

# --- consent ---


def test_a_stranger_is_not_mailed():  # HS-1, SO-4, WP-1, D1
    assert judge() == Verdict(Disposition.DROP, Reason.NO_CONSENT, "consent-lacking")


def test_consent_delivers_and_says_since_when():
    verdict = judge(person(granted(10)))
    assert verdict == Verdict(Disposition.DELIVER, Reason.CONSENTED, "eligible", ago(10))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (timedelta(milliseconds=1), "consented"),
        (timedelta(0), "no-consent"),
        (timedelta(days=-1), "no-consent"),
    ],
)
def test_consent_precedes_the_mail(given, expected):  # JU-1
    someone = person(Fact(kind=EventKind.GRANTED, at=NOW - given, **EXPLICIT))
    assert reason(someone) == expected


@pytest.mark.parametrize(
    "basis", ["form-checkbox", "newsletter-form", "double-opt-in", "written", "paper-form"]
)
def test_explicit_bases(basis):  # HS-4, HS-11
    assert reason(person(granted(basis=basis))) == "consented"
    assert reason(person(granted(days=9000, basis=basis))) == "consented"


@pytest.mark.parametrize(
    ("text_state", "expected"),
    [("valid", "consented"), ("invalid", "invalid-text"), ("none", "unverified-source")],
)
def test_explicit_consent_needs_a_valid_text(text_state, expected):  # JU-2, 4, 5, 9, 10, 12; WP-4
    assert reason(person(granted(text_state=TextState(text_state)))) == expected


@pytest.mark.parametrize(
    "basis",
    ["form", "purchase", "contract", "donation", "volunteering", "ad-conversion", "badge-scan",
     "business-card", "merger"],
)  # fmt: skip
def test_implied_bases_count_where_the_stream_allows(basis):  # HS-6..9, 12, 13, 21, 23
    someone = person(granted(basis=basis, text_state=TextState.NONE))
    assert reason(someone) == "weak-basis"
    verdict = judge(someone, bulk(**IMPLIED))
    assert verdict.reason is Reason.CONSENTED
    assert basis in verdict.note


def test_a_merger_is_marked_until_confirmed():  # HS-23
    transferred = fact("transferred", 9, source="web")
    verdict = judge(person(transferred), bulk(**IMPLIED))
    assert verdict.note == "merger: ask for a new confirmation"
    confirmed = person(transferred, fact("confirmed", 3, source="web", actor="recipient"))
    assert judge(confirmed, bulk(**IMPLIED)).note == "merger: explicit consent recommended"


@pytest.mark.parametrize("basis", ["friends-family", "employer-list", "in-person", "telepathy"])
def test_what_nobody_can_verify(basis):  # HS-20, HS-22, HS-24
    assert reason(person(granted(basis=basis)), bulk(**IMPLIED)) == "unverified-source"


@pytest.mark.parametrize(
    "basis",
    ["purchased-list", "rented-list", "borrowed-list", "third-party-list", "member-list",
     "former-company", "other-brand-form", "lead-vendor", "enrichment", "organiser-list",
     "inbound-mail", "found"],
)  # fmt: skip
def test_forbidden_bases_never_count(basis):  # HS-14..19, HS-21, WP-12
    forbidden = granted(basis=basis, confirmed_at=ago(5))
    assert reason(person(forbidden), bulk(**IMPLIED)) == "forbidden-source"
    assert reason(person(forbidden, granted())) == "consented"  # counts as none, not against


@pytest.mark.parametrize(
    ("facts", "soft", "requires_explicit", "expected"),
    [
        (CUSTOMER, True, True, "consented"),
        (CUSTOMER, False, True, "weak-basis"),
        (CUSTOMER, False, False, "consented"),
        (CUSTOMER | {"bought": False}, True, True, "weak-basis"),
        (CUSTOMER | {"informed": False}, True, True, "weak-basis"),
        (CUSTOMER | {"could_decline": False}, True, False, "weak-basis"),
        ({"basis": "purchase"}, True, True, "weak-basis"),
    ],
)
def test_the_existing_customer_exception_is_complete_or_nothing(  # WP-8, L-DK-2
    facts, soft, requires_explicit, expected
):
    someone = person(granted(**{"text_state": TextState.NONE} | facts))
    stream = bulk(soft_opt_in=soft, requires_explicit=requires_explicit)
    assert reason(someone, stream) == expected


# --- the clocks ---


@pytest.mark.parametrize(
    ("at", "now", "expected"),
    [
        ("2024-06-15T12:00:00+00:00", "2026-06-15T11:59:59.999+00:00", "consented"),
        ("2024-06-15T12:00:00+00:00", "2026-06-15T12:00:00+00:00", "expired"),
        ("2024-02-29T00:00:00+00:00", "2026-02-27T23:59:59+00:00", "consented"),
        ("2024-02-29T00:00:00+00:00", "2026-02-28T00:00:00+00:00", "expired"),  # A1
        ("2024-06-15T12:00:00+02:00", "2026-06-15T10:00:00+00:00", "expired"),
    ],
)
@pytest.mark.parametrize("basis", ["purchase", "contract", "donation", "volunteering", "customer"])
def test_relations_last_two_calendar_years(basis, at, now, expected):  # HS-7, HS-8, HS-9
    given = Fact(
        kind=EventKind.GRANTED, at=datetime.fromisoformat(at), **CUSTOMER | {"basis": basis}
    )
    moment = datetime.fromisoformat(now)
    assert reason(person(given), bulk(**IMPLIED), now=moment) == expected


def test_a_basis_made_stricter_expires_sooner():  # HS-26
    someone = person(granted(days=40, basis="purchase"))
    bases = Bases.built_in().stricter("purchase", lifetime=Duration(months=1))
    assert reason(someone, bulk(**IMPLIED), bases=bases) == "expired"


def test_explicit_consent_with_an_end_counts_from_its_confirmation():  # JU-17
    bases = Bases.built_in().stricter("written", lifetime=Duration(months=1))
    asked = {"days": 40, "basis": "written"}
    assert reason(person(granted(**asked)), bases=bases) == "expired"
    assert reason(person(granted(**asked, confirmed_at=ago(10))), bases=bases) == "consented"


def test_a_relation_counts_from_its_act():  # HS-7: confirming does not make a purchase younger
    someone = person(granted(days=900, basis="purchase", confirmed_at=ago(10)))
    assert reason(someone, bulk(**IMPLIED)) == "expired"


def test_the_latest_purchase_counts():  # A1
    purchases = [granted(days=days, basis="purchase") for days in (900, 100, 800)]
    assert judge(person(*purchases), bulk(**IMPLIED)).since == ago(100)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ([granted(3000, basis="membership")], "expired"),
        ([granted(3000, basis="membership", last_activity_at=ago(700))], "consented"),
        ([granted(3000, basis="membership", last_activity_at=ago(800))], "expired"),
        ([granted(3000, basis="membership"), fact("engaged", 1)], "expired"),
        (
            [granted(3000, basis="membership"), fact("engaged", 1, last_activity_at=ago(2))],
            "consented",
        ),
    ],
)
def test_membership_lasts_while_active(facts, expected):  # HS-10, A2
    assert reason(person(*facts), bulk(**IMPLIED)) == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ([granted(600)], "dormant"),
        ([granted(500)], "consented"),
        ([granted(600), fact("engaged", 500)], "consented"),
        ([granted(900), fact("engaged", 600)], "dormant"),
        (
            [Fact(kind=EventKind.GRANTED, at=datetime(2024, 12, 15, 12, tzinfo=UTC), **EXPLICIT)],
            "dormant",
        ),
    ],
)
def test_dormant_where_the_stream_says_so(facts, expected):  # WP-3, C1
    assert reason(person(*facts), bulk(max_inactive=Duration(months=18))) == expected
    assert reason(person(*facts)) == "consented"


# --- double opt-in and welcome ---


@pytest.mark.parametrize(
    ("facts", "double", "expected", "since"),
    [
        ([ASKED], False, "unconfirmed", 5),
        ([ASKED], True, "unconfirmed", 5),
        ([ASKED, CONFIRMED], True, "consented", 4),
        ([CONFIRMED, ASKED], False, "consented", 4),
        ([granted(9)], True, "unconfirmed", 9),
        ([granted(9, confirmed_at=ago(8))], True, "consented", 8),
        ([granted(9, basis="double-opt-in")], True, "consented", 9),
        ([ASKED, granted(9)], False, "consented", 9),
    ],
)
def test_double_opt_in(facts, double, expected, since):  # JU-17
    verdict = judge(person(*facts), bulk(double_opt_in=double))
    assert (verdict.reason.value, verdict.since) == (expected, ago(since))


def test_our_own_single_opt_in_waits_for_the_welcome_mail():  # JU-18, B2
    signed_up = granted(2, welcome_due=True)
    assert reason(person(signed_up)) == "welcome-pending"
    assert reason(person(signed_up, fact("welcomed", 1))) == "consented"


@pytest.mark.parametrize("welcomed", [[fact("welcomed", 4)], []], ids=["welcomed", "left-before"])
def test_who_undoes_a_withdrawal_awaits_no_other_welcome(welcomed):
    """All is as before (HR-7): the link they came back by was in a mail that reached them."""
    signed_up = granted(5, welcome_due=True)
    gone = [signed_up, *welcomed, fact("withdrawn", 3)]
    assert reason(person(*gone, fact("resubscribed", 2, actor="recipient"))) == "consented"
    again = fact("resubscribed", 2, actor="recipient", welcome_due=True, **EXPLICIT)
    assert reason(person(*gone, again)) == "welcome-pending"  # a form shows no such thing


# --- scope ---


@pytest.mark.parametrize(
    ("scope", "stream", "message", "expected"),
    [
        ((), {"shoes"}, set(), "consented"),
        (("shoes",), set(), set(), "consented"),
        (("shoes",), {"shoes"}, set(), "consented"),
        (("Shoes",), {"shoes"}, set(), "consented"),
        (("shoes",), {"hats"}, set(), "outside-scope"),
        (("shoes",), {"shoes", "hats"}, set(), "outside-scope"),
        (("shoes",), {"shoes/running"}, set(), "consented"),
        (("shoes/running",), {"shoes"}, set(), "outside-scope"),
        (("shoe",), {"shoes"}, set(), "outside-scope"),
        (("shoes",), {"shoes", "hats"}, {"shoes"}, "consented"),
        (("shoes",), {"shoes"}, {"hats"}, "outside-scope"),
    ],
)
def test_consent_covers_its_categories(scope, stream, message, expected):  # JU-14, JU-31
    someone = person(granted(categories=scope))
    stream = bulk(categories=frozenset(stream))
    assert reason(someone, stream, categories=frozenset(message)) == expected


@pytest.mark.parametrize("address", ["info@customer.example", "Sales@customer.example"])
def test_role_addresses(address):  # HS-25, A5
    assert reason(person(granted()), address=address) == "role-address"
    assert (
        reason(person(granted()), bulk(allow_role_addresses=True), address=address) == "consented"
    )


# --- the clocks ---


def test_a_contract_counts_from_its_end_where_that_is_known():  # HS-8, A1
    old = granted(days=2000, basis="contract")
    running = granted(days=2000, basis="contract", ends_at=NOW + timedelta(days=100))
    over = granted(days=2000, basis="contract", ends_at=ago(700))
    long_over = granted(days=2000, basis="contract", ends_at=ago(731))
    assert reason(person(old), bulk(**IMPLIED)) == "expired"
    assert reason(person(running), bulk(**IMPLIED)) == "consented"
    assert reason(person(over), bulk(**IMPLIED)) == "consented"
    assert reason(person(long_over), bulk(**IMPLIED)) == "expired"
    for facts in ((old, running), (running, old)):  # a later contract hides no longer one
        assert reason(person(*facts), bulk(**IMPLIED)) == "consented"
    assert reason(person(granted(days=800, basis="purchase", ends_at=NOW)), bulk(**IMPLIED)) == (
        "expired"
    )


@pytest.mark.parametrize(
    ("sign", "alive"),
    [
        (granted(days=5, basis="purchase"), True),
        (granted(days=5, basis="customer"), True),
        (granted(days=500, basis="purchase", last_activity_at=ago(5)), True),
        (granted(days=900, basis="purchase"), False),
        (granted(days=5, basis="purchased-list"), False),
        (granted(days=5, basis="friends-family"), False),
        (ASKED, False),  # anybody can type an address into a form
    ],
)
def test_every_act_of_the_person_is_a_sign_of_life(sign, alive):  # WP-3, C1
    stream = bulk(max_inactive=Duration(months=18))
    someone = person(granted(days=900, basis="written"), sign)
    assert reason(someone, stream) in ({"consented"} if alive else {"dormant", "unconfirmed"})


def test_a_role_address_that_is_allowed_is_flagged_without_double_opt_in():  # HS-25, A5
    stream = bulk(allow_role_addresses=True)
    for someone, note in (
        (person(granted()), "role address: double opt-in by a named person recommended"),
        (person(granted(basis="double-opt-in")), ""),
    ):
        assert judge(someone, stream, "info@customer.example").note == note
