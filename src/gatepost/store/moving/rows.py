"""Rows on the move: every table in an order that references allow, in slices, and summed up.

In: a transaction on either engine. Out: slices of rows as tuples, at most a few megabytes at
a time; and a `Tally`, whose digest is the same whatever the order of the rows and the engine
they come from: the sum of a hash of each row. It finds what went wrong on the way; against
forgery there is the ledger's chain.
"""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

from sqlalchemy import Table, literal, select, tuple_
from sqlmodel import SQLModel

from gatepost.store import tables as models
from gatepost.store.transaction import Tx

Values = Sequence[Any]

_AT_ONCE = 2000
_LARGE = {"content": 16, "picture": 4}  # rows with pieces of messages, and with pictures
_BYTES = 16
_MODULUS = 1 << (8 * _BYTES)


def all_tables() -> list[Table]:
    """Every table of the schema; what refers to another comes after it."""
    for module in pkgutil.iter_modules(models.__path__, f"{models.__name__}."):
        importlib.import_module(module.name)
    return list(SQLModel.metadata.sorted_tables)


def walk(tx: Tx, table: Table) -> Iterator[list[Values]]:
    """All rows in the order of the primary key, slice by slice, none larger than memory allows."""
    key = list(table.primary_key.columns)
    places = [list(table.columns).index(column) for column in key]
    size = _LARGE.get(table.name, _AT_ONCE)
    query = select(table).order_by(*key).limit(size)
    rows = tx.connection.execute(query).all()
    while rows:
        yield [tuple(row) for row in rows]
        if len(rows) < size:
            return
        last = [
            literal(rows[-1][place], column.type) for place, column in zip(places, key, strict=True)
        ]
        beyond = tuple_(*key) > tuple_(*last) if len(key) > 1 else key[0] > last[0]
        rows = tx.connection.execute(query.where(beyond)).all()


class Tally:
    """How many rows there were, and what they come to."""

    def __init__(self, rows: int = 0, digest: str = "0") -> None:
        self.rows = rows
        self._sum = int(digest, 16)

    def equals(self, other: "Tally") -> bool:
        """Whether both have seen the same rows."""
        return (self.rows, self.digest) == (other.rows, other.digest)

    @property
    def digest(self) -> str:
        """The sum, in hexadecimal."""
        return f"{self._sum:0{2 * _BYTES}x}"

    def add(self, rows: Iterable[Values]) -> None:
        """Takes in some more rows."""
        for row in rows:
            hashed = blake2b(b"".join(map(_field, row)), digest_size=_BYTES).digest()
            self._sum = (self._sum + int.from_bytes(hashed)) % _MODULUS
            self.rows += 1


def _field(value: object) -> bytes:
    """One value so that no two different rows look alike; both engines' truths are 0 and 1."""
    match value:
        case None:
            return b"-"
        case int():
            return b"i%d," % value
        case str():
            data = value.encode("utf-8", "surrogatepass")
            return b"s%d:%s" % (len(data), data)
        case bytes() | memoryview():
            return b"b%d:%s" % (len(value), value)
        case _:
            raise TypeError(f"no column holds a {type(value).__name__}")
