"""The mailboxes of a returns listener."""

import pytest

from gatepost.feedback.mailboxes import Place, find_mailbox
from gatepost.mail.address import parse
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Kind, Stream

TOKEN = "abcdefghij" * 5 + "klmnopqrst"


def sender(name, **more):
    return Sender(
        name=name, legal_name=name, postal_address="x", public_url="https://a.example", **more
    )


SENDERS = {
    "plain": sender("plain"),
    "acme": sender(
        "acme",
        bounce_domain="bounce.acme.example",
        unsubscribe_mailto="Leave@acme.example",
        contact="kontakt@acme.example",
    ),
    "short": sender("short", unsubscribe_mailto="u@short.example"),
}
STREAMS = {
    "newsletter": Stream(name="newsletter", kind=Kind.BULK, sender="acme"),
    "foreign": Stream(name="foreign", kind=Kind.BULK, sender="short"),
}


def found(text):
    return find_mailbox(parse(text), SENDERS, STREAMS, "Relay.example.org")


@pytest.mark.parametrize(
    ("address", "place", "owner", "token"),
    [
        (f"{TOKEN}@bounce.acme.example", Place.BOUNCES, "", TOKEN),
        (f"{TOKEN.upper()}@old.acme.example", Place.BOUNCES, "", TOKEN),
        ("leave@acme.example", Place.LEAVING, "acme", ""),
        ("LEAVE@ACME.EXAMPLE", Place.LEAVING, "acme", ""),
        (f"u+{TOKEN}@short.example", Place.LEAVING, "short", TOKEN),
        ("newsletter-request@bounce.acme.example", Place.LEAVING, "acme", ""),
        ("complaints@bounce.acme.example", Place.COMPLAINTS, "acme", ""),
        ("fbl@bounce.acme.example", Place.COMPLAINTS, "acme", ""),
        ("Abuse@bounce.acme.example", Place.PEOPLE, "acme", ""),
        ("postmaster@bounce.acme.example", Place.PEOPLE, "acme", ""),
        ("postmaster@relay.example.org", Place.PEOPLE, "acme", ""),
        ("abuse@relay.example.org", Place.PEOPLE, "acme", ""),
    ],
)
def test_ours(address, place, owner, token):
    mailbox = found(address)
    assert (mailbox.place, mailbox.sender.name if mailbox.sender else "", mailbox.token) == (
        place,
        owner,
        token,
    )


@pytest.mark.parametrize(
    "address",
    [
        "anna@bounce.acme.example",
        "leave@bounce.acme.example",
        "postmaster@acme.example",
        "fbl@relay.example.org",
        "foreign-request@bounce.acme.example",
        "unknown-request@bounce.acme.example",
        "-request@bounce.acme.example",
        "+x@acme.example",
        f"{TOKEN[:-1]}@bounce.acme.example",
    ],
)
def test_not_ours(address):
    assert found(address) is None
