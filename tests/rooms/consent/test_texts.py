"""What a consent text says: the lint, in five languages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.consent.texts import check

GOOD = {
    "en": "Yes, Acme AB may e-mail me its news. I can withdraw at any time, free of charge.",
    "sv": "Ja, Acme AB får skicka nyheter. Jag kan när som helst återkalla mitt samtycke.",
    "da": "Ja tak, Acme AB må sende mig nyheder. Jeg kan altid trække mit samtykke tilbage.",
    "de": "Ja, die Acme AB darf mir schreiben. Ich kann jederzeit kostenlos widerrufen.",
    "nb": "Ja, Acme AB kan sende meg nyheter. Jeg kan når som helst trekke samtykket tilbake.",
}


def codes(text, language="en", name="Acme AB"):
    return [finding.code for finding in check(text, language, name).findings]


@pytest.mark.parametrize("language", GOOD)
def test_a_good_text_in_each_language(language):
    assert codes(GOOD[language], language) == []
    assert codes(GOOD[language], f"{language}-XX") == []


@pytest.mark.parametrize(("language", "text"), [
    ("en", "Unsubscribe from Acme AB with one click."),
    ("en", "Acme AB: you can opt out in each mail."),
    ("sv", "Acme AB. Avregistrera dig när du vill."),
    ("sv", "Acme AB. Du kan tacka nej i varje utskick."),
    ("da", "Acme AB. Du kan afmelde dig i hver mail."),
    ("nb", "Acme AB. Du kan melde deg av i hver e-post."),
    ("no", "Acme AB. Samtykket kan trekkes tilbake."),
    ("de", "Acme AB. Die Abmeldung ist in jeder Mail möglich."),
    ("de", "Acme AB. Sie können sich jederzeit abmelden."),
])  # fmt: skip
def test_words_of_withdrawal(language, text):  # JU-4
    assert codes(text, language) == []


@pytest.mark.parametrize("language", GOOD)
def test_a_text_that_does_not_say_how_to_withdraw(language):  # JU-4
    assert codes("Acme AB", language) == ["no-withdrawal"]
    report = check("Acme AB", language, "Acme AB")
    assert not report.findings[0].is_error
    assert report.lint == ()


def test_words_of_another_language_are_not_taken_for_the_texts_own():
    assert codes(GOOD["de"], "en") == ["no-withdrawal"]
    assert codes(GOOD["en"], "fi") == ["unknown-language"]


@pytest.mark.parametrize(("text", "name", "expected"), [
    ("ACME\n  ab writes. I can withdraw.", "Acme AB", []),
    ("Acme\u00a0AB's news; I can withdraw.", "Acme AB", []),
    ("Acme ABs nyheter. I can withdraw.", "Acme AB", []),
    ("The news of Acme. I can withdraw.", "Acme AB", ["short-name"]),
    ("Müller writes. I can withdraw.", "Müller GmbH & Co. KG", ["short-name"]),
    ("Volvo writes. I can withdraw.", "AB Volvo (publ)", ["short-name"]),
    ("Acme A/S writes. I can withdraw.", "Acme A/S", []),
    ("Acmenta AB writes. I can withdraw.", "Acme AB", ["names-sender"]),
    ("The club writes. I can withdraw.", "Acme AB", ["names-sender"]),
    ("We, a company, write. I can withdraw.", "AB", ["names-sender"]),
    ("Acme (Nordic) AB writes. I can withdraw.", "Acme (Nordic) AB", []),
])  # fmt: skip
def test_the_sender_is_named(text, name, expected):  # JU-12
    assert codes(text, name=name) == expected
    assert check(text, "en", name).names_sender is ("names-sender" not in expected)


@pytest.mark.parametrize("text", [
    "Get a free book.", "Your e-book, for free!", "Få en gratis e-bok.", "Gratisprøve til alle.",
    "Helt kostnadsfritt nyhetsbrev.", "Ein kostenloses E-Book.", "Der Newsletter ist kostenlos.",
    "Vederlagsfri prøve.", "Gratis! Withdraw at any time.", "A free book, unsubscribe any time.",
    "Få en gratis e-bok, avsluta när du vill.", "Kostenloses E-Book, Widerruf jederzeit.",
])  # fmt: skip
def test_what_is_promised_for_nothing(text):  # JU-6
    assert "promises-free" in codes(f"Acme AB: {text} I can withdraw.")


@pytest.mark.parametrize("text", [
    "Feel free to leave.", "I am free to withdraw.", "of my own free will", "a gluten-free recipe",
    "Withdraw at any time, free of charge.", "You can unsubscribe for free.", "10 % discount",
    "Avsluta när som helst, gratis.", "Du kan afmelde dig gratis.", "Abmeldung jederzeit kostenlos.",
    "Der Widerruf ist jederzeit, kostenlos und ohne Angabe von Gründen möglich.", "freely given",
    "A lot in the raffle for everybody who signs up.", "Meld deg av når som helst, uten kostnad.",
])  # fmt: skip
def test_what_is_no_promise(text):  # JU-3, JU-7
    assert "promises-free" not in codes(f"Acme AB. {text} I can withdraw.")


@pytest.mark.parametrize("text", [
    "and its partners", "och våra partners", "och utvalda partner", "og vores partnere",
    "og samarbeidspartnere", "und unsere Partner", "und deren Partnerunternehmen", "third parties",
    "underleverantörer", "underleverandører", "Weitergabe an Dritte", "subcontractors",
    "not only we but our partners", "tredjeparter", "carefully selected companies",
])  # fmt: skip
def test_third_parties_without_a_name(text):  # WP-4
    assert codes(f"Acme AB {text} may write until I withdraw.") == ["vague-third-parties"]


@pytest.mark.parametrize("text", [
    "other companies", "andra företag", "dotterbolag", "bolag inom vår koncern",
    "andre virksomheder", "søsterselskaber", "andre selskaper", "andere Unternehmen",
    "verbundene Unternehmen", "companies within the group",
])  # fmt: skip
def test_other_companies(text):  # JU-16
    assert codes(f"Acme AB and {text} may write until I withdraw.") == ["other-companies"]


@pytest.mark.parametrize("text", [
    "We never pass your address on to partners.", "Vi lämnar inte ut den till tredje part.",
    "Vi giver den ikke til andre virksomheder.", "Keine Weitergabe an Dritte.",
    "Vi deler aldri adressen med andre selskaper.", "No subcontractors, no partners.",
])  # fmt: skip
def test_what_is_denied_is_no_fault(text):
    assert codes(f"Acme AB may write until I withdraw. {text}") == []


def test_the_senders_own_name_is_no_fault():
    assert codes("Partners Group AB may write until I withdraw.", name="Partners Group AB") == []
    assert codes("Free Mail Ltd may write until I withdraw.", name="Free Mail Ltd") == []


def test_a_finding_says_what_was_found_and_the_cure():
    (finding,) = check("Acme AB: free, free, gratis! I can withdraw", "en", "Acme AB").findings
    assert finding.words == ("free", "gratis")
    assert finding.is_error
    assert "leave the word out" in finding.cure


def test_errors_that_can_be_accepted_are_listed():
    report = check("A free book of our partners and other companies", "en", "Acme AB")
    assert report.lint == ("promises-free", "vague-third-parties", "other-companies")
    assert not report.names_sender


@given(text=st.text(), language=st.text(max_size=5), name=st.text())
def test_any_text_is_read(text, language, name):
    report = check(text, language, name)
    assert len({finding.code for finding in report.findings}) == len(report.findings)
    assert all(finding.cure for finding in report.findings)
