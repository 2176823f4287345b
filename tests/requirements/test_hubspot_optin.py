"""HS-1 … HS-26: what counts as opt-in consent, asked of the real rules and commands."""

import pytest

from gatepost.consent.bases import BUILT_IN, Bases, Strength
from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.mail.duration import Duration
from support.cases import (
    CUSTOMER,
    EXPLICIT,
    IMPLIED,
    ago,
    bulk,
    fact,
    granted,
    judge,
    other_kinds,
    person,
    reason,
)
from support.command import Site

TOLERANT = bulk(**IMPLIED)  # HubSpot's own rules: implied consent counts


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def reason_on(basis, days=10, stream=TOLERANT, **more):
    return reason(person(granted(days=days, basis=basis, **more)), stream)


def test_hs_1_nobody_without_permission():
    """HS-1."""
    assert not judge().delivers
    assert reason() == "no-consent"


def test_hs_2_personal_mail_needs_no_permission():
    """HS-2."""
    personal = next(stream for stream in other_kinds() if stream.kind == "personal")
    assert reason(stream=personal) == "personal"


def test_hs_3_every_basis_is_of_one_class():
    """HS-3: implied or express, or none that counts; none has two rows."""
    names = [row.name for row in BUILT_IN]
    assert len(names) == len(set(names))
    assert {row.name for row in BUILT_IN if row.strength is Strength.IMPLIED} == {
        "form", "purchase", "contract", "donation", "volunteering", "membership",
        "ad-conversion", "badge-scan", "business-card", "merger",
    }  # fmt: skip


def test_hs_4_express_consent_has_these_methods_and_no_other():
    """HS-4, with the sign-up forms of HS-11."""
    express = {row.name for row in BUILT_IN if row.strength is Strength.EXPLICIT}
    assert express == {
        "written", "form-checkbox", "double-opt-in", "newsletter-form", "paper-form",
    }  # fmt: skip
    for row in BUILT_IN:
        assert (reason_on(row.name, stream=bulk()) == "consented") is (row.name in express)


def test_hs_5_not_having_opted_out_is_no_consent(site):
    """HS-5: neither on record nor in an import."""
    assert reason(person(Fact(kind=EventKind.GRANTED, at=ago(3), source="web"))) == "no-consent"
    site.add_source()
    file = site.file("people.csv", "address,event_at\nanna@kund.example,2024-01-01\n")
    words = ("consent", "import", file, "--source", "web", "--stream", "newsletter")
    answer = site.run(*words)
    assert answer.status == 1
    assert "no basis" in answer.out
    assert site.standing("anna@kund.example")["reason"] == "no-consent"


def test_hs_6_a_form_on_the_senders_site_is_implied_consent():
    """HS-6, A3: only where implied consent is enough."""
    assert reason_on("form") == "consented"
    assert reason_on("form", stream=bulk()) == "weak-basis"


@pytest.mark.parametrize(
    "basis",
    [
        pytest.param("purchase", id="HS-7"),
        pytest.param("contract", id="HS-8"),
        pytest.param("donation", id="HS-9"),
        pytest.param("volunteering", id="HS-9-volunteering"),
    ],
)
def test_hs_7_8_9_a_dealing_of_the_last_two_years(basis):
    """HS-7, HS-8, HS-9: on the calendar, from the latest act, at the time of sending (A1)."""
    assert reason_on(basis, 729) == "consented"
    assert reason_on(basis, 730) == "expired"  # 15 June 2026 is two years after 15 June 2024
    both = person(granted(days=900, basis=basis), granted(days=5, basis=basis))
    assert reason(both, TOLERANT) == "consented"


def test_hs_10_members_while_they_are_active():
    """HS-10, A2: activity that nobody reported is none."""
    assert reason_on("membership") == "expired"
    assert reason_on("membership", 3000, last_activity_at=ago(20)) == "consented"
    assert reason_on("membership", 3000, last_activity_at=ago(731)) == "expired"
    used = fact("engaged", 20, last_activity_at=ago(20))
    assert reason(person(granted(days=3000, basis="membership"), used), TOLERANT) == "consented"


@pytest.mark.parametrize("basis", ["newsletter-form", "paper-form"])
def test_hs_11_newsletter_forms_on_paper_and_on_screen(basis):
    """HS-11."""
    assert reason_on(basis, stream=bulk()) == "consented"


def test_hs_12_whoever_answered_our_advertisement():
    """HS-12."""
    assert reason_on("ad-conversion") == "consented"


def test_hs_13_implied_consent_is_flagged_and_not_blocked():
    """HS-13: the report recommends explicit consent."""
    verdict = judge(person(granted(basis="purchase")), TOLERANT)
    assert verdict.delivers
    assert verdict.note == "purchase: explicit consent recommended"
    assert judge(person(granted())).note == ""


@pytest.mark.parametrize(
    "basis",
    [
        pytest.param(name, id=f"{item}-{name}")
        for item, names in {
            "HS-14": ("purchased-list", "rented-list", "borrowed-list", "third-party-list"),
            "HS-15": ("member-list",),
            "HS-16": ("former-company",),
            "HS-17": ("other-brand-form",),
            "HS-18": ("lead-vendor", "enrichment"),
            "HS-19": ("inbound-mail",),
            "HS-21": ("organiser-list",),
        }.items()
        for name in names
    ],
)
def test_hs_14_to_19_lists_of_others_never_count(basis):
    """HS-14, HS-15, HS-16, HS-17, HS-18, HS-19: whatever the list claims."""
    claims = {"confirmed_at": ago(2), "text_state": TextState.VALID, "actor": "recipient"}
    assert reason_on(basis, **claims) == "forbidden-source"
    assert reason_on(basis, **claims, **{k: v for k, v in CUSTOMER.items() if k != "basis"}) == (
        "forbidden-source"
    )


def test_hs_18_enriching_a_profile_changes_nothing_for_who_agreed():
    """HS-18: bought data beside a consent neither makes nor breaks it."""
    assert reason(person(granted(), granted(days=1, basis="enrichment"))) == "consented"


def test_hs_16_consent_does_not_follow_to_another_company(site):
    """HS-16: a source that collects for one company gives nothing to another."""
    site.add_source()
    site.config.write_text(
        site.config.read_text()
        + '[senders.new]\nname = "New AB"\npostal_address = "A 1"\ncontact = "k@new.example"\n'
        'from = ["@new.example"]\n[streams.fresh]\nkind = "bulk"\ntitle = "F"\nsender = "new"\n'
    )
    answer = site.grant("anna@kund.example", stream="fresh")
    assert answer.status != 0
    assert "collects for acme, not for new" in answer.err


@pytest.mark.parametrize(
    "basis",
    [
        pytest.param("friends-family", id="HS-20"),
        pytest.param("employer-list", id="HS-22"),
        pytest.param("in-person", id="HS-24"),
    ],
)
def test_hs_20_22_24_what_nobody_can_verify_waits_for_a_consent(basis):
    """HS-20, HS-22, HS-24: held until one acceptable form exists."""
    assert reason_on(basis) == "unverified-source"
    assert reason(person(granted(basis=basis), granted(days=1)), bulk()) == "consented"


@pytest.mark.parametrize("basis", ["badge-scan", "business-card", "form"])
def test_hs_21_what_people_do_at_our_own_booth_counts(basis):
    """HS-21."""
    assert reason_on(basis) == "consented"
    assert reason_on("organiser-list") == "forbidden-source"


def test_hs_23_a_merger_carries_consent_over_and_asks_for_a_new_one():
    """HS-23: a warning, no block; the confirmation ends it."""
    moved = Fact(kind=EventKind.TRANSFERRED, at=ago(30), source="web")
    verdict = judge(person(moved), TOLERANT)
    assert verdict.delivers
    assert verdict.note == "merger: ask for a new confirmation"
    again = Fact(kind=EventKind.CONFIRMED, at=ago(2), source="web", actor="recipient")
    assert "new confirmation" not in judge(person(moved, again), TOLERANT).note


@pytest.mark.parametrize("name", ["info", "MARKETING", "sales", "webmaster"])
def test_hs_25_roles_cannot_consent(name):
    """HS-25, A5."""
    address = f"{name}@customer.example"
    assert reason(person(granted()), address=address) == "role-address"


def test_hs_26_settings_make_it_stricter_only(site):
    """HS-26: local law wins where it is stricter."""
    shorter = Bases.built_in().stricter("purchase", lifetime=Duration(months=12))
    someone = person(granted(days=400, basis="purchase"))
    assert reason(someone, TOLERANT) == "consented"
    assert reason(someone, TOLERANT, bases=shorter) == "expired"
    with pytest.raises(ValueError, match="can only be made stricter"):
        Bases.built_in().stricter("purchase", lifetime=Duration(months=25))
    with pytest.raises(ValueError, match="never counts"):
        Bases.built_in().stricter("found", lifetime=Duration(months=1))
    assert EXPLICIT["basis"] not in {row.name for row in BUILT_IN if row.lifetime}
