"""Two gateways on one PostgreSQL: what one is told, the other does at once, not at its next look."""

import asyncio
import shutil
from contextlib import asynccontextmanager

import pytest

from gatepost.app import housekeeping
from gatepost.app.gateway import Gateway
from gatepost.config import load
from gatepost.flow import claims
from gatepost.flow.spool import fresh
from gatepost.mail.address import parse
from gatepost.store import campaigns, people
from gatepost.store.clock import steady
from support.consents import granted, withdrawn
from support.program import CONFIG
from support.submissions import accept, submission
from support.upstream import Upstream
from support.watching import mail


@pytest.fixture(autouse=True)
def nobody_looks_by_themselves(monkeypatch):
    monkeypatch.setattr(claims, "IDLE_SECONDS", 3600.0)
    monkeypatch.setattr(housekeeping, "WITHDRAWALS_SECONDS", 3600.0)
    monkeypatch.setattr(fresh, "CURRENT_FOR_SECONDS", 3600.0)  # or mail would wait for that look


@asynccontextmanager
async def gateway(folder, url, upstream):
    folder.mkdir(exist_ok=True)
    text = CONFIG.format(
        smtp_port=0, http_port=0, admin_port=0, upstream_port=upstream, store_url=url, connections=2
    ).replace("http://127.0.0.1:0", "http://127.0.0.1:8025")
    (folder / "config.toml").write_text(text)
    one = Gateway(load(folder / "config.toml", {}))
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


async def soon(holds):
    async with asyncio.timeout(120):
        while not holds():  # noqa: ASYNC110  it happens in the gateways
            await asyncio.sleep(0.02)


async def test_the_bell_wakes_the_other(tmp_path, postgres_url):
    ann = parse("ann@example.org")
    async with Upstream() as upstream:
        async with gateway(tmp_path / "first", postgres_url, upstream.port):
            pass  # makes the keys
        shutil.copytree(tmp_path / "first" / "data" / "keys", tmp_path / "second" / "data" / "keys")
        async with (
            gateway(tmp_path / "first", postgres_url, upstream.port) as first,
            gateway(tmp_path / "second", postgres_url, upstream.port) as second,
        ):
            subject = await first.store.write(lambda tx: people.record(tx, ann, [granted()]))
            # Put without a claim, as by a gateway that has no room: whoever hears it sends it.
            waiting = submission("ann@example.org", upstream="", content=mail("Hello"),
                                 needs_standing=True)  # fmt: skip
            (result,) = await asyncio.to_thread(accept, first.store, waiting)
            await soon(lambda: upstream.messages)

            def told(one):
                return one.queue.fresh.covers(subject, "acme", "newsletter", steady())

            assert not told(second)
            await first.store.write(lambda tx: people.record(tx, ann, [withdrawn()]))
            await soon(lambda: told(second))
            await second.store.write(lambda tx: campaigns.stop(tx, result.campaign))
            await soon(
                lambda: first.queue.fresh.stops(0, "acme", "newsletter", result.campaign, steady())
            )
