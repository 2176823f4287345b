"""The store that is being made: filled slice by slice, and not to be used before it is whole.

While it is filled its schema bears the revision `schema.MOVING`, which no gateway opens, and a
table of its own (`store_move`) says whose store it is and how far each table has come, written
with the rows themselves: so a move that was cut off at any moment goes on where it stood.

In: a transaction on the target. Out: what is there, more of it, and at last a store like any
other.
*Fails:* `TargetTaken`; whatever the database raises.
"""

from collections.abc import Sequence
from functools import cache

from sqlalchemy import (
    BigInteger,
    Column,
    Insert,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)

from gatepost.store import belonging, schema
from gatepost.store.hot import compile_once
from gatepost.store.moving.rows import Tally, Values
from gatepost.store.spool import leases
from gatepost.store.tables.onward import webhook
from gatepost.store.transaction import Tx

_PROGRESS = Table(
    "store_move",
    MetaData(),
    Column("name", String, primary_key=True),
    Column("rows", BigInteger, nullable=False),
    Column("digest", String, nullable=False),
)
_p = _PROGRESS.c
_OWNER = ""  # the row that names the store which is moved; its digest is who it is
_VERSION = "alembic_version"


class TargetTaken(Exception):  # noqa: N818  an answer
    """There is something already where the store is to go; it is left alone."""


def begin(tx: Tx, owner: str, tables: Sequence[Table]) -> dict[str, Tally] | None:
    """Makes the tables, or says how far each has come; `None` if it must be begun anew.

    `owner` names the store that is moved, and the schema it has.
    """
    here = set(inspect(tx.connection).get_table_names())
    if _PROGRESS.name in here:
        return _resume(tx, owner)
    taken = sorted(here & {_VERSION, *(table.name for table in tables)})
    if taken:
        raise TargetTaken(
            f"there is a store, or a part of one, already (the table {taken[0]}): "
            "give an empty database"
        )
    _PROGRESS.create(tx.connection)
    tx.connection.execute(insert(_PROGRESS), {"name": _OWNER, "rows": 0, "digest": owner})
    schema.make(tx.connection)
    _set_revision(tx, schema.MOVING)
    return {}


def clear(tx: Tx, tables: Sequence[Table]) -> None:
    """Takes a half-made store away again."""
    for table in reversed(tables):
        table.drop(tx.connection, checkfirst=True)
    tx.connection.execute(text(f"DROP TABLE IF EXISTS {_VERSION}"))
    _PROGRESS.drop(tx.connection)


def add(tx: Tx, table: Table, rows: Sequence[Values], so_far: Tally) -> None:
    """Some more rows of a table, after which it has come to `so_far`."""
    names = [column.name for column in table.columns]
    statement = compile_once(_insert_into(table), tx.dialect)
    statement.executemany(tx, (dict(zip(names, row, strict=True)) for row in rows))
    tx.connection.execute(delete(_PROGRESS).where(_p.name == table.name))
    progress = {"name": table.name, "rows": so_far.rows, "digest": so_far.digest}
    tx.connection.execute(insert(_PROGRESS), progress)


def finish(tx: Tx, tables: Sequence[Table]) -> str:
    """Makes it a store that can be used: numbers go on, and nobody holds anything; its id."""
    if tx.dialect == "postgresql":
        for table in tables:
            _continue_numbers(tx, table)
    leases.recover(tx)
    tx.connection.execute(update(webhook).values(lease_by=None, lease_until_ms=None))
    _PROGRESS.drop(tx.connection)
    _set_revision(tx, schema.revisions()[-1])
    if tx.dialect == "postgresql":  # so that the first questions are planned by what is there
        tx.connection.execute(text("ANALYZE"))
    return belonging.begin_anew(tx)


@cache
def _insert_into(table: Table) -> Insert:
    """A constant per table: what is compiled once is found by its identity."""
    return insert(table)


def _resume(tx: Tx, owner: str) -> dict[str, Tally] | None:
    whose = tx.connection.execute(select(_p.digest).where(_p.name == _OWNER)).scalar_one()
    ours, theirs = owner.split(), whose.split()
    if theirs[:-1] != ours[:-1]:
        raise TargetTaken("another store is being moved to this database: give an empty one")
    if theirs != ours:
        return None  # a program with another schema began it
    come = select(_p.name, _p.rows, _p.digest).where(_p.name != _OWNER)
    return {name: Tally(rows, digest) for name, rows, digest in tx.connection.execute(come)}


def _set_revision(tx: Tx, revision: str) -> None:
    change = text(f"UPDATE {_VERSION} SET version_num = :revision")  # noqa: S608  a constant
    tx.connection.execute(change, {"revision": revision})


def _continue_numbers(tx: Tx, table: Table) -> None:
    """Has a table's own numbers go on after the highest that was copied."""
    column = table.autoincrement_column
    if column is None:
        return
    sequence = func.pg_get_serial_sequence(table.name, column.name)
    highest = select(func.max(column)).scalar_subquery()
    known = highest.is_not(None)
    tx.connection.execute(
        select(func.setval(sequence, func.coalesce(highest, 1), known)).where(sequence.is_not(None))
    )
