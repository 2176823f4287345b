"""The driver of `gatepost consent import`: a file, row by row, into the ledger.

The file is read three times, each time row by row: once to see that it can be read to its
end, once for everybody who left, once for what they agreed to. So nothing is recorded of a
file that breaks off, and no grant is seen before the withdrawals of the same file. Rows go
into the ledger by the batch, one transaction each; a second import of the same file finds
everything known and adds nothing.

In: a path and a `Plan`. Out: a `Tally`, and a file of the rows that were refused.
*Fails:* `Refusal` for a file that cannot be used; `StoreUnavailable`, after which the same
import can be repeated.
*Known limits:* a dry run keeps who leaves in memory, because the ledger does not learn it.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

from gatepost.cli.desk import Refusal
from gatepost.cli.listfile import Sheet, open_sheet
from gatepost.cli.printing import progress
from gatepost.consent import rows
from gatepost.consent.columns import ColumnError, Columns, choose
from gatepost.consent.evidence import EventKind, Fact
from gatepost.consent.leaving import has_left
from gatepost.consent.rows import Defaults, Finding, Frame, RowError
from gatepost.consent.standing import STRANGER, Person
from gatepost.mail.address import Address
from gatepost.store import people
from gatepost.store.engine import Store, Tx

BATCH = 2000  # rows per transaction: a running serve waits no longer than for these

_QUOTED = re.compile(r"(['\"]).*?\1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to import, how to read it, and where refused rows go."""

    file: Path
    encoding: str
    rejects: Path
    renamed: Mapping[str, str]
    preset: str | None
    frame: Frame
    defaults: Defaults
    dry_run: bool


@dataclass(slots=True)
class Tally:
    """What became of the rows."""

    rows: int = 0
    withdrawals: int = 0
    grants: int = 0
    known: int = 0
    never_count: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    unused: tuple[str, ...] = ()


class Item(NamedTuple):
    """One finding, and the row it comes from."""

    line: int
    row: Sequence[str]
    finding: Finding
    note: str


class Batch(NamedTuple):
    """What is to be recorded of one batch, how much is known already, which rows are refused."""

    new: list[tuple[Address, Sequence[Fact]]]
    known: int
    refused: list[tuple[Item, str]]


def run(store: Store, plan: Plan) -> Tally:
    """Imports the file. Raises `Refusal`."""
    tally = Tally()
    with ExitStack() as stack:
        rejects = stack.enter_context(Rejects(plan))
        tally.rows = _count(plan)
        importing = _Import(store, plan, tally, rejects)
        advance = stack.enter_context(progress(f"importing {plan.file.name}", 2 * tally.rows))
        importing.record(importing.withdrawals(), importing.sift_withdrawals, advance)
        importing.record(importing.grants(), importing.sift_grants, advance)
    return tally


def _count(plan: Plan) -> int:
    """How many rows there are; reads them all, so that a broken file breaks here."""
    with open_sheet(plan.file, plan.encoding) as sheet:
        _columns(sheet, plan)
        count = sum(1 for _ in sheet.rows())
    if not count:
        raise Refusal(f"{plan.file}: there is nothing below the heading")
    return count


def _columns(sheet: Sheet, plan: Plan) -> Columns:
    try:
        return choose(sheet.heading, plan.renamed, plan.preset)
    except ColumnError as error:
        raise Refusal(f"{plan.file}: {error}") from error


class Rejects:
    """The file of refused rows, made with the first of them: line, reason, and the row."""

    def __init__(self, plan: Plan) -> None:
        if plan.rejects.absolute() == plan.file.absolute():
            raise Refusal("--rejects names the file that is imported")
        self._path = plan.rejects
        self._stack = ExitStack()
        self._write: Callable[[Sequence[object]], object] | None = None

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the file."""
        self._stack.close()

    def add(self, heading: Sequence[str], line: int, reason: str, row: Sequence[str]) -> None:
        """One more."""
        if self._write is None:
            file = self._stack.enter_context(self._path.open("w", encoding="utf-8", newline=""))
            self._write = csv.writer(file).writerow
            self._write(("line", "reason", *heading))
        self._write((line, reason, *row))


class _Import:
    """One import under way."""

    def __init__(self, store: Store, plan: Plan, tally: Tally, rejects: Rejects) -> None:
        self._store, self._plan, self._tally, self._rejects = store, plan, tally, rejects
        self._heading: tuple[str, ...] = ()
        self._leaving: dict[tuple[str, str], Fact] = {}  # of a dry run

    def withdrawals(self) -> Iterator[Item | None]:
        """Who left; rows that say otherwise, or are wrong, are `None` here."""
        frame, defaults = self._plan.frame, self._plan.defaults
        for line, row, columns in self._read():
            item = None
            if len(row) == columns.width:
                values = columns.pick(row)
                try:
                    found = rows.withdrawal(values, frame, defaults, left=columns.has_left(row))
                    item = Item(line, row, found, values.get("note", "")) if found else None
                except RowError:
                    item = None  # said when grants are read
            yield item

    def grants(self) -> Iterator[Item | None]:
        """What people agreed to; every row that is wrong is refused here."""
        frame, defaults = self._plan.frame, self._plan.defaults
        for line, row, columns in self._read():
            self._tally.unused = columns.unused
            item = None
            try:
                values = _values(row, columns)
                left = columns.has_left(row)
                rows.withdrawal(values, frame, defaults, left=left)
                found = rows.grant(values, frame, defaults, left=left)
                item = Item(line, row, found, values.get("note", "")) if found else None
            except RowError as error:
                self._refuse(line, row, str(error))
            yield item

    def record(
        self,
        items: Iterator[Item | None],
        sift: Callable[[Sequence[Item], Tx], Batch],
        advance: Callable[[int], None],
    ) -> None:
        """Sifts and records, batch by batch."""
        while portion := list(islice(items, BATCH)):
            wanted = [item for item in portion if item is not None]
            if wanted:
                self._note(self._commit(partial(sift, wanted)))
            advance(len(portion))

    def _commit(self, sift: Callable[[Tx], Batch]) -> Batch:
        if self._plan.dry_run:
            return self._store.read_now(sift)

        def sift_and_record(tx: Tx) -> Batch:
            batch = sift(tx)
            people.record_many(tx, batch.new)
            return batch

        return self._store.write_now(sift_and_record)

    def sift_withdrawals(self, items: Sequence[Item], tx: Tx) -> Batch:
        """Those not on record yet; without a time, those of whoever has not left already."""
        known = _identities(tx, items)
        persons = _look_up(tx, items)
        new: list[tuple[Address, Sequence[Fact]]] = []
        for item in items:
            address, fact, timeless = item.finding
            mark = rows.identity(fact, timeless=timeless)
            seen = known.setdefault(address.key, {})
            person = persons.get((fact.stream, address.key), STRANGER)
            if mark in seen or (timeless and has_left(person)):
                continue
            seen[mark] = {fact.kind}
            new.append((address, [fact]))
        return Batch(new, len(items) - len(new), [])

    def sift_grants(self, items: Sequence[Item], tx: Tx) -> Batch:
        """Those not on record yet, as they are to be recorded; and those that are refused."""
        known = _identities(tx, items)
        persons = _look_up(tx, items)
        batch = Batch([], 0, [])
        duplicates = 0
        for item in items:
            address, fact, timeless = item.finding
            person = self._as_it_would_be(
                persons.get((fact.stream, address.key), STRANGER), address, fact
            )
            mark = rows.identity(fact, timeless=timeless)
            kinds = known.setdefault(address.key, {}).setdefault(mark, set())
            if kinds and not item.note:
                duplicates += 1
                continue
            try:
                never = self._never_counts(fact)
                fact = rows.seen_against(fact, person, item.note, never_counts=never)
            except RowError as error:
                batch.refused.append((item, str(error)))
                continue
            if fact.kind in kinds or EventKind.RESUBSCRIBED in kinds:
                duplicates += 1
                continue
            kinds.add(fact.kind)
            batch.new.append((address, [fact]))
        return batch._replace(known=duplicates)

    def _as_it_would_be(self, person: Person, address: Address, fact: Fact) -> Person:
        """The person after the withdrawals of a dry run."""
        leaving = self._leaving.get((fact.stream, address.key))
        return rows.after(person, leaving) if leaving else person

    def _read(self) -> Iterator[tuple[int, list[str], Columns]]:
        with open_sheet(self._plan.file, self._plan.encoding) as sheet:
            columns = _columns(sheet, self._plan)
            self._heading = sheet.heading
            for line, row in sheet.rows():
                yield line, row, columns

    def _note(self, batch: Batch) -> None:
        tally = self._tally
        tally.known += batch.known
        for address, facts in batch.new:
            for fact in facts:
                if fact.kind is EventKind.WITHDRAWN:
                    tally.withdrawals += 1
                    if self._plan.dry_run:
                        self._leaving[fact.stream, address.key] = fact
                    continue
                tally.grants += 1
                tally.never_count += self._never_counts(fact)
        for item, reason in batch.refused:
            self._refuse(item.line, item.row, reason)

    def _never_counts(self, fact: Fact) -> bool:
        basis = self._plan.frame.bases.find(fact.basis)
        return basis is not None and basis.never_counts

    def _refuse(self, line: int, row: Sequence[str], reason: str) -> None:
        self._tally.refused += 1
        self._tally.reasons[_kind_of(reason)] += 1
        self._rejects.add(self._heading, line, reason, row)


def _kind_of(reason: str) -> str:
    """A reason without the value that it is about, so that alike ones are counted together."""
    return _QUOTED.sub("...", reason).partition(": ")[0]


def _values(row: Sequence[str], columns: Columns) -> dict[str, str]:
    if len(row) != columns.width:
        raise RowError(f"the row has {len(row)} fields, the heading {columns.width}")
    refusal = columns.refusal(row)
    if refusal:
        raise RowError(f"the list itself does not mail this address: {refusal}")
    return columns.pick(row)


def _identities(tx: Tx, items: Sequence[Item]) -> dict[str, dict[bytes, set[EventKind]]]:
    """What is on record of these people, by the identities that these rows would have."""
    timeless = any(item.finding.timeless for item in items)
    recorded = people.recorded_facts(tx, [item.finding.address for item in items])
    found: dict[str, dict[bytes, set[EventKind]]] = {}
    for key, facts in recorded.items():
        marks = found.setdefault(key, {})
        for fact in facts:
            marks.setdefault(rows.identity(fact), set()).add(fact.kind)
            if timeless:
                marks.setdefault(rows.identity(fact, timeless=True), set()).add(fact.kind)
    return found


def _look_up(tx: Tx, items: Sequence[Item]) -> dict[tuple[str, str], Person]:
    """The people of these rows, by stream and address key."""
    wanted: dict[tuple[str, str], list[Address]] = {}
    for item in items:
        fact = item.finding.fact
        wanted.setdefault((fact.stream, fact.sender), []).append(item.finding.address)
    return {
        (stream, key): person
        for (stream, sender), addresses in wanted.items()
        for key, person in people.look_up(tx, addresses, stream, sender).items()
    }
