"""The move itself: everything from one end to the other, compared, and then put to use.

In: two ends and the keys they share. Out: per table how many rows there are now and what they
come to. The whole takes place while nobody else writes to the store that is moved, which is
only read. A move that was cut off goes on where it stood; if the store has changed since, it
is begun anew. The target becomes a store only after every table was read back and is equal.

*Fails:* `TargetTaken`, `StoreUnavailable`, `StoreBroken` where the target does not give back
what was written.
*Known limits:* rows are inserted under all indexes, and the time grows accordingly.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

from sqlalchemy import Table

from gatepost.store import ledger, schema
from gatepost.store.connection import Link
from gatepost.store.keys import StoreKeys
from gatepost.store.moving import target
from gatepost.store.moving.place import End, count_rows, keep_others_out
from gatepost.store.moving.rows import Tally, all_tables, walk
from gatepost.store.transaction import Tx
from gatepost.store.trouble import StoreBroken

T = TypeVar("T")

Watch = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True, slots=True)
class MovedTable:
    """One table at both ends: how many rows, and the digest they have in common."""

    name: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved. `resumed` counts the rows that an earlier attempt had brought over.

    `id` is the new store's own.
    """

    id: str
    tables: Sequence[MovedTable]
    resumed: int
    head: tuple[int, str]
    findings: Sequence[ledger.Finding]


class _Changed(Exception):  # noqa: N818  a turn of the way
    """The store is not what it was when the move was begun."""


def move(source: End, to: End, keys: StoreKeys, watch: Watch) -> Moved:
    """Brings everything from `source` `to` the other end; the keys stay where they are.

    `watch` shows how far a piece of work is, as `cli.printing.progress` does.
    """
    with source.link(keys) as there, to.link(keys, make=True) as here:
        return there.run(lambda tx: _Move(tx, here, watch).run())


class _Move:
    """One attempt, within one transaction on the source."""

    def __init__(self, source: Tx, here: Link, watch: Watch) -> None:
        self._source = source
        self._here = here
        self._watch = watch
        self._tables = all_tables()

    def run(self) -> Moved:
        keep_others_out(self._source, self._tables)
        try:
            copied, resumed = self._copy()
        except _Changed:
            self._here.run(partial(target.clear, tables=self._tables))
            copied, resumed = self._copy()
        self._compare(copied)
        findings = self._verify()
        new = self._here.run(partial(target.finish, tables=self._tables))
        rows = [MovedTable(name, tally.rows, tally.digest) for name, tally in copied.items()]
        return Moved(new, rows, resumed, ledger.head(self._source), findings)

    def _copy(self) -> tuple[Mapping[str, Tally], int]:
        owner = self._source.keys.fingerprints()
        name = " ".join([*owner.values(), schema.revisions()[-1]])
        known = self._here.run(partial(target.begin, owner=name, tables=self._tables))
        if known is None:
            raise _Changed
        copied: dict[str, Tally] = {}
        with self._watch("copied", count_rows(self._source, self._tables)) as advance:
            for table in self._tables:
                copied[table.name] = self._copy_table(table, known.get(table.name), advance)
        return copied, sum(tally.rows for tally in known.values())

    def _copy_table(
        self, table: Table, known: Tally | None, advance: Callable[[int], None]
    ) -> Tally:
        """Brings over what is not there yet, and makes sure of what is."""
        tally = Tally()
        for rows in walk(self._source, table):
            if known and tally.rows < known.rows:
                tally.add(rows)
                if tally.rows >= known.rows and not tally.equals(known):
                    raise _Changed
            else:
                tally.add(rows)
                self._here.run(partial(target.add, table=table, rows=rows, so_far=tally))
            advance(len(rows))
        if known and tally.rows < known.rows:
            raise _Changed
        return tally

    def _compare(self, copied: Mapping[str, Tally]) -> None:
        with self._watch("compared", sum(tally.rows for tally in copied.values())) as advance:
            for table in self._tables:
                found = self._here.run(partial(_sum_up, table=table, advance=advance))
                if not found.equals(copied[table.name]):
                    raise StoreBroken(
                        f"the table {table.name} has {found.rows} rows that are not the "
                        f"{copied[table.name].rows} written: look after the database, and give "
                        "an empty one"
                    )

    def _verify(self) -> list[ledger.Finding]:
        """What the ledger's chain says at the other end, held against the head at this one."""
        head = ledger.head(self._source)
        with self._watch("checked", self._here.run(ledger.size)) as advance:
            return list(islice(ledger.inspect(self._read, head, advance), ledger.MAX_FINDINGS))

    def _read(self, op: Callable[[Tx], T]) -> T:
        return self._here.run(op)


def _sum_up(tx: Tx, table: Table, advance: Callable[[int], None]) -> Tally:
    tally = Tally()
    for rows in walk(tx, table):
        tally.add(rows)
        advance(len(rows))
    return tally
