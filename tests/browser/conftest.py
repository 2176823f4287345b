"""One browser and one site for all tests of a module; a context of its own for each test."""

import pytest_asyncio

from support.browser import chromium
from support.gallery import gallery


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser():
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory):
    async with gallery(tmp_path_factory.mktemp("gallery")) as served:
        yield served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plain(tmp_path_factory):
    """A sender without colour and logo."""
    async with gallery(tmp_path_factory.mktemp("plain"), branded=False) as served:
        yield served
