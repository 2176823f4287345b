"""Replies as they are spelled on record, and read again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.mail.reply import Reply, parse_reply


@pytest.mark.parametrize(
    ("spelled", "reply"),
    [
        ("550 5.1.1 nobody", Reply(550, "5.1.1", "nobody")),
        ("550 nobody", Reply(550, "", "nobody")),
        ("550 2.0.0 nobody", Reply(550, "", "2.0.0 nobody")),
        ("450 5.1.1 nobody", Reply(450, "", "5.1.1 nobody")),
        ("nobody", None),
        ("650 5.1.1 nobody", None),
    ],
)
def test_r5321_19_only_an_enhanced_code_of_the_same_class_is_one(spelled, reply):
    assert parse_reply(spelled) == reply


@given(st.integers(200, 599), st.from_regex(r"[45]\.[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True))
def test_what_was_spelled_is_read_again(code, enhanced):
    reply = Reply(code, enhanced if enhanced[0] == str(code)[0] else "", "words")
    assert parse_reply(str(reply)) == reply
