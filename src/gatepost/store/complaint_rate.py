"""The complaint rate of a sender: people who complained, of copies delivered, in seven days.

A sender whose rate reaches the limit is frozen: receivers hold it against everything that
comes from the same place (G-8, ME-9). Nobody is thawed here. While a sender is frozen nothing
is counted, and after the thaw counting begins anew, so that a thaw is not undone by what
froze the sender before. Whoever was frozen for its rate has some time to end the mailing; what
is still queued after that is ended for it (WP-15).

In: the limit, and the least that must have been delivered. Out: `Alarm`s, and `Overdue` campaigns.
*Fails:* whatever the database raises.
*Known limits:* deliveries are counted no further than the limit needs; delivered means taken
by upstream; the moment of a thaw is known to one turn of the chore.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import and_, exists, func, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite

from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.store import campaigns
from gatepost.store.remarks import note_change
from gatepost.store.suppressions import COMPLAINT
from gatepost.store.tables import mail as tables
from gatepost.store.tables.ledger import meta, suppression
from gatepost.store.times import to_ms
from gatepost.store.transaction import Tx

WINDOW = timedelta(days=7)
LONGEST_DELIVERY = timedelta(days=30)  # the most that `retry_for` may be

_COUNT_FROM = "complaints counted from: "
_FROZEN_AT = "frozen for complaints: "  # by us, not by people; the value is `frozen_ms`
_c, _s, _r = tables.campaign.c, tables.submission.c, tables.recipient.c


def _upsert(statement: Any) -> Any:
    return statement.on_conflict_do_update(
        index_elements=["name"], set_={"value": statement.excluded.value}
    )


_REMEMBER = {
    "sqlite": _upsert(sqlite.insert(meta)),
    "postgresql": _upsert(postgresql.insert(meta)),
}


@dataclass(frozen=True, slots=True)
class Alarm:
    """A sender at or above the limit. `delivered` is exact only up to what the limit needs."""

    sender: str
    complaints: int
    delivered: int


class Overdue(NamedTuple):
    """A campaign that was ended for its sender, and how many of its recipients."""

    sender: str
    campaign: int
    ended: int


def find_alarms(
    tx: Tx, senders: Iterable[str], *, rate: float, minimum_delivered: int
) -> list[Alarm]:
    """The senders that are to be frozen; those that are frozen already are left out."""
    frozen = campaigns.frozen_senders(tx)
    alarms = []
    for sender in sorted(set(senders) - frozen):
        since_ms = max(to_ms(tx.now - WINDOW), _counted_from(tx, sender))
        complaints = _complaints(tx, sender, since_ms)
        if not complaints or complaints < rate * minimum_delivered:
            continue  # no number of deliveries would make this too many
        enough = max(int(complaints / rate) + 2, minimum_delivered)
        delivered = _delivered(tx, sender, since_ms, enough)
        if delivered >= minimum_delivered and complaints >= rate * delivered:
            alarms.append(Alarm(sender, complaints, delivered))
    return alarms


def freeze(tx: Tx, alarms: Iterable[Alarm]) -> list[Alarm]:
    """Freezes the senders, except who was frozen meanwhile; those that this froze."""
    frozen = campaigns.frozen_senders(tx)
    fresh = [alarm for alarm in alarms if alarm.sender not in frozen]
    for alarm in fresh:
        note = f"{alarm.complaints} complaints, {alarm.delivered} delivered in {WINDOW.days} days"
        campaigns.freeze(tx, alarm.sender, note)
        note_change(tx, _FROZEN_AT + alarm.sender, str(tx.now_ms))
    return fresh


def end_overdue(tx: Tx, frozen_before: datetime) -> list[Overdue]:
    """Stops what is queued for senders that were frozen for complaints before that.

    Whom people froze is left to people. A campaign that is stopped already is none of these.
    """
    overdue = (
        select(_c.id, _c.sender)
        .where(
            _c.sender.in_(_frozen_for_complaints(tx, frozen_before)),
            _c.stopped_ms.is_(None),
            exists().where(
                # repeated for the partial indexes
                and_(_s.campaign_id == _c.id, _s.campaign_id.is_not(None)),
                _r.submission == _s.id,
                _r.finished_ms.is_(None),
            ),
        )
        .order_by(_c.id)
    )
    note = "frozen for complaints, and not ended in time"
    return [
        Overdue(sender, campaign, campaigns.stop(tx, campaign, note))
        for campaign, sender in tx.connection.execute(overdue).all()
    ]


def _frozen_for_complaints(tx: Tx, before: datetime) -> list[str]:
    """Senders that `freeze` froze before that, and that nobody thawed since."""
    state = tables.sender_state.c
    rows = tx.connection.execute(
        select(state.sender, state.frozen_ms, meta.c.value)
        .join(meta, meta.c.name == _FROZEN_AT + state.sender)
        .where(state.frozen_ms <= to_ms(before))
    )
    return sorted(sender for sender, frozen_ms, noted in rows if str(frozen_ms) == noted)


def rest_frozen(tx: Tx) -> None:
    """Moves the beginning of the count of every frozen sender to now."""
    rows = [
        {"name": _COUNT_FROM + sender, "value": str(tx.now_ms)}
        for sender in sorted(campaigns.frozen_senders(tx))
    ]
    for row in rows:
        tx.connection.execute(_REMEMBER[tx.dialect], row)


def _counted_from(tx: Tx, sender: str) -> int:
    query = select(meta.c.value).where(meta.c.name == _COUNT_FROM + sender)
    value = tx.connection.execute(query).scalar()
    return int(value) if value else 0


def _complaints(tx: Tx, sender: str, since_ms: int) -> int:
    """People who complained since then, whatever became of the suppression."""
    query = select(func.count()).where(
        suppression.c.sender == sender,
        suppression.c.since_ms >= since_ms,
        suppression.c.reason == COMPLAINT,
    )
    return int(tx.connection.execute(query).scalar_one())


def _delivered(tx: Tx, sender: str, since_ms: int, enough: int) -> int:
    """Bulk copies delivered since then, counted no further than `enough`."""
    campaigns_since = since_ms - LONGEST_DELIVERY // timedelta(milliseconds=1)
    some = (
        select(literal_column("1"))
        .select_from(
            tables.campaign.join(
                tables.submission,
                # repeated for the partial index
                and_(_s.campaign_id == _c.id, _s.campaign_id.is_not(None)),
            ).join(tables.recipient, _r.submission == _s.id)
        )
        .where(
            _c.sender == sender,
            _c.last_submission_ms >= campaigns_since,
            _s.kind == Kind.BULK.value,
            _r.finished_ms >= since_ms,
            _r.state == State.DELIVERED.value,
        )
        .limit(enough)
        .subquery()
    )
    return int(tx.connection.execute(select(func.count()).select_from(some)).scalar_one())
