"""Whatever somebody changes by hand in the database file, `ledger verify` finds (promise 5)."""

import itertools
import sqlite3
import struct

import pytest

from gatepost.store import ledger
from gatepost.store.engine import DATABASE, Store
from gatepost.store.trouble import Trouble, classify
from support.ledgers import PEOPLE, build, by_hand, fact, record, seal

# Every column of these; of people what tells who they are, and when they were erased.
TABLES = {
    "block": None,
    "event": None,
    "event_payload": None,
    "source": None,
    "consent_text": None,
    "picture": None,
    "subject": ("id", "address_hash", "address", "erased_ms"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ledger")
    with Store.open("", folder) as store:
        build(store)
    return folder


@pytest.fixture
def tx(made):
    with by_hand(made / DATABASE, made / "keys") as tx:
        yield tx


def run(tx, sql, *values):
    tx.cursor.execute(sql, values)


def changes(value):
    """`value` with one bit of one byte changed, for each of its bytes in turn."""
    match value:
        case int():
            yield from (value ^ 1 << 8 * byte for byte in range(8))
        case bytes():
            for place in range(len(value)):
                yield value[:place] + bytes([value[place] ^ 1 << place % 8]) + value[place + 1 :]
        case str():
            for place, letter in enumerate(value):
                yield value[:place] + chr(ord(letter) ^ 1) + value[place + 1 :]


@pytest.mark.parametrize("table", TABLES)
def test_any_byte_of_any_row(tx, table):
    assert ledger.verify(tx) == []
    names = TABLES[table] or [
        row[1] for row in tx.cursor.execute(f"PRAGMA table_info({table})").fetchall()
    ]
    rows = tx.cursor.execute(f"SELECT rowid, {', '.join(names)} FROM {table}").fetchall()
    unnoticed, tried = [], 0
    for rowid, *values in rows:
        for name, value in zip(names, values, strict=True):
            for changed in changes(value):
                run(tx, "SAVEPOINT one")
                try:
                    run(tx, f"UPDATE {table} SET {name} = ? WHERE rowid = ?", changed, rowid)
                except sqlite3.IntegrityError:
                    continue  # two rows would be one
                else:
                    tried += 1
                    if not ledger.verify(tx):
                        unnoticed.append((rowid, name, value, changed))
                finally:
                    run(tx, "ROLLBACK TO one")
    assert unnoticed == []
    assert tried >= len(rows)
    assert ledger.verify(tx) == []


REMOVALS = ["block", "event", "event_payload", "source", "consent_text", "picture", "subject"]


@pytest.mark.parametrize("table", REMOVALS)
def test_any_row_removed(tx, table):
    for (rowid,) in tx.cursor.execute(f"SELECT rowid FROM {table}").fetchall():
        run(tx, "SAVEPOINT one")
        run(tx, f"DELETE FROM {table} WHERE rowid = ?", rowid)
        assert ledger.verify(tx), rowid
        run(tx, "ROLLBACK TO one")


def event_ids(tx):
    return [number for (number,) in tx.cursor.execute("SELECT id FROM event ORDER BY id")]


def test_any_event_removed_with_its_payload(tx):
    for number in event_ids(tx):
        run(tx, "SAVEPOINT one")
        run(tx, "DELETE FROM event_payload WHERE event = ?", number)
        run(tx, "DELETE FROM event WHERE id = ?", number)
        assert ledger.verify(tx), number
        run(tx, "ROLLBACK TO one")


@pytest.mark.parametrize("block", ["block", "NULL", "1"])
def test_any_event_put_in_twice(tx, block):
    last = max(event_ids(tx))
    for number in event_ids(tx):
        run(tx, "SAVEPOINT one")
        run(tx, f"INSERT INTO event SELECT ?, subject, kind, recorded_ms, commitment, {block}, proof"
                " FROM event WHERE id = ?", last + 1, number)  # fmt: skip
        run(tx, "INSERT INTO event_payload SELECT ?, salt, payload FROM event_payload"
                " WHERE event = ?", last + 1, number)  # fmt: skip
        assert ledger.verify(tx), number
        run(tx, "ROLLBACK TO one")


def test_any_two_events_that_change_places(tx):
    ids = event_ids(tx)
    for one, other in itertools.pairwise(ids):
        run(tx, "SAVEPOINT one")
        for table, column in (("event", "id"), ("event_payload", "event")):
            for old, new in ((one, 900), (other, one), (900, other)):
                run(tx, f"UPDATE {table} SET {column} = ? WHERE {column} = ?", new, old)
        assert ledger.verify(tx), (one, other)
        run(tx, "ROLLBACK TO one")


def test_any_two_payloads_that_change_places(tx):
    there = [number for (number,) in tx.cursor.execute("SELECT event FROM event_payload")]
    for one, other in itertools.pairwise(there):
        run(tx, "SAVEPOINT one")
        for old, new in ((one, 900), (other, one), (900, other)):
            run(tx, "UPDATE event_payload SET event = ? WHERE event = ?", new, old)
        assert ledger.verify(tx), (one, other)
        run(tx, "ROLLBACK TO one")


def test_ids_that_are_counted_anew(tx):
    """Everything one place further, as if something had been recorded before."""
    for table, column in (("event", "id"), ("event_payload", "event")):
        run(tx, f"UPDATE {table} SET {column} = -{column} - 1")
        run(tx, f"UPDATE {table} SET {column} = -{column}")
    run(tx, "UPDATE block SET first_event = first_event + 1, last_event = last_event + 1")
    assert ledger.verify(tx)


def test_a_tail_cut_off_without_a_trace(tx):
    """Known limit: only a head that was kept elsewhere shows it."""
    head = ledger.head(tx)
    run(tx, "DELETE FROM event_payload WHERE event IN (SELECT id FROM event WHERE block IS NULL)")
    for table in ("standing", "suppression"):
        run(tx, f"DELETE FROM {table} WHERE subject IN"
                " (SELECT subject FROM event WHERE block IS NULL)")  # fmt: skip
    run(tx, "DELETE FROM event WHERE block IS NULL")
    assert ledger.verify(tx, head) == []
    cut = "(SELECT id FROM event WHERE block = (SELECT max(height) FROM block))"
    run(tx, f"DELETE FROM event_payload WHERE event IN {cut}")
    run(tx, f"DELETE FROM event WHERE id IN {cut}")
    run(tx, "DELETE FROM block WHERE height = (SELECT max(height) FROM block)")
    whats = [one.what for one in ledger.verify(tx, head)]
    assert any("its tail is cut off" in what for what in whats)
    run(tx, "DELETE FROM event_payload")
    run(tx, "DELETE FROM event")
    run(tx, "DELETE FROM block")
    whats = [one.what for one in ledger.verify(tx, head)]
    assert any("ends at block 0" in what for what in whats)


def test_sealing_anew_what_was_unsealed_by_hand(tx):
    """The events are genuine, but the blocks are not those whose head was kept."""
    head = ledger.head(tx)
    run(tx, "UPDATE event SET block = NULL WHERE block = (SELECT max(height) FROM block)")
    run(tx, "DELETE FROM block WHERE height = (SELECT max(height) FROM block)")
    assert ledger.seal(tx)
    assert ledger.verify(tx) == []
    assert ["not the one whose digest" in one.what for one in ledger.verify(tx, head)] == [True]


# The file itself, byte by byte


def rows_of(connection):
    return [
        connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
        for table in ("event", "event_payload", "block")
    ]


def leaf_pages(octets, root, size):
    """The numbers of the leaf pages of a table's tree (the file format of SQLite, §1.6)."""
    start = (root - 1) * size
    if octets[start] == 13:
        return [root]
    assert octets[start] == 5
    (cells,) = struct.unpack_from(">H", octets, start + 3)
    pointers = struct.unpack_from(f">{cells}H", octets, start + 12)
    children = [struct.unpack_from(">I", octets, start + at)[0] for at in pointers]
    children += struct.unpack_from(">I", octets, start + 8)
    return [leaf for child in children for leaf in leaf_pages(octets, child, size)]


def occupied(octets, page, size):
    """Where a leaf page has its header, the places of its cells, and the cells themselves."""
    start = (page - 1) * size
    (cells, content) = struct.unpack_from(">HH", octets, start + 3)
    yield from range(start, start + 8 + 2 * cells)
    yield from range(start + content, start + size)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A ledger of a few events, in a file without a journal beside it."""
    folder = tmp_path_factory.mktemp("small")
    with Store.open("", folder) as store:
        record(store, PEOPLE[0], fact("granted", note="web"), fact("engaged", 1))
        seal(store)
        record(store, PEOPLE[1], fact("granted"), fact("withdrawn", 2))
        seal(store)
        record(store, PEOPLE[0], fact("complained", 3))
    with sqlite3.connect(folder / DATABASE) as database:
        database.execute("PRAGMA journal_mode=DELETE")
        database.execute("VACUUM")
    return folder


def test_any_byte_of_the_pages_that_hold_the_ledger(small):
    """Found, or the database gives up; never a clean answer while something differs."""
    octets = (small / DATABASE).read_bytes()
    (size,) = struct.unpack_from(">H", octets, 16)
    with by_hand(octets, small / "keys") as tx:
        before = rows_of(tx.cursor)
        assert ledger.verify(tx) == []
        roots = tx.cursor.execute(
            "SELECT rootpage FROM sqlite_master WHERE name IN ('event', 'event_payload', 'block')"
        ).fetchall()
    pages = [page for (root,) in roots for page in leaf_pages(octets, root, size)]
    places = [place for page in pages for place in occupied(octets, page, size)]
    assert len(places) > 1000
    clean = [place for place in places if not is_noticed(small, octets, place, before)]
    assert clean == []


def is_noticed(folder, octets, place, before):
    changed = octets[:place] + bytes([octets[place] ^ 1 << place % 8]) + octets[place + 1 :]
    with by_hand(changed, folder / "keys") as tx:
        try:
            return bool(ledger.verify(tx)) or rows_of(tx.cursor) == before
        except Exception as error:
            return classify(error) is not Trouble.NONE
