"""What a page in a browser is examined for: axe-core, reflow, landmarks, where it asks.

In: a Playwright page. Out: faults as text, none for a page that everybody can use.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from playwright.async_api import Browser, Page, Response

from support.browser import PHONE, watched
from support.gallery import Gallery, State

NARROW = {"width": 320, "height": 640}
ZOOMED = {"width": 640, "height": 400}  # 1280 by 800 at 200 %

_AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_RUN = "run => axe.run(document, run)"

# Landmarks and headings, the language, and that nothing is without an answer to "what is it?".
_FRAME = """language => {
  const count = selector => document.querySelectorAll(selector).length;
  const faults = [];
  for (const one of ['h1', 'main', 'body > footer']) {
    if (count(one) !== 1) faults.push(`${count(one)} of ${one}`);
  }
  if (document.documentElement.lang !== language) faults.push(document.documentElement.lang);
  if (!document.title.trim()) faults.push('no title');
  for (const field of document.querySelectorAll('input:not([type=hidden])')) {
    if (field.labels.length !== 1) faults.push(`${field.labels.length} labels of ${field.id}`);
  }
  return faults;
}"""

# What sticks out at the side, or is cut off inside its own box.
_REFLOW = """() => {
  const wide = document.documentElement.clientWidth, faults = [];
  if (document.documentElement.scrollWidth > wide) faults.push('scrolls sideways');
  for (const element of document.querySelectorAll('body *')) {
    if (element.closest('.away, svg')) continue;
    const box = element.getBoundingClientRect();
    if (box.width && (box.right > wide + 1 || box.left < -1)) {
      faults.push(`${element.tagName} sticks out`);
    }
    const style = getComputedStyle(element);
    if (style.overflow !== 'visible' && element.scrollWidth > element.clientWidth + 1) {
      faults.push(`${element.tagName} is cut off`);
    }
  }
  return faults;
}"""

_TOUCH = """() => [...document.querySelectorAll('button')]
  .filter(one => one.getBoundingClientRect().height < 44 || one.getBoundingClientRect().width < 44)
  .map(one => `small: ${one.textContent}`)"""


async def faults(page: Page, language: str) -> list[str]:
    """Everything that is wrong with a page, by day and by night, narrow and zoomed."""
    await page.evaluate(_AXE)
    found = await _axe(page, {"runOnly": {"type": "tag", "values": _TAGS}})
    found += await page.evaluate(_FRAME, language)
    found += await page.evaluate(_TOUCH)
    await page.emulate_media(color_scheme="dark")
    contrast = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
    found += [f"dark: {fault}" for fault in await _axe(page, contrast)]
    await page.emulate_media(color_scheme="light")
    for size in (NARROW, ZOOMED):
        await page.set_viewport_size(size)  # type: ignore[arg-type]
        found += [f"{size['width']}: {fault}" for fault in await page.evaluate(_REFLOW)]
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    return found


async def _axe(page: Page, run: dict[str, Any]) -> list[str]:
    result = await page.evaluate(_RUN, {"resultTypes": ["violations"], **run})
    return [
        f"{one['id']}: {[node['html'][:120] for node in one['nodes']]}"
        for one in result["violations"]
    ]


@asynccontextmanager
async def discreet(browser: Browser, *origins: str, **options: Any) -> AsyncIterator[Page]:
    """A page that must ask nobody but `origins`, keep no cookie and complain of nothing."""
    options = {"viewport": PHONE, **options}
    async with watched(browser, **options) as seen:
        yield seen.page
        # What Chromium says of an answer such as 404 is no complaint about the page.
        assert [text for text in seen.complaints if "status of 4" not in text
                and "status of 503" not in text] == []  # fmt: skip
        assert [url for url in seen.requests if not url.startswith(origins)] == []
        assert await seen.context.cookies() == []


async def examined(
    browser: Browser, place: Gallery, language: str, states: Iterable[State], **options: Any
) -> dict[str, list[str]]:
    """Opens every state; the faults by its name."""
    found: dict[str, list[str]] = {}
    origins = (place.site.url, place.old.url)
    async with discreet(browser, *origins, locale=language, **options) as page:
        last: list[int] = []
        page.on("response", lambda answer: keep_status(last, answer))
        for state in states:
            await state.open(place, page, language)
            wrong = await faults(page, language)
            if last[-1] != state.status:
                wrong.append(f"answered {last[-1]}")
            if wrong:
                found[str(state)] = wrong
    return found


def keep_status(last: list[int], answer: Response) -> None:
    """Notes the status of an answer that is a page."""
    if answer.request.is_navigation_request():
        last.append(answer.status)
