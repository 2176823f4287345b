"""Outcomes: one row at a time, whoever holds the lease, and when a submission is finished."""

from datetime import timedelta

import pytest

from gatepost.mail.recipient_state import SET_ASIDE, State
from gatepost.store.tables import mail as tables
from gatepost.store.times import to_ms
from support.submissions import accept, change, claim, mark, outcome, rows_of, submission

ANN, BO = "ann@example.org", "bo@example.org"


def test_delivered(store):
    accept(store, submission(ANN))
    (row,) = claim(store)
    assert mark(store, outcome(row, State.DELIVERED, "250 2.0.0 Ok: queued as 1")) == []
    (stored,) = rows_of(store, tables.recipient)
    assert (stored["state"], stored["last_reply"]) == ("delivered", "250 2.0.0 Ok: queued as 1")
    assert stored["finished_ms"] is not None
    assert stored["lease_by"] is None
    assert stored["attempts"] == 1


def test_deferred_keeps_reply_and_next_time(store):
    accept(store, submission(ANN))
    (row,) = claim(store)
    later = store.now() + timedelta(minutes=30)
    mark(store, outcome(row, State.DEFERRED, "451 4.7.1 Greylisted", next_attempt=later))
    (stored,) = rows_of(store, tables.recipient)
    assert (stored["state"], stored["next_attempt_ms"]) == ("deferred", to_ms(later))
    assert stored["last_reply"] == "451 4.7.1 Greylisted"
    assert stored["finished_ms"] is None


def test_an_attempt_that_did_not_begin_does_not_count_and_keeps_the_last_reply(store):
    accept(store, submission(ANN))
    (row,) = claim(store)
    mark(store, outcome(row, State.DEFERRED, "451 4.7.1 Greylisted", next_attempt=store.now()))
    (row,) = claim(store)
    assert row.attempts == 2
    mark(store, outcome(row, State.READY, "", counted=False))
    (stored,) = rows_of(store, tables.recipient)
    assert (stored["state"], stored["attempts"]) == ("ready", 1)
    assert stored["last_reply"] == "451 4.7.1 Greylisted"
    (row,) = claim(store)
    assert row.attempts == 2


def test_a_row_says_since_when_it_is_set_aside_in_the_states_that_are(store):
    states = sorted(set(State) - {State.RECEIVED, State.SENDING})
    accept(store, submission(*(f"{state}@example.org" for state in states)))
    for row, state in zip(claim(store), states, strict=True):
        mark(store, outcome(row, state, "as it is"))
    stored = rows_of(store, tables.recipient)
    assert sorted(row["state"] for row in stored) == states
    held = {row["state"] for row in stored if row["held_ms"] is not None}
    assert held == SET_ASIDE


def test_what_nobody_foresaw_is_set_aside(store):
    accept(store, submission(ANN))
    (row,) = claim(store)
    mark(store, outcome(row, State.HELD, "the copy could not be composed"))
    (stored,) = rows_of(store, tables.recipient)
    assert (stored["state"], stored["finished_ms"]) == ("held", None)
    assert stored["held_ms"] is not None
    assert claim(store) == []


@pytest.mark.parametrize(("report", "told"), [(True, False), (False, True)])
def test_failed_is_to_be_told_or_not(store, report, told):
    accept(store, submission(ANN))
    (row,) = claim(store)
    mark(store, outcome(row, State.FAILED, "550 5.1.1 Nobody here", report=report))
    (stored,) = rows_of(store, tables.recipient)
    assert stored["state"] == "failed"
    assert (stored["reported_ms"] is not None) is told


def test_a_row_that_another_gateway_has_taken_up_is_left_alone_and_named(store):
    accept(store, submission(ANN, BO))
    ann, bo = claim(store)
    change(store, tables.recipient, {"lease_until_ms": 1}, id=ann.id)
    (taken,) = claim(store, holder="gateway-2")
    assert taken.id == ann.id
    lost = mark(store, outcome(ann, State.DELIVERED), outcome(bo, State.DELIVERED))
    assert lost == [ann.id]
    states = [row["state"] for row in rows_of(store, tables.recipient)]
    assert states == ["sending", "delivered"]
    assert mark(store, outcome(ann, State.FAILED, "550 No"), holder="gateway-2") == []


def test_an_outcome_is_recorded_once(store):
    accept(store, submission(ANN))
    (row,) = claim(store)
    mark(store, outcome(row, State.DELIVERED))
    assert mark(store, outcome(row, State.FAILED, "550 5.0.0 No")) == [row.id]
    assert rows_of(store, tables.recipient)[0]["state"] == "delivered"


def test_a_submission_is_finished_with_its_last_recipient(store):
    accept(store, submission(ANN, BO), submission(ANN))
    first, second, other = claim(store)
    mark(store, outcome(first, State.DELIVERED))
    heads = {row["id"]: row["finished_ms"] for row in rows_of(store, tables.submission)}
    assert set(heads.values()) == {None}
    mark(store, outcome(second, State.FAILED, "550 5.1.1 No"))
    heads = {row["id"]: row["finished_ms"] for row in rows_of(store, tables.submission)}
    assert heads[first.submission.id] is not None
    assert heads[other.submission.id] is None


def test_a_reply_with_bytes_that_no_database_takes_is_still_recorded(store):
    accept(store, submission(ANN))
    (row,) = claim(store)
    mark(store, outcome(row, State.FAILED, "550 \0 \udc80"))
    assert rows_of(store, tables.recipient)[0]["last_reply"] == "550 \ufffd ?"


def test_two_gateways_finishing_the_last_two_rows_at_once_finish_the_submission(
    store_url, engine, tmp_path
):
    """Each transaction sees the other's row as open until it waits for its turn."""
    from concurrent.futures import ThreadPoolExecutor

    from gatepost.store.engine import Store

    with (
        Store.open(store_url, tmp_path / "data") as here,
        Store.open(store_url, tmp_path / "data") as there,
        ThreadPoolExecutor(2) as pool,
    ):
        for _ in range(20):
            accept(here, submission(ANN, BO))
            ann, bo = claim(here)
            done = [
                pool.submit(mark, here, outcome(ann, State.DELIVERED)),
                pool.submit(mark, there, outcome(bo, State.DELIVERED)),
            ]
            assert [future.result() for future in done] == [[], []]
        assert all(row["finished_ms"] for row in rows_of(here, tables.submission))
