"""Placeholders as mailers and their tools write them, our own and those of other systems."""

import pytest

from gatepost.flow.edit import TreatmentError
from gatepost.flow.edit.placeholders import find_placeholders
from gatepost.mail.charset import find_charset
from gatepost.mail.placeholder import FOREIGN, is_spelling
from support.treatments import CHOOSE, IDENTITY, LEAVE, copy_of, message, texts, with_bulk

EVERY = tuple(
    (spelling, meaning)
    for table in FOREIGN.values()
    for meaning, spellings in table.items()
    for spelling in spellings
)


@pytest.mark.parametrize(("spelling", "meaning"), EVERY)
def test_every_foreign_spelling_is_found_whole_and_only_when_asked_for(spelling, meaning):
    data = f"one {spelling} two".encode()
    expected = [(4, len(data) - 4, meaning)]
    assert find_placeholders(data, EVERY) == expected
    assert find_placeholders(data.upper(), EVERY) == expected
    assert find_placeholders(data) == []
    assert is_spelling(spelling)


@pytest.mark.parametrize(
    "spelled",
    [
        "{{unsubscribe_url}}", "{{ unsubscribe_url }}", "{{{unsubscribe_url}}}", "{{\r\nunsubscribe_url }}",
        "%7B%7Bunsubscribe_url%7D%7D", "%7b%7b%20Unsubscribe_URL%20%7d%7d", "https://{{unsubscribe_url}}",
        "&#123;&#x7B;unsubscribe_url&#0125;&rcub;", "{{&nbsp;unsubscribe_url&nbsp;}}",
        "*|UNSUB|*", "http://*|UNSUB|*", "%2A%7CUNSUB%7C%2A", "{{{pm:unsubscribe}}}",
        "&lt;%asm_group_unsubscribe_raw_url%&gt;", "%3C%25asm_group_unsubscribe_raw_url%25%3E",
        "{{UnsubscribeURL}}", "%25unsubscribe_url%25",
    ],
)  # fmt: skip
def test_however_a_tool_wrote_it(spelled):
    data = f'<a href="{spelled}">'.encode()
    assert find_placeholders(data, EVERY) == [(9, len(data) - 2, "unsubscribe_url")]


@pytest.mark.parametrize(
    "said",
    ["unsubscribe_url", "{unsubscribe_url}", "{{ unsubscribe_url_x }}", "{{unsubscribe-url}}",
     "UNSUB", "[ unsubscribe ", "100% unsubscribe_url", "{{      unsubscribe_url}}"],
)  # fmt: skip
def test_what_is_none(said):
    assert find_placeholders(said.encode(), EVERY) == []


def test_of_those_that_overlap_the_longest_counts():
    data = b"{{{ unsubscribe_url }}}{{unsubscribe_url}}%tag_unsubscribe_url%"
    assert [place[:2] for place in find_placeholders(data, EVERY)] == [(0, 23), (23, 42), (42, 63)]


def test_a_mailing_made_for_mailchimp():
    said = b"*|LIST:ADDRESS|* <a href=\"*|UNSUB|*\">x</a> <a href='*|UPDATE_PROFILE|*'>y</a>\r\n"
    foreign = tuple((s, m) for m, all_ in FOREIGN["mailchimp"].items() for s in all_)
    (text,) = texts(copy_of(message(said), with_bulk(placeholders=foreign)))
    assert text == f"{IDENTITY} <a href=\"{LEAVE}\">x</a> <a href='{CHOOSE}'>y</a>\r\n"


@pytest.mark.parametrize(
    "pair",
    [("unsubscribe", "unsubscribe_url"), ("%%", "unsubscribe_url"), ("*|UNSUB|*", "unsub"),
     ("", "unsubscribe_url"), ("%a\r\nb%", "unsubscribe_url")],
)  # fmt: skip
def test_what_cannot_be_a_spelling(pair):
    with pytest.raises(TreatmentError):
        with_bulk(placeholders=(pair,))


@pytest.mark.parametrize("charset", ["shift_jis", "cp932", "big5", "gbk", "gb18030", "johab"])
def test_a_brace_that_is_half_a_character_opens_no_placeholder(charset):
    sign = next(c for c in map(chr, range(0x80, 0xFFFF)) if _encoded(c, charset)[-1:] == b"{")
    octets = f"{sign}{{unsubscribe_url}}}}\r\n".encode(charset)
    assert b"{{unsubscribe_url}}" in octets
    raw = message(octets, f"text/plain; charset={charset}", "8bit")
    assert texts(copy_of(raw))[0].startswith(f"{sign}{{unsubscribe_url}}}}")
    whole = message(
        f"{sign}{{{{unsubscribe_url}}}}\r\n".encode(charset),
        f"text/plain; charset={charset}",
        "8bit",
    )
    assert texts(copy_of(whole))[0].startswith(f"{sign}{LEAVE}")


def _encoded(character, charset):
    try:
        return character.encode(charset)
    except UnicodeEncodeError:
        return b""


def test_half_a_character_on_an_endless_line():
    charset = find_charset("gbk")
    assert charset.is_ascii_at(b"x" * 9000, 9000) is False  # nobody can tell
    assert charset.is_ascii_at(b"x " * 9000, 18000) is True
    assert charset.is_ascii_at(b"x " * 9000 + b"\xa8", 18001) is False
