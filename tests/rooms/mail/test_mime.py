"""Values of MIME fields, read leniently, and never for long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.mail.mime import first_token, parse_content_type, parse_disposition, unfold


@pytest.mark.parametrize(
    ("value", "media", "name", "expected"),
    [
        (b"text/plain; charset=us-ascii", "text/plain", "charset", "us-ascii"),
        (b" TEXT / HTML ;CHARSET = utf-8", "text/html", "charset", "utf-8"),
        (b'a/b; name="x;y=\\"z\\""; charset=q', "a/b", "name", 'x;y="z"'),
        (b'a/b; name="x;y=\\"z\\""; charset=q', "a/b", "charset", "q"),
        (b"a/b;\r\n\tboundary=x y ; c=d", "a/b", "boundary", "x y"),
        (b"text/plain; charset=us-ascii (Plain text)", "text/plain", "charset", "us-ascii"),
        (b'a/b; name="unclosed; c=d', "a/b", "name", "unclosed; c=d"),
        (b"a/b; name*=utf-8'sv'R%C3%A4v", "a/b", "name", "Räv"),
        (b"a/b; name*0=one; name*1*=%20two", "a/b", "name", "one two"),
        (b"a/b; charset=one; charset=two", "a/b", "charset", "one"),
        (b"a/b;;; =x; c=d", "a/b", "c", "d"),
        (b"text", "", "charset", ""),
        (b"", "", "charset", ""),
    ],
)
def test_content_types(value, media, name, expected):
    content_type = parse_content_type(value)
    assert content_type.media == media
    assert content_type.value(name) == expected


def test_a_parameter_knows_where_it_stands():
    value = b' text/plain; charset="iso-8859-1"; format=flowed'
    found = parse_content_type(value).parameters["charset"]
    assert value[found.start : found.end] == b'charset="iso-8859-1"'


@pytest.mark.parametrize(
    ("value", "token"),
    [(b" BASE64 ", "base64"), (b"7bit (easy)", "7bit"), (b"", ""), (b'"8bit"', "8bit")],
)
def test_tokens(value, token):
    assert first_token(value) == token


def test_dispositions():
    assert parse_disposition(b"attachment; filename=a.txt") == ("attachment", "a.txt")
    assert parse_disposition(b"") == ("", "")


def test_unfolding_keeps_inner_blanks():
    assert unfold(b" a\r\n\t b \r\n") == b"a\t b"


@given(st.binary(max_size=400) | st.text(alphabet="a;=\"\\* \t%'", max_size=400).map(str.encode))
def test_never_raises(value):
    parse_content_type(b"a/b" + value)
    parse_content_type(value)
    parse_disposition(value)
    first_token(value)
