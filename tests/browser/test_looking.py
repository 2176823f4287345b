"""Looking is not acting: a browser that opens every link and picture of every page changes nothing.

And what a person sees: the sender's colour and logo, no broken file, nothing from elsewhere.
"""

import re
from dataclasses import replace

import pytest

from gatepost.mail.picture import picture
from support.browser import DESKTOP, PHONE, watched
from support.site import SENDERS, served

pytestmark = pytest.mark.asyncio(loop_scope="module")

DRAWING = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40" viewBox="0 0 120 40">'
    b'<rect width="120" height="40" fill="#123456"/></svg>'
)
BRANDED = {**SENDERS, "acme": replace(SENDERS["acme"], accent="#ffcc00")}
LINKS = (
    "[...document.querySelectorAll('[href],[src],[action]')].map(e => e.href || e.src || e.action)"
)


async def test_a_scanner_in_a_browser_changes_nothing(browser, tmp_path):
    """R8058-14; REQUIREMENTS 4.B 1."""
    async with (
        served(tmp_path, letters=True, senders=BRANDED, logos={"acme": picture(DRAWING)}) as site,
        watched(browser, viewport=DESKTOP) as seen,
    ):
        subject = await site.subscribe("anna@example.org", "newsletter", "events")
        before = len((await site.history(subject)).events)
        waiting = [
            f"{site.url}/{purpose}/{site.token(subject, purpose=purpose)}" for purpose in "up"
        ]
        met = set()
        while waiting:
            link = waiting.pop()
            if link in met or not link.startswith(site.url):
                continue
            met.add(link)
            await seen.page.goto(link)
            if not re.search(r"\.(css|svg)$", link):
                waiting += await seen.page.evaluate(LINKS)
        assert len(met) > 10
        assert {link.rpartition(".")[2] for link in met} >= {"css", "svg"}
        assert len((await site.history(subject)).events) == before
        assert await site.letters() == []
        assert all(link.startswith(site.url) for link in seen.requests)
        assert await seen.context.cookies() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_the_page_has_the_sender_s_colour_and_logo(browser, tmp_path, viewport, scheme):
    async with (
        served(tmp_path, senders=BRANDED, logos={"acme": picture(DRAWING)}) as site,
        watched(browser, viewport=viewport, color_scheme=scheme) as seen,
    ):
        subject = await site.subscribe("anna@example.org", "newsletter")
        await seen.page.goto(f"{site.url}/u/{site.token(subject)}")
        logo = await seen.page.evaluate(
            "(i => [i.complete, i.naturalWidth])(document.querySelector('img.logo'))"
        )
        assert logo == [True, 120]
        button = seen.page.get_by_role("button")
        colour = await button.evaluate("e => getComputedStyle(e).backgroundColor")
        assert colour == "rgb(255, 204, 0)"
        assert seen.complaints == []


async def test_a_second_tap_brings_it_back_without_scripts(browser, tmp_path):
    async with (
        served(tmp_path) as site,
        watched(browser, viewport=PHONE, java_script_enabled=False) as seen,
    ):
        subject = await site.subscribe("anna@example.org", "newsletter")
        await seen.page.goto(f"{site.url}/u/{site.token(subject)}?lang=da")
        await seen.page.get_by_role("button", name="Afmeld").click()
        await seen.page.get_by_role("button", name="Fortryd").click()
        await seen.page.get_by_role("heading", name="Alt er som før").wait_for()
        assert seen.complaints == []
