"""Suppressing by hand, and lifting what staff may lift: one rule for the command and the API.

In: addresses with scope and reason. Out: how many were new, what was lifted and what stays.

*Fails:* whatever the database raises.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from gatepost.consent.evidence import EventKind, Fact
from gatepost.consent.standing import STRANGER
from gatepost.mail.address import Address
from gatepost.store import people, suppressions
from gatepost.store.suppressions import Suppressed
from gatepost.store.transaction import Tx

EVERY_SENDER = "*"
# Whose word lifts what (E4): of these only the person's own.
NOT_FOR_STAFF: Mapping[str, str] = MappingProxyType({
    "complaint": "only the person can lift it, by coming back themselves",
    "hard-bounce": "only a confirmation by the person shows that mail arrives again",
    "erased": "only the person can come back",
    "unsubscribed": "record how they came back: gatepost consent grant --explanation",
})  # fmt: skip


class Scope(StrEnum):
    """What a suppression stops: bulk mail, or all mail of the sender."""

    ALL = "all"
    BULK = "bulk"


class Reason(StrEnum):
    """Why an address is suppressed."""

    MANUAL = "manual"
    HARD_BOUNCE = "hard-bounce"
    SOFT_BOUNCES = "soft-bounces"
    COMPLAINT = "complaint"
    UNSUBSCRIBED = "unsubscribed"


class Entry(NamedTuple):
    """One suppression to add; equal ones are added once. `sender` "" is every sender.

    `since` is when it began elsewhere; a time ahead is now.
    """

    address: Address
    sender: str
    scope: str
    reason: str
    note: str
    since: datetime | None = None


class Lifting(NamedTuple):
    """What was lifted, and what stays because it is not for staff to lift."""

    lifted: Sequence[Suppressed]
    kept: Sequence[Suppressed]


def add(tx: Tx, entries: Sequence[Entry], *, actor: str, method: str) -> int:
    """Records what is not in force already; how many these were."""
    return sum(add_each(tx, entries, actor=actor, method=method))


def add_each(tx: Tx, entries: Sequence[Entry], *, actor: str, method: str) -> list[bool]:
    """The same, saying of each entry whether it was new."""
    by_sender: dict[str, list[int]] = {}
    for place, entry in enumerate(entries):
        by_sender.setdefault(entry.sender, []).append(place)
    new = [False] * len(entries)
    facts: dict[tuple[str, ...], tuple[Address, list[Fact]]] = {}
    for sender, places in by_sender.items():
        addresses = [entries[place].address for place in places]
        persons = people.look_up(tx, addresses, "", sender, exactly=True)
        for place in places:
            entry = entries[place]
            in_force = persons.get(entry.address.key, STRANGER).suppressions
            key = (entry.address.key, sender, entry.scope, entry.reason)
            if key in facts or any(
                (one.scope, one.reason) == (entry.scope, entry.reason) for one in in_force
            ):
                continue
            fact = Fact(
                kind=EventKind.SUPPRESSED,
                at=min(entry.since or tx.now, tx.now),
                sender=entry.sender,
                scope=entry.scope,
                suppression=entry.reason,
                actor=actor,
                method=method,
                note=entry.note,
            )
            new[place], facts[key] = True, (entry.address, [fact])
    people.record_many(tx, facts.values())
    return new


def lift(
    tx: Tx,
    who: Address,
    sender: str,
    *,
    scope: str | None = None,
    note: str = "",
    actor: str,
    method: str,
) -> Lifting:
    """Lifts what is in force for `who` and may be lifted; `sender` "" is every sender."""
    found = [
        one
        for one in suppressions.list_suppressed(tx, sender=sender, address=who)
        if scope is None or one.scope == scope
    ]
    lifted = [one for one in found if one.reason not in NOT_FOR_STAFF]
    facts = [
        Fact(
            kind=EventKind.SUPPRESSION_LIFTED, at=tx.now, sender=one.sender, scope=one.scope,
            suppression=one.reason, actor=actor, method=method, note=note,
        )
        for one in lifted
    ]  # fmt: skip
    if facts:
        people.record(tx, who, facts)
    return Lifting(lifted, [one for one in found if one.reason in NOT_FOR_STAFF])
