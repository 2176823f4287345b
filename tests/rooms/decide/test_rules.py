"""The rules and their order: kinds of mail, override, observing, the message."""

import pytest

from gatepost.consent.evidence import TextState
from gatepost.consent.standing import STRANGER, Suppression
from gatepost.flow.decide import RULES
from gatepost.mail.duration import Duration
from gatepost.mail.stream import Kind, Stream, Unmodifiable
from gatepost.mail.verdict import Disposition, Reason
from support.cases import (
    ASKED,
    CUSTOMER,
    IMPLIED,
    LEFT,
    ago,
    bulk,
    granted,
    judge,
    other_kinds,
    person,
    reason,
    suppressed,
)

# --- other kinds of mail ---


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


# --- override and observe ---


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


# --- the message ---


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


# --- order ---


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
    ("invalid-text", granted(days=800, text_state=TextState.INVALID)),
    ("weak-basis", granted(days=800, basis="purchase")),
    ("outside-scope", granted(days=800, categories=("hats",))),
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
        told = dict(facts)
        if "welcome-pending" in told:
            told.pop("dormant", None)  # a sign-up is a sign of life: nobody is dormant beside it
        assert reason(person(*told.values()), stream) == NEARNESS[nearest][0]


def test_the_best_evidence_is_named():
    someone = person(
        granted(days=9), granted(days=2, basis="purchase"), granted(days=1, **CUSTOMER)
    )
    verdict = judge(someone, bulk(**IMPLIED))
    assert (verdict.since, verdict.note) == (ago(9), "")
