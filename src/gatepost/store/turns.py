"""Whose turn it is to do what a store needs done once in so long, remembered in the store.

In: the name of the work. Out: yes to one of all gateways, once per interval, whatever restarts
in between.
*Fails:* whatever the database raises.
"""

from datetime import timedelta

from sqlalchemy import insert, select, update

from gatepost.store.tables.ledger import meta
from gatepost.store.times import to_ms
from gatepost.store.transaction import Tx

_TURN = "last turn of: "
_DOUBT_MS = 60_000  # by which the measured clocks of two gateways may differ, and far more


def take_turn(tx: Tx, work: str, every: timedelta) -> bool:
    """Whether `work` was last begun longer ago than `every`; if so, it counts as begun now.

    A turn in the future was taken by a clock that was wrong then, and holds up nobody.
    """
    name = _TURN + work
    row = tx.connection.execute(
        select(meta.c.value).where(meta.c.name == name).with_for_update()
    ).scalar()
    if row is None:
        tx.connection.execute(insert(meta), {"name": name, "value": str(tx.now_ms)})
        return True
    if to_ms(tx.now - every) < int(row) <= tx.now_ms + _DOUBT_MS:
        return False
    change = update(meta).where(meta.c.name == name, meta.c.value == row)
    return tx.connection.execute(change.values(value=str(tx.now_ms))).rowcount == 1


def give_back(tx: Tx, work: str, every: timedelta, again_in: timedelta) -> None:
    """Has somebody take the turn anew after `again_in`: the work was begun and failed."""
    value = str(to_ms(tx.now - every + again_in))
    tx.connection.execute(update(meta).where(meta.c.name == _TURN + work).values(value=value))
