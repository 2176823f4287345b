"""Content: the end of data in any segmentation, dot-stuffing, bare newlines, sizes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.flow.accept.content import Content, Trouble

LIMIT = 10_000
ALPHABET = [
    b"\r",
    b"\n",
    b".",
    b"\r\n",
    b"\r\n.",
    b"\n.",
    b"a",
    b"Subject: x",
    b"..",
    b"\0",
    b"\xff",
]
PIECES = st.lists(st.sampled_from(ALPHABET), max_size=30).map(b"".join)


def receive(segments, *, limit=LIMIT, reject=False):
    """What comes of the segments, and what is left behind the end of data."""
    content = Content(limit, reject_bare_newlines=reject)
    for number, segment in enumerate(segments):
        stop = content.feed(segment)
        if content.complete:
            return content.finish(), segment[stop:] + b"".join(segments[number + 1 :])
        assert stop == len(segment)
    return None, b""


def cut(octets, places):
    edges = [0, *sorted({place % (len(octets) + 1) for place in places}), len(octets)]
    return [octets[a:b] for a, b in pairwise(edges)]


@pytest.mark.parametrize(
    ("wire", "content"),
    [
        (b".\r\n", b""),
        (b"x\r\n.\r\n", b"x\r\n"),
        (b"\r\n.\r\n", b"\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),  # stuffing on the first line
        (b"a\r\n..\r\n...\r\n.b\r\n.\r\n", b"a\r\n.\r\n..\r\nb\r\n"),
        (b"\xff\xfe\r\n.\r\n", b"\xff\xfe\r\n"),
    ],
)
def test_stuffing_is_taken_away(wire, content):
    assert receive([wire + b"NOOP\r\n"]) == (content, b"NOOP\r\n")


@pytest.mark.parametrize(
    "trick",
    [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r\n\0.\r\n",
        b"\r\r\n.\r\r\n",
        b"\r\n.\r",
        b"\r.\r\n",
    ],
)
def test_rs1_rs6_only_crlf_dot_crlf_ends_it(trick):
    wire = b"one" + trick + b"MAIL FROM:<evil@x.example>\r\n.\r\n"
    for place in range(len(wire)):  # R5321-1, in every segmentation in two
        content, rest = receive([wire[:place], wire[place:]])
        assert rest == b""
        if b"\0" in trick:
            assert content is Trouble.NUL
        else:
            assert b"MAIL FROM:<evil@x.example>\r\n" in content
            assert content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r")


@pytest.mark.parametrize(
    ("wire", "content"),
    [
        (b"a\nb\r\n.\r\n", b"a\r\nb\r\n"),
        (b"a\rb\r\n.\r\n", b"a\r\nb\r\n"),
        (b"a\r\r\nb\r\n.\r\n", b"a\r\n\r\nb\r\n"),
        (b"a\n..b\r\n.\r\n", b"a\r\n.b\r\n"),  # stuffed behind a bare LF
        (b"a\n.\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n"),  # a lone dot ended nothing, and stays
        (b".\nb\r\n.\r\n", b".\r\nb\r\n"),
        (b"..\nb\r\n.\r\n", b".\r\nb\r\n"),
    ],
)
def test_bare_newlines_are_taken_for_crlf(wire, content):
    assert receive([wire])[0] == content


@pytest.mark.parametrize("bare", [b"a\nb\r\n", b"a\rb\r\n", b"a\r\r\n"])
def test_bare_newlines_are_refused_by_setting(bare):
    assert receive([bare + b".\r\n"], reject=True)[0] is Trouble.BARE_NEWLINE
    assert receive([b"fine\r\n.\r\n"], reject=True)[0] == b"fine\r\n"


@given(PIECES, st.lists(st.integers(0, 400), max_size=8), st.booleans())
def test_any_segmentation_gives_the_same(octets, places, reject):
    wire = octets + b"\r\n.\r\nQUIT\r\n"
    assert receive(cut(wire, places), reject=reject) == receive([wire], reject=reject)


@given(PIECES)
def test_what_comes_out_can_end_nothing_unforeseen(octets):
    content, _ = receive([octets + b"\r\n.\r\n"])
    if isinstance(content, bytes):
        assert content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r")
        assert content == b"" or content.endswith(b"\r\n")
        stuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
        assert receive([stuffed + b".\r\n"]) == (content, b"")


def test_rx1_size_counts_line_ends_and_no_stuffing():
    content = b".\r\n" * 100  # 300 octets, 400 on the wire
    wire = content.replace(b".", b"..") + b".\r\n"
    assert receive([wire], limit=300)[0] == content
    assert receive([wire], limit=299)[0] is Trouble.TOO_LARGE


def test_beyond_the_limit_nothing_is_held():
    content = Content(1000, reject_bare_newlines=False)
    for _ in range(100):
        content.feed(b"x" * 1000 + b"\r\n")
    assert content._held.getbuffer().nbytes == 0
    content.feed(b".\r\n")
    assert content.complete
    assert content.finish() is Trouble.TOO_LARGE


def test_a_line_of_any_length_is_taken():
    line = b"x" * 9000 + b"\r\n"  # 2.11-8: many mailers send long HTML lines
    assert receive([line + b".\r\n"])[0] == line
