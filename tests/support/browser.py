"""Debian's Chromium, driven by Playwright, with a fresh profile and no background traffic."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, async_playwright

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}
_PATIENCE_MS = 120_000  # only ends what hangs
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A running browser. Each launch has a temporary profile of its own."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "the browser tests need Debian's package chromium"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, headless=True, args=_FLAGS, timeout=_PATIENCE_MS
        )
        try:
            yield browser
        finally:
            await browser.close()


class Watched:
    """A page, and everything it asked for and complained about."""

    def __init__(self, context: BrowserContext, page: Page) -> None:
        self.context = context
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))


@asynccontextmanager
async def watched(browser: Browser, **options: Any) -> AsyncIterator[Watched]:
    """A page in a context of its own: `viewport`, `color_scheme`, `java_script_enabled` …"""
    context = await browser.new_context(**options)
    context.set_default_timeout(_PATIENCE_MS)
    try:
        yield Watched(context, await context.new_page())
    finally:
        await context.close()
