"""Every page and state can be used by everybody: in five languages, by day and by night.

WCAG 2.2 AA as far as axe-core sees, 320 pixels wide and at 200 %.
"""

import pytest

from support.gallery import LANGUAGES, STATES
from support.looking import examined

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_state_in_every_language(browser, place, language):
    assert await examined(browser, place, language, STATES) == {}
