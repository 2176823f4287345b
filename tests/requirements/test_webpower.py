"""WP-1 … WP-17: an anti-spam policy, on the real ledger, rules, footers, pages and commands.

WP-13 (what a mail may contain) no program can judge: the test is that whoever finds such a mail
can stop it and its sender at once.
"""

import json
from dataclasses import replace

import pytest

from gatepost.app.texts import LANGUAGES, Texts
from gatepost.config.gateway import ComplaintSettings
from gatepost.consent.tokens import Purpose
from gatepost.mail.duration import Duration
from gatepost.mail.sender import Sender
from support.cases import CUSTOMER, IMPLIED, SENDER, ago, bulk, fact, granted, judge, person, reason
from support.command import Site
from support.reports import arf, original
from support.returning import station
from support.site import served
from support.visiting import visiting

ANNA = "anna@kund.example"
VISTABOVA = Sender(
    name="vista",
    legal_name="Vistabova AB",
    postal_address="Storgatan 1\n111 22 Stockholm",
    public_url="https://mail.example.org",
    from_patterns=("@vista.example",),
    from_names=("Vistabova AB",),
)


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    made.add_source("web", "--url", "https://acme.example/signup")
    return made


def dossier(site, address=ANNA, place=0):
    """The answers about one consent, by question."""
    file = site.folder / "dossier.json"
    site.ok("consent", "dossier", address, "-o", file)
    found = json.loads(file.read_text("utf-8"))
    return {
        one["question"]: {part.get("what", ""): part["value"] for part in one["answer"]}
        for one in found["consents"][place]["answers"]
    }


@pytest.mark.parametrize("address", [ANNA, "info@company.example"])
def test_wp_1_without_specific_permission_it_is_spam(address):
    """WP-1: for people and for organisations."""
    assert not judge(address=address).delivers


def test_wp_2_the_consent_behind_any_mail_can_be_shown(site):
    """WP-2: no exemption for companies."""
    site.grant("buyer@company.example")
    assert site.standing("buyer@company.example")["reason"] == "consented"
    shown = dossier(site, "buyer@company.example")
    assert shown["terms"][""].startswith("I want the newsletter")
    assert shown["form"]["event"] > 0


@pytest.mark.parametrize(
    ("silent", "expected"), [(545, "consented"), (550, "dormant"), (3000, "dormant")]
)
def test_wp_3_not_after_18_months_without_a_sign_of_life(silent, expected):
    """WP-3, C1: where the stream says so, because it needs reported engagement."""
    stream = bulk(max_inactive=Duration(months=18))
    assert reason(person(granted(silent)), stream) == expected
    assert reason(person(granted(3000), fact("engaged", silent)), stream) == expected
    assert reason(person(granted(3000))) == "consented"


@pytest.mark.parametrize("flag", ["--in-terms", "--pre-ticked", "--conditional"])
def test_wp_4_hidden_clauses_make_no_consent(site, flag):
    """WP-4: such a text cannot be put to use, and a consent on it never counts."""
    text = site.file("hidden.txt", "I agree that Acme AB may write, and can say no any time.\n")
    site.run(
        "source", "add", "hidden", "--sender", "acme", "--kind", "form", "--text-file", text,
        "--attest", "voluntary,informed,specific,states-withdrawal", flag,
    )  # fmt: skip
    site.run(
        "consent", "grant", ANNA, "--source", "hidden", "--basis", "form-checkbox",
        "--stream", "newsletter",
    )  # fmt: skip
    assert site.standing(ANNA)["reason"] == "invalid-text"


def test_wp_5_the_specific_act_is_recorded(site):
    """WP-5: no basis, no consent; the act stands in the dossier."""
    answer = site.run("consent", "grant", ANNA, "--source", "web", "--stream", "newsletter")
    assert answer.status == 2
    site.grant(ANNA)
    assert dossier(site)["act"][""] == "basis-form-checkbox"


def test_wp_6_what_a_spam_complaint_asks(site):
    """WP-6: when and how, third parties, newsletter, customer relation."""
    site.grant(ANNA, "--at", "2026-01-15T09:30:00Z")
    shown = dossier(site)
    assert shown["when"]["act"] == "2026-01-15T09:30:00.000Z"
    assert shown["how"]["source-kind"] == "source-form"
    assert shown["third-party"][""] in (False, "own-source")
    assert shown["newsletter"][""] is True
    assert shown["customer"][""] is None  # said to be missing, not left out


def test_wp_7_what_is_asked_of_consents_collected_online(site):
    """WP-7: page, IP, single or double opt-in with date and time, form, terms."""
    file = site.file(
        "people.csv",
        "address,basis,event_at,confirmed_at,url,ip,user_agent\n"
        f"{ANNA},double-opt-in,2026-01-15T09:30:00Z,2026-01-15T09:41:07Z,"
        "https://acme.example/signup?x,192.0.2.9,Browser\n",
    )
    site.ok("consent", "import", file, "--source", "web", "--stream", "newsletter")
    shown = dossier(site)
    assert shown["page"]["page-of-act"] == "https://acme.example/signup?x"
    assert shown["page"]["page-of-source"] == "https://acme.example/signup"
    assert shown["ip"]["ip"] == "192.0.2.9"
    assert shown["type"][""] == "double-opt-in"
    assert shown["confirmed"][""] == "2026-01-15T09:41:07.000Z"
    assert shown["form"]["source"] == "web"
    assert "text-version" in shown["terms"]


@pytest.mark.parametrize("missing", [None, "bought", "informed", "could_decline"])
def test_wp_8_a_customer_relation_needs_all_three(missing):
    """WP-8: bought, told of marketing use, and could decline."""
    told = dict(CUSTOMER)
    if missing:
        told[missing] = False
    for stream in (bulk(soft_opt_in=True), bulk(**IMPLIED)):
        expected = "weak-basis" if missing else "consented"
        assert reason(person(granted(**told)), stream) == expected
    assert reason(person(granted(**CUSTOMER))) == "weak-basis"  # where the stream wants consent


def test_wp_9_the_registered_name_and_no_alias():
    """WP-9, C5: in the footer always; in From where the names are set."""
    assert VISTABOVA.may_call_itself("Vistabova AB")
    assert not VISTABOVA.may_call_itself("Club Vista")
    assert judge(mismatch="From: Club Vista").reason.value == "sender-mismatch"
    footer = Texts().footer(bulk(title={"": "Club Vista"}), VISTABOVA, "en")
    assert "Vistabova AB" in footer.text
    assert "Vistabova AB" in footer.html


@pytest.mark.parametrize("language", LANGUAGES)
def test_wp_10_the_postal_address_stands_in_the_mail(language):
    """WP-10: in full, in text and HTML."""
    footer = Texts().footer(bulk(), VISTABOVA, language)
    assert "Storgatan 1, 111 22 Stockholm" in footer.text
    assert "Storgatan 1, 111 22 Stockholm" in footer.html


def test_wp_10_a_sender_without_an_address_cannot_be_set_up(site):
    """WP-10: bulk mail needs it."""
    text = site.config.read_text().replace(
        'postal_address = "Storgatan 1, 111 22 Stockholm, Sweden"\n', ""
    )
    site.config.write_text(text)
    assert "postal_address" in site.refused("config", "check")


async def test_wp_11_leaving_needs_no_login_and_answers_no_question(tmp_path):
    """WP-11: one POST, no cookie, nothing asked before it."""
    async with served(tmp_path) as web, visiting(web.url) as client:
        subject = await web.subscribe("anna@example.org", "newsletter")
        page = await client.get(f"/u/{web.token(subject)}")
        assert "set-cookie" not in page.headers
        assert "password" not in page.text
        assert "required" not in page.text
        answer = await client.post(f"/u/{web.token(subject)}")
        assert answer.status_code == 200
        assert web.withdrawn == [(subject, "acme", "newsletter")]


@pytest.mark.parametrize("basis", ["purchased-list", "rented-list", "borrowed-list", "found"])
def test_wp_12_bought_rented_borrowed_and_found_lists_are_refused(basis):
    """WP-12: in every mode that demands consent, and an override is on record."""
    for stream in (bulk(), bulk(**IMPLIED), bulk(soft_opt_in=True)):
        assert reason(person(granted(basis=basis)), stream) == "forbidden-source"


def test_wp_13_what_must_not_be_sent_can_be_stopped_at_once():
    """WP-13: content is judged by people; a stopped campaign and a frozen sender send nothing."""
    assert judge(person(granted()), campaign_stopped=True).reason.value == "campaign-stopped"
    assert judge(person(granted()), sender_frozen=True).reason.value == "sender-frozen"


async def test_wp_14_a_complaint_is_seen_by_the_sender_and_ends_its_mail(tmp_path):
    """WP-14: it goes to the sender's contact as it came, and so does what no program can settle."""
    async with station(tmp_path) as here:
        anna = here.person()
        link = here.token(anna, Purpose.UNSUBSCRIBE, submission=77)
        await here.send(arf(original(unsubscribe=link)), "fbl@bounce.acme.example")
        assert here.suppressions(anna) == [("acme", "bulk", "complaint")]
        assert [to for to, _ in here.letters()] == ["kontakt@acme.example"]
        await here.send(arf(original()), "fbl@bounce.acme.example")
        assert [to for to, _ in here.letters()] == ["kontakt@acme.example"] * 2


def test_wp_14_who_does_not_answer_within_a_day_is_frozen():
    """WP-14, C2: by default; `app/test_complaints.py` shows it, on both engines."""
    given = ComplaintSettings()
    assert given.answer_within == Duration(seconds=24 * 3600)
    assert given.freeze_unanswered


def test_wp_14_15_a_sender_is_frozen_until_somebody_thaws_it(site):
    """WP-14, WP-15: immediately, and its other mail goes on."""
    site.grant(ANNA)
    site.ok("sender", "freeze", "acme", "--note", "complaints")
    file = site.file("list.txt", f"{ANNA}\n")
    answer = site.run("audience", "check", "--stream", "newsletter", file, "--json")
    assert [row["reason"] for row in answer.json] == ["sender-frozen"]
    transactional = site.run("audience", "check", "--stream", "receipts", file, "--json")
    assert [row["verdict"] for row in transactional.json] == ["deliver"]
    site.ok("sender", "thaw", "acme")
    assert site.run("audience", "check", "--stream", "newsletter", file).status == 0


def test_wp_15_what_a_frozen_sender_does_not_end_in_two_hours_is_ended():
    """WP-15: by default; `store/test_complaint_rate.py` shows it, on both engines."""
    assert ComplaintSettings().stop_within == Duration(seconds=2 * 3600)


def test_wp_16_bulk_mail_without_a_responsible_sender_is_refused():
    """WP-16: and every bulk stream of a configuration names one."""
    verdict = judge(person(granted()), sender=None)
    assert verdict.reason.value == "sender-mismatch"
    assert judge(person(granted()), sender=replace(SENDER, name="acme")).delivers


def test_wp_16_the_configuration_demands_it(site):
    """WP-16."""
    text = site.config.read_text().replace('title = "Monthly newsletter"\nsender = "acme"\n', "")
    site.config.write_text(text)
    assert "sender" in site.refused("config", "check")


def test_wp_17_the_strictest_rules_are_where_one_starts():
    """WP-17: out of the box nothing but explicit consent on a valid text counts."""
    for basis in ("purchase", "form", "business-card", "membership"):
        assert reason(person(granted(basis=basis, last_activity_at=ago(1)))) == "weak-basis"
    assert reason(person(granted(**CUSTOMER))) == "weak-basis"
    assert reason(person(granted())) == "consented"
