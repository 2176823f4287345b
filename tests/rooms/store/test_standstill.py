"""Who stands still in the middle of a transaction is given up by PostgreSQL, and begins it anew."""

import time

import psycopg
import pytest

from gatepost.store import connection
from gatepost.store.engine import Store, StoreUnavailable

MARK = "INSERT INTO meta (name, value) VALUES ('mark', '')"
TOUCH = "UPDATE meta SET value = value WHERE name = 'mark'"
HOW_MANY = "SELECT count(*) FROM meta WHERE name = 'mark'"


@pytest.fixture
def store(postgres_url, tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "STANDSTILL_SECONDS", 1.0)
    with Store.open(postgres_url, tmp_path / "data") as opened:
        yield opened


def halting(times, *, again):
    """Work that marks and then stands still, at its first time; and how often it was begun."""

    def work(tx):
        times.append(tx.now)
        tx.cursor.execute(MARK)
        if len(times) == 1:
            time.sleep(2.5)
        return again and tx.cursor.execute(TOUCH).rowcount

    return work


def marks(store):
    return store.read_now(lambda tx: tx.cursor.execute(HOW_MANY).fetchone()[0])


def test_what_was_given_up_is_done_again(store):
    times = []
    assert store.write_now(halting(times, again=True)) == 1
    assert len(times) == 2
    assert marks(store) == 1


def test_at_its_end_nobody_is_told_that_it_was_done(store):
    with pytest.raises(StoreUnavailable):
        store.write_now(halting([], again=False))
    assert marks(store) == 0
    assert store.write_now(halting([0], again=False)) is False
    assert marks(store) == 1


def test_nobody_waits_for_long_for_what_it_has_locked(store, postgres_url):
    with psycopg.connect(postgres_url) as other:
        other.execute("SET lock_timeout = '120 s'")
        store.write_now(lambda tx: tx.cursor.execute(MARK))

        def locked(tx):
            tx.cursor.execute(TOUCH)
            other.execute(TOUCH)  # waits until we are given up

        with pytest.raises(StoreUnavailable):
            store.write_now(locked)


def test_a_reader_may_take_its_time(store):
    def read(tx):
        first = tx.cursor.execute(HOW_MANY).fetchone()
        time.sleep(1.5)
        return first, tx.cursor.execute(HOW_MANY).fetchone()

    assert store.read_now(read) == ((0,), (0,))
