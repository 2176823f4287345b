"""What administrators see of the queue, and do to it.

In: ids of recipients. Out: `QueueRow`s, in the shape that `queue list` prints, and the ids
that a command changed; the others were in a state that it cannot change (a copy that is on
the wire is neither held nor deleted).
"""

from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, bindparam, case, func, literal, select, update

from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.store.bell import Ring, ring
from gatepost.store.campaigns import FROZEN
from gatepost.store.ending import close_finished
from gatepost.store.engine import Tx
from gatepost.store.ids import to_text
from gatepost.store.plain import plain
from gatepost.store.subjects import chunks
from gatepost.store.tables import mail as tables
from gatepost.store.tables.mail import spelled
from gatepost.store.times import from_ms, to_ms

UNCONFIGURED = "not-configured"  # the rule of what is held until its stream and sender are
BY_HAND = "held-by-hand"  # the rule of what would go on by itself, had nobody held it
SLICE = 1000  # rows that are given up in one transaction
LISTED = (State.READY, State.SENDING, State.DEFERRED, State.HELD)

_r, _s = tables.recipient.c, tables.submission.c
# Ids in the order of their index would lead along all rows there ever were; this leads
# through the index of open rows.
_OPEN_ID = _r.id + 0
_ROWS = select(
    _r.id, _r.address, _r.state, _r.attempts, _r.next_attempt_ms, _r.last_reply,
    _r.upstream, _r.submission, _s.stream, _s.sender, _s.client, _s.received_ms,
).join_from(tables.recipient, tables.submission, _s.id == _r.submission)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """One recipient that is not finished."""

    id: int
    recipient: str
    stream: str
    state: str
    attempts: int
    next_attempt_at: datetime | None
    last_reply: str
    submission: str
    sender: str
    client: str
    upstream: str
    received_at: datetime


def list_queue(
    tx: Tx,
    *,
    states: Sequence[State] = LISTED,
    upstream: str | None = None,
    after: int = 0,
    limit: int = 1000,
) -> list[QueueRow]:
    """What is queued, in the order of ids, `limit` at a time from the id `after`."""
    query = (
        _ROWS.where(_r.finished_ms.is_(None), _r.state.in_(states), _r.id > after)
        .order_by(_OPEN_ID)
        .limit(limit)
    )
    if upstream is not None:
        query = query.where(_r.upstream == upstream)
    return _read(tx, query)


def open_ids(
    tx: Tx, *, states: Sequence[State] = LISTED, upstream: str | None = None
) -> "array[int]":
    """The ids of all rows that `list_queue` would give, in one pass: eight octets for each."""
    query = select(_r.id).where(_r.finished_ms.is_(None), _r.state.in_(states))
    if upstream is not None:
        query = query.where(_r.upstream == upstream)
    rows = tx.connection.execution_options(yield_per=10_000).execute(query)
    return array("q", sorted(array("q", rows.scalars())))


def list_rows(tx: Tx, ids: Sequence[int], *, states: Sequence[State] = LISTED) -> list[QueueRow]:
    """Those of `ids` that are still queued in one of `states`, in the order of ids."""
    # Conditions on the state would lead through the index of all open rows, for each page.
    found = _read(tx, _ROWS.where(_r.id.in_(ids)).order_by(_r.id))
    return [row for row in found if row.state in states]


def retry(tx: Tx, ids: Iterable[int]) -> list[int]:
    """Makes deferred and held rows ready now."""
    values = {"state": State.READY, "next_attempt_ms": tx.now_ms, "held_ms": None}
    changed = _change(tx, ids, (State.DEFERRED, State.HELD), values)
    if changed:
        ring(tx, Ring.MAIL)
    return changed


def hold(tx: Tx, ids: Iterable[int], note: str = "") -> list[int]:
    """Sets rows aside until somebody retries or deletes them.

    Those that wait for a thaw, or for the configuration, do not go on by themselves any more; nor
    does what a gateway left on the wire when it died, or a backup found there.
    """
    ids = sorted(set(ids))
    waits = _r.rule.in_((FROZEN, UNCONFIGURED))
    by_hand = case((waits, BY_HAND), else_=_r.rule)
    values: dict[str, Any] = {"state": State.HELD, "held_ms": tx.now_ms, "rule": by_hand}
    if note:
        values["note"] = plain(note)
    changed = _change(tx, ids, (State.READY, State.DEFERRED), values)
    for chunk in chunks(ids):
        goes_on = (_r.state == State.HELD) & waits
        left = (_r.state == State.SENDING) & (_r.lease_until_ms <= tx.now_ms)
        keep = update(tables.recipient).where(_r.id.in_(chunk), goes_on | left)
        kept = keep.values(**values, lease_by=None, lease_until_ms=None).returning(_r.id)
        changed += tx.connection.execute(kept).scalars()
    return sorted(changed)


def delete(tx: Tx, ids: Iterable[int], note: str = "") -> list[int]:
    """Ends queued rows without sending; they stay on record as stopped."""
    values: dict[str, Any] = {
        "state": State.STOPPED,
        "finished_ms": tx.now_ms,
        "held_ms": None,
    }
    if note:
        values["note"] = plain(note)
    return _change(tx, ids, (State.READY, State.DEFERRED, State.HELD), values)


def late(tx: Tx, upstream: str, received_before: datetime, limit: int = SLICE) -> list[int]:
    """The ids of rows that have waited for an upstream since before that time (RQ-2).

    Looks at every open submission, so it is for a reader.
    """
    waiting = _r.finished_ms.is_(None) & _r.state.in_((State.READY, State.DEFERRED))
    # The submissions first, and few: their rows may be a million, all of which are young.
    old = select(_s.id).where(
        _s.content_state == spelled("kept"),
        _s.finished_ms.is_(None),
        _s.received_ms < to_ms(received_before),
    )
    rows = select(_r.id).where(_r.submission == bindparam("old"), waiting, _r.upstream == upstream)
    found: list[int] = []
    for number in tx.connection.execute(old).scalars().all():
        left = limit - len(found)
        if not left:
            break
        found += tx.connection.execute(rows.limit(left), {"old": number}).scalars()
    return found


def give_up(tx: Tx, ids: Sequence[int], reply: str) -> int:
    """Fails those of `late` rows that still wait; says how many.

    For rows that no attempt will end, because the upstream is away. The failures are
    reported like any other, with what was last heard.
    """
    values = {
        "state": State.FAILED,
        "last_reply": case(
            (_r.last_reply == "", plain(reply)),
            else_=literal(f"{plain(reply)}; ") + _r.last_reply,
        ),
        "finished_ms": tx.now_ms,
    }
    return len(_change(tx, ids, (State.READY, State.DEFERRED), values))


def foreign_upstreams(tx: Tx, known: Collection[str]) -> list[str]:
    """The upstreams that unfinished rows wait for and that are not among `known`."""
    # One look into the index for each name: what waits for one may be a million rows.
    first = select(func.min(_r.upstream)).where(_r.finished_ms.is_(None))
    name = tx.connection.execute(first).scalar()
    found = []
    while name is not None:
        found.append(name)
        name = tx.connection.execute(first.where(_r.upstream > name)).scalar()
    return [name for name in found if name not in known]


def reroute(tx: Tx, upstream: str, route_of: Callable[[str, str], str]) -> int:
    """Moves what waits for `upstream`, which is gone, to where its mail goes now; how many rows.

    `route_of` names the upstream for a stream and a sender. Without this, nobody would ever
    claim these rows, nor give them up (promise 1).
    """
    waiting = _r.finished_ms.is_(None) & (_r.upstream == upstream)
    kinds = (
        select(_s.stream, _s.sender)
        .join_from(tables.recipient, tables.submission, _s.id == _r.submission)
        .where(waiting)
        .distinct()
    )
    moved = 0
    for stream, sender in tx.connection.execute(kinds).all():
        same = select(_s.id).where(_s.stream == stream, _s.sender == sender)
        move = (
            update(tables.recipient)
            .where(waiting, _r.submission.in_(same))
            .values(upstream=route_of(stream, sender))
        )
        moved += tx.connection.execute(move).rowcount
    return moved


def configured_again(tx: Tx, knows: Callable[..., bool]) -> "array[int]":
    """The ids of what was held because its stream or sender was not configured, and is now.

    `knows(stream, sender, kind)` says so. Looks at all that is set aside, so it is for a
    reader.
    """
    found = array("q")
    held = _r.held_ms.is_not(None) & (_r.state == spelled(State.HELD)) & (_r.rule == UNCONFIGURED)
    origin = tables.recipient.join(tables.submission, _s.id == _r.submission)
    kinds = select(_s.stream, _s.sender, _s.kind).select_from(origin).where(held).distinct()
    for stream, sender, kind in tx.connection.execute(kinds).all():
        if knows(stream, sender, Kind(kind)):
            same = (_s.stream == stream) & (_s.sender == sender) & (_s.kind == kind)
            rows = tx.connection.execute(select(_r.id).select_from(origin).where(held, same))
            found.extend(rows.scalars())
    return found


def release_known(tx: Tx, ids: Iterable[int]) -> int:
    """Makes ready those of `configured_again` that are still held for that; how many rows.

    They are decided anew at their claim.
    """
    released = 0
    for chunk in chunks(list(ids)):
        ready = (
            update(tables.recipient)
            .where(_r.id.in_(chunk), _r.state == State.HELD, _r.rule == UNCONFIGURED)
            .values(state=State.READY, next_attempt_ms=tx.now_ms, held_ms=None)
        )
        released += tx.connection.execute(ready).rowcount
    if released:
        ring(tx, Ring.MAIL)
    return released


def count_states(tx: Tx) -> Mapping[str, int]:
    """How many rows are in each state that is not final, for metrics."""
    states = (*LISTED, State.QUARANTINED)
    query = select(_r.state, func.count()).where(_r.finished_ms.is_(None)).group_by(_r.state)
    found = {row[0]: row[1] for row in tx.connection.execute(query)}
    return {state.value: found.get(state.value, 0) for state in states}


def oldest(tx: Tx) -> datetime | None:
    """When the oldest submission that is still queued was received; `None` for an empty queue."""
    query = select(func.min(_OPEN_ID)).where(_r.finished_ms.is_(None), _r.state.in_(LISTED))
    first = tx.connection.execute(query).scalar()
    if first is None:
        return None
    received = (
        select(_s.received_ms)
        .join_from(tables.submission, tables.recipient, _s.id == _r.submission)
        .where(_r.id == first)
    )
    return from_ms(tx.connection.execute(received).scalar_one())


def _change(
    tx: Tx, ids: Iterable[int], states: Sequence[State], values: Mapping[str, Any]
) -> list[int]:
    """Sets `values` where the state allows it; the ids that were changed."""
    changed: list[tuple[int, int]] = []
    for chunk in chunks(sorted(set(ids))):
        change = (
            update(tables.recipient)
            .where(_r.id.in_(chunk), _r.state.in_(states))
            .values(**values)
            .returning(_r.id, _r.submission)
        )
        changed += [tuple(row) for row in tx.connection.execute(change)]
    if "finished_ms" in values:
        close_finished(tx, (submission for _, submission in changed))
    return sorted(number for number, _ in changed)


def _read(tx: Tx, query: Select[Any]) -> list[QueueRow]:
    return [
        QueueRow(
            id=row.id,
            recipient=row.address,
            stream=row.stream,
            state=row.state,
            attempts=row.attempts,
            next_attempt_at=_next_attempt(tx, row),
            last_reply=row.last_reply,
            submission=to_text(row.submission),
            sender=row.sender,
            client=row.client,
            upstream=row.upstream,
            received_at=from_ms(row.received_ms),
        )
        for row in tx.connection.execute(query)
    ]


def _next_attempt(tx: Tx, row: Any) -> datetime | None:
    match row.state:
        case State.READY:
            return from_ms(min(row.next_attempt_ms, tx.now_ms))
        case State.DEFERRED:
            return from_ms(row.next_attempt_ms)
        case _:
            return None
