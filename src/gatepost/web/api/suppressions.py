"""`/api/v1/suppressions`: addresses that a sender must not mail.

What is answered is committed, and no copy begins from here on (promise 3).
Complaints, hard bounces and withdrawals are lifted by nobody but the person (E4).
"""

import base64
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from gatepost.mail.address import AddressError, parse
from gatepost.store import ids, people, suppressing, suppressions
from gatepost.store.suppressing import NOT_FOR_STAFF, Entry
from gatepost.store.suppressions import Suppressed
from gatepost.store.transaction import Tx
from gatepost.web.api.consents import address_in
from gatepost.web.api.holder import EVERY_SENDER, Holder, holder
from gatepost.web.api.paging import PAGE, Limit, link_next
from gatepost.web.api.problems import Problem
from gatepost.web.api.shapes import (
    MOST_ITEMS,
    Kept,
    Lifted,
    Suppression,
    SuppressionAdded,
    SuppressionLifting,
    SuppressionLookup,
    SuppressionRow,
    SuppressionTold,
)
from gatepost.web.site import Site

_SLICE = 1000
_ACTOR, _METHOD = "mailer", "api"


def router(site: Site) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["suppressions"])
    _add_looks(routes, site)
    _add_changes(routes, site)
    return routes


def _add_looks(routes: APIRouter, site: Site) -> None:
    @routes.get("/suppressions")
    async def list_suppressions(
        request: Request,
        response: Response,
        who: Annotated[Holder, Depends(holder(site, "suppressions:read"))],
        *,
        sender: Annotated[
            str | None, Query(max_length=100, description='"*": every sender')
        ] = None,
        after: Annotated[str | None, Query(max_length=600, description="from Link")] = None,
        limit: Limit = PAGE,
    ) -> list[SuppressionRow]:
        """List the suppressions in force; a key for several senders says which."""
        of_sender = None if sender is None and not who.is_restricted else who.sender(sender)
        place = _place(after) if after else None
        rows = await site.store.survey(
            partial(suppressions.list_suppressed, sender=of_sender, after=place, limit=limit)
        )
        if len(rows) == limit:
            link_next(request, response, after=_spell(rows[-1]))
        return [_row(one) for one in rows]

    @routes.post("/suppressions/lookup")
    async def look_up(
        asked: SuppressionLookup,
        who: Annotated[Holder, Depends(holder(site, "suppressions:read"))],
    ) -> list[SuppressionRow]:
        """Show the suppressions of one address: of a sender, and those of every sender."""
        of_sender = None
        if asked.sender is not None or who.is_restricted:
            of_sender = who.sender(asked.sender)
        address = address_in(asked.address)
        rows = await site.store.read(partial(suppressions.list_suppressed, address=address))
        return [_row(one) for one in rows if of_sender is None or one.sender in ("", of_sender)]


def _add_changes(routes: APIRouter, site: Site) -> None:
    @routes.post("/suppressions", response_model=SuppressionAdded | list[SuppressionAdded])
    async def add(
        asked: Suppression | list[Suppression],
        who: Annotated[Holder, Depends(holder(site, "suppressions:write"))],
    ) -> SuppressionAdded | list[SuppressionAdded]:
        """Suppress an address, or an array of up to 10,000, from now on."""
        many = asked if isinstance(asked, list) else [asked]
        if len(many) > MOST_ITEMS:
            raise Problem(413, f"at most {MOST_ITEMS} suppressions at a time")
        found = [_read(item, who) for item in many]
        if not isinstance(asked, list) and isinstance(found[0], Problem):
            raise found[0]
        told = await _add(site, many, found)
        return told if isinstance(asked, list) else told[0]

    @routes.post("/suppressions/remove")
    async def remove(
        asked: SuppressionLifting,
        who: Annotated[Holder, Depends(holder(site, "suppressions:write"))],
    ) -> Lifted:
        """Lift what staff may lift: suppressions by hand, and for soft bounces."""
        address, of_sender = address_in(asked.address), who.sender(asked.sender)
        done = await site.store.write(
            lambda tx: suppressing.lift(
                tx,
                address,
                of_sender,
                scope=asked.scope,
                note=asked.note,
                actor=_ACTOR,
                method=_METHOD,
            )
        )
        if not done.lifted and not done.kept:
            raise Problem(404, "the address is not suppressed for this sender")
        if not done.lifted:
            raise Problem(409, "; ".join(NOT_FOR_STAFF[one.reason] for one in done.kept))
        return Lifted(
            lifted=[SuppressionTold(**_facts(one)) for one in done.lifted],
            kept=[Kept(**_facts(one), why=NOT_FOR_STAFF[one.reason]) for one in done.kept],
        )


async def _add(
    site: Site, many: Sequence[Suppression], found: Sequence[Entry | Problem]
) -> list[SuppressionAdded]:
    told = []
    for start in range(0, len(many), _SLICE):
        portion = found[start : start + _SLICE]
        answers = iter(await _record(site, [one for one in portion if isinstance(one, Entry)]))
        for item, one in zip(many[start : start + _SLICE], portion, strict=True):
            if isinstance(one, Problem):
                status, sender, detail = "refused", item.sender or "", one.detail
            else:
                status = "suppressed" if next(answers) else "known"
                sender, detail = one.sender or EVERY_SENDER, ""
            told.append(
                SuppressionAdded(
                    address=item.address, sender=sender, scope=item.scope, reason=item.reason,
                    status=status, detail=detail,
                )
            )  # fmt: skip
    return told


async def _record(site: Site, entries: Sequence[Entry]) -> list[bool]:
    """Records what is new, and begins no copy to any of them from here on (promise 3)."""

    def write(tx: Tx) -> tuple[list[bool], dict[str, int]]:
        new = suppressing.add_each(tx, entries, actor=_ACTOR, method=_METHOD)
        return new, people.ensure_subjects(tx, [one.address for one in entries])

    new, subjects = await site.store.write(write) if entries else ([], {})
    for one in entries:
        site.on_left_again(subjects[one.address.key], one.sender, "")
    return new


def _read(item: Suppression, who: Holder) -> Entry | Problem:
    try:
        address = parse(item.address.strip())
        return Entry(address, who.sender(item.sender), item.scope, item.reason, item.note)
    except Problem as problem:
        return problem
    except AddressError as error:
        return Problem(422, f"no address: {error}")


def _facts(one: Suppressed) -> dict[str, Any]:
    return {
        "sender": one.sender or EVERY_SENDER,
        "scope": one.scope,
        "reason": one.reason,
        "since": one.since,
    }


def _row(one: Suppressed) -> SuppressionRow:
    return SuppressionRow(address=one.address, **_facts(one))


def _spell(row: Suppressed) -> str:
    """Where a page ended, in letters that a URL takes; it names no address."""
    subject, *rest = suppressions.place(row)
    return base64.urlsafe_b64encode("\n".join([ids.to_text(subject), *rest]).encode()).decode()


def _place(text: str) -> tuple[int, str, str, str]:
    try:
        subject, sender, scope, reason = base64.urlsafe_b64decode(text).decode().split("\n")
        if "\0" in sender + scope + reason:
            raise ValueError("NUL")  # noqa: TRY301  it is refused below like the rest
        return ids.from_text(subject), sender, scope, reason
    except ValueError as error:
        raise Problem(422, "after is no place in this list") from error
