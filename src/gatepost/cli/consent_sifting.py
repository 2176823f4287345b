"""What of a batch of an import is new: the findings of its rows, seen against the ledger.

In: findings, and a transaction. Out: `Sifted`: what is to be recorded, how many rows say what
is on record already, and which are refused. Nothing is recorded here.

Most people of an import are strangers, about whom nothing has to be asked: who is known is
asked first, for the whole batch, and only of those the record is read.

*Fails:* whatever the database raises.
"""

from collections.abc import Callable, Container, Hashable, Sequence
from typing import NamedTuple

from gatepost.cli.rejects import Refused
from gatepost.consent import rows
from gatepost.consent.bases import Bases
from gatepost.consent.evidence import EventKind, Fact
from gatepost.consent.leaving import has_left, left_at
from gatepost.consent.rows import Finding, RowError
from gatepost.consent.standing import STRANGER, Person
from gatepost.mail.address import Address
from gatepost.store import people
from gatepost.store.engine import Tx
from gatepost.store.scratch import Scratch

Marks = dict[Hashable, set[EventKind]]


class Item(NamedTuple):
    """One finding, and the row it comes from."""

    line: int
    fields: Sequence[str]
    finding: Finding
    explanation: str = ""  # how somebody who had left came back
    insists: bool = False  # the row is about coming back, and about nothing else (HR-8)


class Sifted(NamedTuple):
    """What is to be recorded of one batch, how much is known already, which rows are refused."""

    new: list[tuple[Address, Sequence[Fact]]]
    known: int
    refused: list[Refused]


Sift = Callable[[Tx, Sequence[Item]], Sifted]


class Sieve:
    """Sifts batches of one import. `scratch` holds what a dry run would have recorded."""

    def __init__(self, bases: Bases, scratch: Scratch | None) -> None:
        self._bases, self._scratch = bases, scratch

    def withdrawals(self, tx: Tx, items: Sequence[Item]) -> Sifted:
        """Those not on record yet; without a time, those of whoever has not left already."""
        record = _Record(tx, items, self._scratch)
        new: list[tuple[Address, Sequence[Fact]]] = []
        for item in items:
            address, fact, timeless = item.finding
            mark = rows.identity(fact, timeless=timeless)
            seen = record.marks_of(address.key)
            if mark in seen or (timeless and has_left(record.person(address.key, fact.stream))):
                continue
            seen[mark] = {fact.kind}
            new.append((address, (fact,)))
        return Sifted(new, len(items) - len(new), [])

    def grants(self, tx: Tx, items: Sequence[Item]) -> Sifted:
        """Those not on record yet, as they are to be recorded; and those that are refused."""
        record = _Record(tx, items, self._scratch)
        new: list[tuple[Address, Sequence[Fact]]] = []
        refused: list[Refused] = []
        known = 0
        for item in items:
            address, fact, timeless = item.finding
            kinds = record.marks_of(address.key).setdefault(
                rows.identity(fact, timeless=timeless), set()
            )
            if kinds and not item.explanation:
                known += 1
                continue
            person = record.person(address.key, fact.stream)
            if person is not STRANGER:
                try:
                    fact = self._seen_against(fact, person, item)
                except RowError as error:
                    refused.append(Refused(item.line, str(error), item.fields))
                    continue
            if fact.kind in kinds or EventKind.RESUBSCRIBED in kinds:
                known += 1
                continue
            kinds.add(fact.kind)
            new.append((address, (fact,)))
        return Sifted(new, known, refused)

    def _seen_against(self, fact: Fact, person: Person, item: Item) -> Fact:
        left = left_at(person) if item.insists else None
        if left is not None and fact.at <= left:
            raise RowError(
                f"the person left on {left:%Y-%m-%d}: what they did before that is no return"
            )
        return rows.seen_against(fact, person, item.explanation, self._bases)

    def never_counts(self, fact: Fact) -> bool:
        """Whether no mail can rest on the basis of this grant."""
        basis = self._bases.find(fact.basis)
        return basis is not None and basis.never_counts


class _Record:
    """What is on record of the people of one batch, or would be in a dry run."""

    def __init__(self, tx: Tx, items: Sequence[Item], scratch: Scratch | None) -> None:
        addresses = {item.finding.address.key: item.finding.address for item in items}
        timeless = any(item.finding.timeless for item in items)
        known = people.recorded_facts(tx, addresses.values())
        imagined = scratch.facts(list(addresses)) if scratch else {}
        self._marks: dict[str, Marks] = {}
        for facts_of in (known, imagined):
            for key, facts in facts_of.items():
                _add_marks(self._marks.setdefault(key, {}), facts, timeless=timeless)
        self._persons = _look_up(tx, items, known.keys())
        for key, facts in imagined.items():
            for fact in facts:
                person = self._persons.get((fact.stream, key), STRANGER)
                self._persons[fact.stream, key] = rows.after(person, fact)

    def marks_of(self, key: str) -> Marks:
        """The identities of what is on record, and of what was seen in this batch."""
        found = self._marks.get(key)
        if found is None:
            found = self._marks[key] = {}
        return found

    def person(self, key: str, stream: str) -> Person:
        """Who this is for the stream."""
        return self._persons.get((stream, key), STRANGER)


def _add_marks(marks: Marks, facts: Sequence[Fact], *, timeless: bool) -> None:
    for fact in facts:
        marks.setdefault(rows.identity(fact), set()).add(fact.kind)
        if timeless:
            marks.setdefault(rows.identity(fact, timeless=True), set()).add(fact.kind)


def _look_up(tx: Tx, items: Sequence[Item], known: Container[str]) -> dict[tuple[str, str], Person]:
    """The people of these rows who are known, by stream and address key."""
    wanted: dict[tuple[str, str], list[Address]] = {}
    for item in items:
        fact, address = item.finding.fact, item.finding.address
        if address.key in known:
            wanted.setdefault((fact.stream, fact.sender), []).append(address)
    return {
        (stream, key): person
        for (stream, sender), addresses in wanted.items()
        for key, person in people.look_up(tx, addresses, stream, sender).items()
    }
