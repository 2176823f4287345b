"""/c/{token}: confirming by the link of the one letter."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.tokens import Claim, Purpose, Ring, stream_tag
from gatepost.mail.address import parse
from gatepost.store import people
from gatepost.store.tables.signups import signup
from support.signups import add_form, filled, hidden, letters, path_in, words
from support.site import STREAMS, served
from support.submissions import rows_of
from support.visiting import visiting

pytestmark = pytest.mark.both_engines

ANNA = parse("anna@example.org")


async def events(site, address=ANNA):
    found = await site.store.read(lambda tx: people.history(tx, address))
    return [event.fact for event in found.events]


async def kinds(site):
    return [fact.kind.value for fact in await events(site)]


async def ask(site, client, *streams, **more):
    """Fills in the form; the path of the link in the letter that came of it."""
    await client.post("/subscribe/web", data=await filled(site, *(streams or ("club",)), **more))
    return path_in(letters(site.store)[-1], "c")


async def test_the_button_confirms_and_keeps_both_acts(tmp_path):
    """JU-17, L-DE-4: time, address, browser and text of request and confirmation."""
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url, headers={"User-Agent": "Reader"}) as client,
    ):
        await site.store.write(add_form)
        link = await ask(site, client)
        page = await client.get(link)
        assert page.status_code == 200
        assert "Letter to members" in page.text
        assert page.text.count("<button") == 1
        answer = await client.post(link, data={"shown": hidden(page.text, "shown")})
        assert answer.status_code == 200
        assert "Thank you, that is confirmed" in answer.text
        asked, confirmed = await events(site)
        assert (asked.kind, confirmed.kind) == (EventKind.REQUESTED, EventKind.CONFIRMED)
        assert confirmed.at > asked.at
        for fact in (asked, confirmed):
            assert (fact.stream, fact.source, fact.text_version) == ("club", "web", "1")
            assert fact.text_state is TextState.VALID
            assert (fact.ip, fact.user_agent, fact.actor) == ("127.0.0.1", "Reader", "recipient")
        assert confirmed.basis == "double-opt-in"
        person = await site.store.read(lambda tx: people.look_up(tx, [ANNA], "club", "acme"))
        grant = next(g for g in person[ANNA.key].standing.grants if not g.pending)
        assert grant.effective_at == confirmed.at


async def test_again_is_the_same_as_once(tmp_path):
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        link = await ask(site, client)
        for _ in range(3):
            assert "is confirmed" in (await client.post(link)).text
        assert "is confirmed" in (await client.get(link)).text
        assert await kinds(site) == ["requested", "confirmed"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PROPFIND", "TRACE"])
async def test_scanners_confirm_nothing(tmp_path, method):
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        link = await ask(site, client)
        await client.request(method, link)
        assert await kinds(site) == ["requested"]


async def test_the_latest_act_holds(tmp_path):
    """Left after asking: the confirmation is later. Left after confirming: the button is dead."""
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        link = await ask(site, client)
        subject = (await site.store.read(lambda tx: people.history(tx, ANNA))).subject
        await client.post(f"/u/{site.token(subject, 'club')}")
        await client.post(link)
        choice = f"/p/{site.token(subject, 'club', 'p')}"
        assert 'value="club" checked' in (await client.get(choice)).text
        await client.post(f"/u/{site.token(subject, 'club')}")
        assert (await client.post(link)).status_code == 200
        assert await kinds(site) == ["requested", "withdrawn", "confirmed", "withdrawn"]
        assert 'value="club" checked' not in (await client.get(choice)).text


async def test_one_letter_confirms_all_that_its_page_shows_and_no_more(tmp_path):
    """What was asked later, while the letter was the latest, is named and confirmed with it."""
    both = {name: replace(stream, double_opt_in=True) for name, stream in STREAMS.items()}
    async with (
        served(tmp_path, letters=True, streams=both) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        link = await ask(site, client, "club")
        shown = hidden((await client.get(link)).text, "shown")
        await ask(site, client, "newsletter")
        await client.post(link, data={"shown": shown})
        confirmed = [fact.stream for fact in await events(site) if fact.kind == "confirmed"]
        assert confirmed == ["club"]
        page = (await client.get(link)).text
        assert "Monthly newsletter" in page
        await client.post(link, data={"shown": hidden(page, "shown")})
        confirmed = [fact.stream for fact in await events(site) if fact.kind == "confirmed"]
        assert confirmed == ["club", "newsletter"]


async def test_after_its_time_a_sign_up_must_be_made_again(tmp_path):
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        link = await ask(site, client)
        week = int(timedelta(days=8).total_seconds() * 1000)
        (row,) = rows_of(site.store, signup)
        await site.store.write(
            lambda tx: (
                tx.connection.execute(
                    signup.update().values(requested_ms=row["requested_ms"] - week)
                )
                and None
            )
        )
        for answer in (await client.get(link), await client.post(link)):
            assert answer.status_code == 410
            assert "sign up again" in answer.text
            assert 'href="../subscribe/web?lang=en"' in answer.text
        assert await kinds(site) == ["requested"]
        await ask(site, client)
        assert len(letters(site.store)) == 2


async def test_links_that_are_none(tmp_path):
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        link = await ask(site, client)
        token = link.removeprefix("/c/").partition("?")[0]
        subject = (await site.store.read(lambda tx: people.history(tx, ANNA))).subject
        altered = token[:20] + ("A" if token[20] != "A" else "B") + token[21:]
        foreign = [altered, token[:-1], "", site.token(subject, "club", "u")]
        for wrong in foreign:
            for method in ("GET", "POST"):
                assert (await client.request(method, f"/c/{wrong}")).status_code == 404
        elsewhere = site.ring.seal(Purpose.CONFIRM, Claim(subject, stream_tag("club"), 4711))
        bo = await site.subscribe("bo@example.org")
        number = rows_of(site.store, signup)[0]["id"]
        stolen = site.ring.seal(Purpose.CONFIRM, Claim(bo, stream_tag("club"), number))
        for gone in (elsewhere, stolen):
            assert (await client.post(f"/c/{gone}")).status_code == 410
        assert await kinds(site) == ["requested"]


async def test_a_compromised_key_confirms_nothing_and_says_what_to_do(tmp_path):
    key, other = b"k" * 32, b"o" * 32
    ring = Ring({1: key, 2: other}, 1, frozenset({2}))
    stolen = Ring({2: other}, 2)
    async with (
        served(tmp_path, letters=True, ring=ring) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        await ask(site, client)
        (row,) = rows_of(site.store, signup)
        claim = Claim(row["subject"], stream_tag("club"), row["id"])
        answer = await client.post(f"/c/{stolen.seal(Purpose.CONFIRM, claim)}")
        assert answer.status_code == 410
        assert "sign up again" in answer.text
        assert await kinds(site) == ["requested"]


async def test_who_was_erased_meanwhile_is_not_brought_back(tmp_path):
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        link = await ask(site, client)
        erased = Fact(kind=EventKind.ERASED, at=site.store.now(), rule="request", extent="all")
        await site.store.write(lambda tx: people.record(tx, ANNA, [erased]) and None)
        assert (await client.post(link)).status_code == 410
        found = await site.store.read(lambda tx: people.history(tx, ANNA))
        assert EventKind.CONFIRMED not in [event.kind for event in found.events]


async def test_preferences_ask_by_mail_for_what_a_tick_cannot_turn_on(tmp_path):
    """HR-5: an old link is enough to ask, the letter to the address decides."""
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        subject = await site.subscribe("anna@example.org", "newsletter")
        link = f"/p/{site.token(subject, purpose='p')}"
        page = (await client.get(link)).text
        assert "We send you a mail in which you confirm this." in page
        sent = {"action": "save", "shown": ["newsletter", "club"], "on": ["newsletter", "club"]}
        answer = await client.post(link, data=sent)
        assert "We have sent you a mail. Please confirm there: Letter to members" in answer.text
        (letter,) = letters(site.store)
        assert letter["To"].addresses[0].addr_spec == "anna@example.org"
        assert "- Letter to members" in words(letter)
        await client.post(path_in(letter, "c"))
        asked, confirmed = (await events(site))[-2:]
        assert (asked.kind, asked.method, asked.source) == (EventKind.REQUESTED, "page", "")
        assert "ticked on the preferences page" in asked.note
        assert (confirmed.kind, confirmed.text_state) == (EventKind.CONFIRMED, TextState.VALID)
        assert 'value="club" checked' in (await client.get(link)).text
        await client.post(link, data=sent)
        assert len(letters(site.store)) == 1


async def test_the_confirmed_page_leads_to_the_preferences(tmp_path):
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        answer = await client.post(await ask(site, client))
        token = answer.text.partition('href="../p/')[2].partition("?")[0]
        page = (await client.get(f"/p/{token}")).text
        assert 'value="club" checked' in page
