"""Complaints: feedback reports as providers write them, redacted, odd and broken (RA-1, RA-3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.consent.tokens import ADDRESS_TOKEN_LENGTH, TOKEN_LENGTH, Claim, Purpose, Ring
from gatepost.feedback.complaints import find_complaint, find_reported_copy
from gatepost.feedback.marks import Marks, marks_in
from gatepost.mail.message import scan
from support.reports import LETTER, arf, dsn, lines, original

RING = Ring({1: b"k" * 32}, 1)
CLAIM = Claim(12, 34, 56)
LINK = RING.seal(Purpose.UNSUBSCRIBE, CLAIM)
MAILTO = RING.seal_for_address(Purpose.MAILTO, CLAIM)
BOUNCE = RING.seal_for_address(Purpose.BOUNCE, CLAIM)


def found(content):
    return find_complaint(scan(content))


def test_tokens_have_the_lengths_that_are_looked_for():
    assert (len(LINK), len(MAILTO)) == (TOKEN_LENGTH, ADDRESS_TOKEN_LENGTH)
    text = f"<https://mail.example.org/u/{LINK}>, <mailto:leave@acme.example?subject={MAILTO}>"
    assert marks_in(text) == Marks((LINK,), (MAILTO,))


def test_the_copy_tells_whose_it_is_by_its_header():
    complaint = found(
        arf(original(unsubscribe=LINK, mailto=MAILTO, return_path=f"{BOUNCE}@b.example"))
    )
    assert complaint.type == "abuse"
    assert complaint.is_against
    assert not complaint.malformed
    assert complaint.marks == Marks((LINK,), (MAILTO, BOUNCE))


def test_the_header_alone_is_enough():
    assert found(arf(original(unsubscribe=LINK), header="only")).marks.links == (LINK,)


def test_a_folded_and_lower_cased_header_is_read():
    copy = original(header=f"list-unsubscribe:\n\t<https://mail.example.org/u/{LINK}>\n")
    assert found(arf(copy)).marks.links == (LINK,)


def test_the_text_tells_where_the_header_was_stripped():
    """A link in quoted-printable, cut by a soft line break."""
    body = f"Unsubscribe: https://mail.example.org/u/{LINK[:20]}=\n{LINK[20:]}\n"
    copy = original(
        header="MIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n", body=body
    )
    assert found(arf(copy)).marks.links == (LINK,)


def test_the_fields_tell_where_the_copy_does_not():
    content = arf(original(), fields=f"1\nOriginal-Mail-From: <{BOUNCE}@bounce.acme.example>")
    assert found(content).marks == Marks((), (BOUNCE,))


@pytest.mark.parametrize("kind", ["abuse", "Abuse", "fraud", "virus", "opt-out", "opt-out-list"])
def test_types_that_speak_against(kind):
    assert found(arf(original(), kind=kind)).is_against


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure", "other", "dmarc", "x-new-one"])
def test_other_types_are_taken_and_do_nothing(kind):
    """RFC 6650 §4.5: an unknown type is no reason to reject."""
    complaint = found(arf(original(), kind=kind))
    assert not complaint.is_against
    assert complaint.is_praise == (kind == "not-spam")


@pytest.mark.parametrize(
    "change",
    [
        (b"Feedback-Type: abuse\r\n", b""),
        (b"Version: 1\r\n", b""),
        (b"Version: 1\r\n", b"Version: 1\r\nVersion: 1\r\n"),
        (b"Version: 1\r\n", b"Version: 1\r\nReceived-Date: a\r\nArrival-Date: a\r\n"),
        (b"Content-Type: message/rfc822", b"Content-Type: text/plain"),
    ],
)
def test_what_breaks_the_format_is_said(change):
    """RA-1."""
    content = arf(original(unsubscribe=LINK))
    assert change[0] in content
    assert found(content.replace(*change)).malformed


def test_two_types_are_none():
    complaint = found(arf(original(), kind="abuse\nFeedback-Type: not-spam"))
    assert complaint.type == ""
    assert not complaint.is_against


def test_what_is_no_report():
    assert found(LETTER) is None
    assert found(dsn()) is None


def test_an_attached_copy_without_a_report_is_found():
    content = lines(
        f"""
From: staff@isp.example
Subject: complaint about message from 192.0.2.1
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: message/rfc822

{original(unsubscribe=LINK)}
--b--
"""
    )
    assert find_reported_copy(scan(content)).links == (LINK,)
    assert not find_reported_copy(scan(LETTER))


@given(st.binary(max_size=600))
def test_any_octets(octets):
    complaint = found(b"Content-Type: message/feedback-report\r\n\r\n" + octets)
    assert complaint is not None
    assert complaint.malformed
