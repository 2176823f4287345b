"""/p/{token}: choosing, over the real ledger."""

import asyncio
import re

import pytest

from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.store import people
from support.site import served
from support.visiting import visiting

pytestmark = pytest.mark.both_engines


def boxes(text):
    """The check boxes of the page: name to "on", "off" or "locked"."""
    found = {}
    for box in re.findall(r'<input type="checkbox"[^>]*>', text):
        name = re.search(r'value="([^"]*)"', box).group(1)
        found[name] = "locked" if " disabled" in box else "on" if " checked" in box else "off"
    return found


def form(*ticked, shown=("newsletter", "events")):
    return {"action": "save", "shown": list(shown), "on": list(ticked)}


async def test_one_sees_the_streams_of_this_sender_only(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter", "foreign")
        page = (await client.get(f"/p/{site.token(subject, purpose='p')}")).text
        assert boxes(page) == {"newsletter": "on", "events": "off", "club": "locked"}
        assert "Of somebody else" not in page
        assert "Where to meet us, a few times a year" in page
        assert 'name="shown" value="club"' not in page


async def test_saving_records_what_changed_and_shows_it(tmp_path):
    """SO-11, HR-7."""
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        link = f"/p/{site.token(subject, purpose='p')}"
        answer = await client.post(link, data=form("events"), headers={"User-Agent": "Browser"})
        assert answer.status_code == 200
        assert "Saved." in answer.text
        assert boxes(answer.text) == {"newsletter": "off", "events": "on", "club": "locked"}
        assert site.withdrawn == [(subject, "acme", "newsletter")]
        (left,) = await site.facts(subject)
        (joined,) = await site.facts(subject, EventKind.RESUBSCRIBED)
        assert (left.stream, left.method, left.actor) == ("newsletter", "page", "recipient")
        assert (joined.stream, joined.basis, joined.sender) == ("events", "newsletter-form", "acme")
        assert (joined.text_state, joined.user_agent) == (TextState.VALID, "Browser")
        assert "Events & fairs: Where to meet us" in joined.note
        count = len((await site.history(subject)).events)
        await client.post(link, data=form("events"))
        assert len((await site.history(subject)).events) == count


@pytest.mark.parametrize(
    ("said", "held"), [(form("events"), "newsletter"), ({"action": "nothing"}, "")]
)
async def test_who_has_left_elsewhere_is_kept_back_here_as_well(tmp_path, said, held):
    """Promise 3: whoever answers begins no further copy, though another gateway recorded it."""
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter", "events")
        link = f"/p/{site.token(subject, purpose='p')}"
        await client.post(link, data=said)
        before = len((await site.history(subject)).events)
        site.withdrawn.clear()
        site.again.clear()
        assert (await client.post(link, data=said)).status_code == 200
        assert len((await site.history(subject)).events) == before
        assert site.withdrawn == []
        assert (subject, "acme", held) in site.again


async def test_undoing_within_the_hour_restores_what_was_there(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "club")
        link = f"/p/{site.token(subject, 'club', 'p')}"
        await client.post(f"/u/{site.token(subject, 'club')}")
        page = (await client.get(link)).text
        assert boxes(page)["club"] == "off"
        answer = await client.post(link, data=form("club", shown=["club"]))
        assert boxes(answer.text)["club"] == "on"
        (back,) = await site.facts(subject, EventKind.RESUBSCRIBED)
        assert (back.stream, back.basis) == ("club", "")


async def test_a_locked_stream_cannot_be_ticked_past_the_page(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        link = f"/p/{site.token(subject, purpose='p')}"
        ticked = form("newsletter", "club", "foreign", "receipts", "nonsense", shown=[
            "newsletter", "club", "foreign", "receipts", "nonsense",
        ])  # fmt: skip
        answer = await client.post(link, data=ticked)
        assert answer.status_code == 200
        assert await site.facts(subject, EventKind.RESUBSCRIBED) == []


async def test_nothing_at_all_and_back_to_one(tmp_path):
    """HR-7, E2: opted out of everything except what is selected again."""
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter", "events", "foreign")
        link = f"/p/{site.token(subject, purpose='p')}"
        answer = await client.post(link, data={"action": "nothing"})
        assert "You get none of these" in answer.text
        assert boxes(answer.text)["newsletter"] == boxes(answer.text)["events"] == "off"
        assert site.withdrawn == [(subject, "acme", "")]
        (suppression,) = (await site.history(subject)).suppressions
        assert (suppression.sender, suppression.scope) == ("acme", "bulk")
        other = await client.get(f"/p/{site.token(subject, 'foreign', 'p')}")
        assert boxes(other.text) == {"foreign": "on"}

        answer = await client.post(link, data=form("events"))
        assert boxes(answer.text)["events"] == "on"
        assert boxes(answer.text)["newsletter"] == "off"


async def test_nothing_at_all_twice_is_once(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        link = f"/p/{site.token(subject, purpose='p')}"
        everything = {"action": "nothing"}
        await asyncio.gather(*(client.post(link, data=everything) for _ in range(4)))
        assert len(await site.facts(subject)) == 1


async def test_a_form_that_is_not_ours_changes_nothing(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        link = f"/p/{site.token(subject, purpose='p')}"
        for body in (
            b"",
            b"List-Unsubscribe=One-Click",
            b"action=save&action=nothing",
            b"action",
            b"\xff\xfe",
            b"action=save&shown=newsletter&x=" + b"x" * 100_000,
            b"&".join([b"action=save", *[b"shown=newsletter"] * 2000]),
        ):
            answer = await client.post(link, content=body)
            assert (body[:40], answer.status_code) == (body[:40], 400)
            assert "Nothing was changed" in answer.text
        assert len((await site.history(subject)).events) == 1


async def test_an_address_that_is_blocked_is_told_so(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        link = f"/p/{site.token(subject, purpose='p')}"
        assert "nothing is sent to your address" not in (await client.get(link)).text
        bounced = Fact(
            kind=EventKind.SUPPRESSED,
            at=site.store.now(),
            sender="acme",
            scope="all",
            suppression="hard-bounce",
        )
        await site.store.write(lambda tx: people.record_for_subject(tx, subject, [bounced]))
        assert "nothing is sent to your address" in (await client.get(link)).text


async def test_a_subject_of_another_store_has_no_page(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        link = f"/p/{site.token(12345, purpose='p')}"
        assert (await client.get(link)).status_code == 404
        assert (await client.post(link, data=form("events"))).status_code == 404
