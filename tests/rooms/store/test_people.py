"""People: look-ups, recording, suppressions, erasure, and what follows from events."""

import itertools
import threading
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from gatepost.consent.evidence import EventKind, Fact
from gatepost.consent.fold import fold_all
from gatepost.consent.standing import Suppression
from gatepost.mail.address import parse
from gatepost.store import people, recording, suppressing, suppressions
from gatepost.store.engine import Store
from gatepost.store.tables.ledger import standing, suppression
from support.patient_stores import wait_for_long

DAY = timedelta(days=1)
T0 = datetime(2026, 1, 1, tzinfo=UTC)
KIM = parse("Kim@Example.org")
ALEX = parse("alex@example.org")


def fact(kind, day=0, **more):
    values = {"sender": "acme", **more}
    return Fact(kind=EventKind(kind), at=T0 + day * DAY, **values)


def granted(day=0, **more):
    values = {"stream": "news", "basis": "form-checkbox", **more}
    return fact("granted", day, **values)


def record(store, address, *facts):
    return store.write_now(lambda tx: people.record(tx, address, facts))


def look_up(store, *addresses, stream="news", sender="acme"):
    return store.read_now(lambda tx: people.look_up(tx, addresses, stream, sender))


def person(store, address, **where):
    return look_up(store, address, **where)[address.key]


def derived(tx):
    """Both derived tables, whole."""
    return {
        table.name: sorted(tuple(row) for row in tx.connection.execute(select(table)))
        for table in (standing, suppression)
    }


def test_strangers_are_not_in_the_answer(store):
    assert look_up(store, KIM) == {}
    assert look_up(store) == {}
    assert store.read_now(lambda tx: people.history(tx, KIM)) is None


def test_what_is_recorded_is_found_under_every_spelling(store):
    given_fact = granted()
    number = record(store, KIM, given_fact)
    found = look_up(store, parse("KIM@EXAMPLE.ORG"), ALEX)
    assert list(found) == ["kim@example.org"]
    assert found["kim@example.org"].subject == number
    assert found["kim@example.org"].standing == fold_all([given_fact])


def test_a_standing_is_of_one_stream(store):
    record(store, KIM, granted(), fact("withdrawn", 1, stream="offers"))
    assert person(store, KIM).standing.withdrawn_at is None
    assert person(store, KIM, stream="offers").standing.withdrawn_at == T0 + DAY
    assert person(store, KIM, stream="other").standing.grants == ()


def test_leaving_everything_suppresses_bulk_mail_of_that_sender_only(store):
    """DESIGN, "suppression": scope bulk for unsubscribing from everything."""
    record(store, KIM, granted(), fact("withdrawn", 2))
    expected = (Suppression("bulk", "unsubscribed", T0 + 2 * DAY),)
    assert person(store, KIM).suppressions == expected
    assert person(store, KIM, stream="never-heard-of").suppressions == expected
    assert person(store, KIM, sender="other").suppressions == ()


def test_a_complaint_suppresses_bulk_mail(store):
    record(store, KIM, fact("complained", 1, stream="news"))
    assert person(store, KIM).suppressions == (Suppression("bulk", "complaint", T0 + DAY),)


@pytest.mark.parametrize("kind", ["bounced", "suppressed"])
def test_suppressions_say_scope_and_reason(store, kind):
    record(store, KIM, fact(kind, 1, scope="all", suppression="hard-bounce"))
    assert person(store, KIM).suppressions == (Suppression("all", "hard-bounce", T0 + DAY),)


def test_a_bounce_that_proves_nothing_suppresses_nothing(store):
    record(store, KIM, fact("bounced", 1, note="mailbox full"))
    assert person(store, KIM).suppressions == ()


def test_a_suppression_of_no_sender_counts_for_all(store):
    record(store, KIM, fact("suppressed", 1, sender="", scope="all", suppression="manual"))
    assert person(store, KIM, sender="whoever").suppressions[0].reason == "manual"


def test_several_suppressions_are_one_person(store):
    record(
        store,
        KIM,
        granted(),
        fact("complained", 2),
        fact("suppressed", 1, scope="all", suppression="manual"),
        fact("withdrawn", 3),
    )
    reasons = [found.reason for found in person(store, KIM).suppressions]
    assert reasons == ["manual", "complaint", "unsubscribed"]
    assert len(look_up(store, KIM)) == 1


def test_lifting_one_suppression_leaves_the_others(store):
    record(store, KIM, fact("withdrawn", 1), fact("complained", 1))
    record(store, KIM, fact("suppression-lifted", 2, scope="bulk", suppression="complaint"))
    assert [found.reason for found in person(store, KIM).suppressions] == ["unsubscribed"]
    record(store, KIM, fact("suppression-lifted", 3))
    assert person(store, KIM).suppressions == ()


def test_an_old_fact_that_arrives_late_does_not_bring_a_suppression_back(store):
    record(store, KIM, fact("withdrawn", 1), fact("suppression-lifted", 5))
    record(store, KIM, fact("withdrawn", 3))
    assert person(store, KIM).suppressions == ()
    record(store, KIM, fact("withdrawn", 7))
    assert person(store, KIM).suppressions[0].since == T0 + 7 * DAY


def test_the_latest_withdrawal_counts_whatever_the_order(store):
    record(store, KIM, fact("withdrawn", 7), fact("withdrawn", 3))
    assert person(store, KIM).suppressions[0].since == T0 + 7 * DAY


def test_coming_back_to_one_stream_does_not_delete_the_opt_out(store):
    """REQUIREMENTS HR-7, E2: an opt-out row is never deleted by a return."""
    record(store, KIM, fact("withdrawn", 1))
    back = fact("resubscribed", 2, stream="news", actor="recipient")
    record(store, KIM, back)
    found = person(store, KIM)
    assert found.standing == fold_all([back])
    assert [one.reason for one in found.suppressions] == ["unsubscribed"]


def test_a_look_up_is_one_statement_whatever_the_number(store, engine):
    addresses = [parse(f"user{number}@example.org") for number in range(1500)]
    store.write_now(
        lambda tx: people.record_many(tx, [(address, [granted()]) for address in addresses])
    )

    class Counting:
        def __init__(self, cursor):
            self.cursor, self.statements = cursor, 0

        def execute(self, *arguments):
            self.statements += 1
            return self.cursor.execute(*arguments)

        def later(self, *arguments):
            self.statements += 1
            return self.cursor.later(*arguments)

    def counted(tx):
        import dataclasses

        counting = Counting(tx.cursor)
        found = people.look_up(dataclasses.replace(tx, cursor=counting), addresses, "news", "acme")
        return len(found), counting.statements

    assert store.read_now(counted) == (1500, 1)


def test_very_many_addresses_come_in_slices(store):
    addresses = [parse(f"user{number}@example.org") for number in range(20_000)]
    known = addresses[::1000]
    store.write_now(lambda tx: people.ensure_subjects(tx, known))
    assert set(look_up(store, *addresses)) == {address.key for address in known}


def test_making_people_known_is_the_same_twice(store):
    first = store.write_now(lambda tx: people.ensure_subjects(tx, [KIM, ALEX]))
    again = store.write_now(lambda tx: people.ensure_subjects(tx, [ALEX, KIM, KIM]))
    assert first == again
    assert len(set(first.values())) == 2
    found = look_up(store, KIM, ALEX)
    assert {key: found[key].subject for key in found} == first
    by_id = store.read_now(
        lambda tx: people.look_up_subjects(tx, [*first.values(), 5], "news", "acme")
    )
    assert {number: one.subject for number, one in by_id.items()} == {
        number: number for number in first.values()
    }


def test_a_link_records_for_its_subject(store):
    number = record(store, KIM, granted())
    store.write_now(
        lambda tx: people.record_for_subject(tx, number, [fact("withdrawn", 1, stream="news")])
    )
    assert person(store, KIM).standing.withdrawn_at == T0 + DAY
    assert store.read_now(lambda tx: people.address_of(tx, number)) == KIM


def test_a_foreign_subject_is_an_answer(store):
    with pytest.raises(people.UnknownSubject):
        store.write_now(lambda tx: people.record_for_subject(tx, 12345, [fact("withdrawn")]))
    with pytest.raises(people.UnknownSubject):
        store.read_now(lambda tx: people.history_of_subject(tx, 12345))
    assert store.read_now(lambda tx: people.address_of(tx, 12345)) is None


def test_history_tells_everything_in_order(store):
    facts = [granted(ip="192.0.2.1", note="ÅÄÖ"), fact("withdrawn", 2), fact("complained", 3)]
    before = store.now() - timedelta(milliseconds=1)
    number = record(store, KIM, *facts)
    history = store.read_now(lambda tx: people.history(tx, KIM))
    assert (history.subject, history.address, history.erased_at) == (
        number,
        "Kim@Example.org",
        None,
    )
    assert [found.fact for found in history.events] == facts
    assert [found.kind for found in history.events] == [one.kind for one in facts]
    assert all(before <= found.recorded_at <= store.now() for found in history.events)
    assert [found.id for found in history.events] == sorted(found.id for found in history.events)
    assert [(one.stream, one.sender) for one in history.standings] == [("news", "acme")]
    assert {one.reason for one in history.suppressions} == {"unsubscribed", "complaint"}


def test_an_import_is_as_if_each_fact_came_alone(store):
    items = [
        (parse(f"user{number % 40}@example.org"), [granted(number), fact("withdrawn", number // 2)])
        for number in range(100)
    ]
    assert store.write_now(lambda tx: people.record_many(tx, items)) == 200
    together = store.read_now(derived)
    for address, facts in items:
        record(store, address, *facts)
    assert store.read_now(derived) == together


def test_erasure_takes_what_is_personal_and_keeps_who_must_not_be_mailed(store):
    """DESIGN promise 5; REQUIREMENTS B4, 4.A-6."""
    number = record(store, KIM, granted(ip="192.0.2.7"), fact("complained", 1))
    record(store, KIM, fact("suppressed", 2, scope="all", suppression="manual", note="rang us"))
    record(store, KIM, fact("erased", 3, sender="", note="art. 17"))
    found = person(store, KIM)
    assert found.subject == number
    assert found.erased_at == T0 + 3 * DAY
    assert found.standing.grants == ()
    assert found.suppressions == (
        Suppression("bulk", "complaint", T0 + DAY),
        Suppression("all", "manual", T0 + 2 * DAY),
    )
    history = store.read_now(lambda tx: people.history_of_subject(tx, number))
    assert history.address == ""
    assert [one.fact is None for one in history.events] == [True, True, True, False, False, False]
    assert not any(one.fact.note == "rang us" for one in history.events if one.fact)
    assert store.read_now(lambda tx: people.address_of(tx, number)) is None


def test_links_and_imports_still_know_an_erased_person(store):
    number = record(store, KIM, granted(), fact("erased", 3, sender=""))
    assert record(store, KIM, fact("withdrawn", 4)) == number
    assert person(store, KIM).suppressions[0].reason == "unsubscribed"
    assert store.read_now(lambda tx: people.address_of(tx, number)) is None


def test_an_erased_person_who_comes_again_has_an_address_again(store):
    number = record(store, KIM, granted(), fact("erased", 3, sender=""))
    record(store, parse("kim@EXAMPLE.org"), granted(4))
    found = person(store, KIM)
    assert found.subject == number
    assert found.erased_at == T0 + 3 * DAY
    assert [grant.at for grant in found.standing.grants] == [T0 + 4 * DAY]
    assert store.read_now(lambda tx: people.address_of(tx, number)).given == "kim@EXAMPLE.org"


def test_suppressions_are_listed_in_pages(store):
    for number in range(7):
        record(store, parse(f"user{number}@example.org"), fact("complained", number))
    record(store, KIM, fact("complained", sender="other"))
    record(store, ALEX, fact("complained"), fact("suppression-lifted", 1))
    seen, after = [], None
    next_page = partial(suppressions.list_suppressed, sender="acme", limit=3)
    while page := store.read_now(partial(next_page, after=after)):
        seen += page
        after = suppressions.place(page[-1])
    assert {one.address for one in seen} == {f"user{number}@example.org" for number in range(7)}
    assert len(seen) == 7
    of_kim = store.read_now(lambda tx: suppressions.list_suppressed(tx, address=KIM))
    assert [(one.sender, one.reason) for one in of_kim] == [("other", "complaint")]
    assert len(store.read_now(suppressions.list_suppressed)) == 8


FACTS = st.builds(
    lambda kind, day, stream, sender, extra: fact(kind, day, stream=stream, sender=sender, **extra),
    kind=st.sampled_from(
        [kind for kind in EventKind if kind not in (EventKind.ERASED, EventKind.SENDER_REMOVED)]
    ),
    day=st.integers(min_value=0, max_value=5),
    stream=st.sampled_from(["", "news", "offers"]),
    sender=st.sampled_from(["acme", "other"]),
    extra=st.sampled_from(
        [
            {"basis": "form-checkbox"},
            {"scope": "all", "suppression": "manual"},
            {"scope": "bulk", "suppression": "complaint"},
            {"actor": "recipient"},
        ]
    ),
)
ERASED = st.builds(lambda day: fact("erased", day, sender=""), st.integers(0, 5))
_serial = itertools.count()


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0, 3), FACTS | ERASED), max_size=25), st.integers(1, 6))
def test_a_rebuild_equals_what_grew(store, history, at_once):
    """DESIGN, "Standing is derived": whatever happened, in whatever slices it was recorded."""
    run = next(_serial)
    items = [(parse(f"user{run}-{number}@example.org"), [one]) for number, one in history]
    for start in range(0, len(items), at_once):
        batch = items[start : start + at_once]
        store.write_now(partial(people.record_many, items=batch))
    grown = store.read_now(derived)
    store.write_now(people.rebuild)
    assert store.read_now(derived) == grown


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(FACTS, max_size=12))
def test_a_standing_is_the_fold_of_its_facts(store, facts):
    address = parse(f"fold{next(_serial)}@example.org")
    record(store, address, *facts)
    for stream in ("news", "offers"):
        expected = fold_all([one for one in facts if one.stream == stream])
        assert person(store, address, stream=stream).standing == expected


def test_a_rebuild_mends_what_was_changed_by_hand(store):
    record(store, KIM, granted(), fact("withdrawn", 1), fact("withdrawn", 1, stream="news"))
    before = store.read_now(derived)
    store.write_now(lambda tx: tx.connection.execute(suppression.delete()) and None)
    store.write_now(lambda tx: tx.connection.execute(standing.update().values(state="{}")) and None)
    assert store.write_now(people.rebuild) == 3
    assert store.read_now(derived) == before


def test_gateways_recording_for_one_person_lose_nothing(store_url, tmp_path, monkeypatch):
    wait_for_long(monkeypatch)
    with Store.open(store_url, tmp_path) as one, Store.open(store_url, tmp_path) as other:

        def run(store, stream):
            for number in range(15):
                record(store, KIM, granted(number, stream=stream, source=f"s{number}"))
                record(store, KIM, granted(number, source=f"{stream}{number}"))

        threads = [
            threading.Thread(target=run, args=arguments) for arguments in ((one, "a"), (other, "b"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(person(one, KIM).standing.grants) == 30
        assert len(person(one, KIM, stream="a").standing.grants) == 15
        grown = one.read_now(derived)
        one.write_now(people.rebuild)
        assert one.read_now(derived) == grown


def test_the_mail_path_asks_indexes_only(store, engine):
    """No statement of a look-up reads a whole table, however small."""
    record(store, KIM, granted())
    plans = []

    def explain(tx):
        hot = recording.compile_once(people._BY_HASH, tx.dialect)
        params = {"stream": "news", "sender": "acme", "hashes": [b"x" * 16] * 3}
        sql, values = hot._bind(params)
        word = "EXPLAIN QUERY PLAN " if engine == "sqlite" else "EXPLAIN "
        if engine == "postgresql":
            tx.cursor.execute("SET LOCAL enable_seqscan = off")
        plans.extend(str(row) for row in tx.cursor.execute(word + sql, values).fetchall())

    store.read_now(explain)
    assert plans
    assert not [line for line in plans if "SCAN " in line or "Seq Scan" in line]


@pytest.mark.parametrize("actor", ["staff", "import", "mailer"])
def test_what_is_the_persons_others_do_not_lift(store, actor):
    """REQUIREMENTS E4: whatever a fact says of a lifting."""
    record(
        store,
        KIM,
        fact("complained", 1),
        fact("withdrawn", 1),
        fact("bounced", 1, scope="all", suppression="hard-bounce"),
        fact("suppressed", 1, scope="all", suppression="manual"),
        fact("suppression-lifted", 2, actor=actor),
        fact("suppression-lifted", 2, actor=actor, scope="bulk", suppression="complaint"),
    )
    kept = {found.reason for found in person(store, KIM).suppressions}
    assert kept == {"complaint", "unsubscribed", "hard-bounce"}
    store.write_now(people.rebuild)
    assert {found.reason for found in person(store, KIM).suppressions} == kept
    assert kept <= set(suppressing.NOT_FOR_STAFF) == suppressions.PERSONAL
