"""Signing up and confirming in a real browser: by keyboard, without JavaScript, for everybody."""

from datetime import timedelta

import pytest
from axe_playwright_python.async_playwright import Axe

from gatepost.consent.evidence import EventKind
from gatepost.mail.address import parse
from gatepost.store import people
from support.browser import DESKTOP, PHONE, chromium, watched
from support.signups import add_form, filled, letters, path_in, token_of
from support.site import served

NARROW = {"width": 320, "height": 640}
LANGUAGES = ("en", "sv", "da", "de", "nb")
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
async def test_from_the_form_to_the_button(tmp_path, viewport):
    async with (
        served(tmp_path, letters=True) as site,
        chromium() as browser,
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


async def test_the_keyboard_never_meets_the_hidden_field(tmp_path):
    async with (
        served(tmp_path, letters=True) as site,
        chromium() as browser,
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everybody_can_use_every_page_in_every_language(tmp_path, scheme):
    """WCAG 2.2 AA as far as axe-core sees, 320 pixels wide, nothing cut off."""
    async with (
        served(tmp_path, letters=True) as site,
        chromium() as browser,
        watched(browser, viewport=NARROW, color_scheme=scheme, bypass_csp=True) as seen,
    ):
        await site.store.write(add_form)
        page, axe = seen.page, Axe()
        await page.goto(f"{site.url}/subscribe/web")
        await page.request.post(
            f"{site.url}/subscribe/web",
            form={k: (v[0] if isinstance(v, list) else v)
                  for k, v in (await filled(site, "club")).items()},
        )  # fmt: skip
        confirm = path_in(letters(site.store)[0], "c").partition("?")[0]
        found = {}
        for language in LANGUAGES:
            for path in ("/subscribe/web", "/subscribe/nowhere", confirm, "/c/wrong"):
                await page.goto(f"{site.url}{path}?lang={language}")
                found |= await _faults(page, axe, f"{path[:12]} {language}")
            await page.goto(f"{site.url}/subscribe/web?lang={language}")
            await page.locator("main button").click()  # too quick, nothing ticked, no address
            await page.locator('[role="alert"]').wait_for()
            found |= await _faults(page, axe, f"asked again {language}")
        await page.goto(f"{site.url}{confirm}")
        await page.locator("main button").click()
        found |= await _faults(page, axe, "confirmed")
        assert found == {}


async def _faults(page, axe, name):
    result = await axe.run(page)
    wide = await page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    faults = [one["id"] for one in result.response["violations"]] + (["too wide"] if wide else [])
    return {name: faults} if faults else {}
