"""Remarks: small facts that all gateways of a store share, such as when something was last done.

In: a name and a value. Out: whether the value is news. Of several gateways that note the same
at once, one hears yes.

*Fails:* whatever the database raises.
"""

from sqlalchemy import bindparam
from sqlalchemy.dialects import postgresql, sqlite

from gatepost.store.hot import compile_once
from gatepost.store.tables.ledger import meta
from gatepost.store.transaction import Tx

_NOTE = {
    name: insert(meta)
    .values(name=bindparam("of_name"), value=bindparam("new"))
    .on_conflict_do_update(
        index_elements=["name"],
        set_={"value": bindparam("new")},
        where=meta.c.value != bindparam("new"),
    )
    for name, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}


def note_change(tx: Tx, name: str, value: str) -> bool:
    """Notes that `name` is now `value`; whether it was anything else before."""
    note = compile_once(_NOTE[tx.dialect], tx.dialect)
    return note.execute(tx, {"of_name": name, "new": value}) == 1
