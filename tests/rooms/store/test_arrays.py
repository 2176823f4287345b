"""Arrays as PostgreSQL reads them: whatever the values, the rows hold just these."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import bindparam, insert, select

from gatepost.mail.recipient_state import State
from gatepost.store.arrays import array, literal
from gatepost.store.hot import compile_once
from gatepost.store.tables.ledger import meta
from gatepost.store.tables.mail import content, sender_state

AWKWARD = [
    "", "NULL", "null", " ", "a,b", "{}", "{", "}", '"', "\\", '\\"', "\\\\", "'", "%s", "a\nb", "\t",
    "å", "\u2028", "\U0001f4ee", "$1", "();--", "\x01", " left", "right ",
]  # fmt: skip
ADD_META = insert(meta)
ADD_STATE = insert(sender_state)
ADD_PIECES = insert(content)
NAMED = select(meta.c.name).where(meta.c.name.in_(bindparam("names", expanding=True)))


def test_texts_come_back_as_they_went(store):
    rows = [{"name": f"t{n}{text}", "value": text} for n, text in enumerate(AWKWARD)]
    store.write_now(lambda tx: compile_once(ADD_META, tx.dialect).executemany(tx, rows))
    found = store.read_now(lambda tx: dict(tx.connection.execute(select(meta)).all()))
    assert {row["name"]: found[row["name"]] for row in rows} == {
        row["name"]: row["value"] for row in rows
    }
    names = {"names": [row["name"] for row in rows]}
    listed = store.read_now(lambda tx: compile_once(NAMED, tx.dialect).rows(tx, names))
    assert sorted(listed) == sorted((row["name"],) for row in rows)


def test_numbers_and_nothing_come_back(store):
    numbers = [None, 0, -1, 2**62, None]
    rows = [{"sender": f"s{n}", "frozen_ms": ms, "note": ""} for n, ms in enumerate(numbers)]
    store.write_now(lambda tx: compile_once(ADD_STATE, tx.dialect).executemany(tx, rows))
    query = select(sender_state.c.frozen_ms).order_by(sender_state.c.sender)
    assert store.read_now(lambda tx: tx.connection.execute(query).scalars().all()) == numbers


@pytest.mark.parametrize("size", [1, 64, 65, 5000])
def test_octets_come_back(store, size):
    pieces = [b"", bytes(range(256))[:size], b'\\"{},' * (size // 5), b"\0" * size]
    rows = [{"submission": 1, "n": n, "data": data} for n, data in enumerate(pieces)]
    store.write_now(lambda tx: compile_once(ADD_PIECES, tx.dialect).executemany(tx, rows))
    query = select(content.c.data).order_by(content.c.n)
    assert store.read_now(lambda tx: tx.connection.execute(query).scalars().all()) == pieces


def test_what_it_writes():
    assert literal([1, None, True, "a", State.READY, b"\0\xff", 'q"\\']) == (
        '{1,NULL,t,"a","ready","\\\\x00ff","q\\"\\\\"}'
    )
    assert literal([]) == "{}"
    assert array([b"x" * 65, None]) == [b"x" * 65, None]


def test_other_kinds_are_refused():
    with pytest.raises(TypeError, match="float"):
        literal([1.5])


@given(st.lists(st.text()))
def test_no_text_ends_its_place(values):
    text = literal(values)
    assert text.replace("\\\\", "").replace('\\"', "").count('"') == 2 * len(values)
