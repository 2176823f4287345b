"""Plans as data: spans that do not overlap, holes that know their place."""

import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.flow.edit import Slot, Span, Window, apply, undo
from gatepost.flow.edit.spans import make_plan
from gatepost.flow.edit.transfer import (
    Edit,
    encode_base64,
    encode_quoted_printable,
    open_transfer,
    render,
    splice,
)
from support.treatments import TOKENS

SIZES = {Slot.UNSUBSCRIBE: 49, Slot.PREFERENCES: 49, Slot.MAILTO: 49}
SEGMENTS = st.lists(
    st.sampled_from([*Slot, b"a", b"bc", b"\r\n", b"=", b"\xe5", b"-", b" ", b"x" * 75])
)
QP_BODIES = st.lists(
    st.sampled_from(
        [
            b"=E5",
            b"=\r\n",
            b"= \r\n",
            b"=",
            b"==",
            b"=3D",
            b"=zz",
            b"a",
            b"\r\n",
            b" ",
            b"=\n",
            b"x" * 70,
        ]
    )
).map(b"".join)


def test_spans_at_one_place_keep_their_order_and_may_not_overlap():
    made = make_plan(
        b"abc",
        [Span(1, b"b", (b"1", Slot.MAILTO)), Span(1, b"", (b"0",)), Span(2, b"", (b"2",))][::-1],
        SIZES,
    )
    assert apply(made, TOKENS) == b"a" + b"0" + b"1" + b"m" * 49 + b"2c"
    assert made.slots == {Slot.MAILTO: 49}
    assert [(hole.offset, hole.size) for hole in made.holes] == [(3, 49)]
    with pytest.raises(ValueError, match="overlap"):
        make_plan(b"abc", [Span(0, b"ab", ()), Span(1, b"b", ())], SIZES)


def test_only_a_copy_can_be_undone():
    made = make_plan(b"abc", [Span(1, b"b", (b"xyz",))], {})
    assert undo(made, b"axyzc") == b"abc"
    with pytest.raises(ValueError, match="not a copy"):
        undo(made, b"axyz")


def fill(pieces):
    return b"".join(
        piece.fill(TOKENS)
        if isinstance(piece, Window)
        else TOKENS[piece]
        if isinstance(piece, Slot)
        else piece
        for piece in pieces
    )


@given(SEGMENTS, st.sampled_from([60, 64, 76]), st.integers(0, 76))
def test_base64_windows_say_what_encoding_the_whole_would(segments, line, column):
    encoded = fill(encode_base64(segments, SIZES, line, min(column, line)))
    content = b"".join(TOKENS[s] if isinstance(s, Slot) else s for s in segments)
    assert encoded.replace(b"\r\n", b"") == binascii.b2a_base64(content, newline=False)
    rows = encoded.split(b"\r\n")
    assert len(rows[0]) <= line - min(column, line)
    assert all(len(row) == line for row in rows[1:-1])
    assert all(0 < len(row) <= line for row in rows[1:])


@given(SEGMENTS)
def test_quoted_printable_says_the_same_in_short_lines(segments):
    encoded = fill(encode_quoted_printable(segments, SIZES))
    content = b"".join(TOKENS[s] if isinstance(s, Slot) else s for s in segments)
    assert binascii.a2b_qp(encoded) == content
    rows = encoded.split(b"\r\n")
    assert all(len(row) <= 76 for row in rows)
    assert not any(row.endswith((b" ", b"\t")) for row in rows[:-1])


@given(QP_BODIES, st.data())
def test_edits_of_quoted_printable_leave_the_rest_as_it_is(body, data):
    transfer = open_transfer(body, 0, "quoted-printable")
    place = data.draw(st.integers(0, len(transfer.data)))
    stop = data.draw(st.integers(place, len(transfer.data)))
    insert = tuple(data.draw(SEGMENTS.filter(bool)))
    edits = [Edit(place, stop, insert)]
    made = make_plan(body, transfer.spans(edits, SIZES), SIZES)
    copy = apply(made, TOKENS)
    assert undo(made, copy) == body
    expected = render(splice(transfer.data, edits), SIZES)
    seen = open_transfer(copy, 0, "quoted-printable").data
    assert len(seen) == len(expected)
    assert seen.endswith(transfer.data[stop:])
    assert seen.startswith(transfer.data[:place])


@given(st.binary(max_size=300), st.data())
def test_edits_of_base64_leave_what_is_before_them(content, data):
    letters = binascii.b2a_base64(content, newline=False)
    body = b"\r\n".join(letters[at : at + 76] for at in range(0, len(letters), 76)) + b"\r\n"
    place = data.draw(st.integers(0, len(content)))
    transfer = open_transfer(body, 0, "base64")
    made = make_plan(
        body, transfer.spans([Edit(place, place, (b"<", Slot.MAILTO, b">"))], SIZES), SIZES
    )
    copy = apply(made, TOKENS)
    assert undo(made, copy) == body
    assert binascii.a2b_base64(copy) == content[:place] + b"<" + b"m" * 49 + b">" + content[place:]
    kept = place // 3 * 4
    assert copy[: kept + kept // 76 * 2].rstrip() == body[: kept + kept // 76 * 2].rstrip()
    assert max(map(len, copy.split(b"\r\n"))) <= 76
