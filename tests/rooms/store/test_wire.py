"""The wire: what PostgreSQL is told together, in which order, and what comes of failures."""

import threading
from contextlib import suppress

import psycopg
import pytest
from sqlalchemy import text

from gatepost.store.arrays import array
from gatepost.store.engine import Store, StoreUnavailable
from support.proxy import Proxy
from support.watching import wait_until

PUT = "INSERT INTO meta (name, value) VALUES (%s, %s)"
ALL = "SELECT name, value FROM meta WHERE name LIKE 'test %%' ORDER BY name"
CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
def store(postgres_url, tmp_path):
    with Store.open(postgres_url, tmp_path) as store:
        yield store


def kept(store):
    return store.read_now(lambda tx: tx.cursor.execute(ALL).fetchall())


def test_what_waits_goes_with_commit(store):
    def op(tx):
        for number in range(3):
            tx.cursor.later(PUT, (f"test {number}", "x"))

    store.write_now(op)
    assert kept(store) == [("test 0", "x"), ("test 1", "x"), ("test 2", "x")]


def test_what_waits_goes_before_what_is_asked_in_any_way(store):
    def op(tx):
        tx.cursor.later(PUT, ("test a", "x"))
        by_wire = tx.cursor.execute(ALL).fetchall()
        tx.cursor.later(PUT, ("test b", "y"))
        by_sqlalchemy = tx.connection.execute(text(ALL.replace("%%", "%"))).all()
        return by_wire, [tuple(row) for row in by_sqlalchemy]

    assert store.write_now(op) == ([("test a", "x")], [("test a", "x"), ("test b", "y")])


def test_answers_are_each_their_own(store):
    def op(tx):
        answers = [tx.cursor.later("SELECT %s::int", (number,)) for number in (3, 1, 2)]
        none = tx.cursor.later("SELECT 1 WHERE %s", (False,))
        changed = tx.cursor.later("UPDATE meta SET value = value")
        return [answer() for answer in answers], none.fetchone(), changed.rowcount > 0

    assert store.read_now(lambda tx: tx.cursor.execute("SELECT 7").fetchone()) == (7,)
    assert store.write_now(op) == ([[(3,)], [(1,)], [(2,)]], None, True)


def test_values_come_back_as_they_were_sent(store):
    values = (
        None, True, False, 0, -(2**63), 2**63 - 1, "", "%s $1 {\"'\\}", "Ωß\U0001f600",
        b"", bytes(range(256)), memoryview(b"abc"),
    )  # fmt: skip
    kinds = ("bigint", "bool", "bool", *["bigint"] * 3, *["text"] * 3, *["bytea"] * 3)
    places = ", ".join(f"%s::{kind}" for kind in kinds)
    (found,) = store.read_now(lambda tx: tx.cursor.execute(f"SELECT {places}", values).fetchall())
    assert found == tuple(bytes(v) if isinstance(v, memoryview) else v for v in values)


@pytest.mark.parametrize("items", [[], [b"", b"\\\x00"], [b"x" * 100, None, b""], [b"x" * 100]])
def test_arrays_of_bytes(store, items):
    sql = "SELECT unnest(%s::bytea[])"
    rows = store.read_now(lambda tx: tx.cursor.execute(sql, (array(items),)).fetchall())
    assert [row[0] for row in rows] == items


def test_a_large_message_and_a_large_answer_pass_each_other(store):
    large = b"\x01" * 9_000_000

    def op(tx):
        answers = [tx.cursor.later("SELECT %s::bytea", (large,)) for _ in range(4)]
        return [answer() for answer in answers]

    assert store.read_now(op) == [[(large,)]] * 4


@pytest.mark.parametrize(
    ("sql", "value", "error"),
    [
        (PUT.replace("%s, %s", "%s, 'x'"), "a\0b", psycopg.DataError),
        (PUT.replace("%s, %s", "%s, 'x'"), object(), TypeError),
        ("SELECT %s::int", 2**40, psycopg.DataError),
        ("SELECT no_such_thing(%s::int)", 1, psycopg.ProgrammingError),
    ],
)
def test_a_statement_that_fails_takes_the_transaction_with_it(store, sql, value, error):
    def op(tx):
        tx.cursor.later(PUT, ("test before", "x"))
        tx.cursor.later(sql, (value,))
        tx.cursor.later(PUT, ("test behind", "x"))

    for _ in range(2):  # the second time, whatever could be prepared is
        with pytest.raises(error):
            store.write_now(op)
        assert kept(store) == []
    store.write_now(lambda tx: tx.cursor.later(PUT, ("test after", "x")))
    assert kept(store) == [("test after", "x")]


def test_who_goes_on_after_a_failure_does_not_hear_that_all_is_well(store):
    """PostgreSQL answers such a COMMIT with ROLLBACK, which is no error (promise 1)."""

    def op(tx):
        tx.cursor.execute(PUT, ("test a", "x"))
        with suppress(psycopg.Error):
            tx.cursor.execute("SELECT 1 / 0")

    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        store.write_now(op)
    assert kept(store) == []
    store.write_now(lambda tx: tx.cursor.later(PUT, ("test b", "x")) and None)
    assert kept(store) == [("test b", "x")]


def test_what_stood_behind_a_failure_has_no_answer(store):
    def op(tx):
        bad = tx.cursor.later("SELECT 1 / %s", (0,))
        good = tx.cursor.later("SELECT 1")
        for answer in (bad, good):
            with pytest.raises(psycopg.Error):
                answer()

    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        store.read_now(op)
    assert store.read_now(lambda tx: tx.cursor.execute("SELECT 7").fetchone()) == (7,)


def test_a_rollback_takes_along_what_waits(store):
    class Enough(Exception):
        pass

    def op(tx):
        tx.cursor.later(PUT, ("test 1", "x"))
        raise Enough

    with pytest.raises(Enough):
        store.write_now(op)
    assert kept(store) == []


def test_readers_have_one_snapshot_and_cannot_write(store):
    def op(tx):
        before = tx.cursor.execute(ALL).fetchall()
        store.write_now(lambda other: other.cursor.later(PUT, ("test 1", "x")))
        return before, tx.cursor.execute(ALL).fetchall()

    assert store.read_now(op) == ([], [])
    with pytest.raises(StoreUnavailable, match="read-only"):
        store.read_now(lambda tx: tx.cursor.execute(PUT, ("test 1", "y")))


def test_a_statement_is_prepared_once(store):
    def op(tx):
        for number in range(50):
            tx.cursor.later(PUT, (f"test {number}", "x"))
        ours = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%%meta%%VALUES ($1, $2)'"
        return tx.cursor.execute(ours).fetchone()

    assert store.write_now(op) == (1,)
    with pytest.raises(psycopg.Error):  # and still is after a rollback
        store.write_now(op)
    assert store.write_now(lambda tx: tx.cursor.execute("SELECT 7").fetchone()) == (7,)
    store.write_now(lambda tx: tx.cursor.execute("DELETE FROM meta WHERE name LIKE 'test %%'"))
    assert store.write_now(op) == (1,)


def test_a_connection_found_dead_is_replaced_though_all_goes_with_commit(store, postgres_url):
    store.write_now(lambda tx: tx.cursor.later(PUT, ("test a", "x")))
    with psycopg.connect(postgres_url, autocommit=True) as direct:
        direct.execute(CUT)
    store.write_now(lambda tx: tx.cursor.later(PUT, ("test b", "x")))
    assert kept(store) == [("test a", "x"), ("test b", "x")]


def test_what_the_server_refused_before_commit_is_done_again(store, postgres_url):
    """A backend that ends while a statement waits for a lock has committed nothing."""
    with psycopg.connect(postgres_url) as lock:
        lock.execute("LOCK TABLE meta IN ACCESS EXCLUSIVE MODE")
        runs = []

        def op(tx):
            runs.append(tx.cursor.execute("SELECT pg_backend_pid()").fetchone())
            tx.cursor.later(PUT, ("test 1", "x"))

        writing = threading.Thread(target=store.write_now, args=(op,))
        writing.start()
        sql = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
        with psycopg.connect(postgres_url, autocommit=True) as direct:
            wait_until(lambda: runs and direct.execute(sql, runs[0]).fetchone()[0])
            direct.execute("SELECT pg_terminate_backend(%s)", runs[0])
            wait_until(lambda: len(runs) == 2)
        lock.rollback()
    writing.join()
    assert len(runs) == 2
    assert kept(store) == [("test 1", "x")]


def test_what_may_have_been_committed_is_not_done_again(postgres_server, postgres_url, tmp_path):
    with Proxy(postgres_server.port) as proxy:
        there = postgres_url.replace(f":{postgres_server.port}/", f":{proxy.port}/")
        with Store.open(there, tmp_path) as store:
            runs = []

            def op(tx):
                runs.append(tx.cursor.execute("SELECT 1").fetchone())
                tx.cursor.later(PUT, ("test uncertain", "x"))

            proxy.swallow(b"uncertain")
            with pytest.raises(StoreUnavailable):
                store.write_now(op)
            assert proxy.swallowed.is_set()
            assert len(runs) == 1
            assert kept(store) == [("test uncertain", "x")]
