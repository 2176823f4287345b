"""Unsubscribe mail: the token wherever the way left it, and mail that no person wrote."""

import pytest

from gatepost.consent.tokens import Claim, Purpose, Ring
from gatepost.feedback.unsubscribes import is_automatic, tokens_in_subject
from gatepost.mail.message import scan
from support.reports import ABSENCE, leaving

TOKEN = Ring({1: b"k" * 32}, 1).seal_for_address(Purpose.MAILTO, Claim(12, 34, 56))


@pytest.mark.parametrize(
    "subject",
    [
        TOKEN,
        TOKEN.upper(),
        f"Re: {TOKEN}",
        f"unsubscribe {TOKEN}.",
        f"=?utf-8?q?{TOKEN}?=",
        f"=?utf-8?q?{TOKEN[:30]}?=\n =?utf-8?q?{TOKEN[30:]}?=",
        f"{TOKEN[:40]}\n {TOKEN[40:]}",
        f"Unsubscribe {TOKEN[:40]}\n {TOKEN[40:]}",
        f"Re: please stop {TOKEN[:40]}\n\t{TOKEN[40:]} thank you",
        f"{TOKEN[:20]}\n {TOKEN[20:40]}\n {TOKEN[40:]}",
    ],
)
def test_the_token_in_the_subject(subject):
    assert [one.lower() for one in tokens_in_subject(scan(leaving(subject)))] == [TOKEN]


@pytest.mark.parametrize("subject", ["", "stop", TOKEN[:-1], f"{TOKEN}a", TOKEN[:-1] + "1"])
def test_no_token(subject):
    assert tokens_in_subject(scan(leaving(subject))) == ()


@pytest.mark.parametrize(
    ("header", "automatic"),
    [
        ("", False),
        ("Auto-Submitted: no\n", False),
        ("Auto-Submitted: auto-replied\n", True),
        ("Auto-Submitted: auto-generated (by a rule)\n", True),
        ("Precedence: bulk\n", True),
        ("List-Id: <a.example>\n", True),
        ("X-Auto-Response-Suppress: All\n", True),
    ],
)
def test_mail_by_programs_is_known_by_its_header(header, automatic):
    """RFC 3834 §2 (RD-6)."""
    message = scan(leaving("stop", header=header))
    assert is_automatic(message, "anna@example.org") is automatic


@pytest.mark.parametrize(
    "mail_from",
    ["", "MAILER-DAEMON@example.org", "owner-list@example.org", "list-request@example.org",
     "noreply@example.org", "bounces+1@example.org"],
)  # fmt: skip
def test_mail_by_programs_is_known_by_its_sender(mail_from):
    assert is_automatic(scan(leaving("stop")), mail_from)


def test_an_absence_is_automatic():
    assert is_automatic(scan(ABSENCE), "anna@example.org")
