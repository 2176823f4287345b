"""Quoted-printable bodies: wherever an edit is made, it is the only thing that changes."""

import quopri
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from gatepost.flow.edit import transfer
from gatepost.flow.edit.transfer import Edit, QuotedPrintable, encode_quoted_printable

_UNITS = st.sampled_from([b"a", b"-", b".", b" ", b"=3D", b"=E5", b"=e5", b"=\r\n", b"\r\n"])
_LINES = st.lists(_UNITS, max_size=80).map(b"".join)
_LONG = st.lists(_UNITS, max_size=8).map(lambda units: b"".join(units) + b"x=20" * 200)
_ODD = st.sampled_from([b"", b"\n", b"= \r\n", b"=", b"\r"])


def _spell(body, span):
    pieces = b"".join(span.insert)
    return body[: span.offset] + pieces + body[span.offset + len(span.delete) :]


@given(_LINES | _LONG, st.integers(0, 400), st.sampled_from([b"X", b"one two", b"-\r\n"]))
def test_an_insertion_anywhere_changes_nothing_else(body, place, words):
    transfer = QuotedPrintable(body, 0)
    assert transfer.data == quopri.decodestring(body)
    at = min(place, len(transfer.data))
    (span,) = transfer.spans([Edit(at, at, (words,))], {})
    edited = QuotedPrintable(_spell(body, span), 0).data
    assert edited == transfer.data[:at] + words + transfer.data[at:]


@given(st.lists(_LINES | _ODD, max_size=4).map(b"".join), st.integers(0, 100))
def test_odd_bodies_take_an_insertion_too(body, place):
    transfer = QuotedPrintable(body, 0)
    at = min(place, len(transfer.data))
    (span,) = transfer.spans([Edit(at, at, (b"X",))], {})
    edited = QuotedPrintable(_spell(body, span), 0).data
    assert edited.replace(b"\r\n", b"\n") == (
        transfer.data[:at] + b"X" + transfer.data[at:]
    ).replace(b"\r\n", b"\n")


@given(
    st.lists(
        st.sampled_from([b"a", b"- ", b"=", b"\xe5", b"\t", b"\r\n", b"\n"]), max_size=300
    ).map(b"".join)
)
def test_a_large_text_is_encoded_in_blocks_as_it_is_in_one(text):
    whole = b"".join(encode_quoted_printable([text], {}))
    with patch.object(transfer, "_BLOCK", 5):
        assert b"".join(encode_quoted_printable([text], {})) == whole
