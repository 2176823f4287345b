"""Content: staged in pieces, swept when nobody accepts it, purged when its time is over."""

from datetime import timedelta

import pytest

from gatepost.mail.recipient_state import State
from gatepost.store import content, ids
from gatepost.store.tables import mail as tables
from support.submissions import accept, change, claim, mark, outcome, rows_of, submission

LARGE = bytes(range(256)) * 4096 + b"end"


async def test_large_content_is_staged_before_its_acceptance(store):
    number = ids.new_id()
    await content.stage(store, number, LARGE)
    assert [len(row["data"]) for row in rows_of(store, tables.content)] == [content.PIECE] * 4 + [3]
    accept(store, submission("ann@example.org", id=number, content=LARGE, staged=True))
    assert rows_of(store, tables.content_staged) == []
    assert store.read_now(lambda tx: content.load(tx, number)) == LARGE


async def test_what_is_staged_and_never_accepted_is_swept(store):
    orphan, accepted, new = ids.new_id(), ids.new_id(), ids.new_id()
    for number in (orphan, accepted, new):
        await content.stage(store, number, LARGE)
    accept(store, submission("ann@example.org", id=accepted, content=LARGE, staged=True))
    assert store.write_now(content.sweep_staged) == 0
    change(store, tables.content_staged, {"started_ms": 1}, submission=orphan)
    assert store.write_now(content.sweep_staged) == 1
    kept = {row["submission"] for row in rows_of(store, tables.content)}
    assert kept == {accepted, new}
    assert [row["submission"] for row in rows_of(store, tables.content_staged)] == [new]


def test_content_goes_when_its_retention_ends_and_the_record_stays(store):
    accept(store, submission("ann@example.org"), submission("bo@example.org"))
    ann, _ = claim(store)
    mark(store, outcome(ann, State.DELIVERED))
    assert store.write_now(lambda tx: content.purge(tx, store.now() - timedelta(days=7))) == 0
    later = store.now() + timedelta(seconds=5)
    assert store.write_now(lambda tx: content.purge(tx, later)) == 1
    assert store.write_now(lambda tx: content.purge(tx, later)) == 0
    with pytest.raises(LookupError):
        store.read_now(lambda tx: content.load(tx, ann.submission.id))
    states = {row["id"]: row["content_state"] for row in rows_of(store, tables.submission)}
    assert sorted(states.values()) == ["kept", "purged"]
    assert states[ann.submission.id] == "purged"
    assert len(rows_of(store, tables.recipient)) == 2


def test_purging_goes_in_slices(store):
    accept(store, *(submission(f"user{n}@example.org") for n in range(5)))
    mark(store, *(outcome(row, State.DELIVERED) for row in claim(store)))
    later = store.now() + timedelta(seconds=5)
    purged = [store.write_now(lambda tx: content.purge(tx, later, limit=2)) for _ in range(4)]
    assert purged == [2, 2, 1, 0]
