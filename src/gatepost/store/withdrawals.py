"""What other gateways recorded that must stop copies already claimed.

Each gateway knows its own withdrawals at once; those of the others it reads here several
times a second and keeps as its list of fresh withdrawals (promise 3).

In: the mark that the last call returned. Out: a new mark, and every ending after the mark:
withdrawals, complaints, suppressions, erasures.

On SQLite there is one writer at a time, so events become visible in the order of their ids,
and the mark is the last id seen. On PostgreSQL a transaction that drew its ids earlier may
commit later; so the mark stays behind whatever was recorded within the last minute, and the
endings of that minute are told again at each call. Telling twice does no harm.

*Known limits:* on PostgreSQL a transaction that stays open for more than a minute after
drawing its ids could be missed here (never by the look-up at claiming).
"""

import json
from typing import NamedTuple

from sqlalchemy import bindparam, func, select, text

from gatepost.consent.evidence import EventKind, Fact
from gatepost.store.hot import Row, compile_once
from gatepost.store.suppressions import suppression_of
from gatepost.store.tables.ledger import ENDING, event, event_payload
from gatepost.store.transaction import Tx

_OVERLAP_MS = {"sqlite": 0, "postgresql": 60_000}

# The condition must be that of the partial index, word for word.
_AFTER = (
    select(event.c.id, event.c.subject, event.c.kind, event.c.recorded_ms, event_payload.c.payload)
    .select_from(event.outerjoin(event_payload, event_payload.c.event == event.c.id))
    .where(event.c.id > bindparam("mark"), text(ENDING))
    .order_by(event.c.id)
)
_MARK = select(func.coalesce(func.max(event.c.id), 0)).where(
    event.c.recorded_ms <= bindparam("before_ms"), text(ENDING)
)


class Ending(NamedTuple):
    """Whose mail ends: `stream` "" is every bulk stream of `sender`; `sender` "" every sender."""

    subject: int
    sender: str
    stream: str
    event: int  # of one person, the later the higher


def withdrawals_mark(tx: Tx) -> int:
    """The mark to begin with: what was recorded before it, every look-up sees from now on."""
    before_ms = tx.now_ms - _OVERLAP_MS[tx.dialect]
    ((mark,),) = compile_once(_MARK, tx.dialect).rows(tx, {"before_ms": before_ms})
    return int(mark)


def withdrawals_after(tx: Tx, mark: int) -> tuple[int, list[Ending]]:
    """The endings recorded after `mark`, and the mark for the next call."""
    rows = compile_once(_AFTER, tx.dialect).rows(tx, {"mark": mark})
    settled_ms = tx.now_ms - _OVERLAP_MS[tx.dialect]
    settled = [number for number, _, _, recorded_ms, _ in rows if recorded_ms <= settled_ms]
    if tx.dialect == "sqlite":
        settled = [row[0] for row in rows]
    endings = [ending for row in rows if (ending := _ending(row))]
    return max(settled, default=mark), endings


def _ending(row: Row) -> Ending | None:
    number, subject, kind, _, payload = row
    if payload is None or kind == EventKind.ERASED:
        return Ending(subject, "", "", number)
    if kind == EventKind.WITHDRAWN:  # after a mailing there are thousands: no need of all fields
        said = json.loads(payload)
        return Ending(subject, said.get("sender", ""), said.get("stream", ""), number)
    fact = Fact.from_payload(payload)
    return Ending(subject, fact.sender, "", number) if suppression_of(fact) else None
