"""JU-1 … JU-31: lawful consent, on the real ledger, decision and commands.

What a program cannot see (whether somebody felt free) is attested; then the test is that the
attestation is demanded.
"""

import re

import pytest

from gatepost.consent.evidence import EventKind, TextState
from gatepost.consent.texts import check
from gatepost.mail.duration import Duration
from support.cases import ASKED, CONFIRMED, LEFT, NOW, bulk, fact, granted, judge, person, reason
from support.command import OTHER, Site
from support.site import served
from support.visiting import visiting

ANNA = "anna@kund.example"
ALL = "voluntary,informed,specific,states-withdrawal"
TEXT = "Acme AB may send me its newsletter until I withdraw.\n"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.delenv("GATEPOST_CONFIG", raising=False)
    return Site(tmp_path, OTHER)


def add(site, name="web", text=TEXT, attest=ALL, *, kind="form", words=()):
    """How adding a source for the newsletter ended."""
    file = site.file("text.txt", text)
    return site.run(
        "source", "add", name, "--sender", "acme", "--kind", kind, "--text-file", file,
        "--attest", attest, *words,
    )  # fmt: skip


def verdict(site, address=ANNA, *words, source="web", basis="form-checkbox"):
    """The reason that mail meets after a consent from that source."""
    site.ok(
        "consent", "grant", address, "--source", source, "--basis", basis,
        "--stream", "newsletter", *words,
    )  # fmt: skip
    return site.standing(address)["reason"]


def stages(site, name="web"):
    return [one["stage"] for one in site.ok("source", "show", name, "--json").json["texts"]]


def test_ju_1_consent_comes_before_the_mail():
    """JU-1."""
    assert reason() == "no-consent"
    assert reason(person(granted(0))) == "no-consent"  # given at the time of sending
    assert reason(person(granted(1))) == "consented"


@pytest.mark.parametrize("missing", ["voluntary", "informed", "specific"])
def test_ju_2_a_text_is_attested_to_be_voluntary_informed_and_specific(site, missing):
    """JU-2: otherwise it cannot be put to use."""
    attested = ",".join(word for word in ALL.split(",") if word != missing)
    answer = add(site, attest=attested)
    assert answer.status == 1
    assert missing in answer.out
    assert stages(site) == ["draft"]
    assert verdict(site) == "invalid-text"
    site.run("source", "activate", "web")
    assert stages(site) == ["draft"]


async def test_ju_3_withdrawing_costs_nothing_and_asks_nothing(tmp_path):
    """JU-3: one POST without login or question; the page has one button."""
    async with served(tmp_path) as here, visiting(here.url) as visitor:
        anna = await here.subscribe(ANNA, "newsletter")
        link = f"/u/{here.token(anna)}"
        page = await visitor.get(link)
        form = re.search("<form.*?</form>", page.text, re.DOTALL).group()  # the first on it
        assert form.count("<button") == 1
        assert re.findall(r'<input(?![^>]*type="hidden")', form) == []  # nothing to fill in
        answer = await visitor.post(link, data={"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200
        assert len(await here.facts(anna)) == 1


def test_ju_3_nor_by_staff(site):
    """JU-3: whoever tells us by telephone has left when the call is over."""
    add(site)
    verdict(site)
    site.ok("consent", "withdraw", ANNA, "--stream", "newsletter")
    assert site.standing(ANNA)["reason"] == "withdrawn"


def test_ju_4_a_text_says_that_consent_can_be_withdrawn(site):
    """JU-4: attested, and its words are looked for."""
    silent = "Acme AB may send me its newsletter.\n"
    answer = add(site, text=silent, attest="voluntary,informed,specific")
    assert answer.status == 1
    assert "states-withdrawal" in answer.out
    assert "no-withdrawal" in answer.out
    assert [one.code for one in check(TEXT, "en", "Acme AB").findings] == []


@pytest.mark.parametrize(
    ("flag", "why"),
    [
        pytest.param("--conditional", "JU-5: the purchase depends on it", id="JU-5"),
        pytest.param("--pre-ticked", "JU-9: the box is ticked beforehand", id="JU-9"),
        pytest.param("--in-terms", "JU-10: only in general terms", id="JU-10"),
    ],
)
def test_ju_5_9_10_what_is_no_consent(site, flag, why):
    """JU-5, JU-9, JU-10: whatever else is attested."""
    add(site, words=[flag])
    assert verdict(site) == "invalid-text", why
    assert site.run("source", "activate", "web").status == 1
    assert stages(site) == ["draft"]


def test_ju_6_what_is_paid_for_with_a_consent_is_not_free(site):
    """JU-6."""
    answer = add(site, text="A free e-book from Acme AB, if I get mail until I withdraw.")
    assert answer.status == 1
    assert "promises-free (free)" in answer.out
    for word in ("gratis", "kostenlos", "kostnadsfritt", "vederlagsfrit"):
        assert "promises-free" in check(f"Acme AB: {word} e-book", "sv", "Acme AB").lint


def test_ju_7_a_discount_or_a_lot_may_thank_for_consent(site):
    """JU-7."""
    text = "{} for mail from Acme AB, which I can withdraw from."
    assert add(site, text=text.format("A 10 % discount")).status == 0
    assert add(site, "lot", text.format("A lot in our competition")).status == 0


def test_ju_8_the_record_shows_that_and_what_was_agreed(site):
    """JU-8: the wording and the picture that the person saw, and their act."""
    add(site, words=["--picture", site.file("form.png", PNG)])
    verdict(site)
    granted_ = site.ok("consent", "show", ANNA, "--json").json["events"][-1]
    (text,) = site.ok("source", "show", granted_["source"], "--json").json["texts"]
    assert granted_["basis"] == "form-checkbox"
    assert (granted_["text_version"], text["body"]) == (text["version"], TEXT.strip())
    assert text["pictures"][0]["size"] == len(PNG)


def test_ju_11_at_a_competition_consent_is_as_prominent_as_the_prize(site):
    """JU-11: attested, and shown by a picture."""
    answer = add(site, kind="competition")
    assert answer.status == 1
    assert "prominent" in answer.out
    assert "picture" in answer.out
    attested = f"{ALL},prominent"
    assert add(site, attest=attested, kind="competition").status == 1  # no picture yet
    picture = ["--picture", site.file("form.png", PNG)]
    assert add(site, attest=attested, kind="competition", words=picture).status == 0
    assert verdict(site) == "consented"


def test_ju_12_the_company_is_named(site):
    """JU-12: in the text, or attested where a picture shows the name."""
    answer = add(site, text="Send me the newsletter until I withdraw.")
    assert answer.status == 1
    assert "name the sender as Acme AB" in answer.out
    assert verdict(site) == "invalid-text"
    site.refused(
        "consent", "grant", ANNA, "--source", "web", "--basis", "written", "--stream", "foreign"
    )  # a source collects for one company
    other = "Send me the newsletter until I withdraw!"
    assert add(site, "shown", other, f"{ALL},names-company").status == 0


def test_ju_13_consent_for_other_channels_is_none_for_mail(site):
    """JU-13."""
    assert add(site, words=["--channel", "sms"]).status == 0
    assert verdict(site) == "outside-scope"
    assert "not for e-mail" in site.ok("source", "list", "--json").json[0]["marks"]
    assert add(site, "both", words=["--channel", "e-mail,sms"]).status == 0
    assert verdict(site, "bo@kund.example", source="both") == "consented"


def test_ju_14_a_category_outside_the_consent_is_not_mailed(site):
    """JU-14: inherited from the source, and never widened by a row."""
    add(site, words=["--categories", "shoes"])
    verdict(site)
    assert site.standing(ANNA)["categories"] == ["shoes"]
    shoes = person(granted(10, categories=("shoes",)))
    assert reason(shoes, bulk(categories=frozenset({"hats"}))) == "outside-scope"
    assert reason(shoes, bulk(categories=frozenset({"shoes/running"}))) == "consented"
    wider = site.refused(
        "consent", "grant", ANNA, "--source", "web", "--basis", "written",
        "--stream", "newsletter", "--categories", "hats",
    )  # fmt: skip
    assert "not for hats" in wider


def test_ju_15_an_extension_to_another_channel_is_a_new_consent():
    """JU-15: it neither makes nor breaks the one for mail."""
    mail, sms = granted(10), granted(5, channels="sms")
    assert reason(person(sms)) == "outside-scope"
    assert reason(person(mail, sms)) == "consented"
    assert judge(person(mail, sms)).since == mail.at


def test_ju_16_consent_is_not_extended_to_other_companies(site):
    """JU-16."""
    answer = add(site, text="Acme AB and other companies may write until I withdraw.")
    assert answer.status == 1
    assert "other-companies" in answer.out
    assert stages(site) == ["draft"]


def test_ju_17_a_sign_up_counts_from_its_confirmation():
    """JU-17."""
    assert reason(person(ASKED)) == "unconfirmed"
    confirmed = judge(person(ASKED, CONFIRMED), bulk(double_opt_in=True))
    assert (confirmed.reason.value, confirmed.since) == ("consented", CONFIRMED.at)
    assert reason(person(granted(10)), bulk(double_opt_in=True)) == "unconfirmed"


def test_ju_20_who_never_reacts_can_be_left_out():
    """JU-20: where the stream says so."""
    silent, awake = person(granted(400)), person(granted(400), fact("engaged", 5))
    patient = bulk(max_inactive=Duration(months=12))
    assert reason(silent) == "consented"
    assert (reason(silent, patient), reason(awake, patient)) == ("dormant", "consented")


def test_ju_25_pictures_belong_to_the_evidence(site):
    """JU-25: a source without one works, and is marked wherever it is shown."""
    add(site)
    assert verdict(site) == "consented"
    assert site.ok("source", "list", "--json").json[0]["marks"] == ["no picture"]
    assert site.standing(ANNA)["marks"] == ["no picture"]
    site.ok("source", "add", "web", "--picture", site.file("form.png", PNG))
    assert site.standing(ANNA)["marks"] == []


def test_ju_26_each_consent_has_one_source_and_all_are_registered(site):
    """JU-26."""
    add(site)
    nowhere = ["consent", "grant", ANNA, "--basis", "written", "--stream", "newsletter"]
    assert "--source is required" in site.refused(*nowhere)
    assert "there is no source" in site.refused(*nowhere, "--source", "nowhere")
    verdict(site)
    assert site.ok("consent", "show", ANNA, "--json").json["events"][0]["source"] == "web"
    assert [one["name"] for one in site.ok("source", "list", "--json").json] == ["web"]


def test_ju_27_a_link_documents_nothing(site):
    """JU-27: pictures are stored as content."""
    answer = add(site, words=["--picture", "https://acme.example/form.png"])
    assert answer.status == 2
    assert "kept as content" in answer.err
    add(site, words=["--url", "https://acme.example/form"])  # says where, and proves nothing
    assert "no picture" in site.ok("source", "list", "--json").json[0]["marks"]


def test_ju_28_two_people_two_versions(site):
    """JU-28: each consent goes on referring to the wording it was given on."""
    add(site)
    verdict(site)
    add(site, text="Acme AB may write to me. I can unsubscribe.\n")
    assert verdict(site, "bo@kund.example") == "consented"
    assert site.standing(ANNA)["text_version"] == "1"
    assert site.standing("bo@kund.example")["text_version"] == "2"
    assert site.standing(ANNA)["reason"] == "consented"
    assert stages(site) == ["succeeded", "active"]


def test_ju_29_the_history_says_all_that_was_given_and_withdrawn(site):
    """JU-29."""
    add(site)
    verdict(site, ANNA, "--at", "2024-05-01")
    site.ok("consent", "withdraw", ANNA, "--stream", "newsletter")
    verdict(site, ANNA, "--explanation", "signed a form at the fair")
    events = site.ok("consent", "show", ANNA, "--json").json["events"]
    assert [one["kind"] for one in events] == ["granted", "withdrawn", "resubscribed"]
    assert events[0]["at"] == "2024-05-01T00:00:00.000Z"
    assert events[0]["recorded_at"] > events[0]["at"]
    assert site.ok("ledger", "verify", "--json").json["findings"] == []


def test_ju_30_what_is_in_use_does_not_change(site):
    """JU-30: a changed text is a new version, a changed form a new source."""
    add(site, words=["--url", "https://acme.example/a"])
    verdict(site)
    before = site.ok("source", "show", "web", "--json").json["texts"]
    assert "in use" in site.refused("source", "attest", "web", "--pre-ticked", status=1)
    assert "in use" in add(site, words=["--conditional"]).err
    assert "new source" in add(site, words=["--url", "https://acme.example/b"]).err
    assert site.ok("source", "show", "web", "--json").json["texts"] == before
    add(site, text="Acme AB may write to me. I can unsubscribe.\n")
    assert stages(site) == ["succeeded", "active"]


def test_ju_31_nothing_outside_the_scope_of_a_consent(site):
    """JU-31: another company, stream, channel or category."""
    add(site, words=["--streams", "club"])
    grant = ["consent", "grant", ANNA, "--source", "web", "--basis", "written", "--stream"]
    assert "not for other" in site.refused(*grant, "foreign")
    assert "collects for club" in site.refused(*grant, "newsletter")
    assert reason(person(granted(10, channels="sms"))) == "outside-scope"
    limited = person(granted(10, categories=("shoes",)))
    assert reason(limited, bulk(categories=frozenset({"hats"}))) == "outside-scope"


def test_what_came_back_counts_like_what_was_given():
    """JU-12 … JU-14 hold for coming back, too."""
    back = fact(EventKind.RESUBSCRIBED, 2, actor="recipient", basis="written", source="web",
                text_state=TextState.VALID, channels="sms")  # fmt: skip
    assert reason(person(granted(10), LEFT, back)) == "withdrawn"
    assert judge(person(granted(10)), now=NOW).reason.value == "consented"
