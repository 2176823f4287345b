"""The ledger's chain: sealing events into keyed blocks, and checking every link of it.

One sealer at a time takes the events that are committed and not yet sealed, in the order of
their ids, into a block, whose digest is keyed with the ledger's key and covers the block
before (`consent.chain`). Whoever records never waits for it.

In: a transaction. Out: how many events were sealed; what `verify` found, nothing when all
is well; the head, to be kept elsewhere, by which a cut-off tail is recognised.

*Fails:* whatever the database raises.
*Known limits:* an event put into the table by hand before the sealer comes is sealed like
any other. Without a head kept elsewhere, removing the last blocks whole goes unnoticed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from gatepost.consent.chain import GENESIS, block_digest, event_digest
from gatepost.consent.evidence import EventKind, commitment
from gatepost.mail.address import AddressError, parse
from gatepost.store.recording import covered
from gatepost.store.tables.ledger import block, event, event_payload, subject
from gatepost.store.transaction import Tx
from gatepost.store.trouble import Trouble, classify

MAX_BLOCK = 10_000
MAX_FINDINGS = 1000
_ADVISORY_LOCK = 0x6761_7465_7365_616C  # "gateseal"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was sealed. `block` and `event` are 0 where none is meant."""

    block: int
    event: int
    what: str


def head(tx: Tx) -> tuple[int, str]:
    """Height and digest (hexadecimal) of the last block; (0, genesis) for an empty ledger."""
    height, digest = _last(tx)
    return height, digest.hex()


def seal(tx: Tx) -> int:
    """Seals up to `MAX_BLOCK` waiting events into one block; how many these were.

    0 as well when another gateway is at it.
    """
    if tx.dialect == "postgresql":
        lock = select(func.pg_try_advisory_xact_lock(_ADVISORY_LOCK))
        if not tx.connection.execute(lock).scalar():
            return 0
    previous_height, previous = _last(tx)
    height = previous_height + 1
    waiting = (
        select(event.c.id).where(event.c.block.is_(None)).order_by(event.c.id).limit(MAX_BLOCK)
    )
    rows = tx.connection.execute(
        update(event)
        .where(event.c.id.in_(waiting))
        .values(block=height)
        .returning(
            event.c.id, event.c.subject, event.c.kind, event.c.recorded_ms, event.c.commitment
        )
    ).all()
    if not rows:
        return 0
    rows = sorted(rows, key=lambda row: row.id)
    tx.connection.execute(
        insert(block).values(
            height=height,
            count=len(rows),
            first_event=rows[0].id,
            last_event=rows[-1].id,
            previous=previous,
            digest=block_digest(
                tx.keys.ledger, previous, height, tx.now_ms, [_digest(row) for row in rows]
            ),
            sealed_ms=tx.now_ms,
        )
    )
    return len(rows)


def verify(tx: Tx, head: tuple[int, str] | None = None) -> list[Finding]:
    """Computes the whole chain anew; what does not agree, at most `MAX_FINDINGS`.

    `head` is height and digest as `head` told them at some earlier time.
    """
    findings: list[Finding] = []
    for finding in _check(tx, head):
        findings.append(finding)
        if len(findings) >= MAX_FINDINGS:
            break
    return findings


def _check(tx: Tx, head: tuple[int, str] | None) -> Iterator[Finding]:
    erased = dict(
        tx.connection.execute(
            select(event.c.subject, func.max(event.c.id))
            .where(event.c.kind == EventKind.ERASED.value)
            .group_by(event.c.subject)
        ).all()
    )
    expected, previous = 1, GENESIS
    digests = {0: GENESIS.hex()} if head and head[0] == 0 else {}
    for height in _heights(tx):
        sealed = tx.connection.execute(select(block).where(block.c.height == height)).one()
        if height != expected:
            yield Finding(height, 0, f"blocks {expected} to {height - 1} are missing")
        elif sealed.previous != previous:
            yield Finding(height, 0, "the block does not stand on the one before")
        yield from _readable(height, _check_block(tx, sealed, erased))
        if head and height == head[0]:
            digests[height] = sealed.digest.hex()
        expected, previous = height + 1, sealed.digest
    yield from _check_strays(tx)
    yield from _readable(0, _check_unsealed(tx, erased))
    if head and head[0] not in digests:
        yield Finding(head[0], 0, f"the ledger ends at block {expected - 1}: its tail is cut off")
    elif head and digests[head[0]] != head[1]:
        yield Finding(head[0], 0, "the block is not the one whose digest was kept")


def _check_block(tx: Tx, sealed: Any, erased: Mapping[int, int]) -> Iterator[Finding]:
    """One block: its events, their payloads, and the digest over them."""
    height = sealed.height
    digests: list[bytes] = []
    first = last = 0
    inside = and_(
        event.c.block == height, event.c.id.between(sealed.first_event, sealed.last_event)
    )
    for row in _events(tx, inside):
        first, last = first or row.id, row.id
        digests.append(_digest(row))
        yield from _check_payload(tx, row, erased)
    if len(digests) != sealed.count:
        yield Finding(height, 0, f"the block has {len(digests)} events and had {sealed.count}")
    elif (first, last) != (sealed.first_event, sealed.last_event):
        yield Finding(height, 0, "the block's first or last event is another")
    digest = block_digest(tx.keys.ledger, sealed.previous, height, sealed.sealed_ms, digests)
    if digest != sealed.digest:
        yield Finding(height, 0, "the block or one of its events was changed")


def _check_unsealed(tx: Tx, erased: Mapping[int, int]) -> Iterator[Finding]:
    for row in _events(tx, event.c.block.is_(None)):
        yield from _check_payload(tx, row, erased)


def _readable(height: int, findings: Iterator[Finding]) -> Iterator[Finding]:
    """`findings`, and one more where rows hold what no column of theirs can hold."""
    try:
        yield from findings
    except (ValueError, TypeError, AttributeError, DBAPIError) as error:
        if isinstance(error, DBAPIError) and classify(error) is not Trouble.NONE:
            raise
        yield Finding(height, 0, f"the block cannot be read: {error}")


def _check_payload(tx: Tx, row: Any, erased: Mapping[int, int]) -> Iterator[Finding]:
    where = row.block or 0
    if row.payload is None:
        if erased.get(row.subject, 0) <= row.id:
            yield Finding(where, row.id, "the payload is gone, and no erasure says why")
    elif commitment(row.salt, covered(row.address_hash, row.payload)) != row.commitment:
        yield Finding(where, row.id, "payload, salt, or the person's hash was changed")
    if row.address is not None and not _is_address_of(tx, row.address, row.address_hash):
        yield Finding(where, row.id, "the person's address was changed")


def _check_strays(tx: Tx) -> Iterator[Finding]:
    """Events that claim a block whose span they are not in, or that is not there."""
    strays = (
        select(event.c.id, event.c.block)
        .select_from(
            event.outerjoin(
                block,
                and_(
                    block.c.height == event.c.block,
                    event.c.id.between(block.c.first_event, block.c.last_event),
                ),
            )
        )
        .where(event.c.block.is_not(None), block.c.height.is_(None))
        .order_by(event.c.id)
        .limit(MAX_FINDINGS)
    )
    for number, height in tx.connection.execute(strays):
        yield Finding(height, number, "the event was put into a block that it is not part of")


def _events(tx: Tx, condition: Any) -> Iterator[Any]:
    """Event rows with payload and person, in order; a block's worth at a time."""
    columns = (
        event,
        event_payload.c.salt,
        event_payload.c.payload,
        subject.c.address_hash,
        subject.c.address,
    )
    joined = event.join(subject, subject.c.id == event.c.subject).outerjoin(
        event_payload, event_payload.c.event == event.c.id
    )
    mark = 0
    while rows := tx.connection.execute(
        select(*columns)
        .select_from(joined)
        .where(condition, event.c.id > mark)
        .order_by(event.c.id)
        .limit(MAX_BLOCK)
    ).all():
        yield from rows
        mark = rows[-1].id


def _heights(tx: Tx) -> Iterator[int]:
    mark = 0
    while True:
        found = (
            tx.connection.execute(
                select(block.c.height)
                .where(block.c.height > mark)
                .order_by(block.c.height)
                .limit(1000)
            )
            .scalars()
            .all()
        )
        if not found:
            return
        yield from found
        mark = found[-1]


def _last(tx: Tx) -> tuple[int, bytes]:
    row = tx.connection.execute(
        select(block.c.height, block.c.digest).order_by(block.c.height.desc()).limit(1)
    ).one_or_none()
    return (row.height, row.digest) if row else (0, GENESIS)


def _digest(row: Any) -> bytes:
    return event_digest(
        number=row.id,
        subject=row.subject,
        kind=row.kind,
        recorded_ms=row.recorded_ms,
        commitment=row.commitment,
    )


def _is_address_of(tx: Tx, given: str, address_hash: bytes) -> bool:
    try:
        return tx.keys.address_hash(parse(given)) == address_hash
    except AddressError:
        return False
