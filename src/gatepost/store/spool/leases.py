"""Leases on claimed rows: renewed while upstream thinks, recovered after a death.

In: holders and ids. Out: what is still theirs, and when the queue next has something to do.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import product

from sqlalchemy import bindparam, case, func, select, update

from gatepost.mail.recipient_state import State
from gatepost.store import hot
from gatepost.store.engine import Tx
from gatepost.store.subjects import chunks
from gatepost.store.tables import mail as tables
from gatepost.store.tables.mail import spelled
from gatepost.store.times import from_ms

LANES = (0, 1)

_MS = timedelta(milliseconds=1)
_r = tables.recipient.c
_RENEW = (
    update(tables.recipient)
    .where(
        _r.id.in_(bindparam("ids", expanding=True)),
        _r.state == spelled(State.SENDING),
        _r.lease_by == bindparam("holder"),
    )
    .values(lease_until_ms=bindparam("until"))
    .returning(_r.id)
)
_WAITING = (
    _r.finished_ms.is_(None),
    _r.upstream == bindparam("upstream"),
    _r.lane == bindparam("lane"),
)
_ANY_READY = select(_r.id).where(*_WAITING, _r.state == spelled(State.READY)).limit(1)
_FIRST_DEFERRED = select(func.min(_r.next_attempt_ms)).where(
    *_WAITING, _r.state == spelled(State.DEFERRED)
)
_LATER = _r.next_attempt_ms > _r.lease_until_ms
_FIRST_ABANDONED = select(
    func.min(case(((_r.attempts > 1) & _LATER, _r.next_attempt_ms), else_=_r.lease_until_ms))
).where(
    _r.lease_until_ms.is_not(None),
    _r.upstream == bindparam("upstream"),
    _r.lane == bindparam("lane"),
)


def renew(tx: Tx, holder: str, ids: Iterable[int], duration: timedelta) -> frozenset[int]:
    """Prolongs the holder's leases to `duration` from now; the ids that it no longer holds."""
    wanted = sorted(set(ids))
    until = tx.now_ms + duration // _MS
    query = hot.compile_once(_RENEW, tx.dialect)
    kept: set[int] = set()
    for chunk in chunks(wanted):
        rows = query.rows(tx, {"ids": chunk, "holder": holder, "until": until})
        kept.update(row[0] for row in rows)
    return frozenset(wanted) - kept


def recover(tx: Tx, holders: Sequence[str] | None = None) -> int:
    """Ends the leases of holders that are dead; says how many rows go back to the queue.

    `None` means all: only for the first process on a store that nobody else uses. A row in
    its first attempt is ready again; one in a later attempt waits for its written time.
    """
    owned = [] if holders is None else [_r.lease_by.in_(holders)]
    first = _r.attempts <= 1
    back = (
        update(tables.recipient)
        .where(_r.lease_until_ms.is_not(None), _r.state == spelled(State.SENDING), *owned)
        .values(
            state=case((first, State.READY.value), else_=State.DEFERRED.value),
            next_attempt_ms=case((first, tx.now_ms), else_=_r.next_attempt_ms),
            lease_by=None,
            lease_until_ms=None,
        )
    )
    return tx.connection.execute(back).rowcount


def next_due(tx: Tx, upstreams: Sequence[str]) -> datetime | None:
    """When a claim for these upstreams next finds something; `None` if nothing is queued.

    A time that is past means now.
    """
    moments: list[int | None] = []
    for upstream, lane in product(upstreams, LANES):
        place: dict[str, object] = {"upstream": upstream, "lane": lane}
        if hot.compile_once(_ANY_READY, tx.dialect).rows(tx, place):
            return tx.now
        for query in (_FIRST_DEFERRED, _FIRST_ABANDONED):
            moments += hot.compile_once(query, tx.dialect).rows(tx, place)[0]
    return min((from_ms(moment) for moment in moments if moment is not None), default=None)
