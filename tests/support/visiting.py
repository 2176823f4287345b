"""Visitors of a served site: an HTTP client that waits for a machine that others keep busy.

async with served(tmp_path) as site, visiting(site.url) as client:
    await client.get("/privacy")

httpx gives up after five seconds, in which a disk may do nothing; and it believes in a proxy
that the environment names, also for loopback.
"""

from typing import Any

import httpx

from support.patience import PATIENCE_SECONDS


def visiting(url: str = "", **more: Any) -> httpx.AsyncClient:
    """A client whose paths begin at `url`."""
    return httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS, trust_env=False, **more)
