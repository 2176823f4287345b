"""The chain: sealed once, and any change is found (DESIGN promise 5)."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from gatepost.consent.chain import GENESIS
from gatepost.consent.evidence import EventKind, Fact
from gatepost.mail.address import parse
from gatepost.store import ledger, people
from gatepost.store.engine import Store
from support.patient_stores import wait_for_long

T0 = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE = [parse(f"user{number}@example.org") for number in range(6)]


def fact(kind, day=0, **more):
    values = {"sender": "acme", "stream": "news", "basis": "form-checkbox", **more}
    return Fact(kind=EventKind(kind), at=T0 + timedelta(days=day), **values)


def record(store, address, *facts):
    return store.write_now(lambda tx: people.record(tx, address, facts))


def run(store, sql, **values):
    store.write_now(lambda tx: tx.connection.execute(text(sql), values) and None)


def findings(store, head=None):
    return store.read_now(lambda tx: ledger.verify(tx, head))


def whats(store, head=None):
    return " | ".join(
        f"{found.block}/{found.event}: {found.what}" for found in findings(store, head)
    )


@pytest.fixture
def sealed(store):
    """Three blocks of two, three and one events, and one event that is not sealed yet."""
    for size in (2, 3, 1):
        for number in range(size):
            record(store, PEOPLE[number], fact("granted", number))
        assert store.write_now(ledger.seal) == size
    record(store, PEOPLE[5], fact("withdrawn"))
    return store


def test_an_empty_ledger_is_whole(store):
    assert store.write_now(ledger.seal) == 0
    assert store.read_now(ledger.head) == (0, GENESIS.hex())
    assert findings(store) == []
    assert findings(store, (0, GENESIS.hex())) == []


def test_an_untouched_ledger_is_whole(sealed):
    height, digest = sealed.read_now(ledger.head)
    assert height == 3
    assert findings(sealed) == []
    assert findings(sealed, (height, digest)) == []
    sealed.write_now(ledger.seal)
    assert findings(sealed, (height, digest)) == []
    assert sealed.read_now(ledger.head)[0] == 4


def test_history_says_which_block_seals_an_event(sealed):
    history = sealed.read_now(lambda tx: people.history(tx, PEOPLE[0]))
    assert [one.block for one in history.events] == [1, 2, 3]


CHANGES = {
    "payload": "UPDATE event_payload SET payload = :junk WHERE event = 3",
    "salt": "UPDATE event_payload SET salt = :junk WHERE event = 3",
    "payload removed": "DELETE FROM event_payload WHERE event = 3",
    "payload given to another": (
        "UPDATE event_payload SET payload = (SELECT payload FROM event_payload WHERE event = 4),"
        " salt = (SELECT salt FROM event_payload WHERE event = 4) WHERE event = 3"
    ),
    "kind": "UPDATE event SET kind = 'withdrawn' WHERE id = 3",
    "time": "UPDATE event SET recorded_ms = recorded_ms + 1 WHERE id = 3",
    "negative time": "UPDATE event SET recorded_ms = -1 WHERE id = 3",
    "commitment": "UPDATE event SET commitment = :junk32 WHERE id = 3",
    "short commitment": "UPDATE event SET commitment = :junk WHERE id = 3",
    "person": "UPDATE event SET subject = (SELECT subject FROM event WHERE id = 4) WHERE id = 3",
    "unsealed by hand": "UPDATE event SET block = NULL WHERE id = 3",
    "moved to another block": "UPDATE event SET block = 3 WHERE id = 3",
    "moved to no block": "UPDATE event SET block = 99 WHERE id = 3",
    "inserted inside": (
        "INSERT INTO event (id, subject, kind, recorded_ms, commitment, block)"
        " SELECT 100, subject, kind, recorded_ms, commitment, 2 FROM event WHERE id = 3"
    ),
    "block count": "UPDATE block SET count = count + 1 WHERE height = 2",
    "block digest": "UPDATE block SET digest = :junk32 WHERE height = 2",
    "block previous": "UPDATE block SET previous = :junk32 WHERE height = 2",
    "short previous": "UPDATE block SET previous = :junk WHERE height = 2",
    "block time": "UPDATE block SET sealed_ms = sealed_ms + 1 WHERE height = 2",
    "block span": "UPDATE block SET last_event = last_event - 1 WHERE height = 2",
    "block removed": "DELETE FROM block WHERE height = 2",
    "first block removed": "DELETE FROM block WHERE height = 1",
    "another address": (
        "UPDATE subject SET address = 'mallory@example.org'"
        " WHERE id = (SELECT subject FROM event WHERE id = 3)"
    ),
    "unsealed payload": "UPDATE event_payload SET payload = :junk WHERE event = 7",
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_by_hand_is_found(sealed, change):
    sql = CHANGES[change]
    values = {name: value for name, value in (("junk", b"{}"), ("junk32", b"x" * 32))
              if f":{name} " in sql + " " or f":{name}," in sql}  # fmt: skip
    assert findings(sealed) == []
    run(sealed, sql, **values)
    assert findings(sealed) != []


def test_two_people_cannot_be_exchanged(sealed):
    """Evidence stays with the address it was given for, though addresses are not events."""
    rows = sealed.read_now(
        lambda tx: tx.connection.execute(
            text("SELECT id, address, address_hash FROM subject ORDER BY id LIMIT 2")
        ).all()
    )
    (one, *first), (other, *second) = rows
    change = "UPDATE subject SET address = :address, address_hash = :hash WHERE id = :id"
    run(sealed, change, address=None, hash=b"parked", id=one)
    run(sealed, change, address=first[0], hash=first[1], id=other)
    run(sealed, change, address=second[0], hash=second[1], id=one)
    assert "hash was changed" in whats(sealed)


def test_a_removed_event_is_found(sealed):
    run(sealed, "DELETE FROM event_payload WHERE event = 4")
    run(sealed, "DELETE FROM event WHERE id = 4")
    assert "has 2 events and had 3" in whats(sealed)


def test_exchanged_events_are_found(sealed):
    for sql in (
        "UPDATE event SET commitment = :junk WHERE id = 3",
        "UPDATE event SET commitment = (SELECT commitment FROM event WHERE id = 4) WHERE id = 3",
    ):
        run(sealed, sql, **({"junk": b"y" * 32} if ":junk" in sql else {}))
        assert findings(sealed) != []


def test_a_tail_cut_off_is_found_by_a_head_kept_elsewhere(sealed):
    head = sealed.read_now(ledger.head)
    run(sealed, "DELETE FROM event_payload WHERE event >= 6")
    gone = "(SELECT subject FROM event WHERE id = 7)"
    run(sealed, f"DELETE FROM standing WHERE subject = {gone}")
    run(sealed, "DELETE FROM event WHERE id >= 6")
    run(sealed, "DELETE FROM block WHERE height = 3")
    assert findings(sealed) == []  # a known limit, and what --head is for
    assert "ends at block 2" in whats(sealed, head)
    record(sealed, PEOPLE[0], fact("withdrawn"))
    sealed.write_now(ledger.seal)
    assert "not the one whose digest was kept" in whats(sealed, head)


def test_a_chain_made_with_another_key_is_found(sealed):
    import dataclasses

    def foreign(tx):
        keys = dataclasses.replace(tx.keys, ledger=b"k" * 32)
        return ledger.verify(dataclasses.replace(tx, keys=keys))

    assert len(sealed.read_now(foreign)) == 3 + 7  # blocks, and the proofs of the events


def test_an_erasure_leaves_the_chain_whole(sealed):
    record(sealed, PEOPLE[0], fact("complained"), fact("erased", 3, sender="", stream=""))
    assert findings(sealed) == []
    while sealed.write_now(ledger.seal):
        pass
    assert findings(sealed) == []


def test_a_payload_that_is_gone_without_an_erasure_is_found(sealed):
    record(sealed, PEOPLE[0], fact("erased", 3, sender="", stream=""))
    record(sealed, PEOPLE[0], fact("granted", 4))
    run(sealed, "DELETE FROM event_payload WHERE event = (SELECT max(id) FROM event)")
    assert "no erasure says why" in whats(sealed)


def test_sealing_goes_on_in_slices(store, monkeypatch):
    monkeypatch.setattr(ledger, "MAX_BLOCK", 4)
    record(store, PEOPLE[0], *[fact("engaged", day) for day in range(10)])
    assert [store.write_now(ledger.seal) for _ in range(4)] == [4, 4, 2, 0]
    assert findings(store) == []


def test_gateways_seal_and_record_at_once(store_url, tmp_path, monkeypatch):
    """Each event is sealed exactly once; sealers give way to each other."""
    wait_for_long(monkeypatch)
    with Store.open(store_url, tmp_path) as one, Store.open(store_url, tmp_path) as other:

        def work(store, who):
            for number in range(20):
                record(store, PEOPLE[who], fact("engaged", number))
                store.write_now(ledger.seal)

        threads = [
            threading.Thread(target=work, args=arguments) for arguments in ((one, 0), (other, 1))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        while one.write_now(ledger.seal):
            pass
        assert findings(other) == []
        counted = "SELECT sum(count), count(DISTINCT height), max(height) FROM block"
        total, blocks, height = other.read_now(
            lambda tx: tx.connection.execute(text(counted)).one()
        )
        assert (int(total), blocks) == (40, height)


def test_any_byte_of_any_event_in_the_file(tmp_path):
    """Flip bytes of the database file where events lie, by hand: each flip is noticed."""
    from gatepost.store.engine import StoreUnavailable

    with Store.open("", tmp_path) as store:
        record(store, PEOPLE[0], fact("granted", note="a note that stands in the payload"))
        store.write_now(ledger.seal)
        rows = store.read_now(
            lambda tx: tx.connection.execute(
                text("SELECT commitment, salt, payload FROM event JOIN event_payload ON event = id")
            ).one()
        )
    path = tmp_path / "gatepost.db"
    whole = path.read_bytes()
    for content in rows:
        start = whole.find(content)
        assert start > 0
        for place in range(start, start + len(content), 7):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            try:
                with Store.open("", tmp_path) as store:
                    assert findings(store), place
            except StoreUnavailable:
                continue
    path.write_bytes(whole)
    with Store.open("", tmp_path) as store:
        assert findings(store) == []
