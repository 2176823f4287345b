"""A store moved to another database is the same store, however often the way was cut off."""

import time
from contextlib import contextmanager
from itertools import chain

import pytest
from sqlalchemy import delete, select, text, update

from gatepost.mail.recipient_state import State
from gatepost.store import connection, content, ledger, moving
from gatepost.store.engine import Store
from gatepost.store.moving import End, TargetTaken, rows, target
from gatepost.store.tables import mail as tables
from gatepost.store.tables.onward import webhook
from gatepost.store.trouble import StoreBroken, StoreUnavailable
from support import ledgers
from support.filled import LARGE, fill, snapshot
from support.submissions import accept, claim, mark, outcome, rows_of, submission

WAYS = [("sqlite", "postgresql"), ("postgresql", "sqlite"), ("postgresql", "postgresql")]


class CutOff(Exception):
    """The power went."""


@contextmanager
def unwatched(_what, _total):
    yield lambda _rows: None


def cut_off_after(steps):
    """A watch that ends the move after so many slices."""
    left = [steps]

    @contextmanager
    def watch(_what, _total):
        def advance(_rows):
            left[0] -= 1
            if left[0] < 0:
                raise CutOff

        yield advance

    return watch


@pytest.fixture
def way():
    """From and to; the tests that may differ between engines say `every_way`."""
    return WAYS[0]


every_way = pytest.mark.parametrize("way", WAYS, ids="-to-".join)


@pytest.fixture
def ends(way, tmp_path, postgres_server):
    """Where a store is, and where it shall go; the keys are the same."""
    made = []

    def end(engine, empty):
        if engine == "sqlite":
            return End("", tmp_path / "data")
        made.append(postgres_server.database(empty=empty))
        return End(made[-1], tmp_path / "data")

    yield end(way[0], empty=False), end(way[1], empty=True)
    for url in made:
        postgres_server.drop(url)


@pytest.fixture
def filled(ends):
    """The first end, with rows in every table, and what they are."""
    with opened(ends[0]) as store:
        fill(store)
        return snapshot(store), store.keys


def opened(end):
    return Store.open(end.url, end.data_dir)


def moved(ends, filled, watch=unwatched):
    return moving.move(*ends, filled[1], watch)


@every_way
def test_everything_is_there_and_nothing_else(ends, filled):
    before, _ = filled
    assert all(before.values()), "a table without rows proves nothing"
    answer = moved(ends, filled)
    with opened(ends[1]) as store:
        after = snapshot(store)
        # A store of its own, so that nobody takes the old one for it (`store.belonging`).
        (new,) = after["meta"] - before["meta"]
        assert all("store.id" in row for row in {new, *(before["meta"] - after["meta"])})
        # Leases end with the move: their holders are stopped. Everything else is what it was.
        for name in before.keys() - {"recipient", "webhook", "meta"}:
            assert after[name] == before[name], name
        assert len(after["recipient"]) == len(before["recipient"])
        assert {row.name: row.rows for row in answer.tables} == {
            name: len(found) for name, found in before.items()
        }
        assert list(ledger.inspect(store.read_now)) == []
        assert store.read_now(ledger.head) == answer.head
    with opened(ends[0]) as store:
        assert snapshot(store) == before, "the source is left as it was"


@pytest.mark.parametrize("way", [("postgresql", "sqlite")])
def test_the_store_that_is_moved_waits_for_the_other_end(ends, filled, monkeypatch):
    monkeypatch.setattr(connection, "STANDSTILL_SECONDS", 0.5)

    @contextmanager
    def watch(what, _total):
        if what == "checked":
            time.sleep(1.5)
        yield lambda _rows: None

    assert moved(ends, filled, watch).findings == []


def test_who_held_something_holds_nothing_any_more(ends, filled):
    moved(ends, filled)
    with opened(ends[1]) as store:
        assert {row["lease_by"] for row in rows_of(store, webhook)} == {None}
        assert {row["lease_by"] for row in rows_of(store, tables.recipient)} == {None}
        assert not rows_of(store, tables.recipient, state=State.SENDING.value)
        got = claim(store, holder="another", limit=100)
        contents = {row.submission.id for row in got}
        assert got, "what was under way is taken up"
        kept = [store.read_now(lambda tx, n=number: content.load(tx, n)) for number in contents]
        assert LARGE in kept
        mark(store, *(outcome(row, State.DELIVERED) for row in got), holder="another")


@every_way
def test_numbers_go_on_after_those_that_were_copied(ends, filled):
    before, _ = filled
    moved(ends, filled)
    with opened(ends[1]) as store:
        accept(store, submission("next@kund.example"))
        ledgers.add_source(store, "new")
        numbers = [row["id"] for row in rows_of(store, tables.recipient)]
        assert len(numbers) == len(set(numbers)) == len(before["recipient"]) + 1
        assert max(numbers) == numbers[-1] > max(row[0] for row in before["recipient"])


@pytest.mark.parametrize("steps", [1, 13, 34])
def test_a_move_that_was_cut_off_goes_on(ends, filled, steps, monkeypatch):
    """Between two tables, and in the middle of one."""
    before, _ = filled
    monkeypatch.setattr(rows, "_AT_ONCE", 3)
    with pytest.raises(CutOff):
        moved(ends, filled, cut_off_after(steps))
    with pytest.raises(StoreUnavailable, match="migrate-to once more"):
        opened(ends[1])
    answer = moved(ends, filled)
    assert 0 < answer.resumed < sum(map(len, before.values()))
    assert not answer.findings
    with opened(ends[1]) as store:
        assert snapshot(store)["event"] == before["event"]


def test_a_source_that_changed_meanwhile_is_copied_anew(ends, filled):
    with pytest.raises(CutOff):
        moved(ends, filled, cut_off_after(28))
    with opened(ends[0]) as store:
        store.write_now(
            lambda tx: tx.connection.execute(update(tables.campaign).values(name="Autumn")) and None
        )
        accept(store, submission("late@kund.example"))
        before = snapshot(store)
    answer = moved(ends, filled)
    assert answer.resumed == 0
    with opened(ends[1]) as store:
        assert snapshot(store)["campaign"] == before["campaign"]
        assert snapshot(store)["submission"] == before["submission"]


def test_a_source_that_lost_rows_meanwhile_is_copied_anew(ends, filled):
    with pytest.raises(CutOff):
        moved(ends, filled, cut_off_after(60))
    with opened(ends[0]) as store:
        gone = delete(tables.bulk_window)
        store.write_now(lambda tx: tx.connection.execute(gone) and None)
    assert moved(ends, filled).resumed == 0
    with opened(ends[1]) as store:
        assert snapshot(store)["bulk_window"] == set()


def test_a_store_that_is_there_already_is_left_alone(ends, filled):
    with opened(ends[1]) as store:
        accept(store, submission("theirs@kund.example"))
        before = snapshot(store)
    with pytest.raises(TargetTaken, match="there is a store"):
        moved(ends, filled)
    with opened(ends[1]) as store:
        assert snapshot(store) == before


def test_a_move_of_another_store_is_left_alone(ends, filled):
    with pytest.raises(CutOff):
        moved(ends, filled, cut_off_after(10))

    def stranger(tx):
        tx.connection.execute(text("UPDATE store_move SET digest = 'x y 0012' WHERE name = ''"))

    with ends[1].link(filled[1]) as link:
        link.run(stranger)
    with pytest.raises(TargetTaken, match="another store"):
        moved(ends, filled)


def test_a_target_that_does_not_give_back_what_was_written_never_becomes_a_store(ends, filled):
    with pytest.raises(CutOff):  # in the middle of the comparison
        moved(ends, filled, cut_off_after(60))
    with ends[1].link(filled[1]) as link:
        link.run(
            lambda tx: tx.connection.execute(text("UPDATE standing SET sender = 'x'")) and None
        )
    with pytest.raises(StoreBroken, match="standing"):
        moved(ends, filled)
    with pytest.raises(StoreUnavailable):
        opened(ends[1])


@every_way
def test_nobody_writes_to_the_source_while_it_is_moved(ends, filled, monkeypatch):
    """A gateway that was forgotten elsewhere hears that the store is out of reach."""
    monkeypatch.setattr("gatepost.store.connection.PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr("gatepost.store.health.PATIENCE_SECONDS", 1.0)
    with opened(ends[0]) as forgotten:
        refused = []

        @contextmanager
        def watch(what, _total):
            if what == "compared":
                with pytest.raises(StoreUnavailable):
                    accept(forgotten, submission("late@kund.example"))
                refused.append(what)
            yield lambda _rows: None

        moved(ends, filled, watch)
        assert refused
        accept(forgotten, submission("later@kund.example"))


def test_what_is_wrong_with_the_ledger_is_told_and_moved(ends, filled):
    with opened(ends[0]) as store:
        store.write_now(
            lambda tx: (
                tx.connection.execute(text("UPDATE event SET recorded_ms = 1 WHERE id = 3"))
                and None
            )
        )
    assert any(one.event == 3 for one in moved(ends, filled).findings)
    with opened(ends[1]) as store:
        assert any(one.event == 3 for one in ledger.inspect(store.read_now))


def test_slices_are_small_where_rows_are_large(store, monkeypatch):
    """A walk holds a few megabytes at a time, and misses no row whatever the size of a slice."""
    fill(store)
    monkeypatch.setattr(rows, "_AT_ONCE", 3)
    monkeypatch.setattr(rows, "_LARGE", {"content": 1})
    for table in rows.all_tables():
        whole = store.read_now(
            lambda tx, t=table: set(map(tuple, tx.connection.execute(select(t))))
        )
        walked = store.read_now(lambda tx, t=table: list(rows.walk(tx, t)))
        assert max(map(len, walked)) <= rows._LARGE.get(table.name, 3)
        assert sorted(map(repr, chain.from_iterable(walked))) == sorted(map(repr, whole))
    assert rows._LARGE["content"] * 256 * 1024 < 2**20


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([("a", "bc")], [("ab", "c")]),
        ([(None,)], [("",)]),
        ([("1",)], [(1,)]),
        ([(b"a",)], [("a",)]),
        ([(1, 2)], [(12,)]),
        ([(1,), (1,)], [(1,)]),
        ([("-",)], [(None,)]),
    ],
)
def test_different_rows_come_to_different_digests(one, other):
    assert not _tally(one).equals(_tally(other))


def test_the_order_of_rows_and_the_engine_do_not_matter():
    assert _tally([(1, True), (2, False)]).equals(_tally([(2, 0), (1, 1)]))
    assert _tally([(memoryview(b"ab"),)]).equals(_tally([(b"ab",)]))


def _tally(found):
    tally = rows.Tally()
    tally.add(found)
    return tally


def test_the_table_of_the_move_is_gone_afterwards(ends, filled):
    moved(ends, filled)
    with opened(ends[1]) as store, pytest.raises(Exception, match="store_move"):
        store.read_now(lambda tx: tx.connection.execute(select(target._PROGRESS)).all())
