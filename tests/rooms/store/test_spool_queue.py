"""What administrators see of the queue and the quarantine, and do to them."""

from datetime import timedelta

import pytest

from gatepost.mail.address import parse
from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.mail.verdict import Disposition, Reason, Verdict
from gatepost.store import campaigns, ids, people
from gatepost.store.campaigns import FROZEN
from gatepost.store.spool import quarantine, queue, recover
from gatepost.store.tables import mail as tables
from gatepost.store.times import to_ms
from support.submissions import (
    CONTENT,
    DROP,
    HOLD,
    REJECT,
    accept,
    change,
    claim,
    mark,
    outcome,
    rows_of,
    submission,
)

ANN, BO, CY, DI = "ann@example.org", "bo@example.org", "cy@example.org", "di@example.org"


def listed(store, **options):
    return store.read_now(lambda tx: queue.list_queue(tx, **options))


def held(store, **options):
    return store.read_now(lambda tx: quarantine.list_quarantine(tx, **options))


def one_in_each_state(store):
    """ready, sending, deferred, held; and finished ones that no list shows."""
    accept(store, submission(ANN, BO, CY, DI, "ed@example.org", "fay@example.org",
                             verdicts={"ed@example.org": DROP, "fay@example.org": HOLD}))  # fmt: skip
    _, bo, cy, di = claim(store)
    later = store.now() + timedelta(hours=1)
    mark(
        store,
        outcome(bo, State.READY, "", counted=False),
        outcome(cy, State.DEFERRED, "450 4.2.1 Busy", next_attempt=later),
        outcome(di, State.HELD, "odd"),
    )
    return {row["address"]: row["id"] for row in rows_of(store, tables.recipient)}


def test_the_list_shows_what_is_not_finished(store):
    numbers = one_in_each_state(store)
    rows = listed(store)
    assert [(row.recipient, row.state) for row in rows] == [
        (ANN, "sending"), (BO, "ready"), (CY, "deferred"), (DI, "held"),
    ]  # fmt: skip
    cy = rows[2]
    assert (cy.id, cy.stream, cy.attempts) == (numbers[CY], "newsletter", 1)
    assert cy.last_reply == "450 4.2.1 Busy"
    assert cy.next_attempt_at > store.now()
    assert ids.from_text(cy.submission) == rows_of(store, tables.submission)[0]["id"]
    assert rows[1].next_attempt_at <= store.now()
    assert rows[3].next_attempt_at is None
    assert [row.recipient for row in listed(store, states=[State.HELD])] == [DI]
    assert [row.recipient for row in listed(store, after=rows[1].id, limit=1)] == [CY]
    assert listed(store, upstream="other") == []


def test_counts_per_state(store):
    one_in_each_state(store)
    counts = store.read_now(queue.count_states)
    assert counts == {"ready": 1, "sending": 1, "deferred": 1, "held": 1, "quarantined": 1}
    oldest = store.read_now(queue.oldest)
    assert to_ms(oldest) == rows_of(store, tables.submission)[0]["received_ms"]


def test_an_empty_queue(store):
    assert listed(store) == []
    assert store.read_now(queue.oldest) is None
    assert set(store.read_now(queue.count_states).values()) == {0}


def test_retry_makes_deferred_and_held_rows_ready_now(store):
    numbers = one_in_each_state(store)
    everything = list(numbers.values())
    assert store.write_now(lambda tx: queue.retry(tx, everything)) == [numbers[CY], numbers[DI]]
    assert {row.recipient.address.given for row in claim(store)} == {BO, CY, DI}


def test_hold_sets_waiting_rows_aside(store):
    numbers = one_in_each_state(store)
    changed = store.write_now(lambda tx: queue.hold(tx, numbers.values(), "asked by acme"))
    assert changed == [numbers[BO], numbers[CY]]
    assert claim(store) == []
    assert rows_of(store, tables.recipient, id=numbers[BO])[0]["note"] == "asked by acme"


def test_hold_sets_aside_what_a_backup_found_on_the_wire(store):
    """Upstream has most likely taken it long ago: a start would send it again (promise 1)."""
    ann = one_in_each_state(store)[ANN]
    past = to_ms(store.now()) - 1
    change(store, tables.recipient, {"lease_until_ms": past}, id=ann)
    assert store.write_now(lambda tx: queue.hold(tx, [ann])) == [ann]
    assert store.write_now(recover) == 0
    assert [row.recipient.address.given for row in claim(store)] == [BO]
    (row,) = rows_of(store, tables.recipient, id=ann)
    assert (row["state"], row["lease_by"], row["lease_until_ms"]) == ("held", None, None)


@pytest.mark.parametrize("rule", [FROZEN, queue.UNCONFIGURED])
@pytest.mark.parametrize("address", [BO, DI])
def test_what_is_held_by_hand_does_not_go_on_by_itself(store, rule, address):
    """As when a backup was restored: neither at a thaw nor with the configuration."""
    number = one_in_each_state(store)[address]
    change(store, tables.recipient, {"rule": rule}, id=number)
    assert store.write_now(lambda tx: queue.hold(tx, [number])) == [number]
    assert store.write_now(campaigns.release_thawed) == 0
    assert not store.read_now(lambda tx: queue.configured_again(tx, lambda *_: True))
    assert store.write_now(lambda tx: queue.release_known(tx, [number])) == 0
    assert rows_of(store, tables.recipient, id=number)[0]["state"] == "held"


def test_what_was_held_for_the_configuration_goes_on_with_it(store):
    number = one_in_each_state(store)[DI]
    change(store, tables.recipient, {"rule": queue.UNCONFIGURED}, id=number)
    asked = []

    def knows(*said):
        asked.append(said)
        return len(asked) > 1

    found = [store.read_now(lambda tx: list(queue.configured_again(tx, knows))) for _ in range(2)]
    assert (found, asked) == ([[], [number]], [("newsletter", "acme", Kind.BULK)] * 2)
    assert store.write_now(lambda tx: queue.release_known(tx, [number])) == 1
    assert number in {row.id for row in claim(store)}


def test_delete_ends_what_is_queued_but_not_what_is_on_the_wire(store):
    numbers = one_in_each_state(store)
    changed = store.write_now(lambda tx: queue.delete(tx, numbers.values()))
    assert changed == [numbers[BO], numbers[CY], numbers[DI]]
    states = {row["address"]: row["state"] for row in rows_of(store, tables.recipient)}
    assert (states[ANN], states[BO]) == ("sending", "stopped")
    assert rows_of(store, tables.submission)[0]["finished_ms"] is None
    store.write_now(lambda tx: quarantine.delete(tx, numbers.values()))
    mark(store, outcome(claim_of(store, numbers[ANN]), State.DELIVERED))
    assert rows_of(store, tables.submission)[0]["finished_ms"] is not None


def claim_of(store, number):
    """Something with the id of a row that gateway-1 has claimed."""
    from types import SimpleNamespace

    return SimpleNamespace(id=number)


def test_giving_up_on_an_upstream_fails_what_waited_too_long(store):
    """RQ-2: rows that no attempt ends, because the upstream is away."""
    old, new = submission(ANN, BO), submission(CY)
    accept(store, old)
    (ann,) = claim(store, limit=1)
    accept(store, new, submission(DI, upstream="other"))
    five_days_ago = store.now() - timedelta(days=5)
    change(store, tables.submission, {"received_ms": to_ms(five_days_ago) - 1}, id=old.id)

    def late(tx, upstream="smarthost", limit=10):
        return queue.late(tx, upstream, five_days_ago, limit)

    numbers = store.read_now(late)
    assert numbers == [row["id"] for row in rows_of(store, tables.recipient, address=BO)]
    assert store.read_now(lambda tx: late(tx, upstream="away")) == []
    assert store.read_now(lambda tx: late(tx, limit=0)) == []

    def give_up(tx):
        return queue.give_up(tx, [*numbers, ann.id], "451 4.4.1 No answer")

    assert store.write_now(give_up) == 1
    assert store.write_now(give_up) == 0
    assert store.read_now(late) == []
    states = {row["address"]: row["state"] for row in rows_of(store, tables.recipient)}
    assert states == {ANN: "sending", BO: "failed", CY: "ready", DI: "ready"}
    assert rows_of(store, tables.recipient, address=BO)[0]["last_reply"] == "451 4.4.1 No answer"
    mark(store, outcome(ann, State.DELIVERED))
    assert rows_of(store, tables.submission, id=old.id)[0]["finished_ms"] is not None


def test_the_quarantine_lists_and_shows(store):
    expires = store.now() + timedelta(days=30)
    accept(store, submission(ANN, BO, verdicts={ANN: HOLD}, expires=expires))
    (row,) = held(store)
    assert (row.recipient, row.stream, row.reason) == (ANN, "newsletter", "unconfirmed")
    assert to_ms(row.expires_at) == to_ms(expires)
    assert row.held_at <= store.now()
    assert held(store, stream="other") == []
    shown, whole = store.read_now(lambda tx: quarantine.show(tx, row.id))
    assert (shown, whole) == (row, CONTENT)
    with pytest.raises(LookupError):
        store.read_now(lambda tx: quarantine.show(tx, row.id + 1))


def test_a_release_needs_a_reason_and_records_it(store):
    accept(store, submission(ANN, BO, verdicts={ANN: HOLD}))
    (row,) = held(store)
    with pytest.raises(ValueError, match="reason"):
        store.write_now(lambda tx: quarantine.release(tx, [row.id], "  "))
    released = store.write_now(lambda tx: quarantine.release(tx, [row.id, 99], "phoned, said yes"))
    assert released == [row.id]
    (ann,) = (row for row in claim(store) if row.recipient.address.given == ANN)
    assert ann.verdict.reason is Reason.OVERRIDE
    assert (ann.verdict.rule, ann.verdict.note) == ("released", "phoned, said yes")
    assert store.write_now(lambda tx: quarantine.release(tx, [row.id], "again")) == []


def test_a_confirmation_releases_what_it_can_cure(store):
    mismatch = Verdict(Disposition.QUARANTINE, Reason.SENDER_MISMATCH, "sender-mismatch")
    accept(
        store,
        submission(ANN, BO, verdicts={ANN: HOLD, BO: HOLD}),
        submission(ANN, verdicts={ANN: HOLD}, stream="offers"),
        submission(ANN, verdicts={ANN: mismatch}),
    )
    subject = store.write_now(lambda tx: people.ensure_subjects(tx, [parse(ANN)]))[ANN]
    rows = rows_of(store, tables.recipient)
    assert {row["subject"] for row in rows if row["address"] == ANN} == {subject}

    def confirm(tx):
        return quarantine.release_by_confirmation(tx, subject, "newsletter", timedelta(hours=48))

    released = store.write_now(confirm)
    assert released == [rows[0]["id"]]
    (row,) = claim(store)
    assert (row.verdict.reason, row.verdict.rule) == (Reason.CONSENTED, "confirmed-while-held")
    assert store.write_now(confirm) == []


def test_a_confirmation_that_comes_too_late_releases_nothing(store):
    accept(store, submission(ANN, verdicts={ANN: HOLD}))
    (row,) = rows_of(store, tables.recipient)
    long_ago = to_ms(store.now() - timedelta(hours=49))
    change(store, tables.recipient, {"held_ms": long_ago}, id=row["id"])
    late = store.write_now(
        lambda tx: quarantine.release_by_confirmation(
            tx, row["subject"], "newsletter", timedelta(hours=48)
        )
    )
    assert late == []


def test_what_nobody_releases_expires_and_is_dropped(store):
    soon = store.now() + timedelta(hours=1)
    accept(store, submission(ANN, verdicts={ANN: HOLD}, expires=soon),
           submission(BO, verdicts={BO: HOLD}))  # fmt: skip
    assert store.write_now(quarantine.expire) == 0
    change(store, tables.recipient, {"expires_ms": 1}, address=ANN)
    assert store.write_now(quarantine.expire) == 1
    ann, bo = rows_of(store, tables.recipient)
    assert (ann["state"], ann["verdict"], ann["note"]) == ("dropped", "quarantine", "expired")
    assert bo["state"] == "quarantined", "without a time it stays"
    heads = rows_of(store, tables.submission)
    assert sorted(head["finished_ms"] is None for head in heads) == [False, True]


def test_rejected_rows_are_neither_queue_nor_quarantine(store):
    accept(store, submission(ANN, BO, verdicts={ANN: REJECT, BO: DROP}))
    assert (listed(store), held(store)) == ([], [])


def test_what_waits_for_an_upstream_that_is_gone_takes_another(store):
    accept(store, submission(ANN, BO, verdicts={BO: HOLD}),
           submission(CY, verdicts={CY: DROP}), submission(DI, upstream="kept"))  # fmt: skip

    def gone(tx):
        return queue.foreign_upstreams(tx, {"kept", ""})

    assert store.read_now(gone) == ["smarthost"]
    routes = []

    def route_of(stream, sender):
        routes.append((stream, sender))
        return "kept"

    assert store.write_now(lambda tx: queue.reroute(tx, "smarthost", route_of)) == 2
    assert routes == [("newsletter", "acme")]
    assert store.read_now(gone) == []
    assert {row["address"]: row["upstream"] for row in rows_of(store, tables.recipient)} == {
        ANN: "kept", BO: "kept", CY: "smarthost", DI: "kept",
    }  # fmt: skip
    assert [row.recipient.address.given for row in claim(store, upstreams=["kept"])] == [ANN, DI]
