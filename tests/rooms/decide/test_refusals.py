"""What stands against mailing: withdrawals, suppressions, erasure, and what overcomes them."""

import pytest

from gatepost.consent.evidence import EventKind, TextState
from gatepost.consent.standing import Suppression
from gatepost.mail.verdict import Reason
from support.cases import (
    ASKED,
    CONFIRMED,
    EXPLICIT,
    IMPLIED,
    LEFT,
    ago,
    bulk,
    fact,
    granted,
    judge,
    other_kinds,
    person,
    reason,
    returned,
    suppressed,
)

# --- withdrawal and return ---


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ([granted(9), LEFT], "withdrawn"),
        ([LEFT], "withdrawn"),
        ([LEFT, granted(3)], "withdrawn"),  # an import with a newer date
        ([LEFT, granted(3, actor="recipient")], "withdrawn"),
        ([LEFT, returned(3)], "consented"),  # HR-1
        ([LEFT, returned(5)], "withdrawn"),  # E5: newer than the opt-out
        ([LEFT, returned(6)], "withdrawn"),
        ([LEFT, returned(-1)], "withdrawn"),  # not yet
        ([LEFT, returned(3, actor="staff")], "withdrawn"),  # HR-4
        ([LEFT, returned(3, actor="staff", explanation="letter")], "consented"),
        (
            [LEFT, returned(3, actor="staff", explanation="bought", basis="purchase")],
            "withdrawn",
        ),  # X6
        ([LEFT, returned(3, basis="purchased-list")], "withdrawn"),  # HS-14
        ([LEFT, returned(3, text_state=TextState.NONE)], "withdrawn"),
        ([granted(9), LEFT, fact("resubscribed", 4, actor="recipient")], "consented"),  # HR-5
        ([LEFT, ASKED], "withdrawn"),
        (
            [fact("requested", 6, source="web", text_state=TextState.VALID), LEFT, CONFIRMED],
            "consented",
        ),
        ([granted(9), LEFT, returned(3), fact("withdrawn", 2)], "withdrawn"),
    ],
)
def test_withdrawal_and_return(facts, expected):
    verdict = judge(person(*facts))
    assert verdict.reason.value == expected
    if expected == "withdrawn":
        assert verdict.rule == "withdrawn"
        assert verdict.since == max(one.at for one in facts if one.kind is EventKind.WITHDRAWN)


def test_what_lifted_a_withdrawal_may_wear_off():
    someone = person(fact("withdrawn", 900), returned(800, basis="purchase"))
    assert reason(someone, bulk(**IMPLIED)) == "expired"
    older = person(granted(900), fact("withdrawn", 900), returned(800, basis="purchase"))
    assert reason(older, bulk(**IMPLIED)) == "expired"  # nothing older than the withdrawal revives


def test_an_unconfirmed_return_lifts_nothing_even_when_only_observed():  # JU-17, SO-8
    someone = person(LEFT, returned(3))
    assert reason(someone, bulk(double_opt_in=True)) == "withdrawn"
    assert reason(someone, bulk(double_opt_in=True, observe=True)) == "withdrawn"


# --- suppressions ---


@pytest.mark.parametrize("why", ["hard-bounce", "soft-bounces", "manual"])
def test_scope_all_stops_every_kind(why):  # ME-13
    someone = suppressed("all", why, granted(9))
    for stream in [bulk(), *other_kinds()]:
        verdict = judge(someone, stream)
        assert (verdict.reason, verdict.rule) == (Reason.SUPPRESSED, "suppressed-for-all")
        assert (verdict.since, verdict.note) == (ago(5), why)


@pytest.mark.parametrize("why", ["complaint", "unsubscribed", "manual"])
def test_scope_bulk_stops_bulk_only(why):  # HR-2, ME-13
    someone = suppressed("bulk", why, granted(9))
    assert reason(someone) == "suppressed"
    assert [reason(someone, stream) for stream in other_kinds()] == [
        "transactional",
        "service",
        "personal",
    ]


STAFF_RETURN = returned(3, actor="staff", explanation="letter")


@pytest.mark.parametrize(
    ("scope", "why", "act", "expected"),
    [
        ("bulk", "unsubscribed", returned(3), "consented"),  # HR-7, E2
        ("bulk", "unsubscribed", STAFF_RETURN, "consented"),  # HR-4
        ("bulk", "unsubscribed", returned(6), "suppressed"),
        ("bulk", "unsubscribed", granted(3), "suppressed"),
        ("bulk", "complaint", returned(3), "consented"),  # E4: by the person
        ("bulk", "complaint", STAFF_RETURN, "suppressed"),  # E4: not by staff
        ("bulk", "complaint", granted(3, actor="recipient"), "suppressed"),
        (
            "all",
            "hard-bounce",
            fact("confirmed", 3, actor="recipient", **EXPLICIT),
            "consented",
        ),  # E4
        ("all", "hard-bounce", returned(3), "suppressed"),
        ("all", "hard-bounce", STAFF_RETURN, "suppressed"),
        ("all", "manual", returned(3), "suppressed"),
        ("bulk", "manual", returned(3), "suppressed"),
        ("bulk", "erased", granted(3), "erased"),
        ("bulk", "erased", granted(3, actor="recipient"), "consented"),
        ("all", "erased", granted(9), "erased"),
        ("all", "something-new", returned(3), "suppressed"),
    ],
)
def test_what_overcomes_a_suppression(scope, why, act, expected):
    assert reason(suppressed(scope, why, act)) == expected


def test_returning_to_one_stream_revives_nothing_older():  # E2
    someone = suppressed(
        "bulk", "unsubscribed", granted(2000), returned(3, basis="purchase"), days=1000
    )
    assert reason(someone) == "suppressed"  # the purchase carries no explicit stream
    assert judge(someone, bulk(**IMPLIED)).since == ago(3)


def test_the_latest_suppression_is_named():
    someone = person(suppressions=[
        Suppression("bulk", "complaint", ago(9)), Suppression("bulk", "unsubscribed", ago(2)),
    ])  # fmt: skip
    assert judge(someone).note == "unsubscribed"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ([], "erased"),
        ([granted(9)], "erased"),
        ([granted(3)], "erased"),  # an import cannot bring an erased person back
        ([granted(3, actor="recipient")], "consented"),
    ],
)
def test_the_erased_stay_away_until_they_come_back(facts, expected):  # JU-24
    assert reason(person(*facts, erased_at=ago(5))) == expected


@pytest.mark.parametrize(
    ("rest", "stream"), [({"override": "recall"}, {}), ({}, {"observe": True})],
    ids=["override", "observe"],
)  # fmt: skip
def test_who_types_the_address_of_somebody_erased_brings_nobody_back(rest, stream):
    """JU-17: a sign-up is no act of theirs until they confirm; not even where consent may lack."""
    typed = fact("requested", 3, actor="recipient")
    confirmed = fact("confirmed", 2, **EXPLICIT | {"actor": "recipient", "basis": "double-opt-in"})
    judged = [
        reason(person(*facts, erased_at=ago(5)), stream=bulk(**stream), **rest)
        for facts in ([], [typed], [typed, confirmed])
    ]
    assert judged == ["erased", "erased", "consented"]
