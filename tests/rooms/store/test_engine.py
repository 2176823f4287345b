"""The engine: durable group commit, isolation of failures, recovery, clocks."""

import asyncio
import multiprocessing
import os
import sqlite3
import stat
import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from gatepost.store.clock import Clock, elapsed
from gatepost.store.engine import (
    BatchOp,
    KeysError,
    Store,
    StoreBroken,
    StoreDamaged,
    StoreUnavailable,
)
from support.patience import PATIENCE_SECONDS
from support.patient_stores import wait_for_long


def put(name, value="x"):
    def op(tx):
        tx.connection.execute(
            text("INSERT INTO meta (name, value) VALUES (:name, :value)"),
            {"name": name, "value": value},
        )
        return name

    return op


def names(tx):
    rows = tx.connection.execute(text("SELECT name FROM meta WHERE name NOT LIKE '%.key'"))
    return sorted(row[0] for row in rows if row[0] != "store.id")


def put_all(tx, jobs):
    for job in jobs:
        put(job)(tx)
    return [(job, len(jobs)) for job in jobs]


PUT = BatchOp("put", put_all)


@pytest.fixture
def held(store):
    """Keeps the writer busy until it is set, so that what comes in the meantime waits together."""
    gate, entered = threading.Event(), threading.Event()

    def hold(_tx):
        entered.set()
        assert gate.wait(PATIENCE_SECONDS)

    thread = threading.Thread(target=store.write_now, args=(hold,))
    thread.start()
    assert entered.wait(PATIENCE_SECONDS)
    yield gate
    gate.set()
    thread.join()


async def test_a_write_is_there_for_the_next_reader(store):
    assert await store.write(put("a")) == "a"
    assert await store.read(names) == ["a"]


async def test_what_waits_together_is_one_call_and_one_transaction(store, held):
    waiting = [asyncio.ensure_future(store.batch(PUT, f"n{i:02}")) for i in range(40)]
    single = asyncio.ensure_future(store.write(put("single")))
    await asyncio.sleep(0)
    held.set()
    assert await asyncio.gather(*waiting) == [(f"n{i:02}", 40) for i in range(40)]
    assert await single == "single"


async def test_answers_come_back_to_their_own_event_loops(store):
    seen = []

    def in_its_own_loop(name):
        async def ask():
            seen.append((name, (await store.batch(PUT, name))[0]))

        asyncio.run(ask())

    threads = [threading.Thread(target=in_its_own_loop, args=(f"t{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))
    assert sorted(seen) == [(f"t{i}", f"t{i}") for i in range(8)]


async def test_only_the_guilty_operation_fails(store, held):
    good = [asyncio.ensure_future(store.batch(PUT, f"g{i}")) for i in range(3)]
    twice = asyncio.ensure_future(store.batch(PUT, "g1"))

    def guilty(tx):
        put("never")(tx)
        raise ZeroDivisionError

    bad = asyncio.ensure_future(store.write(guilty))
    last = asyncio.ensure_future(store.write(put("last")))
    await asyncio.sleep(0)
    held.set()
    results = await asyncio.gather(*good, twice, bad, last, return_exceptions=True)
    assert [result[0] for result in results[:3]] == ["g0", "g1", "g2"]
    assert "IntegrityError" in type(results[3]).__name__
    assert isinstance(results[4], ZeroDivisionError)
    assert results[5] == "last"
    assert await store.read(names) == ["g0", "g1", "g2", "last"]


async def test_a_caller_that_goes_away_does_not_stop_the_others(store, held):
    leaving = asyncio.ensure_future(store.write(put("left")))
    staying = asyncio.ensure_future(store.write(put("stayed")))
    await asyncio.sleep(0)
    leaving.cancel()
    held.set()
    assert await staying == "stayed"
    assert await store.read(names) == ["left", "stayed"]


def test_an_operation_may_raise_anything(store):
    def stop(_tx):
        raise StopIteration

    def leave(_tx):
        raise SystemExit(3)

    with pytest.raises(RuntimeError):
        store.write_now(stop)
    with pytest.raises(SystemExit):
        store.write_now(leave)
    assert store.write_now(put("still here")) == "still here"


def test_a_batch_operation_answers_every_job(store):
    with pytest.raises(ValueError):
        store.batch_now(BatchOp("short", lambda _tx, _jobs: []), "job")


def test_a_reader_cannot_write(store):
    with pytest.raises(Exception, match=r"(?i)read.?only"):
        store.read_now(put("sneaked in"))
    assert store.read_now(names) == []


def test_a_reader_has_one_snapshot(store):
    def twice(tx):
        before = names(tx)
        store.write_now(put("meanwhile"))
        return before, names(tx)

    assert store.read_now(twice) == ([], [])
    assert store.read_now(names) == ["meanwhile"]


def test_after_closing_nothing_is_taken(store):
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.write_now(put("late"))


def test_closing_finishes_what_is_queued(store_url, tmp_path):
    store = Store.open(store_url, tmp_path / "d")
    started = threading.Event()

    def slow(tx):
        started.set()
        return put("queued")(tx)

    thread = threading.Thread(target=store.write_now, args=(slow,))
    thread.start()
    assert started.wait(PATIENCE_SECONDS)
    store.close()
    thread.join()
    with Store.open(store_url, tmp_path / "d") as again:
        assert again.read_now(names) == ["queued"]


def test_a_commit_on_sqlite_survives_power_loss(tmp_path):
    """DESIGN, "One transaction is acceptance": WAL and synchronous=FULL (2), as in use."""

    def pragmas(tx):
        wanted = ("journal_mode", "synchronous", "foreign_keys")
        return [tx.cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in wanted]

    with Store.open("", tmp_path) as store:
        assert store.write_now(pragmas) == ["wal", 2, 1]


def test_a_commit_on_postgresql_survives_power_loss(postgres_server, tmp_path):
    url = postgres_server.database()
    with Store.open(url, tmp_path) as store:
        sql = "SHOW synchronous_commit"
        assert store.write_now(lambda tx: tx.cursor.execute(sql).fetchone()[0]) == "on"
    postgres_server.drop(url)


def test_everything_that_is_made_is_closed_to_others(tmp_path):
    folder = tmp_path / "new" / "data"
    with Store.open("", folder) as store:
        store.write_now(put("a"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert modes.pop("keys") == 0o700
    assert modes["gatepost.db-wal"] == 0o600
    assert set(modes.values()) == {0o600}


def test_without_create_nothing_is_made(tmp_path):
    with pytest.raises(StoreUnavailable, match="gatepost init"):
        Store.open("", tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()
    Store.open("", tmp_path / "some").close()
    Store.open("", tmp_path / "some", create=False).close()


def test_a_url_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match="postgresql://"):
        Store.open("mysql://localhost/x", tmp_path)


def test_a_store_with_foreign_keys_is_not_opened(store_url, tmp_path):
    """Without its suppression key a store would recognise nobody who left."""
    Store.open(store_url, tmp_path).close()
    (tmp_path / "keys" / "suppression.key").unlink()
    with pytest.raises(KeysError, match=r"suppression\.key.*backup"):
        Store.open(store_url, tmp_path)


def test_a_folder_that_cannot_be_made_is_trouble_with_the_store(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable):
        Store.open("", tmp_path / "file" / "data")


def _insert_many(folder, prefix, count):
    from pathlib import Path

    with pytest.MonkeyPatch.context() as patches:
        wait_for_long(patches)
        with Store.open("", Path(folder)) as store:
            for number in range(count):
                store.write_now(put(f"{prefix}{number}"))


def test_processes_share_one_sqlite_file(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_insert_many, args=(str(tmp_path), prefix, 60)) for prefix in "abc"
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    with Store.open("", tmp_path) as store:
        assert len(store.read_now(names)) == 180


def test_many_may_open_a_new_store_at_once(engine, request, tmp_path, monkeypatch):
    wait_for_long(monkeypatch)
    url = ""
    if engine == "postgresql":
        url = request.getfixturevalue("postgres_server").database(empty=True)
    stores, failures = [], []

    def open_it():
        try:
            stores.append(Store.open(url, tmp_path))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert not failures
    assert len(stores) == 4


def test_a_foreign_program_that_keeps_the_file_locked_is_trouble_that_passes(tmp_path, monkeypatch):
    monkeypatch.setattr("gatepost.store.health.PATIENCE_SECONDS", 0.2)
    with Store.open("", tmp_path) as store:
        foreign = sqlite3.connect(tmp_path / "gatepost.db", isolation_level=None)
        foreign.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            store.write_now(put("now"))
        foreign.execute("ROLLBACK")
        foreign.close()
        assert store.write_now(put("later")) == "later"


def test_a_full_disk_is_trouble_that_passes(tmp_path):
    with Store.open("", tmp_path) as store:
        pages = store.write_now(lambda tx: tx.cursor.execute("PRAGMA page_count").fetchone()[0])
        limit = f"PRAGMA max_page_count={pages + 2}"

        def fill(tx):
            tx.cursor.execute(limit)
            put("big", "x" * 1_000_000)(tx)

        with pytest.raises(StoreUnavailable, match="full"):
            store.write_now(fill)
        assert store.write_now(put("small")) == "small"


def test_a_damaged_file_is_said_to_be_damaged(tmp_path):
    Store.open("", tmp_path).close()
    path = tmp_path / "gatepost.db"
    content = bytearray(path.read_bytes())
    content[:100] = os.urandom(100)
    path.write_bytes(content)
    with pytest.raises(StoreBroken):
        Store.open("", tmp_path)


@pytest.mark.parametrize("connected", [False, True])
def test_readers_make_no_empty_file_where_one_was(tmp_path, connected):
    """A thread that reads for the first time when the file is gone, or when another is there."""
    path = tmp_path / "gatepost.db"
    with Store.open("", tmp_path) as store:
        if connected:
            store.read_now(names)
        gone = tmp_path / "gone"
        path.rename(gone)
        for _ in range(3):
            with pytest.raises(StoreDamaged, match="deleted or replaced"):
                store.survey_now(names)
        assert not path.exists()
        with pytest.raises(StoreDamaged):
            store.write_now(put("never"))
        gone.rename(path)


def test_what_another_file_lacks_is_no_mistake_of_who_asks(tmp_path):
    path = tmp_path / "gatepost.db"
    with Store.open("", tmp_path) as store:
        store.write_now(put("before"))

        def replaced(tx):
            path.rename(tmp_path / "gone")
            path.touch()
            tx.cursor.execute("SELECT 1 FROM no_such_table")

        with pytest.raises(StoreDamaged, match="deleted or replaced"):
            store.read_now(replaced)
        assert "deleted or replaced" in str(store.trouble)


def test_a_server_that_comes_back_is_found_again(postgres_server, tmp_path):
    url = postgres_server.database()
    with Store.open(url, tmp_path) as store:
        store.write_now(put("before"))
        postgres_server.down()
        try:
            with pytest.raises(StoreUnavailable):
                store.write_now(put("during"))
            with pytest.raises(StoreUnavailable):
                store.read_now(names)
        finally:
            postgres_server.up()
        store.write_now(put("after"))
        assert store.read_now(names) == ["after", "before"]
    postgres_server.drop(url)


def test_a_cut_connection_is_not_even_noticed(postgres_server, tmp_path):
    url = postgres_server.database()
    with Store.open(url, tmp_path) as store:
        backend = store.write_now(
            lambda tx: tx.cursor.execute("SELECT pg_backend_pid()").fetchone()[0]
        )
        store.read_now(
            lambda tx: tx.cursor.execute(f"SELECT pg_terminate_backend({backend}, 5000)").fetchone()
        )
        assert store.write_now(put("after")) == "after"
    postgres_server.drop(url)


def test_gateways_in_each_others_way_both_get_through(postgres_server, tmp_path):
    """A deadlock between two gateways is resolved by trying again."""
    url = postgres_server.database()
    with Store.open(url, tmp_path) as one, Store.open(url, tmp_path) as other:
        one.write_now(put("a"))
        one.write_now(put("b"))
        barrier = threading.Barrier(2)

        def both(first, second):
            attempts = []

            def op(tx):
                change = "UPDATE meta SET value = value || 'y' WHERE name = %s"
                tx.cursor.execute(change, (first,))
                if not attempts:
                    attempts.append(1)
                    barrier.wait(PATIENCE_SECONDS)
                tx.cursor.execute(change, (second,))

            return op

        threads = [
            threading.Thread(target=one.write_now, args=(both("a", "b"),)),
            threading.Thread(target=other.write_now, args=(both("b", "a"),)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sql = "SELECT value FROM meta WHERE name IN ('a', 'b')"
        assert one.read_now(lambda tx: tx.cursor.execute(sql).fetchall()) == [("xyy",), ("xyy",)]
    postgres_server.drop(url)


def test_the_store_tells_the_time_of_the_server(store):
    assert abs(store.now() - datetime.now(UTC)) < timedelta(minutes=2)
    assert store.now().tzinfo is UTC


def test_a_measured_clock_goes_on_by_itself():
    clock = Clock()
    assert clock.is_stale()
    server = datetime(2030, 1, 1, tzinfo=UTC)
    clock.set(server, elapsed())
    assert not clock.is_stale()
    assert server <= clock.now() < server + timedelta(minutes=1)


def test_a_time_that_was_long_in_coming_is_asked_for_again():
    clock = Clock()
    clock.set(datetime(2030, 1, 1, tzinfo=UTC), elapsed() - 200)
    assert clock.is_stale()


async def test_what_reads_for_long_keeps_nobody_else_from_reading(store):
    """However many there are: two slow readers once kept all mail, and all who look, waiting."""
    gate, begun = threading.Event(), threading.Event()

    def slow(_tx):
        begun.set()
        assert gate.wait(PATIENCE_SECONDS)
        return "read"

    surveys = [asyncio.ensure_future(store.survey(slow)) for _ in range(3)]
    assert await asyncio.to_thread(begun.wait, PATIENCE_SECONDS)
    async with asyncio.timeout(PATIENCE_SECONDS / 2):
        assert isinstance(await store.read(names), list)
    assert not any(one.done() for one in surveys)
    gate.set()
    assert await asyncio.gather(*surveys) == ["read"] * 3
    with pytest.raises(Exception, match=r"readonly|read-only"):
        await store.survey(put("w"))
