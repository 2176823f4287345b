"""Hot statements: Core statements compiled once, then run through the driver's own cursor.

SQLAlchemy's execution costs more than the statement itself where a mail path asks thousands
of times a second. Here a statement becomes SQL text for one engine, once; values go to the
driver as they are, in the transaction of the `Tx`.

In: a Core statement with named `bindparam`s (an INSERT without values takes its columns'
names), and mappings of values. Out: tuples as the driver returns them.
`column.in_(bindparam("x", expanding=True))` takes a list: on PostgreSQL it becomes one array;
on SQLite the list is filled up to a power of two, so that few texts are ever made.

*Fails:* `ValueError` for a list longer than SQLite's limit; whatever the database raises.
*Known limits:* values are not converted: times are integers, and SQLite returns booleans as
0 and 1. At most one expanding parameter per statement, never under NOT IN.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, cast

from sqlalchemy import Dialect, Executable, make_url
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

from gatepost.store.arrays import array
from gatepost.store.together import Together
from gatepost.store.transaction import Tx

_DIALECTS = {"postgresql": "postgresql+psycopg://", "sqlite": "sqlite+pysqlite://"}
MAX_LIST = 16384  # SQLite takes 32,766 parameters, and lists double

_EXPANDING = re.compile(r"(NOT )?IN \(__\[POSTCOMPILE_([^\]~]+)(?:~~[^\]]*?~~)?\]\)")
# From an array that it sees PostgreSQL guesses how many rows there will be, and thinks it pays to
# plan anew each time; from one behind a query it does not, and the plan is made once.
_ANY = "= ANY(ARRAY(SELECT unnest(%s::{}[])))"

Row = tuple[Any, ...]


class Hot:
    """One statement for one engine."""

    def __init__(self, statement: Executable, dialect: str) -> None:
        compiled = cast("ClauseElement", statement).compile(dialect=_dialect(dialect))
        if not isinstance(compiled, SQLCompiler):
            raise TypeError("only SELECT, INSERT, UPDATE and DELETE can be hot")
        self._array = dialect == "postgresql"
        self._names: tuple[str, ...] = tuple(compiled.positiontup or ())
        found = _EXPANDING.search(compiled.string)
        self._list = ""
        self._sql = compiled.string
        self._sizes: dict[int, str] = {}
        if found:
            if found.group(1) or len(_EXPANDING.findall(compiled.string)) > 1:
                raise ValueError("a hot statement takes one list, under IN")
            self._list = found.group(2)
            self._before, self._after = _EXPANDING.split(compiled.string)[::3]
            kind = compiled.binds[self._list].type.compile(dialect=compiled.dialect)
            self._sql = f"{self._before}{_ANY.format(kind)}{self._after}"
            self._at = self._names.index(self._list)
        self._pick = _picker(self._names, _constants(compiled))
        plain = not _constants(compiled) and not self._list
        self._together = Together(compiled, dialect) if plain else None

    def rows(self, tx: Tx, params: Mapping[str, Any]) -> list[Row]:
        """All rows of a SELECT, or of a statement with RETURNING."""
        sql, values = self._bind(params)
        found: list[Row] = tx.cursor.execute(sql, values).fetchall()
        return found

    def later(self, tx: Tx, params: Mapping[str, Any]) -> Callable[[], list[Row]]:
        """What says all rows, or has the statement done; on PostgreSQL with the next one.

        For statements that need nothing of each other, so that they travel together: have all
        done first, and ask then.
        """
        if self._array:
            sql, values = self._bind(params)
            answer: Callable[[], list[Row]] = tx.cursor.later(sql, values)
            return answer
        found = self.rows(tx, params)
        return lambda: found

    def execute(self, tx: Tx, params: Mapping[str, Any]) -> int:
        """Runs a statement without result; how many rows it touched."""
        sql, values = self._bind(params)
        count: int = tx.cursor.execute(sql, values).rowcount
        return count

    def executemany(
        self, tx: Tx, rows: Iterable[Mapping[str, Any]], *, distinct: bool = False
    ) -> None:
        """Runs a statement without result once for each of `rows`; no list parameters.

        On PostgreSQL they go with the next statement, or with COMMIT.

        `distinct` promises that no two rows have the same key, so that an INSERT with ON
        CONFLICT DO UPDATE can take them at once. An UPDATE looks for itself.
        """
        pick = self._pick
        values: Sequence[Row] = [pick(row) for row in rows]
        if self._together is not None:
            statements, values = self._together.cut(values, distinct=distinct)
            for sql, parameters in statements:
                tx.cursor.executemany(sql, [parameters])
        if values:
            tx.cursor.executemany(self._sql, values)

    def _bind(self, params: Mapping[str, Any]) -> tuple[str, Sequence[Any]]:
        if not self._list:
            return self._sql, self._pick(params)
        items = params[self._list]
        if self._array:
            return self._sql, self._pick({**params, self._list: array(items)})
        if not items:
            items = [None]  # equals nothing
        size = 1 << (len(items) - 1).bit_length()
        if size > MAX_LIST:
            raise ValueError(f"a list of {len(items)} is longer than {MAX_LIST}")
        sql = self._sizes.get(size)
        if sql is None:
            marks = ",".join("?" * size)
            sql = self._sizes[size] = f"{self._before}IN ({marks}){self._after}"
        values = list(self._pick(params))
        values[self._at : self._at + 1] = [*items, *[items[-1]] * (size - len(items))]
        return sql, values


@lru_cache(maxsize=1024)
def compile_once(statement: Executable, dialect: str) -> Hot:
    """The `Hot` of `statement`, which is a constant of its module, for `tx.dialect`."""
    return Hot(statement, dialect)


def _dialect(name: str) -> Dialect:
    made: Callable[..., Dialect] = make_url(_DIALECTS[name]).get_dialect()
    return made(paramstyle="format" if name == "postgresql" else "qmark")


def _constants(compiled: SQLCompiler) -> dict[str, Any]:
    """The values that the statement itself contains, such as the `x` of `column == x`."""
    return {
        name: parameter.effective_value
        for parameter, name in compiled.bind_names.items()
        if not parameter.required and not parameter.expanding
    }


def _picker(
    names: Sequence[str], constants: Mapping[str, Any]
) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """What puts named values into the order of the statement's placeholders."""
    if constants:
        return lambda params: tuple(
            [params[name] if name in params else constants[name] for name in names]
        )
    if not names:
        return lambda _params: ()
    if len(names) == 1:
        (name,) = names
        return lambda params: (params[name],)
    return itemgetter(*names)
