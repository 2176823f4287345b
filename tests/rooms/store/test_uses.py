"""Uses of consents: every delivered copy counts once, whatever the order and whoever gathers."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.dialects import sqlite

from gatepost.mail.address import parse
from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.mail.verdict import Disposition, Reason, Verdict
from gatepost.store import people, uses
from gatepost.store.engine import Store
from gatepost.store.tables import mail as tables
from gatepost.store.tables.mail import is_ungathered
from gatepost.store.tables.uses import consent_use
from support.consents import AT, granted
from support.submissions import SINCE, accept, change, claim, mark, outcome, rows_of, submission

OVERRIDDEN = Verdict(Disposition.DELIVER, Reason.OVERRIDE, "override", SINCE, "recall")
OBSERVED = Verdict(Disposition.DELIVER, Reason.OBSERVED, "observe", None)


def known(store, *addresses):
    """The subjects of people who agreed."""
    return [
        store.write_now(lambda tx, a=address: people.record(tx, parse(a), [granted()]))
        for address in addresses
    ]


def send(store, *addresses, state=State.DELIVERED, **more):
    """Accepts a submission, and brings all its copies to an end."""
    persons = {
        address: store.read_now(lambda tx, a=address: people.history(tx, parse(a)))
        for address in addresses
    }
    (result,) = accept(store, submission(*addresses, **more))
    for row in rows_of(store, tables.recipient, submission=result.submission):
        person = persons[row["address"]]
        if person:
            change(store, tables.recipient, {"subject": person.subject}, id=row["id"])
    mark(store, *(outcome(row, state) for row in claim(store)))
    return result.submission


def gather_all(store):
    rounds = 0
    while store.write_now(uses.gather):
        rounds += 1
    return rounds


def copies(store, subject):
    return [use.copies for use in store.read_now(lambda tx: uses.uses_of(tx, subject))]


def test_a_delivered_copy_is_a_use_before_and_after_it_is_gathered(store):
    """JU-23: last used is the last copy that the relay handed over."""
    (anna,) = known(store, "anna@example.org")
    send(store, "anna@example.org")
    before = store.read_now(lambda tx: uses.uses_of(tx, anna))
    assert gather_all(store) == 1
    after = store.read_now(lambda tx: uses.uses_of(tx, anna))
    assert before == after
    (use,) = after
    (row,) = rows_of(store, tables.recipient)
    assert (use.stream, use.sender, use.since, use.copies) == ("newsletter", "acme", SINCE, 1)
    assert use.last == use.first
    assert store.read_now(lambda tx: uses.last_used(tx, anna, "newsletter", SINCE)) == use.last
    assert store.read_now(lambda tx: uses.last_used(tx, anna, "offers", SINCE)) is None
    assert row["finished_ms"] == rows_of(store, consent_use)[0]["last_ms"]


def test_gathering_again_counts_nothing_twice(store):
    (anna,) = known(store, "anna@example.org")
    for _ in range(3):
        send(store, "anna@example.org")
        gather_all(store)
        gather_all(store)
    assert copies(store, anna) == [3]


@pytest.mark.parametrize(
    "more",
    [
        {"verdicts": {"anna@example.org": OVERRIDDEN}},
        {"verdicts": {"anna@example.org": OBSERVED}},
        {"kind": Kind.TRANSACTIONAL},
        {"state": State.FAILED},
    ],
    ids=["override", "observed", "transactional", "failed"],
)
def test_what_used_no_consent_is_no_use(store, more):
    (anna,) = known(store, "anna@example.org")
    send(store, "anna@example.org", **more)
    assert copies(store, anna) == []
    gather_all(store)
    assert copies(store, anna) == []


def test_copies_that_finish_out_of_order_are_all_counted(store):
    """A submission waits for its slowest recipient; what is delivered counts at once."""
    anna, _bo = known(store, "anna@example.org", "bo@example.org")
    (first,) = accept(store, submission("anna@example.org", "bo@example.org"))
    change(store, tables.recipient, {"subject": anna}, address="anna@example.org")
    ours, other = claim(store)
    later = send(store, "anna@example.org")
    assert gather_all(store) == 1
    assert copies(store, anna) == [1]
    mark(store, outcome(ours, State.DELIVERED))
    assert copies(store, anna) == [2]
    assert gather_all(store) == 0
    mark(store, outcome(other, State.FAILED))
    assert gather_all(store) == 1
    assert copies(store, anna) == [2]
    gathered = {row["id"]: row["gathered_ms"] for row in rows_of(store, tables.submission)}
    assert all(gathered[number] for number in (first.submission, later))


def test_grants_are_counted_apart(store):
    (anna,) = known(store, "anna@example.org")
    newer = Verdict(Disposition.DELIVER, Reason.CONSENTED, "evidence", SINCE + timedelta(days=9))
    send(store, "anna@example.org")
    send(store, "anna@example.org", verdicts={"anna@example.org": newer})
    send(store, "anna@example.org", stream="offers")
    gather_all(store)
    found = store.read_now(lambda tx: uses.uses_of(tx, anna))
    assert sorted((use.stream, use.since, use.copies) for use in found) == [
        ("newsletter", SINCE, 1),
        ("newsletter", newer.since, 1),
        ("offers", SINCE, 1),
    ]


def test_slices_are_bounded_by_recipients(store):
    known(store, "anna@example.org", "bo@example.org")
    for _ in range(4):
        send(store, "anna@example.org", "bo@example.org")
    assert store.write_now(lambda tx: uses.gather(tx, 5)) == 2
    assert store.write_now(lambda tx: uses.gather(tx, 1)) == 1
    assert store.write_now(lambda tx: uses.gather(tx, 5)) == 1
    assert store.write_now(uses.gather) == 0


def test_gateways_that_gather_at_once_count_each_copy_once(store, store_url, tmp_path):
    anna, bo = known(store, "anna@example.org", "bo@example.org")
    for _ in range(12):
        send(store, "anna@example.org", "bo@example.org")

    def work():
        with Store.open(store_url, tmp_path / "data") as other:
            while other.write_now(lambda tx: uses.gather(tx, 4)):
                pass

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gather_all(store)
    assert copies(store, anna) == copies(store, bo) == [12]


def test_a_crash_between_counting_and_marking_leaves_neither(store):
    (anna,) = known(store, "anna@example.org")
    send(store, "anna@example.org")

    def dies(tx):
        uses.gather(tx)
        raise RuntimeError("power")

    with pytest.raises(RuntimeError):
        store.write_now(dies)
    assert rows_of(store, consent_use) == []
    gather_all(store)
    assert copies(store, anna) == [1]


def test_many_people_are_read_at_once(store):
    anna, bo, cleo = known(store, "anna@example.org", "bo@example.org", "cleo@example.org")
    send(store, "anna@example.org", "bo@example.org")
    gather_all(store)
    send(store, "bo@example.org")
    found = store.read_now(lambda tx: uses.uses_of_many(tx, [anna, bo, cleo]))
    assert {who: [use.copies for use in several] for who, several in found.items()} == {
        anna: [1],
        bo: [2],
    }
    assert AT < found[bo][0].first <= found[bo][0].last


def plan(store, statement):
    """What SQLite would do; PostgreSQL plans by statistics, and an empty table has none."""
    text = str(statement.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    query = f"EXPLAIN QUERY PLAN {text}"
    return store.read_now(lambda tx: [row[3] for row in tx.cursor.execute(query)])


def test_gathering_and_asking_read_no_history(tmp_path):
    """However many finished rows there are, only what is not gathered yet is looked at."""
    _s, _r = tables.submission.c, tables.recipient.c
    with Store.open("", tmp_path / "data") as store:
        waiting = select(_s.id).where(is_ungathered()).order_by(_s.finished_ms)
        assert any("submission_ungathered" in step for step in plan(store, waiting))
        asked = plan(store, uses._used(_r.submission.in_(uses._waiting()), _r.subject.in_([1])))
        assert any("submission_ungathered" in step for step in asked), asked
        assert any("submission_content" in step for step in asked), asked
        assert any("recipient_submission" in step for step in asked), asked
        assert not any(step.startswith("SCAN") for step in asked), asked
        counting = plan(store, uses._used(_s.id.in_([1, 2]), _s.gathered_ms.is_(None)))
        assert any("recipient_submission" in step for step in counting), counting
        assert not any(step.startswith("SCAN") for step in counting), counting
