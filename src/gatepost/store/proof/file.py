"""The file of an embedded store: whether the pages of the ledger's tables and indexes agree.

A row that the tables show and an index hides, or the other way round, could be read in one
place and missed in another. PostgreSQL watches over its own pages (data checksums).
"""

from gatepost.store.proof.findings import Finding
from gatepost.store.transaction import Tx

TABLES = (
    "block",
    "event",
    "event_payload",
    "subject",
    "standing",
    "suppression",
    "source",
    "consent_text",
    "picture",
)


def check_table(tx: Tx, table: str) -> list[Finding]:
    """What SQLite itself has to say about one of `TABLES` and its indexes."""
    if tx.dialect != "sqlite":
        return []
    rows = tx.cursor.execute(f"PRAGMA integrity_check('{table}')").fetchall()
    return [
        Finding(0, 0, f"the file is damaged at table {table}: {said}")
        for (said,) in rows
        if said != "ok"
    ]
