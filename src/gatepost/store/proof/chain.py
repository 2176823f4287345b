"""The chain: every block computed anew from its events, each event from what it says.

In: a snapshot, and how far the walk has come. Out: findings, and how far it is now. A walk
goes over many snapshots, a few thousand events in each, and carries the digest of the last
block from one to the next; what is not sealed yet is looked at in the last one.

*Fails:* whatever the database raises.
*Known limits:* an event that is removed before the sealer comes leaves no trace in the chain,
only in what was derived from it (`persons`).
"""

import hmac
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import and_, bindparam, select

from gatepost.consent.chain import GENESIS, block_digest, event_digest, event_proof
from gatepost.consent.evidence import commitment
from gatepost.store.events import covered
from gatepost.store.hot import Row, compile_once
from gatepost.store.proof.findings import Finding, readable
from gatepost.store.tables.ledger import block, event, event_payload, subject
from gatepost.store.transaction import Tx

SLICE = 5000  # events in one snapshot, or a block if it has more
_FETCHED = 2000

_BLOCKS = (
    select(
        block.c.height,
        block.c.count,
        block.c.first_event,
        block.c.last_event,
        block.c.previous,
        block.c.digest,
        block.c.sealed_ms,
    )
    .where(block.c.height > bindparam("mark"))
    .order_by(block.c.height)
    .limit(500)
)
_EVENTS = (
    select(
        event.c.id,
        event.c.subject,
        event.c.kind,
        event.c.recorded_ms,
        event.c.commitment,
        event.c.proof,
        event_payload.c.salt,
        event_payload.c.payload,
        subject.c.address_hash,
    )
    .select_from(
        event.outerjoin(subject, subject.c.id == event.c.subject).outerjoin(
            event_payload, event_payload.c.event == event.c.id
        )
    )
    .order_by(event.c.id)
    .limit(_FETCHED)
)
_SEALED = _EVENTS.where(
    event.c.id > bindparam("mark"),
    event.c.id <= bindparam("last"),
    event.c.block == bindparam("height"),
)
_WAITING = _EVENTS.where(event.c.id > bindparam("mark"), event.c.block.is_(None))
_STRAY_EVENTS = (
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
    .limit(1000)
)
_STRAY_PAYLOADS = (
    select(event_payload.c.event)
    .select_from(event_payload.outerjoin(event, event.c.id == event_payload.c.event))
    .where(event.c.id.is_(None))
    .limit(1000)
)


class Walk(NamedTuple):
    """How far a walk has come: the last block, and what it found out about the head."""

    height: int = 0
    digest: bytes = GENESIS
    head: str = ""  # the digest at the height that was asked for
    done: bool = False


class Step(NamedTuple):
    """A slice of the walk: where it is now, what it found, how many events it saw."""

    walk: Walk
    findings: list[Finding]
    events: int


def step(tx: Tx, walk: Walk, head: tuple[int, str] | None) -> Step:
    """The next slice of the chain; after the last block what is not sealed yet."""
    findings: list[Finding] = []
    seen = 0
    wanted = head[0] if head else -1
    if wanted == 0 == walk.height:
        walk = walk._replace(head=GENESIS.hex())
    while seen < SLICE:
        blocks: list[Row] = []
        findings += readable(_fetch_blocks(tx, walk.height, blocks))
        for row in blocks:
            height, digest = row[0], row[5]
            findings += _linked(walk, row)
            count, found = _block(tx, row)
            seen += count
            findings += found
            told = _hex(digest) if height == wanted else walk.head
            walk = Walk(height, digest, told)
            if seen >= SLICE:
                break
        if not blocks:
            count, found = _waiting(tx)
            return Step(walk._replace(done=True), findings + found, seen + count)
    return Step(walk, findings, seen)


def strays(tx: Tx) -> list[Finding]:
    """Events that claim a block they are not in, and payloads of no event."""
    found = [
        Finding(height, number, "the event was put into a block that it is not part of")
        for number, height in compile_once(_STRAY_EVENTS, tx.dialect).rows(tx, {})
    ]
    return found + [
        Finding(0, number, "a payload of an event that is not there")
        for (number,) in compile_once(_STRAY_PAYLOADS, tx.dialect).rows(tx, {})
    ]


def against_head(walk: Walk, head: tuple[int, str]) -> list[Finding]:
    """Whether the chain that was walked has the head that was kept elsewhere."""
    height, digest = head
    if not walk.head:
        return [Finding(height, 0, f"the ledger ends at block {walk.height}: its tail is cut off")]
    if walk.head != digest:
        return [Finding(height, 0, "the block is not the one whose digest was kept")]
    return []


def digest_of(row: Row) -> bytes:
    """The digest of an event from id, subject, kind, time and commitment, the first of a row."""
    return event_digest(
        number=row[0], subject=row[1], kind=row[2], recorded_ms=row[3], commitment=row[4]
    )


def is_proven(key: bytes, digest: bytes, proof: object) -> bool:
    """Whether `proof` shows that this store recorded the event of that digest."""
    return isinstance(proof, bytes) and hmac.compare_digest(event_proof(key, digest), proof)


def _fetch_blocks(tx: Tx, mark: int, blocks: list[Row]) -> Iterator[Finding]:
    blocks += compile_once(_BLOCKS, tx.dialect).rows(tx, {"mark": mark})
    yield from ()


def _hex(digest: object) -> str:
    return digest.hex() if isinstance(digest, bytes) else repr(digest)


def _linked(walk: Walk, row: Row) -> Iterator[Finding]:
    height, previous = row[0], row[4]
    if height != walk.height + 1:
        missing = f"blocks {walk.height + 1} to {height - 1} are missing"
        yield Finding(height, 0, missing)
    elif previous != walk.digest:
        yield Finding(height, 0, "the block does not stand on the one before")


def _block(tx: Tx, row: Row) -> tuple[int, list[Finding]]:
    """How many events a block has, and what is wrong with it."""
    digests: list[bytes] = []
    found = list(readable(_check_block(tx, row, digests), block=row[0]))
    return len(digests), found


def _check_block(tx: Tx, row: Row, digests: list[bytes]) -> Iterator[Finding]:
    height, count, first, last, previous, digest, sealed_ms = row
    ids: list[int] = []
    mark = first - 1
    hot = compile_once(_SEALED, tx.dialect)
    while rows := hot.rows(tx, {"mark": mark, "last": last, "height": height}):
        for one in rows:
            yield from readable(_check_event(tx, height, one, digests), block=height, event=one[0])
        ids = [ids[0] if ids else rows[0][0], rows[-1][0]]
        mark = rows[-1][0]
    if len(digests) != count:
        yield Finding(height, 0, f"the block has {len(digests)} events and had {count}")
    elif ids != [first, last]:
        yield Finding(height, 0, "the block's first or last event is another")
    if block_digest(tx.keys.ledger, previous, height, sealed_ms, digests) != digest:
        yield Finding(height, 0, "the block or one of its events was changed")


def _waiting(tx: Tx) -> tuple[int, list[Finding]]:
    """Events that no block vouches for yet."""
    digests: list[bytes] = []
    findings: list[Finding] = []
    mark = -(1 << 63)
    while rows := compile_once(_WAITING, tx.dialect).rows(tx, {"mark": mark}):
        for one in rows:
            findings += readable(_check_event(tx, 0, one, digests), event=one[0])
        mark = rows[-1][0]
    return len(digests), findings


def _check_event(tx: Tx, height: int, row: Row, digests: list[bytes]) -> Iterator[Finding]:
    number, committed, proof, salt, payload, address_hash = row[0], row[4], *row[5:]
    digest = digest_of(row)
    digests.append(digest)
    # Of events that were sealed before there were proofs the block alone vouches.
    if not (proof is None and height) and not is_proven(tx.keys.ledger, digest, proof):
        yield Finding(height, number, "no gateway recorded this: the event's proof is false")
    if address_hash is None:
        yield Finding(height, number, "the event is about a person who is not there")
    elif (payload is not None or salt is not None) and (
        commitment(salt, covered(address_hash, payload)) != committed
    ):
        yield Finding(height, number, "payload, salt, or the person's hash was changed")
