"""`/api/v1/campaigns`: what became of each mailing, and stopping one."""

from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from gatepost.store import campaign_report, campaigns
from gatepost.store.campaign_report import CampaignRow
from gatepost.store.transaction import Tx
from gatepost.web.api.holder import Holder, holder
from gatepost.web.api.paging import PAGE, Limit, link_next
from gatepost.web.api.problems import Problem
from gatepost.web.api.shapes import MAX_ID, Campaign, CampaignShown, Stop, Stopped
from gatepost.web.site import Site

Number = Annotated[int, Path(ge=1, le=MAX_ID, description="a number that the list shows")]
_NO_SUCH = "there is no such campaign"


def router(site: Site) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["campaigns"])

    @routes.get("/campaigns", response_model=list[Campaign])
    async def list_campaigns(
        request: Request,
        response: Response,
        who: Annotated[Holder, Depends(holder(site, "campaigns:read"))],
        *,
        before: Annotated[int | None, Query(ge=1, le=MAX_ID, description="from Link")] = None,
        limit: Limit = PAGE,
    ) -> list[CampaignRow]:
        """List campaigns with their counts, the newest first."""
        rows = await site.store.survey(
            partial(campaign_report.list_all, limit=limit, before=before, senders=who.senders)
        )
        if len(rows) == limit:
            link_next(request, response, before=rows[-1].id)
        return rows

    @routes.get("/campaigns/{number}", response_model=CampaignShown)
    async def show(
        request: Request,
        response: Response,
        number: Number,
        who: Annotated[Holder, Depends(holder(site, "campaigns:read"))],
        *,
        after: Annotated[int, Query(ge=0, le=MAX_ID, description="from Link")] = 0,
        limit: Limit = PAGE,
    ) -> dict[str, Any]:
        """Show one campaign and a page of its recipients."""

        def read(tx: Tx) -> tuple[CampaignRow, list[Any]]:
            row = _owned(tx, number, who)
            return row, campaign_report.recipients(tx, number, after=after, limit=limit)

        row, recipients = await site.store.survey(read)
        if len(recipients) == limit:
            link_next(request, response, after=recipients[-1][0])
        facts = asdict(row)
        return {
            **facts,
            "recipient_count": facts.pop("recipients"),
            "recipients": [{"id": place, **asdict(one)} for place, one in recipients],
        }

    @routes.post("/campaigns/{number}/stop")
    async def stop(
        number: Number,
        asked: Stop,
        who: Annotated[Holder, Depends(holder(site, "campaigns:write"))],
    ) -> Stopped:
        """End what is still queued of a campaign, and refuse what comes later. Twice is once."""

        def write(tx: Tx) -> int:
            _check(tx, number, who)
            return campaigns.stop(tx, number, asked.note)

        return Stopped(id=number, ended=await site.store.write(write))

    return routes


def _owned(tx: Tx, number: int, who: Holder) -> CampaignRow:
    """The campaign, if the key sees it. Raises `Problem`."""
    _check(tx, number, who)
    return campaign_report.show(tx, number)


def _check(tx: Tx, number: int, who: Holder) -> None:
    """Raises `Problem` unless the key sees the campaign; counts nothing, so writers may ask."""
    sender = campaign_report.sender_of(tx, number)
    if sender is None or not who.key.sees(sender):
        raise Problem(404, _NO_SUCH)
