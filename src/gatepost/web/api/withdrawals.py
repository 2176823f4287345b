"""`POST /api/v1/withdrawals`: what another system knows about who left.

One or many. Each item is answered by itself: a bad address among thousands holds up nobody's
withdrawal. Doing it twice is doing it once; with an Idempotency-Key the second request gets
the first one's answer, also if somebody came back meanwhile. What is answered is committed,
and no copy begins from here on (promise 3).

*Known limits:* many are recorded in slices, each a transaction of its own; a request that dies
half-way is simply sent again.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request

from gatepost.consent.rows import read_time
from gatepost.mail.address import AddressError, parse
from gatepost.store import api_keys, people, withdrawing
from gatepost.store.transaction import Tx
from gatepost.store.withdrawing import Leaving
from gatepost.web import counters
from gatepost.web.api.holder import Holder, holder
from gatepost.web.api.problems import Problem
from gatepost.web.api.shapes import MOST_ITEMS, Withdrawal, WithdrawalTold
from gatepost.web.site import Site

METHOD = "api"
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_SLICE = 1000
_WITHDRAWN, _KNOWN, _REFUSED = "withdrawn", "known", "refused"
_LETTER = {_WITHDRAWN: "w", _KNOWN: "k", _REFUSED: "r"}

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="the same key and body get the same answer, for a day",
    ),
]


def router(site: Site) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["withdrawals"])

    @routes.post("/withdrawals", response_model=WithdrawalTold | list[WithdrawalTold])
    async def withdraw(
        request: Request,
        asked: Withdrawal | list[Withdrawal],
        who: Annotated[Holder, Depends(holder(site, "withdrawals:write"))],
        idempotency_key: IdempotencyKey = None,
    ) -> WithdrawalTold | list[WithdrawalTold]:
        """Record that people left: a stream, or with `everything` all bulk mail of a sender.

        One withdrawal, or an array of up to 10,000. Holds when this is answered.
        """
        many = asked if isinstance(asked, list) else [asked]
        if len(many) > MOST_ITEMS:
            raise Problem(413, f"at most {MOST_ITEMS} withdrawals at a time")
        found = [_read(item, who) for item in many]
        if not isinstance(asked, list) and isinstance(found[0], Problem):
            raise found[0]
        said = ""
        if idempotency_key is not None:
            said = await _Repeated(who, idempotency_key, await request.body()).settle(site, found)
        else:
            said = await _record(site, found)
        told = [_told(*row) for row in zip(many, found, said, strict=True)]
        return told if isinstance(asked, list) else told[0]

    return routes


class _Repeated:
    """A request with an Idempotency-Key: what was answered before is answered again."""

    def __init__(self, who: Holder, name: str, body: bytes) -> None:
        self._key, self._name = who.key.id, name
        self._fingerprint = hashlib.sha256(body).digest()

    async def settle(self, site: Site, found: Sequence[Leaving | Problem]) -> str:
        before = await site.store.read(
            lambda tx: api_keys.repetition(tx, self._key, self._name, self._fingerprint)
        )
        if before is not None and not before.same:
            raise Problem(422, "this Idempotency-Key came with another request before")
        if before is not None:  # perhaps by another gateway, of which this one has not heard yet
            await _keep_back(site, found)
            return before.outcome
        said = await _record(site, found)
        await site.store.write(
            lambda tx: api_keys.remember(tx, self._key, self._name, self._fingerprint, said)
        )
        return said


async def _keep_back(site: Site, found: Sequence[Leaving | Problem]) -> None:
    """Before what is on record already is answered again: no copy begins here, either."""
    leavings = [one for one in found if isinstance(one, Leaving)]
    known = await site.store.read(
        lambda tx: people.look_up(tx, [one.address for one in leavings], "", "", exactly=True)
    )
    for one in leavings:
        if one.address.key in known:
            site.on_left_again(known[one.address.key].subject, one.sender, one.stream)


async def _record(site: Site, found: Sequence[Leaving | Problem]) -> str:
    """Records what is good; a letter per item for what became of it."""
    said: list[str] = []
    for start in range(0, len(found), _SLICE):
        portion = found[start : start + _SLICE]
        good = [one for one in portion if isinstance(one, Leaving)]

        def write(tx: Tx, good: Sequence[Leaving] = good) -> tuple[list[bool], dict[str, int]]:
            new = withdrawing.withdraw(tx, good, actor="mailer", method=METHOD)
            return new, people.ensure_subjects(tx, [one.address for one in good])

        new, subjects = await site.store.write(write) if good else ([], {})
        for leaving, is_new in zip(good, new, strict=True):
            tell = site.on_withdrawn if is_new else site.on_left_again
            tell(subjects[leaving.address.key], leaving.sender, leaving.stream)
        counters.WITHDRAWALS.labels(METHOD).inc(sum(new))
        answers = iter(new)
        for one in portion:
            if isinstance(one, Problem):
                said.append(_LETTER[_REFUSED])
            else:
                said.append(_LETTER[_WITHDRAWN if next(answers) else _KNOWN])
    return "".join(said)


def _read(item: Withdrawal, who: Holder) -> Leaving | Problem:
    """What an item asks for, or why it cannot be done."""
    try:
        stream, sender = _what_is_left(item, who)
        return Leaving(parse(item.address.strip()), stream, sender, _moment(item, who), item.note)
    except Problem as problem:
        return problem
    except AddressError as error:
        return Problem(422, f"no address: {error}")


def _what_is_left(item: Withdrawal, who: Holder) -> tuple[str, str]:
    """The stream ("" for all) and the sender. Raises `Problem`."""
    if (item.stream is None) != item.everything:
        raise Problem(422, "say what is left: a stream, or everything")
    if item.stream is None:
        sender = who.sender(item.sender)
        if not sender:
            raise Problem(422, "say which sender")
        return "", sender
    stream = who.stream(item.stream)
    if not stream.is_bulk:
        raise Problem(422, "mail of this stream needs no consent: nobody can leave it")
    if item.sender is not None and item.sender != stream.sender:
        raise Problem(422, "the stream is not this sender's")
    return stream.name, stream.sender


def _moment(item: Withdrawal, who: Holder) -> datetime | None:
    """When they left, `None` for now. Raises `Problem`."""
    try:
        at = read_time(item.at) if item.at else None
    except ValueError:
        raise Problem(422, "at is no ISO 8601 time: write 2026-03-01T10:00:00Z") from None
    if at is not None and at > who.site.store.now():
        raise Problem(422, "the time is in the future")
    if at is not None and at < _EARLIEST:
        raise Problem(422, "the time is before there was mail")
    return at


def _told(item: Withdrawal, found: Leaving | Problem, letter: str) -> WithdrawalTold:
    status = next(name for name, one in _LETTER.items() if one == letter)
    if isinstance(found, Problem):
        return WithdrawalTold(
            address=item.address, stream=item.stream or "", sender=item.sender or "",
            status=_REFUSED, detail=found.detail,
        )  # fmt: skip
    return WithdrawalTold(
        address=item.address, stream=found.stream, sender=found.sender, status=status
    )
