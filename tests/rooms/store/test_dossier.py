"""Gathering a dossier, on each engine: mail on each consent, seals, questions and answers."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gatepost.consent.dossier import Seal
from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.questions import QUESTIONS, Code, answers
from gatepost.mail.address import parse
from gatepost.mail.duration import Duration
from gatepost.mail.recipient_state import State
from gatepost.store import dossier, ledger, people, sources, uses
from gatepost.store.recording import UnknownSubject
from gatepost.store.tables import mail as tables
from gatepost.store.tables.ledger import block, event
from support.submissions import SINCE, accept, change, claim, mark, outcome, rows_of, submission

ANNA = parse("anna@example.org")
TERM = Duration(months=24)


def fact(kind, at=SINCE, **more):
    told = {"sender": "acme", "stream": "newsletter"} | more
    return Fact(kind=EventKind(kind), at=at, **told)


def signed_up(**more):
    return fact(
        "granted",
        **{
            "basis": "form-checkbox", "source": "web", "text_version": "1", "actor": "recipient",
            "method": "form", "text_state": TextState.VALID,
        }
        | more,
    )  # fmt: skip


def record(store, *facts, seal=True):
    subject = store.write_now(lambda tx: people.record(tx, ANNA, facts))
    if seal:
        while store.write_now(ledger.seal):
            pass
    return subject


def read(store, subject, sender=""):
    return store.read_now(lambda tx: dossier.gather(tx, subject, sender=sender, kept_for=TERM))


def send(store, subject, *, state=State.DELIVERED, **more):
    accept(store, submission(ANNA.given, **more))
    for row in rows_of(store, tables.recipient, address=ANNA.given):
        change(store, tables.recipient, {"subject": subject}, id=row["id"])
    mark(store, *(outcome(row, state) for row in claim(store)))


def asked(found, place=0):
    """What the record says, by question."""
    consent = found.consents[place]
    return {answer.question: answer for answer in answers(consent, found)}


def values(answer):
    return {part.label: part.value for part in answer.parts}


def test_mail_is_counted_on_the_consent_it_rests_on_and_no_other(store):
    """JU-23: every consent says how often and when last it was used."""
    subject = record(store, signed_up(), signed_up(at=SINCE - timedelta(days=9), basis="written"))
    send(store, subject)
    send(store, subject, state=State.FAILED)
    older, newer = (values(asked(read(store, subject), place)["used"]) for place in (0, 1))
    assert older == {"": Code("never-used")}
    assert newer["copies"] == 1
    store.write_now(uses.gather)
    found = read(store, subject)
    assert values(asked(found, 1)["used"]) == newer
    assert [one.outcome for one in found.consents[1].sent] == ["delivered", "failed"]
    assert found.loose_uses == ()
    assert values(asked(found, 1)["kept-until"])[""] == TERM.after(newer["last-mail"])


def test_mail_on_a_confirmed_sign_up_rests_on_the_confirmation(store):
    """JU-17: the consent took effect when it was confirmed."""
    asking = signed_up(at=SINCE - timedelta(hours=1), basis="double-opt-in")
    subject = record(
        store,
        replace(asking, kind=EventKind.REQUESTED),
        fact("confirmed", source="web", ip="192.0.2.9", user_agent="Phone"),
    )
    send(store, subject)
    found = read(store, subject)
    said = asked(found)
    assert values(said["type"]) == {"": Code("double-opt-in")}
    assert values(said["confirmed"]) == {"": SINCE, "ip": "192.0.2.9", "user-agent": "Phone"}
    assert values(said["used"])["copies"] == 1


def test_mail_that_rests_on_no_consent_on_record_is_told_apart(store):
    subject = record(store, signed_up(at=SINCE - timedelta(days=1)))
    send(store, subject)
    found = read(store, subject)
    assert found.consents[0].uses == ()
    assert [use.copies for use in found.loose_uses] == [1]
    assert len(found.other_mail) == 1


def test_complaint_questions_are_answered_or_told_as_missing(store):
    """WP-6, WP-7, WP-8, JU-21, JU-22: every question has an answer, or says that there is none."""

    def add(tx):
        sources.add_source(tx, "web", sender="acme", kind="form", url="https://acme.example/s")
        sources.add_text(tx, "web", "Yes, I want the newsletter of acme.")

    store.write_now(add)
    subject = record(
        store,
        signed_up(url="https://acme.example/s?x=1", ip="192.0.2.1", user_agent="Browser"),
        fact("granted", basis="customer", bought=True, informed=True),
    )
    found = read(store, subject)
    form, customer = asked(found, 0), asked(found, 1)
    assert set(form) == {name for name, _, _ in QUESTIONS}
    assert values(form["when"])["act"] == SINCE
    assert values(form["how"])["source-kind"] == Code("source-form")
    assert form["third-party"].parts[0].value is False
    assert values(form["newsletter"]) == {"": True}
    assert values(form["customer"])["relation"] == Code("basis-customer")
    assert values(form["page"])["page-of-act"] == "https://acme.example/s?x=1"
    assert values(form["ip"])["ip"] == "192.0.2.1"
    assert values(form["type"]) == {"": Code("single-opt-in")}
    assert values(form["form"])["event"] == found.consents[0].entry.id
    assert values(form["terms"])[""] == "Yes, I want the newsletter of acme."
    assert form["picture"].is_missing
    assert not form["relation"].applies
    assert values(customer["relation"]) == {
        "relation": Code("basis-customer"), "bought": True, "informed": True, "could-decline": None,
    }  # fmt: skip
    assert customer["terms"].is_missing
    assert customer["third-party"].is_missing
    assert values(customer["newsletter"]) == {"": False}


@pytest.mark.parametrize(
    ("basis", "third"), [("purchased-list", True), ("organiser-list", True), ("written", None)]
)
def test_a_third_party_is_told_by_the_basis(store, basis, third):
    """WP-6: whether a third party was used."""
    found = read(store, record(store, fact("granted", basis=basis)))
    assert asked(found)["third-party"].parts[0].value is third


def test_every_event_says_whether_its_seal_holds(store):
    subject = record(store, signed_up())
    record(store, fact("withdrawn"), seal=False)
    assert [one.seal for one in read(store, subject).entries] == [Seal.HOLDS, Seal.WAITING]


def test_a_changed_event_and_a_broken_link_are_seen(store):
    """Promise 5: the dossier proves nothing that the chain does not vouch for."""
    subject = record(store, signed_up())
    record(store, fact("withdrawn", SINCE + timedelta(days=1)))
    record(store, fact("engaged", SINCE + timedelta(days=2)))
    first, second, third = [one.block for one in read(store, subject).entries]
    store.write_now(
        lambda tx: tx.connection.execute(
            block.update().where(block.c.height == third).values(previous=b"\x01" * 32)
        )
    )
    seals = [one.seal for one in read(store, subject).entries]
    assert seals == [Seal.HOLDS, Seal.HOLDS, Seal.BROKEN]
    store.write_now(
        lambda tx: tx.connection.execute(
            event.update().where(event.c.block == first).values(recorded_ms=1)
        )
    )
    assert read(store, subject).entries[0].seal is Seal.BROKEN
    assert read(store, subject).entries[1].seal is Seal.HOLDS
    store.write_now(
        lambda tx: tx.connection.execute(block.delete().where(block.c.height == second))
    )
    seals = [one.seal for one in read(store, subject).entries]
    assert seals == [Seal.BROKEN, Seal.BROKEN, Seal.BROKEN]


def test_one_senders_dossier_holds_nothing_of_another(store):
    subject = record(
        store, signed_up(), signed_up(sender="other", stream="foreign"),
        fact("withdrawn", sender="other", stream=""), fact("bounced", sender="", stream="",
        suppression="hard-bounce", scope="all"),
    )  # fmt: skip
    found = read(store, subject, "acme")
    assert {one.fact.sender for one in found.entries} == {"acme", ""}
    assert {one.sender for one in found.blocked} == {""}
    assert len(read(store, subject).entries) == 4


def test_what_was_erased_is_told_but_not_what_it_said(store):
    subject = record(
        store, signed_up(), fact("engaged"),
        Fact(kind=EventKind.ERASED, at=SINCE, rule="request", extent="all"),
    )  # fmt: skip
    found = read(store, subject)
    assert found.address == ""
    assert found.consents == ()
    assert [one.kind.value for one in found.entries][:3] == ["granted", "engaged", "erased"]
    assert found.entries[0].fact is None
    assert found.is_intact
    assert read(store, subject, "acme").left_out == 2


def test_strangers(store):
    assert store.read_now(lambda tx: dossier.find(tx, ANNA)) is None
    found = store.read_now(lambda tx: dossier.nothing_held(tx, ANNA))
    assert not found.is_known
    with pytest.raises(UnknownSubject):
        read(store, 12345)
