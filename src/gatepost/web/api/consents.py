"""`/api/v1/consents`: what is on record of somebody, and adding to it.

A consent is read by the rules of an import file's row (`consent.rows`), so that no door is wider
than another: forbidden bases are recorded and never count, double opt-in without a confirmation
is a request (JU-17), and who left comes back by a newer act with an explanation (HR-4, HR-8).
The same consent twice is recorded once.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from gatepost.consent import rows
from gatepost.consent.evidence import Fact
from gatepost.consent.leaving import left_at
from gatepost.consent.rows import Defaults, Finding, Frame, RowError
from gatepost.consent.standing import STRANGER
from gatepost.mail.address import Address, AddressError, parse
from gatepost.store import people, sources
from gatepost.store.transaction import Tx
from gatepost.web.api.holder import Holder, holder
from gatepost.web.api.problems import Problem
from gatepost.web.api.questions import Questions
from gatepost.web.api.shapes import Consent, ConsentTold, Lookup, Record, spelled
from gatepost.web.site import Site

_NAMED = (
    "address", "stream", "source", "basis", "text_version", "url", "ip", "user_agent", "note",
)  # fmt: skip


def router(site: Site, questions: Questions) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["consents"])

    @routes.post("/consents/lookup", response_model=Record)
    async def look_up(
        asked: Lookup, who: Annotated[Holder, Depends(holder(site, "consents:read"))]
    ) -> Mapping[str, Any]:
        """Show what is on record of an address, and what would become of mail to it now.

        Somebody whom the ledger has never met has no events.
        """
        sees = who.key.sees if who.is_restricted else None
        found = await questions.record_of(address_in(asked.address), sees)
        events = [{name: _plain(value) for name, value in one.items()} for one in found["events"]]
        return {**found, "events": events}

    @routes.post(
        "/consents",
        status_code=201,
        responses={200: {"model": ConsentTold, "description": "It is on record already."}},
    )
    async def grant(
        asked: Consent,
        response: Response,
        who: Annotated[Holder, Depends(holder(site, "consents:write"))],
    ) -> ConsentTold:
        """Record that somebody agreed to get a stream.

        201 for a new consent, 200 for one that is on record already. Somebody who left is
        resubscribed only by a newer act and with an explanation; complaints and hard bounces are
        for the person alone.
        """
        address_in(asked.address)
        stream = who.stream(asked.stream)
        if not stream.is_bulk:
            raise Problem(422, "mail of this stream needs no consent")
        try:
            finding, known = await site.store.write(lambda tx: _record(tx, asked, who, questions))
        except RowError as error:
            raise Problem(422, str(error)) from error
        ((_, verdict),) = await questions.verdicts(stream, [finding.address])
        response.status_code = 200 if known else 201
        return ConsentTold(
            address=asked.address,
            kind=finding.fact.kind,
            stream=stream.name,
            sender=stream.sender,
            basis=finding.fact.basis,
            at=finding.fact.at,
            known=known,
            verdict=verdict.disposition,
            reason=verdict.reason,
            since=verdict.since,
        )

    return routes


def address_in(text: str) -> Address:
    """The address in a request. Raises `Problem`."""
    try:
        return parse(text.strip())
    except AddressError as error:
        raise Problem(422, f"no address: {error}") from error


def _record(tx: Tx, asked: Consent, who: Holder, questions: Questions) -> tuple[Finding, bool]:
    """What was recorded, and whether it was on record before. Raises `RowError`."""
    frame = _frame(tx, asked.source, who, questions)
    finding = rows.grant(_values(asked), frame, _flags(asked))
    if finding is None:
        raise RowError("nothing was agreed to")
    fact = replace(finding.fact, actor="mailer", method="api")
    finding = finding._replace(fact=fact)
    if _is_known(tx, finding):
        return finding, True
    person = people.look_up(tx, [finding.address], fact.stream, fact.sender).get(
        finding.address.key, STRANGER
    )
    left = left_at(person)
    if left is not None and fact.at <= left:
        raise RowError(
            f"the person left on {spelled(left)}: what they did before that is no return"
        )
    fact = rows.seen_against(fact, person, asked.explanation, frame.bases)
    people.record(tx, finding.address, [fact])
    return finding._replace(fact=fact), False


def _frame(tx: Tx, source: str, who: Holder, questions: Questions) -> Frame:
    """Only what the key may see is there to be named."""
    record = sources.find_source(tx, source)
    visible = record is not None and (who.key.sees(record.sender) or not record.sender)
    return Frame(
        now=tx.now,
        streams={name: one.sender for name, one in who.streams().items() if one.is_bulk},
        origins={source: sources.as_origin(record)} if record is not None and visible else {},
        bases=questions.bases(),
    )


def _values(asked: Consent) -> dict[str, str]:
    """The row of an import file that says the same."""
    values = {name: getattr(asked, name) for name in _NAMED}
    times = {"event_at": asked.at, "confirmed_at": asked.confirmed_at,
             "last_activity_at": asked.last_activity_at}  # fmt: skip
    return {
        **values,
        **{name: text or "" for name, text in times.items()},
        "address": asked.address.strip(),
        "categories": ",".join(asked.categories),
    }


def _flags(asked: Consent) -> Defaults:
    return Defaults(bought=asked.bought, informed=asked.informed, could_decline=asked.could_decline)


def _is_known(tx: Tx, finding: Finding) -> bool:
    """Whether this very consent is on record, whichever way it came."""
    recorded = people.recorded_facts(tx, [finding.address]).get(finding.address.key, [])
    wanted = _identity(finding.fact)
    return any(_identity(fact) == wanted for fact in recorded)


def _identity(fact: Fact) -> object:
    return rows.identity(replace(fact, actor="", method=""))


def _plain(value: object) -> object:
    return spelled(value) if isinstance(value, datetime) else value
