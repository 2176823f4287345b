"""Acceptance: what is committed before 250, and how the ledger is asked for it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gatepost.consent.evidence import EventKind, Fact
from gatepost.mail.address import parse
from gatepost.mail.envelope import Recipient
from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.store import campaigns, content, people
from gatepost.store.spool import PUT, CampaignDraft, Heading, RowDraft, TextSighting, sightings
from gatepost.store.tables import mail as tables
from gatepost.store.times import to_ms
from support.submissions import (
    CONTENT,
    DELIVER,
    DROP,
    HOLD,
    LEASE,
    REJECT,
    SINCE,
    accept,
    change,
    claim,
    rows_of,
    submission,
)

ANN, BO, CY = "ann@example.org", "bo@example.org", "cy@example.org"


def test_accepted_means_content_rows_and_verdicts_are_stored(store):
    (result,) = accept(store, submission(ANN, BO, verdicts={BO: DROP}))

    assert result.counts == {("deliver", "consented"): 1, ("drop", "withdrawn"): 1}
    (head,) = rows_of(store, tables.submission)
    assert head["id"] == result.submission
    assert head["campaign_id"] == result.campaign
    assert (head["kind"], head["stream"], head["sender"]) == ("bulk", "newsletter", "acme")
    assert (head["recipients"], head["size"]) == (2, len(CONTENT))
    assert head["finished_ms"] is None
    ann, bo = rows_of(store, tables.recipient)
    assert (ann["state"], bo["state"]) == ("ready", "dropped")
    assert (bo["verdict"], bo["reason"], bo["rule"]) == ("drop", "withdrawn", "withdrawn")
    assert bo["since_ms"] == SINCE.timestamp() * 1000
    assert bo["finished_ms"] is not None
    assert ann["finished_ms"] is None
    assert ann["address_hash"] == store.keys.address_hash(parse(ANN))
    assert store.read_now(lambda tx: content.load(tx, result.submission)) == CONTENT


def test_the_spelling_of_an_address_and_its_dsn_parameters_come_back_as_given(store):
    given = Recipient(parse("Ann.O'Hara@Example.ORG"), "FAILURE,DELAY", "rfc822;Ann+2Bx@e.org")
    job = submission(decide=lambda _: [RowDraft(given, DELIVER, State.READY, "smarthost")])
    job = submission(
        envelope=job.envelope.__class__(mail_from="a@b.example", recipients=(given,)),
        decide=job.decide,
    )
    accept(store, job)
    (row,) = claim(store)
    assert row.recipient == given


def test_each_recipient_needs_a_verdict(store):
    with pytest.raises(ValueError, match="one draft for each recipient"):
        accept(store, submission(ANN, BO, decide=lambda _snapshot: []))
    assert rows_of(store, tables.submission) == []


def test_one_bad_job_fails_alone(store):
    good, bad = submission(ANN), submission(BO, decide=lambda _snapshot: [])
    with pytest.raises(ValueError):
        accept(store, good, bad)
    accept(store, good)
    assert [row["address"] for row in rows_of(store, tables.recipient)] == [ANN]


def test_where_all_are_refused_no_content_is_kept(store):
    job = submission(ANN, verdicts={ANN: REJECT}, refused=[(Recipient(parse(BO)), REJECT)])
    (result,) = accept(store, job)
    assert result.counts == {("reject", "no-consent"): 2}
    (head,) = rows_of(store, tables.submission)
    assert head["content_state"] == "none"
    assert head["finished_ms"] is not None
    assert {row["state"] for row in rows_of(store, tables.recipient)} == {"rejected"}
    assert rows_of(store, tables.content) == []


def test_where_all_are_dropped_no_content_is_kept(store):
    (result,) = accept(store, submission(ANN, verdicts={ANN: DROP}))
    assert rows_of(store, tables.content) == []
    with pytest.raises(LookupError):
        store.read_now(lambda tx: content.load(tx, result.submission))


def test_the_first_claim_may_be_part_of_the_acceptance(store):
    (result,) = accept(store, submission(ANN, BO, verdicts={BO: DROP}, claim=True))
    (row,) = result.claimed
    assert row.recipient.address.given == ANN
    assert (row.attempts, row.upstream) == (1, "smarthost")
    assert row.submission.id == result.submission
    assert row.submission.envid == "QQ+2B1"
    assert row.submission.body8bit
    assert row.next_attempt - row.lease_until == LEASE.retry_after - LEASE.duration
    stored = rows_of(store, tables.recipient, id=row.id)[0]
    assert (stored["state"], stored["attempts"]) == ("sending", 1)
    assert stored["lease_by"] == LEASE.holder
    assert claim(store, holder="gateway-2") == []


def test_a_claim_finds_the_same_as_the_acceptance_handed_out(store):
    (handed_out,) = accept(store, submission(ANN, claim=True))[0].claimed
    accept(store, submission(ANN, id=7))
    (claimed,) = claim(store)
    assert claimed.submission.id == 7
    for name in ("client", "stream", "kind", "ret", "body8bit", "peer", "cipher", "ehlo"):
        assert getattr(claimed.submission, name) == getattr(handed_out.submission, name)
    assert claimed.verdict == handed_out.verdict
    assert claimed.recipient == handed_out.recipient


def test_the_decision_sees_what_the_ledger_knows(store):
    granted = Fact(kind=EventKind.GRANTED, at=SINCE, sender="acme", stream="newsletter",
                   basis="newsletter-form")  # fmt: skip
    subject = store.write_now(lambda tx: people.record(tx, parse(ANN), [granted]))
    seen = []

    def decide(snapshot):
        seen.append(snapshot)
        return [RowDraft(Recipient(parse(a)), DELIVER, State.READY) for a in (ANN, BO)]

    accept(store, submission(ANN, BO, decide=decide, needs_standing=True))
    (snapshot,) = seen
    assert set(snapshot.persons) == {ANN}
    assert snapshot.persons[ANN].subject == subject
    assert snapshot.persons[ANN].standing.grants[0].basis == "newsletter-form"
    assert [row["subject"] for row in rows_of(store, tables.recipient)] == [subject, None]


class Listening:
    """A cursor that keeps what it is asked."""

    def __init__(self, cursor):
        self.cursor, self.asked = cursor, []

    def execute(self, sql, *values):
        self.asked.append(sql)
        return self.cursor.execute(sql, *values)

    def later(self, sql, *values):
        self.asked.append(sql)
        return self.cursor.later(sql, *values)

    def executemany(self, sql, values):
        self.asked.append(sql)
        return self.cursor.executemany(sql, values)


def test_one_question_to_the_ledger_whatever_the_number_of_recipients(store):
    jobs = [
        submission(*(f"user{number}-{n}@example.org" for n in range(300)), needs_standing=True)
        for number in range(4)
    ]

    def op(tx):
        listening = Listening(tx.cursor)
        PUT.run(replace(tx, cursor=listening), jobs)
        return listening.asked

    asked = store.write_now(op)
    assert sum("subject" in sql and sql.startswith("SELECT") for sql in asked) == 1
    assert len([sql for sql in asked if "INTO recipient" not in sql]) < 12
    assert len(asked) <= 12 + 1200 // 64 + 2  # rows go in by the dozen


def test_strangers_get_a_subject_where_one_is_needed(store):
    people_wanted = [Recipient(parse(ANN)), Recipient(parse(BO))]

    def decide(_snapshot):
        return [
            RowDraft(people_wanted[0], DELIVER, State.READY, needs_subject=True),
            RowDraft(people_wanted[1], DELIVER, State.READY),
        ]

    accept(store, submission(ANN, BO, decide=decide), submission(CY, verdicts={CY: HOLD}))
    ann, bo, cy = rows_of(store, tables.recipient)
    known = store.read_now(
        lambda tx: people.look_up(tx, [parse(a) for a in (ANN, BO, CY)], "newsletter", "acme")
    )
    assert ann["subject"] == known[ANN].subject
    assert bo["subject"] is None
    assert cy["subject"] == known[CY].subject, "a confirmation finds held mail by the subject"


def test_quarantined_rows_keep_their_content_and_expire(store):
    expires = SINCE + timedelta(days=3650)
    accept(store, submission(ANN, verdicts={ANN: HOLD}, expires=expires))
    (row,) = rows_of(store, tables.recipient)
    assert row["expires_ms"] == expires.timestamp() * 1000
    assert row["held_ms"] is not None
    assert rows_of(store, tables.submission)[0]["content_state"] == "kept"


def test_submissions_of_one_key_share_a_campaign_until_six_hours_of_silence(store):
    first, second = accept(store, submission(ANN), submission(BO))
    (third,) = accept(store, submission(CY))
    assert first.campaign == second.campaign == third.campaign
    named = replace(
        submission(ANN), campaign=CampaignDraft(key="spring", name="Spring", explicit=True)
    )
    others = accept(
        store,
        submission(ANN, campaign="autumn"),
        submission(ANN, client="shop"),
        submission(ANN, stream="offers"),
        named,
        submission(ANN, campaign=None),
    )
    ids = [other.campaign for other in others]
    assert len({first.campaign, *ids}) == 6
    assert ids[-1] is None
    long_ago = store.now() - campaigns.SILENCE - timedelta(seconds=1)
    change(store, tables.campaign, {"last_submission_ms": to_ms(long_ago)}, id=first.campaign)
    (later,) = accept(store, submission(ANN))
    assert later.campaign not in {first.campaign, *ids}


def test_the_decision_sees_a_stopped_campaign_and_a_frozen_sender(store):
    seen = []

    def decide(snapshot):
        seen.append((snapshot.campaign_stopped, snapshot.sender_frozen))
        return [RowDraft(Recipient(parse(ANN)), DELIVER, State.READY)]

    (first,) = accept(store, submission(ANN, decide=decide))
    store.write_now(lambda tx: campaigns.stop(tx, first.campaign))
    accept(store, submission(ANN, decide=decide))
    store.write_now(lambda tx: campaigns.freeze(tx, "acme", "too many complaints"))
    accept(store, submission(ANN, decide=decide, campaign="autumn"))
    store.write_now(lambda tx: campaigns.thaw(tx, "acme"))
    accept(store, submission(ANN, decide=decide, campaign="autumn"))
    assert seen == [(False, False), (True, False), (False, True), (False, False)]


def test_recipients_of_the_same_text_add_up_per_client(store):
    seen = []

    def sighted(text, recipients, client="crm"):
        def decide(snapshot):
            seen.append(snapshot.seen_in_window)
            return [RowDraft(Recipient(parse(ANN)), DELIVER, State.READY)]

        sighting = TextSighting(text, recipients, timedelta(hours=1))
        return submission(
            ANN, decide=decide, sighting=sighting, client=client, kind=Kind.PERSONAL, campaign=None
        )

    accept(store, sighted(b"one", 3), sighted(b"one", 4), sighted(b"two", 5))
    accept(store, sighted(b"one", 1), sighted(b"one", 1, client="shop"))
    assert seen == [0, 3, 0, 7, 0]
    bucket = tables.bulk_window.c.bucket  # a minute: there are more where one has turned meanwhile
    change(store, tables.bulk_window, {"bucket": bucket - 61}, client="crm")
    old = rows_of(store, tables.bulk_window, client="crm")
    accept(store, sighted(b"one", 1))
    assert seen[-1] == 0
    assert store.write_now(lambda tx: sightings.forget(tx, timedelta(hours=1))) == len(old) >= 2


def test_what_no_database_takes_is_replaced(store):
    heading = Heading(subject="a\0b \udcff", header_from="\ud800", message_id="<\0>")
    accept(store, submission(ANN, heading=heading))
    (head,) = rows_of(store, tables.submission)
    assert head["subject"] == "a\ufffdb ?"
    assert "\0" not in head["message_id"]


@pytest.mark.parametrize(
    "size", [0, 1, content.PIECE - 1, content.PIECE, content.PIECE + 1, 700_001]
)
def test_content_of_any_size_comes_back_whole(store, size):
    whole = bytes(range(256)) * (size // 256 + 1)
    (result,) = accept(store, submission(ANN, content=whole[:size]))
    assert store.read_now(lambda tx: content.load(tx, result.submission)) == whole[:size]
