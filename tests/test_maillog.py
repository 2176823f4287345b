"""What the log may say, and what it must not."""

import pytest
from structlog.testing import capture_logs

from gatepost import maillog

REPLY = "550 5.1.1 <Ann@Shop.example>: no mailbox for ann@shop.example."


@pytest.fixture(autouse=True)
def as_before():
    yield
    maillog.configure("console", "hashed", b"")


def logged_reply(addresses):
    maillog.configure("json", addresses, b"key")
    with capture_logs() as lines:
        maillog.attempt_failed("id", "ann@shop.example", "failed", 1, REPLY)
    return lines[0]["recipient"], lines[0]["reply"]


def test_addresses_that_upstream_quotes_appear_as_recipients_do():
    recipient, reply = logged_reply("hashed")
    assert reply == f"550 5.1.1 <{recipient}>: no mailbox for {recipient}."
    assert "@" not in recipient


def test_no_addresses_means_none_in_replies_either():
    assert logged_reply("none") == ("-", "550 5.1.1 <->: no mailbox for -.")


def test_plain_replies_stay_as_they_are():
    assert logged_reply("plain") == ("ann@shop.example", REPLY)
