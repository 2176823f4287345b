"""A served site, and a program that talks to its API with a key."""

from contextlib import asynccontextmanager

from gatepost.store import api_keys, sources
from gatepost.store.sources import Attestations
from support.site import served
from support.visiting import visiting

VALID = Attestations(voluntary=True, informed=True, specific=True, states_withdrawal=True)


@asynccontextmanager
async def api(folder, **more):
    """(site, client) where the client's key opens everything."""
    async with served(folder, **more) as site:
        key = await key_for(site, "all")
        async with client_with(site, key) as client:
            yield site, client


def client_with(site, key):
    return visiting(
        f"http://127.0.0.1:{site.admin_port}/api/v1", headers={"Authorization": f"Bearer {key}"}
    )


async def key_for(site, name, *, scopes=(), senders=(), expires_at=None):
    return await site.store.write(
        lambda tx: api_keys.add(tx, name, scopes=scopes, senders=senders, expires_at=expires_at)
    )


async def add_source(site, name="web", sender="acme", streams=("newsletter", "events", "club")):
    def write(tx):
        sources.add_source(tx, name, sender=sender, kind="form", streams=streams)
        sources.add_text(tx, name, "Yes, Acme AB may send me news.", attestations=VALID)

    await site.store.write(write)
