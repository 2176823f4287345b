"""Whose mail it claims to be, and whom it shows."""

import pytest

from gatepost.flow.classify import find_exposure, find_mismatch, read_traits
from gatepost.mail.address import parse
from gatepost.mail.message import scan
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Kind, Stream

ACME = Sender(
    name="acme", legal_name="Acme AB", postal_address="Storgatan 1", public_url="https://a.example",
    from_patterns=("@acme.example", "@*.acme.example", "guest@hotel.example"),
)  # fmt: skip
NAMED = Sender(
    name="acme", legal_name="Acme AB", postal_address="Storgatan 1", public_url="https://a.example",
    from_patterns=("@acme.example",), from_names=("Acme AB", "Åsa at Acme"),
)  # fmt: skip
BULK = Stream(name="news", kind=Kind.BULK, sender="acme")
PERSONAL = Stream(name="office", kind=Kind.PERSONAL, sender="acme")


def traits(*lines):
    return read_traits(scan(("\r\n".join(lines) + "\r\n\r\n").encode()))


@pytest.mark.parametrize(
    "lines",
    [
        ["From: news@acme.example"],
        ["From: Acme <News@Acme.Example>"],
        ["From: a@mail.acme.example"],
        ["From: guest@hotel.example"],
        ["From: a@acme.example", "Sender: b@acme.example"],
        ["From: news: a@acme.example;"],
    ],
)
def test_what_matches(lines):
    assert find_mismatch(traits(*lines), BULK, ACME) == ""
    assert find_mismatch(traits(*lines), PERSONAL, ACME) == ""


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "From names no address"),
        (["From: "], "From names no address"),
        (["From: undisclosed:;"], "From names no address"),
        (["From: a@other.example"], "From a@other.example is not an address of acme"),
        (["From: a@notacme.example"], "is not an address of acme"),
        (["From: other@hotel.example"], "is not an address of acme"),
        (['From: "a@acme.example" <a@other.example>'], "From a@other.example"),
        (["From: a@acme.example <a@other.example>"], "no address"),
        (["From: a@acme.example (x) b"], "no address"),
        (["From: a@acme.example", "Sender: a@other.example"], "Sender a@other.example"),
        (["From: a@acme.example", "Sender: nobody"], "Sender holds something that is no address"),
    ],
)
@pytest.mark.parametrize("stream", [BULK, PERSONAL])
def test_what_does_not(lines, says, stream):  # WP-9
    assert says in find_mismatch(traits(*lines), stream, ACME)


@pytest.mark.parametrize(
    "lines",
    [
        ["From: a@acme.example, b@acme.example"],
        ["From: a@acme.example", "From: a@acme.example"],
    ],
)
def test_bulk_mail_has_one_from_address(lines):  # G-5
    assert find_mismatch(traits(*lines), BULK, ACME) == "From names more than one address"
    assert find_mismatch(traits(*lines), BULK, None) == "From names more than one address"
    assert find_mismatch(traits(*lines), PERSONAL, ACME) == ""


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("Acme AB", True),
        ("acme  ab", True),
        ("=?utf-8?q?=C3=85sa_at_Acme?=", True),
        ("Club Vista", False),
    ],
)
def test_display_names_where_they_are_set(name, good):  # WP-9, C5
    found = find_mismatch(traits(f"From: {name} <a@acme.example>"), BULK, NAMED)
    assert (found == "") is good
    assert find_mismatch(traits(f"From: {name} <a@acme.example>"), BULK, ACME) == ""


def test_a_stream_without_a_sender_is_not_looked_at():
    assert find_mismatch(traits("From: anybody"), PERSONAL, None) == ""


@pytest.mark.parametrize(
    ("lines", "envelope", "shown_others"),
    [
        (["To: a@x.example"], ["a@x.example"], []),
        (["To: news@acme.example"], ["a@x.example", "b@x.example"], []),
        (["To: undisclosed-recipients:;"], ["a@x.example", "b@x.example"], []),
        ([], ["a@x.example", "b@x.example"], []),
        (["To: A@X.example, b@x.example"], ["a@x.example", "b@x.example"], ["a", "b"]),
        (["To: a@x.example"], ["a@x.example", "b@x.example"], ["b"]),
        (["To: a@x.example", "Cc: news@acme.example"], ["a@x.example"], []),
        (["To: a@x.example", "Cc: b@x.example"], ["a@x.example"], ["a"]),  # one transaction each
        (["To: a@x.example, b@x.example"], ["c@x.example"], []),
        (["To: a@x.example, b@x.example"], ["a@x.example", "c@x.example"], ["a", "c"]),
        (["To: list: a@x.example, b@x.example;"], ["a@x.example"], ["a"]),
        (["To: a@x.example, a@x.example"], ["a@x.example"], []),
        (["To: a@x.example b@x.example"], ["a@x.example", "b@x.example"], ["a", "b"]),
        (["To: <a@x.example> <b@x.example>"], ["a@x.example"], ["a"]),
        (["To: b@x.example <a@x.example>"], ["a@x.example", "b@x.example"], ["a", "b"]),
        (["To: a@x.example <a@x.example>"], ["a@x.example"], []),
        (["To: a@x.example <a@x.example>"], ["a@x.example", "b@x.example"], ["b"]),
        (["To: news@acme.example <news@acme.example>"], ["a@x.example", "b@x.example"], []),
        (["To: Dear readers"], ["a@x.example", "b@x.example"], []),
        (["To: Anna@Home <a@x.example>"], ["a@x.example"], []),
        (["To: " + "a" * 2**20], ["a@x.example"], []),  # not for hours
        (["Resent-To: a@x.example", "Resent-Cc: b@x.example"], ["a@x.example"], ["a"]),
    ],
)
def test_whom_a_copy_shows(lines, envelope, shown_others):
    recipients = [parse(text) for text in envelope]
    exposure = find_exposure(traits(*lines), recipients, ACME)
    found = [one.local for one in recipients if exposure.shows_others_to(one)]
    assert found == shown_others
