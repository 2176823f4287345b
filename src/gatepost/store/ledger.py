"""The ledger's chain: sealing events into keyed blocks, and checking every link of it.

One sealer at a time takes the events that are committed and not yet sealed, in the order of
their ids, into a block, whose digest is keyed with the ledger's key and covers the block
before (`consent.chain`). Whoever records never waits for it. An event whose proof is false was
put into the table by hand: it is left out, and told of.

In: a transaction. Out: how many events were sealed; what `verify` found, nothing when all
is well; the head, to be kept elsewhere, by which a cut-off tail is recognised.

*Fails:* `StoreBroken` where the last block is none; whatever the database raises.
*Known limits:* without a head kept elsewhere, removing the last blocks with all that belongs
to their events goes unnoticed. Whoever has the ledger's key can make another ledger: heads
that were kept elsewhere are what shows it.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, insert, select, update

from gatepost.consent.chain import DIGEST_BYTES, GENESIS, block_digest
from gatepost.store.hot import Row, compile_once
from gatepost.store.proof.chain import digest_of, is_proven
from gatepost.store.proof.findings import UNREADABLE, Finding
from gatepost.store.proof.inspection import Reader, differing, inspect, size
from gatepost.store.proof.persons import count as people
from gatepost.store.subjects import chunks
from gatepost.store.tables.ledger import block, event
from gatepost.store.transaction import Tx
from gatepost.store.trouble import StoreBroken, Trouble, classify

__all__ = [
    "Finding",
    "Reader",
    "Sealing",
    "differing",
    "head",
    "inspect",
    "people",
    "seal",
    "seal_and_tell",
    "size",
    "verify",
]

MAX_BLOCK = 10_000
MAX_FINDINGS = 1000
_ADVISORY_LOCK = 0x6761_7465_7365_616C  # "gateseal"

_WAITING = (
    select(
        event.c.id, event.c.subject, event.c.kind, event.c.recorded_ms, event.c.commitment,
        event.c.proof,
    )
    .where(event.c.block.is_(None), event.c.id > bindparam("mark"))
    .order_by(event.c.id)
    .limit(bindparam("at_most"))
)  # fmt: skip
_PUT_INTO = (
    update(event)
    .where(event.c.id.in_(bindparam("ids", expanding=True)))
    .values(block=bindparam("height"))
)


class Sealing(NamedTuple):
    """How many events were sealed, and the ids of those that nobody recorded."""

    sealed: int
    forged: tuple[int, ...]


def head(tx: Tx) -> tuple[int, str]:
    """Height and digest (hexadecimal) of the last block; (0, genesis) for an empty ledger."""
    height, digest = _last(tx)
    return height, digest.hex()


def is_empty(tx: Tx) -> bool:
    """Whether nothing was ever recorded of anybody: then nobody has consented, nor left."""
    return tx.connection.execute(select(event.c.id).limit(1)).first() is None


def seal(tx: Tx) -> int:
    """Seals up to `MAX_BLOCK` waiting events into one block; how many these were.

    0 as well when another gateway is at it.
    """
    return seal_and_tell(tx).sealed


def seal_and_tell(tx: Tx) -> Sealing:
    """The same, and which events wait in vain because their proof is false."""
    if tx.dialect == "postgresql":
        lock = select(func.pg_try_advisory_xact_lock(_ADVISORY_LOCK))
        if not tx.connection.execute(lock).scalar():
            return Sealing(0, ())
    ids, digests, forged = _genuine(tx)
    if not ids:
        return Sealing(0, forged)
    previous_height, previous = _last(tx)
    height = previous_height + 1
    put_into = compile_once(_PUT_INTO, tx.dialect)
    for chunk in chunks(ids):
        put_into.execute(tx, {"ids": chunk, "height": height})
    tx.connection.execute(
        insert(block).values(
            height=height,
            count=len(ids),
            first_event=ids[0],
            last_event=ids[-1],
            previous=previous,
            digest=block_digest(tx.keys.ledger, previous, height, tx.now_ms, digests),
            sealed_ms=tx.now_ms,
        )
    )
    return Sealing(len(ids), forged)


def verify(tx: Tx, head: tuple[int, str] | None = None) -> list[Finding]:
    """Looks at everything in one transaction; what does not agree, at most `MAX_FINDINGS`.

    `head` is height and digest as `head` told them at some earlier time. For a ledger in use
    `inspect` does the same in slices.
    """

    def read(op: Callable[[Tx], Any]) -> Any:
        return op(tx)

    return list(islice(inspect(read, head), MAX_FINDINGS))


def _genuine(tx: Tx) -> tuple[list[int], list[bytes], tuple[int, ...]]:
    """Ids and digests of the waiting events that were recorded, and the ids of all others."""
    ids: list[int] = []
    digests: list[bytes] = []
    forged: list[int] = []
    mark = -(1 << 63)
    hot = compile_once(_WAITING, tx.dialect)
    while len(ids) < MAX_BLOCK and (
        rows := hot.rows(tx, {"mark": mark, "at_most": MAX_BLOCK - len(ids)})
    ):
        mark = rows[-1][0]
        for row in rows:
            digest = _proven_digest(tx, row)
            if digest is None:
                forged.append(row[0])
            else:
                ids.append(row[0])
                digests.append(digest)
    return ids, digests, tuple(forged)


def _proven_digest(tx: Tx, row: Row) -> bytes | None:
    try:
        digest = digest_of(row)
        return digest if is_proven(tx.keys.ledger, digest, row[5]) else None
    except UNREADABLE as error:
        if classify(error) is not Trouble.NONE:
            raise
        return None


def _last(tx: Tx) -> tuple[int, bytes]:
    row = tx.connection.execute(
        select(block.c.height, block.c.digest).order_by(block.c.height.desc()).limit(1)
    ).one_or_none()
    if row is None:
        return 0, GENESIS
    if not isinstance(row.digest, bytes) or len(row.digest) != DIGEST_BYTES:
        raise StoreBroken(f"the store is damaged: block {row.height} has no digest")
    return row.height, row.digest
