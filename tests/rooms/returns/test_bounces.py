"""Bounces over the wire: only a token that verifies, once per copy, durable before the reply."""

from dataclasses import replace

import pytest

from gatepost.consent.evidence import EventKind, Fact
from gatepost.consent.tokens import Purpose, Ring
from gatepost.store import people
from gatepost.store.ids import to_text
from support.reports import ABSENCE, EXCHANGE, LETTER, QMAIL, dsn
from support.returning import ACME, station

pytestmark = pytest.mark.both_engines


@pytest.fixture
async def here(tmp_path):
    async with station(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("content", [dsn(), EXCHANGE, QMAIL], ids=["postfix", "exchange", "qmail"])
async def test_a_hard_bounce_suppresses_for_the_sender(here, content):
    anna = here.person()
    path = here.return_path(anna, submission=77)
    assert (await here.send(content, path)).status == "250 2.0.0"
    assert here.suppressions(anna) == [("acme", "all", "hard-bounce")]
    (fact,) = here.facts(anna)
    assert (fact.kind, fact.stream, fact.method) == (EventKind.BOUNCED, "", "feedback")
    assert fact.submission == to_text(77)
    assert "@" not in fact.note
    assert here.ended == [(anna, "acme", "")]


async def test_case_is_lost_on_the_way(here):
    anna = here.person()
    assert (await here.send(dsn(), here.return_path(anna).upper())).status == "250 2.0.0"
    assert here.suppressions(anna)


async def test_a_forged_token_is_refused_at_rcpt(here):
    """RA-4."""
    anna = here.person()
    token = here.token(anna)
    other = Ring({1: b"f" * 32}, 1)
    forged = [
        ("b" if token[20] == "a" else "a").join((token[:20], token[21:])),
        here.token(anna, Purpose.MAILTO),
        other.seal_for_address(Purpose.BOUNCE, here.ring.open_from_address(Purpose.BOUNCE, token)),
    ]
    for each in forged:
        assert await here.ask(f"{each}@bounce.acme.example") == "550 5.1.1"
    assert await here.ask("anna@bounce.acme.example") == "550 5.1.1"
    assert here.facts(anna) == []


async def test_soft_bounces_in_a_row_suppress(here):
    anna = here.person()
    soft = dsn(status="4.2.2", diagnostic="smtp; 452 4.2.2 Mailbox full")
    for count in (1, 2):
        await here.send(soft, here.return_path(anna))
        assert len(here.facts(anna)) == count
        assert here.suppressions(anna) == []
    await here.send(soft, here.return_path(anna))
    assert here.suppressions(anna) == [("acme", "all", "soft-bounces")]


async def test_a_sign_of_life_begins_the_row_anew(here):
    anna = here.person()
    soft = dsn(status="5.2.2", diagnostic="smtp; 552 5.2.2 Mailbox full")
    for _ in range(2):
        await here.send(soft, here.return_path(anna))
    clicked = Fact(
        kind=EventKind.ENGAGED, at=here.store.now(), sender="acme", stream="newsletter",
        actor="recipient",
    )  # fmt: skip
    here.store.write_now(lambda tx: people.record_for_subject(tx, anna, [clicked]))
    for _ in range(2):
        await here.send(soft, here.return_path(anna))
    assert here.suppressions(anna) == []
    await here.send(soft, here.return_path(anna))
    assert here.suppressions(anna)


async def test_what_others_record_is_no_sign_of_life(here):
    anna = here.person()
    soft = dsn(status="5.2.2", diagnostic="smtp; 552 5.2.2 Mailbox full")
    for _ in range(2):
        await here.send(soft, here.return_path(anna))
    told = Fact(kind=EventKind.ENGAGED, at=here.store.now(), sender="acme", actor="import")
    here.store.write_now(lambda tx: people.record_for_subject(tx, anna, [told]))
    await here.send(soft, here.return_path(anna))
    assert here.suppressions(anna)


async def test_the_same_copy_counts_once(here):
    anna = here.person()
    path = here.return_path(anna)
    soft = dsn(status="5.2.2", diagnostic="smtp; 552 5.2.2 Mailbox full")
    for _ in range(4):
        assert (await here.send(soft, path)).status == "250 2.0.0"
    assert len(here.facts(anna)) == 1
    for _ in range(2):
        await here.send(dsn(), path)  # it turns out to be hard
    assert [fact.suppression for fact in here.facts(anna)] == ["", "hard-bounce"]
    lifted = Fact(
        kind=EventKind.SUPPRESSION_LIFTED, at=here.store.now(), sender="acme", actor="recipient"
    )
    here.store.write_now(lambda tx: people.record_for_subject(tx, anna, [lifted]))
    await here.send(dsn(), path)
    assert here.suppressions(anna) == []  # an old report does not undo it


@pytest.mark.parametrize("status", ["5.7.1", "5.3.4", "5.6.0", "4.4.7"])
async def test_policy_bounces_are_not_held_against_the_address(here, status):
    """RA-5."""
    anna = here.person()
    for _ in range(4):
        content = dsn(status=status, diagnostic="smtp; 550 no")
        assert (await here.send(content, here.return_path(anna))).status == "250 2.0.0"
    assert here.facts(anna) == []


async def test_a_delay_is_no_bounce(here):
    anna = here.person()
    await here.send(dsn(action="delayed", status="4.2.2"), here.return_path(anna))
    assert here.facts(anna) == []


async def test_absences_change_nothing(here):
    anna = here.person()
    reply = await here.send(ABSENCE, here.return_path(anna), mail_from="anna@example.org")
    assert reply.status == "250 2.0.0"
    assert here.facts(anna) == []
    assert here.letters() == []


async def test_a_person_who_answers_the_return_path_is_heard(here):
    anna = here.person()
    reply = await here.send(LETTER, here.return_path(anna), mail_from="anna@example.org")
    assert reply.status == "250 2.0.0"
    ((to, letter),) = here.letters()
    assert to == "kontakt@acme.example"
    assert LETTER in letter


async def test_a_bounce_of_a_stream_that_is_unknown_changes_nothing(here):
    anna = here.person()
    path = here.return_path(anna, stream="never-configured")
    assert (await here.send(dsn(), path)).status == "250 2.0.0"
    assert here.facts(anna) == []


async def test_a_token_of_another_store_changes_nothing(here):
    assert (await here.send(dsn(), here.return_path(4711))).status == "250 2.0.0"
    assert here.ended == []


async def test_several_recipients_each_count(here):
    anna, bo = here.person(), here.person("bo@example.org")
    await here.send(dsn(), here.return_path(anna), here.return_path(bo))
    assert here.suppressions(anna)
    assert here.suppressions(bo)


async def test_the_store_away_is_temporary(here):
    anna = here.person()
    path = here.return_path(anna)
    here.store.close()
    assert (await here.send(dsn(), path)).status == "451 4.4.3"


async def test_an_old_bounce_domain_still_brings_bounces_home(here):
    anna = here.person()
    path = here.return_path(anna)
    here.senders = {"acme": replace(ACME, bounce_domain="b2.acme.example")}
    assert (await here.send(dsn(), path)).status == "250 2.0.0"
    assert here.suppressions(anna)
