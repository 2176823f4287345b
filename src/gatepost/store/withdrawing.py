"""Withdrawals that somebody reports: the one rule behind the command and the API.

In: who left what, of which sender, when. Out: per withdrawal whether it was new. Withdrawing
twice is the same as once; so is a withdrawal that is older than one on record.

*Fails:* whatever the database raises.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from gatepost.consent.evidence import EventKind, Fact
from gatepost.consent.leaving import UNSUBSCRIBED, has_left, has_left_everything
from gatepost.consent.standing import STRANGER, Person
from gatepost.mail.address import Address
from gatepost.store import people
from gatepost.store.transaction import Tx


class Leaving(NamedTuple):
    """Somebody's withdrawal from `stream`, or from all bulk mail of `sender` where it is "".

    `at` is the time of the act, `None` for now.
    """

    address: Address
    stream: str
    sender: str
    at: datetime | None = None
    note: str = ""


def withdraw(tx: Tx, leavings: Sequence[Leaving], *, actor: str, method: str) -> list[bool]:
    """Records what is not on record yet; per withdrawal whether it was recorded."""
    together: dict[tuple[str, str], list[int]] = {}
    for place, one in enumerate(leavings):
        together.setdefault((one.stream, one.sender), []).append(place)
    new = [False] * len(leavings)
    facts: list[tuple[Address, list[Fact]]] = []
    for (stream, sender), places in together.items():
        addresses = [leavings[place].address for place in places]
        persons = people.look_up(tx, addresses, stream, sender, exactly=True)
        seen: set[str] = set()
        for place in places:
            one = leavings[place]
            person = persons.get(one.address.key, STRANGER)
            if one.address.key in seen or _is_known(person, one):
                continue
            seen.add(one.address.key)
            new[place] = True
            facts.append((one.address, [_fact(tx, one, actor, method)]))
    people.record_many(tx, facts)
    return new


def _is_known(person: Person, one: Leaving) -> bool:
    if one.stream:
        left, since = has_left(person), person.standing.withdrawn_at
    else:
        left = has_left_everything(person)
        said = (s.since for s in person.suppressions if s.reason == UNSUBSCRIBED)
        since = max(said, default=None)
    return left or (one.at is not None and since is not None and since >= one.at)


def _fact(tx: Tx, one: Leaving, actor: str, method: str) -> Fact:
    return Fact(
        kind=EventKind.WITHDRAWN,
        at=one.at or tx.now,
        sender=one.sender,
        stream=one.stream,
        actor=actor,
        method=method,
        note=one.note,
    )
