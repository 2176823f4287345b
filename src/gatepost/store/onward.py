"""What other systems are told: who is told, how far they have heard, what is on its way.

Deliveries are made from the sealed ledger, block by block. Blocks are the one order in which
everything that was committed stands without gaps, on both engines and with any number of
gateways; so a webhook needs one number to know what it has heard, whoever records pays
nothing for it, and an event cannot be missed because its transaction committed late.
Within a block the order is that of the ids, which for one person is that of recording.

In: names, a holder. Out: deliveries, without addresses: those are read when one is sent, so
that an erasure reaches what is still on its way.

*Fails:* whatever the database raises.
*Known limits:* what is told is half a second behind, because it is sealed first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, case, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gatepost.consent.evidence import EventKind, Fact
from gatepost.store.ids import new_id
from gatepost.store.plain import plain
from gatepost.store.subjects import chunks
from gatepost.store.tables.ledger import block, event, event_payload, subject
from gatepost.store.tables.onward import webhook, webhook_delivery
from gatepost.store.times import from_ms, to_ms
from gatepost.store.transaction import Tx

LEASE = timedelta(seconds=30)
WINDOW = 1000  # deliveries looked at together, and made ahead
_BLOCKS = 50  # read at a time; an import fills each with 10,000 events
_MILLISECOND = timedelta(milliseconds=1)
_w, _d = webhook.c, webhook_delivery.c


def _unless_there(statement: Any, *columns: str) -> Any:
    return statement.on_conflict_do_nothing(index_elements=columns)


_MAKE = {
    "sqlite": _unless_there(sqlite.insert(webhook), "name"),
    "postgresql": _unless_there(postgresql.insert(webhook), "name"),
}
_PUT = {
    "sqlite": _unless_there(sqlite.insert(webhook_delivery), "webhook", "event"),
    "postgresql": _unless_there(postgresql.insert(webhook_delivery), "webhook", "event"),
}


class Sealed(NamedTuple):
    """One sealed event; `payload` is `None` where it was erased."""

    event: int
    subject: int
    payload: bytes | None


class News(NamedTuple):
    """Events after a block, in their order, up to the block `height`."""

    height: int
    events: Sequence[Sealed]


class Wanted(NamedTuple):
    """An event that is to be delivered, and not before when."""

    event: int
    subject: int
    not_before: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one webhook. `made_at` is when it was made or, later, first tried."""

    id: int
    event: int
    subject: int
    attempts: int
    made_at: datetime
    next_at: datetime


@dataclass(frozen=True, slots=True)
class Content:
    """What a delivery is about: `fact` is `None`, and `address` "", where they were erased."""

    fact: Fact | None
    recorded_at: datetime
    address: str


class Failure(NamedTuple):
    """A delivery that did not arrive, why, and when to try again."""

    id: int
    next_at: datetime
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRow:
    """One webhook as `webhook list` shows it. `behind` counts blocks that it has not heard."""

    name: str
    waiting: int
    dead: int
    behind: int
    delivered: int
    delivered_at: datetime | None
    oldest_waiting_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadRow:
    """One delivery that was given up."""

    id: int
    webhook: str
    kind: str
    subject: int
    made_at: datetime
    given_up_at: datetime
    attempts: int
    last_error: str


def take_lease(tx: Tx, name: str, holder: str) -> int | None:
    """The height that `name` has heard, if `holder` may send to it for now; else `None`.

    A webhook that is new hears what is sealed from now on.
    """
    now = {"name": name, "height": _head(tx), "delivered": 0}
    tx.connection.execute(_MAKE[tx.dialect], now)
    take = (
        update(webhook)
        .where(
            _w.name == name,
            or_(_w.lease_by.is_(None), _w.lease_by == holder, _w.lease_until_ms < tx.now_ms),
        )
        .values(lease_by=holder, lease_until_ms=tx.now_ms + LEASE // _MILLISECOND)
        .returning(_w.height)
    )
    return tx.connection.execute(take).scalar()


def give_up_lease(tx: Tx, name: str, holder: str) -> None:
    """Lets another gateway send at once."""
    mine = update(webhook).where(_w.name == name, _w.lease_by == holder)
    tx.connection.execute(mine.values(lease_by=None, lease_until_ms=None))


def news(tx: Tx, height: int, kinds: Iterable[EventKind]) -> News:
    """What was sealed after the block `height`, as far as it is of one of `kinds`."""
    wanted = [kind.value for kind in kinds]
    found: list[Sealed] = []
    blocks = (
        select(block.c.height, block.c.first_event, block.c.last_event)
        .where(block.c.height > height)
        .order_by(block.c.height)
        .limit(_BLOCKS)
    )
    for number, first, last in tx.connection.execute(blocks).all():
        rows = tx.connection.execute(
            select(event.c.id, event.c.subject, event_payload.c.payload)
            .select_from(event.outerjoin(event_payload, event_payload.c.event == event.c.id))
            .where(
                event.c.id.between(first, last), event.c.block == number, event.c.kind.in_(wanted)
            )
            .order_by(event.c.id)
        )
        found += [Sealed(*row) for row in rows]
        height = number
        if len(found) >= WINDOW:
            break
    return News(height, found)


def put(tx: Tx, name: str, holder: str, height: int, wanted: Sequence[Wanted]) -> bool:
    """Makes deliveries of what was read up to `height`; false if `holder` has lost its lease."""
    mine = (
        update(webhook)
        .where(_w.name == name, _w.lease_by == holder, _w.height <= height)
        .values(height=height)
    )
    if not tx.connection.execute(mine).rowcount:
        return False
    rows = [
        {
            "id": new_id(),
            "webhook": name,
            "event": one.event,
            "subject": one.subject,
            "attempts": 0,
            "made_ms": tx.now_ms,
            "next_ms": to_ms(one.not_before),
            "dead_ms": None,
            "last_error": "",
        }
        for one in wanted
    ]
    if rows:
        tx.connection.execute(_PUT[tx.dialect], rows)
    return True


def waiting(tx: Tx, name: str) -> list[Delivery]:
    """What is on its way to `name`, in the order of the events; the first `WINDOW`."""
    rows = tx.connection.execute(
        select(_d.id, _d.event, _d.subject, _d.attempts, _d.made_ms, _d.next_ms)
        .where(_d.webhook == name, _d.dead_ms.is_(None))
        .order_by(_d.event)
        .limit(WINDOW)
    )
    return [
        Delivery(row.id, row.event, row.subject, row.attempts, from_ms(row.made_ms),
                 from_ms(row.next_ms))
        for row in rows
    ]  # fmt: skip


def contents(tx: Tx, deliveries: Sequence[Delivery]) -> dict[int, Content]:
    """What each of the deliveries is about, by its id."""
    events = {one.event: one.id for one in deliveries}
    rows = tx.connection.execute(
        select(event.c.id, event.c.recorded_ms, event_payload.c.payload, subject.c.address)
        .select_from(
            event.join(subject, subject.c.id == event.c.subject).outerjoin(
                event_payload, event_payload.c.event == event.c.id
            )
        )
        .where(event.c.id.in_(list(events)))
    )
    return {
        events[row.id]: Content(
            None if row.payload is None else Fact.from_payload(row.payload),
            from_ms(row.recorded_ms),
            row.address or "",
        )
        for row in rows
    }


def remove(tx: Tx, delivery: int) -> bool:
    """Ends one delivery; false if somebody else did."""
    gone = delete(webhook_delivery).where(_d.id == delivery)
    return tx.connection.execute(gone).rowcount == 1


def settle(
    tx: Tx,
    name: str,
    *,
    arrived: Sequence[int],
    void: Sequence[int] = (),
    failures: Sequence[Failure] = (),
    now: datetime,
    give_up_after: timedelta,
) -> int:
    """Notes what came of attempts; how many deliveries were given up for good.

    Given up is what was tried for so long: the time in which a delivery waited behind another
    does not count.
    """
    ended = [*arrived, *void]
    for chunk in chunks(ended):
        tx.connection.execute(delete(webhook_delivery).where(_d.id.in_(chunk)))
    if arrived:
        count = {"delivered": _w.delivered + len(arrived), "delivered_ms": tx.now_ms}
        tx.connection.execute(update(webhook).where(_w.name == name).values(count))
    dead = 0
    for failure in failures:
        tried_since = case((_d.attempts == 0, to_ms(now)), else_=_d.made_ms)
        over = tried_since <= to_ms(now - give_up_after)
        tx.connection.execute(
            update(webhook_delivery)
            .where(_d.id == failure.id)
            .values(
                attempts=_d.attempts + 1,
                made_ms=tried_since,
                next_ms=to_ms(failure.next_at),
                last_error=plain(failure.why)[:300],
                dead_ms=case((over, tx.now_ms), else_=None),
            )
        )
        is_dead = select(_d.dead_ms).where(_d.id == failure.id)
        dead += tx.connection.execute(is_dead).scalar() is not None
    return dead


def list_webhooks(tx: Tx) -> list[WebhookRow]:
    """Everybody who was ever told something, by name."""
    head = _head(tx)
    alive = _d.dead_ms.is_(None)
    counts = {
        row.webhook: row
        for row in tx.connection.execute(
            select(
                _d.webhook,
                func.count().filter(alive).label("waiting"),
                func.count().filter(~alive).label("dead"),
                func.min(_d.made_ms).filter(alive).label("oldest"),
            ).group_by(_d.webhook)
        )
    }
    return [
        WebhookRow(
            name=row.name,
            waiting=counts[row.name].waiting if row.name in counts else 0,
            dead=counts[row.name].dead if row.name in counts else 0,
            behind=max(0, head - row.height),
            delivered=row.delivered,
            delivered_at=_moment(row.delivered_ms),
            oldest_waiting_at=_moment(counts[row.name].oldest if row.name in counts else None),
        )
        for row in tx.connection.execute(select(webhook).order_by(_w.name))
    ]


def list_dead(tx: Tx, name: str | None = None, *, limit: int = 1000) -> list[DeadRow]:
    """What was given up, the oldest first."""
    query = (
        select(webhook_delivery, event.c.kind)
        .join(event, event.c.id == _d.event)
        .where(_d.dead_ms.is_not(None))
        .order_by(_d.event, _d.webhook)
        .limit(limit)
    )
    if name is not None:
        query = query.where(_d.webhook == name)
    return [
        DeadRow(
            id=row.id,
            webhook=row.webhook,
            kind=row.kind,
            subject=row.subject,
            made_at=from_ms(row.made_ms),
            given_up_at=from_ms(row.dead_ms),
            attempts=row.attempts,
            last_error=row.last_error,
        )
        for row in tx.connection.execute(query)
    ]


def revive(tx: Tx, *, ids: Sequence[int] | None = None, name: str | None = None) -> list[int]:
    """Tries again what was given up, of some ids or of a webhook; the ids it was done to."""
    again = {"dead_ms": None, "next_ms": tx.now_ms, "attempts": 0}
    found = update(webhook_delivery).where(_of(ids, name)).values(again)
    return sorted(tx.connection.execute(found.returning(_d.id)).scalars())


def drop(tx: Tx, *, ids: Sequence[int] | None = None, name: str | None = None) -> list[int]:
    """Forgets what was given up, of some ids or of a webhook; the ids it was done to."""
    found = delete(webhook_delivery).where(_of(ids, name))
    return sorted(tx.connection.execute(found.returning(_d.id)).scalars())


def _of(ids: Sequence[int] | None, name: str | None) -> ColumnElement[bool]:
    dead: ColumnElement[bool] = _d.dead_ms.is_not(None)
    if ids is not None:
        dead = and_(dead, _d.id.in_(ids))
    return dead if name is None else and_(dead, _d.webhook == name)


def _head(tx: Tx) -> int:
    head: Any = tx.connection.execute(select(func.coalesce(func.max(block.c.height), 0))).scalar()
    return int(head)


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else from_ms(milliseconds)
