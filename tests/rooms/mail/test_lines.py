"""Line ends: CRLF and nothing else, and none too far from the last (R5322-1, RS-1)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.mail.lines import long_lines, normalize


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a\nb\r\n", b"a\r\nb\r\n"),
        (b"a\rb\r\n", b"a\r\nb\r\n"),
        (b"a\r\n.\n.\r\n", b"a\r\n.\r\n.\r\n"),
        (b"a\r\r\n", b"a\r\n\r\n"),
        (b"a", b"a\r\n"),
        (b"", b""),
    ],
)
def test_normalize(content, expected):
    assert normalize(content) == expected


def test_what_is_normal_is_not_copied():
    content = b"a\r\nb\r\n"
    assert normalize(content) is content


@given(st.text(alphabet="a\r\n", max_size=60).map(str.encode))
def test_only_crlf_is_left_and_nothing_but_line_ends_changes(content):
    normal = normalize(content)
    assert re.fullmatch(rb"(?:a*\r\n)*", normal)
    assert normal.replace(b"\r\n", b"") == content.replace(b"\r", b"").replace(b"\n", b"")
    assert normalize(normal) is normal


@given(st.lists(st.integers(0, 30), max_size=20), st.booleans())
def test_long_lines_are_those_over_the_limit(lengths, ended):
    raw = b"\r\n".join(b"x" * length for length in lengths) + (b"\r\n" if ended else b"")
    found = [end - start for start, end in long_lines(raw, limit=10)]
    assert found == [length for length in lengths if length > 10]
