"""Rows of mail go when their term is over; counts and uses outlive them."""

from datetime import timedelta

import pytest

from gatepost.mail.address import parse
from gatepost.mail.recipient_state import State
from gatepost.store import campaign_report, people, purging, uses
from gatepost.store.tables import mail as tables
from gatepost.store.tables.uses import campaign_count
from gatepost.store.times import from_ms
from support.consents import granted
from support.submissions import (
    DROP,
    HOLD,
    accept,
    change,
    claim,
    mark,
    outcome,
    rows_of,
    submission,
)

A, B, C, D = (f"{name}@kund.example" for name in "abcd")


@pytest.fixture
def mailing(store):
    """One campaign of two finished submissions, and one that still waits; the subject of a."""
    subject = store.write_now(lambda tx: people.record(tx, parse(A), [granted()]))
    accept(store, submission(A, B, C, verdicts={C: DROP}), submission(A, D))
    change(store, tables.recipient, {"subject": subject}, address=A)
    for row in claim(store):
        failed = row.recipient.address.given == B
        mark(store, outcome(row, State.FAILED if failed else State.DELIVERED, report=failed))
    accept(store, submission(A, verdicts={A: HOLD}))
    return subject


def later(store, days=1):
    return store.now() + timedelta(days=days)


def purge_all(store, before):
    count = after = 0
    while after is not None:
        page, after = store.read_now(
            lambda tx, a=after: purging.old_submissions(tx, before, after=a, limit=1)
        )
        ids = [old.id for old in page]
        count += store.write_now(lambda tx, i=ids: purging.purge(tx, i, before))
    return count


def test_counts_of_a_campaign_are_the_same_before_and_after(store, mailing):
    change(store, tables.recipient, {"reported_ms": 1}, state="failed")
    before = store.read_now(campaign_report.list_all)
    assert purge_all(store, later(store)) == 2
    assert store.read_now(campaign_report.list_all) == before
    (row,) = before
    assert (row.recipients, row.outcomes["delivered"], row.outcomes["failed"]) == (6, 3, 1)
    assert len(rows_of(store, tables.submission)) == 1
    assert [one["state"] for one in rows_of(store, tables.recipient)] == ["quarantined"]


def test_uses_outlive_the_rows_whether_they_were_gathered_or_not(store, mailing):
    """JU-23: the date of the last mail must not be lost with the row that tells it."""
    change(store, tables.recipient, {"reported_ms": 1}, state="failed")
    before = store.read_now(lambda tx: uses.uses_of(tx, mailing))
    assert before[0].copies == 2
    purge_all(store, later(store))
    assert store.read_now(lambda tx: uses.uses_of(tx, mailing)) == before


def test_what_is_still_to_be_told_stays(store, mailing):
    assert purge_all(store, later(store)) == 1
    change(store, tables.recipient, {"reported_ms": 1}, state="failed")
    assert purge_all(store, later(store)) == 1


def test_nothing_goes_before_its_term(store, mailing):
    change(store, tables.recipient, {"reported_ms": 1}, state="failed")
    finished = [row["finished_ms"] for row in rows_of(store, tables.submission)]
    first = min(moment for moment in finished if moment)
    change(
        store, tables.submission, {"finished_ms": first}, finished_ms=max(filter(None, finished))
    )
    moment = from_ms(first)
    assert purge_all(store, moment) == 0
    assert purge_all(store, moment + timedelta(seconds=1)) == 2
    assert rows_of(store, tables.content) == rows_of(
        store, tables.content, submission=rows_of(store, tables.submission)[0]["id"]
    )


def test_a_campaign_goes_with_its_counts_when_no_mail_of_it_is_left(store, mailing):
    change(store, tables.recipient, {"reported_ms": 1}, state="failed")
    purge_all(store, later(store))
    assert rows_of(store, campaign_count)
    assert store.write_now(lambda tx: purging.purge_campaigns(tx, later(store))) == 0
    change(store, tables.recipient, {"state": "dropped", "finished_ms": 1, "held_ms": None})
    change(store, tables.submission, {"finished_ms": 1})
    silent = later(store)
    assert store.read_now(lambda tx: purging.count_campaigns(tx, silent, silent)) == 1
    purge_all(store, silent)
    assert store.write_now(lambda tx: purging.purge_campaigns(tx, silent)) == 1
    assert rows_of(store, campaign_count) == rows_of(store, tables.campaign) == []
