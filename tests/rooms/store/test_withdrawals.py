"""What other gateways recorded: nothing is missed, whatever the order of commits."""

import dataclasses
import threading
from datetime import UTC, datetime

from gatepost.consent.evidence import EventKind, Fact
from gatepost.mail.address import parse
from gatepost.store import people
from gatepost.store.engine import Store
from gatepost.store.hot import compile_once
from gatepost.store.withdrawals import _AFTER, Ending, withdrawals_after, withdrawals_mark

T0 = datetime(2026, 1, 1, tzinfo=UTC)
KIM = parse("kim@example.org")


def fact(kind, **more):
    return Fact(kind=EventKind(kind), at=T0, **{"sender": "acme", **more})


def record(store, *facts, address=KIM):
    return store.write_now(lambda tx: people.record(tx, address, facts))


def test_endings_are_told_with_sender_and_stream(store):
    mark = store.read_now(withdrawals_mark)
    number = record(
        store,
        fact("granted", stream="news", basis="form"),
        fact("withdrawn", stream="news"),
        fact("withdrawn"),
        fact("complained", stream="news"),
        fact("bounced", note="mailbox full"),
        fact("bounced", scope="all", suppression="hard-bounce"),
        fact("suppressed", sender="", scope="all", suppression="manual"),
        fact("engaged", stream="news"),
    )
    _, endings = store.read_now(lambda tx: withdrawals_after(tx, mark))
    assert [ending[:3] for ending in endings] == [
        (number, "acme", "news"),
        (number, "acme", ""),
        (number, "acme", ""),
        (number, "acme", ""),
        (number, "", ""),
    ]
    assert all(isinstance(ending, Ending) for ending in endings)
    numbers = [ending.event for ending in endings]
    assert numbers == sorted(set(numbers))


def test_an_erasure_ends_everything(store):
    number = record(store, fact("granted", stream="news", basis="form"))
    mark = store.read_now(withdrawals_mark)
    record(store, fact("withdrawn", stream="news"), fact("erased", sender=""))
    _, endings = store.read_now(lambda tx: withdrawals_after(tx, mark))
    assert {ending[:3] for ending in endings} == {(number, "", "")}


def test_on_sqlite_each_is_told_once(tmp_path):
    with Store.open("", tmp_path) as store:
        record(store, fact("withdrawn"))
        mark = store.read_now(withdrawals_mark)
        assert store.read_now(lambda tx: withdrawals_after(tx, mark)) == (mark, [])
        record(store, fact("withdrawn"))
        later, endings = store.read_now(lambda tx: withdrawals_after(tx, mark))
        assert len(endings) == 1
        assert store.read_now(lambda tx: withdrawals_after(tx, later)) == (later, [])


def test_the_mark_passes_what_is_settled(store):
    record(store, fact("withdrawn"))

    def much_later(tx):
        return dataclasses.replace(tx, now_ms=tx.now_ms + 120_000)

    mark, endings = store.read_now(lambda tx: withdrawals_after(much_later(tx), 0))
    assert (mark > 0, len(endings)) == (True, 1)
    assert store.read_now(lambda tx: withdrawals_mark(much_later(tx))) == mark
    assert store.read_now(lambda tx: withdrawals_after(tx, mark)) == (mark, [])


def test_a_transaction_that_commits_late_is_not_missed(postgres_server, tmp_path):
    """On PostgreSQL an earlier id may become visible after a later one."""
    url = postgres_server.database()
    other = parse("alex@example.org")
    with Store.open(url, tmp_path) as slow, Store.open(url, tmp_path) as quick:
        recorded, finish = threading.Event(), threading.Event()
        slow_number = record(slow, address=KIM)
        mark = quick.read_now(withdrawals_mark)

        def late(tx):
            people.record(tx, KIM, [fact("withdrawn")])
            recorded.set()
            finish.wait(120)

        thread = threading.Thread(target=slow.write_now, args=(late,))
        thread.start()
        recorded.wait(120)
        quick_number = record(quick, fact("withdrawn"), address=other)
        mark, endings = quick.read_now(lambda tx: withdrawals_after(tx, mark))
        assert [ending.subject for ending in endings] == [quick_number]
        finish.set()
        thread.join()
        _, endings = quick.read_now(lambda tx: withdrawals_after(tx, mark))
        assert {ending.subject for ending in endings} == {quick_number, slow_number}
    postgres_server.drop(url)


def test_asking_costs_nothing_when_nobody_left(tmp_path):
    """The partial index holds endings only: an import of a million grants adds nothing to it."""
    with Store.open("", tmp_path) as store:

        def explain(tx):
            sql, values = compile_once(_AFTER, tx.dialect)._bind({"mark": 0})
            return [row[3] for row in tx.cursor.execute("EXPLAIN QUERY PLAN " + sql, values)]

        assert any("event_ending" in line for line in store.read_now(explain))
