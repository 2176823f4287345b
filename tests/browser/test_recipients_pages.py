"""The recipients' pages in a real browser: people can leave and choose."""

import pytest

from gatepost.consent.evidence import EventKind
from support.browser import DESKTOP, PHONE, watched
from support.site import served

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_one_tap_leaves_and_a_second_page_chooses(browser, tmp_path, viewport):
    async with (
        served(tmp_path) as site,
        watched(browser, viewport=viewport, java_script_enabled=False) as seen,
    ):
        subject = await site.subscribe("anna@example.org", "newsletter")
        page = seen.page
        await page.goto(f"{site.url}/u/{site.token(subject)}")
        assert await site.facts(subject) == []
        await page.get_by_role("button", name="Unsubscribe").click()
        await page.get_by_role("heading", name="You are unsubscribed").wait_for()
        (fact,) = await site.facts(subject)
        assert (fact.stream, fact.method) == ("newsletter", "page")
        assert "Chrom" in fact.user_agent

        await page.get_by_role("link", name="Choose what you get from Acme AB").click()
        news = page.get_by_role("checkbox", name="Monthly newsletter")
        assert not await news.is_checked()
        await news.check()
        async with page.expect_navigation():
            await page.get_by_role("button", name="Save").click()
        assert await page.get_by_role("checkbox", name="Monthly newsletter").is_checked()
        assert "Saved." in await page.get_by_role("status").inner_text()
        assert len(await site.facts(subject, EventKind.RESUBSCRIBED)) == 1

        async with page.expect_navigation():
            await page.get_by_role("button", name="Unsubscribe from everything").click()
        assert not await page.get_by_role("checkbox", name="Monthly newsletter").is_checked()
        assert len(await site.facts(subject)) == 2

        assert all(url.startswith(site.url) for url in seen.requests)
        assert seen.complaints == []
        assert await seen.context.cookies() == []


async def test_the_keyboard_will_do(browser, tmp_path):
    async with served(tmp_path) as site, watched(browser) as seen:
        subject = await site.subscribe("anna@example.org", "newsletter")
        await seen.page.goto(f"{site.url}/u/{site.token(subject)}")
        await seen.page.keyboard.press("Tab")
        ring = "getComputedStyle(document.activeElement).outlineStyle"
        assert await seen.page.evaluate(ring) == "solid"
        await seen.page.keyboard.press("Enter")
        await seen.page.get_by_role("heading", name="You are unsubscribed").wait_for()
        assert len(await site.facts(subject)) == 1


async def test_printing_leaves_the_controls_out(browser, tmp_path):
    async with served(tmp_path) as site, watched(browser) as seen:
        subject = await site.subscribe("anna@example.org", "newsletter")
        await seen.page.goto(f"{site.url}/u/{site.token(subject)}")
        await seen.page.emulate_media(media="print")
        assert not await seen.page.get_by_role("button").is_visible()
        assert await seen.page.get_by_text("Storgatan 1, 111 22 Stockholm, Sweden").is_visible()
