"""Reports of our own: the mail and the note that it was made are one transaction."""

from datetime import timedelta

import pytest

from gatepost.mail.address import parse
from gatepost.mail.envelope import Recipient
from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.store import campaign_report, campaigns, content, ids
from gatepost.store.spool import Heading, reports
from gatepost.store.tables import mail as tables
from gatepost.store.times import to_ms
from support.submissions import (
    DROP,
    accept,
    change,
    claim,
    mark,
    outcome,
    rows_of,
    submission,
)

ANN, BO, CY = "ann@example.org", "bo@example.org", "cy@example.org"
MINUTE = timedelta(minutes=1)


def due(store, gathered_for=MINUTE):
    return store.read_now(lambda tx: reports.due_reports(tx, gathered_for))


def report_for(store, to="news@acme.example"):
    return reports.own_mail(
        id=ids.new_id(),
        at=store.now(),
        recipient=Recipient(parse(to), "NEVER"),
        content=b"Subject: Undelivered\r\n\r\nSorry.\r\n",
        upstream="smarthost",
        heading=Heading(subject="Undelivered"),
        hostname="relay.example.org",
    )


def fail(store, *rows, report=True):
    mark(store, *(outcome(row, State.FAILED, "550 5.1.1 Nobody", report=report) for row in rows))


def test_failures_are_gathered_until_the_submission_is_finished(store):
    accept(store, submission(ANN, BO, notify="FAILURE"))
    ann, bo = claim(store)
    fail(store, ann)
    assert due(store) == []
    mark(store, outcome(bo, State.DELIVERED))
    (one,) = due(store)
    assert one.submission == ann.submission
    (failure,) = one.untold
    assert (failure.id, failure.recipient, failure.reply) == (
        ann.id, ann.recipient, "550 5.1.1 Nobody",
    )  # fmt: skip
    assert failure.attempts == 1
    assert not failure.relayed


def test_they_do_not_wait_longer_than_that(store):
    accept(store, submission(ANN, BO))
    ann, _ = claim(store)
    fail(store, ann)
    change(store, tables.recipient, {"finished_ms": to_ms(store.now() - MINUTE)}, id=ann.id)
    assert len(due(store)) == 1


def test_deliveries_are_told_where_they_are_marked_so(store):  # RX-9
    accept(store, submission(ANN, BO, CY, notify="SUCCESS,FAILURE"))
    ann, bo, cy = claim(store)
    mark(store, outcome(ann, State.DELIVERED, report=True), outcome(bo, State.DELIVERED))
    assert due(store) == []
    fail(store, cy)
    (one,) = due(store)
    assert [(untold.id, untold.relayed) for untold in one.untold] == [
        (ann.id, True),
        (cy.id, False),
    ]
    told = [ann.id, cy.id]
    assert store.write_now(lambda tx: reports.put_report(tx, report_for(store), told)) is not None
    assert due(store) == []


def test_failures_that_need_no_telling_are_never_due(store):
    accept(store, submission(ANN))
    fail(store, *claim(store), report=False)
    assert due(store) == []


def test_a_report_is_accepted_and_its_failures_are_told_in_one_transaction(store):
    accept(store, submission(ANN, BO))
    rows = claim(store)
    fail(store, *rows)
    numbers = [row.id for row in rows]
    result = store.write_now(lambda tx: reports.put_report(tx, report_for(store), numbers))
    assert result is not None
    assert due(store) == []
    (mail,) = claim(store)
    assert mail.submission.id == result.submission
    assert (mail.submission.client, mail.submission.stream) == ("gatepost", "")
    assert (mail.submission.kind, mail.submission.mail_from) == (Kind.SERVICE, "")
    assert mail.recipient.address.given == "news@acme.example"
    whole = store.read_now(lambda tx: content.load(tx, result.submission))
    assert whole.endswith(b"Sorry.\r\n")


def test_a_report_is_sent_once(store):
    accept(store, submission(ANN, BO))
    rows = claim(store)
    fail(store, *rows)
    numbers = [row.id for row in rows]
    first, second = (report_for(store) for _ in range(2))
    assert store.write_now(lambda tx: reports.put_report(tx, first, numbers)) is not None
    assert store.write_now(lambda tx: reports.put_report(tx, second, numbers[:1])) is None
    assert len(claim(store)) == 1


def test_a_report_that_was_not_accepted_leaves_the_failures_due(store):
    accept(store, submission(ANN))
    fail(store, *claim(store))
    ((_, (failure,)),) = [(one.submission, one.untold) for one in due(store)]

    def op(tx):
        reports.put_report(tx, report_for(store), [failure.id])
        raise RuntimeError("killed in between")

    with pytest.raises(RuntimeError, match="killed"):
        store.write_now(op)
    assert len(due(store)) == 1
    assert claim(store) == []


def test_failures_can_be_settled_without_a_report(store):
    accept(store, submission(ANN, BO))
    rows = claim(store)
    fail(store, *rows)
    numbers = [row.id for row in rows]
    assert store.write_now(lambda tx: reports.mark_reported(tx, numbers[:1])) == numbers[:1]
    assert store.write_now(lambda tx: reports.mark_reported(tx, numbers)) == numbers[1:]
    assert due(store) == []


@pytest.mark.parametrize("state", [State.FAILED, State.DELIVERED])
def test_content_that_a_report_is_due_of_outlives_its_retention(store, state):
    accept(store, submission(ANN))
    (row,) = claim(store)
    mark(store, outcome(row, state, report=True))
    tomorrow = store.now() + timedelta(days=1)
    assert store.write_now(lambda tx: content.purge(tx, tomorrow)) == 0
    store.write_now(lambda tx: reports.mark_reported(tx, [row.id]))
    assert store.write_now(lambda tx: content.purge(tx, tomorrow)) == 1


def summaries(store):
    look = store.read_now(campaign_report.look_for_summaries)
    store.write_now(lambda tx: campaign_report.settle(tx, look.over))
    return look.due


def silent_since(store, campaign, ago):
    change(store, tables.campaign, {"last_submission_ms": to_ms(store.now() - ago)}, id=campaign)


def test_a_summary_is_due_once_fifteen_minutes_after_the_last_submission(store):
    (result,) = accept(store, submission(ANN, BO, verdicts={BO: DROP}))
    assert summaries(store) == []
    silent_since(store, result.campaign, timedelta(minutes=16))
    (row,) = summaries(store)
    assert (row.id, row.name, row.sender) == (result.campaign, "Spring", "acme")
    assert row.reasons == {"consented": 1, "withdrawn": 1}
    sent = [
        store.write_now(lambda tx: reports.put_summary(tx, report_for(store), row.id))
        for _ in range(2)
    ]
    assert sent[0] is not None
    assert sent[1] is None
    assert summaries(store) == []


def test_where_everybody_was_mailed_no_summary_is_due(store):
    (result,) = accept(store, submission(ANN))
    silent_since(store, result.campaign, timedelta(minutes=16))
    assert summaries(store) == []
    assert rows_of(store, tables.campaign)[0]["summary_sent_ms"] is None
    silent_since(store, result.campaign, campaigns.SILENCE + MINUTE)
    assert summaries(store) == []
    assert rows_of(store, tables.campaign)[0]["summary_sent_ms"] is not None, "settled"


def test_a_campaign_without_news_is_not_read_again(store):
    (result,) = accept(store, submission(ANN, BO, verdicts={BO: DROP}))
    silent_since(store, result.campaign, timedelta(minutes=16))
    (row,) = rows_of(store, tables.campaign)

    def look(last_ms):
        known = {result.campaign: last_ms}
        return store.read_now(lambda tx: campaign_report.look_for_summaries(tx, known=known))

    assert look(row["last_submission_ms"]).due == []
    assert look(row["last_submission_ms"]).nothing == {result.campaign: row["last_submission_ms"]}
    assert [one.id for one in look(row["last_submission_ms"] - 1).due] == [result.campaign]


def test_a_campaign_that_goes_on_is_not_settled(store):
    (result,) = accept(store, submission(ANN))
    silent_since(store, result.campaign, campaigns.SILENCE + MINUTE)
    look = store.read_now(campaign_report.look_for_summaries)
    assert look.over == [result.campaign]
    silent_since(store, result.campaign, timedelta(minutes=16))  # another gateway took one more
    store.write_now(lambda tx: campaign_report.settle(tx, look.over))
    assert rows_of(store, tables.campaign)[0]["summary_sent_ms"] is None


def test_what_a_summary_says(store):
    (result,) = accept(store, submission(ANN, BO, verdicts={BO: DROP}))
    counts = store.read_now(lambda tx: campaign_report.decided(tx, result.campaign))
    assert counts == {("deliver", "consented"): 1, ("drop", "withdrawn"): 1}
    told = store.read_now(lambda tx: campaign_report.not_mailed(tx, result.campaign, 10))
    assert told == [(BO, "drop", "withdrawn")]
    assert store.read_now(lambda tx: campaign_report.not_mailed(tx, result.campaign, 0)) == []
