"""Conductor: everybody on record for a stream → who will soon not be eligible any more, and why.

The same look-up and the same rules as on the way of a mail, asked for the moment at which they
would first say no (`decide.ending`). Nothing is changed.

In: a stream, a time to look ahead. Out: one `Expiring` per person it concerns, as they are found,
in portions: a million people take no more memory than two thousand.
*Fails:* `StoreUnavailable`.
*Known limits:* evidence that may be erased on its day makes nobody ineligible, and is no matter
of this list.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from gatepost.flow.decide.case import Case
from gatepost.flow.decide.ending import Ending, ending
from gatepost.flow.decide.policy import Policy
from gatepost.mail.address import Address
from gatepost.mail.duration import Duration
from gatepost.mail.stream import Stream
from gatepost.store import standings
from gatepost.store.engine import Store, Tx

_Portion = tuple[list["Expiring"], int, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiring:
    """Somebody who may be mailed now and not from `at` on, unless something happens."""

    address: Address
    stream: str
    at: datetime
    reason: str
    basis: str
    source: str
    since: datetime


def portions(
    store: Store, policy: Policy, stream: Stream, within: Duration
) -> Iterator[tuple[list[Expiring], int]]:
    """Those whose eligibility ends before `within` is over, and how many people were looked at."""
    after: int | None = 0
    while after is not None:
        look = partial(_look, policy=policy, stream=stream, within=within, after=after)
        found, looked_at, after = store.read_now(look)
        yield found, looked_at


def _look(tx: Tx, *, policy: Policy, stream: Stream, within: Duration, after: int) -> _Portion:
    known, further = standings.portion(tx, stream.name, stream.sender, after=after)
    limit = within.after(tx.now)
    found = []
    for address, person in known:
        case = Case(
            stream=stream,
            sender=policy.sender_of(stream),
            address=address,
            person=person,
            now=tx.now,
            bases=policy.bases,
        )
        end = ending(case)
        if end is not None and end.at <= limit:
            found.append(_expiring(address, stream, end))
    return found, len(known), further


def _expiring(address: Address, stream: Stream, end: Ending) -> Expiring:
    return Expiring(
        address=address,
        stream=stream.name,
        at=end.at,
        reason=end.reason.value,
        basis=end.grant.basis,
        source=end.grant.source,
        since=end.grant.effective_at,
    )
