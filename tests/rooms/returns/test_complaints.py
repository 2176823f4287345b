"""Complaints over the wire, and mail that only a person understands (RA-1, RA-3, RA-6)."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes

import pytest

from gatepost.consent.evidence import EventKind
from gatepost.consent.tokens import Purpose
from gatepost.mail.letters import forwarded
from gatepost.store import complaint_cases
from gatepost.store.ids import to_text
from gatepost.store.spool import PUT
from support.reports import LETTER, arf, dsn, lines, original
from support.returning import ACME, station
from support.submissions import submission

pytestmark = pytest.mark.both_engines

FBL = "fbl@bounce.acme.example"
ABUSE = "abuse@bounce.acme.example"


@pytest.fixture
async def here(tmp_path):
    async with station(tmp_path) as opened:
        yield opened


def link(here, subject):
    return here.token(subject, Purpose.UNSUBSCRIBE, submission=77)


@pytest.mark.parametrize(
    "to",
    [FBL, "complaints@bounce.acme.example", ABUSE, "postmaster@relay.example.org", "Postmaster"],
)
async def test_a_report_ends_the_senders_bulk_mail(here, to):
    anna = here.person()
    reply = await here.send(arf(original(unsubscribe=link(here, anna))), to)
    assert reply.status == "250 2.0.0"
    assert here.suppressions(anna) == [("acme", "bulk", "complaint")]
    (fact,) = here.facts(anna)
    assert (fact.kind, fact.actor, fact.method, fact.note) == (
        EventKind.COMPLAINED, "recipient", "feedback", "abuse",
    )  # fmt: skip
    assert here.ended == [(anna, "acme", "")]


@pytest.mark.parametrize("purpose", [Purpose.BOUNCE, Purpose.MAILTO])
async def test_any_mark_on_the_copy_will_do(here, purpose):
    anna = here.person()
    copy = original(return_path=f"{here.token(anna, purpose)}@bounce.acme.example")
    await here.send(arf(copy), FBL)
    assert here.suppressions(anna)


async def test_a_report_at_the_return_path(here):
    anna = here.person()
    await here.send(arf(original()), here.return_path(anna))
    assert here.suppressions(anna) == [("acme", "bulk", "complaint")]


async def test_a_report_ends_the_mail_of_who_sent_that_copy(tmp_path):
    """The stream is another sender's since: that one's mailing is left, no more."""
    senders = {"acme": ACME, "beta": replace(ACME, name="beta", contact="hej@beta.example")}
    async with station(tmp_path, senders=senders) as here:
        anna = here.person()
        ours = submission("anna@example.org", sender="beta", campaign=None)
        await here.store.batch(PUT, ours)
        mark = here.token(anna, Purpose.UNSUBSCRIBE, submission=ours.id)
        for _ in range(2):
            await here.send(arf(original(unsubscribe=mark)), FBL)
        assert here.suppressions(anna) == [("beta", "bulk", "complaint")]
        assert [(fact.kind, fact.sender, fact.stream) for fact in here.facts(anna)] == [
            (EventKind.WITHDRAWN, "acme", "newsletter"),
            (EventKind.COMPLAINED, "beta", ""),
        ]
        assert set(here.ended) == {(anna, "beta", ""), (anna, "acme", "newsletter")}
        assert [to for to, _ in here.letters()] == ["anna@example.org", "hej@beta.example"]


async def test_the_same_report_counts_once(here):
    anna = here.person()
    for _ in range(3):
        await here.send(arf(original(unsubscribe=link(here, anna))), FBL)
    assert len(here.facts(anna)) == 1


async def test_an_attached_copy_is_a_complaint_where_only_programs_write(here):
    anna = here.person()
    content = lines(f"""
From: staff@isp.example
Subject: complaint
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: message/rfc822

{original(unsubscribe=link(here, anna))}
--b--
""")
    await here.send(content, ABUSE, mail_from="bo@example.org")
    assert here.facts(anna) == []
    assert len(here.letters()) == 1
    await here.send(content, FBL)
    assert here.suppressions(anna)


async def test_praise_changes_nothing(here):
    anna = here.person()
    await here.send(arf(original(unsubscribe=link(here, anna)), kind="not-spam"), FBL)
    assert here.facts(anna) == []
    assert here.letters() == []


@pytest.mark.parametrize("kind", ["other", "auth-failure", "x-unheard-of"])
async def test_unknown_types_are_for_people(here, kind):
    """RFC 6650 §4.5."""
    anna = here.person()
    reply = await here.send(arf(original(unsubscribe=link(here, anna)), kind=kind), FBL)
    assert reply.status == "250 2.0.0"
    assert here.facts(anna) == []
    assert [to for to, _ in here.letters()] == ["kontakt@acme.example"]


async def test_a_report_without_a_token_is_for_people(here):
    anna = here.person()
    reply = await here.send(arf(original()), FBL)
    assert reply.status == "250 2.0.0"
    assert here.facts(anna) == []
    assert len(here.letters()) == 1


async def test_a_malformed_report_counts_and_is_shown_to_people(here):
    anna = here.person()
    content = arf(original(unsubscribe=link(here, anna))).replace(b"Version: 1\r\n", b"")
    await here.send(content, FBL)
    assert here.suppressions(anna)
    assert len(here.letters()) == 1


@pytest.mark.parametrize(
    "to", [ABUSE, "postmaster@bounce.acme.example", "abuse@relay.example.org", "postmaster"]
)
async def test_a_letter_is_handed_on_whole(here, to):
    """RA-6."""
    reply = await here.send(LETTER, to, mail_from="anna@example.org")
    assert reply.status == "250 2.0.0"
    ((to, content),) = here.letters()
    letter = message_from_bytes(content)
    assert to == "kontakt@acme.example"
    assert letter["From"] == 'Gatepost at "relay.example.org" <postmaster@relay.example.org>'
    assert letter["Auto-Submitted"] == "auto-generated"
    words, attached = letter.get_payload()
    assert "anna@example.org" in words.get_payload()
    assert attached.get_content_type() == "message/rfc822"
    assert LETTER in content


@pytest.mark.parametrize(
    ("body", "kind", "encoding"),
    [
        ("Grüße", "message/rfc822", "8bit"),
        ("x" * 1200, "application/octet-stream", "base64"),
    ],
)
async def test_whatever_octets_it_has(here, body, kind, encoding):
    letter = LETTER + body.encode() + b"\r\n"
    await here.send(letter, ABUSE, mail_from="anna@example.org")
    ((_, content),) = here.letters()
    attached = message_from_bytes(content).get_payload()[1]
    assert (attached.get_content_type(), attached["Content-Transfer-Encoding"]) == (kind, encoding)
    if encoding == "base64":
        assert attached.get_payload(decode=True) == letter
    else:
        assert letter in content


async def test_without_a_contact_a_letter_is_refused_but_a_report_counts(here):
    here.senders = {"acme": replace(ACME, contact="")}
    anna = here.person()
    assert (await here.send(LETTER, ABUSE, mail_from="a@example.org")).status == "550 5.2.1"
    await here.send(arf(original(unsubscribe=link(here, anna))), ABUSE)
    assert here.suppressions(anna)


async def test_a_contact_that_leads_back_here_makes_no_loop(here):
    here.senders = {"acme": replace(ACME, contact="postmaster@bounce.acme.example")}
    assert (await here.send(LETTER, ABUSE, mail_from="a@example.org")).status == "550 5.2.1"
    assert here.letters() == []


async def test_a_letter_of_ours_that_comes_round_is_not_sent_again(here):
    await here.send(LETTER, ABUSE, mail_from="anna@example.org")
    ((_, content),) = here.letters()
    assert (await here.send(content, ABUSE)).status == "550 5.2.1"
    assert len(here.letters()) == 1


async def test_two_gateways_that_are_each_others_contact_make_no_loop(here):
    """What comes back is ours within the other's, and has no Received fields to count."""
    await here.send(LETTER, ABUSE, mail_from="anna@example.org")
    ((_, ours),) = here.letters()
    theirs = forwarded(
        host="relay.other.example", to=ABUSE, mailbox="abuse@other.example", mail_from="",
        original=ours, date=datetime.now(UTC), message_id="<1@relay.other.example>",
    )  # fmt: skip
    assert (await here.send(theirs, ABUSE)).status == "550 5.2.1"
    assert len(here.letters()) == 1


@pytest.mark.parametrize(
    ("author", "mail_from", "letters"),
    [
        ("Helpdesk <KONTAKT@acme.example>", "", 0),
        ("kontakt@acme.example", "kontakt@acme.example", 0),
        ("more-kontakt@acme.example", "", 1),  # somebody else's program is heard
    ],
)
async def test_a_contact_that_answers_everything_makes_no_loop(here, author, mail_from, letters):
    answer = lines(f"""
From: {author}
Subject: [Ticket 7] Mail to abuse
Auto-Submitted: auto-replied

We have got your mail.
""")
    await here.send(answer, ABUSE, mail_from=mail_from)
    assert len(here.letters()) == letters


async def test_a_contact_may_write_itself(here):
    assert (await here.send(LETTER, ABUSE, mail_from=ACME.contact)).status == "250 2.0.0"
    assert len(here.letters()) == 1


@pytest.mark.parametrize("author", ["postmaster@relay.example.org", "kontakt@acme.example"])
async def test_no_report_opens_a_case_unheard(here, author):
    """Its clock would run out, and the sender be frozen, without anybody having been told."""
    content = arf(original(unsubscribe=link(here, here.person())))
    forged = content.replace(b"<feedback@isp.example>", f"<{author}>".encode())
    await here.send(b"Auto-Submitted: auto-generated\r\n" + forged, FBL)
    assert len(cases(here)) == len(here.letters()) == 1


async def test_too_many_hops_are_a_loop(here):
    assert (await here.send(b"Received: x\r\n" * 100 + LETTER, ABUSE)).status == "554 5.4.6"


async def test_a_bounce_for_postmaster_is_handed_on(here):
    await here.send(dsn(), "postmaster@relay.example.org")
    assert len(here.letters()) == 1


def cases(here):
    return here.store.read_now(complaint_cases.list_cases)


async def test_a_complaint_opens_a_case_and_tells_the_contact(here):
    """WP-14: the report goes on whole, with the number of the case; the clock waits for it (C2)."""
    anna = here.person()
    report = arf(original(unsubscribe=link(here, anna)))
    await here.send(report, FBL)
    (case,) = cases(here)
    assert (case.sender, case.stream, case.kind) == ("acme", "newsletter", "abuse")
    assert (case.address, case.submission) == ("anna@example.org", to_text(77))
    assert (case.complaints, case.state, case.noticed_at) == (1, "notice-underway", None)
    ((to, letter),) = here.letters()
    assert to == "kontakt@acme.example"
    assert f"gatepost complaint answer {case.id} ".encode() in letter
    assert report in letter


async def test_more_complaints_of_the_same_person_join_the_open_case(here):
    anna, bo = here.person(), here.person("bo@example.org")
    for number in (1, 1, 2):
        token = here.token(anna, Purpose.UNSUBSCRIBE, submission=number)
        await here.send(arf(original(unsubscribe=token)), FBL)
    (case,) = cases(here)
    assert case.complaints == 2  # the same copy counts once
    assert len(here.letters()) == 1
    await here.send(arf(original(unsubscribe=link(here, bo))), FBL)
    assert [one.address for one in cases(here)] == ["bo@example.org", "anna@example.org"]
    assert len(here.letters()) == 2


async def test_after_the_close_another_case_is_opened(here):
    anna = here.person()
    for number in (1, 2):
        token = here.token(anna, Purpose.UNSUBSCRIBE, submission=number)
        await here.send(arf(original(unsubscribe=token)), FBL)
        newest = cases(here)[0]
        here.store.write_now(lambda tx, n=newest.id: complaint_cases.close(tx, n, "done"))
    assert [one.complaints for one in cases(here)] == [1, 1]


async def test_where_nobody_can_be_told_the_clock_runs_from_the_complaint(here):
    here.senders = {"acme": replace(ACME, contact="")}
    anna = here.person()
    reply = await here.send(arf(original(unsubscribe=link(here, anna))), FBL)
    assert reply.status == "250 2.0.0"
    (case,) = cases(here)
    assert case.noticed_at == case.received_at
    assert case.state == "waiting"


async def test_a_malformed_report_of_a_copy_from_elsewhere_is_shown_to_people(here):
    content = arf(original(unsubscribe=link(here, 4711))).replace(b"Version: 1\r\n", b"")
    assert (await here.send(content, FBL)).status == "250 2.0.0"
    assert cases(here) == []
    assert len(here.letters()) == 1
