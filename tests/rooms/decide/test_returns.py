"""Coming back after leaving: whose word counts for what (HR-1 … HR-8, E2 … E5, X6)."""

import pytest

from gatepost.consent.evidence import TextState
from support.cases import (
    CUSTOMER,
    IMPLIED,
    LEFT,
    bulk,
    granted,
    person,
    reason,
    returned,
    suppressed,
)

STAFF = {"actor": "staff", "explanation": "they signed a form at the fair"}
OTHERS = ["staff", "import", "mailer"]


@pytest.mark.parametrize("actor", OTHERS)
@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, "consented"),
        ({"basis": "written"}, "consented"),
        ({"explanation": " "}, "withdrawn"),  # HR-4
        ({"basis": ""}, "withdrawn"),  # HR-4
        ({"basis": "purchase"}, "withdrawn"),
        (CUSTOMER, "withdrawn"),
        ({"text_state": TextState.INVALID}, "withdrawn"),
        ({"text_state": TextState.NONE}, "withdrawn"),
        ({"basis": "purchased-list"}, "withdrawn"),
        ({"channels": "sms"}, "withdrawn"),
    ],
)
def test_others_bring_back_by_explicit_consent_on_a_valid_text(actor, more, expected):  # X6
    back = returned(2, **STAFF | {"actor": actor} | more)
    someone = person(granted(10), LEFT, back)
    for stream in (bulk(), bulk(soft_opt_in=True), bulk(**IMPLIED)):
        assert reason(someone, stream) == expected
    everything = suppressed("bulk", "unsubscribed", granted(10), back)
    assert reason(everything) == {"withdrawn": "suppressed"}.get(expected, expected)


def test_an_implied_basis_of_their_own_brings_back_where_it_counts():
    """HR-1: it is the person's own act, and worth what it would be worth without the leaving."""
    back = returned(2, basis="purchase")
    assert reason(person(granted(10), LEFT, back), bulk(**IMPLIED)) == "consented"
    assert reason(person(granted(10), LEFT, back)) == "withdrawn"


@pytest.mark.parametrize("why", ["complaint", "hard-bounce", "manual", "erased"])
def test_staff_lifts_nothing_that_is_the_persons(why):  # E4
    scope = "bulk" if why == "complaint" else "all"
    for actor in OTHERS:
        back = returned(2, **STAFF | {"actor": actor})
        assert reason(suppressed(scope, why, granted(10), back)) in {"suppressed", "erased"}


def test_the_person_lifts_a_complaint_and_a_confirmation_a_bounce():  # E4
    assert reason(suppressed("bulk", "complaint", returned(2))) == "consented"
    assert reason(suppressed("all", "hard-bounce", returned(2))) == "suppressed"
    confirmed = returned(2, basis="double-opt-in")
    assert reason(suppressed("all", "hard-bounce", confirmed)) == "consented"


def test_consent_for_other_channels_is_none_for_mail():  # JU-13
    assert reason(person(granted(10, channels="sms"))) == "outside-scope"
    assert reason(person(granted(10, channels="sms"), granted(10))) == "consented"
