"""The pictures of the guides: one for each name, and none changed by being made smaller."""

import base64
import importlib.util

import pytest

from support.browser import watched
from support.documents import TOP
from support.gallery import STATES

pytestmark = pytest.mark.asyncio(loop_scope="module")

_spec = importlib.util.spec_from_file_location("screenshots", TOP / "docs" / "screenshots.py")
screenshots = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(screenshots)

PAINTED = """<style>body { margin: 0; background: #f4f3f0; font: 20px sans-serif }</style>
<h1 style="color: #0b6e5f">Acme AB</h1>"""


async def test_every_picture_is_taken_of_a_state_that_there_is():
    states = {state.name for state in STATES}
    assert {shot.state for shot in screenshots.SHOTS} <= states
    names = {f"{shot.name}.png" for shot in screenshots.SHOTS}
    assert {path.name for path in (TOP / "docs" / "img").glob("*.png")} == names


async def test_few_colours_show_the_same(browser):
    size = {"width": 240, "height": 90}
    async with watched(browser, viewport=size) as seen:
        await seen.page.set_content(PAINTED)
        before = await seen.page.screenshot()
        small = base64.b64encode(screenshots.in_few_colours(before)).decode()
        await seen.page.set_content(
            f'<body style="margin:0"><img style="display:block" src="data:image/png;base64,{small}">'
        )
        await seen.page.wait_for_function("document.images[0].complete")
        after = await seen.page.screenshot()
    one, other = screenshots._decoded(before), screenshots._decoded(after)
    assert one[:2] == other[:2] == (240, 90)
    distances = [screenshots._distance(*pair) for pair in zip(one[2], other[2], strict=True)]
    assert max(distances) < 100
    assert 2 < len(set(other[2])) <= 256
