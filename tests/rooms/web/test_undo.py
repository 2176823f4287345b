"""Changing one's mind: undone by a second tap, within the hour, as it was before."""

import re
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import default

import pytest

from gatepost.consent.evidence import EventKind, Fact
from gatepost.consent.leaving import has_left
from gatepost.store import people
from support.site import SENDERS, served
from support.visiting import visiting

pytestmark = pytest.mark.both_engines

UNDONE = "Everything is as before"


def hidden(text):
    """Where the undo form goes, and what it sends."""
    form = re.search(r'<form method="post"(?: action="([^"]*)")?[^>]*>(?:(?!</form>).)*value="undo"',
                     text, re.DOTALL)  # fmt: skip
    if form is None:
        return None, {}
    names = re.findall(r'name="back" value="([^"]*)"', form.group())
    return form.group(1), {"action": "undo", "back": names}


async def left(site, subject, stream, sender="acme"):
    person = await site.store.read(
        lambda tx: people.look_up_subjects(tx, [subject], stream, sender)[subject]
    )
    return has_left(person)


@pytest.mark.parametrize("way", ["page", "one-click"])
async def test_a_second_tap_restores_what_was_there(tmp_path, way):
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter", "club")
        link = f"/u/{site.token(subject, 'club')}"
        answer = await client.post(link, data={"page": "1"} if way == "page" else None)
        if way == "one-click":
            answer = await client.get(link)
        where, form = hidden(answer.text)
        assert form["back"] == ["club"]
        assert await left(site, subject, "club")
        done = await client.post(str(answer.url.join(where)), data=form)
        assert done.status_code == 200
        assert UNDONE in done.text
        assert "goes on sending you “Letter to members”" in done.text
        (fact,) = await site.facts(subject, EventKind.RESUBSCRIBED)
        assert (fact.stream, fact.actor, fact.method, fact.basis) == (
            "club", "recipient", "page", "",
        )  # fmt: skip
        again = await client.post(str(answer.url.join(where)), data=form)
        assert UNDONE in again.text
        assert len(await site.facts(subject, EventKind.RESUBSCRIBED)) == 1
        assert "Unsubscribe from" in (await client.get(link)).text


async def test_all_that_everything_took_comes_back_and_nothing_else(tmp_path):
    """HR-7, E2: what was off before stays off."""
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter", "events", "club")
        choose = f"/p/{site.token(subject, purpose='p')}"
        shown = ["newsletter", "events", "club"]
        kept = {"action": "save", "shown": shown, "on": ["newsletter", "club"]}
        await client.post(choose, data=kept)
        answer = await client.post(choose, data={"action": "nothing"})
        where, form = hidden(answer.text)
        assert (where, sorted(form["back"])) == (None, ["club", "newsletter"])
        done = await client.post(choose, data=form)
        assert UNDONE in done.text
        page = (await client.get(choose)).text
        ticked = re.findall(r'value="(\w+)" checked', page)
        assert sorted(ticked) == ["club", "newsletter"]


async def test_after_an_hour_the_page_points_to_the_preferences(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        long_ago = Fact(
            kind=EventKind.WITHDRAWN,
            at=site.store.now() - timedelta(minutes=61),
            sender="acme",
            stream="newsletter",
        )
        await site.store.write(lambda tx: people.record_for_subject(tx, subject, [long_ago]))
        answer = await client.get(f"/u/{site.token(subject)}")
        assert hidden(answer.text) == (None, {})
        assert "Since " in answer.text
        assert "/p/" in answer.text
        form = {"action": "undo", "back": ["newsletter"]}
        late = await client.post(f"/p/{site.token(subject, purpose='p')}", data=form)
        assert "More than an hour has passed" in late.text
        assert await site.facts(subject, EventKind.RESUBSCRIBED) == []


async def test_what_was_never_there_cannot_be_restored(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org")
        link = f"/u/{site.token(subject)}"
        answer = await client.post(link, data={"page": "1"})
        assert hidden(answer.text) == (None, {})
        choose = f"/p/{site.token(subject, purpose='p')}"
        for back in (["newsletter"], ["club"], ["foreign"], ["receipts"], ["no such stream"]):
            await client.post(choose, data={"action": "undo", "back": back})
        assert (await client.post(choose, data={"action": "undo"})).status_code == 400
        assert await site.facts(subject, EventKind.RESUBSCRIBED) == []


async def test_leaving_twice_is_told_once(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        for _ in range(3):
            assert (await client.post(f"/u/{site.token(subject)}")).status_code == 200
        assert site.withdrawn == [(subject, "acme", "newsletter")]
        assert site.again == [(subject, "acme", "newsletter")] * 2  # held back here, too


NOTICED = {**SENDERS, "acme": replace(SENDERS["acme"], unsubscribe_notice=True)}


async def test_the_notice_goes_to_who_left_by_the_button_once(tmp_path):
    async with (
        served(tmp_path, letters=True, senders=NOTICED) as site,
        visiting(site.url) as client,
    ):
        subject = await site.subscribe("anna@example.org", "newsletter", "events")
        link = f"/u/{site.token(subject)}?lang=sv"
        for _ in range(2):
            await client.post(link, data={"page": "1"})
        await client.post(f"/u/{site.token(subject, 'events')}")  # one click: no notice
        (letter,) = await site.letters()
        assert b"\r\nTo: <anna@example.org>\r\n" in letter
        assert b"Auto-Submitted: auto-generated" in letter
        text = message_from_bytes(letter, policy=default).get_body(("plain",)).get_content()
        token = re.search(r"https://mail\.example\.org/u/([\w-]+)", text).group(1)
        page = await client.get(f"/u/{token}")
        assert hidden(page.text)[1]["back"] == ["newsletter"]


async def test_without_the_setting_nobody_is_told(tmp_path):
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        subject = await site.subscribe("anna@example.org", "newsletter")
        await client.post(f"/u/{site.token(subject)}", data={"page": "1"})
        assert await site.letters() == []
