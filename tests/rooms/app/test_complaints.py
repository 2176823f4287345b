"""Complaint cases over time: when the clock starts, runs out, and what follows (WP-14, C2)."""

import asyncio
import os
from datetime import timedelta
from email import message_from_bytes, policy

import pytest

from gatepost.app.complaints import Complaints
from gatepost.app.erasure import Eraser
from gatepost.app.retention import Retention
from gatepost.app.wiring import wire
from gatepost.config import load
from gatepost.consent.retention import Terms
from gatepost.mail.address import parse
from gatepost.mail.recipient_state import State
from gatepost.store import campaigns, clock, complaint_cases, people, removal
from gatepost.store.complaint_cases import CaseAnswered, CaseClosed
from gatepost.store.returned import Copy
from gatepost.store.tables import mail as tables
from gatepost.store.tables.complaints import complaint_case
from support.command import CONFIG
from support.submissions import accept, claim, mark, outcome, rows_of, submission

ANNA, BO = "anna@kund.example", "bo@kund.example"
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def wired(folder, more=""):
    (folder / "config.toml").write_text(CONFIG + more)
    wiring = wire(load(folder / "config.toml", os.environ))
    return lambda: wiring


@pytest.fixture
def later(store, monkeypatch):
    """Moves the store's clock so far from now on."""
    start = store.now()

    def move(by):
        monkeypatch.setattr(clock.Clock, "now", lambda _self: start + by)

    move(timedelta(0))
    return move


def complain(store, address, *, sender="acme", mailed=0, notice=None):
    """A case of `address`; `notice` is the submission that tells the contact."""

    def record(tx):
        subject = people.ensure_subjects(tx, [parse(address)])[parse(address).key]
        case = complaint_cases.open_or_join(
            tx, Copy(subject, sender, mailed), "newsletter", "abuse"
        )
        if notice is not None:
            complaint_cases.tell(tx, case, notice)
        return case

    return store.write_now(record)


def shown(store, number):
    return store.read_now(lambda tx: complaint_cases.find(tx, number))


def answer(store, number, words="taken out"):
    store.write_now(lambda tx: complaint_cases.answer(tx, number, words))


def close(store, number, words="done"):
    store.write_now(lambda tx: complaint_cases.close(tx, number, words))


def frozen(store):
    return store.read_now(campaigns.frozen_senders)


def letters(store):
    contents = {row["submission"]: row["data"] for row in rows_of(store, tables.content)}
    return [
        (row["address"], message_from_bytes(contents[row["submission"]], policy=policy.default))
        for row in rows_of(store, tables.recipient)
        if row["address"].startswith("kontakt@")
    ]


async def test_the_clock_starts_with_the_delivery_of_the_notice(store, tmp_path, later):
    watch = Complaints(store, wired(tmp_path)).watch
    (notice,) = accept(store, submission("office@acme.example", campaign=None))
    number = complain(store, ANNA, notice=notice.submission)
    await watch()
    assert shown(store, number).state == "notice-underway"
    later(2 * DAY)
    await watch()
    assert frozen(store) == set()
    mark(store, *[outcome(row, State.DELIVERED) for row in claim(store)])
    await watch()
    case = shown(store, number)
    assert (case.state, case.noticed_at) == ("waiting", case.received_at + 2 * DAY)
    later(3 * DAY - MINUTE)
    await watch()
    assert frozen(store) == set()
    later(3 * DAY)
    await watch()
    assert frozen(store) == {"acme"}
    assert shown(store, number).state == "expired"


async def test_a_notice_that_cannot_be_delivered_starts_it_as_well(store, tmp_path):
    (notice,) = accept(store, submission("office@acme.example", campaign=None))
    number = complain(store, ANNA, notice=notice.submission)
    mark(store, *[outcome(row, State.FAILED, "550 5.1.1 nobody") for row in claim(store)])
    await Complaints(store, wired(tmp_path)).watch()
    assert shown(store, number).state == "waiting"


async def test_a_notice_that_is_gone_starts_it_as_well(store, tmp_path):
    number = complain(store, ANNA, notice=4711)
    await Complaints(store, wired(tmp_path)).watch()
    assert shown(store, number).state == "waiting"


async def test_the_contact_is_told_once_what_happened_and_what_to_do(store, tmp_path, later):
    watch = Complaints(store, wired(tmp_path)).watch
    cases = [complain(store, ANNA), complain(store, BO)]
    later(DAY)
    await watch()
    await watch()
    ((to, letter),) = letters(store)
    assert to == "kontakt@acme.example"
    assert letter["Subject"] == f"acme is frozen: complaint cases {cases[0]}, {cases[1]}"
    assert letter["Auto-Submitted"] == "auto-generated"
    words = letter.get_content()
    assert f"gatepost complaint answer {cases[0]} " in words
    assert "gatepost sender thaw acme" in words
    assert "within 1 day" in words
    (state,) = rows_of(store, tables.sender_state)
    assert state["note"] == f"not answered in time: complaint cases {cases[0]}, {cases[1]}"


async def test_a_thaw_is_not_undone_by_the_same_case_but_by_another(store, tmp_path, later):
    watch = Complaints(store, wired(tmp_path)).watch
    complain(store, ANNA)
    later(DAY)
    await watch()
    store.write_now(lambda tx: campaigns.thaw(tx, "acme"))
    later(5 * DAY)
    await watch()
    assert frozen(store) == set()
    complain(store, BO)
    later(6 * DAY)
    await watch()
    assert frozen(store) == {"acme"}


@pytest.mark.parametrize("settle", [answer, close])
async def test_an_answer_or_a_close_stops_the_clock(store, tmp_path, later, settle):
    number = complain(store, ANNA)
    settle(store, number)
    later(2 * DAY)
    await Complaints(store, wired(tmp_path)).watch()
    assert frozen(store) == set()
    assert shown(store, number).expired_at is None


async def test_whoever_is_frozen_stays_so_with_the_note_it_has(store, tmp_path, later):
    store.write_now(lambda tx: campaigns.freeze(tx, "acme", "by hand"))
    complain(store, ANNA)
    later(DAY)
    await Complaints(store, wired(tmp_path)).watch()
    (state,) = rows_of(store, tables.sender_state)
    assert state["note"] == "by hand"
    assert letters(store) == []


async def test_freezing_can_be_switched_off(store, tmp_path, later):
    more = '\n[complaints]\nfreeze_unanswered = false\nanswer_within = "2 h"\n'
    number = complain(store, ANNA)
    later(timedelta(hours=2))
    await Complaints(store, wired(tmp_path, more)).watch()
    assert shown(store, number).state == "expired"
    assert frozen(store) == set()
    await Complaints(store, wired(tmp_path)).watch()  # no surprise when it is switched on
    assert frozen(store) == set()


async def test_a_sender_that_is_not_configured_any_more_is_frozen_without_a_mail(
    store, tmp_path, later
):
    complain(store, ANNA, sender="gone")
    later(DAY)
    await Complaints(store, wired(tmp_path)).watch()
    assert frozen(store) == {"gone"}
    assert rows_of(store, tables.recipient) == []


def test_a_case_knows_its_campaign(store):
    (mailing,) = accept(store, submission(ANNA))
    case = shown(store, complain(store, ANNA, mailed=mailing.submission))
    assert case.campaign == rows_of(store, tables.campaign)[0]["id"]


def test_what_is_settled_is_not_settled_again(store):
    number = complain(store, ANNA)
    answer(store, number, "first\0")
    with pytest.raises(CaseAnswered, match=f"case {number} has an answer"):
        answer(store, number)
    close(store, number, "second")
    for again in (answer, close):
        with pytest.raises(CaseClosed, match=f"case {number} is closed"):
            again(store, number)
        with pytest.raises(LookupError, match="no complaint case 4711"):
            again(store, 4711)
    case = shown(store, number)
    assert (case.answer, case.closing, case.state) == ("first\ufffd", "second", "closed")


def test_closed_cases_go_with_the_term_of_campaigns_and_open_ones_stay(store, tmp_path, later):
    wiring = wired(tmp_path)()
    old, still = complain(store, ANNA), complain(store, BO)
    close(store, old)
    later(timedelta(days=800))
    retention = Retention(store, wiring.settings, wiring.policy.bases)
    for report in (retention.preview(), retention.run()):
        assert {step.what: step.count for step in report.steps}["complaint cases"] == 1
    assert [row["id"] for row in rows_of(store, complaint_case)] == [still]


def test_an_erasure_blanks_words_with_the_address(store, tmp_path):
    wiring = wired(tmp_path)()
    number, other = complain(store, ANNA), complain(store, BO)
    answer(store, number, f"{ANNA} was told")
    close(store, number, f"wrote to {ANNA}")
    answer(store, other, f"{BO} was told")
    kept = wiring.settings.retention
    terms = Terms(evidence=kept.evidence, unconfirmed=kept.unconfirmed)
    Eraser(store, terms, wiring.policy.bases).erase(parse(ANNA))
    assert (shown(store, number).answer, shown(store, number).closing) == ("", "")
    assert shown(store, number).address == ""
    assert shown(store, other).answer == f"{BO} was told"


async def test_two_gateways_freeze_and_tell_once(store, tmp_path, later):
    wiring = wired(tmp_path)
    complain(store, ANNA)
    later(DAY)
    await asyncio.gather(*(Complaints(store, wiring).watch() for _ in range(2)))
    assert frozen(store) == {"acme"}
    assert len(letters(store)) == 1


def test_cases_go_with_their_sender(store):
    complain(store, ANNA)
    complain(store, ANNA, sender="other")
    store.write_now(lambda tx: removal.remove_rest(tx, "acme"))
    assert [row["sender"] for row in rows_of(store, complaint_case)] == ["other"]
