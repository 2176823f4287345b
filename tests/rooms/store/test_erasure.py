"""Erasure: of everything, or of the rest while the evidence must be kept (promise 5, JU-24)."""

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from gatepost.consent.evidence import EVIDENCE_KINDS, EventKind, Fact
from gatepost.store import ledger, people
from gatepost.store.engine import Store
from support.ledgers import PEOPLE, T0, erased, fact, record

ANNA = PEOPLE[0]
DUE = T0 + timedelta(days=740)


def history(store, address=ANNA):
    return store.read_now(lambda tx: people.history(tx, address))


def person(store, address=ANNA, stream="news", sender="acme"):
    return store.read_now(lambda tx: people.look_up(tx, [address], stream, sender))[address.key]


def derived(store):
    def read(tx):
        return [
            tx.connection.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4")).all()
            for table in ("standing", "suppression")
        ]

    return store.read_now(read)


def is_proven(store):
    """The ledger is whole, and a rebuild changes nothing, be it of all or of some."""
    assert store.read_now(ledger.verify) == []
    before = derived(store)
    store.write_now(people.rebuild)
    assert derived(store) == before
    numbers = store.read_now(
        lambda tx: (
            tx.connection.execute(text("SELECT id FROM subject WHERE id > 0")).scalars().all()
        )
    )
    store.write_now(lambda tx: people.rebuild_subjects(tx, numbers))
    assert derived(store) == before
    return True


def facts_of(store, address=ANNA):
    return {one.kind: one.fact for one in history(store, address).events}


GRANT = {"basis": "newsletter-form", "actor": "recipient", "ip": "192.0.2.9"}
LIFE = [
    fact("requested", 0, **GRANT), fact("confirmed", 1, **GRANT), fact("welcomed", 1),
    fact("engaged", 2), fact("bounced", 3, suppression="hard-bounce", scope="all"),
    fact("withdrawn", 4), fact("resubscribed", 5, **GRANT), fact("complained", 6),
]  # fmt: skip


def test_the_rest_goes_and_the_evidence_stays(store):
    record(store, ANNA, *LIFE)
    record(store, ANNA, erased(9, "rest", due=DUE))
    found = history(store)
    assert found.address == ANNA.given
    assert found.erased_at == T0 + timedelta(days=9)
    kept = {one.kind for one in found.events if one.fact is not None}
    assert kept == (EVIDENCE_KINDS & {one.kind for one in LIFE}) | {
        EventKind.ERASED, EventKind.SUPPRESSED,
    }  # fmt: skip
    erasure = facts_of(store)[EventKind.ERASED]
    assert (erasure.rule, erasure.extent, erasure.due) == ("request", "rest", DUE)
    assert is_proven(store)


def test_after_the_rest_nothing_derived_from_it_is_left(store):
    """The standing is what the evidence comes to; suppressions in force are told anew."""
    record(store, ANNA, *LIFE)
    assert person(store).standing.engaged_at
    record(store, ANNA, erased(9, "rest", due=DUE))
    after = person(store)
    assert after.standing.engaged_at is None
    assert {grant.at.day for grant in after.standing.grants} == {1, 2, 6}
    assert {(one.scope, one.reason) for one in after.suppressions} == {
        ("all", "hard-bounce"), ("bulk", "complaint"),
    }  # fmt: skip


def test_a_lifted_suppression_does_not_come_back_with_the_evidence(store):
    """The withdrawal that brought it stays on record; what lifted it does not."""
    record(store, ANNA, fact("withdrawn", 1, stream=""))
    record(
        store, ANNA, fact("resubscribed", 2, **GRANT),
        fact("suppression-lifted", 2, stream="", scope="bulk", suppression="unsubscribed"),
    )  # fmt: skip
    assert person(store).suppressions == ()
    record(store, ANNA, erased(9, "rest", due=DUE))
    assert person(store).suppressions == ()
    assert is_proven(store)


def test_all_goes_when_it_is_due(store):
    record(store, ANNA, *LIFE)
    record(store, ANNA, erased(9, "rest", due=DUE))
    record(store, ANNA, erased(741, "all", rule="evidence-term", due=DUE))
    found = history(store)
    assert found.address == ""
    assert found.standings == ()
    assert {one.kind for one in found.events if one.fact is not None} == {
        EventKind.ERASED, EventKind.SUPPRESSED,
    }  # fmt: skip
    assert {one.reason for one in found.suppressions} == {"hard-bounce", "complaint"}
    assert is_proven(store)


def test_who_comes_back_after_either_is_there_again(store):
    record(store, ANNA, *LIFE)
    record(store, ANNA, erased(9, "rest", due=DUE), fact("confirmed", 10, **GRANT))
    assert history(store).address == ANNA.given
    record(store, ANNA, erased(11))
    assert history(store).address == ""
    record(store, ANNA, fact("confirmed", 12, **GRANT))
    assert history(store).address == ANNA.given
    assert is_proven(store)


def test_an_erasure_comes_last_also_in_one_breath(store):
    """Whoever agrees and is erased with the same breath is gone."""
    record(store, ANNA, fact("granted", 0, **GRANT), erased(1), fact("confirmed", 2, **GRANT))
    assert history(store).address == ANNA.given
    record(store, ANNA, erased(3))
    record(store, ANNA, fact("confirmed", 4, **GRANT), erased(5))
    assert history(store).address == ""
    assert is_proven(store)


def test_an_erasure_does_not_say_where_the_request_came_from(store):
    traces = {"ip": "192.0.2.1", "user_agent": "Browser", "url": "https://mail.example/d"}
    wish = Fact(kind=EventKind.ERASED, at=T0, actor="recipient", method="page", **traces)
    record(store, ANNA, fact("granted", 0, **GRANT), wish)
    said = facts_of(store)[EventKind.ERASED]
    assert (said.actor, said.method) == ("recipient", "page")
    assert (said.ip, said.user_agent, said.url) == ("", "", "")


def test_an_erasure_of_one_person_touches_nobody_else(store):
    for address in PEOPLE[:2]:
        record(store, address, *LIFE)
    before = history(store, PEOPLE[1])
    record(store, ANNA, erased(9))
    assert history(store, PEOPLE[1]) == before


acts = st.one_of(
    st.builds(
        lambda kind, day, stream: fact(kind, day, stream=stream, **GRANT),
        st.sampled_from(["granted", "requested", "confirmed", "withdrawn", "resubscribed",
                         "engaged", "welcomed", "transferred"]),
        st.integers(0, 30), st.sampled_from(["news", "club"]),
    ),
    st.builds(
        lambda kind, day, scope, reason: fact(
            kind, day, stream="", scope=scope, suppression=reason
        ),
        st.sampled_from(["suppressed", "suppression-lifted", "bounced"]),
        st.integers(0, 30), st.sampled_from(["all", "bulk"]),
        st.sampled_from(["manual", "unsubscribed"]),
    ),
    st.builds(lambda day: fact("withdrawn", day, stream=""), st.integers(0, 30)),
    st.builds(erased, st.integers(0, 30), st.sampled_from(["all", "rest", ""])),
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(acts, min_size=1, max_size=5), max_size=8))
def test_whatever_happens_the_ledger_is_whole_and_can_be_derived(tmp_path_factory, histories):
    with Store.open("", tmp_path_factory.mktemp("any")) as store:
        for number, acts_together in enumerate(histories):
            record(store, PEOPLE[number % 3], *acts_together)
            store.write_now(ledger.seal)
        assert is_proven(store)


def test_what_was_erased_before_erasures_had_extents(store):
    """Such an erasure took its forerunners' words, too."""
    record(store, ANNA, fact("granted", 0, **GRANT))
    old = Fact(kind=EventKind.ERASED, at=datetime(2026, 2, 1, tzinfo=UTC))
    record(store, ANNA, old)
    record(store, ANNA, fact("confirmed", 40, **GRANT))
    record(store, ANNA, old)
    store.write_now(
        lambda tx: tx.connection.execute(
            text("DELETE FROM event_payload WHERE event ="
                 " (SELECT min(id) FROM event WHERE kind = 'erased')")
        ) and None
    )  # fmt: skip
    assert is_proven(store)
