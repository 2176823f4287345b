"""JU-18 … JU-24: what follows a sign-up, and what is kept of it, on the real ledger and pages."""

import json
from dataclasses import replace
from datetime import datetime

import pytest

from gatepost.config.gateway import RetentionSettings
from gatepost.consent.retention import Terms, expiry
from gatepost.mail.address import parse
from gatepost.mail.duration import Duration
from gatepost.store import people
from support.cases import fact, granted, person, reason
from support.command import Site
from support.signups import add_form, filled, letters
from support.site import served
from support.visiting import visiting

ANNA = "anna@kund.example"


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    made.add_source("web", "--url", "https://acme.example/signup")
    return made


def shown(site, name, *words):
    """The dossier of Anna as values."""
    file = site.folder / name
    site.ok("consent", "dossier", ANNA, "-o", file, *words)
    return json.loads(file.read_text("utf-8"))


async def test_ju_18_a_single_opt_in_gets_its_welcome_with_a_way_out(tmp_path):
    """JU-18, B2: the letter leaves at once, and until then nobody is eligible."""
    signed_up = granted(2, welcome_due=True)
    assert reason(person(signed_up)) == "welcome-pending"
    assert reason(person(signed_up, fact("welcomed", 1))) == "consented"
    async with (
        served(tmp_path, letters=True) as web,
        visiting(web.url) as client,
    ):
        await web.store.write(add_form)
        await client.post("/subscribe/web", data=await filled(web, "newsletter"))
        (letter,) = letters(web.store)
        assert "/u/" in str(letter) or "/p/" in str(letter)


async def test_ju_19_there_is_one_mail_to_confirm_and_no_reminder(tmp_path):
    """JU-19: however often somebody signs up."""
    async with (
        served(tmp_path, letters=True) as web,
        visiting(web.url) as client,
    ):
        await web.store.write(add_form)
        for _ in range(3):
            await client.post("/subscribe/web", data=await filled(web, "club"))
        assert len(letters(web.store)) == 1


def test_ju_21_time_circumstances_and_what_was_shown(site):
    """JU-21: all three are on record; what is not is said to be missing."""
    site.grant(ANNA, "--at", "2026-01-15T09:30:00Z")
    (consent,) = shown(site, "anna.json")["consents"]
    asked = {one["question"]: one for one in consent["answers"]}
    for question in ("when", "how", "terms"):
        assert "JU-21" in asked[question]["asked_by"]
        assert not asked[question]["missing"]
    assert asked["picture"]["missing"]
    assert "no-picture" in consent["marks"]


def test_ju_22_the_person_and_an_authority_get_it_all(site):
    """JU-22: for any one address, for reading and for programs, also when there is nothing."""
    site.grant(ANNA)
    page = site.folder / "anna.html"
    site.ok("consent", "dossier", ANNA, "-o", page, "--language", "da")
    assert "Hvornår blev adressen indsamlet?" in page.read_text("utf-8")
    assert shown(site, "anna.json")["held"]
    stranger = site.folder / "stranger.json"
    site.ok("consent", "dossier", "nobody@kund.example", "-o", stranger)
    assert json.loads(stranger.read_text("utf-8"))["held"] is False


def test_ju_23_evidence_stays_for_two_years_after_its_last_use(site):
    """JU-23: a run of retention before that takes nothing; `used` and `kept-until` say so."""
    site.grant(ANNA)
    before = site.kinds(ANNA)
    site.ok("retention", "run")
    assert site.kinds(ANNA) == before
    (consent,) = shown(site, "anna.json")["consents"]
    asked = {one["question"]: one["answer"] for one in consent["answers"]}
    given, kept = asked["when"][0]["value"], asked["kept-until"][0]["value"]
    assert int(kept[:4]) - int(given[:4]) == 2


@pytest.mark.parametrize(
    ("given", "used", "left", "due"),
    [
        ("2020-03-01", None, None, "2022-03-01"),
        ("2020-03-01", "2024-02-29", None, "2026-02-28"),
        ("2020-03-01", "2021-05-01", "2023-06-01", "2025-06-01"),
    ],
)
def test_ju_23_the_date_is_two_years_after_the_last_of_all(given, used, left, due):
    """JU-23, B1: after the consent, the last mail sent on it, or its withdrawal."""
    facts = [replace(granted(), at=noon(given))]
    facts += [replace(fact("withdrawn", 0), at=noon(left))] if left else []
    terms = Terms(evidence=RetentionSettings().evidence, unconfirmed=Duration(months=1))
    assert expiry(facts, noon(used) if used else None, terms).due == noon(due)


def noon(day):
    return datetime.fromisoformat(f"{day}T12:00:00+00:00")


def test_ju_24_an_erasure_spares_what_proves_the_consent(site):
    """JU-24: everything else goes at once, and no mail is sent any more."""
    site.grant(ANNA)
    engaged = fact("engaged", 0, sender="acme", stream="newsletter", note="opened the March letter")
    with site.store() as store:
        store.write_now(lambda tx: people.record(tx, parse(ANNA), [engaged]))
    site.ok("consent", "erase", ANNA)
    found = shown(site, "anna.json")
    said = json.dumps(found)
    assert "opened the March letter" not in said
    assert [one["basis"] for one in found["consents"]] == ["form-checkbox"]
    assert site.standing(ANNA)["reason"] == "erased"
