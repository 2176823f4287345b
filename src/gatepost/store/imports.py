"""How far an import has come: written in the transaction of each batch, gone at its end.

An import that is broken off leaves one row; the same import of the same file finds it and
goes on behind the last batch that was committed. A row that nobody came back for is removed
after a month: the import then starts anew, and finds everything known.

In: a digest of file and options. Out: `Progress`.
*Fails:* whatever the database raises.
"""

from dataclasses import dataclass

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from gatepost.store.hot import compile_once
from gatepost.store.tables.imports import import_progress
from gatepost.store.transaction import Tx

_MONTH_MS = 30 * 24 * 3600 * 1000
_COLUMNS = ("stage", "rows", "rejects_bytes", "tally")


@dataclass(frozen=True, slots=True)
class Progress:
    """What of an import is committed. See `ImportProgress` for the parts."""

    stage: int
    rows: int
    rejects_bytes: int
    tally: str


def _upsert(statement: sqlite.Insert | postgresql.Insert) -> sqlite.Insert | postgresql.Insert:
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["digest"],
        set_={name: new[name] for name in (*_COLUMNS, "touched_ms")},
    )


_KEEP = {
    "sqlite": _upsert(sqlite.insert(import_progress)),
    "postgresql": _upsert(postgresql.insert(import_progress)),
}
_FIND = select(*(import_progress.c[name] for name in _COLUMNS)).where(
    import_progress.c.digest == bindparam("of_import")
)
_END = delete(import_progress).where(
    (import_progress.c.digest == bindparam("of_import"))
    | (import_progress.c.touched_ms < bindparam("too_old_ms"))
)


def find(tx: Tx, digest: str) -> Progress | None:
    """How far this import has come; `None` if it is not under way."""
    found = compile_once(_FIND, tx.dialect).rows(tx, {"of_import": digest})
    return Progress(*found[0]) if found else None


def keep(tx: Tx, digest: str, progress: Progress) -> None:
    """Notes how far it has come, together with what the transaction records."""
    compile_once(_KEEP[tx.dialect], tx.dialect).execute(
        tx,
        {
            "digest": digest,
            "stage": progress.stage,
            "rows": progress.rows,
            "rejects_bytes": progress.rejects_bytes,
            "tally": progress.tally,
            "touched_ms": tx.now_ms,
        },
    )


def end(tx: Tx, digest: str) -> None:
    """Forgets an import that is through, and others that nobody came back for."""
    compile_once(_END, tx.dialect).execute(
        tx, {"of_import": digest, "too_old_ms": tx.now_ms - _MONTH_MS}
    )
