"""The same pages with less: without a sender's colour and logo, and without JavaScript."""

import pytest

from support.browser import DESKTOP
from support.gallery import STATES
from support.looking import discreet, examined, keep_status

HEADINGS = {
    "one-more-step": "One more step",
    "signed-up": "You are signed up",
    "confirmed": "Thank you, that is confirmed",
    "confirmation-expired": "It is too late to confirm this",
    "unsubscribed": "You are unsubscribed",
    "unsubscribed-then-undone": "Everything is as before",
    "unsubscribed-in-the-mail-program-then-opened": "You are unsubscribed",
    "undone-too-late": "What would you like to get from Acme AB?",
    "preferences-nothing-undone": "Everything is as before",
    "privacy-sent": "Look in your mailbox",
    "dossier-link-expired": "This link is too old",
    "link-altered": "This link does not work",
    "too-many": "Please wait a moment",
    "unavailable": "Not possible just now",
}

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]


async def test_every_page_of_a_sender_without_a_look(browser, plain):
    kinds = {state.name.partition("-")[0]: state for state in reversed(STATES)}
    assert await examined(browser, plain, "en", kinds.values(), viewport=DESKTOP) == {}


async def test_every_state_without_scripts(browser, place):
    """The same pages come of the same presses."""
    async with discreet(
        browser, place.site.url, place.old.url, java_script_enabled=False, viewport=DESKTOP
    ) as page:
        last = []
        page.on("response", lambda answer: keep_status(last, answer))
        for state in STATES:
            await state.open(place, page, "en")
            assert (state.name, last[-1]) == (state.name, state.status)
            heading = await page.get_by_role("heading", level=1).inner_text()
            assert heading == HEADINGS.get(state.name, heading)
    assert HEADINGS.keys() <= {state.name for state in STATES}
