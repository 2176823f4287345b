"""`POST /api/v1/audience-checks`: who would get a mail, and why the rest would not (SO-2…5).

The same look-up and the same rules as on the way of a mail; nothing is changed.
"""

from typing import Annotated

from fastapi import APIRouter, Depends

from gatepost.mail.address import Address, AddressError, parse
from gatepost.web.api.holder import Holder, holder
from gatepost.web.api.questions import Questions
from gatepost.web.api.shapes import AudienceCheck, Judged
from gatepost.web.site import Site

INVALID = "invalid"


def router(site: Site, questions: Questions) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["audience"])

    @routes.post("/audience-checks")
    async def check(
        asked: AudienceCheck, who: Annotated[Holder, Depends(holder(site, "audience:check"))]
    ) -> list[Judged]:
        """Say of each address, in the order given, whether it would get a mail of the stream."""
        stream = who.stream(asked.stream)
        read = [_read(text) for text in asked.addresses]
        good = [one for one in read if isinstance(one, Address)]
        verdicts = iter(await questions.verdicts(stream, good))
        told = []
        for text, one in zip(asked.addresses, read, strict=True):
            if isinstance(one, str):
                told.append(Judged(address=text, verdict=INVALID, reason=one, since=None))
                continue
            _, verdict = next(verdicts)
            told.append(
                Judged(
                    address=text,
                    verdict=verdict.disposition,
                    reason=verdict.reason,
                    since=verdict.since,
                )
            )
        return told

    return routes


def _read(text: str) -> Address | str:
    try:
        return parse(text.strip())
    except AddressError as error:
        return str(error)
