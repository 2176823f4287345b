"""Unsubscribe mail over the wire: leaving by token, answered once and never to a program."""

from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from functools import partial

import pytest

from gatepost.consent.evidence import EventKind, Fact
from gatepost.consent.tokens import Purpose
from gatepost.store import people, returned
from support.reports import LETTER, leaving
from support.returning import ACME, station

pytestmark = pytest.mark.both_engines

LEAVE = "leave@acme.example"


@pytest.fixture
async def here(tmp_path):
    async with station(tmp_path) as opened:
        yield opened


def token(here, subject, **more):
    return here.token(subject, Purpose.MAILTO, **more)


async def test_the_token_in_the_subject_leaves_its_stream(here):
    anna = here.person()
    mail = leaving(token(here, anna, submission=77))
    assert (await here.send(mail, LEAVE, mail_from="anna@example.org")).status == "250 2.0.0"
    (fact,) = here.facts(anna)
    assert (fact.kind, fact.sender, fact.stream) == (EventKind.WITHDRAWN, "acme", "newsletter")
    assert (fact.actor, fact.method) == ("recipient", "mailto")
    assert here.suppressions(anna) == []
    assert here.ended == [(anna, "acme", "newsletter")]


async def test_it_is_answered_in_words(here):
    anna = here.person()
    await here.send(leaving(token(here, anna)), LEAVE, mail_from="anna@example.org")
    ((to, content),) = here.letters()
    answer = message_from_bytes(content, policy=default)
    assert to == "anna@example.org"
    assert answer["Auto-Submitted"] == "auto-replied"  # RD-5
    assert answer["From"].addresses[0].display_name == "Acme Förlag AB"
    assert answer["From"].addresses[0].addr_spec == LEAVE
    assert answer["Subject"] == "You are unsubscribed: Monthly news"
    assert answer["In-Reply-To"] == answer["References"] == "<leave-1@example.org>"
    text = answer.get_content()
    assert 'does not send you "Monthly news" any more.' in " ".join(text.split())
    assert "Storgatan 1" in text


async def test_in_the_language_of_the_stream(here):
    anna = here.person()
    mail = leaving(token(here, anna, stream="offers"))
    await here.send(mail, LEAVE, mail_from="anna@example.org")
    ((_, content),) = here.letters()
    assert "Du " in message_from_bytes(content, policy=default).get_content()


async def test_it_leaves_from_the_null_reverse_path(here):
    from gatepost.store.tables import mail as tables
    from support.submissions import rows_of

    anna = here.person()
    await here.send(leaving(token(here, anna)), LEAVE, mail_from="anna@example.org")
    (row,) = rows_of(here.store, tables.submission)
    assert (row["mail_from"], row["sender"], row["client"]) == ("", "acme", "gatepost")


async def test_twice_is_once(here):
    anna = here.person()
    for _ in range(3):
        mail = leaving(token(here, anna))
        assert (await here.send(mail, LEAVE, mail_from="anna@example.org")).status == "250 2.0.0"
    assert len(here.facts(anna)) == 1
    assert len(here.letters()) == 1
    assert len(here.ended) == 3


@pytest.mark.parametrize(
    ("header", "mail_from"),
    [
        ("Auto-Submitted: auto-generated\n", "anna@example.org"),
        ("Precedence: bulk\n", "anna@example.org"),
        ("List-Id: <l.example.org>\n", "anna@example.org"),
        ("", ""),
        ("", "mailer-daemon@example.org"),
    ],
)
async def test_a_program_may_leave_but_gets_no_answer(here, header, mail_from):
    """RD-6."""
    anna = here.person()
    await here.send(leaving(token(here, anna), header=header), LEAVE, mail_from=mail_from)
    assert [fact.kind for fact in here.facts(anna)] == [EventKind.WITHDRAWN]
    assert here.letters() == []


async def test_the_token_in_the_address(here):
    here.senders = {"acme": replace(ACME, unsubscribe_mailto="u@acme.example")}
    anna = here.person()
    address = f"u+{token(here, anna)}@acme.example"
    await here.send(leaving("stop"), address, mail_from="anna@example.org")
    assert [fact.kind for fact in here.facts(anna)] == [EventKind.WITHDRAWN]
    assert await here.ask(f"u+{here.token(anna)}@acme.example") == "550 5.1.1"  # of another purpose


async def test_the_request_address_of_a_stream(here):
    anna = here.person()
    address = "newsletter-request@bounce.acme.example"
    await here.send(leaving(token(here, anna)), address, mail_from="anna@example.org")
    assert [fact.kind for fact in here.facts(anna)] == [EventKind.WITHDRAWN]


@pytest.mark.parametrize("purpose", [Purpose.BOUNCE])
async def test_a_token_of_another_purpose_is_none(here, purpose):
    anna = here.person()
    mail = leaving(here.token(anna, purpose))
    await here.send(mail, LEAVE, mail_from="anna@example.org")
    assert here.facts(anna) == []


async def test_who_writes_without_a_token_is_heard_by_a_person(here):
    """R2369-4, promise 1."""
    assert (await here.send(LETTER, LEAVE, mail_from="anna@example.org")).status == "250 2.0.0"
    assert [to for to, _ in here.letters()] == ["kontakt@acme.example"]


async def test_who_is_not_on_record_is_heard_by_a_person(here):
    mail = leaving(token(here, 4711))
    assert (await here.send(mail, LEAVE, mail_from="anna@example.org")).status == "250 2.0.0"
    assert [to for to, _ in here.letters()] == ["kontakt@acme.example"]


async def test_a_compromised_key_still_lets_people_leave(here):
    from gatepost.consent.tokens import Ring

    anna = here.person()
    mail, path = leaving(token(here, anna)), here.return_path(anna)
    keys = here.store.keys
    here.ring = Ring({**keys.link_keys, 60: b"n" * 32}, 60, frozenset({keys.link_current}))
    assert await here.ask(path) == "550 5.1.1"
    await here.send(mail, LEAVE, mail_from="anna@example.org")
    assert [fact.kind for fact in here.facts(anna)] == [EventKind.WITHDRAWN]


async def test_who_leaves_and_comes_back_all_day_does_not_write_to_others(here, monkeypatch):
    """The envelope sender is anybody's: with one copy of a mail the whole world could be mailed."""
    monkeypatch.setattr(returned, "TOLD_A_DAY", 2)
    anna = here.person()
    for number in range(4):
        mail = leaving(token(here, anna))
        victim = f"victim{number}@elsewhere.example"
        assert (await here.send(mail, LEAVE, mail_from=victim)).status == "250 2.0.0"
        here.store.write_now(partial(_come_back, subject=anna))
    assert len(here.ended) == 4
    kinds = [fact.kind for fact in here.facts(anna)]
    assert kinds == [EventKind.WITHDRAWN, EventKind.RESUBSCRIBED] * 4
    assert len(here.letters()) == 2


def _come_back(tx, subject):
    fact = Fact(
        kind=EventKind.RESUBSCRIBED, at=tx.now, sender="acme", stream="newsletter",
        actor="recipient", basis="newsletter-form",
    )  # fmt: skip
    people.record_for_subject(tx, subject, [fact])
