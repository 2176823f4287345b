"""The table of replies is complete, and says only what SMTP allows."""

import re

import pytest

from gatepost.flow.accept import replies
from gatepost.mail.reply import Reply
from gatepost.mail.verdict import Reason

ENCODED = {name: value for name, value in vars(replies).items() if isinstance(value, bytes)}
VALUES = {name: value for name, value in vars(replies).items() if isinstance(value, Reply)}


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_row(reason):
    reply = replies.for_reason(reason)
    assert reply.enhanced[0] == str(reply.code)[0]  # RX-8: the same class
    assert reply.positive == reason.is_positive


def test_the_reply_plan():
    plan = {
        Reason.NO_CONSENT: "550 5.7.1",
        Reason.WITHDRAWN: "550 5.7.1",
        Reason.SENDER_FROZEN: "450 4.7.0",
        Reason.PAUSED: "450 4.7.0",
        Reason.UNMODIFIABLE: "554 5.6.0",
    }
    for reason, expected in plan.items():
        assert str(replies.for_reason(reason)).startswith(expected)
    assert str(replies.STORE_AWAY).startswith("451 4.4.3")
    assert str(replies.OUR_ERROR).startswith("451 4.3.0")
    assert str(replies.LOOP).startswith("554 5.4.6")
    assert str(replies.accepted("0abc")) == "250 2.0.0 0abc accepted"


@pytest.mark.parametrize("name", sorted(ENCODED))
def test_rx8_encoded_replies_have_enhanced_codes(name):
    reply = ENCODED[name].decode()
    assert reply.endswith("\r\n")
    assert reply.count("\r\n") == 1
    assert len(ENCODED[name]) <= 512  # R5321-7
    if not reply.startswith("3"):
        match = re.match(r"([245])\d\d \1\.\d{1,3}\.\d{1,3} \S", reply)
        assert match, reply


@pytest.mark.parametrize("name", sorted(VALUES))
def test_rx8_values_have_enhanced_codes(name):
    assert VALUES[name].enhanced[0] == str(VALUES[name].code)[0]
