"""How often the same text was sent lately by mail that is not declared as bulk.

In: (client, sighting) pairs. Out: for each, the recipients that the same client mailed the
same text to before it, within the sighting's window. The count is kept per minute, so a
window begins at a full minute.

*Known limits:* a sighting counts when its transaction commits, also if all was refused.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from gatepost.store import hot
from gatepost.store.engine import Tx
from gatepost.store.spool.rows import TextSighting
from gatepost.store.tables import mail as tables

BUCKET_MS = 60_000

_w = tables.bulk_window.c
_SEEN = select(func.coalesce(func.sum(_w.recipients), 0)).where(
    _w.fingerprint == bindparam("fingerprint"),
    _w.client == bindparam("client"),
    _w.bucket > bindparam("since"),
)


def _adding(insert: Any) -> Any:
    statement = insert(tables.bulk_window)
    return statement.on_conflict_do_update(
        index_elements=["fingerprint", "client", "bucket"],
        set_={"recipients": _w.recipients + statement.excluded.recipients},
    )


_ADD = {"sqlite": _adding(sqlite.insert), "postgresql": _adding(postgresql.insert)}


def count(tx: Tx, sightings: Sequence[tuple[str, TextSighting]]) -> list[int]:
    """Adds all of them to the count; per sighting, what had been seen before it."""
    if not sightings:
        return []
    bucket = tx.now_ms // BUCKET_MS
    seen_query = hot.compile_once(_SEEN, tx.dialect)
    added: Counter[tuple[bytes, str]] = Counter()
    stored: dict[tuple[bytes, str], int] = {}
    before = []
    for client, sighting in sightings:
        text = (sighting.fingerprint, client)
        if text not in stored:
            since = bucket - sighting.within // timedelta(milliseconds=BUCKET_MS)
            found = {"fingerprint": text[0], "client": client, "since": since}
            stored[text] = int(seen_query.rows(tx, found)[0][0])
        before.append(stored[text] + added[text])
        added[text] += sighting.recipients
    # In one order in every gateway, so that none waits in a circle for another.
    rows = (
        {"fingerprint": fingerprint, "client": client, "bucket": bucket, "recipients": number}
        for (fingerprint, client), number in sorted(added.items())
    )
    hot.compile_once(_ADD[tx.dialect], tx.dialect).executemany(tx, rows)
    return before


def forget(tx: Tx, older_than: timedelta) -> int:
    """Removes counts of minutes before that; says how many rows."""
    before = (tx.now_ms - older_than // timedelta(milliseconds=1)) // BUCKET_MS
    return tx.connection.execute(delete(tables.bulk_window).where(_w.bucket < before)).rowcount
