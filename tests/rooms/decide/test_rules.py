"""Who may be mailed: the rules, one table per question, and their order."""

from datetime import UTC, datetime, timedelta

import pytest

from gatepost.consent.bases import Bases
from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.fold import fold_all
from gatepost.consent.standing import STRANGER, Person, Suppression
from gatepost.flow.decide import RULES, Case, decide
from gatepost.mail.address import parse
from gatepost.mail.duration import Duration
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Kind, Stream, Unmodifiable
from gatepost.mail.verdict import Disposition, Reason, Verdict

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
SENDER = Sender(
    name="acme", legal_name="Acme AB", postal_address="Storgatan 1", public_url="https://m.example"
)
EXPLICIT = {"basis": "form-checkbox", "source": "web", "text_state": TextState.VALID}
CUSTOMER = {"basis": "customer", "bought": True, "informed": True, "could_decline": True}
IMPLIED = {"requires_explicit": False}


def ago(days):
    return NOW - timedelta(days=days)


def granted(days=10, **rest):
    return Fact(kind=EventKind.GRANTED, at=ago(days), **EXPLICIT | rest)


def fact(kind, days, **rest):
    return Fact(kind=EventKind(kind), at=ago(days), **rest)


def returned(days, **rest):
    return fact("resubscribed", days, **{"actor": "recipient", **EXPLICIT, **rest})


def person(*facts, suppressions=(), erased_at=None):
    return Person(7, fold_all(facts), tuple(suppressions), erased_at)


def bulk(**rest):
    return Stream(name="newsletter", kind=Kind.BULK, sender="acme", **rest)


def judge(someone=STRANGER, stream=None, address="anna@customer.example", **rest):
    values = {"sender": SENDER, "now": NOW, "bases": Bases.built_in()} | rest
    return decide(Case(stream=stream or bulk(), person=someone, address=parse(address), **values))


def reason(*arguments, **rest):
    return judge(*arguments, **rest).reason.value


# --- consent ---------------------------------------------------------------------------


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


# --- the clocks ------------------------------------------------------------------------


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


# --- double opt-in and welcome ----------------------------------------------------------

ASKED = fact("requested", 5, source="web", text_state=TextState.VALID)
CONFIRMED = fact("confirmed", 4, source="web", actor="recipient")


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


# --- scope -----------------------------------------------------------------------------


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


# --- withdrawal and return ----------------------------------------------------------------

LEFT = fact("withdrawn", 5)


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


# --- suppressions ------------------------------------------------------------------------


def suppressed(scope, why, *facts, days=5):
    return person(*facts, suppressions=[Suppression(scope, why, ago(days))])


def other_kinds():
    return [
        Stream(name="other", kind=kind, sender="acme") for kind in Kind if kind is not Kind.BULK
    ]


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


# --- other kinds of mail -----------------------------------------------------------------


def test_other_mail_needs_no_consent():  # HS-2, HR-2
    for stream in other_kinds():
        for someone in (STRANGER, person(LEFT), person(granted(basis="found"))):
            verdict = judge(someone, stream, address="info@customer.example")
            assert verdict.delivers
            assert verdict.reason.value == stream.kind.value
            assert verdict.rule == "no-consent-needed"


def test_undeclared_mass_mail_is_held():  # SO-3
    for stream in other_kinds():
        verdict = judge(stream=stream, undeclared_bulk=True)
        assert (verdict.disposition, verdict.reason) == (
            Disposition.QUARANTINE,
            Reason.UNDECLARED_BULK,
        )
    assert reason(person(granted()), undeclared_bulk=True) == "consented"


# --- override and observe -----------------------------------------------------------------

LACKING = {
    "no-consent": STRANGER,
    "expired": person(granted(days=900, basis="purchase", text_state=TextState.VALID)),
    "forbidden-source": person(granted(basis="found")),
}


def test_an_override_passes_missing_consent_and_a_withdrawal():  # SO-7
    for someone in [*LACKING.values(), person(granted(9), LEFT)]:
        verdict = judge(someone, override="recall of pumps")
        assert (verdict.disposition, verdict.reason) == (Disposition.DELIVER, Reason.OVERRIDE)
        assert verdict.note == "recall of pumps"
    assert judge(person(granted(9), LEFT), override="recall").since == ago(5)
    assert reason(address="info@customer.example", override="recall") == "override"


def test_an_override_is_not_needed_where_there_is_consent():
    assert reason(person(granted()), override="recall") == "consented"


@pytest.mark.parametrize(
    ("someone", "rest", "expected"),
    [
        (suppressed("bulk", "unsubscribed"), {}, "suppressed"),
        (suppressed("bulk", "complaint"), {}, "suppressed"),
        (suppressed("all", "hard-bounce"), {}, "suppressed"),
        (person(erased_at=ago(1)), {}, "erased"),
        (STRANGER, {"campaign_stopped": True}, "campaign-stopped"),
        (STRANGER, {"sender_frozen": True}, "sender-frozen"),
        (STRANGER, {"mismatch": "From"}, "sender-mismatch"),
        (STRANGER, {"open_recipients": True}, "open-recipients"),
    ],
)
def test_what_an_override_never_passes(someone, rest, expected):  # D2
    assert reason(someone, override="recall", **rest) == expected
    assert reason(someone, bulk(observe=True), **rest) == expected  # nor does observing


@pytest.mark.parametrize("lack", LACKING)
def test_observing_records_what_is_missing(lack):  # SO-8, D3
    assert reason(LACKING[lack], bulk(requires_explicit=lack != "expired")) == lack
    stream = bulk(observe=True, requires_explicit=lack != "expired")
    verdict = judge(LACKING[lack], stream)
    assert (verdict.disposition, verdict.reason) == (Disposition.DELIVER, Reason.OBSERVED)
    assert (verdict.rule, verdict.note) == ("eligible", lack)
    assert verdict.since == judge(LACKING[lack], bulk(requires_explicit=lack != "expired")).since


def test_observing_enforces_withdrawals():  # SO-8
    assert reason(person(granted(9), LEFT), bulk(observe=True)) == "withdrawn"
    assert reason(address="info@customer.example", stream=bulk(observe=True)) == "observed"


# --- the message --------------------------------------------------------------------------


def test_other_recipients_in_to():
    assert reason(person(granted()), open_recipients=True) == "open-recipients"
    assert reason(open_recipients=True) == "no-consent"  # what is missing is told first
    assert reason(stream=other_kinds()[0], open_recipients=True) == "transactional"


@pytest.mark.parametrize(
    ("policy", "disposition", "expected"),
    [
        (Unmodifiable.HEADERS, Disposition.DELIVER, "consented"),
        (Unmodifiable.QUARANTINE, Disposition.QUARANTINE, "unmodifiable"),
        (Unmodifiable.REJECT, Disposition.REJECT, "unmodifiable"),
    ],
)
def test_signed_and_encrypted_mail(policy, disposition, expected):
    verdict = judge(person(granted()), bulk(unmodifiable=policy), unmodifiable=True)
    assert (verdict.disposition, verdict.reason.value) == (disposition, expected)
    assert reason(STRANGER, bulk(unmodifiable=policy), unmodifiable=True) == "no-consent"


def test_a_frozen_sender_still_sends_other_mail():  # WP-14, WP-15
    assert reason(person(granted()), sender_frozen=True) == "sender-frozen"
    assert reason(stream=other_kinds()[0], sender_frozen=True) == "transactional"


def test_a_stopped_campaign_is_dropped_whatever_the_stream_says():  # WP-15
    verdict = judge(
        person(granted()), bulk(on_ineligible=Disposition.QUARANTINE), campaign_stopped=True
    )
    assert (verdict.disposition, verdict.reason) == (Disposition.DROP, Reason.CAMPAIGN_STOPPED)


def test_a_mismatch_is_told_in_words():  # WP-9
    verdict = judge(person(granted()), mismatch="From is another's")
    assert (verdict.reason, verdict.note) == (Reason.SENDER_MISMATCH, "From is another's")
    assert reason(stream=other_kinds()[0], mismatch="From is another's") == "sender-mismatch"


def test_bulk_mail_has_a_sender():  # WP-16
    assert reason(person(granted()), sender=None) == "sender-mismatch"
    assert reason(stream=Stream(name="office", kind=Kind.PERSONAL), sender=None) == "personal"


@pytest.mark.parametrize(
    "disposition", [Disposition.DROP, Disposition.QUARANTINE, Disposition.REJECT]
)
def test_the_stream_says_what_happens_to_the_ineligible(disposition):
    stream = bulk(on_ineligible=disposition)
    for someone in (STRANGER, person(LEFT), suppressed("bulk", "complaint")):
        assert judge(someone, stream).disposition is disposition


def test_nobody_can_configure_delivery_to_the_ineligible():
    with pytest.raises(ValueError, match="not eligible"):
        bulk(on_ineligible=Disposition.DELIVER)


# --- order ---------------------------------------------------------------------------------


def test_the_order_of_rules():
    """DESIGN, "Which verdict": each step taken away shows the next one."""
    everything = {
        "campaign_stopped": True, "sender_frozen": True, "mismatch": "From", "open_recipients": True,
        "unmodifiable": True,
    }  # fmt: skip
    stream = bulk(unmodifiable=Unmodifiable.REJECT)
    hindered = person(
        granted(days=9), LEFT,
        suppressions=[Suppression("all", "manual", ago(1)), Suppression("bulk", "complaint", ago(2))],
    )  # fmt: skip
    steps = [
        ("campaign-stopped", hindered, everything, "info@a.example"),
        ("sender-frozen", hindered, everything | {"campaign_stopped": False}, "info@a.example"),
    ]
    rest = {"open_recipients": True, "unmodifiable": True}
    bulk_only = person(LEFT, suppressions=[Suppression("bulk", "complaint", ago(2))])
    steps += [
        ("sender-mismatch", hindered, rest | {"mismatch": "From"}, "info@a.example"),
        ("suppressed-for-all", hindered, rest, "info@a.example"),
        ("suppressed-for-bulk", bulk_only, rest, "info@a.example"),
        ("erased", person(LEFT, erased_at=ago(1)), rest, "info@a.example"),
        ("withdrawn", person(LEFT), rest, "info@a.example"),
        ("role-address", STRANGER, rest, "info@a.example"),
        ("consent-lacking", STRANGER, rest, "anna@a.example"),
        ("open-recipients", person(granted()), rest, "anna@a.example"),
        ("unmodifiable", person(granted()), {"unmodifiable": True}, "anna@a.example"),
        ("eligible", person(granted()), {}, "anna@a.example"),
    ]
    found = [judge(someone, stream, address, **flags).rule for _, someone, flags, address in steps]
    assert found == [rule for rule, *_ in steps]
    of_bulk = [rule.__name__.replace("_", "-") for rule in RULES]
    assert [
        name for name in of_bulk if name not in {"undeclared-bulk", "no-consent-needed"}
    ] == found[:-1]


NEARNESS = [  # from nothing to nearly eligible
    ("forbidden-source", granted(basis="found")),
    ("unverified-source", granted(basis="in-person")),
    ("invalid-text", granted(text_state=TextState.INVALID)),
    ("weak-basis", granted(basis="purchase")),
    ("outside-scope", granted(categories=("hats",))),
    ("expired", granted(days=900, **CUSTOMER)),
    ("dormant", granted(days=800, basis="written")),
    ("unconfirmed", ASKED),
    ("welcome-pending", granted(welcome_due=True, source="own")),
]


@pytest.mark.parametrize("nearest", range(len(NEARNESS)))
def test_the_reason_nearest_to_eligible_is_given(nearest):
    stream = bulk(
        categories=frozenset({"shoes"}), soft_opt_in=True, max_inactive=Duration(months=24)
    )
    for facts in (NEARNESS[: nearest + 1], NEARNESS[nearest::-1], NEARNESS[nearest : nearest + 1]):
        assert reason(person(*(one for _, one in facts)), stream) == NEARNESS[nearest][0]


def test_the_best_evidence_is_named():
    someone = person(
        granted(days=9), granted(days=2, basis="purchase"), granted(days=1, **CUSTOMER)
    )
    verdict = judge(someone, bulk(**IMPLIED))
    assert (verdict.since, verdict.note) == (ago(9), "")
