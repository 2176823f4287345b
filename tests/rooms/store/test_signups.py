"""Sign-ups and welcomes in the store: once, found again after a crash, held mail let go."""

from datetime import UTC, datetime, timedelta

import pytest

from gatepost.consent.evidence import EventKind
from gatepost.mail.address import parse
from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.store import people, signups
from gatepost.store.ids import new_id, to_text
from gatepost.store.signups import Delivered, SignUp, Waiting
from gatepost.store.spool.quarantine import CONFIRMED, release_by_confirmation
from gatepost.store.tables import mail as tables
from gatepost.store.tables.signups import signup, welcome
from gatepost.store.times import from_ms
from support.submissions import HOLD, accept, claim, mark, outcome, rows_of, submission

ANNA = parse("anna@example.org")
DAY = timedelta(days=1)


def subject_of(store, address=ANNA):
    return store.write_now(lambda tx: people.ensure_subjects(tx, [address]))[address.key]


def asked(subject, at, **more):
    values = {
        "id": new_id(), "subject": subject, "sender": "acme", "streams": ("newsletter", "club"),
        "language": "sv", "requested_at": at, "source": "web", "text_version": "1",
        "submission": 7,
    }  # fmt: skip
    return SignUp(**(values | more))


def keep(store, *given):
    for one in given:
        store.write_now(lambda tx, one=one: signups.add(tx, one))


def test_a_sign_up_is_found_as_it_was_kept(store):
    one = asked(subject_of(store), store.now())
    keep(store, one)
    found = store.read_now(lambda tx: signups.find(tx, one.id))
    assert found == asked(one.subject, found.requested_at, id=one.id)
    assert abs(found.requested_at - one.requested_at) < timedelta(milliseconds=1)
    assert store.read_now(lambda tx: signups.find(tx, 4711)) is None


def test_only_what_waits_is_found_again(store):
    subject, now = subject_of(store), store.now()
    other = subject_of(store, parse("bo@example.org"))
    fresh, old = asked(subject, now), asked(subject, now - 2 * DAY)
    keep(store, fresh, old, asked(subject, now, sender="other"), asked(other, now))

    def waiting(since):
        return store.read_now(
            lambda tx: [one.id for one in signups.unconfirmed(tx, subject, "acme", since)]
        )

    assert waiting(now - DAY) == [fresh.id]
    assert waiting(now - 3 * DAY) == [old.id, fresh.id]
    store.write_now(lambda tx: signups.mark_confirmed(tx, [fresh.id]))
    assert waiting(now - 3 * DAY) == [old.id]


def test_a_confirmation_is_noted_once(store):
    one = asked(subject_of(store), store.now())
    keep(store, one)
    assert store.write_now(lambda tx: signups.mark_confirmed(tx, [one.id, 4711])) == {one.id}
    assert store.write_now(lambda tx: signups.mark_confirmed(tx, [one.id])) == set()
    assert store.write_now(lambda tx: signups.mark_confirmed(tx, [])) == set()


@pytest.mark.parametrize(
    ("more", "covers"),
    [
        ({}, True),
        ({"streams": ("club",)}, True),
        ({"streams": ("club", "events")}, False),
        ({"text_version": "2"}, False),
        ({"source": "shop"}, False),
    ],
)
def test_the_same_request_is_one_that_an_earlier_one_covers(more, covers):
    now = datetime(2027, 3, 1, tzinfo=UTC)
    assert asked(1, now).covers(asked(1, now, **more)) is covers


def write_welcome(store, address=ANNA, stream="newsletter"):
    """A welcome letter on its way; the subject and the letter's submission."""
    subject = subject_of(store, address)
    job = submission(address.given, stream="", kind=Kind.SERVICE, campaign=None)
    accept(store, job)
    store.write_now(lambda tx: signups.add_welcome(tx, job.id, subject, "acme", stream))
    return subject, job.id


def settle(store):
    return store.write_now(signups.settle_welcomes)


def welcomes(store, address=ANNA):
    found = store.read_now(lambda tx: people.history(tx, address))
    return [event.fact for event in found.events if event.kind is EventKind.WELCOMED]


def test_a_welcome_counts_once_upstream_took_it(store):
    """JU-18: found from the spool's record, recorded exactly once, at the time of delivery."""
    subject, letter = write_welcome(store)
    assert settle(store) == []
    (row,) = claim(store)
    assert settle(store) == []
    mark(store, outcome(row, State.DELIVERED))
    assert settle(store) == [Delivered(subject, "acme", "newsletter")]
    assert settle(store) == []
    (fact,) = welcomes(store)
    assert (fact.stream, fact.sender, fact.submission) == ("newsletter", "acme", to_text(letter))
    (done,) = rows_of(store, tables.recipient)
    assert fact.at == from_ms(done["finished_ms"])
    assert store.read_now(signups.waiting_welcomes) == Waiting(0, None)


@pytest.mark.parametrize("state", [State.FAILED, State.DEFERRED, State.READY, State.HELD])
def test_a_welcome_that_does_not_arrive_counts_for_nothing(store, state):
    subject, _ = write_welcome(store)
    (row,) = claim(store)
    mark(store, outcome(row, state, next_attempt=store.now() + DAY))
    assert settle(store) == []
    assert welcomes(store) == []
    waiting = store.read_now(signups.waiting_welcomes)
    assert waiting.count == (0 if state is State.FAILED else 1)
    assert store.read_now(lambda tx: signups.last_welcomed(tx, subject, "newsletter"))
    assert store.read_now(lambda tx: signups.last_welcomed(tx, subject, "club")) is None


def test_many_are_settled_in_slices(store):
    people_ = [parse(f"r{number}@example.org") for number in range(5)]
    for address in people_:
        write_welcome(store, address)
    mark(store, *(outcome(row, State.DELIVERED) for row in claim(store)))
    done = [store.write_now(lambda tx: signups.settle_welcomes(tx, limit=2)) for _ in range(4)]
    assert [len(one) for one in done] == [2, 2, 1, 0]
    assert all(len(welcomes(store, address)) == 1 for address in people_)


def test_what_is_over_is_forgotten_and_what_waits_stays(store):
    subject, _ = write_welcome(store)
    (row,) = claim(store)
    mark(store, outcome(row, State.DELIVERED))
    settle(store)
    write_welcome(store, parse("bo@example.org"))
    keep(store, asked(subject, store.now()), asked(subject, store.now() - 40 * DAY))

    def forget(before):
        return store.write_now(lambda tx: signups.forget(tx, before))

    assert forget(store.now() - 90 * DAY) == 0
    assert forget(store.now() - 30 * DAY) == 1
    assert forget(store.now() + DAY) == 2
    assert rows_of(store, signup) == []
    assert [row["settled_ms"] for row in rows_of(store, welcome)] == [None]


def test_what_is_held_is_let_go_with_the_word_why(store):
    subject = subject_of(store)
    accept(store, submission(ANNA.given, verdicts={ANNA.given: HOLD}))

    def confirm(tx):
        return release_by_confirmation(tx, subject, "newsletter", DAY, "the welcome has left")

    assert len(store.write_now(confirm)) == 1
    (row,) = rows_of(store, tables.recipient)
    assert (row["state"], row["rule"], row["note"]) == ("ready", CONFIRMED, "the welcome has left")
    assert store.write_now(confirm) == []
