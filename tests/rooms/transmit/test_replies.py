"""Cutting replies out of the byte stream."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.flow.transmit import replies
from gatepost.flow.transmit.replies import GarbledError, ReplyReader, turn

STREAM = (
    b"250 ok\r\n250-one\r\n250-two\r\n250 three\r\n354\r\n550 5.1.1 nobody\n421-\r\n421 bye\r\n"
)
EXPECTED = [
    (250, b"ok"),
    (250, b"one\ntwo\nthree"),
    (354, b""),
    (550, b"5.1.1 nobody"),
    (421, b"\nbye"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_whole_or_in_any_chunks_the_same_replies(cuts):
    reader, found = ReplyReader(), []
    places = [0, *sorted(cuts), len(STREAM)]
    for start, end in itertools.pairwise(places):
        found += reader.feed(STREAM[start:end])
    assert found == EXPECTED
    assert reader.is_empty


@pytest.mark.parametrize(
    "garbage",
    [
        b"\r\n",
        b"hello\r\n",
        b"25\r\n",
        b"2500 ok\r\n",
        b"250ok\r\n",
        b"150 soon\r\n",
        b"650 no\r\n",
        b" 250 ok\r\n",
        b"\xff\xfe\xfd\r\n",
        b"250-one\r\n550 two\r\n",
        b"250-one\r\nnext\r\n",
        b"250 " + b"x" * replies.MAX_LINE + b"\r\n",
        b"250 " + b"x" * replies.MAX_LINE,
        b"250-" + b"x" * 1000 + b"\r\n250-" + b"y" * 1000 + b"\r\n" * 40,
        (b"250-" + b"x" * 1000 + b"\r\n") * 80,
        b"HTTP/1.1 400 Bad Request\r\n",
    ],
)
def test_garbage_is_noticed(garbage):
    with pytest.raises(GarbledError):
        ReplyReader().feed(garbage)


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_any_bytes_give_replies_or_garbled(chunks):
    reader = ReplyReader()
    try:
        for chunk in chunks:
            for code, text in reader.feed(chunk):
                assert 200 <= code < 600
                assert b"\r\n" not in text
    except GarbledError:
        pass


def test_the_empty_reader_says_so():
    reader = ReplyReader()
    assert reader.feed(b"250-half\r\n") == []
    assert not reader.is_empty


LINES = st.tuples(
    st.sampled_from([b"250", b"354", b"251", b"550", b"421", b"25"]),
    st.sampled_from([b" ", b"-", b""]),
    st.text("a. \r\n-", max_size=6).map(str.encode) | st.just(b"x" * 501),
    st.sampled_from([b"\r\n", b"\n", b""]),
).map(b"".join)
TURN = st.tuples(*[st.just(b"250 ok\r\n") | LINES] * 3, st.just(b"354 go\r\n") | LINES)


@given(TURN.map(b"".join))
def test_a_turn_is_told_only_where_the_reader_finds_the_same(data):
    text = turn(data)
    if text is not None:
        reader = ReplyReader()
        found = reader.feed(data)
        assert [code for code, _ in found] == [250, 250, 250, 354]
        assert found[0][1] == text
        assert reader.is_empty


def test_an_ordinary_turn_is_told():
    assert (
        turn(b"250 2.0.0 Ok: 4F\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End\r\n") == b"2.0.0 Ok: 4F"
    )
