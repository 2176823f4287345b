"""Event rows: how facts become events, each with its commitment, its payload and its proof.

The commitment covers the payload and the hash of the address, so that evidence cannot be
moved from one person to another. The proof is keyed: the sealer takes up no event without it,
and so nothing that somebody put into the table by hand.

In: entries, while the people concerned are locked. Out: event ids, in their order.

*Fails:* whatever the database raises.
"""

import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import insert

from gatepost.consent.chain import event_digest, event_proof
from gatepost.consent.evidence import SALT_BYTES, Fact, commitment
from gatepost.store.bell import Ring, ring
from gatepost.store.hot import compile_once
from gatepost.store.tables.ledger import ENDINGS, event, event_payload
from gatepost.store.transaction import Tx

_INSERT_EVENT = insert(event)
_INSERT_PAYLOAD = insert(event_payload)


class Entry(NamedTuple):
    """One fact about one subject, and the hash of its address."""

    subject: int
    address_hash: bytes
    fact: Fact


def insert_events(tx: Tx, entries: Sequence[Entry]) -> list[int]:
    """Writes down `entries`; their ids."""
    ids = _event_ids(tx, len(entries))
    salts = secrets.token_bytes(SALT_BYTES * len(entries))
    key, now_ms = tx.keys.ledger, tx.now_ms
    events: list[dict[str, Any]] = []
    payloads: list[dict[str, Any]] = []
    for place, (number, (subject, address_hash, fact)) in enumerate(zip(ids, entries, strict=True)):
        salt = salts[place * SALT_BYTES : (place + 1) * SALT_BYTES]
        payload = fact.payload()
        kind = fact.kind.value
        committed = commitment(salt, covered(address_hash, payload))
        digest = event_digest(
            number=number, subject=subject, kind=kind, recorded_ms=now_ms, commitment=committed
        )
        events.append(
            {
                "id": number,
                "subject": subject,
                "kind": kind,
                "recorded_ms": now_ms,
                "commitment": committed,
                "block": None,
                "proof": event_proof(key, digest),
            }
        )
        payloads.append({"event": number, "salt": salt, "payload": payload})
    compile_once(_INSERT_EVENT, tx.dialect).executemany(tx, events)
    compile_once(_INSERT_PAYLOAD, tx.dialect).executemany(tx, payloads)
    if any(entry.fact.kind in ENDINGS for entry in entries):
        ring(tx, Ring.ENDINGS)
    return ids


def covered(address_hash: bytes, payload: bytes) -> bytes:
    """What the commitment of an event covers: whom it is about, and what it says."""
    return address_hash + payload


def _event_ids(tx: Tx, count: int) -> list[int]:
    if not count:
        return []
    if tx.dialect == "postgresql":
        numbers = tx.cursor.execute(
            "SELECT nextval((SELECT pg_get_serial_sequence('event', 'id'))::regclass)"  # found once
            " FROM generate_series(1, %s)",
            (count,),
        )
        return sorted(row[0] for row in numbers.fetchall())
    (last,) = tx.cursor.execute("SELECT coalesce(max(id), 0) FROM event").fetchone()
    return list(range(last + 1, last + 1 + count))
