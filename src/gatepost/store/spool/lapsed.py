"""Copies that a wrong clock put off: no pause is as long as that.

While a clock is years ahead, whatever is deferred is due years from now; put right, it would wait
until it is too old. In: the name of an upstream. Out: how many are due now, a slice at a time.

*Fails:* whatever the database raises.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, select, update

from gatepost.mail.recipient_state import State
from gatepost.store.bell import Ring, ring
from gatepost.store.tables import mail as tables
from gatepost.store.times import to_ms
from gatepost.store.transaction import Tx

NO_PAUSE = timedelta(hours=12)  # is as long
SLICE = 1000

_r = tables.recipient.c


def find(tx: Tx, upstream: str) -> list[int]:
    """The ids of some that wait for longer than any pause; a look into an index."""
    waiting = (
        select(_r.id)
        .where(
            _r.upstream == upstream,
            _r.lane.in_((0, 1)),
            _r.state.in_((State.READY, State.DEFERRED)),
            _is_late(tx),
        )
        .limit(SLICE)
    )
    return list(tx.connection.execute(waiting).scalars())


def bring_forward(tx: Tx, ids: Sequence[int]) -> int:
    """Makes these due now, as far as they still wait so long; how many they were."""
    late = update(tables.recipient).where(_r.id.in_(ids), _is_late(tx))
    due = late.values(next_attempt_ms=tx.now_ms)
    changed: int = tx.connection.execute(due).rowcount
    if changed:
        ring(tx, Ring.MAIL)
    return changed


def _is_late(tx: Tx) -> ColumnElement[bool]:
    return and_(_r.finished_ms.is_(None), _r.next_attempt_ms > to_ms(tx.now + NO_PAUSE))
