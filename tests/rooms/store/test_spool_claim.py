"""Claims: whose turn it is, what is written before the try, and who is decided away."""

from collections import Counter
from datetime import timedelta

import pytest

from gatepost.consent.evidence import EventKind, Fact
from gatepost.mail.address import parse
from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.mail.verdict import Disposition, Reason, Verdict
from gatepost.store import campaigns, people
from gatepost.store.spool import (
    CLAIM,
    ClaimJob,
    Ruling,
    next_due,
    quarantine,
    queue,
    recover,
    renew,
)
from gatepost.store.tables import mail as tables
from gatepost.store.times import to_ms
from support.submissions import (
    DROP,
    HOLD,
    LEASE,
    SINCE,
    accept,
    change,
    claim,
    mark,
    outcome,
    rows_of,
    submission,
)

ANN, BO, CY = "ann@example.org", "bo@example.org", "cy@example.org"


def given(rows):
    return [row.recipient.address.given for row in rows]


def age(store, **values):
    """Moves the times of all rows in sending into the past."""
    past = {f"{name}_ms": to_ms(store.now() - ago) for name, ago in values.items()}
    change(store, tables.recipient, past, state="sending")


def test_attempt_next_time_and_lease_are_written_before_the_try(store):
    accept(store, submission(ANN))
    (row,) = claim(store)
    (stored,) = rows_of(store, tables.recipient)
    assert (stored["state"], stored["attempts"], stored["lease_by"]) == ("sending", 1, "gateway-1")
    assert stored["next_attempt_ms"] == to_ms(row.next_attempt)
    assert stored["lease_until_ms"] == to_ms(row.lease_until)
    assert stored["lease_until_ms"] - stored["last_attempt_ms"] == LEASE.duration.seconds * 1000
    assert row.next_attempt - row.lease_until == timedelta(minutes=14)


def test_a_row_is_claimed_once(store):
    accept(store, submission(ANN, BO))
    assert sorted(given(claim(store, limit=1) + claim(store, holder="gateway-2"))) == [ANN, BO]
    assert claim(store, holder="gateway-2") == []


def test_claims_of_one_batch_see_each_other(store):
    accept(store, submission(ANN, BO, CY))
    jobs = [
        ClaimJob(
            holder=f"gateway-{n}",
            rooms={"smarthost": 2},
            urgent=False,
            lease=LEASE.duration,
            retry_after=lambda _n: timedelta(minutes=15),
            decide=lambda review: [None] * len(review.rows),
        )
        for n in (1, 2)
    ]
    first, second = store.write_now(lambda tx: CLAIM.run(tx, jobs))
    assert (len(first), len(second)) == (2, 1)
    assert {row.id for row in first}.isdisjoint(row.id for row in second)


def test_only_the_upstreams_that_were_asked_for(store):
    accept(store, submission(ANN, upstream="one"), submission(BO, upstream="two"),
           submission(CY, upstream="three"))  # fmt: skip
    assert given(claim(store, upstreams=["two"])) == [BO]
    assert sorted(given(claim(store, upstreams=["one", "three"]))) == [ANN, CY]


def test_deferred_rows_are_claimed_when_their_time_has_come(store):
    accept(store, submission(ANN, BO))
    ann, bo = claim(store)
    now = store.now()
    mark(
        store,
        outcome(ann, State.DEFERRED, "450 4.2.0 Later", next_attempt=now - timedelta(seconds=1)),
        outcome(bo, State.DEFERRED, "450 4.2.0 Later", next_attempt=now + timedelta(hours=1)),
    )
    (again,) = claim(store)
    assert again.recipient.address.given == ANN
    assert again.attempts == 2
    assert again.next_attempt - again.lease_until == timedelta(minutes=30) - LEASE.duration


def claim_bulk(store, **rooms):
    """What one claim of bulk mail hands out: who, by upstream."""
    job = ClaimJob(
        holder="gateway-1", rooms=rooms, urgent=False, lease=LEASE.duration,
        retry_after=lambda _n: timedelta(minutes=15),
        decide=lambda review: [None] * len(review.rows), take_up=lambda _now: True,
    )  # fmt: skip
    found = {upstream: [] for upstream in rooms}
    for row in store.batch_now(CLAIM, job):
        found[row.upstream].append(row.recipient.address.local)
    return found


def names(name, count):
    return [f"{name}{number}@example.org" for number in range(count)]


def test_a_claim_is_for_bulk_mail_or_for_other_mail(store):
    accept(store, submission("bulk@example.org"),
           submission("order@example.org", kind=Kind.TRANSACTIONAL, campaign=None))  # fmt: skip
    assert claim_bulk(store, smarthost=10) == {"smarthost": ["bulk"]}
    assert claim_bulk(store, smarthost=10) == {"smarthost": []}
    assert given(claim(store)) == ["order@example.org"]


def test_an_upstream_with_much_to_do_takes_no_room_from_another(store):
    accept(store, submission(*names("one", 50), upstream="one"))
    accept(store, submission(*names("two", 5), upstream="two", campaign="summer"))
    found = claim_bulk(store, one=10, two=3, three=5)
    assert {upstream: len(rows) for upstream, rows in found.items()} == {
        "one": 10, "two": 3, "three": 0,
    }  # fmt: skip


def test_what_came_last_does_not_wait_for_all_that_came_before(store):
    """Upstream is so slow that the line has fallen behind the clock by an hour."""
    accept(store, submission(*names("large", 200)))
    change(store, tables.recipient, {"next_attempt_ms": to_ms(store.now()) - 3_600_000})
    accept(store, submission(*names("small", 4), campaign="small"))
    found = claim_bulk(store, smarthost=16)["smarthost"]
    assert found == ["small3", "small2", "small1", "small0", *(f"large{n}" for n in range(12))]


def test_what_is_deferred_or_was_left_by_a_dead_gateway_has_its_share(store):
    accept(store, submission(*names("left", 20)))
    claim(store)
    accept(store, submission(*names("late", 20), campaign="late"))
    late = claim(store, holder="gateway-3")
    soon = store.now() - timedelta(seconds=1)
    later = [outcome(row, State.DEFERRED, "450 4.2.0 Later", next_attempt=soon) for row in late]
    mark(store, *later, holder="gateway-3")
    age(store, lease_until=timedelta(seconds=1))
    accept(store, submission(*names("ready", 200), campaign="ready"))
    change(store, tables.recipient, {"next_attempt_ms": 1}, state="ready")
    found = claim_bulk(store, smarthost=40)["smarthost"]
    assert Counter(name.rstrip("0123456789") for name in found) == {
        "left": 10,
        "late": 10,
        "ready": 20,
    }


def test_a_small_mailing_does_not_wait_behind_all_of_a_large_one(store):
    accept(store, submission(*(f"large{n}@example.org" for n in range(500))))
    accept(store, submission(ANN, campaign="small"))
    assert ANN in given(claim(store, limit=100))


def test_recipients_of_a_personal_mail_stay_together(store):
    addresses = [f"friend{n}@example.org" for n in range(5)]
    jobs = [
        submission(*(f"{n}.{address}" for address in addresses), kind=Kind.PERSONAL, campaign=None)
        for n in range(3)
    ]
    accept(store, *jobs)
    claimed = claim(store, limit=10)
    assert [row.submission.id for row in claimed] == [jobs[0].id] * 5 + [jobs[1].id] * 5


def test_the_decision_is_made_again_on_the_standing_as_it_is(store):
    """RQ-5: withdrawn while queued means removed and reported."""
    accept(store, submission(ANN, BO))
    withdrawn = Fact(kind=EventKind.WITHDRAWN, at=SINCE, sender="acme", stream="newsletter")
    store.write_now(lambda tx: people.record(tx, parse(ANN), [withdrawn]))
    reviews = []

    def decide(review):
        reviews.append(review)
        gone = [review.persons.get(row.recipient.address.key) for row in review.rows]
        return [
            Ruling(DROP, State.DROPPED) if person and person.standing.withdrawn_at else None
            for person in gone
        ]

    claimed = claim(store, decide=decide, needs_standing=lambda _stream: True)
    assert given(claimed) == [BO]
    assert len(reviews) == 1
    ann, bo = rows_of(store, tables.recipient)
    assert (ann["state"], ann["verdict"], ann["reason"]) == ("dropped", "drop", "withdrawn")
    assert ann["finished_ms"] is not None
    assert ann["attempts"] == 0, "no attempt was made"
    assert (bo["state"], bo["verdict"]) == ("sending", "deliver")


def test_a_submission_whose_last_row_is_decided_away_is_finished(store):
    accept(store, submission(ANN, BO))
    stop = Verdict(Disposition.DROP, Reason.CAMPAIGN_STOPPED, "campaign-stopped")
    assert claim(store, decide=lambda r: [Ruling(stop, State.STOPPED)] * len(r.rows)) == []
    (head,) = rows_of(store, tables.submission)
    assert head["finished_ms"] is not None


def test_a_row_may_be_quarantined_at_its_claim(store):
    accept(store, submission(ANN))
    expires = SINCE + timedelta(days=4000)
    claim(store, decide=lambda _review: [Ruling(HOLD, State.QUARANTINED, expires)])
    (row,) = rows_of(store, tables.recipient)
    assert (row["state"], row["verdict"]) == ("quarantined", "quarantine")
    assert row["expires_ms"] == to_ms(expires)
    assert row["held_ms"] is not None
    assert rows_of(store, tables.submission)[0]["finished_ms"] is None


FROZEN = Verdict(Disposition.DELIVER, Reason.CONSENTED, "evidence", SINCE, "sender frozen")


@pytest.mark.parametrize(
    ("ruling", "go_on"),
    [
        (Ruling(FROZEN, State.HELD), lambda tx, row: queue.retry(tx, [row])),
        (Ruling(HOLD, State.QUARANTINED), lambda tx, row: quarantine.release(tx, [row], "asked")),
    ],
    ids=["held", "quarantined"],
)
def test_what_a_claim_sets_aside_says_since_when_until_it_goes_on(store, ruling, go_on):
    accept(store, submission(ANN, BO))
    before = to_ms(store.now())
    (going,) = claim(store, decide=lambda _review: [ruling, None])
    rows = {row["id"]: row for row in rows_of(store, tables.recipient)}
    aside = rows.pop(next(number for number in rows if number != going.id))
    assert aside["state"] == ruling.state
    assert before <= aside["held_ms"] <= to_ms(store.now())
    assert rows[going.id]["held_ms"] is None
    assert store.write_now(lambda tx: go_on(tx, aside["id"])) == [aside["id"]]
    for expected in (State.READY, State.SENDING):
        held = {
            row["id"]: (row["state"], row["held_ms"]) for row in rows_of(store, tables.recipient)
        }
        assert held[aside["id"]] == (expected, None)
        claim(store)


def test_a_new_reason_for_sending_is_recorded_and_handed_out(store):
    accept(store, submission(ANN))
    observed = Verdict(Disposition.DELIVER, Reason.OBSERVED, "observe", SINCE, "no consent")
    (row,) = claim(store, decide=lambda _review: [Ruling(observed, State.SENDING)])
    assert row.verdict == observed
    (stored,) = rows_of(store, tables.recipient)
    assert (stored["reason"], stored["note"], stored["state"]) == (
        "observed", "no consent", "sending",
    )  # fmt: skip


def test_the_decision_sees_a_stop_and_a_freeze_that_came_after_acceptance(store):
    (result,) = accept(store, submission(ANN))
    accept(store, submission(BO, campaign="autumn"))
    # As if the row had been accepted while the campaign was being stopped.
    change(store, tables.campaign, {"stopped_ms": 1}, id=result.campaign)
    store.write_now(lambda tx: campaigns.freeze(tx, "acme"))
    seen = []

    def decide(review):
        seen.append((given(review.rows), review.campaign_stopped, review.sender_frozen))
        return [None] * len(review.rows)

    claim(store, decide=decide)
    assert sorted(seen) == [([ANN], True, True), ([BO], False, True)]


def test_a_decision_that_fails_leaves_everything_as_it_was(store):
    accept(store, submission(ANN))
    before = rows_of(store, tables.recipient)
    with pytest.raises(ZeroDivisionError):
        claim(store, decide=lambda _review: 1 / 0)
    assert rows_of(store, tables.recipient) == before


def test_a_lease_that_ran_out_is_taken_up_at_once_after_a_first_attempt(store):
    accept(store, submission(ANN))
    claim(store)
    assert claim(store, holder="gateway-2") == []
    age(store, lease_until=timedelta(seconds=1))
    (row,) = claim(store, holder="gateway-2")
    assert row.attempts == 2


def test_after_later_attempts_it_waits_for_the_time_that_was_written(store):
    accept(store, submission(ANN))
    claim(store)
    age(store, lease_until=timedelta(seconds=1))
    claim(store, holder="gateway-2")
    age(store, lease_until=timedelta(seconds=1))
    assert claim(store, holder="gateway-3") == []
    age(store, next_attempt=timedelta(seconds=1))
    assert len(claim(store, holder="gateway-3")) == 1


def test_a_renewed_lease_is_not_taken_up(store):
    accept(store, submission(ANN, BO))
    ann, bo = claim(store)
    age(store, lease_until=timedelta(seconds=1))
    ids = [ann.id, bo.id, 999]
    lost = store.write_now(lambda tx: renew(tx, "gateway-1", ids, timedelta(seconds=60)))
    assert lost == {999}
    assert claim(store, holder="gateway-2") == []
    foreign = store.write_now(lambda tx: renew(tx, "gateway-2", ids, timedelta(seconds=60)))
    assert foreign == {*ids}


def test_the_only_process_recovers_dead_leases_at_its_start(store):
    accept(store, submission(ANN, BO))
    _, bo = claim(store)
    change(store, tables.recipient, {"attempts": 3}, id=bo.id)
    assert store.write_now(lambda tx: recover(tx, ["gateway-9"])) == 0
    assert store.write_now(lambda tx: recover(tx)) == 2
    first, second = rows_of(store, tables.recipient)
    assert (first["state"], first["attempts"]) == ("ready", 1)
    assert (second["state"], second["next_attempt_ms"]) == ("deferred", to_ms(bo.next_attempt))
    assert given(claim(store)) == [ANN]


def test_when_the_queue_next_has_something_to_do(store):
    def due(*upstreams):
        return store.read_now(lambda tx: next_due(tx, upstreams))

    assert due("smarthost") is None
    accept(store, submission(ANN, BO))
    assert due("other") is None
    assert due("other", "smarthost") <= store.now()
    ann, bo = claim(store)
    assert due("smarthost") == ann.lease_until
    later = ann.lease_until + timedelta(hours=1)
    mark(
        store,
        outcome(ann, State.DELIVERED),
        outcome(bo, State.DEFERRED, "450 4.2.0 Later", next_attempt=later),
    )
    assert due("smarthost") == later
    change(store, tables.recipient, {"state": "sending", "attempts": 2, "lease_until_ms": 5},
           id=bo.id)  # fmt: skip
    assert due("smarthost") == later, "a later attempt that died waits for its written time"
