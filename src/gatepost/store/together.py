"""One statement for many rows: the texts of INSERTs and UPDATEs that take several at once.

A row at a time costs a step of its own, and in a busy process each step gives the interpreter
away and has to win it back; together a row is a few microseconds.

In: a compiled INSERT with VALUES, or an UPDATE of one row by its key, which has no other
condition. Out: for SQLite texts for 64 and for 8 rows, for PostgreSQL one text that takes an
array per column, each behind a query: if PostgreSQL saw how few rows there are, it would plan
anew each time. Nothing for any other statement.

*Known limits:* an UPDATE takes several rows only if no key is there twice: of two changes of
one row both engines make any.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Insert, Update
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import NullType

from gatepost.store.arrays import array

PORTIONS = (64, 8)  # rows in one statement of SQLite; few sizes, so that few texts are kept
FEWEST_IN_ARRAYS = 2
MAX_PARAMETERS = 32_766

_PLACE = r"(?:\?|%s(?:::\w+)?)"
_VALUES = re.compile(rf"VALUES \(({_PLACE}(?:, {_PLACE})*)\)")
_CHANGE = re.compile(rf"(UPDATE (\w+) SET .*) WHERE (\2\.\w+ = {_PLACE})", re.DOTALL)  # noqa: S608

Row = tuple[Any, ...]


class Together:
    """A compiled statement, and its texts for several rows."""

    def __init__(self, compiled: SQLCompiler, dialect: str) -> None:
        self._change = _update(compiled)
        self._insert = _insert(compiled)
        self._overwrites = self._change is not None or "DO UPDATE" in compiled.string
        self._columns = len(compiled.positiontup or ())
        self._whole = compiled.string
        self._texts: Sequence[tuple[int, str]] = ()
        self._arrays = ""
        if dialect == "sqlite":
            sizes = [size for size in PORTIONS if size * self._columns <= MAX_PARAMETERS]
            self._texts = [(size, text) for size in sizes if (text := self._text(size))]
        elif types := _types(compiled):
            arrays = ", ".join(f"(SELECT %s::{one}[])" for one in types)
            self._arrays = self._take_from(f"unnest({arrays})")

    def cut(
        self, rows: Sequence[Row], *, distinct: bool
    ) -> tuple[list[tuple[str, list[Any]]], Sequence[Row]]:
        """Statements with their values for most of `rows`, in their order, and those left over.

        `distinct` promises that no two rows have the same key.
        """
        least = FEWEST_IN_ARRAYS if self._arrays else PORTIONS[-1]
        if len(rows) < least or (self._change and not _are_distinct(rows)):
            return [], rows
        if self._arrays:
            if self._overwrites and not (distinct or self._change):
                return [], rows  # PostgreSQL changes no row twice in one statement
            return [(self._arrays, [array(column) for column in zip(*rows, strict=True)])], ()
        statements, at = [], 0
        for size, text in self._texts:
            while len(rows) - at >= size:
                statements.append((text, [*chain.from_iterable(rows[at : at + size])]))
                at += size
        return statements, rows[at:]

    def _text(self, count: int) -> str:
        group = f"({', '.join('?' * self._columns)})"
        groups = f"VALUES {', '.join([group] * count)}"
        if self._insert:
            return self._whole[: self._insert.start()] + groups + self._whole[self._insert.end() :]
        return self._take_from(f"({groups})")

    def _take_from(self, source: str) -> str:
        """The statement with its values from a table; "" for one that takes a single row."""
        if self._insert:
            before, after = self._whole[: self._insert.start()], self._whole[self._insert.end() :]
            return f"{before}SELECT * FROM {source}{after}"  # noqa: S608  our own statement
        if self._change is None:
            return ""
        setting, where = _numbered(self._change[1], self._change[3])
        names = ", ".join(f"column{n}" for n in range(1, self._columns + 1))
        given = f"{source} AS given" + (f"({names})" if "unnest" in source else "")
        return f"{setting} FROM {given} WHERE {where}"


def _are_distinct(rows: Sequence[Row]) -> bool:
    """Whether no key, which comes last in an UPDATE, is there twice."""
    return len({row[-1] for row in rows}) == len(rows)


def _insert(compiled: SQLCompiler) -> re.Match[str] | None:
    """Where the one group of values stands; no value may be anywhere else."""
    if not isinstance(compiled.statement, Insert):
        return None
    found = _VALUES.search(compiled.string)
    names = compiled.positiontup or ()
    if found is None or len(re.findall(_PLACE, compiled.string)) != len(names):
        return None
    return found if len(re.findall(_PLACE, found[1])) == len(names) else None


def _update(compiled: SQLCompiler) -> re.Match[str] | None:
    if not isinstance(compiled.statement, Update):
        return None
    return _CHANGE.fullmatch(compiled.string)


def _numbered(*texts: str) -> Iterator[str]:
    """The texts with each place as a column of what is given."""
    numbers = iter(range(1, 1000))
    for text in texts:
        yield re.sub(_PLACE, lambda _: f"given.column{next(numbers)}", text)


def _types(compiled: SQLCompiler) -> list[str]:
    kinds = [compiled.binds[name].type for name in compiled.positiontup or ()]
    if any(isinstance(kind, NullType) for kind in kinds):
        return []
    return [kind.compile(dialect=compiled.dialect) for kind in kinds]
