"""The chain of sealed blocks that makes the ledger tamper-evident (promise 5).

Events are gathered into blocks; each block's digest is keyed and covers the block before it,
so that nobody without the ledger's key can change, remove, insert or reorder events, and a
head kept elsewhere reveals a cut-off tail.

Until its block is sealed an event is vouched for by a proof of its own, keyed too, so that the
sealer never takes up what nobody recorded.

In: what the event rows hold. Out: digests of 32 bytes, proofs of 16. An event's digest covers
the salted commitment to its payload (`evidence.commitment`), never the payload itself: erasing
payload and salt leaves the chain whole.

*Fails:* `ValueError` where a number or a digest has not its proper size.
"""

import hashlib
import hmac
import struct
from collections.abc import Iterable

DIGEST_BYTES = 32
PROOF_BYTES = 16
KEY_BYTES = 32
GENESIS = hashlib.sha256(b"gatepost ledger\x00genesis").digest()  # what block 1 stands on

_EVENT = struct.Struct(">QQQH")
_BLOCK = struct.Struct(">QQQ")


def event_digest(
    *, number: int, subject: int, kind: str, recorded_ms: int, commitment: bytes
) -> bytes:
    """The 32 bytes that stand for one event row.

    `number` is the row's place in the ledger, `subject` the random id of the person, `kind` the
    value of its `EventKind`, `recorded_ms` the time of recording.
    """
    if len(commitment) != DIGEST_BYTES:
        raise ValueError(f"a commitment has {DIGEST_BYTES} bytes")
    name = kind.encode()
    try:
        head = _EVENT.pack(number, subject, recorded_ms, len(name))
    except struct.error as error:
        raise ValueError("an event's numbers are not negative and fit 64 bits") from error
    return hashlib.sha256(b"gatepost event row\x00" + head + name + commitment).digest()


def event_proof(key: bytes, digest: bytes) -> bytes:
    """The 16 bytes by which a store knows an event as its own; `digest` is the event's."""
    return hmac.digest(key, b"gatepost event proof\x00" + digest, "sha256")[:PROOF_BYTES]


def block_digest(
    key: bytes, previous: bytes, height: int, sealed_ms: int, events: Iterable[bytes]
) -> bytes:
    """The 32 bytes that seal one block: HMAC-SHA256 over the block before it and its events.

    `previous` is the digest of block `height - 1`, `GENESIS` for block 1; `events` are event
    digests in the order of their numbers.
    """
    if len(key) < KEY_BYTES:
        raise ValueError(f"the ledger's key has at least {KEY_BYTES} bytes")
    digests = list(events)
    if len(previous) != DIGEST_BYTES or any(len(one) != DIGEST_BYTES for one in digests):
        raise ValueError(f"a digest has {DIGEST_BYTES} bytes")
    try:
        head = _BLOCK.pack(height, sealed_ms, len(digests))
    except struct.error as error:
        raise ValueError("a block's numbers are not negative and fit 64 bits") from error
    seal = hmac.new(key, b"gatepost ledger block\x00" + previous + head, hashlib.sha256)
    for one in digests:
        seal.update(one)
    return seal.digest()
