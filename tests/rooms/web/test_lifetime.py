"""`[links] lifetime`: an old link lets people leave, and does nothing else (ME-2)."""

from datetime import timedelta

import pytest

from gatepost.consent.evidence import EventKind
from gatepost.consent.tokens import Claim, Purpose, stream_tag
from gatepost.mail.duration import parse
from gatepost.store.tables import mail as tables
from gatepost.store.times import to_ms
from support.site import SUBMISSION, served
from support.submissions import accept, change, submission
from support.visiting import visiting

LIFETIME = parse("60 days")


def mailed(site, *, days_ago):
    """The submission that the links of the site name."""
    accept(site.store, submission("anna@example.org", id=SUBMISSION))
    received = to_ms(site.store.now() - timedelta(days=days_ago))
    change(site.store, tables.submission, {"received_ms": received})


@pytest.mark.parametrize(
    ("days_ago", "lifetime", "status"),
    [(59, LIFETIME, 200), (61, LIFETIME, 410), (4000, None, 200)],
)
async def test_choosing_ends_with_the_lifetime(tmp_path, days_ago, lifetime, status):
    async with (
        served(tmp_path, lifetime=lifetime) as site,
        visiting(site.url) as client,
    ):
        anna = await site.subscribe("anna@example.org", "newsletter")
        mailed(site, days_ago=days_ago)
        link = f"/p/{site.token(anna, purpose='p')}"
        form = {"action": "save", "shown": ["newsletter", "events"], "on": ["newsletter", "events"]}
        assert (await client.get(link)).status_code == status
        assert (await client.post(link, data=form)).status_code == status
        joined = await site.facts(anna, EventKind.RESUBSCRIBED)
        assert len(joined) == (1 if status == 200 else 0)


async def test_leaving_never_ends(tmp_path):
    async with (
        served(tmp_path, lifetime=LIFETIME) as site,
        visiting(site.url) as client,
    ):
        anna = await site.subscribe("anna@example.org", "newsletter")
        mailed(site, days_ago=4000)
        link = f"/u/{site.token(anna)}"
        assert "/p/" not in (await client.get(link)).text
        body = {"List-Unsubscribe": "One-Click"}
        assert (await client.post(link, data=body)).status_code == 200
        assert site.withdrawn == [(anna, "acme", "newsletter")]


@pytest.mark.parametrize("language", ["en", "sv", "da", "de", "nb"])
async def test_the_page_for_an_old_link_shows_the_way_out(tmp_path, language):
    async with (
        served(tmp_path, lifetime=LIFETIME) as site,
        visiting(site.url) as client,
    ):
        anna = await site.subscribe("anna@example.org", "newsletter")
        mailed(site, days_ago=61)
        page = await client.get(f"/p/{site.token(anna, purpose='p')}?lang={language}")
        assert page.status_code == 410
        assert f'href="../u/{site.token(anna)}?lang={language}"' in page.text
        assert "Acme AB" in page.text


async def test_a_submission_that_is_gone_was_older_than_any_link(tmp_path):
    """Its row is kept at least as long as links work (`[retention] verdicts`)."""
    async with (
        served(tmp_path, lifetime=LIFETIME) as site,
        visiting(site.url) as client,
    ):
        anna = await site.subscribe("anna@example.org", "newsletter")
        assert (await client.get(f"/p/{site.token(anna, purpose='p')}")).status_code == 410
        assert (await client.post(f"/u/{site.token(anna)}")).status_code == 200


async def test_a_link_of_no_submission_has_no_age(tmp_path):
    async with (
        served(tmp_path, lifetime=LIFETIME) as site,
        visiting(site.url) as client,
    ):
        anna = await site.subscribe("anna@example.org", "newsletter")
        claim = Claim(anna, stream_tag("newsletter"), 0)
        link = f"/p/{site.ring.seal(Purpose.PREFERENCES, claim)}"
        assert (await client.get(link)).status_code == 200
