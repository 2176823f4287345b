"""What other gateways recorded that must stop copies already claimed.

Each gateway knows its own withdrawals at once; those of the others it reads here several
times a second and keeps as its list of fresh withdrawals (promise 3).

In: the mark that the last call returned. Out: a new mark, and every ending after the mark:
withdrawals, complaints, suppressions, erasures.

On SQLite there is one writer at a time, so events become visible in the order of their ids,
and the mark is the last id seen. On PostgreSQL a transaction that drew its ids earlier may
commit later; so the mark stays behind whatever was recorded within the last minute, and the
endings of that minute are told again at each call. Telling twice does no harm.

Who leaves as one spelling of an address leaves as the other, too (`Address.lookalikes`): both are
told, so that no copy to either begins.

*Known limits:* the lookalike of an address that an erasure took is not told; its next claim is
decided with it. On PostgreSQL a transaction that stays open for more than a minute after
drawing its ids could be missed here (never by the look-up at claiming).
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import bindparam, func, select, text

from gatepost.consent.evidence import EventKind, Fact
from gatepost.mail.address import AddressError, parse
from gatepost.store import subjects
from gatepost.store.hot import Row, compile_once
from gatepost.store.suppressions import suppression_of
from gatepost.store.tables.ledger import ENDING, event, event_payload, subject
from gatepost.store.transaction import Tx

_OVERLAP_MS = {"sqlite": 0, "postgresql": 60_000}

# The condition must be that of the partial index, word for word.
_AFTER = (
    select(
        event.c.id, event.c.subject, event.c.kind, event.c.recorded_ms, event_payload.c.payload,
        subject.c.address,
    )
    .select_from(
        event.outerjoin(event_payload, event_payload.c.event == event.c.id)
        .join(subject, subject.c.id == event.c.subject)
    )
    .where(event.c.id > bindparam("mark"), text(ENDING))
    .order_by(event.c.id)
)  # fmt: skip
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
    settled = [row[0] for row in rows if row[3] <= settled_ms]
    if tx.dialect == "sqlite":
        settled = [row[0] for row in rows]
    endings = [ending for row in rows if (ending := _ending(row))]
    alike = _alike(tx, {row[1]: row[5] for row in rows if row[5] and not row[5].isascii()})
    if alike:
        endings += [
            ending._replace(subject=other)
            for ending in endings
            for other in alike.get(ending.subject, ())
        ]
    return max(settled, default=mark), endings


def _alike(tx: Tx, given: Mapping[int, str]) -> dict[int, list[int]]:
    """Who else, of those on record, has the same letters in the address, by subject."""
    wanted: dict[bytes, list[int]] = {}
    for number, spelling in given.items():
        with suppress(AddressError):  # of a row that holds none any more
            for key in parse(spelling).lookalikes:
                wanted.setdefault(tx.keys.key_hash(key), []).append(number)
    found: dict[int, list[int]] = {}
    for digest, other in subjects.find(tx, wanted).items():
        for number in wanted[digest]:
            found.setdefault(number, []).append(other)
    return found


def _ending(row: Row) -> Ending | None:
    number, of_subject, kind, _, payload, _ = row
    if payload is None or kind == EventKind.ERASED:
        return Ending(of_subject, "", "", number)
    if kind == EventKind.WITHDRAWN:  # after a mailing there are thousands: no need of all fields
        said = json.loads(payload)
        return Ending(of_subject, said.get("sender", ""), said.get("stream", ""), number)
    fact = Fact.from_payload(payload)
    return Ending(of_subject, fact.sender, "", number) if suppression_of(fact) else None
