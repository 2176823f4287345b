"""Header values: encoded words, and address lists that nobody can read in two ways."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatepost.mail.fields import decode_words, parse_list, parse_mailboxes


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("", ""),
        ("Nyheter i maj", "Nyheter i maj"),
        ("=?utf-8?q?Nyheter_i_maj_=E2=82=AC?=", "Nyheter i maj €"),
        ("=?UTF-8?B?w6XDpMO2?=", "åäö"),
        ("=?iso-8859-1?Q?=E5=E4=F6?=", "åäö"),
        ("=?utf-8*sv?q?=C3=A5?=", "å"),
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?=\t  =?iso-8859-1?q?=E5?=", "aå"),
        ("=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
        ("=?utf-8?b?w6U=?= =?utf-8?b?w6Q=?=", "åä"),
        ("=?utf-8?q?=C3?= =?utf-8?q?=A5?=", "å"),  # a character cut in two
        ("=?utf-8?b?w6U?=", "å"),  # padding forgotten
        ("=?utf-8?b?A?=", "=?utf-8?b?A?="),
        ("=?nobody-knows?q?a=C3=A5?=", "aå"),
        ("x =?utf-8?q?a?= y", "x a y"),
        ("Re: =?utf-8?q?a?=", "Re: a"),
        ("=?utf-8?q?no end", "=?utf-8?q?no end"),
        ("50 =? 60", "50 =? 60"),
    ],
)
def test_encoded_words(text, decoded):
    assert decode_words(text) == decoded


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("", []),
        ("a@b.example", [("", "a@b.example")]),
        ("<a@b.example>", [("", "a@b.example")]),
        ("Anna Berg <A@b.example>", [("Anna Berg", "a@b.example")]),
        ('"Berg, Anna" <a@b.example>', [("Berg, Anna", "a@b.example")]),
        ('"A \\"x\\" B" <a@b.example>', [('A "x" B', "a@b.example")]),
        ("=?utf-8?q?=C3=85sa?= <a@b.example>", [("Åsa", "a@b.example")]),
        ('"=?utf-8?q?=C3=85sa?=" <a@b.example>', [("Åsa", "a@b.example")]),
        ("a@b.example (Anna (Berg))", [("Anna (Berg)", "a@b.example")]),
        ("(first) Anna (x) <a@b.example> (y)", [("Anna", "a@b.example")]),
        ("a@b.example, c@d.example", [("", "a@b.example"), ("", "c@d.example")]),
        ("a@b.example,, c@d.example,", [("", "a@b.example"), ("", "c@d.example")]),
        ("friends: a@b.example, C <c@d.example>; e@f.example",
         [("", "a@b.example"), ("C", "c@d.example"), ("", "e@f.example")]),
        ("undisclosed-recipients:;", []),
        ("a @ b . example", [("", "a@b.example")]),
        ('"a b"@b.example', [("", '"a b"@b.example')]),
        ('<"a b"@b.example>', [("", '"a b"@b.example')]),
        ("a@[192.0.2.1]", [("", "a@[192.0.2.1]")]),
        ("a@[IPv6:2001:db8::1]", [("", "a@[ipv6:2001:db8::1]")]),
        ("Åsa <åsa@b.example>", [("Åsa", "åsa@b.example")]),
        ('"a@b.example" <c@d.example>', [("a@b.example", "c@d.example")]),
    ],
)  # fmt: skip
def test_mailboxes(text, boxes):
    found = [(box.name, box.address.key if box.address else None) for box in parse_mailboxes(text)]
    assert found == boxes


@pytest.mark.parametrize(
    "text",
    [
        "Anna",
        "Anna a@b.example",
        "a@b.example <c@d.example>",
        "<a@b.example> <c@d.example>",
        "<a@b.example> c@d.example",
        "<a@b.example",
        "<@relay.example:a@b.example>",
        "<>",
        "a@b.example>",
        '"unclosed <a@b.example>',
        "<a@b.example (x)>",
        "a@b@c.example",
        "a@b.example: c@d.example;",
        "[a@b.example]",
        "a b@c.example",
    ],
)
def test_what_could_be_read_in_two_ways_is_nobody(text):
    boxes = parse_mailboxes(text)
    assert boxes
    assert boxes[0].address is None


@given(st.text('ab@.<>()[]"\\,;: =?é\t', max_size=60) | st.text(max_size=60))
def test_reading_never_fails(text):
    parse_mailboxes(text)
    decode_words(text)


def test_reading_takes_linear_time():
    """These would take hours, were it not so."""
    for text in (
        "(" * 200_000,
        "<" * 200_000,
        '"\\' * 100_000,
        "a@b.example " * 20_000,
        "=?a?q?" * 50_000,
        "[" * 200_000,
    ):
        parse_mailboxes(text)
        decode_words(text)


PIECES = st.sampled_from(
    ["Anna", " ", "<", ">", "a@b.example", '"', "(", ")", ",", ";", ":", "[", "]", "@", "\\", "\n",
     "=?utf-8?q?=C3=A5?=", "<a@b.example>", "\x1f", ""]
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(PIECES, max_size=8).map("".join))
def test_the_ordinary_mailbox_is_read_as_a_list_would_be(text):
    assert parse_mailboxes(text) == parse_list(text)
