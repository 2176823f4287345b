"""What other systems are told of an event, and how they know that it is from us.

In: a fact and whom it is about; a secret. Out: canonical JSON, and the headers of the Standard
Webhooks scheme: an id that stays the same when a delivery is repeated, the time of sending, and
an HMAC-SHA256 over id, time and body.

What is told is what the other system needs in order to follow; how a person's browser called
itself, from where they came and what they were shown stays in the ledger.

*Fails:* `ValueError` for a secret that is too short to be one.
"""

import base64
import binascii
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Literal

from gatepost.consent.evidence import EventKind, Fact

EVENTS = (
    EventKind.GRANTED, EventKind.REQUESTED, EventKind.CONFIRMED, EventKind.WITHDRAWN,
    EventKind.RESUBSCRIBED, EventKind.BOUNCED, EventKind.COMPLAINED, EventKind.SUPPRESSED,
    EventKind.SUPPRESSION_LIFTED, EventKind.TRANSFERRED, EventKind.ERASED,
)  # fmt: skip
LEAST_SECRET_BYTES = 24
_PREFIX = "whsec_"
_FIRST, _LONGEST = timedelta(seconds=5), timedelta(hours=1)

Spelling = Literal["plain", "hashed"]


def payload(
    fact: Fact,
    *,
    message: str,
    recorded_at: datetime,
    subject: str,
    address: str,
    spelling: Spelling = "plain",
) -> bytes:
    """The body of one delivery. `address` is "" where it is not on record any more.

    Hashed, it is the SHA-256 of the address in lower case, as other programs make it, too: that
    keeps it out of their logs, not from somebody who tries addresses.
    """
    told: dict[str, object] = {
        "id": message,
        "event": fact.kind.value,
        "time": _spelled(fact.at),
        "recorded_at": _spelled(recorded_at),
        "sender": fact.sender,
        "stream": fact.stream,
        "subject": subject,
        "actor": fact.actor,
        "method": fact.method,
    }
    if spelling == "hashed":
        digest = hashlib.sha256(address.casefold().encode()).hexdigest() if address else ""
        told["address_sha256"] = digest
    else:
        told["address"] = address
    more = {
        "basis": fact.basis,
        "source": fact.source,
        "scope": fact.scope,
        "suppression": fact.suppression,
        "confirmed_at": _spelled(fact.confirmed_at) if fact.confirmed_at else "",
    }
    return written(told | {name: value for name, value in more.items() if value})


def written(told: object) -> bytes:
    """A body as it is signed and sent."""
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def signing_key(secret: str) -> bytes:
    """The key that a secret stands for: `whsec_` and base64, or any text. Raises `ValueError`."""
    key = secret.encode()
    if secret.startswith(_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error as error:
            raise ValueError("what follows whsec_ is no base64") from error
    if len(key) < LEAST_SECRET_BYTES:
        raise ValueError(f"has {len(key)} bytes; {LEAST_SECRET_BYTES} are the least")
    return key


def signed_headers(key: bytes, message: str, sent_at: datetime, body: bytes) -> dict[str, str]:
    """The headers by which the receiver knows that `body` is ours and when it was sent."""
    seconds = str(int(sent_at.timestamp()))
    content = f"{message}.{seconds}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode("ascii")
    return {
        "webhook-id": message,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{signature}",
    }


def pause(attempts: int, jitter: float) -> timedelta:
    """How long to wait after so many attempts; `jitter` of 0 … 1 makes it 0.8 to 1.2 of that."""
    doubled = _FIRST * 2 ** min(attempts - 1, 20) if attempts > 0 else _FIRST
    return min(doubled, _LONGEST) * (0.8 + 0.4 * jitter)


def _spelled(moment: datetime) -> str:
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
