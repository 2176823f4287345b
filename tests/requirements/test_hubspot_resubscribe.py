"""HR-1 … HR-8: coming back after leaving, on the real ledger, rules, pages and commands."""

from datetime import UTC, datetime, timedelta

import pytest

from gatepost.consent.evidence import EventKind, TextState
from gatepost.consent.standing import Suppression
from gatepost.mail.address import parse
from gatepost.store import people
from support.cases import (
    LEFT,
    ago,
    bulk,
    fact,
    granted,
    judge,
    other_kinds,
    person,
    reason,
    returned,
)
from support.command import Site
from support.site import served
from support.visiting import visiting

ANNA = "anna@kund.example"


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    made.add_source()
    return made


def test_hr_1_who_left_stays_away_until_they_come_back():
    """HR-1: no newer list entry by others brings anybody back."""
    assert reason(person(granted(), LEFT)) == "withdrawn"
    assert reason(person(granted(), LEFT, granted(days=1, actor="import"))) == "withdrawn"
    assert reason(person(granted(), LEFT, returned(1))) == "consented"


def test_hr_2_other_mail_still_passes():
    """HR-2: one to one, transactional and service mail."""
    gone = person(LEFT, suppressions=[Suppression("bulk", "unsubscribed", ago(3))])
    assert not judge(gone).delivers
    assert all(judge(gone, stream).delivers for stream in other_kinds())


def test_hr_3_an_opt_out_belongs_to_the_address(site):
    """HR-3, E3: in every spelling of it, and to no other; consent moves with nobody."""
    site.grant(ANNA)
    site.ok("consent", "withdraw", ANNA, "--stream", "newsletter")
    assert site.standing("ANNA@Kund.EXAMPLE")["reason"] == "withdrawn"
    assert site.standing("anna.new@kund.example")["reason"] == "no-consent"
    site.grant("anna.new@kund.example")
    assert site.standing("anna.new@kund.example")["reason"] == "consented"
    assert site.standing(ANNA)["reason"] == "withdrawn"


def test_hr_4_staff_needs_basis_explanation_and_newer_evidence(site):
    """HR-4, E5, X6."""
    site.grant(ANNA, "--at", "2024-01-01")
    site.ok("consent", "withdraw", ANNA, "--stream", "newsletter")
    without = site.grant(ANNA)
    assert without.status == 1
    assert "--explanation" in without.err
    old = site.grant(ANNA, "--explanation", "signed a form", "--at", "2024-02-01")
    assert old.status == 1
    assert site.standing(ANNA)["reason"] == "withdrawn"
    missing = site.run(
        "consent", "grant", ANNA, "--source", "web", "--stream", "newsletter",
        "--explanation", "signed a form",
    )  # fmt: skip
    assert missing.status == 2
    assert "--basis is required" in missing.err
    weak = site.grant(ANNA, "--explanation", "bought shoes", basis="purchase")
    assert weak.status == 1
    assert site.standing(ANNA)["reason"] == "withdrawn"
    assert site.grant(ANNA, "--explanation", "signed a form in the shop").status == 0
    assert site.standing(ANNA)["reason"] == "consented"


@pytest.mark.parametrize("why", ["complaint", "hard-bounce", "manual"])
def test_hr_4_staff_lifts_no_complaint_and_no_bounce(why):
    """HR-4, HR-8, E4: only the person, or mail that arrives."""
    back = returned(1, actor="staff", explanation="called us")
    scope = "bulk" if why == "complaint" else "all"
    someone = person(granted(), back, suppressions=[Suppression(scope, why, ago(3))])
    assert reason(someone) == "suppressed"


async def test_hr_5_the_link_of_an_old_mail_opens_the_way_back(tmp_path):
    """HR-5: it works for ever, also after leaving, and saving resubscribes."""
    async with served(tmp_path) as web, visiting(web.url) as client:
        subject = await web.subscribe("anna@example.org", "newsletter")
        link = f"/p/{web.token(subject, purpose='p')}"
        await client.post(f"/u/{web.token(subject)}")
        assert (await client.get(link)).status_code == 200
        form = {"action": "save", "shown": ["newsletter"], "on": ["newsletter"]}
        assert (await client.post(link, data=form)).status_code == 200
        (back,) = await web.facts(subject, EventKind.RESUBSCRIBED)
        assert (back.actor, back.stream) == ("recipient", "newsletter")


async def test_hr_6_the_form_lists_what_the_sender_offers(tmp_path):
    """HR-6: every bulk stream of the sender, and nobody else's."""
    async with served(tmp_path) as web, visiting(web.url) as client:
        subject = await web.subscribe("anna@example.org", "newsletter")
        page = (await client.get(f"/p/{web.token(subject, purpose='p')}")).text
        for title in ("Monthly newsletter", "Events &amp; fairs", "Letter to members"):
            assert title in page
        assert "Of somebody else" not in page


async def test_hr_7_exactly_what_is_selected_becomes_subscribed(tmp_path):
    """HR-7, E2: also after unsubscribing from everything, which stays on record."""
    async with served(tmp_path) as web, visiting(web.url) as client:
        subject = await web.subscribe("anna@example.org", "newsletter", "events")
        link = f"/p/{web.token(subject, purpose='p')}"
        await client.post(link, data={"action": "nothing"})
        form = {"action": "save", "shown": ["newsletter", "events"], "on": ["events"]}
        await client.post(link, data=form)
        history = await web.history(subject)
        assert [one.reason for one in history.suppressions] == ["unsubscribed"]

        def judged(tx, stream):
            found = people.look_up_subjects(tx, [subject], stream, "acme")[subject]
            return judge(found, bulk(), now=tx.now + timedelta(days=365)).reason.value

        assert await web.store.read(lambda tx: judged(tx, "events")) == "consented"
        assert await web.store.read(lambda tx: judged(tx, "newsletter")) == "suppressed"


def test_hr_8_staff_works_singly_and_in_bulk_under_the_same_rule(site):
    """HR-8: each row of a file obeys HR-4."""
    people_gone = [f"p{number}@kund.example" for number in range(3)]
    for address in people_gone:
        site.grant(address, "--at", "2024-01-01")
        site.ok("consent", "withdraw", address, "--stream", "newsletter")
    file = site.file(
        "back.csv",
        "address,basis,event_at,explanation\n"
        f"{people_gone[0]},form-checkbox,{_now()},signed again at the counter\n"
        f"{people_gone[1]},form-checkbox,{_now()},\n"
        f"{people_gone[2]},form-checkbox,2024-02-01,signed long ago\n",
    )
    answer = site.run("consent", "import", file, "--source", "web", "--stream", "newsletter")
    assert answer.status == 1
    reasons = [site.standing(address)["reason"] for address in people_gone]
    assert reasons == ["consented", "withdrawn", "withdrawn"]


def test_hr_8_leaving_in_bulk_is_a_file_too(site):
    """HR-8: the status of many is set to no in one go."""
    for address in ("a@kund.example", "b@kund.example"):
        site.grant(address)
    file = site.file("left.csv", "address,withdrawn_at\na@kund.example,2026-01-01\n")
    site.ok("consent", "import", file, "--source", "web", "--stream", "newsletter")
    found = site.run("consent", "show", "a@kund.example", "--json").json
    assert "withdrawn" in [one["kind"] for one in found["events"]]
    assert parse("a@kund.example").key == "a@kund.example"


def test_hr_7_a_return_to_one_stream_leaves_the_others_as_they_were():
    """HR-7: a return counts for its own stream."""
    gone = Suppression("bulk", "unsubscribed", ago(3))
    came = person(granted(), returned(1), suppressions=[gone])
    other = person(granted(), suppressions=[gone])
    assert reason(came) == "consented"
    assert reason(other) == "suppressed"
    unproven = fact("resubscribed", 1, actor="staff", basis="form-checkbox", explanation="x")
    assert unproven.text_state is TextState.NONE
    assert reason(person(granted(), unproven, suppressions=[gone])) == "suppressed"


def _now():
    return (datetime.now(UTC) - timedelta(milliseconds=5)).isoformat(timespec="milliseconds")
