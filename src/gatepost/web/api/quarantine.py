"""`/api/v1/quarantine`: recipients that are held, and what becomes of them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from gatepost.store.plain import plain
from gatepost.store.spool import quarantine
from gatepost.store.spool.quarantine import QuarantineRow
from gatepost.store.transaction import Tx
from gatepost.web.api.holder import Holder, holder
from gatepost.web.api.paging import PAGE, Limit, link_next
from gatepost.web.api.problems import Problem
from gatepost.web.api.shapes import MAX_ID, Changed, Deletion, Held, Release
from gatepost.web.site import Site


def router(site: Site) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["quarantine"])

    @routes.get("/quarantine", response_model=list[Held])
    async def list_quarantine(
        request: Request,
        response: Response,
        who: Annotated[Holder, Depends(holder(site, "quarantine:read"))],
        *,
        stream: Annotated[str | None, Query(max_length=100)] = None,
        after: Annotated[int, Query(ge=0, le=MAX_ID, description="from Link")] = 0,
        limit: Limit = PAGE,
    ) -> list[QuarantineRow]:
        """List what is held, and until when."""
        rows = await site.store.survey(
            partial(
                quarantine.list_quarantine,
                stream=None if stream is None else plain(stream),
                senders=who.senders,
                after=after,
                limit=limit,
            )
        )
        if len(rows) == limit:
            link_next(request, response, after=rows[-1].id)
        return rows

    @routes.post("/quarantine/release")
    async def release(
        asked: Release, who: Annotated[Holder, Depends(holder(site, "quarantine:write"))]
    ) -> Changed:
        """Let held mail go out; the reason goes on record with the name of the key.

        Nothing overrules a withdrawal from everything, a complaint or a hard bounce.
        """
        reason = f"{asked.reason} (key {who.key.name})"
        do = partial(quarantine.release, reason=reason)
        return await _change(site, who, asked.ids, do)

    @routes.post("/quarantine/delete")
    async def delete(
        asked: Deletion, who: Annotated[Holder, Depends(holder(site, "quarantine:write"))]
    ) -> Changed:
        """Drop held mail for good; it stays on record."""
        return await _change(site, who, asked.ids, partial(quarantine.delete, note=asked.note))

    return routes


async def _change(
    site: Site, who: Holder, ids: Sequence[int], do: Callable[..., list[int]]
) -> Changed:
    """Does it to those of `ids` that are held and the key's; the rest is told apart."""

    def write(tx: Tx) -> list[int]:
        owners = quarantine.senders_of(tx, ids)
        mine = [number for number, sender in owners.items() if who.key.sees(sender)]
        return do(tx, mine) if mine else []

    changed = await site.store.write(write)
    if not changed:
        raise Problem(404, "none of these is in quarantine")
    return Changed(changed=changed, not_held=sorted(set(ids) - set(changed)))
