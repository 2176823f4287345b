"""Remarks: small facts that all gateways of a store share, such as when something was last done.

In: a name and a value. Out: whether the value is news. Of several gateways that note the same
at once, one hears yes.

*Fails:* whatever the database raises.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite

from gatepost.store.hot import compile_once
from gatepost.store.tables.ledger import meta
from gatepost.store.transaction import Tx


def _upsert(statement: Any) -> Any:
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["name"], set_={"value": new.value}, where=meta.c.value != new.value
    )


_NOTE_FIRST = {
    "sqlite": sqlite.insert(meta).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(meta).on_conflict_do_nothing(),
}
_NOTE = {
    "sqlite": _upsert(sqlite.insert(meta)),
    "postgresql": _upsert(postgresql.insert(meta)),
}


def note_change(tx: Tx, name: str, value: str) -> bool:
    """Notes that `name` is now `value`; whether it was anything else before."""
    note = compile_once(_NOTE[tx.dialect], tx.dialect)
    return note.execute(tx, {"name": name, "value": value}) == 1


def note_first(tx: Tx, values: Mapping[str, str]) -> None:
    """Notes values by name, each unless there is one already."""
    rows = [{"name": name, "value": value} for name, value in values.items()]
    compile_once(_NOTE_FIRST[tx.dialect], tx.dialect).executemany(tx, rows)
