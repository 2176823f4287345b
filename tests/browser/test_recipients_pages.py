"""The recipients' pages in a real browser: people can leave and choose, scanners cannot."""

import pytest

from gatepost.consent.evidence import EventKind
from support.browser import DESKTOP, PHONE, chromium, watched
from support.site import served

NARROW = {"width": 320, "height": 640}
LANGUAGES = ("en", "sv", "da", "de", "nb")

# The lowest contrast of any text on the page with what lies behind it (WCAG 2.2, 1.4.3).
CONTRAST = """() => {
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  let worst = [21, ''];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!own || element.closest('svg')) continue;
    const pair = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < worst[0]) worst = [ratio, element.textContent.trim()];
  }
  return worst;
}"""


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_one_tap_leaves_and_a_second_page_chooses(tmp_path, viewport):
    async with (
        served(tmp_path) as site,
        chromium() as browser,
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
        await page.get_by_role("button", name="Save").click()
        assert await page.get_by_role("checkbox", name="Monthly newsletter").is_checked()
        assert "Saved." in await page.get_by_role("status").inner_text()
        assert len(await site.facts(subject, EventKind.RESUBSCRIBED)) == 1

        await page.get_by_role("button", name="Unsubscribe from everything").click()
        assert not await page.get_by_role("checkbox", name="Monthly newsletter").is_checked()
        assert len(await site.facts(subject)) == 2

        assert all(url.startswith(site.url) for url in seen.requests)
        assert seen.complaints == []
        assert await seen.context.cookies() == []


async def test_the_keyboard_will_do(tmp_path):
    async with served(tmp_path) as site, chromium() as browser, watched(browser) as seen:
        subject = await site.subscribe("anna@example.org", "newsletter")
        await seen.page.goto(f"{site.url}/u/{site.token(subject)}")
        await seen.page.keyboard.press("Tab")
        ring = "getComputedStyle(document.activeElement).outlineStyle"
        assert await seen.page.evaluate(ring) == "solid"
        await seen.page.keyboard.press("Enter")
        await seen.page.get_by_role("heading", name="You are unsubscribed").wait_for()
        assert len(await site.facts(subject)) == 1


async def test_a_scanner_that_opens_everything_changes_nothing(tmp_path):
    """REQUIREMENTS 4.B 1, SO-13 read as D4."""
    async with served(tmp_path) as site, chromium() as browser, watched(browser) as seen:
        subject = await site.subscribe("anna@example.org", "newsletter", "events")
        before = await site.history(subject)
        waiting, opened = [f"{site.url}/u/{site.token(subject)}"], set()
        while waiting:
            url = waiting.pop()
            if url in opened or not url.startswith(site.url):
                continue
            opened.add(url)
            await seen.page.goto(url, wait_until="networkidle")
            waiting += await seen.page.eval_on_selector_all(
                "[href], [src]", "all => all.map(one => one.href || one.src)"
            )
        assert len(opened) > 2 * len(LANGUAGES)
        assert await site.history(subject) == before
        assert site.withdrawn == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_readable_in_every_language_on_a_narrow_phone(tmp_path, scheme):
    async with (
        served(tmp_path) as site,
        chromium() as browser,
        watched(browser, viewport=NARROW, color_scheme=scheme) as seen,
    ):
        page = seen.page
        for language in LANGUAGES:
            subject = await site.subscribe(f"anna@{language}.example", "newsletter")
            leave = f"{site.url}/u/{site.token(subject)}?lang={language}"
            choose = f"{site.url}/p/{site.token(subject, purpose='p')}?lang={language}"
            for url in (leave, choose, f"{site.url}/u/x?lang={language}"):
                await page.goto(url)
                await _check(page, url)
            await page.goto(leave)
            async with page.expect_navigation():  # else the old page may be looked at
                await page.get_by_role("button").click()
            await _check(page, "done")
        assert [text for text in seen.complaints if "404" not in text] == []


async def _check(page, where):
    """One heading, landmarks, every box labelled, nothing wider than the screen, contrast."""
    across = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert (where, await page.evaluate(across)) == (where, 0)
    assert await page.get_by_role("heading", level=1).count() == 1
    assert await page.get_by_role("main").count() == 1
    assert await page.get_by_role("contentinfo").count() == 1
    for box in await page.get_by_role("checkbox").all():
        assert await box.evaluate("box => box.labels.length") == 1
    for button in await page.get_by_role("button").all():
        size = await button.bounding_box()
        assert size is not None
        assert min(size["width"], size["height"]) >= 44
    ratio, text = await page.evaluate(CONTRAST)
    assert (ratio >= 4.5, text, where) == (True, text, where)


async def test_printing_leaves_the_controls_out(tmp_path):
    async with served(tmp_path) as site, chromium() as browser, watched(browser) as seen:
        subject = await site.subscribe("anna@example.org", "newsletter")
        await seen.page.goto(f"{site.url}/u/{site.token(subject)}")
        await seen.page.emulate_media(media="print")
        assert not await seen.page.get_by_role("button").is_visible()
        assert await seen.page.get_by_text("Storgatan 1, 111 22 Stockholm, Sweden").is_visible()
