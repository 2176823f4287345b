"""Which campaign a submission belongs to (DESIGN, "Which campaign")."""

import pytest

from gatepost.flow.classify import campaign_key, personal_words, read_traits
from gatepost.mail.client import Client
from gatepost.mail.message import scan

TRUSTED = Client(name="crm", trust_headers=True)
OTHER = Client(name="web")


def traits(*lines):
    return read_traits(scan(("\r\n".join(lines) + "\r\n\r\n").encode()))


def key(*lines, client=OTHER):
    return campaign_key(traits(*lines), client).key


def test_the_header_of_a_trusted_client_names_it():
    found = campaign_key(traits("X-Gatepost-Campaign: Spring-2027", "Subject: x"), TRUSTED)
    assert (found.name, found.explicit) == ("Spring-2027", True)
    assert key("X-Gatepost-Campaign: spring-2027", client=TRUSTED) == found.key
    assert key("X-Gatepost-Campaign: spring-2027", "Subject: x") == key("Subject: x")


def test_a_list_groups_its_mailings():
    one = campaign_key(traits("List-Id: Acme news <News.Acme.Example>", "Subject: May"), OTHER)
    assert (one.name, one.explicit) == ("May", False)
    assert one.key == key("List-Id: <news.acme.example>", "Subject: June")
    assert one.key != key("List-Id: <offers.acme.example>", "Subject: May")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (["Subject: Offers in May"], ["Subject:  offers  IN may"], True),
        (["Subject: Order 1001"], ["Subject: Order 77"], True),
        (["Subject: Re: Offers"], ["Subject: SV: Fwd: Offers"], True),
        (["Subject: =?utf-8?q?V=C3=A5r?="], ["Subject: Vår"], True),
        (["Subject: Offers"], ["Subject: Ofers"], False),
        (["Subject: Anna, your offer", "To: Anna Berg <anna@b.example>"],
         ["Subject: Bo, your offer", "To: Bo Ek <bo@c.example>"], True),
        (["Subject: Dear anna.berg", "To: anna.berg@b.example"],
         ["Subject: Dear bo.ek", "To: bo.ek@c.example"], True),
        (["Subject: Anna", "To: Anna <a@b.example>, Bo <b@b.example>"], ["Subject: x"], False),
        ([], ["Subject: "], True),
    ],
)  # fmt: skip
def test_subjects(one, other, same):
    assert (key(*one) == key(*other)) is same


def test_what_could_collide_does_not():
    found = {
        key("Subject: name:x"),
        key("List-Id: <x>"),
        key("X-Gatepost-Campaign: x", client=TRUSTED),
        key("Subject: x"),
    }
    assert len(found) == 4


def test_names_are_short():
    found = campaign_key(traits("Subject: " + "x" * 900), OTHER)
    assert len(found.name) <= 200
    assert len(found.key) <= 220
    assert campaign_key(traits(), OTHER).name == "(no subject)"


def test_personal_words_come_from_a_single_recipient():
    assert personal_words(traits("To: Anna Berg <anna.b77@x.example>")) == {"anna", "berg"}
    assert not personal_words(traits("To: Anna <a@x.example>", "Cc: Bo <b@x.example>"))
    assert not personal_words(traits())
