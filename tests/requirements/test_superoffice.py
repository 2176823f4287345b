"""SO-1 … SO-15: subscription types, on the real ledger, rules, pages and commands."""

import csv

import pytest

from gatepost.app.texts import Texts
from gatepost.config import load, to_senders
from gatepost.consent.standing import Suppression
from gatepost.mail.stream import Kind, Stream
from support.cases import LEFT, ago, bulk, granted, judge, person, reason
from support.command import CONFIG, Site
from support.site import served
from support.treatments import message
from support.visiting import visiting

ANNA = "anna@kund.example"
LETTER = message(b"Hello there\r\n", "text/plain; charset=utf-8", "7bit")


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    made.add_source()
    return made


def check(site, *addresses, stream="newsletter", words=()):
    """Each address with its reason, by the check before a mailing."""
    file = site.file("list.txt", "\n".join(addresses) + "\n")
    answer = site.run("audience", "check", "--stream", stream, file, "--json", *words)
    return {row["address"]: row["reason"] for row in answer.json}


def test_so_1_yes_or_no_is_stored_for_each_type(site):
    """SO-1; neither yes nor no is no (D1)."""
    site.grant(ANNA)
    shown = site.run("consent", "show", ANNA, "--json").json
    assert {one["stream"]: one["reason"] for one in shown["standings"]} == {
        "newsletter": "consented", "club": "no-consent",
    }  # fmt: skip


def test_so_2_the_list_of_the_eligible_holds_those_who_said_yes(site):
    """SO-2."""
    site.grant(ANNA)
    site.grant("club@kund.example", stream="club")
    eligible = site.folder / "eligible.csv"
    check(site, ANNA, "club@kund.example", "x@kund.example", words=("--eligible", eligible))
    with eligible.open(encoding="utf-8", newline="") as file:
        assert [row["address"] for row in csv.DictReader(file)] == [ANNA]


@pytest.mark.parametrize("words", [(), ("--stream", "nothing-of-ours")])
def test_so_3_a_mailing_without_a_declared_type_goes_nowhere(site, words):
    """SO-3: also what claims to be no mass mailing and looks like one."""
    file = site.file("list.txt", f"{ANNA}\n")
    assert site.run("audience", "check", *words, file).status == 2
    receipts = Stream(name="receipts", kind=Kind.TRANSACTIONAL, sender="acme")
    verdict = judge(stream=receipts, undeclared_bulk=True)
    assert (verdict.disposition.value, verdict.reason.value) == ("quarantine", "undeclared-bulk")


def test_so_4_each_recipient_is_checked_wherever_the_list_comes_from(site):
    """SO-4: a list that was put together for something else helps nobody onto this one."""
    site.grant("club@kund.example", stream="club")
    site.grant(ANNA)
    assert check(site, ANNA, "club@kund.example", "new@kund.example") == {
        ANNA: "consented", "club@kund.example": "no-consent", "new@kund.example": "no-consent",
    }  # fmt: skip


def test_so_5_a_report_says_of_each_recipient_who_consented(site):
    """SO-5: with counts by reason for people."""
    site.grant(ANNA)
    file = site.file("list.txt", f"{ANNA}\nx@kund.example\n")
    answer = site.run("audience", "check", "--stream", "newsletter", file)
    for words in (f"{ANNA}  ", "consented", "x@kund.example", "no-consent"):
        assert words in answer.out


def test_so_6_both_the_sender_and_the_type_must_be_wanted():
    """SO-6: a yes to the type is nothing after a no to all e-marketing."""
    everything = Suppression("bulk", "unsubscribed", ago(2))
    assert reason(person(granted())) == "consented"
    assert reason(person(granted(), suppressions=[everything])) == "suppressed"
    assert reason(person(granted(), LEFT)) == "withdrawn"


def test_so_7_an_override_has_its_limits():
    """SO-7, D2: with a written reason, and never past what the person or the law forbids."""
    verdict = judge(person(LEFT), override="product recall, case 17")
    assert (verdict.reason.value, verdict.note) == ("override", "product recall, case 17")
    for scope, why in (
        ("bulk", "unsubscribed"), ("bulk", "complaint"), ("all", "hard-bounce"), ("all", "erased"),
    ):  # fmt: skip
        stopped = person(granted(), suppressions=[Suppression(scope, why, ago(2))])
        assert not judge(stopped, override="recall").delivers
    assert not judge(person(granted(), erased_at=ago(1)), override="recall").delivers


def test_so_8_there_is_no_off_only_observing():
    """SO-8, D3: withdrawals and suppressions hold there, too, and what is missing is noted."""
    observing = bulk(observe=True)
    verdict = judge(stream=observing)
    assert (verdict.reason.value, verdict.note) == ("observed", "no-consent")
    assert reason(person(LEFT), observing) == "withdrawn"
    assert reason(person(suppressions=[Suppression("bulk", "complaint", ago(2))]), observing) == (
        "suppressed"
    )


async def test_so_9_no_door_switches_it(tmp_path):
    """SO-9: the mode is set in the administrator's file; pages and API have no way to it."""
    (tmp_path / "off.toml").write_text(CONFIG.replace('title = "Mon', 'mode = "off"\ntitle = "Mon'))
    with pytest.raises(Exception, match="observe"):
        load(tmp_path / "off.toml", {})
    async with served(tmp_path) as web, visiting() as client:
        for port in (web.port, web.admin_port):
            for method in ("POST", "PUT", "PATCH"):
                url = f"http://127.0.0.1:{port}/api/v1/streams/newsletter"
                answer = await client.request(method, url, json={"mode": "observe"})
                assert answer.status_code in {401, 403, 404, 405}


@pytest.mark.parametrize("language", ["en", "sv", "da", "de", "nb"])
def test_so_10_every_bulk_mail_has_an_unsubscribe_link(site, language):
    """SO-10: whatever the mailer wrote; each footer in each language has one."""
    file = site.file("letter.eml", LETTER)
    site.grant(ANNA)
    shown = site.octets("preview", file, "--stream", "newsletter", "--to", ANNA)
    assert b"List-Unsubscribe: <https://mail.example.org/u/" in shown
    assert shown.count(b"https://mail.example.org/u/") >= 2  # header and body
    footer = Texts().footer(bulk(), to_senders(load(site.config, {}))["acme"], language)
    assert "{{unsubscribe_url}}" in footer.text
    assert "{{unsubscribe_url}}" in footer.html


async def test_so_11_the_page_saves_when_the_person_confirms(tmp_path):
    """SO-11: looking changes nothing, one press saves."""
    async with served(tmp_path) as web, visiting(web.url) as client:
        subject = await web.subscribe("anna@example.org", "newsletter")
        link = f"/p/{web.token(subject, purpose='p')}"
        before = len((await web.history(subject)).events)
        await client.get(link)
        assert len((await web.history(subject)).events) == before
        form = {"action": "save", "shown": ["newsletter", "events"], "on": ["events"]}
        assert "Saved." in (await client.post(link, data=form)).text
        assert len((await web.history(subject)).events) > before


async def test_so_12_who_was_just_added_can_choose_at_once(tmp_path):
    """SO-12: and later by the link in every mail."""
    async with served(tmp_path) as web, visiting(web.url) as client:
        subject = await web.subscribe("new@example.org")  # known, and nothing else
        page = await client.get(f"/p/{web.token(subject, purpose='p')}")
        assert page.status_code == 200
        assert "Monthly newsletter" in page.text


async def test_so_13_leaving_one_interest_is_not_leaving_everything(tmp_path):
    """SO-13, D4: by a page with one button; opening the link changes nothing."""
    async with served(tmp_path) as web, visiting(web.url) as client:
        subject = await web.subscribe("anna@example.org", "newsletter", "events")
        link = f"/u/{web.token(subject)}"
        await client.get(link)
        assert web.withdrawn == []
        await client.post(link)
        assert web.withdrawn == [(subject, "acme", "newsletter")]
        assert not (await web.history(subject)).suppressions


async def test_so_14_the_link_to_choose_by_is_mailed_on_demand(tmp_path):
    """SO-14: the same neutral answer whether somebody is known or not."""
    async with served(tmp_path, letters=True) as web, visiting(web.url) as client:
        await web.subscribe("anna@example.org", "newsletter")
        answers = []
        for address in ("anna@example.org", "nobody@example.org"):
            answer = await client.post("/manage", data={"sender": "acme", "address": address})
            answers.append((answer.status_code, answer.text.replace(address, "")))
        assert answers[0] == answers[1]
        assert answers[0][0] == 200
        (letter,) = await web.mailed()
        assert b"/p/" in letter.replace(b"=\r\n", b"")


def test_so_15_consent_is_documented_before_the_first_mail(site):
    """SO-15: not by the mail, and not after it."""
    assert check(site, ANNA) == {ANNA: "no-consent"}
    site.grant(ANNA)
    dossier = site.folder / "anna.json"
    site.ok("consent", "dossier", ANNA, "-o", dossier)
    assert '"form-checkbox"' in dossier.read_text("utf-8")
    assert reason(person(granted(0))) == "no-consent"
