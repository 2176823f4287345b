"""A person leaves with one tap, comes back with a second, and chooses without reading help.

By thumb on a phone, and by keyboard alone; on paper, with forced colours, with less motion.
"""

import re

import pytest

from gatepost.consent.evidence import EventKind
from support.browser import DESKTOP, PHONE
from support.gallery import STATES, letter_link, unsubscribe
from support.looking import discreet, faults

pytestmark = pytest.mark.asyncio(loop_scope="module")

BY_NAME = {state.name: state.open for state in STATES}
FOCUS = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  return [one.tagName, one.id || one.name || one.textContent.trim(), one.value || '',
          style.outlineStyle, parseFloat(style.outlineWidth)];
}"""
ON_SCREEN = (
    "one => { const b = one.getBoundingClientRect(); return b.top >= 0 && b.bottom <= innerHeight }"
)


class Keyboard:
    """Somebody without mouse and screen: Tab, Space and Enter, and the focus always in sight."""

    def __init__(self, page):
        self.page = page

    async def to(self, name):
        """Tabs on until the focus is on what is called `name`."""
        for _ in range(40):
            await self.page.keyboard.press("Tab")
            tag, called, value, line, width = await self.page.evaluate(FOCUS)
            assert tag in {"A", "BUTTON", "INPUT"}, "the focus is lost"
            assert (line, width >= 2) == ("solid", True), f"the focus on {called} is not seen"
            if name in (called, value):
                return
        raise AssertionError(f"Tab does not lead to {name}")

    async def press(self, name, key="Enter"):
        await self.to(name)
        async with self.page.expect_navigation():
            await self.page.keyboard.press(key)

    async def heading(self, text):
        await self.page.get_by_role("heading", level=1, name=text).wait_for()


async def test_one_tap_leaves_a_second_comes_back(browser, place):
    """Without scrolling: both buttons are on a phone's first screen, in each language."""
    async with discreet(browser, place.site.url, has_touch=True, java_script_enabled=False) as page:
        for language in ("en", "de"):
            subject = await place.person("newsletter")
            await page.goto(f"{place.link(subject)}?lang={language}")
            (leave,) = await page.get_by_role("button").all()
            assert await leave.evaluate(ON_SCREEN)
            async with page.expect_navigation():
                await leave.tap()
            assert len(await place.site.facts(subject)) == 1
            (undo,) = await page.get_by_role("button").all()
            assert await undo.evaluate(ON_SCREEN)
            async with page.expect_navigation():
                await undo.tap()
            assert len(await place.site.facts(subject, EventKind.RESUBSCRIBED)) == 1


async def test_choosing_takes_a_tap_on_the_line_and_one_to_save(browser, place):
    async with discreet(browser, place.site.url, has_touch=True, java_script_enabled=False) as page:
        subject = await place.person("newsletter", "events")
        await page.goto(place.link(subject, "p"))
        line = await page.get_by_text("Where to meet us").bounding_box()
        await page.touchscreen.tap(line["x"] + 9, line["y"] + 9)  # not the box, not its name
        async with page.expect_navigation():
            await page.get_by_role("button", name="Save").tap()
        boxes = [
            (await box.get_attribute("value"), await box.is_checked())
            for box in await page.get_by_role("checkbox").all()
        ]
        assert boxes[:2] == [("newsletter", True), ("events", False)]
        (fact,) = await place.site.facts(subject)
        assert (fact.kind, fact.stream) == (EventKind.WITHDRAWN, "events")


async def test_leaving_looks_no_less_than_staying(browser, place):
    """No dark pattern: on each page all buttons are as high and written as large."""
    looks = "one => { const s = getComputedStyle(one); return [one.offsetHeight, one.offsetWidth, s.fontSize, s.fontWeight, s.borderWidth] }"
    async with discreet(browser, place.site.url) as page:
        subject = await place.person("newsletter")
        await page.goto(place.link(subject, "p") + "?lang=sv")
        save, nothing = await page.get_by_role("button").all()
        assert await save.evaluate(looks) == await nothing.evaluate(looks)


async def test_leaving_and_choosing_by_keyboard(browser, place):
    async with discreet(browser, place.site.url, viewport=DESKTOP) as page:
        subject = await place.person("newsletter", "events")
        await page.goto(place.link(subject))
        keys = Keyboard(page)
        await keys.press("page", "Space")
        await keys.heading("You are unsubscribed")
        await keys.press("action")
        await keys.heading("Everything is as before")
        await keys.press("Choose what you get from Acme AB")
        await keys.to("events")
        await page.keyboard.press("Space")
        await keys.press("save")
        assert [fact.stream for fact in await place.site.facts(subject)] == ["newsletter", "events"]
        await keys.press("nothing", "Space")
        await keys.press("undo", "Space")
        await keys.heading("Everything is as before")
        await keys.press("Svenska")
        assert await page.evaluate("document.documentElement.lang") == "sv"


async def test_signing_up_by_keyboard(browser, place):
    async with discreet(browser, place.site.url, viewport=DESKTOP) as page:
        await page.goto(f"{place.site.url}/subscribe/website-en")
        keys = Keyboard(page)
        await keys.press("Sign up")
        await keys.press("The e-mail address is not complete.")  # leads to the field itself
        assert (await page.evaluate(FOCUS))[1] == "address"
        await page.keyboard.type(place.address())
        await page.keyboard.press("Shift+Tab")
        await page.keyboard.press("Space")  # the last of the boxes: the members' letter
        place.later(seconds=30)
        await keys.press("Sign up")
        await keys.heading("One more step")
        await page.goto(await letter_link(place, "c"))
        await Keyboard(page).press("Yes, send it to me")
        await keys.heading("Thank you, that is confirmed")


@pytest.mark.parametrize(("kind", "step"), [("privacy", "privacy"), ("manage", "p")])
async def test_asking_for_a_link_by_keyboard(browser, place, kind, step):
    async with discreet(browser, place.site.url, viewport=DESKTOP) as page:
        address = place.address()
        await place.site.subscribe(address, "newsletter")
        await page.goto(f"{place.site.url}/{kind}")
        keys = Keyboard(page)
        await keys.press("Acme AB")
        await keys.to("address")
        await page.keyboard.type(address)
        await keys.press("Send me the link")
        await keys.heading("Look in your mailbox")
        await place.site.mailed()
        await page.goto(await letter_link(place, step))
        await page.get_by_text("Monthly newsletter").first.wait_for()


@pytest.mark.parametrize("name", ["unsubscribed", "preferences", "confirmed", "dossier"])
async def test_on_paper_there_is_what_matters(browser, place, name):
    async with discreet(browser, place.site.url) as page:
        await BY_NAME[name](place, page, "de")
        await page.emulate_media(media="print", color_scheme="dark")
        assert not await page.get_by_role("button").first.is_visible()
        assert await page.get_by_role("heading", level=1).is_visible()
        ground = "getComputedStyle(document.body).backgroundColor"
        assert await page.evaluate(ground) == "rgb(255, 255, 255)"
        pages = re.findall(rb"/Type\s*/Page\b", await page.pdf(format="A4"))
        assert 1 <= len(pages) <= (6 if name == "dossier" else 1)


async def test_forced_colours_leave_everything_to_be_seen(browser, place):
    seen = """() => [...document.querySelectorAll('button, input[type=checkbox], .tick circle')]
      .filter(one => { const s = getComputedStyle(one); return s.visibility === 'hidden'
        || (one.tagName === 'BUTTON' && s.borderStyle !== 'solid')
        || (one.tagName === 'circle' && s.fill === getComputedStyle(document.body).backgroundColor)
      }).length"""
    async with discreet(browser, place.site.url, forced_colors="active") as page:
        for name in ("preferences", "unsubscribed", "sign-up"):
            await BY_NAME[name](place, page, "en")
            assert (name, await page.evaluate(seen)) == (name, 0)


async def test_nothing_moves(browser, place):
    """Nobody has to ask for less motion (WCAG 2.2 §2.3.3): there is none."""
    moving = """() => [...document.querySelectorAll('*')].filter(one => {
      const s = getComputedStyle(one);
      return s.animationName !== 'none' || s.transitionDuration !== '0s'
        || s.scrollBehavior !== 'auto' }).length + document.getAnimations().length"""
    async with discreet(browser, place.site.url, reduced_motion="reduce") as page:
        for name in ("preferences", "unsubscribed", "sign-up"):
            await BY_NAME[name](place, page, "en")
            assert await page.evaluate(moving) == 0


async def test_words_in_another_language_say_so(browser, place):
    """WCAG 2.2 §3.1.2: a title that is not translated, a consent text on record."""
    spoken = "one => one.closest('[lang]').lang"
    async with discreet(browser, place.site.url) as page:
        await unsubscribe(place, page, "de", "svenska")
        title = page.get_by_text("Öppet hus i Stockholm", exact=True)
        assert await title.first.evaluate(spoken) == "sv"
        await BY_NAME["preferences"](place, page, "de")
        for words, language in (
            ("Öppet hus i Stockholm", "sv"),
            ("Inbjudningar, på svenska", "sv"),
            ("Mitgliederrundschreiben", "de"),
        ):
            assert await page.get_by_text(words, exact=True).evaluate(spoken) == language
        await BY_NAME["sign-up-swedish-text"](place, page, "de")
        assert await page.get_by_text("Ja, Acme AB får").evaluate(spoken) == "sv"


async def test_the_examination_finds_what_is_wrong(browser):
    """What the other tests find nothing with finds something where there is something."""
    bad = """<html lang=en><title>x</title><body style="margin:0"><h1>x</h1><h1>y</h1><main>
      <input id=a><p style="color:#999;width:700px">pale and wide</p>
      <button style="height:20px;width:20px">b</button></main>"""
    async with discreet(browser, viewport=PHONE) as page:
        await page.set_content(bad)
        found = " ".join(await faults(page, "de"))
    for fault in ("color-contrast", "label:", "2 of h1", "0 of body > footer", "0 labels of a",
                  "small: b", "320: scrolls sideways", "640: P sticks out", "en"):  # fmt: skip
        assert fault in found
