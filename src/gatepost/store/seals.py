"""Seals: whether the ledger's chain vouches for the events of one person.

In: a transaction, the blocks that somebody's events are in. Out: the heights among them for
which the chain does not stand: the block's digest does not follow from its events, or the chain
is broken at or before it. The blocks asked for are computed anew; of all others only the links
are read, so that this takes well under a second where `ledger.verify` takes minutes.

*Known limits:* an altered event of somebody else in another block is for `ledger.verify` to
find; it breaks no link.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from gatepost.consent.chain import GENESIS, block_digest, event_digest
from gatepost.store.tables.ledger import block, event
from gatepost.store.transaction import Tx

_BLOCKS = 5000  # links read at once


def broken(tx: Tx, heights: Iterable[int]) -> frozenset[int]:
    """The `heights` whose block, or a link of the chain up to it, does not compute."""
    wanted = sorted(set(heights))
    if not wanted:
        return frozenset()
    first_gap = _first_gap(tx, wanted[-1])
    return frozenset(
        height
        for height in wanted
        if (first_gap is not None and height >= first_gap) or not _computes(tx, height)
    )


def _first_gap(tx: Tx, up_to: int) -> int | None:
    """The first block up to `up_to` that is missing or does not stand on the one before."""
    expected, previous = 1, GENESIS
    while expected <= up_to:
        rows = tx.connection.execute(
            select(block.c.height, block.c.previous, block.c.digest)
            .where(block.c.height >= expected, block.c.height <= up_to)
            .order_by(block.c.height)
            .limit(_BLOCKS)
        ).all()
        if not rows:
            return expected
        for row in rows:
            if row.height != expected or row.previous != previous:
                return expected
            expected, previous = expected + 1, row.digest
    return None


def _computes(tx: Tx, height: int) -> bool:
    sealed = tx.connection.execute(
        select(block, block.c.count.label("events")).where(block.c.height == height)
    ).one_or_none()
    if sealed is None:
        return False
    rows = tx.connection.execute(
        select(event.c.id, event.c.subject, event.c.kind, event.c.recorded_ms, event.c.commitment)
        .where(event.c.id.between(sealed.first_event, sealed.last_event), event.c.block == height)
        .order_by(event.c.id)
    )
    try:
        digests = [_digest(row) for row in rows]
        found = block_digest(tx.keys.ledger, sealed.previous, height, sealed.sealed_ms, digests)
    except (ValueError, TypeError, AttributeError):
        return False  # what stands there fits no column of an event
    return bool(found == sealed.digest and len(digests) == sealed.events)


def _digest(row: Any) -> bytes:
    return event_digest(
        number=row.id,
        subject=row.subject,
        kind=row.kind,
        recorded_ms=row.recorded_ms,
        commitment=row.commitment,
    )
