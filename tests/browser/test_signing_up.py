"""Signing up and confirming in a real browser: by keyboard, without JavaScript, for everybody."""

from datetime import timedelta

import pytest

from gatepost.consent.evidence import EventKind
from gatepost.mail.address import parse
from gatepost.store import people
from support.browser import DESKTOP, PHONE, watched
from support.signups import add_form, letters, path_in, token_of
from support.site import served

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANNA = parse("anna@example.org")


async def kinds(site):
    found = await site.store.read(lambda tx: people.history(tx, ANNA))
    return [event.kind for event in found.events] if found else []


async def age_form(site, page):
    """As if the page had been open for half a minute."""
    token = await token_of(site, age=timedelta(seconds=30))
    await page.locator('input[name="form"]').evaluate(
        "(field, value) => field.value = value", token
    )


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_from_the_form_to_the_button(browser, tmp_path, viewport):
    async with (
        served(tmp_path, letters=True) as site,
        watched(browser, viewport=viewport) as seen,
    ):
        await site.store.write(add_form)
        page = seen.page
        await page.goto(f"{site.url}/subscribe/web")
        club = page.get_by_role("checkbox", name="Letter to members")
        assert not await club.is_checked()
        assert (await page.locator(".away").bounding_box())["width"] <= 1
        await club.check()
        await age_form(site, page)
        await page.get_by_role("button", name="Sign up").click()
        await page.get_by_text("The e-mail address is not complete.").wait_for()
        assert await page.get_by_role("checkbox", name="Letter to members").is_checked()
        await page.get_by_label("Your e-mail address").fill("anna@example.org")
        await page.get_by_role("button", name="Sign up").click()
        await page.get_by_role("heading", name="One more step").wait_for()
        (letter,) = letters(site.store)
        await page.goto(f"{site.url}{path_in(letter, 'c')}")
        assert await kinds(site) == [EventKind.REQUESTED]
        await page.get_by_role("button", name="Yes, send it to me").click()
        await page.get_by_role("heading", name="Thank you, that is confirmed").wait_for()
        assert await kinds(site) == [EventKind.REQUESTED, EventKind.CONFIRMED]
        assert all("422" in complaint for complaint in seen.complaints)
        assert all(url.startswith(site.url) for url in seen.requests)


async def test_the_keyboard_never_meets_the_hidden_field(browser, tmp_path):
    async with (
        served(tmp_path, letters=True) as site,
        watched(browser, viewport=DESKTOP, java_script_enabled=True) as seen,
    ):
        await site.store.write(add_form)
        page = seen.page
        await page.goto(f"{site.url}/subscribe/web")
        met = []
        for _ in range(5):
            await page.keyboard.press("Tab")
            met.append(
                await page.evaluate("document.activeElement.id || document.activeElement.tagName")
            )
        assert met[:4] == ["stream-1", "stream-2", "address", "BUTTON"]
